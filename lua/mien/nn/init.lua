-- Layers: `nn.conv2d{ 3, 64, 7, stride = 2 }`; each is loaded when first named.
-- Not here: whole networks (models/), the layers themselves (one file each).
local check = require "mien.base.check"

-- name -> { module, field }; a module without field is the constructor itself
local layers = {
  linear = { "mien.nn.linear" }, conv2d = { "mien.nn.conv2d" }, batch_norm = { "mien.nn.batch_norm" },
  max_pool = { "mien.nn.pool", "max_pool" }, avg_pool = { "mien.nn.pool", "avg_pool" },
  global_avg_pool = { "mien.nn.pool", "global_avg_pool" },
  lrn = { "mien.nn.simple", "lrn" }, relu = { "mien.nn.simple", "relu" }, tanh = { "mien.nn.simple", "tanh" },
  sigmoid = { "mien.nn.simple", "sigmoid" }, flatten = { "mien.nn.simple", "flatten" },
  dropout = { "mien.nn.dropout" },
  lstm = { "mien.nn.recurrent", "lstm" }, gru = { "mien.nn.recurrent", "gru" },
  sequential = { "mien.nn.sequential" }, fuse = { "mien.nn.fuse", "fuse" },
  quantise = { "mien.nn.quantise", "quantise" },
  define = { "mien.nn.module", "define" }, chain = { "mien.nn.flow", "chain" },
  release = { "mien.nn.flow", "release" }, exact = { "mien.nn.flow", "exact" },
}

local nn = {}

--- Every name that `nn` has, sorted.
function nn.names()
  local names = {}
  for name in pairs(layers) do names[#names + 1] = name end
  table.sort(names)
  return names
end

return setmetatable(nn, {
  __index = function(_, name)
    local entry = layers[name]
    if not entry then check.unknown("nn", "layer", name, layers) end
    local value = require(entry[1])
    if entry[2] then value = value[entry[2]] end
    nn[name] = value
    return value
  end,
})
