-- The table `network` as `model` gets it: reading a key that there is not is an error, and keys that nothing reads are
-- told.
-- Not here: checking the declaration (experiment/checker.lua).
local check = require "mien.base.check"
local util = require "jit.util"

local network = {}

--- The module that `model` of a configuration makes, or an error. Its `network` holds the declared keys alone.
function network.build(config, corpus)
  local strict = {}
  for k, value in pairs(config.network) do strict[k] = value end
  setmetatable(strict, { __index = function(_, k)
    -- a network given on as options, models.resnet50(network): mien asks for what may be left out
    if check.is_mien(debug.getinfo(2, "S").source) then return nil end
    check.unknown(config.name .. ": network", "key", tostring(k), config.network)
  end })
  local model = config.model(strict, corpus)
  if type(model) ~= "table" or not model.parameters then
    check.raise("argument", "%s: `model` must return a network (mien.nn, mien.models), it returns %s", config.name,
      check.describe(model))
  end
  local own, labels = rawget(model, "outputs"), corpus.label_names
  if own and labels and table.concat(own, ", ") ~= table.concat(labels, ", ") then
    check.raise("argument", "%s: the network's outputs are %s, the labels are %s, in this order; build it with "
      .. "outputs = corpus.label_names", config.name, table.concat(own, ", "), table.concat(labels, ", "))
  end
  return model
end

-- ---- what is never read ------------------------------------------------------------------------

--- Adds the texts that stand in a function or in those inside it: names of what it reads are among them.
local function add_constants(fn, words)
  for i = -1, -math.huge, -1 do
    local constant = util.funck(fn, i)
    if constant == nil then return end
    if type(constant) == "string" then words[constant] = true end
    if type(constant) == "proto" then add_constants(constant, words) end
  end
end

--- Adds the texts of a function and of the user's own functions that it can call by name.
local function add_words(fn, words, seen)
  local info = debug.getinfo(fn, "S")
  if seen[fn] or info.what == "C" or check.is_mien(info.source) then return end
  seen[fn] = true
  local own, visited = {}, {}
  add_constants(fn, own)
  for word in pairs(own) do words[word] = true end
  local function follow(value)
    if type(value) == "function" then return add_words(value, words, seen) end
    if type(value) ~= "table" or visited[value] then return end
    visited[value] = true
    for word in pairs(own) do follow(rawget(value, word)) end
  end
  for i = 1, math.huge do
    local name, value = debug.getupvalue(fn, i)
    if not name then break end
    follow(value)
  end
  follow(_G)
  follow(package.loaded)
end

--- Texts about the keys of `network` that no model of the node's arms reads, as their names stand nowhere in its code;
-- none where a model goes over all keys.
function network.unread(node)
  local words, seen, texts, names = {}, {}, {}, {}
  for _, arm in ipairs(node.chosen) do add_words(arm.config.model, words, seen) end
  if words.pairs or words.next then return texts end
  for k in pairs(node.config.network) do
    if not words[k] then names[#names + 1] = k end
  end
  table.sort(names)
  for i, name in ipairs(names) do
    texts[i] = ("%s: network.%s changes nothing: `model` never reads it"):format(node.name, name)
  end
  return texts
end

return network
