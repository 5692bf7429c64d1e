-- The form of a network that runs in 8-bit whole numbers: convolutions u8 by i8, everything else in f32.
-- Not here: ranges (nn/calibrate.lua), training; weights are quantised after it.
local check = require "mien.base.check"
local backend = require "mien.device.backend"
local calibrate = require "mien.nn.calibrate"
local module = require "mien.nn.module"
local op = require "mien.tensor.op"
local scope = require "mien.tensor.scope"
local tensor = require "mien.tensor"

local quantise = {}

-- Activations travel as u8 (after ReLU) or i8 tensors that lie channels-last; a signal says what they stand
-- for: { step =, signed = } while layers are chained, nil for f32. Weights are rounded on the CPU and go to where
-- those of the layer lie.

-- ---- layers ------------------------------------------------------------------------------------------

local conv = module.define "conv2d_int8"

function conv:forward(x, residual) -- [N,C,H,W] u8, i8, or f32 when it is the first; residual u8 or i8
  local input = x
  if self.input then input = op.quantise(x, { scale = self.input.step, is_signed = self.input.signed and 1 or 0 }) end
  local y = op.conv2d_int8(input, self.weight, self.bias, self.scale, residual, self.attributes)
  if input ~= x then input:free() end
  return y
end

function conv:detail()
  return ("%d, %d, step %.3g"):format(self.weight:size(2), self.weight:size(1), self.output.step)
end

