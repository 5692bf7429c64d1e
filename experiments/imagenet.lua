-- The ImageNet start: ResNet-50 learns to name things. Torchvision's or other published weights do as well:
-- a weights/paper/imagenet.h5 that was not made here is used as it is, when it says of which network it is
-- (docs/weights.md, with Python that writes torchvision's).
-- Not here: faces (affwild.lua, realeyes.lua).
local mien = require "mien"

return mien.experiment {
  name    = "imagenet",
  about   = "ResNet-50 on ImageNet: the start that knows things, but no faces",
  weights = "weights/$profile/imagenet.h5",
  data    = {
    corpus = "corpora/$profile/imagenet.h5", script = "dataset import imagenet (mien dataset list imagenet says how)",
    sequence = 1, batch = 256, size = { 224, 224 }, resize = { 256, 256 },
    augment = { crop = true, flip = true, brightness = 32, saturation = { 0.5, 1.5 } },
    scale = { mean = { 0.485, 0.456, 0.406 }, sd = { 0.229, 0.224, 0.225 } },
  },
  network = { width = 64, zero_residual = false },
  model = function(network, corpus)
    return mien.models.framewise {
      features = mien.models.resnet50 { width = network.width, zero_residual = network.zero_residual },
      outputs = corpus.label_names,
    }
  end,
  train = {
    loss = "softmax_cross_entropy", optimiser = { "sgd", lr = 0.1, momentum = 0.9, weight_decay = 1e-4 }, epochs = 90,
    stop = { watch = "validation/accuracy", patience = 20 },
  },
  evaluate = { batch = 64 },

  profiles = {
    paper = {},                                    -- the settings above
    demo = {
      network = { width = 16, zero_residual = true },
      data  = { generate = { kind = "objects", profile = "demo" }, batch = 32, size = { 48, 48 }, resize = { 54, 54 } },
      train = { optimiser = { "adam", lr = 1e-3 }, epochs = 10, stop = { patience = 4 } },
    },
    tiny = {
      network = { width = 8 },
      data  = { generate = { kind = "objects", profile = "tiny", size = 24 }, batch = 8, size = { 20, 20 },
                resize = { 24, 24 } },
      train = { optimiser = { "adam", lr = 1e-3 }, epochs = 2 },
    },
  },
}
