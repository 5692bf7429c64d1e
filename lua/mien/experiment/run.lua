-- One run: a model of one arm and seed, trained, scored, stored; and scored again.
-- Not here: which runs there are and in which order (experiment/plan.lua), the loop (train/).
local check = require "mien.base.check"
local checkpoint = require "mien.checkpoint"
local checkpoint_state = require "mien.checkpoint.state"
local corpus_of = require "mien.experiment.input"
local data = require "mien.data"
local evaluate = require "mien.train.evaluate"
local folders = require "mien.base.folders"
local home = require "mien.base.home"
local interrupt = require "mien.base.interrupt"
local literal = require "mien.base.literal"
local loss_of = require "mien.nn.loss"
local network = require "mien.experiment.network"
local optim = require "mien.optim"
local precision = require "mien.device.precision"
local sha256 = require "mien.base.sha256"
local rng = require "mien.tensor.rng"
local schema = require "mien.experiment.schema"
local score = require "mien.experiment.score"
local start_of = require "mien.experiment.start"
local tensor = require "mien.tensor"
local train = require "mien.train"
local lfs = require "lfs"

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
      :move_(model.device)
  end
  local options = name == "ccc" and { scope = config.train.loss_scope } or weight and { weight = weight } or nil
  local function whole(output, labels) return fn(output, labels, options) end
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

--- Hashes of the functions of a configuration, by their keys: the text that was hashed holds their sources, and what they
-- take from outside.
local function code_of(config, hashed)
  local out, whole = {}, literal.decode(hashed, "the run's configuration")
  local function outside(path)
    local own = {}
    for name, what in pairs(whole.code or {}) do
      if name:sub(1, #path + 1) == path .. "." then own[name] = what end
    end
    return next(own) and literal.encode(own) or ""
  end
  local function walk(value, told, path)
    if type(value) == "function" then
      out[path] = type(told) == "string" and "function " .. sha256.text(told .. outside(path)):sub(1, 8)
        or "function"
    elseif type(value) == "table" and type(told) == "table" and not getmetatable(value) then
      for k, v in pairs(value) do walk(v, told[k], path == "" and tostring(k) or path .. "." .. tostring(k)) end
    end
  end
  walk(config, whole, "")
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

--- The weights under the name that other experiments start from; chains: text of the fitted post-processing, or nil.
local function export(what, model, scale, chains)
  if not what.weights or not what.exports then return end
  local path = home.path(what.weights)
  folders.make_for(path)
  local meta = meta_of(what, scale)
  meta.post = chains
  checkpoint.save_weights(path, model, meta)
  what.run:artifact(path, "weights")
  what.say(("%s: best weights are in %s"):format(what.config.name, home.short(path)))
end

--- The model of an arm with its weights drawn (on the CPU: the same numbers for every device) and brought to its
-- device and precision, and the stream of its dropouts.
function one.build(what, seed)
  local model = network.build(what.config, what.corpus)
  what.start:apply(model, rng.stream(seed, "init"))
  for _, line in ipairs(what.start.lines or {}) do
    what.run:event("start", line)
    what.say(("%s: %s"):format(what.label, line))
  end
  local dropout = rng.stream(seed, "dropout")
  model:use_rng(dropout)
  model:bn_test(what.config.evaluate.bn)
  if what.config.train.recompute then model:recompute(what.config.train.recompute) end
  return precision.place(model, what.config.device, what.config.precision), dropout
end

--- Calls fn with default random streams (mien.randn in `forward`, a noise) that follow from the run's seed, and not from
-- where an earlier run of this process left them; afterwards they are as before. Their seed is another than the run's,
-- so that none is one of the run's own streams again.
local function seeded(seed, fn, ...)
  local before = rng.defaults()
  rng.seed(rng.stream(seed, "defaults"):below(2 ^ 52))
  local results = { xpcall(fn, check.trace, ...) }
  rng.set_defaults(before)
  if not results[1] then check.rethrow(results[2]) end
  return unpack(results, 2)
end

local function best_path(what) return what.folder .. "/best.h5" end

--- Raises an error when the best weights are not those that the run found: by the file's hash, else (a kill between
-- writing chains into it and storing its hash) by the numbers' own.
local function check_best(what)
  local path = best_path(what)
  local same, hash = what.run:made(path)
  if same then return end
  local at = checkpoint_state.position(what.folder .. "/last.h5")
  if at and at.best_digest and at.best_digest == checkpoint.digest(path) then return end
  check.raise("format", "%s has changed since run %d wrote it (its sha256 was %s): put that file back, or delete it and "
    .. "the run is trained again", path, what.run.id, hash)
end

--- Keeps the fitted chains with the best weights, which stay as they are; returns their text, nil for none.
local function keep_chains(what, chains)
  local path, list = best_path(what), {}
  for i, fitted in ipairs(chains) do list[i] = { target = fitted.target, chain = fitted.chain:totable() } end
  local text = #list > 0 and literal.encode(list) or nil
  local meta = checkpoint.read_meta(path)
  if meta.post ~= text then
    require("mien.tensor.scope").run(function()
      local tensors = checkpoint.load_weights(path).tensors
      meta.post = text
      checkpoint.save_weights(path, tensors, meta)
    end)
  end
  what.run:artifact(path, "weights")
  return text
end

--- The network of a finished run with its best weights, on the CPU.
local function load_best(what)
  check_best(what)
  local model = network.build(what.config, what.corpus)
  require("mien.tensor.scope").run(function() model:load(checkpoint.load_weights(best_path(what)).tensors) end)
  return model
