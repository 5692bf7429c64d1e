-- The keys of a declaration: what there is, what each takes, and what it is when nobody says.
-- Not here: the kinds of values (experiment/kinds.lua), checking (experiment/checker.lua), merging
-- (experiment/schema.lua), what a key does (experiment/run.lua, input.lua).
local check = require "mien.base.check"
local kinds = require "mien.experiment.kinds"

local count, text, no, yes_or_no = kinds.count, kinds.text, kinds.no, kinds.yes_or_no
local number, list, word = kinds.number, kinds.list, kinds.word

--- A key: its default, the kinds of values that it takes, what it means. `fields` are the keys of a table that it may
-- hold: specs, or "own" when the declaration itself names them; options(table) then tells which there are, where
-- somebody knows.
local function key(default, takes, about, fields, options)
  takes = takes.fits and { takes } or takes
  local spec = { leaf = true, default = default, kinds = takes, about = about, fields = fields, options = options }
  for _, kind in ipairs(takes) do
    spec.fields = spec.fields or kind.fields
    spec.words = spec.words or kind.words
  end
  return spec
end

--- The words that a module owns; it is loaded when they are asked for.
local function owned(module, name)
  return word(function() return require(module)[name] end)
end

-- ---- values with rules of their own ------------------------------------------------------------

local size = list(kinds.pixels, 2, 2)

local shares = list(number(0, nil, true), 2, 3, { judge = function(value, path)
  local sum = 0
  for _, share in ipairs(value) do sum = sum + share end
  if math.abs(sum - 1) > 1e-6 then check.raise("argument", "%s: the shares must be 1 together, got %g", path, sum) end
end })

local factors = list(number(0), 2, 2, { judge = function(value, path)
  if value[1] > value[2] then
    check.raise("argument", "%s: the smallest factor comes first, got %s", path, kinds.show(value))
  end
end })

