-- One run: a model of one arm and seed, trained, scored, stored.
-- Not here: which runs there are and in which order (experiment/plan.lua), the loop (train/).
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local corpus_of = require "mien.experiment.corpus"
local data = require "mien.data"
local evaluate = require "mien.train.evaluate"
local home = require "mien.base.home"
local literal = require "mien.base.literal"
local loss_of = require "mien.nn.loss"
local network = require "mien.experiment.network"
local optim = require "mien.optim"
local precision = require "mien.device.precision"
local results_run = require "mien.results.run"
local rng = require "mien.tensor.rng"
local schema = require "mien.experiment.schema"
local score = require "mien.experiment.score"
local start_of = require "mien.experiment.start"
local tensor = require "mien.tensor"
local train = require "mien.train"

local one = {}

--- loss(output, labels) as the declaration names it; class weights from the counts of the training windows (and their
-- `frames`), on the model's device. Where windows may be filled up, the filling is left out.
function one.loss(config, counts, model, padded)
  local name, weight = config.train.loss, nil
  if type(name) == "function" then return name end
  local fn = loss_of.by_name(name)
  if config.data.class_weights and counts then
    local raw = config.data.class_weights == "raw"
    weight = require("mien.tensor.scope").keep(tensor(data.class_weights(counts, { raw = raw, frames = counts.frames })))
      :move_(model:device())
  end
  local last = name == "ccc" and { scope = config.train.loss_scope } or weight
  local function whole(output, labels) return fn(output, labels, last) end
  return padded and loss_of.unpadded(whole, name == "ccc" and config.train.loss_scope == "sequence") or whole
end

local function store_counts(run, c, table4, train_counts, devel_counts)
  for k, name in ipairs(c.label_names) do
    local before = table4 and table4[k].before or train_counts[k]
    run:class_count { split = "train", stage = "corpus", class_order = k, class = name, frames = before }
    if table4 then
      run:class_count { split = "train", stage = "sampled", class_order = k, class = name, frames = table4[k].after,
        target = table4[k].target }
    end
    run:class_count { split = "devel", stage = "corpus", class_order = k, class = name, frames = devel_counts[k] }
  end
end

--- Hashes of the functions of a configuration, by their keys: the text that was hashed holds their sources.
local function code_of(config, hashed)
  local out = {}
  local function walk(value, told, path)
    if type(value) == "function" then
      out[path] = type(told) == "string" and "function " .. results_run.hash(told):sub(1, 8) or "function"
    elseif type(value) == "table" and type(told) == "table" and not getmetatable(value) then
      for k, v in pairs(value) do walk(v, told[k], path == "" and tostring(k) or path .. "." .. tostring(k)) end
    end
  end
  walk(config, literal.decode(hashed, "the run's configuration"), "")
  return out
end

--- What somebody must know to use the weights, or to start from them.
local function meta_of(what, scale)
  local config, c = what.config, what.corpus
  return {
    experiment = config.name, profile = what.profile, arm = what.arm, seed = what.seed, config_hash = what.run.hash,
    corpus = c.name, procedural = c.procedural and 1 or 0, fps = c.fps, scale_mean = scale.mean, scale_sd = scale.sd,
    image_size = config.data.size, resize = corpus_of.resize(config.data, c) or config.data.size,
    face_size = { c.height, c.width }, sequence = config.data.sequence, outputs = c.label_names,
    label_kind = c.label_kind, grey = c.grey and 1 or 0,
  }
end

--- The weights under the name that other experiments start from.
local function export(what, model, scale)
  if not what.weights or not what.exports then return end
  local path = home.path(what.weights)
  local folder = path:match "^(.*)/[^/]*$"
  if folder then check.status(C.mien_folder_make(folder)) end
  require("mien.checkpoint").save_weights(path, model, meta_of(what, scale))
  what.run:artifact(path, "weights")
  what.say(("%s: best weights are in %s"):format(what.config.name, home.short(path)))
end

