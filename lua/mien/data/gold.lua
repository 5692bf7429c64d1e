-- The gold standard of several raters' traces.
-- Not here: the formulas (core/affect/gold.c), agreement scores (mien.metric).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local file = require "mien.data.file"

local gold = {}

local kinds = { ccc_centred = C.MIEN_GOLD_CENTRED, mean = C.MIEN_GOLD_MEAN, ewe = C.MIEN_GOLD_EWE }

--- Fuses traces [n,R] of R raters into f64 [n], and gives the raters' weights as a list.
-- { kind = "ccc_centred" (AVEC 2016/2018) | "mean" | "ewe" (Grimm & Kroschel 2005), clip = false: negative
-- agreement counts as 0 }.
function gold.standard(traces, options)
  options = options or {}
  check.type(traces, "tensor", "data.gold: traces")
  check.keys(options, { kind = "string", clip = "boolean" }, "data.gold")
  local kind = check.one_of(options.kind or "ccc_centred", { "ccc_centred", "mean", "ewe" }, "data.gold: kind")
  local shape = traces.shape
  if #shape ~= 2 then check.raise("shape", "data.gold: traces must be [n,R], got %d dimensions", #shape) end
  local n, raters = shape[1], shape[2]
  local rows = ffi.new("double[?]", n * raters) -- [n,R]
  local by_rater = ffi.new("double[?]", n * raters)
  check.status(C.mien_tensor_read(traces, rows, n * raters))
  for t = 0, n - 1 do
    for r = 0, raters - 1 do by_rater[r * n + t] = rows[t * raters + r] end
  end
  local out, weights = file.array("f64", { n }), ffi.new("double[?]", raters)
  check.status(C.mien_gold_standard(by_rater, raters, n, kinds[kind], options.clip or false, out:data(), weights))
  local list = {}
  for r = 1, raters do list[r] = weights[r - 1] end
  return out, list
end

return gold
