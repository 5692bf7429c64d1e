-- Scores of predictions: CCC, Pearson, RMSE; F1, average precision, accuracy; annotators' agreement.
-- Not here: the losses that are trained on (loss.lua), chance and confidence (stats.lua).
--
-- All take Lua arrays, tensors or double pointers (with a count). Moments are 1/n; pairs with a NaN are left
-- out. An undefined score is NaN, and shows as such.
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local doubles = require "mien.base.doubles"
local index = require "mien.base.index"

local metric = {}

local nan = 0 / 0
local int_array = ffi.typeof "int32_t[?]"

-- ---- continuous ------------------------------------------------------------------------------------------

local moments = {}

--- Adds pairs; n only for double pointers. Returns the object, so that calls chain.
function moments:add(pred, gold, n)
  local x, y, count = doubles.pair(pred, gold, n, "metric.moments")
  C.mien_moments_add(self, x, y, count)
  return self
end

--- Adds what another object has seen.
function moments:merge(other)
  C.mien_moments_merge(self, other)
  return self
end

function moments:ccc() return C.mien_moments_ccc(self) end
function moments:pearson() return C.mien_moments_pearson(self) end
function moments:rmse() return C.mien_moments_rmse(self) end
--- Pairs used, and pairs left out for a NaN.
function moments:count() return tonumber(self.n), tonumber(self.skipped) end

local new_moments = ffi.metatype("mien_moments", { __index = moments })

--- Streaming moments of pairs: `m:add(pred, gold)` as often as needed, then `m:ccc()`, `m:pearson()` ...
function metric.moments()
  return new_moments()
end

--- Concordance correlation coefficient (Lin 1989) over all pairs.
function metric.ccc(pred, gold, n)
  return new_moments():add(pred, gold, n):ccc()
end

--- Pearson's correlation over all pairs.
function metric.pearson(pred, gold, n)
  return new_moments():add(pred, gold, n):pearson()
end

--- Root of the mean squared error over all pairs.
function metric.rmse(pred, gold, n)
  return new_moments():add(pred, gold, n):rmse()
end

