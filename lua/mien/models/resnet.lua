-- ResNet-50 as a feature extractor (He et al. 2016), parameters named as torchvision names them.
-- Not here: the last fully connected layer of the classifier; models/recurrent.lua puts a head on it.
local check = require "mien.base.check"
local nn = require "mien.nn"
local fuse = require "mien.nn.fuse"
local quantise = require "mien.nn.quantise"

local recompute = require("mien.tensor.recompute").run

local chain, release = nn.chain, nn.release

local EXPANSION = 4

-- ---- bottleneck ------------------------------------------------------------------------------------

local bottleneck = nn.define "bottleneck"
bottleneck.recomputable = true -- see base:recompute

function bottleneck:forward(x) -- [N,C,H,W] -> [N,4P,H/stride,W/stride]
  if self.recomputed then return recompute(bottleneck.body, self, x) end
  return self:body(x)
end

function bottleneck:body(x)
  local y = chain(x, self.conv1, self.bn1, self.conv2, self.bn2, self.conv3)
  local shortcut = self.downsample and self.downsample(x) or x
  local sum = self.bn3(y, shortcut) -- relu(bn3(y) + shortcut)
  y:free()
  release(shortcut, x)
  return sum
end

--- 1x1 down to `planes`, 3x3, 1x1 up to four times as many; the stride sits in the 3x3.
function bottleneck.new(inputs, planes, stride, zero)
  local self = bottleneck.create()
  self:add("conv1", nn.conv2d { inputs, planes, 1, bias = false })
  self:add("bn1", nn.batch_norm { planes, relu = true })
  self:add("conv2", nn.conv2d { planes, planes, 3, stride = stride, padding = 1, bias = false })
  self:add("bn2", nn.batch_norm { planes, relu = true })
  self:add("conv3", nn.conv2d { planes, planes * EXPANSION, 1, bias = false })
  self:add("bn3", nn.batch_norm { planes * EXPANSION, relu = true, zero = zero })
  if inputs ~= planes * EXPANSION then
    self:add("downsample", nn.sequential {
      nn.conv2d { inputs, planes * EXPANSION, 1, stride = stride, bias = false },
      nn.batch_norm { planes * EXPANSION },
    })
  elseif stride > 1 then
    self.downsample = nn.max_pool { 1, stride = stride } -- TF-slim's subsample; has no parameters
  end
  return self
end

local fused_bottleneck = nn.define "bottleneck_fused"

function fused_bottleneck:forward(x)
  local y = chain(x, self.conv1, self.conv2)
  local shortcut = self.downsample and self.downsample(x) or x
  local sum = self.conv3(y, shortcut)
  y:free()
  release(shortcut, x)
  return sum
end

--- Input, and with it the shortcut, in whole numbers; so is the output.
function fused_bottleneck:quantised(plan, signal)
  local copy, shortcut = self:twin(), signal
  local first, second, sum
  if self.downsample then copy.downsample, shortcut = self.downsample:quantised(plan, signal) end
  copy.conv1, first = self.conv1:quantised(plan, signal)
  copy.conv2, second = self.conv2:quantised(plan, first)
  copy.conv3, sum = self.conv3:quantised(plan, second, shortcut)
  return quantise.adopt(copy), sum
end

function bottleneck:fused()
  local fast = fused_bottleneck.create()
  fast:add("conv1", fuse.conv(self.conv1, self.bn1, true))
  fast:add("conv2", fuse.conv(self.conv2, self.bn2, true))
  fast:add("conv3", fuse.conv(self.conv3, self.bn3, true))
  if self.downsample then fast:add("downsample", self.downsample:fused()) end
  return fast
end

-- ---- the network -----------------------------------------------------------------------------------

local resnet = nn.define "resnet"

function resnet:forward(x) -- [N,3,H,W] -> [N,32 width]
  return chain(x, self.conv1, self.bn1, self.pool, self.layer1, self.layer2, self.layer3, self.layer4,
    self.average)
end

function resnet:detail()
  return ("width = %d"):format(self.width)
end

