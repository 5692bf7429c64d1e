-- Runs a model over whole partitions and scores what it says, recording by recording.
-- Not here: post-processing (post/), what is stored (experiment/score.lua).
local check = require "mien.base.check"
local doubles = require "mien.base.doubles"
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
  return (doubles.from(output))
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
    local values, n = doubles.from(labels)
    local classes = n / recording.count
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

--- One output of all recordings, joined: doubles [N], and N.
local function joined(list, k)
  local n, at = 0, 0
  for _, recording in ipairs(list) do n = n + #recording[k] end
  local buffer = doubles.new(n)
  for _, recording in ipairs(list) do
    local row = recording[k]
    for t = 1, #row do
      buffer[at] = row[t]
      at = at + 1
    end
  end
  return buffer, n
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

--- Mean of the defined ones of a list of figures; NaN without any.
local function mean_of(list)
  local sum, n = 0, 0
  for k = 1, #list do
    if list[k] == list[k] then sum, n = sum + list[k], n + 1 end
  end
  return n > 0 and sum / n or 0 / 0
end

--- F1 of the answers (at or above 0 is yes) and average precision of the scores per class, with what the answers hit and
-- missed, beside the constant answer "the most frequent class": its F1 is 2p / (1 + p) for that class and 0 for others,
-- its average precision the share p. of(k) gives answers, scores and truth of a class, doubles [n]: one class at a time is
-- in memory, as there may be a thousand.
local function class_table(corpus, n, of)
  local rows, f1s, aps, majority = {}, {}, {}, 1
  for k, name in ipairs(corpus.label_names) do
    local answers, scores, truth = of(k)
    local f1, ap = metric.f1(answers, truth, { threshold = 0 }), metric.average_precision(scores, truth)
    local hits, chosen, positives = f1.hits[1], f1.chosen[1], f1.support[1]
    f1s[k], aps[k] = f1[1], ap[1]
    rows[k] = { class = name, class_order = k, positives = positives, frames = n, f1 = f1[1],
      average_precision = ap[1], baseline_f1 = 0, baseline_precision = positives / n, true_positives = hits,
      false_positives = chosen - hits, false_negatives = positives - hits,
      true_negatives = n - chosen - positives + hits }
    if positives > rows[majority].positives then majority = k end
  end
  local share = rows[majority].baseline_precision
  rows[majority].baseline_f1 = 2 * share / (1 + share)
  return rows, mean_of(f1s), mean_of(aps)
end

function kinds.multilabel(corpus, predictions, gold)
  local _, n = joined(gold, 1)
  local classes, f1, ap = class_table(corpus, n, function(k)
    local logits = joined(predictions, k)
    return logits, logits, (joined(gold, k))
  end)
  return { classes = classes, metrics = { f1 = f1, average_precision = ap } }
end

--- The class of each frame: the one of the highest score, the first of equals. Doubles [N].
local function answers_of(predictions)
  local _, n = joined(predictions, 1)
  local said, at = doubles.new(n), 0
  for _, recording in ipairs(predictions) do
    for t = 1, #recording[1] do
      local best = 1
      for k = 2, #recording do if recording[k][t] > recording[best][t] then best = k end end
      said[at] = best
      at = at + 1
    end
  end
  return said, n
end

function kinds.class(corpus, predictions, gold)
  local said, n = answers_of(predictions)
  local truth = joined(gold, 1)
  local classes, f1 = class_table(corpus, n, function(k)
    -- one answer per frame: the highest score says yes, the others no
    local yes, is = doubles.new(n), doubles.new(n)
    for i = 0, n - 1 do
      yes[i], is[i] = said[i] == k and 1 or -1, truth[i] == k and 1 or 0
    end
    return yes, (joined(predictions, k)), is
  end)
  local right, most = 0, 0
  for _, row in ipairs(classes) do right, most = right + row.true_positives, math.max(most, row.positives) end
  return { classes = classes, metrics = { accuracy = right / n, f1 = f1, baseline_accuracy = most / n } }
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
  local answers, n = answers_of(predictions)
  local truth = joined(gold, 1)
  for i = 0, n - 1 do
    local cell = (truth[i] - 1) * #names + answers[i]
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
