-- Does looking back in time help?  The same extractor with an LSTM, with a GRU, and frame by frame.
-- Not here: other starts (initialisation.lua). docs/tutorial.md walks through this file.
local mien = require "mien"

return mien.experiment {
  name  = "context",
  about = "LSTM, GRU or no context over the same small ResNet",
  seeds = { 1 },

  data = {                                        -- a small rendered corpus of RECOLA's shape, made at the first run
    corpus   = "corpora/context.h5",
    generate = { kind = "recola", train = 16, devel = 6, test = 6, frames = 120 },
    sequence = 15, batch = 4, size = { 48, 48 },  -- 15 frames at 1.5 a second are 10 s
  },

  network = { cell = "lstm", width = 16, hidden = 32 }, -- own keys: what `model` below reads, and arms may set
  model = function(network, corpus)
    local features = mien.models.resnet50 { width = network.width, zero_residual = true }
    if network.cell == "none" then
      return mien.models.framewise { features = features, outputs = corpus.label_names }
    end
    return mien.models.recurrent {
      features = features, cell = network.cell, hidden = network.hidden, outputs = corpus.label_names,
    }
  end,

  arms = {                                        -- a list: tables and figures keep this order
    { "framewise", network = { cell = "none" } },
    { "gru",       network = { cell = "gru" } },
    { "lstm",      network = { cell = "lstm" } },
  },

  train = { loss = "ccc", optimiser = { "adam", lr = 1e-3 }, epochs = 12, stop = { patience = 6 } },
  post  = { "median", "centre", "scale", "shift" },
}
