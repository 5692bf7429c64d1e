-- Fully connected layer.
-- Not here: the product itself (op.linear).
local check = require "mien.base.check"
local module = require "mien.nn.module"
local op = require "mien.tensor.op"

local linear = module.define "linear"

function linear:forward(x) -- [..., D] -> [..., K]
  return op.linear(x, self.weight, self.bias)
end

function linear:detail()
  return ("%d, %d"):format(self.inputs, self.outputs)
end

--- A fully connected layer: nn.linear{ inputs, outputs, bias = true } maps [..., inputs] to [..., outputs].
-- Parameters: weight [outputs, inputs], bias [outputs] (left out with bias = false).
return function(config)
  check.keys(config, { "count!", "count!", bias = "boolean" }, "nn.linear")
  local self = linear.create { inputs = config[1], outputs = config[2], bias = nil }
  self:parameter("weight", { config[2], config[1] }, "weight")
  if config.bias ~= false then self:parameter("bias", { config[2] }, "zero") end
  return self
end
