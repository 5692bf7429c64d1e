-- Tensors in the nested dicts, lists and objects of a pickle, with names made of the keys on the way to them.
-- Not here: what is a tensor there (the reader says it).
local pickle = require "mien.weights.reading.pickle"

local nested = {}

local DEEPEST, MOST = 64, 1e6 -- levels; things looked at

--- The tables that hold a thing's parts: items of dicts, entries of lists, what an object keeps of itself. Of a module of
-- PyTorch its parameters, buffers and children stand for it, without a name of their own on the way.
local function parts(value, visit)
  if pickle.is(value, "dict") then
    for i = 1, value.n do visit(value.keys[i], value.values[i]) end
  elseif pickle.is(value, "list") or pickle.is(value, "tuple") then
    for i, one in ipairs(value) do visit(i - 1, one) end
  elseif pickle.is(value, "call") then
    for _, inside in ipairs { value.items or false, value.list or false, value.state or false } do
      if inside then parts(inside, visit) end
    end
  end
end

local CHILDREN = { _parameters = true, _buffers = true, _modules = true }

--- Every tensor below `root`, in order: list of { name, ... } with the fields that take(value, file, name) gives. Its
-- second result counts what is neither a dict, a list, a number nor a text, by class.
function nested.entries(root, file, take)
  local list, classes, looked = {}, {}, 0
  local function walk(value, name, depth)
    looked = looked + 1
    if looked > MOST then file:wrong("more than %.0f things in it", MOST) end
    if depth > DEEPEST then file:wrong("dicts and lists lie deeper than %d in each other", DEEPEST) end
    local entry = take(value, file, name)
    if entry and entry.object then return walk(entry.object, name, depth + 1) end
    if entry then
      entry.name = name
      list[#list + 1] = entry
      return
    end
    if type(value) ~= "table" then return end
    if pickle.is(value, "call") then classes[value.to.name] = (classes[value.to.name] or 0) + 1 end
    parts(value, function(key, one)
      local word = type(key) == "number" and ("%.0f"):format(key) or type(key) == "string" and key or nil
      if not word then return end
      local below = CHILDREN[word] and name or name == "" and word or name .. "." .. word
      walk(one, below, depth + 1)
    end)
  end
  walk(root, "", 1)
  return list, classes
end

return nested
