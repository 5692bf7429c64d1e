-- What a weight file says about itself, checked like an option before anybody uses it; and its numbers.
-- Not here: reading and writing the file (checkpoint/init.lua), what the network is (models/from_weights.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"

local checks = {}

-- ---- kinds of values -----------------------------------------------------------------------------------

-- Each gives the value in the form in which it is used, or nil and what is wanted.

local function whole(least, most)
  return function(value)
    if type(value) == "number" and value % 1 == 0 and value >= least and value <= most then return value end
    return nil, ("a whole number from %d to %d"):format(least, most)
  end
end

local function between(least, most, wanted)
  return function(value)
    if type(value) == "number" and (value == 0 or value >= least and value <= most) then return value end
    return nil, wanted
  end
end

local function one_of(...)
  local known = { ... }
  return function(value)
    for _, one in ipairs(known) do
      if value == one then return value end
    end
    return nil, "one of " .. table.concat(known, ", ")
  end
end

local function words(value)
  if type(value) == "string" and #value <= 500 and not value:find "%c" then return value end
  return nil, "a text of one line"
end

--- A number, or as many as `counts` allows as a list or a text "1, 2, 3", each of them good.
local function numbers(counts, good, wanted)
  return function(value)
    local list = value
    if type(value) == "string" then
      list = {}
      for word in value:gmatch "[^,%s]+" do list[#list + 1] = tonumber(word) or word end
    elseif type(value) == "number" then
      list = { value }
    end
    if type(list) ~= "table" or not counts[#list] then return nil, wanted end
    for _, number in ipairs(list) do
      if type(number) ~= "number" or not good(number) then return nil, wanted end
    end
    return type(value) == "number" and value or list
  end
end

-- The largest side of a face: a window of 150 such faces has 30 GB as it is.
checks.SIDE = 4096

local function is_side(n) return n % 1 == 0 and n >= 1 and n <= checks.SIDE end
local function is_finite(n) return n - n == 0 end
local function is_positive(n) return is_finite(n) and n > 0 end

--- One number for all three channels becomes three.
local function channels(good, wanted)
  local take = numbers({ true, [3] = true }, good, wanted)
  return function(value)
    local list, problem = take(value)
    if type(list) == "number" then list = { list } end
    if list and #list == 1 then list = { list[1], list[1], list[1] } end
    return list, problem
  end
end

--- Names of outputs: they head columns, label lines and stand on the terminal.
local function names(value)
  local wanted = "a list of different names without control characters, of 1 to 200 bytes each"
  if type(value) == "string" then
    local list = {}
    for name in value:gmatch "[^\n]+" do list[#list + 1] = name end
    value = list
  end
  if type(value) ~= "table" or #value == 0 then return nil, wanted end
  local seen = {}
  for _, name in ipairs(value) do
    if type(name) ~= "string" or #name < 1 or #name > 200 or name:find "%c" or seen[name] then return nil, wanted end
    seen[name] = true
  end
  return value
end

--- Step and sign of each layer of a quantised network, one after the other.
local function ranges(value)
  local wanted = "a list of steps above 0, each with 0 or 1 after it"
  if type(value) ~= "table" or #value == 0 or #value % 2 == 1 then return nil, wanted end
  for i = 1, #value, 2 do
    local step, signed = value[i], value[i + 1]
    if type(step) ~= "number" or not is_positive(step) or signed ~= 0 and signed ~= 1 then return nil, wanted end
  end
  return value
end

-- ---- meta ----------------------------------------------------------------------------------------------

local KNOWN = {
  image_size = numbers({ true, true }, is_side,
    ("one or two whole numbers from 1 to %d (height, width)"):format(checks.SIDE)),
  scale_mean = channels(is_finite, "one or three finite numbers"),
  scale_sd = channels(is_positive, "one or three finite numbers above 0"),
  sequence = whole(1, 100000),
  fps = between(0.01, 1000, "a rate from 0.01 to 1000 frames a second, or 0 (unknown)"),
  outputs = names, label_names = names,
  label_kind = one_of("continuous", "multilabel", "class"),
  grey = one_of(0, 1), procedural = one_of(0, 1),
  corpus = words, architecture = words,
  int8_ranges = ranges,
}

-- Lists of texts, also where one looks like a number.
checks.TEXTS = { outputs = true, label_names = true }

--- A weight file's meta with what mien knows in the form in which it is used; an error names the file, what it says and
-- what is wanted. Keys that mien does not know are their writer's own. `code`: of the error ("format" for a file).
function checks.meta(meta, path, code)
  local good = {}
  for key, value in pairs(meta) do
    local take = KNOWN[key]
    local taken, wanted = value, nil
    if take then taken, wanted = take(value) end
    if wanted then
      local said = type(value) == "table" and ("the list " .. checks.listed(value)) or check.describe(value)
      check.raise(code or "format", "%s: %s must be %s, it says %s", path, key, wanted, (said:gsub("%c", "?")))
    end
    good[key] = taken
  end
  return good
end

--- A list's first entries, for a message.
function checks.listed(list)
  local said = {}
  for i = 1, math.min(#list, 6) do said[i] = tostring(list[i]):sub(1, 40) end
  return table.concat(said, ", ") .. (#list > 6 and ", ..." or "")
end

-- ---- numbers -------------------------------------------------------------------------------------------

local finite = ffi.new "bool[1]"

--- An error for weights that hold NaN or Inf: nothing can come of them.
function checks.finite(tensors, path)
  for _, entry in ipairs(tensors) do
    check.status(C.mien_tensor_is_finite(entry[2], finite))
    if not finite[0] then
      check.raise("format", "%s: %s holds NaN or Inf: the training behind these weights diverged, or the file is "
        .. "damaged", path, entry[1])
    end
  end
end

return checks
