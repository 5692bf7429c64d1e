-- The four steps of post-processing: how each finds its best candidate, and how it is applied.
-- Not here: what is kept (post/init.lua), the search kernels (core/affect).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local doubles = require "mien.base.doubles"
local metric = require "mien.affect.metric"

local steps = {}

--- In the paper's order.
steps.names = { "median", "centre", "scale", "shift" }

--- Raises an error for steps in another order, of which the exhaustive search knows nothing.
function steps.in_order(names, what)
  local last = 0
  for _, name in ipairs(names) do
    local place = 0
    for i, known in ipairs(steps.names) do
      if known == name then place = i end
    end
    if place <= last then
      check.raise("argument", "%s: steps must be in the order %s", what, table.concat(steps.names, ", "))
    end
    last = place
  end
end

-- ---- recordings ------------------------------------------------------------------------------------------

--- A list of recordings as one buffer: { data, total, lengths (int64_t[]), count }.
function steps.join(list, lengths, what)
  local parts, total = {}, 0
  local own = ffi.new("int64_t[?]", math.max(#list, 1))
  for i, recording in ipairs(list) do
    local data, n = doubles.from(recording, lengths and lengths[i], ("%s: recording %d"):format(what, i))
    parts[i], own[i - 1], total = data, n, total + n
  end
  if #list == 0 then check.raise("argument", "%s: no recordings", what) end
  local data, at = doubles.new(total), 0
  for i, part in ipairs(parts) do
    ffi.copy(data + at, part, tonumber(own[i - 1]) * 8)
    at = at + tonumber(own[i - 1])
  end
  return { data = data, total = total, lengths = own, count = #list }
end

function steps.same_lengths(x, y)
  if x.count ~= y.count then
    check.raise("shape", "post: predictions of %d recordings meet gold standards of %d", x.count, y.count)
  end
  for i = 0, x.count - 1 do
    if x.lengths[i] ~= y.lengths[i] then
      check.raise("shape", "post: recording %d has %d predictions and %d values of the gold standard", i + 1,
        tonumber(x.lengths[i]), tonumber(y.lengths[i]))
    end
  end
end

--- Moments of recordings x against y, all frames joined; merged recording by recording as the searches do, so
-- that a candidate's score has the same bits when it is applied.
function steps.moments(x, y)
  local m, at = metric.moments(), 0
  for i = 0, x.count - 1 do
    local n = tonumber(x.lengths[i])
    m:add(x.data + at, y.data + at, n)
    at = at + n
  end
  return m
end

--- `kernel(in, out, n, value)` inside each recording, into a new set.
local function per_recording(x, kernel, value)
  local out = doubles.new(x.total)
  local at = 0
  for i = 0, x.count - 1 do
    local n = tonumber(x.lengths[i])
    if n > 0 then check.status(kernel(x.data + at, out + at, n, value)) end
    at = at + n
  end
  return { data = out, total = x.total, lengths = x.lengths, count = x.count }
end

local function affine(x, factor, offset)
  local out = doubles.new(x.total)
  for i = 0, x.total - 1 do out[i] = factor * x.data[i] + offset end
  return { data = out, total = x.total, lengths = x.lengths, count = x.count }
end

-- ---- the four steps --------------------------------------------------------------------------------------
-- find(x, y, limits) -> value, about, trials: the best candidate on the fit side; value nil without any.
-- apply(x, value, about) -> the changed recordings.

--- The first of the highest scores; value(i) is what scores[i] stands for.
local function highest(scores, n, value)
  local best, trials = nil, {}
  for i = 0, n - 1 do
    trials[i + 1] = { value(i), scores[i] }
    if scores[i] == scores[i] and (not best or scores[i] > scores[best]) then best = i end
  end
  return best and value(best), nil, trials
end

local kinds = {}

kinds.median = {
  find = function(x, y, limits)
    local n = (limits.max_median + 1) / 2
    local scores = doubles.new(n)
    check.status(C.mien_search_median(x.data, y.data, x.lengths, x.count, limits.max_median, scores))
    return highest(scores, n, function(i) return 2 * i + 1 end)
  end,
  apply = function(x, window) return per_recording(x, C.mien_median_filter, window) end,
}

kinds.centre = {
  find = function(x, y)
    local m = steps.moments(x, y)
    return m.mean_y - m.mean_x
  end,
  apply = function(x, offset) return affine(x, 1, offset) end,
}

--- Scaling is about the mean of the predictions on the fit side, so that it does not undo the centring.
kinds.scale = {
  find = function(x, y)
    local m = steps.moments(x, y)
    if m.m2_x == 0 then return nil end -- constant predictions have no scale
    return math.sqrt(m.m2_y / m.m2_x), m.mean_x
  end,
  apply = function(x, factor, about) return affine(x, factor, about * (1 - factor)) end,
}

kinds.shift = {
  find = function(x, y, limits)
    local scores = doubles.new(limits.max_shift + 1)
    check.status(C.mien_search_shift(x.data, y.data, x.lengths, x.count, limits.max_shift, scores))
    return highest(scores, limits.max_shift + 1, function(i) return i end)
  end,
  apply = function(x, delay) return per_recording(x, C.mien_shift, delay) end,
}

-- ---- trying ----------------------------------------------------------------------------------------------

--- The best candidate of step `name` on the fit side: value, about, trials.
function steps.find(name, x, y, limits)
  return kinds[name].find(x, y, limits)
end

--- Recordings x after a step.
function steps.apply(name, x, value, about)
  return kinds[name].apply(x, value, about)
end

--- Tries one candidate: the record of the step (not kept yet), and the recordings as they are after it.
function steps.try(name, x, y, value, about, trials)
  local before = steps.moments(x, y):ccc()
  local record = { step = name, kept = false, value = value, about = about, ccc_before = before,
    ccc_after = before, trials = trials or {} }
  if not value then return record, x end
  local changed = kinds[name].apply(x, value, about)
  record.ccc_after = steps.moments(changed, y):ccc()
  if not trials then record.trials = { { value, record.ccc_after } } end
  return record, changed
end

return steps
