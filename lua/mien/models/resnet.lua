-- ResNets as feature extractors (He et al. 2016), parameters named as torchvision names them.
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

--- What the shortcut wants where the block changes channels or size.
local function add_shortcut(self, inputs, outputs, stride)
  if inputs ~= outputs then
    self:add("downsample", nn.sequential {
      nn.conv2d { inputs, outputs, 1, stride = stride, bias = false },
      nn.batch_norm { outputs },
    })
  elseif stride > 1 then
    self.downsample = nn.max_pool { 1, stride = stride } -- TF-slim's subsample; has no parameters
  end
  return self
end

--- 1x1 down to `planes`, 3x3, 1x1 up to four times as many; the stride sits in the 3x3, with "caffe" in the first 1x1.
function bottleneck.new(inputs, planes, stride, config)
  local self, zero = bottleneck.create(), config.zero_residual
  local first = config.strides == "caffe" and stride or 1
  self:add("conv1", nn.conv2d { inputs, planes, 1, stride = first, bias = false })
  self:add("bn1", nn.batch_norm { planes, relu = true })
  self:add("conv2", nn.conv2d { planes, planes, 3, stride = stride / first, padding = 1, bias = false })
  self:add("bn2", nn.batch_norm { planes, relu = true })
  self:add("conv3", nn.conv2d { planes, planes * EXPANSION, 1, bias = false })
  self:add("bn3", nn.batch_norm { planes * EXPANSION, relu = true, zero = zero })
  return add_shortcut(self, inputs, planes * EXPANSION, stride)
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

-- ---- basic block -----------------------------------------------------------------------------------

local basic = nn.define "basic_block"
basic.recomputable = true

function basic:forward(x) -- [N,C,H,W] -> [N,P,H/stride,W/stride]
  if self.recomputed then return recompute(basic.body, self, x) end
  return self:body(x)
end

function basic:body(x)
  local y = chain(x, self.conv1, self.bn1, self.conv2)
  local shortcut = self.downsample and self.downsample(x) or x
  local sum = self.bn2(y, shortcut)
  y:free()
  release(shortcut, x)
  return sum
end

--- Two 3x3 of `planes` channels, the stride in the first: ResNet-18 and 34.
function basic.new(inputs, planes, stride, config)
  local self = basic.create()
  self:add("conv1", nn.conv2d { inputs, planes, 3, stride = stride, padding = 1, bias = false })
  self:add("bn1", nn.batch_norm { planes, relu = true })
  self:add("conv2", nn.conv2d { planes, planes, 3, padding = 1, bias = false })
  self:add("bn2", nn.batch_norm { planes, relu = true, zero = config.zero_residual })
  return add_shortcut(self, inputs, planes, stride)
end

local fused_basic = nn.define "basic_block_fused"

function fused_basic:forward(x)
  local y = self.conv1(x)
  local shortcut = self.downsample and self.downsample(x) or x
  local sum = self.conv2(y, shortcut)
  y:free()
  release(shortcut, x)
  return sum
end

function fused_basic:quantised(plan, signal)
  local copy, shortcut = self:twin(), signal
  local first, sum
  if self.downsample then copy.downsample, shortcut = self.downsample:quantised(plan, signal) end
  copy.conv1, first = self.conv1:quantised(plan, signal)
  copy.conv2, sum = self.conv2:quantised(plan, first, shortcut)
  return quantise.adopt(copy), sum
end

function basic:fused()
  local fast = fused_basic.create()
  fast:add("conv1", fuse.conv(self.conv1, self.bn1, true))
  fast:add("conv2", fuse.conv(self.conv2, self.bn2, true))
  if self.downsample then fast:add("downsample", self.downsample:fused()) end
  return fast
end

local BLOCKS = { bottleneck = { new = bottleneck.new, expansion = EXPANSION }, basic = { new = basic.new, expansion = 1 } }

-- ---- the network -----------------------------------------------------------------------------------

local resnet = nn.define "resnet"

function resnet:forward(x) -- [N,3,H,W] -> [N,32 width]
  return chain(x, self.conv1, self.bn1, self.pool, self.layer1, self.layer2, self.layer3, self.layer4,
    self.average)
end

function resnet:detail()
  return ("width = %d"):format(self.width)
end

