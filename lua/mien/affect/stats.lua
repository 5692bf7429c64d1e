-- What a handful of runs can and cannot say: mean and spread, intervals by bootstrap, paired tests of arms.
-- Not here: the scores themselves (metric.lua).
--
-- n is part of every answer. Where n is too small for an interval or a p-value there is none, and `reason`
-- says why: three seeds give a mean and a spread, not a significance.
local check = require "mien.base.check"
local doubles = require "mien.base.doubles"

local stats = {}

local nan = 0 / 0

local function numbers(values, what)
  local buffer, n = doubles.from(values, nil, what)
  return doubles.list(buffer, n)
end

-- ---- description -----------------------------------------------------------------------------------------

--- Mean; NaN of nothing.
function stats.mean(values)
  local list, sum = numbers(values, "stats.mean"), 0
  for _, v in ipairs(list) do sum = sum + v end
  return #list > 0 and sum / #list or nan
end

--- Standard deviation of a sample (1/(n-1)); NaN below two values.
function stats.sd(values)
  local list = numbers(values, "stats.sd")
  if #list < 2 then return nan end
  local mean, sum = stats.mean(list), 0
  for _, v in ipairs(list) do sum = sum + (v - mean) ^ 2 end
  return math.sqrt(sum / (#list - 1))
end

--- The value below which a share p in [0, 1] lies, interpolated (Hyndman & Fan 1996, definition 7); NaN when one of the
-- values is NaN, as it has no rank.
function stats.quantile(values, p)
  local list = numbers(values, "stats.quantile")
  if type(p) ~= "number" or not (p >= 0 and p <= 1) then
    check.raise("argument", "stats.quantile: the share must be in [0, 1], got %s", tostring(p))
  end
  if #list == 0 then return nan end
  for _, v in ipairs(list) do
    if v ~= v then return nan end
  end
  table.sort(list)
  local at = 1 + (#list - 1) * p
  local low = math.floor(at)
  local high = math.min(low + 1, #list)
  return list[low] + (at - low) * (list[high] - list[low])
end

--- The middle value; of an even number the mean of the two.
function stats.median(values)
  return stats.quantile(values, 0.5)
end

local summary_class = {
  __tostring = function(self)
    if self.n == 0 then return "- (n = 0)" end
    if self.n == 1 then return ("%.3f (n = 1)"):format(self.mean) end
    return ("%.3f +- %.3f (n = %d)"):format(self.mean, self.sd, self.n)
  end,
}

--- { n, mean, sd, median, min, max, missing }; a NaN counts as missing. Prints as "0.341 +- 0.012 (n = 3)".
function stats.summary(values)
  local list, missing = {}, 0
  for _, v in ipairs(numbers(values, "stats.summary")) do
    if v == v then list[#list + 1] = v else missing = missing + 1 end
  end
  return setmetatable({
    n = #list, missing = missing, mean = stats.mean(list), sd = stats.sd(list), median = stats.median(list),
    min = stats.quantile(list, 0), max = stats.quantile(list, 1),
  }, summary_class)
end

-- ---- intervals -------------------------------------------------------------------------------------------

--- Fewest items (recordings, seeds) whose re-sampling gives an interval worth printing: below five, most
-- re-samples leave nothing but one or two of them, and the interval is far too narrow.
stats.fewest_for_interval = 5

--- Percentile bootstrap over items (seeds, or whole recordings: frames of one recording are not independent).
-- stats.bootstrap({ .31, .35, ... }, { rng = mien.rng.stream(1, "boot") }) -> { n, value, low, high, level }
-- statistic: function(list of items) -> number, the mean when left out; of whatever items.
-- Below stats.fewest_for_interval items low and high are nil and `reason` says why.
function stats.bootstrap(items, options)
  options = check.keys(options or {}, {
    rng = "cdata|table!", statistic = "function", resamples = "count", level = "number",
  }, "stats.bootstrap")
  local statistic, level = options.statistic or stats.mean, options.level or 0.95
  if not (level > 0 and level < 1) then
    check.raise("argument", "stats.bootstrap: level must lie between 0 and 1, got %g", level)
  end
  local n = #items
  local out = { n = n, level = level, value = n > 0 and statistic(items) or nan }
  if n < stats.fewest_for_interval then
    out.reason = ("n = %d: an interval needs at least %d"):format(n, stats.fewest_for_interval)
    return out
  end
  local drawn = {}
  for b = 1, options.resamples or 2000 do
    local sample = {}
    for i = 1, n do sample[i] = items[options.rng:below(n) + 1] end
    local value = statistic(sample)
    if value == value then drawn[#drawn + 1] = value end
    if b % 64 == 0 and #drawn == 0 then break end
  end
  if #drawn == 0 then
    out.reason = "the statistic is NaN in every re-sample"
    return out
  end
  out.low, out.high = stats.quantile(drawn, (1 - level) / 2), stats.quantile(drawn, (1 + level) / 2)
  return out
end

-- ---- tests -----------------------------------------------------------------------------------------------

--- Fewest pairs with which a two-sided sign-flip test can reach p < 0.05: 2 / 2^5 is still above it.
stats.fewest_for_test = 6

local exact_below = 16 -- pairs: up to 2^15 sign patterns are counted, beyond they are drawn

--- Share of sign patterns whose sum is as far from 0 as the observed one, all of them counted.
local function exact_p(differences, observed, slack)
  local n, extreme, total = #differences, 0, 2 ^ (#differences - 1) -- the first sign is free: two-sided
  for pattern = 0, total - 1 do
    local sum, bits = differences[1], pattern
    for i = 2, n do
      sum = sum + (bits % 2 == 1 and -differences[i] or differences[i])
      bits = math.floor(bits / 2)
    end
    if math.abs(sum) >= observed - slack then extreme = extreme + 1 end
  end
  return extreme / total
end

local function drawn_p(differences, observed, slack, rng, draws)
  local extreme = 0
  for _ = 1, draws do
    local sum = 0
    for _, d in ipairs(differences) do sum = sum + (rng:below(2) == 1 and d or -d) end
    if math.abs(sum) >= observed - slack then extreme = extreme + 1 end
  end
  return (extreme + 1) / (draws + 1)
end

--- Paired sign-flip test of two arms over the same seeds or recordings (Fisher's randomisation): could the
-- difference be a matter of signs alone? { n, difference (mean of a - b), wins (a > b), p, exact }.
-- Exact up to 15 pairs; beyond, `draws` (9999) patterns from `rng`. Pairs with a NaN count as `missing`.
-- Below stats.fewest_for_test pairs p is nil and `reason` says why.
function stats.paired(a, b, options)
  options = check.keys(options or {}, { rng = "cdata|table", draws = "count" }, "stats.paired")
  local x, y = numbers(a, "stats.paired: a"), numbers(b, "stats.paired: b")
  if #x ~= #y then
    check.raise("shape", "stats.paired: %d values of one arm meet %d of the other", #x, #y)
  end
  local differences, sum, size, out = {}, 0, 0, { wins = 0, missing = 0 }
  for i = 1, #x do
    local d = x[i] - y[i]
    if d == d then
      differences[#differences + 1] = d
      sum, size = sum + d, size + math.abs(d)
      if d > 0 then out.wins = out.wins + 1 end
    else
      out.missing = out.missing + 1
    end
  end
  local n = #differences
  out.n, out.difference = n, n > 0 and sum / n or nan
  if n < stats.fewest_for_test then
    out.reason = ("n = %d: below %d pairs no p can fall under 0.05"):format(n, stats.fewest_for_test)
    return out
  end
  local slack = 1e-12 * size -- sums of the same numbers in another order
  out.exact = n < exact_below
  if not out.exact and not options.rng then
    check.raise("argument", "stats.paired: %d pairs need rng = mien.rng.stream(seed, name)", n)
  end
  out.p = out.exact and exact_p(differences, math.abs(sum), slack)
    or drawn_p(differences, math.abs(sum), slack, options.rng, options.draws or 9999)
  return out
end

return stats
