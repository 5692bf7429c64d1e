-- Which start serves fine-tuning on RECOLA best? The paper's main experiment (Table 5 and convergence).
-- Not here: how three of the starts come about (imagenet.lua, affwild.lua, realeyes.lua).
local mien = require "mien"

return mien.experiment {
  name  = "initialisation",
  about = "Which start serves fine-tuning on RECOLA best? (Table 5)",
  arms  = {                                        -- a list: order is kept in tables and plots
    { "random",   start = mien.init.xavier() },
    { "imagenet", start = mien.init.from "weights/$profile/imagenet.h5" },
    { "affwild",  start = mien.init.from "weights/$profile/affwild.h5" },
    { "realeyes", start = mien.init.from "weights/$profile/realeyes.h5" },
  },
  prerequisites = { "experiments/imagenet.lua", "experiments/affwild.lua", "experiments/realeyes.lua" },
  seeds = { 1, 2, 3 },
  data  = {
    corpus = "corpora/$profile/recola.h5", script = "dataset import recola (mien dataset list recola says how)",
    sequence = 150, batch = 2, size = { 150, 150 },  -- 150 frames are 6 s; no augmentation
  },
  network = { width = 64, zero_residual = false, hidden = 256, layers = 2 },
  model = function(network, corpus)
    return mien.models.recurrent {
      features = mien.models.resnet50 { width = network.width, zero_residual = network.zero_residual },
      hidden = network.hidden, layers = network.layers, outputs = corpus.label_names,
    }
  end,
  train = {
    loss = "ccc", optimiser = { "adam", lr = 4e-5 }, epochs = 300,
    stop = { watch = "validation/ccc", patience = 20 },
  },
  post  = { "median", "centre", "scale", "shift" },

  profiles = {
    paper = {},                                    -- the settings above
    demo = {                                       -- minutes on two cores, on procedural faces
      seeds = { 1 }, network = { width = 16, zero_residual = true, hidden = 64 },
      data  = { generate = { kind = "recola", profile = "demo" }, sequence = 15, batch = 4,
                size = { 48, 48 } },
      train = { optimiser = { lr = 1e-3 }, epochs = 14, stop = { patience = 6 } },
    },
    tiny = {                                       -- seconds, for tests
      seeds = { 1 }, network = { width = 8, hidden = 16 },
      data  = { generate = { kind = "recola", profile = "tiny", size = 24 }, sequence = 15, size = { 20, 20 } },
      train = { optimiser = { lr = 1e-3 }, epochs = 2 },
    },
  },
}