local function buffer(self, name, t, where)
  if t.device ~= where then t = t:to(where) end
  self.entries[#self.entries + 1] = { name = name, kind = "buffer", tensor = scope.keep(t) }
  self[name] = t
end

--- Weights in i8, symmetric, each filter in steps of its own (1/127 of its largest weight); the steps as a list; and
-- what rounding takes from each weight, in f32.
local function round_weights(layer)
  local shape = layer.weight.shape
  local size, steps = shape[2] * shape[3] * shape[4], {}
  local weight, lost = tensor.empty(shape, { dtype = "i8" }), tensor.empty(shape)
  local given = layer.weight:to "cpu"
  local from, to, rest = given:data(), weight:data(), lost:data()
  for k = 1, shape[1] do
    local first, largest = (k - 1) * size, 0
    for i = first, first + size - 1 do largest = math.max(largest, math.abs(from[i])) end
    local step = largest > 0 and largest / 127 or 1
    for i = first, first + size - 1 do
      local w = math.floor(from[i] / step + 0.5)
      to[i], rest[i] = w, from[i] - w * step
    end
    steps[k] = step
  end
  given:free() -- not before: `from` points into it
  return weight, steps, lost
end

--- Bias in units of the sums, and what a unit of each filter's sums is in steps of the output. What rounding takes
-- from a filter's mean response to the frames goes into its bias (Nagel et al. 2019, "bias correction").
local function bias_and_scale(layer, steps, lost, input_step, output_step)
  local bias, scale = tensor.empty { #steps }, tensor.empty { #steps }
  local given = layer.bias:to "cpu"
  local from, to, scale_to = given:data(), bias:data(), scale:data()
  for k = 1, #steps do
    local unit = input_step * steps[k]
    to[k - 1] = (from[k - 1] + lost[k]) / unit
    scale_to[k - 1] = unit / output_step
  end
  given:free() -- not before: `from` points into it
  return bias, scale
end

--- A fused convolution in whole numbers; gives it and the signal of its output.
function quantise.conv(layer, plan, signal, residual)
  local input = signal
  if not signal then
    local step, signed = plan:range(layer, "input")
    input = { step = step, signed = signed }
  end
  local step, signed = plan:range(layer, "output", layer.attributes.relu ~= 1)
  local output = { step = step, signed = signed }
  local lost = plan:response(layer)
  if not lost then
    local rounded, steps, rest = round_weights(layer)
    plan.rounded[layer] = { weight = rounded, steps = steps }
    plan:respond(layer, rest:to(layer.weight.device))
    return layer, output
  end
  local attributes = { is_signed = signed and 1 or 0, residual_scale = residual and residual.step / step or nil }
  for key, value in pairs(layer.attributes) do attributes[key] = value end
  local self = conv.create { attributes = attributes, output = output, input = not signal and input or nil }
  local rounded = plan.rounded[layer]
  local bias, scale = bias_and_scale(layer, rounded.steps, lost, input.step, step)
  local where = layer.weight.device
  buffer(self, "weight", rounded.weight, where)
  buffer(self, "bias", bias, where)
  buffer(self, "scale", scale, where)
  return self, output
end

local average = module.define "global_avg_pool_int8"

function average:forward(x) return op.affine(op.global_avg_pool(x), { scale = self.step }) end

--- The mean over whole maps, in f32.
function quantise.average(layer, plan, signal)
  if not signal or not plan.watched then return layer end
  return average.create { step = signal.step }
end

local dequantise = module.define "dequantise"

function dequantise:forward(x) return op.affine(x:to "f32", { scale = self.step }) end

function dequantise:detail() return ("step %.3g"):format(self.step) end

-- ---- composition -------------------------------------------------------------------------------------

--- Children of a copy that were replaced as fields become its entries.
function quantise.adopt(copy)
  for _, entry in ipairs(copy.entries) do
    if entry.child then entry.child = copy[entry.name] end
  end
  return copy
end

--- A copy of a module whose children, named in the order in which a tensor goes through them, run in whole
-- numbers; gives it and the signal of its output.
function quantise.through(self, plan, signal, names)
  local copy = self:twin()
  for _, name in ipairs(names) do
    copy[name], signal = self[name]:quantised(plan, signal)
  end
  return quantise.adopt(copy), signal
end

--- The same for any module: each child by itself takes f32 and gives f32.
function quantise.apart(self, plan, signal)
  local copy, sequential = self:twin(), require "mien.nn.sequential"
  for _, entry in ipairs(copy.entries) do
    if entry.child then
      local child, out = entry.child:quantised(plan)
      if out and plan.watched then child = sequential { child, dequantise.create { step = out.step } } end
      entry.child, copy[entry.name] = child, child
    end
  end
  if signal and plan.watched then copy = sequential { dequantise.create { step = signal.step }, copy } end
  return copy
end

--- An error where 8-bit numbers are multiplied slowly or not at all.
local function require_kernels(what, instead)
  local about = backend.describe()
  if backend.current() == "cpu" and not (about:find "VNNI" or about:find "AMX") then
    check.raise("unsupported", "%s: this processor has no fast products of 8-bit numbers (%s); %s", what, about, instead)
  end
end

--- A fused network in whole numbers, with the ranges as they are kept in weight files; architecture: of the network
-- that it was made from.
local function build(fused, plan, architecture)
  return scope.run(function()
    local fast, signal = fused:quantised(plan)
    if signal then fast = require "mien.nn.sequential" { fast, dequantise.create { step = signal.step } } end
    fast.int8_ranges, fast.architecture = plan.ranges, architecture
    return fast:train(false)
  end)
end

local known = { frames = "any", corpus = "table", partition = "string", size = "table", resize = "table",
  scale = "table", range = "string" }

--- A copy of a model for inference in 8-bit whole numbers: 1.8 times as fast as bf16 on a processor with VNNI.
--   local fast = nn.quantise(model, { corpus = mien.data.open "corpora/recola.h5", frames = 256 })
--   local fast = nn.quantise(model, { frames = tensor })        -- as the model takes them
-- Batch norm, ReLU and sums become part of the convolutions, as nn.fuse does it; weights get 255 steps for each
-- filter, activations 255 steps, whose size is calibrated on the frames; LSTM and heads stay in f32. Frames of a
-- corpus lie evenly in its partition ("train"); size = { height, width } is the network's, cut out of
-- the middle of frames that were brought to `resize` (size, when left out); it and `scale` must be those of its
-- validation, as data.loader takes them. range: where activations are cut off,
-- "mse" (the least mean square error, the default) or "max" (nowhere). checkpoint.save_weights keeps such a network,
-- too: `mien predict` and models.from_weights take the file.
function quantise.quantise(model, options)
  if not module.is(model) then
    check.raise("argument", "nn.quantise takes a module, got %s", check.describe(model))
  end
  options = check.keys(options or {}, known, "nn.quantise")
  if model.device == "cpu" then require_kernels("nn.quantise", "nn.fuse(model) is the fast form here") end
  local fused = model:fused():train(false)
  fused.activations = nil -- pictures come in f32, whatever the model's precision
  local plan = calibrate.observer(options.range)
  fused:quantised(plan)
  if #plan.order == 0 then
    check.raise("argument", "nn.quantise: %s has no convolution that can be fused (see nn.fuse)", model.class_name)
  end
  local pictures = rawget(fused, "features_out") ~= nil -- an extractor takes pictures, not sequences
  plan:watch(function()
    calibrate.frames(options, function(frames)
      if pictures and frames.ndim == 5 then frames = frames:reshape { -1, unpack(frames.shape, 3) } end
      fused(fused:place(frames))
    end)
  end)
  return build(fused, plan, rawget(model, "architecture"))
end

--- The form of a model whose numbers a weight file holds: `ranges` as the quantised one had them, and its tensors
-- empty, for :load. what: the file, for messages.
function quantise.empty(model, ranges, what)
  require_kernels(what, "it holds a quantised network; take the f32 weights that it was made from")
  local plan = calibrate.recorded(ranges)
  local fast = build(model:fused(), plan, rawget(model, "architecture"))
  if plan.at ~= #ranges then
    check.raise("format", "%s: %d numbers in int8_ranges, the network has %d: a damaged file", what, #ranges, plan.at)
  end
  return fast
end

return quantise
