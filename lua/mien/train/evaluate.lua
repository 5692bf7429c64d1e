-- Runs a model over whole partitions and scores what it says, recording by recording.
-- Not here: post-processing (post/), what is stored (experiment/store.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local interrupt = require "mien.base.interrupt"
local loader = require "mien.data.loader"
local metric = require "mien.affect.metric"
local scope = require "mien.tensor.scope"

local evaluate = {}

local KEYS = {
  model = "table!", corpus = "table!", recordings = "table!", sequence = "count!", batch = "count", size = "table",
  resize = "table", scale = "table", workers = "count", beat = "function",
}

-- ---- predictions -------------------------------------------------------------------------------

--- Windows that cover every frame: whole ones, one that ends with the recording, and shorter recordings whole.
-- Returns lists of starts by length of window, in order.
local function cover(recordings, sequence)
  local by_length, lengths = {}, {}
  local function add(length, start, recording)
    if not by_length[length] then
      by_length[length] = { starts = {}, of = {} }
      lengths[#lengths + 1] = length
    end
    local list = by_length[length]
    list.starts[#list.starts + 1], list.of[#list.of + 1] = start, recording
  end
  for _, recording in ipairs(recordings) do
    local length = math.min(sequence, recording.count)
    local last = recording.first + recording.count - length
    for start = recording.first, last, length do add(length, start, recording) end
    if (recording.count - length) % length ~= 0 then add(length, last, recording) end
  end
  return by_length, lengths
end

--- The numbers of a network's output, row by row, after a look that they are all there: one row of `names` outputs for
-- each of the frames f32 [B,T,3,H,W] that it was given.
function evaluate.outputs(output, frames, names)
  check.type(output, "tensor", "what the network returns")
  local shape, given = output.shape, frames.shape
  local n = given[1] * given[2] * #names
  if output:count() ~= n or shape[#shape] ~= #names then
    check.raise("shape", "the network's output is [%s] for frames [%s]; wanted is [%d,%d,%d]: "
      .. "a row of %d (%s) for every frame",
      table.concat(shape, ","), table.concat(given, ","), given[1], given[2], #names, #names, table.concat(names, ", "))
  end
  local values = ffi.new("double[?]", n)
  check.status(C.mien_tensor_read(output, values, n))
  return values
end

--- Copies a window's outputs to the frames that no earlier window has covered.
local function place(out, values, window, length, classes, start)
  local first = start - out.recording.first
  for t = math.max(0, out.covered - first), length - 1 do
    local row = out.rows
    for k = 1, classes do row[k][first + t + 1] = values[(window * length + t) * classes + k - 1] end
  end
  out.covered = math.max(out.covered, first + length)
end

--- Outputs of the model for all frames of the recordings: a list with one entry a recording, in their order,
-- each a list of one array per output. Batch norm follows the model (bn_test); the model stays in inference mode.
function evaluate.predict(options)
  check.keys(options, KEYS, "evaluate.predict")
  local model, corpus, recordings = options.model, options.corpus, options.recordings
  model:train(false)
  local outs = {}
  for _, recording in ipairs(recordings) do outs[recording] = { recording = recording, covered = 0, rows = {} } end
  local by_length, lengths = cover(recordings, options.sequence)
  for _, length in ipairs(lengths) do
    local list = by_length[length]
    local batches = loader.new {
      corpus = corpus, starts = list.starts, sequence = length, batch = options.batch or 4, size = options.size,
      resize = options.resize, scale = options.scale, workers = options.workers, keep_last = true,
      device = model.device,
    }
    local done = 0
    local ok, problem = pcall(function()
      for frames, labels in batches:batches() do
        labels:free()
        scope.run(require("mien.tensor.grad").no_grad, function()
          local values = evaluate.outputs(model(model:place(frames, true)), frames, corpus.label_names)
          local classes = #corpus.label_names
          for window = 0, frames:size(1) - 1 do
            done = done + 1
            local out = outs[list.of[done]]
            for k = #out.rows + 1, classes do out.rows[k] = {} end
            place(out, values, window, length, classes, list.starts[done])
          end
        end)
        if options.beat then options.beat() end
        interrupt.poll()
      end
    end)
    batches:close()
    if not ok then check.rethrow(problem) end
  end
  local result = {}
  for i, recording in ipairs(recordings) do result[i] = outs[recording].rows end
  return result
end

--- The labels of the recordings in the same form; a class corpus has one array of classes, from 1.
function evaluate.gold(corpus, recordings)
  local result = {}
  for i, recording in ipairs(recordings) do
    local labels = corpus:labels(recording.first, recording.count)
    local n = labels:count()
    local classes = n / recording.count
    local values = ffi.new("double[?]", math.max(n, 1))
    check.status(C.mien_tensor_read(labels, values, n))
    labels:free()
    local rows = {}
    for k = 1, classes do
      rows[k] = {}
      for t = 1, recording.count do rows[k][t] = values[(t - 1) * classes + k - 1] end
    end
    result[i] = rows
  end
  return result
end

--- One output of every recording: a list of arrays.
function evaluate.column(list, k)
  local column = {}
  for i = 1, #list do column[i] = list[i][k] end
  return column
end

-- ---- scores ------------------------------------------------------------------------------------

--- All frames as rows [N][K].
local function joined(list)
  local rows = {}
  for _, recording in ipairs(list) do
    for t = 1, #recording[1] do
      local row = {}
      for k = 1, #recording do row[k] = recording[k][t] end
      rows[#rows + 1] = row
    end
  end
  return rows
end

--- Whether a model said nothing (NaN) about a frame that has a gold value: leaving such frames out, as one may leave
-- out frames without gold, would score the others alone.
local function silent(predictions, gold)
  for r = 1, #gold do
    for t = 1, #gold[r] do
      if predictions[r][t] ~= predictions[r][t] and gold[r][t] == gold[r][t] then return true end
    end
  end
  return false
end

local kinds = {}

--- CCC per target over joined recordings and as their mean; the headline is the mean over targets.
function kinds.continuous(corpus, predictions, gold)
  local scores, metrics, sum, sum_own = {}, {}, 0, 0
  for k, name in ipairs(corpus.label_names) do
    local said, wanted = evaluate.column(predictions, k), evaluate.column(gold, k)
    local score = metric.recordings(said, wanted)
    if silent(said, wanted) then
      score.ccc, score.ccc_mean, score.pearson, score.rmse = 0 / 0, 0 / 0, 0 / 0, 0 / 0
    end
    scores[k] = { target = name, ccc = score.ccc, pcc = score.pearson, rmse = score.rmse,
      ccc_recordings = score.ccc_mean, frames = score.count }
    sum, sum_own = sum + score.ccc, sum_own + score.ccc_mean
    metrics["ccc_" .. name], metrics["ccc_recordings_" .. name] = score.ccc, score.ccc_mean
    metrics["pcc_" .. name], metrics["rmse_" .. name] = score.pearson, score.rmse
  end
  metrics.ccc, metrics.ccc_recordings = sum / #scores, sum_own / #scores
  return { scores = scores, metrics = metrics }
end

--- F1 of the answers (at or above 0 is yes) and average precision of the scores per class, with what the answers hit and
-- missed, beside the constant answer "the most frequent class": its F1 is 2p / (1 + p) for that class and 0 for others,
-- its average precision the share p. Answers, scores, truth: [N,K]; answers are the scores where several classes may hold.
local function class_table(corpus, answers, scores, truth)
  local f1, ap = metric.f1(answers, truth, { threshold = 0 }), metric.average_precision(scores, truth)
  local rows, n, majority = {}, #truth, 1
  for k, name in ipairs(corpus.label_names) do
    local hits = f1.hits[k]
    rows[k] = { class = name, class_order = k, positives = f1.support[k], frames = n, f1 = f1[k],
      average_precision = ap[k], baseline_f1 = 0, baseline_precision = f1.support[k] / n, true_positives = hits,
      false_positives = f1.chosen[k] - hits, false_negatives = f1.support[k] - hits,
      true_negatives = n - f1.chosen[k] - f1.support[k] + hits }
    if f1.support[k] > f1.support[majority] then majority = k end
  end
  local share = rows[majority].baseline_precision
  rows[majority].baseline_f1 = 2 * share / (1 + share)
  return rows, f1.macro, ap.macro
end

function kinds.multilabel(corpus, predictions, gold)
  local logits = joined(predictions)
  local classes, f1, ap = class_table(corpus, logits, logits, joined(gold))
  return { classes = classes, metrics = { f1 = f1, average_precision = ap } }
end

--- The class of a row of scores: the highest, the first of equals.
local function highest(row)
  local best = 1
  for k = 2, #row do if row[k] > row[best] then best = k end end
  return best
end

function kinds.class(corpus, predictions, gold)
  local logits, truth, one_hot, counts, most = joined(predictions), {}, {}, {}, 0
  for i, row in ipairs(joined(gold)) do
    truth[i], one_hot[i] = row[1], {}
    for k = 1, #corpus.label_names do one_hot[i][k] = row[1] == k and 1 or 0 end
    counts[row[1]] = (counts[row[1]] or 0) + 1
    most = math.max(most, counts[row[1]])
  end
  -- one answer per frame: the highest score says yes, the others no
  local answers = {}
  for i, row in ipairs(logits) do
    local best = highest(row)
    answers[i] = {}
    for k = 1, #row do answers[i][k] = k == best and 1 or -1 end
  end
  local classes, f1 = class_table(corpus, answers, logits, one_hot)
  return { classes = classes, metrics = { accuracy = metric.accuracy(logits, truth), f1 = f1,
    baseline_accuracy = most / #truth } }
end

--- Names of the metrics that `score` gives for a kind of labels with these names.
function evaluate.metrics(kind, names)
  if kind == "class" then return { "accuracy", "f1", "baseline_accuracy" } end
  if kind == "multilabel" then return { "f1", "average_precision" } end
  local list = { "ccc", "ccc_recordings" }
  for _, name in ipairs(names) do
    for _, of in ipairs { "ccc", "ccc_recordings", "pcc", "rmse" } do list[#list + 1] = of .. "_" .. name end
  end
  return list
end

--- Scores of predictions by the corpus's kind of labels: { metrics = { name = value }, scores = rows for the table
-- `score` (continuous), classes = rows for `class_score` (the others) }.
function evaluate.score(corpus, predictions, gold)
  return kinds[corpus.label_kind](corpus, predictions, gold)
end

--- Each recording's own scores of continuous targets, as rows for the table `recording_score`.
function evaluate.by_recording(corpus, recordings, predictions, gold)
  local rows = {}
  for r, recording in ipairs(recordings) do
    for k, name in ipairs(corpus.label_names) do
      local said, wanted = predictions[r][k], gold[r][k]
      local moments = metric.moments():add(said, wanted)
      local row = { position = r, recording = recording.name, subject = recording.subject, target = name,
        frames = (moments:count()) }
      if not silent({ said }, { wanted }) then
        row.ccc, row.pearson, row.rmse = moments:ccc(), moments:pearson(), moments:rmse()
      end
      rows[#rows + 1] = row
    end
  end
  return rows
end

--- How often each class of a class corpus was called each other, as rows for the table `confusion`.
function evaluate.confusion(corpus, predictions, gold)
  local names, counts, rows = corpus.label_names, {}, {}
  local truth = joined(gold)
  for i, row in ipairs(joined(predictions)) do
    local cell = (truth[i][1] - 1) * #names + highest(row)
    counts[cell] = (counts[cell] or 0) + 1
  end
  for is = 1, #names do
    for said = 1, #names do
      rows[#rows + 1] = { gold_order = is, gold = names[is], said_order = said, said = names[said],
        frames = counts[(is - 1) * #names + said] or 0 }
    end
  end
  return rows
end

return evaluate