--- The metrics that can be watched: which of them there are, only the corpus can tell.
local watched = word(function()
  local names, seen = {}, {}
  for _, kind in ipairs { "continuous", "multilabel", "class" } do
    for _, name in ipairs(require("mien.train.evaluate").metrics(kind, {})) do
      if not seen[name] then names[#names + 1] = "validation/" .. name end
      seen[name] = true
    end
  end
  return names
end)
local in_list = watched.judge
watched.judge = function(value, path)
  for _, of in ipairs { "ccc", "pcc", "rmse" } do
    if value:match("^validation/" .. of .. "_.+") then return end -- of one target, or of recordings
  end
  in_list(value, path)
end

local function generated(value, path)
  require "mien.experiment.generate".check(value, path)
end

-- The defaults are the paper's settings (MISSION S1 to S9) where it gives any.
return {
  name = key(nil, text, "of the experiment in results.db"),
  about = key("", text, "one line that says what is asked"),
  seeds = key({ 1 }, list(kinds.seed, 1, nil, { distinct = true }), "one run per arm and seed"),
  start = key(nil, kinds.start, "where the weights begin, unless the arms say"),
  arms = key(nil, { { noun = "a list of tables", plural = "tables", fits = kinds.is_list } },
    "what is compared, in this order: { \"name\", start = ..., other keys ... }"),
  prerequisites = key({}, kinds.texts(0), "experiment files that make the weights of the starts"),
  weights = key(false, { text, no }, "file that gets the best weights, for other experiments to start from"),
  model = key(nil, kinds.code, "model = function(network, corpus) -> module"),
  network = key({}, kinds.table "a table", "numbers of the model; the declaration names its own keys here", "own"),
  pictures = key(false, { kinds.table "a table", no },
    "changes of these keys for a corpus of single pictures (0 frames/s), where no window means anything", "own"),
  profiles = key({}, kinds.table "a table", "changes of these keys under a name: --profile NAME", "own"),
  device = key("auto", owned("mien.device", "names"),
    "where it is computed: auto is a GPU when one can be used, else the CPU"),
  precision = key("f32", owned("mien.device.precision", "names"),
    "of activations; parameters, statistics, losses and the optimiser's state are in f32"),
  data = {
    corpus = key(nil, text, "HDF5 corpus; $profile stands for the profile's name"),
    script = key("", text, "what makes the corpus from its owners' files, for the error that it is missing"),
    generate = key(false, { kinds.table("a table", generated), no },
      "the procedural generator's options, when the corpus is missing", "own"),
    sequence = key(150, count, "frames in a window"),
    batch = key(2, count, "windows in a batch"),
    size = key({ 150, 150 }, size, "height and width that the network sees"),
    resize = key(false, { size, no }, "height and width before cropping"),
    scale = key(false, { kinds.fields { mean = key(nil, list(number(-math.huge), 3, 3), "per channel"),
      sd = key(nil, list(number(1e-6), 3, 3), "per channel") }, no },
      "of pixels / 255; the start's own when it has one"),
    augment = key(false, { kinds.fields {
      crop = key(false, yes_or_no, "random offset in the resized frame"),
      brightness = key(0, number(0, 255), "largest shift, of 255"),
      saturation = key(nil, factors, "smallest and largest factor"),
      flip = key(false, yes_or_no, "mirror half of them"),
      per = key("sequence", owned("mien.data.loader", "per"), "what is drawn for at once"),
    }, no }, "training frames only"),
    split = key(false, { shares, kinds.fields {
      folds = key(nil, { count, word { "loso" } }, "parts; loso: leave one subject out"),
      fold = key(nil, count, "which part is tested, from 1; the next one decides when training stops"),
    }, no }, "shares of participants to train and validate on, and to test on where the corpus has no test partition; or "
      .. "cross-validation"),
    resample = key(false, { kinds.fields {
      minority = key(nil, kinds.texts(1), "the rare emotions"),
      max_neutral = key(0, number(0, 1), "largest share of neutral frames in a window"),
      quota = key(nil, { owned("mien.data.resample", "quotas"),
        kinds.map("a table of factors by name", number(0, nil, true)) }, "or factors by name", "own"),
      limit = key(nil, count, "windows drawn at most"),
      stride = key(nil, count, "frames between two windows that may be drawn: 1, at any; data.sequence, as in training"),
    }, yes_or_no }, "draw windows with rare emotions again"),
    class_weights = key(false, { word { "balanced", "raw" }, no }, "(N/C)/n_c, or 1/n_c"),
    windows = key(false, { count, no }, "use at most this many training windows an epoch"),
    max_missing = key(1, number(0, 1), "largest share of frames without a face in a training window"),
    workers = key(1, count, "loader threads"),
  },
  train = {
    loss = key("ccc", { owned("mien.nn.loss", "names"), kinds.code }, "or a function(output, labels), classes from 1"),
    loss_scope = key("batch", owned("mien.nn.loss", "scopes"), "of ccc: over all frames of a batch, or per sequence"),
    optimiser = key({ "adam", lr = 4e-5 }, kinds.named "a table such as { \"adam\", lr = 1e-3 }",
      "name and options of mien.optim", "own", function(optimiser) return require("mien.optim").options(optimiser[1]) end),
    epochs = key(300, count, "at most"),
    graph = key(false, yes_or_no, "a GPU records a training step and does it again with one launch"),
    recompute = key(false, { owned("mien.nn.module", "recomputed"), no },
      "blocks keeps only the inputs of a ResNet's blocks; less memory"),
    clip = key(false, { number(0, nil, true), no }, "largest norm of the gradient"),
    stop = {
      watch = key("validation/ccc", watched, "validation metric that decides"),
      patience = key(20, count, "epochs without a better one"),
      higher = key(true, yes_or_no, "higher is better"),
    },
  },
  evaluate = {
    batch = key(4, count, "windows in a batch"),
    bn = key("running", owned("mien.nn.module", "statistics"),
      "batch norm uses running statistics, or those of the batch"),
  },
  post = key(false, { list(owned("mien.affect.post", "steps"), 0), no }, "post-processing steps, in this order"),
  post_options = {
    max_median = key(20, number(0), "seconds"),
    max_shift = key(10, number(0), "seconds"),
    method = key("greedy", owned("mien.affect.post", "methods"), "the paper's, or all combinations"),
  },
}