--- Scores over recordings: { ccc, pearson, rmse } of all frames joined (the AVEC convention), `ccc_mean` the
-- mean of the recordings' own CCCs that are defined, `per_recording` their list, `count` pairs.
-- predictions, gold: lists with one entry a recording.
function metric.recordings(predictions, gold)
  check.type(predictions, "table", "metric.recordings: predictions")
  check.type(gold, "table", "metric.recordings: gold")
  if #predictions ~= #gold then
    check.raise("shape", "metric.recordings: predictions of %d recordings meet gold standards of %d",
      #predictions, #gold)
  end
  local all, own, sum, defined = new_moments(), {}, 0, 0
  for i = 1, #gold do
    local one = new_moments():add(predictions[i], gold[i])
    all:merge(one)
    own[i] = one:ccc()
    if own[i] == own[i] then sum, defined = sum + own[i], defined + 1 end
  end
  return {
    ccc = all:ccc(), pearson = all:pearson(), rmse = all:rmse(), count = (all:count()),
    ccc_mean = defined > 0 and sum / defined or nan, per_recording = own,
  }
end

-- ---- classes ---------------------------------------------------------------------------------------------

--- Scores and truth of the same shape as [rows, classes].
local function score_table(scores, truth, what)
  local s, rows, classes = doubles.matrix(scores, what .. ": scores")
  local t, truth_rows, truth_classes = doubles.matrix(truth, what .. ": truth")
  if rows ~= truth_rows or classes ~= truth_classes then
    check.raise("shape", "%s: scores are [%d,%d] but the truth is [%d,%d]", what, rows, classes, truth_rows,
      truth_classes)
  end
  return s, t, rows, classes
end

--- Mean of the defined entries of a list; NaN without any.
local function macro(list)
  local sum, n = 0, 0
  for _, value in ipairs(list) do
    if value == value then sum, n = sum + value, n + 1 end
  end
  return n > 0 and sum / n or nan
end

--- F1 per class: { f1_1, ..., macro =, precision = {}, recall = {}, support = {} (positives), hits = {} (true
-- positives), chosen = {} (answers of yes) }.
-- scores, truth: [N,K]; a score at or above `threshold` (0.5; a list for one per class; 0 for logits) counts
-- as yes. NaN for a class that is neither there nor predicted; the macro mean leaves it out.
function metric.f1(scores, truth, options)
  options = check.keys(options or {}, { threshold = "number|table" }, "metric.f1")
  local s, t, rows, classes = score_table(scores, truth, "metric.f1")
  local out = { precision = {}, recall = {}, support = {}, hits = {}, chosen = {} }
  for k = 1, classes do
    local threshold = options.threshold or 0.5
    if type(threshold) == "table" then threshold = threshold[k] end
    local hits, chosen, there = 0, 0, 0
    for i = k - 1, rows * classes - 1, classes do
      local yes, is = s[i] >= threshold, t[i] > 0.5
      if yes then chosen = chosen + 1 end
      if is then there = there + 1 end
      if yes and is then hits = hits + 1 end
    end
    out[k] = 2 * hits / (chosen + there)
    out.precision[k], out.recall[k], out.support[k] = hits / chosen, hits / there, there
    out.hits[k], out.chosen[k] = hits, chosen
  end
  out.macro = macro(out)
  return out
end

--- Average precision per class: { ap_1, ..., macro = }; equal scores share a rank, NaN without positives.
-- scores, truth: [N,K].
function metric.average_precision(scores, truth)
  local s, t, rows, classes = score_table(scores, truth, "metric.average_precision")
  local column, positive, out = doubles.new(rows), doubles.new(rows), {}
  for k = 1, classes do
    for i = 0, rows - 1 do column[i], positive[i] = s[i * classes + k - 1], t[i * classes + k - 1] end
    out[k] = C.mien_average_precision(column, positive, rows)
  end
  out.macro = macro(out)
  return out
end

--- Share of rows whose highest score (the first of equals) is the true class.
-- scores: [N,K], or [N] predicted classes; truth: N classes, the first of which is 1.
function metric.accuracy(scores, truth)
  local s, rows, classes = doubles.matrix(scores, "metric.accuracy: scores")
  local t, n = doubles.from(truth, nil, "metric.accuracy: truth")
  if rows ~= n then
    check.raise("shape", "metric.accuracy: %d rows of scores meet %d true classes", rows, n)
  end
  local most = classes > 1 and classes or math.huge
  local right = 0
  for i = 0, rows - 1 do
    if t[i] < 1 or t[i] > most then
      check.raise("argument", "metric.accuracy: class %g in row %d is not one of 1 to %g; classes begin at 1", t[i],
        i + 1, most)
    end
    local best = 1
    for k = 2, classes do
      if s[i * classes + k - 1] > s[i * classes + best - 1] then best = k end
    end
    if (classes == 1 and s[i] or best) == t[i] then right = right + 1 end
  end
  return right / rows
end

-- ---- annotators ------------------------------------------------------------------------------------------

--- Fleiss' kappa of votes [items, categories]; every item needs the same number of votes.
function metric.fleiss_kappa(votes)
  local counts, rows, categories = doubles.matrix(votes, "metric.fleiss_kappa")
  local kappa = ffi.new "double[1]"
  check.status(C.mien_fleiss_kappa(counts, rows, categories, kappa))
  return kappa[0]
end

--- The most voted category of each item (0 without votes), and how many share that place.
-- votes: [items, categories]; of equals the first wins. Returns two Lua arrays. data.winner_takes_all makes labels.
function metric.most_voted(votes)
  local counts, rows, categories = doubles.matrix(votes, "metric.most_voted")
  local winner, ties = int_array(math.max(rows, 1)), int_array(math.max(rows, 1))
  check.status(C.mien_winner_takes_all(counts, rows, categories, winner, ties))
  index.classes_from_c(winner, rows)
  return doubles.list(winner, rows), doubles.list(ties, rows)
end

return metric
