-- How much several raters agree: CCC, Pearson, Cronbach's alpha, intraclass correlations, Krippendorff's alpha.
-- Not here: votes on categories (mien.metric.fleiss_kappa), the formulas (core/affect/agreement.c), gold standards and
-- lags (mien.data.gold, mien.data.rater_lags).
--
-- Traces are [n,R]: n times (or items) and R raters, a tensor or a Lua list of rows; NaN where a rater has no value. An
-- undefined coefficient is NaN.
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local alignment = require "mien.data.alignment"

local agreement = { scales = { "nominal", "ordinal", "interval" } }

--- All coefficients of continuous traces [n,R] of two raters or more: { ccc =, pearson = (means over all pairs, of the
-- times that both have; an undefined one counts as 0), cronbach_alpha =, icc = { ["1,1"] =, ["2,1"] =, ["3,1"] =,
-- ["1,k"] =, ["2,k"] =, ["3,k"] = } (Shrout & Fleiss 1979; of the times that every rater has), krippendorff_alpha =
-- (interval), raters =, times = (that every rater has), missing = values, undefined = pairs without a Pearson's r }.
function agreement.summary(traces)
  local buffer, n, raters = alignment.by_rater(traces, "agreement.summary")
  local a = ffi.new "mien_agreement"
  check.status(C.mien_rater_agreement(buffer, raters, n, a))
  local missing = 0
  for i = 0, n * raters - 1 do
    if buffer[i] ~= buffer[i] then missing = missing + 1 end
  end
  local icc = {}
  for case = 1, 3 do
    icc[case .. ",1"], icc[case .. ",k"] = a.icc_single[case - 1], a.icc_mean[case - 1]
  end
  return { ccc = a.ccc, pearson = a.pearson, cronbach_alpha = icc["3,k"], icc = icc,
    krippendorff_alpha = agreement.krippendorff_alpha(traces, "interval"), raters = raters, times = a.times,
    missing = missing, undefined = a.undefined }
end

--- Mean CCC over all pairs of raters.
function agreement.ccc(traces) return agreement.summary(traces).ccc end

--- Mean Pearson's r over all pairs of raters.
function agreement.pearson(traces) return agreement.summary(traces).pearson end

--- Cronbach's alpha, the consistency of the mean of all raters; the same number as ICC(3,k).
function agreement.cronbach_alpha(traces) return agreement.summary(traces).cronbach_alpha end

--- An intraclass correlation of Shrout & Fleiss 1979: kind "1,1", "2,1", "3,1", "1,k", "2,k" or "3,k" ("2,k": the mean
-- of these raters, who stand for others).
function agreement.icc(traces, kind)
  check.one_of(kind or "2,k", { "1,1", "2,1", "3,1", "1,k", "2,k", "3,k" }, "agreement.icc: kind")
  return agreement.summary(traces).icc[kind or "2,k"]
end

--- Krippendorff's alpha of values [n,R] on a scale: "nominal", "ordinal" or "interval" (Krippendorff 2011). Times with
-- fewer than two values are left out.
function agreement.krippendorff_alpha(values, scale)
  check.one_of(scale or "", agreement.scales, "agreement.krippendorff_alpha: scale")
  local buffer, n, raters = alignment.by_rater(values, "agreement.krippendorff_alpha")
  local number = { nominal = C.MIEN_SCALE_NOMINAL, ordinal = C.MIEN_SCALE_ORDINAL, interval = C.MIEN_SCALE_INTERVAL }
  local alpha = ffi.new "double[1]"
  check.status(C.mien_krippendorff_alpha(buffer, raters, n, number[scale], alpha))
  return alpha[0]
end

return agreement
