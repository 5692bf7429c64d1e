-- The RealEyes start: eight emotions, several labels a frame, rare ones boosted (the paper, section 4).
-- Not here: fine-tuning on RECOLA (initialisation.lua).
local mien = require "mien"

return mien.experiment {
  name    = "realeyes",
  about   = "ResNet-50 and LSTM on RealEyes: the start that the paper proposes",
  weights = "weights/$profile/realeyes.h5",
  start   = mien.init.from "weights/$profile/imagenet.h5",
  prerequisites = { "experiments/imagenet.lua" },
  data    = {
    corpus = "corpora/$profile/realeyes.h5", script = "dataset import realeyes, or for pictures folder (mien dataset list)",
    sequence = 150, batch = 2, size = { 150, 150 }, resize = { 170, 170 },
    augment = { crop = true, brightness = 32, saturation = { 0.5, 1.5 } },
    split = { 0.8, 0.2 },                          -- by participant, before anything is drawn again
    resample = { max_neutral = 0, stride = 1 },    -- windows at any frame; Table 4's authors must have allowed some
                                                   -- neutral frames: an option
    class_weights = "balanced",
  },
  network = { width = 64, zero_residual = false, hidden = 256, layers = 2 },
  model = function(network, corpus)
    return mien.models.recurrent {
      features = mien.models.resnet50 { width = network.width, zero_residual = network.zero_residual },
      hidden = network.hidden, layers = network.layers, outputs = corpus.label_names,
    }
  end,
  train = {
    loss = "sigmoid_cross_entropy", optimiser = { "adam", lr = 4e-5 }, epochs = 300,
    stop = { watch = "validation/average_precision", patience = 20 },
  },

  pictures = {                                     -- faces without time (datasets/folder.lua): no LSTM, a linear
    data = { sequence = 1, batch = 300, augment = { flip = true } }, -- layer; rare emotions come again one by one
    evaluate = { batch = 300 },
    model = function(network, corpus)
      return mien.models.framewise {
        features = mien.models.resnet50 { width = network.width, zero_residual = network.zero_residual },
        outputs = corpus.label_names,
      }
    end,
  },

  profiles = {
    paper = {},                                    -- the settings above
    demo = {
      network = { width = 16, zero_residual = true, hidden = 64 },
      data  = { generate = { kind = "realeyes", profile = "demo" }, sequence = 15, batch = 4,
                size = { 48, 48 }, resize = { 54, 54 }, resample = { max_neutral = 0.5, limit = 400 } },
      train = { optimiser = { lr = 1e-3 }, epochs = 10, stop = { patience = 4 } },
      pictures = {
        data  = { batch = 32, resample = { max_neutral = 0, limit = 1200 } },
        train = { epochs = 15, stop = { patience = 6 } },
      },
    },
    tiny = {
      network = { width = 8, hidden = 16 },
      data  = { generate = { kind = "realeyes", profile = "tiny", size = 24 }, sequence = 15, size = { 20, 20 },
                resize = { 24, 24 }, resample = { max_neutral = 0.9, limit = 4 } },
      train = { optimiser = { lr = 1e-3 }, epochs = 2 },
      pictures = { data = { batch = 16, resample = { max_neutral = 0, limit = 40 } } },
    },
  },
}
