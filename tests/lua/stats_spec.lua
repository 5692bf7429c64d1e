-- Mean, spread, intervals and paired tests; above all what they refuse to say with few runs.
-- Not here: scores (metric_spec.lua).
local rng = require "mien.tensor.rng"
local stats = require "mien.affect.stats"

local function close(want, got, slack)
  assert.is_true(math.abs(want - got) <= (slack or 1e-12), ("%.17g is not %.17g"):format(got, want))
end

describe("stats", function()
  it("describes a list", function()
    close(2.5, stats.mean { 1, 2, 3, 4 })
    close(math.sqrt(5 / 3), stats.sd { 1, 2, 3, 4 })
    close(2.5, stats.median { 4, 1, 3, 2 })
    for _, list in ipairs { { 0 / 0, 3, 1 }, { 3, 0 / 0, 1 }, { 3, 1, 0 / 0 } } do
      assert.is_true(stats.median(list) ~= stats.median(list))
    end
    close(1.75, stats.quantile({ 4, 1, 3, 2 }, 0.25))
    local s = stats.summary { 0.3, 0 / 0, 0.5 }
    assert.equal(2, s.n)
    assert.equal(1, s.missing)
    assert.equal("0.400 +- 0.141 (n = 2)", tostring(s))
    assert.equal("0.300 (n = 1)", tostring(stats.summary { 0.3 }))
    assert.is_true(stats.sd { 1 } ~= stats.sd { 1 })
  end)

  it("gives no interval for three seeds", function()
    local ci = stats.bootstrap({ 0.1, 0.2, 0.3 }, { rng = rng.stream(1, "boot") })
    close(0.2, ci.value)
    assert.is_nil(ci.low)
    assert.truthy(ci.reason:find("n = 3", 1, true))
  end)

  it("covers the true mean about as often as it says", function()
    local source, boot, covered = rng.stream(3, "data"), rng.stream(4, "boot"), 0
    for _ = 1, 100 do
      local sample = {}
      for i = 1, 30 do sample[i] = source:normal() end
      local ci = stats.bootstrap(sample, { rng = boot, resamples = 300 })
      assert.is_true(ci.low < ci.value and ci.value < ci.high)
      if ci.low <= 0 and 0 <= ci.high then covered = covered + 1 end
    end
    assert.is_true(covered >= 85 and covered <= 99, covered .. " of 100")
  end)

  it("re-samples whole items and repeats itself for the same stream", function()
    local items = { { 1, 2 }, { 3 }, { 4, 5, 6 }, { 7 }, { 8, 9 } }
    local function pooled(list)
      local sum, n = 0, 0
      for _, item in ipairs(list) do
        for _, v in ipairs(item) do sum, n = sum + v, n + 1 end
      end
      return sum / n
    end
    local a = stats.bootstrap(items, { rng = rng.stream(1, "b"), statistic = pooled, resamples = 200 })
    local b = stats.bootstrap(items, { rng = rng.stream(1, "b"), statistic = pooled, resamples = 200 })
    assert.same(a, b)
    close(5, a.value)
  end)

  it("gives no p-value below six pairs, because none could fall under 0.05", function()
    local t = stats.paired({ 5, 5, 5, 5, 5 }, { 1, 2, 3, 4, 0 })
    assert.is_nil(t.p)
    assert.equal(5, t.wins)
    close(3, t.difference)
    assert.truthy(t.reason:find("n = 5", 1, true))
  end)

  it("counts sign patterns exactly", function()
    close(2 / 64, stats.paired({ 1, 2, 3, 4, 5, 6 }, { 0, 0, 0, 0, 0, 0 }).p)
    -- differences 1 1 1 1 1 -1: |sum| >= 4 in 2 * (1 + 6) of 64 patterns
    close(14 / 64, stats.paired({ 1, 1, 1, 1, 1, 0 }, { 0, 0, 0, 0, 0, 1 }).p)
    close(1, stats.paired({ 1, 2, 1, 2, 1, 2, 0 / 0 }, { 2, 1, 2, 1, 2, 1, 0 }).p)
  end)

  it("draws patterns beyond fifteen pairs, near the exact answer", function()
    local a, b, source = {}, {}, rng.stream(7, "data")
    for i = 1, 15 do a[i], b[i] = source:normal() + 0.6, 0 end
    local exact = stats.paired(a, b)
    assert.is_true(exact.exact)
    a[16], b[16] = 1e-9, 0 -- hardly changes the sum
    assert.has_error(function() stats.paired(a, b) end)
    local drawn = stats.paired(a, b, { rng = rng.stream(8, "flip") })
    assert.is_false(drawn.exact)
    close(exact.p, drawn.p, 0.01)
  end)
end)
