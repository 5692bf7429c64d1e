-- Scores: against golden values, on every kind of input, and where they are undefined.
-- Not here: the kernels' own tests (tests/c/test_affect_agreement.c).
local ffi = require "ffi"
local metric = require "mien.affect.metric"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local golden = dofile(here .. "golden.lua")("affect.txt")

local function close(want, got)
  assert.is_true(math.abs(want - got) < 1e-12, ("%.17g is not %.17g"):format(got, want))
end

local function is_nan(x) assert.is_true(x ~= x, tostring(x) .. " should be NaN") end

describe("metric", function()
  it("gives CCC, Pearson and RMSE as defined", function()
    close(golden.ccc[1], metric.ccc(golden.x, golden.y))
    close(golden.pearson[1], metric.pearson(golden.x, golden.y))
    close(golden.rmse[1], metric.rmse(golden.x, golden.y))
  end)

  it("takes lists, tensors of any shape and double pointers alike", function()
    local n = #golden.x
    local x, y = ffi.new("double[?]", n, golden.x), ffi.new("double[?]", n, golden.y)
    close(golden.ccc[1], metric.ccc(x, y))
    close(golden.ccc[1], metric.ccc(x + 0, y + 0, n))
    local tensor = require "mien.tensor"
    close(golden.ccc[1], metric.ccc(tensor(golden.x, { dtype = "f64" }), golden.y))
    close(golden.ccc[1], metric.ccc(tensor(golden.x, { dtype = "f64" }):reshape { 2, n / 2 }, y))
    assert.has_error(function() metric.ccc(x + 0, y) end)
    assert.has_error(function() metric.ccc({ 1, "2" }, { 1, 2 }) end)
  end)

  it("streams: adding in pieces and merging change nothing", function()
    local m, other = metric.moments(), metric.moments()
    for i = 1, #golden.x do
      local target = i % 3 == 0 and other or m
      target:add({ golden.x[i] }, { golden.y[i] })
    end
    close(golden.ccc[1], m:merge(other):ccc())
    assert.equal(#golden.x, (m:count()))
  end)

  it("leaves pairs with a NaN out and counts them", function()
    local m = metric.moments():add({ 1, 0 / 0, 3 }, { 1, 2, 3 })
    assert.same({ 2, 1 }, { m:count() })
    close(1, m:ccc())
    is_nan(metric.ccc({ 2, 2 }, { 2, 2 }))
    is_nan(metric.pearson({ 2, 2 }, { 1, 2 }))
  end)

  it("says which lengths do not fit", function()
    local ok, err = pcall(metric.ccc, { 1, 2 }, { 1 })
    assert.is_false(ok)
    assert.truthy(tostring(err):find("2 predictions meet 1 values", 1, true))
  end)

  it("scores recordings joined, and each of its own", function()
    local gold = { { 1, 2, 3 }, { 5, 5, 5 }, { 1, 2, 3 } }
    local scores = metric.recordings({ { 1, 2, 3 }, { 5, 5, 5 }, { 0, 1, 2 } }, gold)
    close(1, scores.per_recording[1])
    is_nan(scores.per_recording[2])
    close((1 + scores.per_recording[3]) / 2, scores.ccc_mean)
    close(metric.ccc({ 1, 2, 3, 5, 5, 5, 0, 1, 2 }, { 1, 2, 3, 5, 5, 5, 1, 2, 3 }), scores.ccc)
  end)

  it("gives F1 per class, and NaN for a class that nobody speaks of", function()
    --                   hits, false alarms, misses per class: 1,1,1  0,0,2  none
    local scores = { { 0.9, 0.1, 0 }, { 0.8, 0.2, 0 }, { 0.1, 0.3, 0 } }
    local truth = { { 1, 1, 0 }, { 0, 1, 0 }, { 1, 0, 0 } }
    local f1 = metric.f1(scores, truth)
    close(0.5, f1[1])
    close(0, f1[2])
    is_nan(f1[3])
    close(0.25, f1.macro)
    assert.same({ 2, 2, 0 }, f1.support)
    close(1, metric.f1(scores, truth, { threshold = { 0.1, 0.1, 0.5 } }).recall[1])
    assert.has_error(function() metric.f1(scores, truth, { treshold = 1 }) end)
  end)

  it("gives average precision with equal scores sharing a rank", function()
    local ap = metric.average_precision(golden.score, golden.truth)
    close(golden.average_precision[1], ap[1])
    local columns, truth = {}, {}
    for i, s in ipairs(golden.score) do
      columns[i], truth[i] = { s, 0.5 }, { golden.truth[i], i == 1 and 1 or 0 }
    end
    ap = metric.average_precision(columns, truth)
    close(golden.average_precision[1], ap[1])
    close(1 / #truth, ap[2]) -- all scores equal: the share of positives
    close((ap[1] + ap[2]) / 2, ap.macro)
  end)

  it("gives accuracy of scores or of classes", function()
    close(2 / 3, metric.accuracy({ { 1, 5, 2 }, { 3, 1, 3 }, { 0, 0, 1 } }, { 2, 1, 1 }))
    close(0.5, metric.accuracy({ 2, 1 }, { 2, 3 }))
  end)

  it("measures annotators: kappa, winner takes all", function()
    local votes = {}
    for i = 1, #golden.counts, 4 do votes[#votes + 1] = { unpack(golden.counts, i, i + 3) } end
    close(golden.kappa[1], metric.fleiss_kappa(votes))
    local winner, ties = metric.most_voted { { 0, 3, 1 }, { 2, 2, 0 }, { 0, 0, 0 } }
    assert.same({ 2, 1, 0 }, winner)
    assert.same({ 1, 2, 0 }, ties)
    local ok, err = pcall(metric.fleiss_kappa, { { 2, 0 }, { 1, 0 } })
    assert.is_false(ok)
    assert.truthy(tostring(err):find("item 2 has 1 votes", 1, true))
  end)
end)
