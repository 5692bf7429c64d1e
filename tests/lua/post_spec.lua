-- The post-processing chain: its invariants, its choices, and what survives a file.
-- Not here: the search kernels (tests/c/test_affect_post.c).
local ffi = require "ffi"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local golden = dofile(here .. "golden.lua")
local metric = require "mien.affect.metric"
local post = require "mien.affect.post"
local rng = require "mien.tensor.rng"

local FPS = 25

--- Recordings of a slow signal (gold), and predictions that come early, squeezed, off centre and noisy.
local function corpus(seed, recordings, frames, early, noise)
  local source, gold, predictions = rng.stream(seed, "post"), {}, {}
  for r = 1, recordings do
    local signal, level, slope = {}, 0, 0
    for t = 1, frames + early do
      slope = 0.98 * slope + 0.02 * source:normal()
      level = 0.995 * level + slope
      signal[t] = 0.3 * level
    end
    gold[r], predictions[r] = {}, {}
    for t = 1, frames do
      gold[r][t] = signal[t]
      predictions[r][t] = 0.4 * signal[t + early] + 0.3 + noise * source:normal()
    end
  end
  return predictions, gold
end

local function fit(predictions, gold, more)
  local options = { fps = FPS, max_median = 2, max_shift = 3 }
  for k, v in pairs(more or {}) do options[k] = v end
  return post.fit(predictions, gold, options)
end

local function by_name(chain)
  local out = {}
  for _, s in ipairs(chain.steps) do out[s.step] = s end
  return out
end

