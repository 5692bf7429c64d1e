-- The keys of a declaration: what there is, what each takes, and what it is when nobody says.
-- Not here: checking and merging (experiment/schema.lua), what a key does (experiment/run.lua, corpus.lua).

local device = require "mien.device"
local precision = require "mien.precision"

--- A key: its default, the types it takes, what it means. `fields` are the keys of a table that it may hold.
local function key(default, types, about, fields)
  return { default = default, types = types, about = about, fields = fields, leaf = true }
end

--- A key that takes one of a few words.
local function word(default, words, about)
  local spec = key(default, "string", about)
  spec.words = words
  return spec
end

--- A key that takes a list of numbers: { n = how many, low =, high =, whole =, sum = }.
local function numbers(default, types, wanted, about)
  local spec = key(default, types, about)
  spec.numbers = wanted
  return spec
end

local PIXELS = { n = 2, low = 1, high = 32767, whole = true }

-- The defaults are the paper's settings (MISSION S1 to S9) where it gives any.
return {
  name = key(nil, "string", "of the experiment in results.db"),
  about = key("", "string", "one line that says what is asked"),
  seeds = numbers({ 1 }, "list", { low = 0, high = 2 ^ 53, whole = true }, "one run per arm and seed"),
  start = key(nil, "table", "an initialiser: where the weights begin, unless the arms say"),
  arms = key(nil, "list", "what is compared, in this order: { \"name\", start = ..., other keys ... }"),
  prerequisites = key({}, "list", "experiment files that make the weights of the starts"),
  weights = key(false, "string|boolean", "file that gets the best weights, for other experiments to start from"),
  model = key(nil, "function", "model = function(network, corpus) -> module"),
  network = key({}, "table", "numbers of the model; the declaration names its own keys here", "own"),
  pictures = key(false, "table|boolean",
    "changes of these keys for a corpus of single pictures (0 frames/s), where no window means anything", "own"),
  profiles = key({}, "table", "changes of these keys under a name: --profile NAME", "own"),
  device = word("auto", device.names, "where it is computed: auto is a GPU when one can be used, else the CPU"),
  precision = word("f32", precision.names,
    "of activations; parameters, statistics, losses and the optimiser's state are in f32"),
  data = {
    corpus = key(nil, "string", "HDF5 corpus; $profile stands for the profile's name"),
    script = key("", "string", "what makes the corpus from its owners' files, for the error that it is missing"),
    generate = key(false, "table|boolean", "the procedural generator's options, when the corpus is missing", "own"),
    sequence = key(150, "count", "frames in a window"),
    batch = key(2, "count", "windows in a batch"),
    size = numbers({ 150, 150 }, "list", PIXELS, "height and width that the network sees"),
    resize = numbers(false, "list|boolean", PIXELS, "height and width before cropping"),
    scale = key(false, "table|boolean", "of pixels / 255; the start's own when it has one",
      { mean = numbers(nil, "list", { n = 3 }, "per channel"),
        sd = numbers(nil, "list", { n = 3, low = 1e-6 }, "per channel") }),
    augment = key(false, "table|boolean", "training frames only", {
      crop = key(false, "boolean", "random offset in the resized frame"),
      brightness = key(0, "number", "largest shift, of 255"),
      saturation = numbers(nil, "list", { n = 2, low = 0 }, "smallest and largest factor"),
      flip = key(false, "boolean", "mirror half of them"),
      per = key("sequence", "string", "one draw per sequence or frame"),
    }),
    split = numbers(false, "list|boolean", { low = 0, high = 1, sum = 1 },
      "shares of participants to train and validate on, instead of the corpus's own"),
    resample = key(false, "table|boolean", "draw windows with rare emotions again", {
      minority = key(nil, "list", "the rare emotions"),
      max_neutral = key(0, "number", "largest share of neutral frames in a window"),
      quota = key(nil, "string|table", "paper, balanced, or factors by name", "own"),
      limit = key(nil, "count", "windows drawn at most"),
    }),
    class_weights = key(false, "boolean|string", "balanced: (N/C)/n_c; raw: 1/n_c"),
    windows = key(false, "count|boolean", "use at most this many training windows an epoch"),
    workers = key(1, "count", "loader threads"),
  },
  train = {
    loss = key("ccc", "string|function",
      "ccc, mse, sigmoid_cross_entropy, softmax_cross_entropy, or a function(output, labels)"),
    loss_scope = key("batch", "string", "of ccc: over all frames of a batch, or per sequence"),
    optimiser = key({ "adam", lr = 4e-5 }, "table", "name and options of mien.optim", "own"),
    epochs = key(300, "count", "at most"),
    graph = key(false, "boolean", "a GPU records a training step and does it again with one launch"),
    recompute = key(false, "string|boolean", "blocks: keep only the inputs of a ResNet's blocks; less memory"),
    clip = key(false, "number|boolean", "largest norm of the gradient"),
    stop = {
      watch = key("validation/ccc", "string", "validation metric that decides"),
      patience = key(20, "count", "epochs without a better one"),
      higher = key(true, "boolean", "higher is better"),
    },
  },
  evaluate = {
    batch = key(4, "count", "windows in a batch"),
    bn = key("running", "string", "batch norm uses running statistics, or those of the batch"),
  },
  post = key(false, "list|boolean", "post-processing steps, in this order"),
  post_options = {
    max_median = key(20, "number", "seconds"),
    max_shift = key(10, "number", "seconds"),
    method = key("greedy", "string", "greedy (the paper's), or joint: all combinations"),
  },
}
