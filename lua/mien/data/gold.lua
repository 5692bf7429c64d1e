-- The gold standard of several raters' traces.
-- Not here: the formulas (core/affect/gold.c), agreement scores (mien.metric).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local alignment = require "mien.data.alignment"
local check = require "mien.base.check"
local file = require "mien.data.file"

local gold = {}

local kinds = { ccc_centred = C.MIEN_GOLD_CENTRED, mean = C.MIEN_GOLD_MEAN, ewe_all = C.MIEN_GOLD_EWE_ALL,
  ewe_others = C.MIEN_GOLD_EWE_OTHERS, median = C.MIEN_GOLD_MEDIAN }

gold.kinds = { "ccc_centred", "mean", "median", "ewe_all", "ewe_others" }

--- The name of a kind, or an error; what: whose.
function gold.kind(name, what)
  if name == "ewe" then
    check.raise("argument", "%s: there are two forms of EWE. ewe_all weighs raters by their correlation with the mean of all "
      .. "raters (Grimm & Kroschel 2005, Coutinho et al. 2016), ewe_others with the mean of the others (audpsychometric, and "
      .. "what \"ewe\" was here)", what)
  end
  return check.one_of(name, gold.kinds, what)
end

--- Fuses traces [n,R] of R raters into f64 [n], and gives the raters' weights as a list.
-- { kind = "ccc_centred" (AVEC 2016/2018) | "mean" | "median" | "ewe_all" (raters weighed by their correlation with the
-- mean of all: Grimm & Kroschel 2005, Coutinho et al. 2016) | "ewe_others" (with the mean of the others: audpsychometric),
-- clip = false: negative agreement counts as 0, lag = frames: each rater's lag against the others is estimated, no longer
-- than that, and taken out before (or a list of lags that are known), band = frames: traces are then aligned by dynamic
-- time warping, moved no further than that }. The third result is the list of lags, nil without `lag`.
function gold.standard(traces, options)
  options = options or {}
  check.type(traces, "tensor", "data.gold: traces")
  check.keys(options, { kind = "string", clip = "boolean", lag = "integer|table", band = "integer" }, "data.gold")
  local kind = gold.kind(options.kind or "ccc_centred", "data.gold: kind")
  local shape = traces.shape
  if #shape ~= 2 then check.raise("shape", "data.gold: traces must be [n,R], got %d dimensions", #shape) end
  local lags = options.lag
  if type(lags) == "number" then lags = alignment.lags(traces, { most = lags }) end
  if lags then traces = alignment.compensate(traces, lags) end
  if options.band then traces = alignment.barycentre(traces, { band = options.band }) end
  local by_rater, n, raters = alignment.by_rater(traces, "data.gold: traces")
  local out, weights = file.array("f64", { n }), ffi.new("double[?]", raters)
  check.status(C.mien_gold_standard(by_rater, raters, n, kinds[kind], options.clip or false, out:data(), weights))
  local list = {}
  for r = 1, raters do list[r] = weights[r - 1] end
  return out, list, lags
end

return gold
