-- Raters: what agreement says from Lua, and how near the truth gold standards of generated raters come.
-- Not here: published tables and golden values (tests/c/test_affect_raters.c).
local mien = require "mien"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local golden = dofile(here .. "golden.lua")("agreement.txt")

local nan = 0 / 0
local N, RATE, MOST = 900, 10, 40 -- 90 s; lags to 4 s

local function says(pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(pattern), tostring(err) .. "\ndoes not say: " .. pattern)
end

--- Row `name` of the golden values, raters one after the other, as [n,R].
local function rows(name, raters)
  local values, n, list = golden[name], #golden[name] / raters, {}
  for t = 1, n do
    list[t] = {}
    for r = 1, raters do list[t][r] = values[(r - 1) * n + t] end
  end
  return list
end

--- A truth that moves within seconds, about 0.2 on either side of 0, and raters of it: { bias, scale, lag (frames; or a
-- function of time), noise (deviation; it lasts for a second or two) } each. Gives the truth (a list) and f64 [N,R].
local function generate(seed, raters)
  local draw = mien.rng.stream(seed, "truth")
  local waves = {}
  for i = 1, 6 do waves[i] = { 0.04 + 0.2 * draw:uniform(), 2 * math.pi * draw:uniform() } end
  local function truth(t)
    local sum = 0
    for _, w in ipairs(waves) do sum = sum + 0.1 * math.sin(2 * math.pi * w[1] * t / RATE + w[2]) end
    return sum
  end
  local traces, list = mien.zeros({ N, #raters }, { dtype = "f64" }), {}
  for t = 1, N do list[t] = truth(t) end
  for r, rater in ipairs(raters) do
    local own, noise = mien.rng.stream(seed, "rater/" .. r), 0
    for t = 1, N do
      noise = 0.93 * noise + math.sqrt(1 - 0.93 ^ 2) * own:normal()
      local lag = type(rater.lag) == "number" and rater.lag or rater.lag(t)
      traces:data()[(t - 1) * #raters + r - 1] = rater.bias + rater.scale * truth(t - lag) + rater.noise * noise
    end
  end
  return list, traces
end

--- Six people of good will who differ, and one who says the opposite of what he sees, loudly.
local crowd = {
  { bias = 0.05, scale = 1.0, lag = 0, noise = 0.05 }, { bias = -0.1, scale = 0.8, lag = 8, noise = 0.06 },
  { bias = 0.15, scale = 1.2, lag = 14, noise = 0.06 }, { bias = 0, scale = 0.9, lag = 20, noise = 0.06 },
  { bias = -0.05, scale = 1.1, lag = 4, noise = 0.05 }, { bias = 0.1, scale = 0.7, lag = 28, noise = 0.05 },
  { bias = 0, scale = -1.5, lag = 12, noise = 0.05 },
}
local honest = { unpack(crowd, 1, 6) }

--- Three whose attention comes and goes: each is up to 2 s late, at other times than the others.
local tired = {}
for r = 1, 3 do
  tired[r] = { bias = 0.1 * (r - 2), scale = 0.6 + 0.2 * r, noise = 0.02,
    lag = function(t) return 10 + 10 * math.sin(t / 60 + 2 * r) end }
end

--- CCC with the truth of a gold standard, at the delay (frames) at which it is best: what raters have in common, they
-- cannot tell us.
local function score(truth, gold)
  local values, best = gold:totable(), -1
  for delay = 0, MOST do
    best = math.max(best, mien.metric.ccc({ unpack(values, 1 + delay) }, { unpack(truth, 1, N - delay) }))
  end
  return best
end

--- The smallest gain in CCC of one gold standard over another, over ten seeds.
local function gain(raters, better, worse)
  local least = math.huge
  for seed = 1, 10 do
    local truth, traces = generate(seed, raters)
    local a, b = score(truth, (mien.data.gold(traces, better))), score(truth, (mien.data.gold(traces, worse)))
    least = math.min(least, a - b)
    traces:free()
  end
  return least
end

describe("agreement", function()
  it("gives all coefficients of traces with gaps, and each by its name", function()
    local traces = rows("traces", 4)
    local all = mien.agreement.summary(traces)
    assert.is_near(golden.traces_ccc[1], all.ccc, 1e-12)
    assert.is_near(golden.traces_pearson[1], all.pearson, 1e-12)
    assert.is_near(golden.traces_cronbach[1], all.cronbach_alpha, 1e-12)
    for i, kind in ipairs { "1,1", "2,1", "3,1", "1,k", "2,k", "3,k" } do
      assert.is_near(golden.traces_icc[i], all.icc[kind], 1e-12)
      assert.equal(all.icc[kind], mien.agreement.icc(traces, kind))
    end
    assert.is_near(golden.fine_interval[1], all.krippendorff_alpha, 1e-12)
    assert.are.same({ 4, 46, 14, 0 }, { all.raters, all.times, all.missing, all.undefined })
    assert.equal(all.ccc, mien.agreement.ccc(traces))
    assert.equal(all.pearson, mien.agreement.pearson(mien.tensor(traces, { dtype = "f64" })))
    assert.equal(all.cronbach_alpha, mien.agreement.cronbach_alpha(traces))
    assert.equal(all.icc["2,k"], mien.agreement.icc(traces))
  end)

  it("gives Krippendorff's alpha on three scales", function()
    for _, scale in ipairs(mien.agreement.scales) do
      assert.is_near(golden["missing_" .. scale][1], mien.agreement.krippendorff_alpha(rows("missing", 4), scale), 1e-12)
    end
    says("did you mean \"interval\"", function() mien.agreement.krippendorff_alpha(rows("missing", 4), "intervall") end)
  end)

  it("of one rater is refused, of two constant ones undefined", function()
    says("1 raters over 3 times", mien.agreement.summary, { { 1 }, { 2 }, { 3 } })
    local all = mien.agreement.summary { { 1, 2 }, { 1, 2 }, { 1, 2 } }
    assert.are.same({ 0, 0, 1 }, { all.ccc, all.pearson, all.undefined })
    assert.is_true(all.cronbach_alpha ~= all.cronbach_alpha)
    says("2,k", mien.agreement.icc, { { 1, 2 } }, "2")
  end)
end)

describe("lags of raters", function()
  it("are found within 2 frames of their own, also where somebody says the opposite", function()
    for seed = 1, 10 do
      for _, raters in ipairs { honest, crowd } do
        local _, traces = generate(seed, raters)
        local lags = mien.data.rater_lags(traces, { most = MOST })
        for r, rater in ipairs(honest) do -- the second is late by 8
          assert.is_true(math.abs(lags[r] - lags[2] - (rater.lag - 8)) <= 2,
            ("seed %d, %d raters, rater %d: %d"):format(seed, #raters, r, lags[r] - lags[2]))
        end
      end
    end
  end)

  it("of a rater may be one over several recordings, or measured against what is known", function()
    local recordings, truths = {}, {}
    for seed = 1, 3 do truths[seed], recordings[seed] = generate(seed, honest) end
    local lags = mien.data.rater_lags(recordings, { most = MOST })
    -- the middle of 0 4 8 14 20 28 is 8, the lower of two
    for r, rater in ipairs(honest) do assert.is_true(math.abs(lags[r] - (rater.lag - 8)) <= 1) end
    lags = mien.data.rater_lags(recordings[1], { most = MOST, reference = truths[1] })
    for r, rater in ipairs(honest) do assert.is_true(math.abs(lags[r] - rater.lag) <= 2) end
    local moved = mien.data.compensate_lags(recordings[1], lags)
    assert.equal(recordings[1]:at(51, 6), moved:at(51 - lags[6], 6))
  end)

  it("say what cannot be used", function()
    local _, traces = generate(1, honest)
    says("recording 1 has 900 frames; lags to 450", mien.data.rater_lags, traces, { most = 450 })
    says("3 lags for 6 raters", mien.data.compensate_lags, traces, { 1, 2, 3 })
    says("lag 1 is 0.5", mien.data.compensate_lags, { { 1 }, { 2 } }, { 0.5 })
    says("reference has 2 values", mien.data.rater_lags, traces, { most = 5, reference = { 1, 2 } })
    says("recording 2 has 2 raters", mien.data.rater_lags, { traces, { { 1, 2 }, { 2, 3 } } }, { most = 5 })
  end)
end)

describe("gold standards of generated raters", function()
  it("come nearer to the truth than the plain mean, by these margins in CCC over ten seeds", function()
    local plain = { kind = "mean" }
    for _, case in ipairs {
      { "lags taken out", honest, { kind = "mean", lag = MOST }, plain, 0.06 },
      { "warped", tired, { kind = "mean", band = 10 }, plain, 0.015 },
      { "the median, with an adversary", crowd, { kind = "median" }, plain, 0.02 },
      { "EWE, with an adversary", crowd, { kind = "ewe_others" }, plain, 0.3 },
      { "EWE and lags, with an adversary", crowd, { kind = "ewe_others", lag = MOST }, plain, 0.3 },
    } do
      local least = gain(case[2], case[3], case[4])
      assert.is_true(least >= case[5], ("%s: %.3f"):format(case[1], least))
    end
  end)

  it("take lags that are known, and say which were taken out", function()
    local _, traces = generate(1, honest)
    local found = mien.data.rater_lags(traces, { most = MOST })
    local a, _, lags = mien.data.gold(traces, { kind = "mean", lag = MOST })
    local b = mien.data.gold(traces, { kind = "mean", lag = { unpack(found) } })
    assert.are.same(a:totable(), b:totable())
    assert.are.same({ unpack(found) }, { unpack(lags) })
    assert.is_nil(select(3, mien.data.gold(traces)))
  end)

  it("of one rater are that rater; of a gap there is none", function()
    local one = mien.tensor({ { 1 }, { 3 }, { 2 }, { 5 } }, { dtype = "f64" })
    for _, kind in ipairs { "ccc_centred", "mean", "median", "ewe_all", "ewe_others" } do
      assert.are.same({ 1, 3, 2, 5 }, mien.data.gold(one, { kind = kind, lag = 1, band = 1 }):totable())
    end
    says("rater 2 has no value at time 1", mien.data.gold, mien.tensor({ { 1, nan }, { 3, 1 } }, { dtype = "f64" }),
      { kind = "median" })
    says("kind", mien.data.gold, one, { kind = "medan" })
  end)
end)
