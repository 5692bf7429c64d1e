-- What a key of a declaration may hold: numbers in a range, words, lists, tables.
-- Not here: which key holds what (experiment/keys.lua), walking a declaration (experiment/checker.lua).
--
-- A kind is { noun, fits = function(value) -> boolean, judge = function(value, path) or nil }: `fits` tells whether a
-- value is meant to be of this kind, and `judge` raises what is wrong with one that is.
local check = require "mien.base.check"
local literal = require "mien.base.literal"

local kinds = {}

--- A value as a message shows it: short tables are written out.
function kinds.show(value)
  if type(value) ~= "table" or getmetatable(value) then return check.describe(value) end
  local ok, text = pcall(literal.encode, value)
  return ok and #text <= 60 and text or check.describe(value)
end

--- True for a table with the keys 1 to n alone.
local function is_list(value)
  if type(value) ~= "table" or getmetatable(value) then return false end
  local n = 0
  for k in pairs(value) do
    if type(k) ~= "number" then return false end
    n = n + 1
  end
  return n == #value
end
kinds.is_list = is_list

-- ---- single values -----------------------------------------------------------------------------

local function of_type(noun, name)
  return { noun = noun, fits = function(value) return type(value) == name end }
end

kinds.text = of_type("a text", "string")
kinds.yes_or_no = of_type("true or false", "boolean")
kinds.code = of_type("a function", "function")
kinds.no = { noun = "false", fits = function(value) return value == false end }
kinds.yes = { noun = "true", fits = function(value) return value == true end }

local function finite(value)
  return type(value) == "number" and value == value and math.abs(value) < math.huge
end

kinds.count = { noun = "a count", plural = "counts",
  fits = function(value) return finite(value) and value % 1 == 0 and value >= 1 end }

--- Rows or columns of a picture: as many as the loader takes.
kinds.pixels = { noun = "a count of pixels", plural = "counts up to 32767",
  fits = function(value) return kinds.count.fits(value) and value <= 32767 end }

--- A whole number from which random streams begin.
kinds.seed = { noun = "a seed", plural = "whole numbers of 0 or more",
  fits = function(value) return finite(value) and value % 1 == 0 and value >= 0 and value <= 2 ^ 53 end }

--- A finite number from `low` on, or above it; to `high` where there is an end.
function kinds.number(low, high, above)
  local range = high and (" between %g and %g"):format(low, high)
    or low == -math.huge and "" or (above and " above %g" or " of at least %g"):format(low)
  return { noun = "a number" .. range, plural = "numbers" .. range, fits = function(value)
    return finite(value) and (above and value > low or not above and value >= low) and value <= (high or math.huge)
  end }
end

--- One of a few words; `words` is a list, or a function that gives it, so that who owns them is not loaded before.
function kinds.word(words)
  local function list() return type(words) == "function" and words() or words end
  return { words = list, plural = "words",
    fits = function(value) return type(value) == "string" end,
    judge = function(value, path) check.one_of(value, list(), path) end }
end

-- ---- lists -------------------------------------------------------------------------------------

local function all_fit(of, value)
  for _, element in ipairs(value) do
    if not of.fits(element) then return false end
  end
  return true
end

--- A list of `least` to `most` elements of one kind.
-- options: { distinct = true: no element twice; judge = function(list, path) that raises what else is wrong }
function kinds.list(of, least, most, options)
  options = options or {}
  local number = least == most and least .. " " or most and ("%d or %d "):format(least, most) or ""
  return {
    noun = ("a list of %s%s"):format(number, of.plural), words = of.words,
    fits = function(value)
      return is_list(value) and #value >= least and #value <= (most or math.huge) and all_fit(of, value)
    end,
    judge = function(value, path)
      local seen = {}
      for i, element in ipairs(value) do
        if of.judge then of.judge(element, ("%s: entry %d"):format(path, i)) end
        if options.distinct and seen[element] then
          check.raise("argument", "%s: %s stands there twice", path, kinds.show(element))
        end
        seen[element] = true
      end
      if options.judge then options.judge(value, path) end
    end,
  }
end

kinds.texts = function(least) return kinds.list({ fits = kinds.text.fits, plural = "texts" }, least) end

-- ---- tables ------------------------------------------------------------------------------------

local function is_keyed(value)
  if type(value) ~= "table" or getmetatable(value) then return false end
  for k in pairs(value) do
    if type(k) ~= "string" then return false end
  end
  return true
end

--- A table whose keys the declaration itself chooses; judge = function(table, path).
function kinds.table(noun, judge)
  return { noun = noun, fits = is_keyed, judge = judge }
end

--- A table whose first entry is a name: { "adam", lr = 1e-3 }.
function kinds.named(noun, judge)
  return { noun = noun, judge = judge, fits = function(value)
    return type(value) == "table" and not getmetatable(value) and next(value) ~= nil
  end }
end

--- A table with these keys: the walk goes on below it.
function kinds.fields(fields)
  return { noun = "a table", fields = fields, fits = is_keyed }
end

--- Names with one value of a kind each.
function kinds.map(noun, of)
  return kinds.table(noun, function(value, path)
    for name, element in pairs(value) do
      if not of.fits(element) then
        check.raise("argument", "%s.%s must be %s, got %s", path, name, of.noun, kinds.show(element))
      end
    end
  end)
end

--- An initialiser, as mien.init makes them.
kinds.start = {
  noun = 'an initialiser, mien.init.xavier(), mien.init.from "weights.h5" ...,',
  fits = function(value) return type(value) == "table" and type(value.apply) == "function" end,
}

--- Anything of these kinds, in words: "a list of 2 counts or false".
function kinds.nouns(list)
  local words = {}
  for i, kind in ipairs(list) do
    words[i] = kind.noun or "one of " .. table.concat(kind.words(), ", ")
  end
  return table.concat(words, " or ")
end

return kinds
