-- VGG-16 (Simonyan & Zisserman 2015) as a feature extractor; VGG-Face (Parkhi et al. 2015) is the same net.
-- Not here: the last fully connected layer of the classifier; models/recurrent.lua puts a head on it.
local check = require "mien.base.check"
local nn = require "mien.nn"

local vgg = nn.define "vgg16"

function vgg:forward(x) -- [N,3,size,size] -> [N,features_out]
  if x:size(3) ~= self.size or x:size(4) ~= self.size then
    check.raise("shape", "vgg16: pictures are %dx%d, but the network was built with size = %d", x:size(3),
      x:size(4), self.size)
  end
  return nn.chain(x, self.features, self.flatten, self.classifier)
end

function vgg:detail()
  return ("size = %d"):format(self.size)
end

-- Channels as multiples of the width; "pool" halves the map.
local plan = { 1, 1, "pool", 2, 2, "pool", 4, 4, 4, "pool", 8, 8, 8, "pool", 8, 8, 8, "pool" }

local known = { size = "count", width = "count", fully_connected = "table", dropout = "number" }

--- VGG-16 up to its second fully connected layer: models.vgg16{ size = 224, width = 64,
-- fully_connected = { 4096, 4096 }, dropout = 0.5 }. [N,3,size,size] -> [N,4096] (field `features_out`).
-- Its first fully connected layer is made for one size of picture (AffWildNet: 96). An empty list of fully
-- connected layers gives the flattened last maps. Parameters are named as torchvision names them:
-- features.0.weight ... features.28.bias, classifier.0.weight, classifier.3.weight.
return function(config)
  config = check.keys(config or {}, known, "models.vgg16")
  local size, width = config.size or 224, config.width or 64
  if size < 32 then check.raise("argument", "models.vgg16: size must be at least 32, got %d", size) end
  local layers, channels = {}, 3
  for _, step in ipairs(plan) do
    if step == "pool" then
      layers[#layers + 1] = nn.max_pool { 2 }
    else
      layers[#layers + 1] = nn.conv2d { channels, step * width, 3, padding = 1 }
      layers[#layers + 1] = nn.relu()
      channels = step * width
    end
  end
  local inputs, head = channels * math.floor(size / 32) ^ 2, {}
  local fully_connected, dropout = config.fully_connected or { 4096, 4096 }, config.dropout or 0.5
  for _, units in ipairs(fully_connected) do
    head[#head + 1] = nn.linear { inputs, units }
    head[#head + 1] = nn.relu()
    head[#head + 1] = nn.dropout { dropout }
    inputs = units
  end
  local self = vgg.create { size = size, features_out = inputs, flatten = nn.flatten(),
    architecture = { "vgg16", size = size, width = width, fully_connected = fully_connected, dropout = dropout } }
  self:add("features", nn.sequential(layers))
  self:add("classifier", nn.sequential(head))
  return self
end
