-- The inference form of a network: batch norm and ReLU folded into the convolution before them.
-- Not here: training; a fused network has no gradients and does not follow later changes of the weights.
local check = require "mien.base.check"
local module = require "mien.nn.module"
local scope = require "mien.tensor.scope"
local grad = require "mien.tensor.grad"
local tensor = require "mien.tensor"
local op = require "mien.tensor.op"

local fuse = {}

local fused_conv = module.define "conv2d_fused"

function fused_conv:forward(x, residual) -- [N,C,H,W], residual of the output's shape or nil
  return op.conv2d_fused(x, self.weight, self.bias, residual, self.attributes)
end

function fused_conv:detail()
  local relu = self.attributes.relu == 1 and ", relu" or ""
  return ("%d, %d%s"):format(self.weight:size(2), self.weight:size(1), relu)
end

function fused_conv:quantised(plan, signal, residual)
  return require("mien.nn.quantise").conv(self, plan, signal, residual)
end

--- weight * gamma / sqrt(var + eps) per output channel, and the bias that goes with it.
local function fold(conv, bn)
  local k = conv.weight:size(1)
  local bias = conv.bias and conv.bias:clone() or tensor.zeros { k, device = conv.weight.device }
  if not bn then return conv.weight:clone(), bias end
  local scale = bn.weight / (bn.running_var + bn.attributes.eps):sqrt()
  local weight = conv.weight * scale:reshape { k, 1, 1, 1 }
  return weight, (bias - bn.running_mean) * scale + bn.bias
end

--- One step for inference from a convolution, the batch norm after it (or nil) and a ReLU (true or false).
function fuse.conv(conv, bn, relu)
  local weight, bias = scope.run(grad.no_grad, fold, conv, bn)
  local attributes = { relu = relu and 1 or 0 }
  for key, value in pairs(conv.attributes) do attributes[key] = value end
  scope.keep { weight, bias }
  local self = fused_conv.create { attributes = attributes, weight = weight, bias = bias }
  self.entries = {
    { name = "weight", kind = "buffer", tensor = weight }, { name = "bias", kind = "buffer", tensor = bias },
  }
  return self
end

--- The layers of a list for inference: conv2d [batch_norm] [relu] become one, others their own fused form.
function fuse.list(layers)
  local out, i = {}, 1
  while i <= #layers do
    local layer = layers[i]
    local bn = layers[i + 1]
    if layer.class_name == "conv2d" then
      bn = bn and bn.class_name == "batch_norm" and bn or nil
      if bn then i = i + 1 end
      local relu = bn and bn.attributes.relu == 1
      if not relu and layers[i + 1] and layers[i + 1].class_name == "relu" then
        relu, i = true, i + 1
      end
      out[#out + 1] = fuse.conv(layer, bn, relu)
    else
      out[#out + 1] = layer:fused()
    end
    i = i + 1
  end
  return out
end

--- A copy of a model for inference: batch norm (with its running statistics), the sum with a shortcut and
-- ReLU are part of the convolution before them. It has no gradients; other layers share their weights.
--   local fast = nn.fuse(model)
function fuse.fuse(model)
  if not module.is(model) then
    check.raise("argument", "nn.fuse takes a module, got %s", check.describe(model))
  end
  return model:fused():train(false)
end

return fuse
