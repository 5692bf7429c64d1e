-- Raters' traces on one clock: the lag of each, its compensation, dynamic time warping.
-- Not here: the formulas (core/affect/alignment.c), what is made of the traces (gold.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local doubles = require "mien.base.doubles"
local file = require "mien.data.file"

local alignment = {}

--- Traces [n,R] as doubles, one rater after the other: buffer [R,n], n, R.
function alignment.by_rater(traces, what)
  local rows, n, raters = doubles.matrix(traces, what)
  local buffer = doubles.new(n * raters)
  for t = 0, n - 1 do
    for r = 0, raters - 1 do buffer[r * n + t] = rows[t * raters + r] end
  end
  return buffer, n, raters
end

--- The way back: f64 [n,R].
local function by_time(buffer, n, raters)
  local traces = file.array("f64", { n, raters })
  local out = traces:data()
  for t = 0, n - 1 do
    for r = 0, raters - 1 do out[t * raters + r] = buffer[r * n + t] end
  end
  return traces
end

--- Traces of one recording [n,R], or a list of recordings', joined: buffer [R,n], lengths, recordings, n, R.
local function join(traces, what)
  local first = type(traces) == "table" and traces[1]
  local several = check.is_tensor(first) or type(first) == "table" and type(first[1]) == "table"
  local parts, n, raters = {}, 0, nil
  for i, recording in ipairs(several and traces or { traces }) do
    local part = { alignment.by_rater(recording, what) }
    if raters and part[3] ~= raters then
      check.raise("shape", "%s: recording %d has %d raters, recording 1 has %d", what, i, part[3], raters)
    end
    parts[i], n, raters = part, n + part[2], part[3]
  end
  local buffer, lengths, at = doubles.new(n * raters), ffi.new("int64_t[?]", #parts), 0
  for i, part in ipairs(parts) do
    lengths[i - 1] = part[2]
    for r = 0, raters - 1 do ffi.copy(buffer + r * n + at, part[1] + r * part[2], part[2] * 8) end
    at = at + part[2]
  end
  return buffer, lengths, #parts, n, raters
end

--- Each rater's lag in frames, positive for one who is late: { lag_1, ..., agreement = { Pearson's r at that lag } }.
-- traces [n,R] of one recording, or a list of several recordings' for one lag a rater over all of them.
-- { most = frames: no lag is longer; reference = [n], what the lags are measured against }. Without a reference each
-- rater is compared with the mean of the others, and the middle lag is 0: how late all are together cannot be seen.
-- A lag at the bound, and a rater who agrees with nobody (whose lag is 0), are told as a notice.
function alignment.lags(traces, options)
  local what = "data.rater_lags"
  check.keys(options or {}, { most = "integer!", reference = "table|tensor" }, what)
  local buffer, lengths, recordings, n, raters = join(traces, what .. ": traces")
  local reference
  if options.reference then
    local count
    reference, count = doubles.from(options.reference, nil, what .. ": reference")
    if count ~= n then check.raise("shape", "%s: the reference has %d values, the traces %d", what, count, n) end
  end
  local lags, agreement = ffi.new("int[?]", raters), doubles.new(raters)
  check.status(C.mien_rater_lags(buffer, raters, lengths, recordings, options.most, reference, lags, agreement))
  local list = { agreement = doubles.list(agreement, raters) }
  for r = 1, raters do
    list[r] = lags[r - 1]
    local own = list.agreement[r]
    if raters > 1 and (own ~= own or own <= 0) then
      C.mien_notice(("rater %d agrees with nobody at any lag to %d frames: his lag counts as 0"):format(r, options.most))
    elseif options.most > 0 and math.abs(list[r]) == options.most then
      C.mien_notice(("rater %d: the lag found is the longest that was looked for, %d frames"):format(r, options.most))
    end
  end
  return list
end

--- Traces [n,R] of one recording without the raters' lags (frames; a list): f64 [n,R], first and last values held.
function alignment.compensate(traces, lags)
  local what = "data.compensate_lags"
  check.type(lags, "table", what .. ": lags")
  local buffer, n, raters = alignment.by_rater(traces, what .. ": traces")
  if #lags ~= raters then check.raise("shape", "%s: %d lags for %d raters", what, #lags, raters) end
  local moved = doubles.new(n * raters)
  for r = 1, raters do
    if type(lags[r]) ~= "number" or lags[r] % 1 ~= 0 then
      check.raise("argument", "%s: lag %d is %s, wanted are whole frames", what, r, tostring(lags[r]))
    end
    C.mien_compensate_lag(buffer + (r - 1) * n, moved + (r - 1) * n, n, lags[r])
  end
  return by_time(moved, n, raters)
end

--- Aligns traces [n,R] of one recording by dynamic time warping: f64 [n,R], and their barycentre f64 [n] (Petitjean,
-- Ketterlin & Gancarski 2011). { band = frames that a trace may be moved by; rounds = 10, at most; standardised = true:
-- matched without each rater's bias and scale, which are put back }.
function alignment.barycentre(traces, options)
  local what = "data.barycentre"
  check.keys(options or {}, { band = "integer!", rounds = "count", standardised = "boolean" }, what)
  local buffer, n, raters = alignment.by_rater(traces, what .. ": traces")
  local average, aligned = file.array("f64", { n }), doubles.new(n * raters)
  check.status(C.mien_barycentre(buffer, raters, n, options.band, options.rounds or 10, options.standardised ~= false,
    average:data(), aligned))
  return by_time(aligned, n, raters), average
end

return alignment