--- The model of an arm with its weights drawn (on the CPU: the same numbers for every device) and brought to its
-- device and precision, and the stream of its dropouts.
function one.build(what, seed)
  local model = network.build(what.config, what.corpus)
  what.start:apply(model, rng.stream(seed, "init"))
  local dropout = rng.stream(seed, "dropout")
  model:use_rng(dropout)
  model:bn_test(what.config.evaluate.bn)
  if what.config.train.recompute then model:recompute(what.config.train.recompute) end
  return precision.place(model, what.config.device, what.config.precision), dropout
end

--- Writes the exported weights again from a finished run; false when its own are gone.
function one.export_again(what)
  local best = what.folder .. "/best.h5"
  if not require("lfs").attributes(best) then return false end
  what.run:check_artifact(best)
  local model = network.build(what.config, what.corpus)
  require("mien.tensor.scope").run(function() model:load(require("mien.checkpoint").load_weights(best).tensors) end)
  export(what, model, (start_of.scale(what.config, what.start)))
  return true
end

--- Trains and scores. what: { config, corpus, parts, start, seed, run, folder, profile, weights (path of those that
-- others start from), label, say, exports }.
-- Returns "finished" or "failed" and a line about it.
function one.train(what)
  local config, c, run, seed = what.config, what.corpus, what.run, what.seed
  local scale, remark = start_of.scale(config, what.start)
  if remark then
    run:event("notice", remark)
    what.say(("%s: %s"):format(what.label, remark))
  end
  for _, pair in ipairs(schema.flat(config)) do run:param(pair[1], pair[2]) end
  run:param("arm", what.arm)
  run:param("seed", seed)
  run:param("start", what.start:describe(home.short))
  run:param("corpus.path", home.short(c.path))
  run:param("corpus.split", not config.data.split and c.split or nil) -- own shares are no published split
  for path, hash in pairs(code_of(config, run.row.config)) do run:param(path, hash) end

  local starts, sampling, table4 = corpus_of.windows(config, c, what.parts, seed)
  if sampling.text then
    run:event("sampling", sampling.text)
    what.say(("%s: %s"):format(what.label, sampling.text))
  end
  sampling.text = nil
  run:sampling(sampling)
  local graph = config.train.graph
  if graph and starts.lengths then
    run:event("graph", "train.graph is left aside: which frames are filling is looked at in each step")
    graph = false
  end
  local counts
  if c.label_kind ~= "continuous" then
    local devel
    counts, devel = corpus_of.counts(config, c, starts, what.parts)
    store_counts(run, c, table4, counts, devel)
  end

  local model, dropout = one.build(what, seed)
  local function predict(recordings)
    return corpus_of.predict(config, c, recordings, model, scale, function() run:beat() end)
  end
  local devel_gold = evaluate.gold(c, what.parts.devel)
  local result = train.fit {
    model = model, loss = one.loss(config, counts, model, starts.lengths ~= nil), rngs = { dropout = dropout },
    optimiser = optim.from_table(config.train.optimiser, model:parameters()),
    train = corpus_of.batches(config, c, starts, seed, scale),
    validate = function()
      local metrics = {}
      for name, value in pairs(evaluate.score(c, predict(what.parts.devel), devel_gold).metrics) do
        metrics["validation/" .. name] = value
      end
      return metrics
    end,
    epochs = config.train.epochs, stop = config.train.stop, clip = config.train.clip or nil,
    graph = graph,
    run = run, checkpoint = what.folder, meta = meta_of(what, scale), label = what.label, quiet = what.quiet,
  }
  if result.status == "failed" then
    run:event("failed", result.reason)
    run:fail(result.reason)
    return "failed", result.reason
  end
  score.all { config = config, corpus = c, parts = what.parts, run = run, folder = what.folder, predict = predict }
  if result.best then run:artifact(what.folder .. "/best.h5", "weights") end
  export(what, model, scale)
  run:finish(result.reason)
  os.remove(what.folder .. "/last.h5") -- optimiser state is three times the weights and of no more use
  return "finished", ("%s: best %s %.3f at epoch %d of %d (%s)"):format(what.label, config.train.stop.watch,
    result.best or 0 / 0, result.best_epoch or 0, result.epochs, result.reason)
end

return one
