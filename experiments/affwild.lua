-- The AffWild start: ResNet-50, a fully connected layer and two GRU layers (AffWildNet, Kollias et al. 2019).
-- Not here: the authors' own weights; as weights/paper/affwild.h5 (docs/weights.md) they are used as they are, by networks
-- of the same strides (TF-slim's: strides = "slim").
local mien = require "mien"

return mien.experiment {
  name    = "affwild",
  about   = "AffWildNet on Aff-Wild: the start that has seen faces of few people",
  weights = "weights/$profile/affwild.h5",
  start   = mien.init.from "weights/$profile/imagenet.h5", -- as its authors did
  prerequisites = { "experiments/imagenet.lua" },
  data    = {
    corpus = "corpora/$profile/affwild.h5", script = "dataset import affwild (mien dataset list affwild says how)",
    sequence = 80, batch = 4, size = { 96, 96 },
  },
  network = { width = 64, zero_residual = false, fully_connected = 1500, hidden = 128, layers = 2 },
  model = function(network, corpus)
    return mien.models.recurrent {
      features = mien.models.resnet50 { width = network.width, zero_residual = network.zero_residual },
      fully_connected = { network.fully_connected },
      cell = "gru", hidden = network.hidden, layers = network.layers, outputs = corpus.label_names,
    }
  end,
  train = {
    loss = "ccc", optimiser = { "adam", lr = 1e-4 }, epochs = 100,
    stop = { watch = "validation/ccc", patience = 20 },
  },

  profiles = {
    paper = {},                                    -- the settings above
    demo = {
      network = { width = 16, zero_residual = true, fully_connected = 128, hidden = 64 },
      data  = { generate = { kind = "affwild", profile = "demo" }, sequence = 15, batch = 4, size = { 48, 48 },
                resize = { 54, 54 }, augment = { crop = true, flip = true, brightness = 32, saturation = { 0.5, 1.5 } } },
      train = { optimiser = { lr = 5e-4 }, epochs = 10, stop = { patience = 4 } },
    },
    tiny = {
      network = { width = 8, fully_connected = 16, hidden = 16 },
      data  = { generate = { kind = "affwild", profile = "tiny", size = 24 }, sequence = 15, batch = 2,
                size = { 20, 20 } },
      train = { optimiser = { lr = 1e-3 }, epochs = 2 },
    },
  },
}