describe("post", function()
  it("repairs bias, scale, noise and delay, each step gaining", function()
    local predictions, gold = corpus(1, 4, 600, 20, 0.15)
    local chain = fit(predictions, gold)
    local s = by_name(chain)
    for _, name in ipairs(post.steps) do assert.is_true(s[name].kept, name) end
    assert.is_true(math.abs(s.shift.value - 20) <= 4, "shift " .. s.shift.value)
    assert.is_true(s.median.value > 1 and s.median.value % 2 == 1)
    assert.is_true(chain.ccc_after > chain.ccc_before + 0.2)
    local joined = metric.recordings(chain:apply(predictions), gold)
    assert.equal(chain.ccc_after, joined.ccc)
    assert.truthy(tostring(chain):find("shift   kept", 1, true))
  end)

  it("centred and scaled, CCC equals Pearson's correlation", function()
    local predictions, gold = corpus(2, 3, 300, 5, 0.3)
    local chain = fit(predictions, gold, { steps = { "centre", "scale" } })
    local scores = metric.recordings(chain:apply(predictions), gold)
    assert.is_true(math.abs(scores.ccc - scores.pearson) < 1e-12)
    assert.is_true(math.abs(scores.pearson - metric.recordings(predictions, gold).pearson) < 1e-12)
  end)

  it("never lowers CCC on the side where it was fitted", function()
    for seed = 1, 12 do
      local predictions, gold = corpus(seed, 2, 120, seed % 4, 0.05 * seed)
      if seed % 3 == 0 then predictions, gold = gold, predictions end
      local chain = fit(predictions, gold)
      local last = chain.ccc_before
      for _, s in ipairs(chain.steps) do
        assert.equal(last, s.ccc_before)
        assert.equal(s.kept, s.ccc_after > s.ccc_before)
        if s.kept then last = s.ccc_after end
      end
      assert.equal(last, chain.ccc_after)
      assert.is_true(chain.ccc_after >= chain.ccc_before)
    end
  end)

  it("leaves perfect predictions alone", function()
    local _, gold = corpus(3, 3, 200, 0, 0)
    local chain = fit(gold, gold)
    for _, s in ipairs(chain.steps) do assert.is_false(s.kept, s.step) end
    assert.same(gold, chain:apply(gold))
    assert.equal(1, chain.ccc_after)
  end)

  it("takes the smaller of equal candidates", function()
    -- A flat beginning: any shift up to 3 gives the same values, and so does any window.
    local gold = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 } }
    local chain = fit({ { 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 } }, gold, { steps = { "shift" } })
    assert.equal(0, chain.steps[1].value)
    chain = fit({ { 2, 2, 2, 2, 2 } }, { { 1, 2, 3, 4, 5 } })
    assert.equal(1, chain.steps[1].value)
    assert.is_false(chain.steps[1].kept)
    assert.is_nil(chain.steps[3].value) -- constant predictions have no scale
  end)

  it("never crosses recordings", function()
    local predictions, gold = corpus(4, 3, 200, 10, 0.2)
    local chain = fit(predictions, gold)
    local together = chain:apply(predictions)
    for r = 1, 3 do assert.same(together[r], chain:apply({ predictions[r] })[1]) end
    predictions[1][200] = 1000 -- the last frame of the first recording
    assert.same(together[2], chain:apply(predictions)[2])
  end)

  it("gives the same chain for tensors and double pointers", function()
    local tensor = require "mien.tensor"
    local predictions, gold = corpus(5, 2, 150, 5, 0.1)
    local want = fit(predictions, gold):totable()
    local pointers, tensors, lengths = {}, {}, { 150, 150 }
    for r = 1, 2 do
      pointers[r] = ffi.new("double[?]", 150, predictions[r])
      tensors[r] = tensor(predictions[r], { dtype = "f64" })
    end
    assert.same(want, fit(pointers, gold, { lengths = lengths }):totable())
    local chain = fit(tensors, gold)
    assert.same(want, chain:totable())
    assert.same(chain:apply(predictions)[2], chain:apply(tensors)[2]:totable())
    assert.equal(chain:apply(predictions)[1][77], chain:apply(pointers, lengths)[1][76])
    assert.equal(predictions[1][1], pointers[1][0])
  end)

  it("survives a file", function()
    local predictions, gold = corpus(6, 2, 150, 5, 0.1)
    local chain = fit(predictions, gold)
    local json = require "cjson"
    json.encode_number_precision(14)
    local again = post.from_table(json.decode(json.encode(chain:totable())))
    local a, b = chain:apply(predictions), again:apply(predictions)
    for t = 1, 150 do assert.is_true(math.abs(a[2][t] - b[2][t]) < 1e-10) end
    assert.equal(tostring(chain), tostring(again))
    local misspelt = { steps = { { step = "medain", kept = true, value = 3 } } }
    assert.has_error(function() post.from_table(misspelt) end)
  end)

  it("stores every candidate's score", function()
    local predictions, gold = corpus(7, 2, 150, 5, 0.1)
    local s = by_name(fit(predictions, gold))
    assert.equal(26, #s.median.trials) -- 1, 3, ... 51 frames
    assert.equal(76, #s.shift.trials)  -- 0 ... 75 frames
    assert.equal(1, #s.centre.trials)
    local best = 0
    for _, trial in ipairs(s.median.trials) do best = math.max(best, trial[2]) end
    assert.equal(best, s.median.ccc_after)
    assert.same({ 51, 75 }, { s.median.trials[26][1], s.shift.trials[76][1] })
  end)

  it("covers windows to 20 s and shifts to 10 s by default", function()
    local chain = post.fit({ { 1, 2, 3 } }, { { 1, 2, 2 } })
    assert.equal(501, chain.steps[1].trials[251][1])
    assert.equal(250, chain.steps[4].trials[251][1])
  end)

  it("joint search is never worse than greedy, and says by how much greedy missed", function()
    local missed_some = false
    for seed = 1, 8 do
      local predictions, gold = corpus(seed, 2, 150, 12, 0.05 + 0.05 * seed)
      local joint = post.joint(predictions, gold, { fps = FPS, max_median = 2, max_shift = 3 })
      local greedy = fit(predictions, gold)
      assert.equal(greedy.ccc_after, joint.greedy.ccc_after)
      assert.equal(joint.ccc_after - greedy.ccc_after, joint.missed)
      assert.is_true(joint.missed >= 0)
      assert.equal(joint.ccc_after, metric.recordings(joint:apply(predictions), gold).ccc)
      missed_some = missed_some or joint.missed > 0
    end
    assert.is_true(missed_some)
  end)

  it("joint search finds the best of all combinations", function()
    local predictions, gold = corpus(11, 2, 60, 4, 0.3)
    local joint = post.joint(predictions, gold, { fps = FPS, max_median = 0.36, max_shift = 0.24 })
    local best = -1
    for window = 1, 9, 2 do
      for delay = 0, 6 do
        for variant = 0, 3 do
          local steps = { { step = "median", kept = true, value = window } }
          local chain = post.from_table { fps = FPS, steps = steps }
          local m = metric.moments()
          for r, x in ipairs(chain:apply(predictions)) do m:add(x, gold[r]) end
          local offset = variant % 2 == 1 and m.mean_y - m.mean_x or 0
          steps[2] = { step = "centre", kept = variant % 2 == 1, value = offset }
          steps[3] = { step = "scale", kept = variant >= 2, value = math.sqrt(m.m2_y / m.m2_x),
            about = m.mean_x + offset }
          steps[4] = { step = "shift", kept = true, value = delay }
          chain = post.from_table { fps = FPS, steps = steps }
          best = math.max(best, metric.recordings(chain:apply(predictions), gold).ccc)
        end
      end
    end
    assert.is_true(math.abs(best - joint.ccc_after) < 1e-12)
  end)

  it("joint search chooses what brute force over textbook definitions chooses", function()
    local rows, predictions, gold, at = golden "affect.txt", {}, {}, 0
    for r, n in ipairs(rows.lengths) do
      predictions[r], gold[r] = {}, {}
      for t = 1, n do predictions[r][t], gold[r][t] = rows.joint_x[at + t], rows.y[at + t] end
      at = at + n
    end
    local chain = post.joint(predictions, gold, { fps = 1, max_median = 21, max_shift = 12 })
    local steps, best = by_name(chain), rows.joint_best
    assert.same({ best[1], best[2], best[3] == 1, best[4] == 1 },
      { steps.median.value, steps.shift.value, steps.centre.kept, steps.scale.kept })
    assert.is_true(math.abs(chain.ccc_after - best[5]) < 1e-12)
  end)

  it("refuses what does not fit, naming it", function()
    local function says(text, fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_false(ok)
      assert.truthy(tostring(err):find(text, 1, true), tostring(err))
    end
    local x = { { 1, 2, 3 } }
    says("recording 1 has 3 predictions", post.fit, x, { { 1, 2 } })
    says("median", post.fit, x, x, { steps = { "medain" } })
    says("max_median", post.fit, x, x, { max_meddian = 3 })
    says("no recordings", post.fit, {}, {})
    says("NaN", post.fit, { { 1, 0 / 0, 2 } }, x)
    says("order", post.joint, x, x, { steps = { "shift", "median" } })
  end)
end)
