-- AffWildNet (Kollias et al. 2019): ResNet-50 or VGG-Face on 96x96 faces, fully connected, two GRU layers.
-- Not here: its published TensorFlow weights; their GRU is the form with reset_after = false.
local check = require "mien.base.check"

local known = {
  features = "string", width = "count", fully_connected = "table", hidden = "count", layers = "count",
  cell = "string", strides = "string", dropout = "number", reset_after = "boolean",
}

--- AffWildNet: models.affwildnet{ features = "resnet50", fully_connected = { 1500 }, hidden = 128,
-- layers = 2, cell = "gru", strides = "slim" }. [B,T,3,96,96] -> [B,T,2]: valence, arousal, in this order.
-- features = "vgg16" takes VGG-Face with its own two fully connected layers of 4096. The published tower
-- that users report has no fully connected layer: fully_connected = {}.
return function(config)
  config = check.keys(config or {}, known, "models.affwildnet")
  local kinds = { "resnet50", "vgg16" }
  local kind = check.one_of(config.features or "resnet50", kinds, "models.affwildnet: features")
  local models = require "mien.models"
  local extractor, between
  if kind == "resnet50" then
    extractor = models.resnet50 { width = config.width, strides = config.strides or "slim" }
    between = config.fully_connected or { 1500 }
  else
    extractor = models.vgg16 { size = 96, width = config.width, fully_connected = config.fully_connected }
  end
  return models.recurrent {
    features = extractor, fully_connected = between, dropout = config.dropout,
    hidden = config.hidden or 128, layers = config.layers or 2, cell = config.cell or "gru",
    reset_after = config.reset_after or false, outputs = { "valence", "arousal" },
  }
end