--- A stage of `count` blocks; its stride sits in the first (torchvision, caffe) or the last (TF-slim) of them.
local function stage(inputs, planes, count, stride, config)
  local layers, at, block = {}, config.strides == "slim" and count or 1, BLOCKS[config.block]
  for i = 1, count do
    layers[i] = block.new(i == 1 and inputs or planes * block.expansion, planes, i == at and stride or 1, config)
  end
  return nn.sequential(layers)
end

local known = {
  width = "count", strides = "string", blocks = "table", block = "string", zero_residual = "boolean", recompute = "string",
}

--- fixed: what the constructor's name says, { blocks, block }; nil: the arguments say it.
local function build(config, what, fixed)
  local keys = known
  if fixed then
    keys = { width = known.width, strides = known.strides, zero_residual = known.zero_residual, recompute = known.recompute }
  end
  config = check.keys(config or {}, keys, what)
  local width, blocks = config.width or 64, fixed and fixed[1] or config.blocks or { 3, 4, 6, 3 }
  local block = check.one_of(fixed and fixed[2] or config.block or "bottleneck", { "bottleneck", "basic" }, what .. ": block")
  local strides = check.one_of(config.strides or "torchvision", { "torchvision", "slim", "caffe" }, what .. ": strides")
  if block == "basic" and strides ~= "torchvision" then
    check.raise("argument", "%s: strides = %q is for bottlenecks; basic blocks have torchvision's", what, strides)
  end
  if #blocks ~= 4 then check.raise("argument", "%s: blocks are 4 numbers, got %d", what, #blocks) end
  for _, count in ipairs(blocks) do check.type(count, "count", what .. ": blocks") end
  local slim, expansion = strides == "slim", BLOCKS[block].expansion
  local self = resnet.create { width = width, features_out = 8 * expansion * width,
    architecture = { "resnet", width = width, blocks = blocks, strides = strides,
      block = block == "basic" and block or nil } }
  self:add("conv1", nn.conv2d { 3, width, 7, stride = 2, padding = 3, bias = false })
  self:add("bn1", nn.batch_norm { width, relu = true })
  self.pool = nn.max_pool { 3, stride = 2, padding = slim and "same" or 1 }
  local inputs = width
  local how = { strides = strides, block = block, zero_residual = config.zero_residual }
  for i = 1, 4 do
    local planes = width * 2 ^ (i - 1)
    -- torchvision halves the map at the start of stages 2 to 4, TF-slim at the end of stages 1 to 3
    local stride = (slim and i < 4 or not slim and i > 1) and 2 or 1
    self:add("layer" .. i, stage(inputs, planes, blocks[i], stride, how))
    inputs = planes * expansion
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
  -- convolution. strides says where a stage halves its map, for weights of that origin: "torchvision" in the 3x3 of its
  -- first bottleneck, "caffe" in the first 1x1 (He's own, Keras'), "slim" in the last bottleneck of stages 1 to 3 with
  -- "same" pooling (TensorFlow's). zero_residual = true starts the last batch
  -- norm of each bottleneck at 0, so that every block is the identity at first (Goyal et al. 2017): a few
  -- hundred steps then go as far as a thousand. recompute = "blocks" keeps only the bottlenecks' inputs for
  -- backward and makes what lies inside them again: the same bits, less memory.
  resnet50 = function(config) return build(config, "models.resnet50", { { 3, 4, 6, 3 }, "bottleneck" }) end,

  --- ResNet-101 without its last layer; see models.resnet50.
  resnet101 = function(config) return build(config, "models.resnet101", { { 3, 4, 23, 3 }, "bottleneck" }) end,

  --- ResNet-18 without its last layer, of basic blocks: [N,3,H,W] -> [N, 8 * width] (512); see models.resnet50.
  resnet18 = function(config) return build(config, "models.resnet18", { { 2, 2, 2, 2 }, "basic" }) end,

  --- ResNet-34 without its last layer, of basic blocks; see models.resnet18.
  resnet34 = function(config) return build(config, "models.resnet34", { { 3, 4, 6, 3 }, "basic" }) end,

  --- A ResNet of four stages: models.resnet{ blocks = { 3, 4, 6, 3 }, block = "bottleneck" or "basic", width = 64 }; see
  -- models.resnet50.
  resnet = function(config) return build(config, "models.resnet") end,
}
