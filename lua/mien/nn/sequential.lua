-- Layers one after the other.
-- Not here: anything that branches; that is a module with its own forward.
local check = require "mien.base.check"
local module = require "mien.nn.module"

local sequential = module.define "sequential"

function sequential:forward(x)
  local y = x
  for i = 1, #self do
    local z = self[i](y)
    if y ~= x and y ~= z then y:free() end
    y = z
  end
  return y
end

--- Layers one after the other: nn.sequential{ nn.linear{ 8, 4 }, nn.relu(), nn.linear{ 4, 2 } }.
-- The children are named "0", "1", ... as torchvision does; s[1] is the first.
local function new(layers)
  check.type(layers, "table", "nn.sequential")
  local self = sequential.create()
  for i, layer in ipairs(layers) do
    self:add(tostring(i - 1), layer)
    self[i] = layer
  end
  return self
end

--- For inference: neighbouring conv2d, batch_norm and relu become one step.
function sequential:fused()
  return new(require("mien.nn.fuse").list(self))
end

function sequential:quantised(plan, signal)
  local layers = {}
  for i, layer in ipairs(self) do layers[i], signal = layer:quantised(plan, signal) end
  return new(layers), signal
end

return new
