-- Losses: scalars to walk back from.
-- Not here: scores that are reported (metric.lua), the formulas' code (core/ops, backends).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local tensor = require "mien.tensor"
local op = require "mien.tensor.op"
local renamed = require "mien.base.renamed"

local loss = {}

--- The losses that experiments write by name, and over what ccc may be taken.
loss.names = { "ccc", "mse", "sigmoid_cross_entropy", "softmax_cross_entropy" }
loss.scopes = { "batch", "sequence" }

local batch, sequence = { per_sequence = 0 }, { per_sequence = 1 }
local from_one = { first = 1 }

--- 1 - mean over the outputs of the concordance correlation coefficient (Lin 1989), 1/n moments.
-- prediction and target [B,T,K] or [N,K]. options.scope: "batch" (default) takes all frames together,
-- "sequence" each of the B sequences by itself, then the mean. A constant output counts as CCC 0.
function loss.ccc(prediction, target, options)
  local scope = "batch"
  if options then
    check.keys(options, { scope = "string" }, "loss.ccc")
    scope = check.one_of(options.scope or "batch", loss.scopes, "loss.ccc: scope")
  end
  return op.ccc_loss(prediction, target, scope == "sequence" and sequence or batch)
end

--- Mean of (prediction - target)^2 over all elements.
function loss.mse(prediction, target)
  return op.mse_loss(prediction, target)
end

--- The weight of each class from a loss's options.
local function weight_of(options, what)
  if options == nil then return nil end
  if check.is_tensor(options) then renamed.form(what, options, what .. "(logits, target, { weight = w })") end
  return check.keys(options, { weight = "tensor" }, what).weight
end

--- Mean over frames and classes of w_c [-z log s(x) - (1-z) log(1 - s(x))], stable, from logits.
-- logits x and target z (0 or 1) [...,C]; options.weight: w [C], one per class (data.class_weights).
function loss.sigmoid_cross_entropy(logits, target, options)
  return op.sigmoid_cross_entropy(logits, target, weight_of(options, "loss.sigmoid_cross_entropy"))
end

--- Mean over frames of -log softmax(logits) at the target class; with weights their weighted mean.
-- logits [...,C]; target i32 or i64 [...], classes from 1 on; options.weight [C].
function loss.softmax_cross_entropy(logits, target, options)
  return op.softmax_cross_entropy(logits, target, weight_of(options, "loss.softmax_cross_entropy"), from_one)
end

-- ---- windows that are not full -------------------------------------------------------------------------

local absent = { f32 = function(label) return label ~= label end, f64 = function(label) return label ~= label end,
  i32 = function(label) return label < 1 end, i64 = function(label) return label < 1 end }

--- Frames of each window that have labels [B,T,K] or [B,T]; nil where all have.
local function lengths_of(labels)
  local shape, missing = labels.shape, absent[labels.dtype]
  local b, t, k = shape[1], shape[2], shape[3] or 1
  local values, lengths, whole = ffi.new("double[?]", b * t * k), {}, true
  check.status(C.mien_tensor_read(labels, values, b * t * k))
  for window = 1, b do
    local n = t
    while n > 0 and missing(values[((window - 1) * t + n - 1) * k]) do n = n - 1 end
    lengths[window], whole = n, whole and n == t
  end
  return not whole and lengths or nil
end

--- The same loss where windows may be filled up (data.loader: lengths): frames without labels are left out, and the others
-- count alike; batch norm has seen the filling all the same. per_sequence: the loss takes each sequence by itself, and so
-- the mean is over windows.
function loss.unpadded(fn, per_sequence)
  return function(output, labels)
    local lengths = lengths_of(labels)
    if not lengths then return fn(output, labels) end
    local said, wanted, sum = {}, {}, nil
    for window, n in ipairs(lengths) do
      local function piece(t)
        local frames = t:narrow(1, window, 1):narrow(2, 1, n)
        local shape = frames.shape
        return per_sequence and frames or frames:reshape { n, shape[3] }
      end
      said[window], wanted[window] = piece(output), piece(labels)
      if per_sequence then
        local one = fn(said[window], wanted[window])
        sum = sum and sum + one or one
      end
    end
    if per_sequence then return sum / #lengths end
    return fn(tensor.cat(said, 1), tensor.cat(wanted, 1))
  end
end

--- The loss function of a name, as experiments write it: loss.by_name "ccc".
function loss.by_name(name)
  return loss[check.one_of(name, loss.names, "loss")]
end

return loss