end

--- Writes the exported weights again from a finished run; false when its own are gone.
function one.export_again(what)
  if not lfs.attributes(best_path(what)) then return false end
  export(what, load_best(what), start_of.scale(what.config, what.start), checkpoint.read_meta(best_path(what)).post)
  return true
end

--- A finished run scored as its configuration now says: from the predictions that it stored, or, where they were made
-- otherwise or `anew` wants that, from its best weights. Returns a line about it; false and why not when both are gone.
function one.score(what, anew)
  local raw, why
  if not anew then raw, why = score.stored(what, schema.scoring(what.config)) end
  local there = lfs.attributes(best_path(what))
  if not raw and not there then return false, (why and why .. ", and " or "") .. "its weights are gone" end
  local predict
  if not raw then
    local scale = start_of.scale(what.config, what.start)
    local model = load_best(what)
    model:bn_test(what.config.evaluate.bn)
    model = precision.place(model, what.config.device, what.config.precision)
    predict = function(recordings)
      return seeded(what.seed, corpus_of.predict, what.config, what.corpus, recordings, model, scale, nil)
    end
  end
  local chains = score.all { config = what.config, corpus = what.corpus, parts = what.parts, run = what.run,
    folder = what.folder, raw = raw, predict = predict }
  if there then
    check_best(what)
    keep_chains(what, chains)
  end
  what.run:event("scored", schema.scoring(what.config))
  what.run.db:flush()
  return ("%s: scored anew %s"):format(what.label, raw and "from its predictions"
    or "with predictions made anew" .. (why and " (" .. why .. ")" or ""))
end

local function train_and_score(what)
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
  run:param("scale", literal.encode(scale))
  run:param("corpus.path", home.short(c.path))
  run:param("corpus.split", not config.data.split and c.split or nil) -- own shares are no published split
  for path, hash in pairs(code_of(config, run.row.config)) do run:param(path, hash) end
  run:sources(what.files)
  run:unscore()

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
    graph = graph, conditions = { evaluate = config.evaluate.bn },
    run = run, checkpoint = what.folder, meta = meta_of(what, scale), label = what.label, quiet = what.quiet,
  }
  if result.status == "failed" then
    run:event("failed", result.reason)
    run:fail(result.reason)
    return "failed", result.reason
  end
  local chains = score.all { config = config, corpus = c, parts = what.parts, run = run, folder = what.folder,
    predict = predict }
  export(what, model, scale, result.best and keep_chains(what, chains) or nil)
  run:finish(result.reason) -- last.h5 stays: from it more epochs go on
  return "finished", ("%s: best %s %.3f at epoch %d of %d (%s)"):format(what.label, config.train.stop.watch,
    result.best or 0 / 0, result.best_epoch or 0, result.epochs, result.reason)
end

--- Trains and scores. what: { config, corpus, parts, start, seed, run, folder, files, profile, weights (path of those that
-- others start from), label, say, exports }.
-- Returns "finished" or "failed" and a line about it.
function one.train(what)
  return seeded(what.seed, train_and_score, what)
end

--- Where the checkpoint of a run stands, for it to go on from there; nil without one.
function one.position(what)
  local path = what.folder .. "/last.h5"
  local position = checkpoint_state.advise(path, checkpoint_state.position)
  if position then what.run:require_identity(position, path) end
  return position
end

--- Prepares a run that this process has taken: it goes on from `position`, or begins. A checkpoint that is past what
-- results.db has would leave a run without some of its rows: such a run begins again.
function one.begin(what, position)
  local run, lacks = what.run, nil
  if position then lacks = run:lacks_rows_of(position) end
  if position and not lacks then
    return what.say(("%s: goes on at epoch %d, step %d"):format(what.label, position.epoch, position.epoch_step))
  end
  run:clear()
  os.remove(what.folder .. "/last.h5")
  if lacks then
    what.say(("%s: begins again: %s"):format(what.label, lacks))
    run:event("rows lost", lacks)
  end
end

--- What an error in a run means. Nothing else can run after a wish to stop, or when the disk is full: the run is
-- interrupted, and the error goes on. Any other error is this run's own.
function one.is_own(problem)
  if interrupt.is(problem) then return false end
  return not (check.is_error(problem) and problem.code == "io")
end

--- Trains and scores a run that this process has taken. Returns "finished", "failed" or "busy" (another process has
-- taken it over), a line about it, and the run's own error, if it ended with one; other errors are raised.
function one.attempt(what)
  local run = what.run
  local ok, status, line = xpcall(one.train, check.trace, what)
  if ok and status == "failed" then
    return status, ("%s: failed: %s; the last good checkpoint stays"):format(what.label, line)
  end
  if ok then return status, line end
  if run.lost then return "busy", ("%s: %s"):format(what.label, status.message) end
  local reason = tostring(status)
  if check.inside(status) then reason = ("%s\n  in %s"):format(reason, check.inside(status)) end
  if one.is_own(status) then
    run:event("error", check.traceback(status) and reason .. check.traceback(status) or reason)
    run:fail(reason)
    return "failed", ("%s: failed: %s; --retry goes on from its last checkpoint"):format(what.label, reason), status
  end
  if interrupt.is(status) then
    interrupt.honour() -- else the run could not be told that it was interrupted
    reason = "interrupted"
  end
  pcall(run.interrupt, run, reason)
  check.rethrow(status)
end

return one