--- A stage of `count` bottlenecks; its stride sits in the first (torchvision) or the last (TF-slim) of them.
local function stage(inputs, planes, count, stride, config)
  local layers, at = {}, config.strides == "slim" and count or 1
  for i = 1, count do
    layers[i] = bottleneck.new(i == 1 and inputs or planes * EXPANSION, planes, i == at and stride or 1,
      config.zero_residual)
  end
  return nn.sequential(layers)
end

local known = {
  width = "count", strides = "string", blocks = "table", zero_residual = "boolean", recompute = "string",
}

local function build(config, what, keys)
  config = check.keys(config or {}, keys, what)
  local width, strides = config.width or 64, config.strides or "torchvision"
  local blocks = config.blocks or { 3, 4, 6, 3 }
  check.one_of(strides, { "torchvision", "slim" }, what .. ": strides")
  if #blocks ~= 4 then check.raise("argument", "%s: blocks are 4 numbers, got %d", what, #blocks) end
  for _, count in ipairs(blocks) do check.type(count, "count", what .. ": blocks") end
  local slim = strides == "slim"
  local self = resnet.create { width = width, features_out = 8 * EXPANSION * width,
    architecture = { "resnet", width = width, blocks = blocks, strides = strides } }
  self:add("conv1", nn.conv2d { 3, width, 7, stride = 2, padding = 3, bias = false })
  self:add("bn1", nn.batch_norm { width, relu = true })
  self.pool = nn.max_pool { 3, stride = 2, padding = slim and "same" or 1 }
  local inputs = width
  for i = 1, 4 do
    local planes = width * 2 ^ (i - 1)
    -- torchvision halves the map at the start of stages 2 to 4, TF-slim at the end of stages 1 to 3
    local stride = (slim and i < 4 or not slim and i > 1) and 2 or 1
    self:add("layer" .. i, stage(inputs, planes, blocks[i], stride, config))
    inputs = planes * EXPANSION
  end
  self.average = nn.global_avg_pool()
  if config.recompute then self:recompute(config.recompute) end
  return self
end

local fused_resnet = nn.define "resnet_fused"
fused_resnet.detail = resnet.detail

function fused_resnet:forward(x)
  return chain(x, self.conv1, self.pool, self.layer1, self.layer2, self.layer3, self.layer4, self.average)
end

local order = { "conv1", "pool", "layer1", "layer2", "layer3", "layer4", "average" }

function fused_resnet:quantised(plan, signal)
  return quantise.through(self, plan, signal, order)
end

--- For inference: every batch norm, ReLU and sum becomes part of a convolution.
function resnet:fused()
  local fast = fused_resnet.create { width = self.width, features_out = self.features_out }
  fast.pool, fast.average = self.pool, self.average
  fast:add("conv1", fuse.conv(self.conv1, self.bn1, true))
  for i = 1, 4 do fast:add("layer" .. i, self["layer" .. i]:fused()) end
  return fast
end

return {
  --- ResNet-50 without its last layer: models.resnet50{ width = 64, strides = "torchvision" }.
  -- [N,3,H,W] -> [N, 32 * width] (2048, field `features_out`), any H and W. width: channels of the first
  -- convolution. strides = "slim" builds TF-slim's variant (the stride in the last bottleneck of
  -- stages 1 to 3, "same" pooling), for weights from TensorFlow. zero_residual = true starts the last batch
  -- norm of each bottleneck at 0, so that every block is the identity at first (Goyal et al. 2017): a few
  -- hundred steps then go as far as a thousand. recompute = "blocks" keeps only the bottlenecks' inputs for
  -- backward and makes what lies inside them again: the same bits, less memory.
  resnet50 = function(config)
    return build(config, "models.resnet50",
      { width = "count", strides = "string", zero_residual = "boolean", recompute = "string" })
  end,

  --- A ResNet of bottlenecks: models.resnet{ blocks = { 3, 4, 6, 3 }, width = 64 }; see models.resnet50.
  resnet = function(config) return build(config, "models.resnet", known) end,
}
