-- Scores of classes from made-up answers whose figures are worked out by hand.
-- Not here: the metrics themselves (metric_spec.lua), how they reach results.db (experiment_results_spec.lua).
local evaluate = require "mien.train.evaluate"

local function near(wanted, got, what)
  assert.is_true(got ~= nil and math.abs(wanted - got) < 1e-12, ("%s: wanted %s, got %s"):format(what, wanted, tostring(got)))
end

local function is(row, wanted)
  for key, value in pairs(wanted) do near(value, row[key], row.class .. ", " .. key) end
end

describe("the scores of classes", function()
  it("take each score of several labels for an answer", function()
    local got = evaluate.score({ label_kind = "multilabel", label_names = { "a", "b" } },
      { { { 2, -1, 1, -2 }, { -1, -1, 3, 1 } } }, { { { 1, 0, 0, 1 }, { 0, 0, 1, 1 } } })
    near(0.75, got.metrics.f1, "f1")
    near(0.875, got.metrics.average_precision, "average precision")
    is(got.classes[1], { positives = 2, frames = 4, f1 = 0.5, average_precision = 0.75, baseline_f1 = 2 / 3,
      baseline_precision = 0.5, true_positives = 1, false_positives = 1, false_negatives = 1, true_negatives = 1 })
    is(got.classes[2], { positives = 2, frames = 4, f1 = 1, average_precision = 1, baseline_f1 = 0,
      baseline_precision = 0.5, true_positives = 2, false_positives = 0, false_negatives = 0, true_negatives = 2 })
  end)

  it("take the highest score of one class for the answer, and all scores for the average precision", function()
    local got = evaluate.score({ label_kind = "class", label_names = { "a", "b" } },
      { { { 3, 1, 0 }, { 1, 2, -1 } } }, { { { 1, 2, 2 } } })
    near(2 / 3, got.metrics.accuracy, "accuracy")
    near(2 / 3, got.metrics.f1, "f1")
    is(got.classes[1], { positives = 1, frames = 3, f1 = 2 / 3, average_precision = 1, true_positives = 1,
      false_positives = 1, false_negatives = 0, true_negatives = 1 })
    is(got.classes[2], { positives = 2, frames = 3, f1 = 2 / 3, average_precision = 5 / 6, true_positives = 1,
      false_positives = 0, false_negatives = 1, true_negatives = 1 })
  end)

  it("need no table of all frames and classes beside the predictions", function()
    local frames, classes, names = 4000, 50, {}
    local predictions, gold = { {} }, { { {} } }
    for k = 1, classes do
      names[k], predictions[1][k] = "c" .. k, {}
      for t = 1, frames do predictions[1][k][t] = (t * 7919 + k * 104729) % 1000 end
    end
    for t = 1, frames do gold[1][1][t] = t % classes + 1 end
    local corpus = { label_kind = "class", label_names = names }
    collectgarbage()
    collectgarbage "stop"
    local before = collectgarbage "count"
    local got = evaluate.score(corpus, predictions, gold)
    local most = 0
    for _, row in ipairs(evaluate.confusion(corpus, predictions, gold)) do most = most + row.frames end
    local made = (collectgarbage "count" - before) * 1024
    collectgarbage "restart"
    assert.are.equal(frames, most)
    assert.are.equal(classes, #got.classes)
    -- what was made in all, most of it one class after the other: three columns and two copies of them a class
    assert.is_true(made < 8 * frames * classes * 8, ("%.1f bytes a score"):format(made / frames / classes))
  end)
end)
