-- ResNets for pictures of 32x32 (He et al. 2016, section 4.2): three stages of basic blocks, shortcuts without parameters.
-- Names of parameters are those of pytorch_resnet_cifar10. Not here: ResNets for larger pictures (models/resnet.lua).
local check = require "mien.base.check"
local nn = require "mien.nn"
local tensor = require "mien.tensor"

local block = nn.define "cifar_block"

function block:forward(x) -- [N,C,H,W] -> [N,P,H/stride,W/stride]
  local y = nn.chain(x, self.conv1, self.bn1, self.conv2)
  local shortcut = x
  if self.half then -- every second pixel, and zeros for the new channels on both sides ("option A")
    local small = self.half(x)
    local n, c, h, w = unpack(small.shape)
    local rest = (self.planes - c) / 2
    local zeros = tensor.zeros({ n, rest, h, w }, { dtype = small.dtype, device = small.device })
    shortcut = tensor.cat({ zeros, small, zeros }, 2)
  end
  return self.bn2(y, shortcut)
end

local function new_block(inputs, planes, stride)
  local self = block.create { planes = planes, half = stride > 1 and nn.max_pool { 1, stride = stride } or nil }
  self:add("conv1", nn.conv2d { inputs, planes, 3, stride = stride, padding = 1, bias = false })
  self:add("bn1", nn.batch_norm { planes, relu = true })
  self:add("conv2", nn.conv2d { planes, planes, 3, padding = 1, bias = false })
  self:add("bn2", nn.batch_norm { planes, relu = true })
  return self
end

local net = nn.define "cifar_resnet"

function net:forward(x) -- [N,3,H,W] -> [N,4 width]
  return nn.chain(x, self.conv1, self.bn1, self.layer1, self.layer2, self.layer3, self.average)
end

function net:detail() return ("width = %d"):format(self.width) end

--- A ResNet for small pictures without its last layer: models.cifar_resnet{ width = 16, blocks = { 3, 3, 3 } } is ResNet-20,
-- { 5, 5, 5 } ResNet-32. [N,3,H,W] -> [N, 4 * width] (64, field `features_out`); no pooling before the mean, so that 32x32
-- pixels leave 8x8.
return function(config)
  config = check.keys(config or {}, { width = "count", blocks = "table" }, "models.cifar_resnet")
  local width, blocks = config.width or 16, config.blocks or { 3, 3, 3 }
  if #blocks ~= 3 then check.raise("argument", "models.cifar_resnet: blocks are 3 numbers, got %d", #blocks) end
  if width % 2 == 1 then check.raise("argument", "models.cifar_resnet: width must be even, got %d", width) end
  local self = net.create { width = width, features_out = 4 * width,
    architecture = { "cifar_resnet", width = width, blocks = blocks } }
  self:add("conv1", nn.conv2d { 3, width, 3, padding = 1, bias = false })
  self:add("bn1", nn.batch_norm { width, relu = true })
  local inputs = width
  for stage = 1, 3 do
    local planes, layers = width * 2 ^ (stage - 1), {}
    for i = 1, check.type(blocks[stage], "count", "models.cifar_resnet: blocks") do
      layers[i] = new_block(i == 1 and inputs or planes, planes, i == 1 and stage > 1 and 2 or 1)
    end
    self:add("layer" .. stage, nn.sequential(layers))
    inputs = planes
  end
  self.average = nn.global_avg_pool()
  return self
end
