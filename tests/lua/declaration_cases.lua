-- Declarations that are wrong in one place, made from the list of keys: a key misspelt, a value of the wrong kind.
-- Not here: that they are refused (declaration_spec.lua).
local KEYS = require "mien.experiment.keys"

-- Values, and by the beginning of a kind's noun those of them that the kind may take.
local values = {
  zero = 0, minus = -1, half = 1.5, nan = 0 / 0, inf = math.huge, text = "zzyzx", yes = true, no = false, code = print,
  one = { 150 }, mixed = { 1, "a" }, texts = { "zzyzx" }, keyed = { zzyzx = 1 },
}
local may_take = {
  { "a count", {} },
  { "true or false", { "yes", "no" } },
  { "false", { "no" } },
  { "a text", { "text" } },
  { "a function", { "code" } },
  { "a number", { "zero", "minus", "half" } },
  { "a list of texts", { "texts" } },
  { "a list of whole numbers", { "one" } },
  { "a list", {} },
  { "a table such as", { "one", "mixed", "texts", "keyed" } },
  { "a table", { "keyed" } },
  { "an initialiser", {} },
}

--- Names of the values that no kind of a key takes, in order.
local function wrong_for(spec)
  local fine, names = {}, {}
  for _, kind in ipairs(spec.kinds) do
    for _, rule in ipairs(kind.noun and may_take or {}) do -- a kind of words takes none of these
      if kind.noun:sub(1, #rule[1]) == rule[1] then
        for _, name in ipairs(rule[2]) do fine[name] = true end
        break
      end
    end
  end
  for name in pairs(values) do
    if not fine[name] then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- A word with two letters in the middle exchanged, or one left out where they are the same; nil when that is one of
-- the known words.
local function misspell(word, known)
  local i = math.max(1, math.floor(#word / 2))
  local a, b = word:sub(i, i), word:sub(i + 1, i + 1)
  local wrong = a == b and word:sub(1, i) .. word:sub(i + 2) or word:sub(1, i - 1) .. b .. a .. word:sub(i + 2)
  for k, v in pairs(known) do
    if k == wrong or v == wrong then return nil end
  end
  return wrong
end

--- { data = { size = value } } of { "data", "size" }.
local function nested(path, value)
  for i = #path, 1, -1 do value = { [path[i]] = value } end
  return value
end

-- Where a change may stand, and the declaration with it there.
local places = {
  { "root", function(change)
    if change.name == nil then change.name = "x" end
    return change
  end },
  { "an arm", function(change)
    change[1] = "one"
    return { name = "x", arms = { change } }
  end },
  { "a profile", function(change) return { name = "x", profiles = { demo = change } } end },
  { "an arm of a profile", function(change)
    change[1] = "one"
    return { name = "x", profiles = { demo = { arms = { change } } } }
  end },
  { "pictures", function(change) return { name = "x", pictures = change } end },
}

--- All cases: { declaration, title, word that the message must hold }.
return function()
  local cases, turn = {}, 0
  local function add(place, path, value, title, word)
    cases[#cases + 1] = { places[place][2](nested(path, value)), ("%s in %s"):format(title, places[place][1]), word }
  end
  local function walk(specs, path)
    local names = {}
    for name in pairs(specs) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do
      local spec = specs[name]
      path[#path + 1] = name
      local full = table.concat(path, ".")
      local misspelt = misspell(name, specs)
      if misspelt then
        path[#path] = misspelt
        for place = 1, #places do add(place, path, 1, full .. " misspelt as " .. misspelt, misspelt) end
        path[#path] = name
      end
      if not spec.leaf then
        walk(spec, path)
      else
        for _, wrong in ipairs(wrong_for(spec)) do
          turn = turn % #places + 1
          add(turn, path, values[wrong], full .. " given " .. wrong, name)
        end
        local words = spec.words and spec.words() or {}
        for _, word in ipairs(words) do
          local misspelt_word = misspell(word, words)
          turn = turn % #places + 1
          local value = name == "post" and { misspelt_word } or misspelt_word
          if misspelt_word then add(turn, path, value, full .. " given the word " .. misspelt_word, name) end
        end
        if type(spec.fields) == "table" then walk(spec.fields, path) end
      end
      path[#path] = nil
    end
  end
  walk(KEYS, {})
  return cases
end
