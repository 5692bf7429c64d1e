-- Corpora of a few coloured pictures and a network that learns them in seconds: for specs and e2e tests.
-- Not here: the procedural corpora (datasets/procedural).
local mien = require "mien"

local tiny = { size = 20, sequence = 8 }

--- A fresh folder that `tiny.drop` removes.
function tiny.folder()
  local name = os.tmpname()
  os.remove(name)
  assert(require("lfs").mkdir(name))
  return name
end

function tiny.drop(folder)
  assert(folder:match "^/tmp/")
  os.execute("rm -rf '" .. folder .. "'")
end

--- Frames whose brightness follows `bright` and whose redness follows `red`, both in [-1, 1], with grain.
local function paint(bright, red, stream)
  local n, size = #bright, tiny.size
  local frames = mien.zeros { n, size, size, 3, dtype = "u8" }
  local pixels, at = frames:data(), 0
  for i = 1, n do
    for _ = 1, size * size do
      local base = 128 + math.floor(70 * bright[i]) + stream:below(20)
      local shift = math.floor(40 * red[i])
      pixels[at], pixels[at + 1], pixels[at + 2] = base + shift, base, base - shift
      at = at + 3
    end
  end
  return frames
end

local function tensor_of(rows, dtype)
  return mien.tensor(rows, { dtype = dtype })
end

--- Writes a corpus: kind "continuous" (arousal, valence), "multilabel" or "class" (calm, happy, surprise). lengths: frames
-- of the recordings, 52 where it has none.
function tiny.corpus(path, kind, recordings, lengths)
  local stream = mien.rng.stream(5, "tiny " .. kind)
  local names = kind == "continuous" and { "arousal", "valence" } or { "neutral", "happy", "surprise" }
  local writer = mien.data.writer(path, { name = "tiny " .. kind, height = tiny.size, width = tiny.size, fps = 25,
    label_kind = kind, label_names = names, sequence = tiny.sequence, procedural = true, source = "tests" })
  local partitions = { "train", "train", "devel", "test" }
  for r = 1, recordings or 4 do
    local bright, red, labels = {}, {}, {}
    for i = 1, lengths and lengths[r] or 52 do
      bright[i] = math.sin(0.11 * i + r)
      red[i] = math.cos(0.07 * i + 2 * r)
      local class = bright[i] > 0.4 and 2 or red[i] > 0.6 and 3 or 1
      if kind == "continuous" then
        labels[i] = { 0.8 * bright[i], 0.6 * red[i] }
      elseif kind == "class" then
        labels[i] = class
      else
        labels[i] = { class == 1 and 1 or 0, class == 2 and 1 or 0, red[i] > 0.6 and 1 or 0 }
      end
    end
    writer:recording { name = "r" .. r, subject = "s" .. r, partition = partitions[(r - 1) % 4 + 1],
      frames = paint(bright, red, stream), labels = tensor_of(labels, kind == "class" and "i32" or "f32") }
  end
  writer:finish()
  return path
end

local extractor = mien.nn.define "tiny_extractor"

function extractor:forward(x) -- [N,3,H,W] -> [N,width]
  return mien.nn.chain(x, self.conv, self.bn, self.pool, self.drop)
end

--- A feature extractor with all that must survive a checkpoint: weights, running statistics, dropout.
function tiny.features(width)
  local self = extractor.create { features_out = width }
  self:add("conv", mien.nn.conv2d { 3, width, 4, stride = 4, bias = false })
  self:add("bn", mien.nn.batch_norm { width, relu = true })
  self:add("pool", mien.nn.global_avg_pool())
  self:add("drop", mien.nn.dropout { 0.1 })
  return self
end

--- A declaration over a tiny corpus: seconds for all of it. Keys of `over` replace its own.
function tiny.declaration(corpus, over)
  local declaration = {
    name = "tiny",
    data = { corpus = corpus, sequence = tiny.sequence, batch = 2, size = { tiny.size, tiny.size } },
    network = { width = 8, hidden = 8 },
    model = function(network, c)
      return mien.models.recurrent { features = tiny.features(network.width), hidden = network.hidden, layers = 1,
        outputs = c.label_names }
    end,
    train = { optimiser = { "adam", lr = 1e-2 }, epochs = 3, stop = { patience = 2 } },
    post = { "median", "centre", "scale", "shift" }, post_options = { max_median = 0.4, max_shift = 0.2 },
  }
  for key, value in pairs(over or {}) do declaration[key] = value end
  return declaration
end

return tiny
