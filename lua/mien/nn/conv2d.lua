-- Two-dimensional convolution.
-- Not here: the convolution itself (op.conv2d), folding batch norm into it (nn/fuse.lua).
local check = require "mien.base.check"
local module = require "mien.nn.module"
local window = require "mien.nn.window"
local op = require "mien.tensor.op"

local conv2d = module.define "conv2d"

function conv2d:forward(x) -- [N,C,H,W] -> [N,K,H',W']
  return op.conv2d(x, self.weight, self.bias, self.attributes)
end

function conv2d:detail()
  local k = self.weight.shape
  return ("%d, %d, %s"):format(k[2], k[1], window.text(k[3], k[4], self.attributes))
end

local known = {
  "count!", "count!", "number|table!", stride = "number|table", padding = "number|table", bias = "boolean",
}

--- A convolution: nn.conv2d{ channels in, channels out, kernel, stride = 1, padding = 0, bias = true }.
-- [N,C,H,W] -> [N,K,H',W'], H' = floor((H + padding above and below - kernel) / stride) + 1. kernel and
-- stride: a number or { height, width }; padding also { top, left, bottom, right }.
-- Parameters: weight [K,C,kernel,kernel], bias [K] (left out with bias = false).
return function(config)
  check.keys(config, known, "nn.conv2d")
  local kh, kw = window.two(config[3], "nn.conv2d: kernel", 1)
  local sh, sw = window.two(config.stride or 1, "nn.conv2d: stride", 1)
  local attributes = window.pad({ stride_h = sh, stride_w = sw }, config.padding, "nn.conv2d: padding")
  local self = conv2d.create { attributes = attributes }
  self:parameter("weight", { config[2], config[1], kh, kw }, "weight")
  if config.bias ~= false then self:parameter("bias", { config[2] }, "zero") end
  return self
end
