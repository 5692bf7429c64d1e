-- Which extractor reads faces best under one framework: ResNet-50, VGG-16, or VGG-Face's weights? (The paper's S11, S12)
-- Not here: other starts of ResNet-50 (initialisation.lua). docs/weights.md says where the files come from.
local mien = require "mien"

return mien.experiment {
  name  = "extractors",
  about = "ResNet-50 against VGG-16 and VGG-Face on RECOLA",
  -- Pixels are scaled as each file's weights have seen them. --set arms.vggface.start=FILE takes another file, and
  -- --arms resnet50,vgg16 --set arms.resnet50.start=... a part of the comparison.
  arms  = {
    { "resnet50", network = { features = "resnet" },
      start = mien.init.from { "weights/published/resnet50.pth", scale = "torchvision" } },
    { "vgg16",    network = { features = "vgg16" },
      start = mien.init.from { "weights/published/vgg16.pth", scale = "torchvision", only = "^features%.features" } },
    { "vggface",  network = { features = "vgg16" },
      start = mien.init.from { "weights/published/vgg_face.mat", scale = "vggface", only = "^features%.features" } },
    { "random",   network = { features = "resnet" }, start = mien.init.xavier() },
  },
  seeds = { 1, 2, 3 },
  data  = {
    corpus = "corpora/$profile/recola.h5", script = "dataset import recola (mien dataset list recola says how)",
    sequence = 150, batch = 2, size = { 96, 96 },     -- AffWildNet's size, for which VGG-16 has 9 places left
  },
  network = { features = "resnet", width = 64, units = 4096, cell = "lstm", hidden = 256, layers = 2 },
  model = function(network, corpus)
    local features
    if network.features == "vgg16" then               -- its fully connected layers are made for one size: they start anew
      features = mien.models.vgg16 { width = network.width, size = 96, fully_connected = { network.units } }
    else
      features = mien.models.resnet50 { width = network.width }
    end
    return mien.models.recurrent { features = features, cell = network.cell, hidden = network.hidden,
      layers = network.layers, outputs = corpus.label_names }
  end,
  train = {
    loss = "ccc", optimiser = { "adam", lr = 4e-5 }, epochs = 300,
    stop = { watch = "validation/ccc", patience = 20 },
  },
  post  = { "median", "centre", "scale", "shift" },

  profiles = {
    paper = {},
    tiny = {                                       -- seconds, for tests, on procedural faces
      seeds = { 1 }, network = { width = 4, units = 16, hidden = 8 },
      data  = { generate = { kind = "recola", profile = "tiny", size = 104 }, sequence = 5 },
      train = { optimiser = { lr = 1e-3 }, epochs = 1 },
    },
  },
}
