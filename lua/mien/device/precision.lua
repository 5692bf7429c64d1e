-- Precisions: what activations are kept in, and where that can be computed.
-- Not here: which tensors they are (nn/module.lua), loss scaling for fp16 (optim/scaler.lua).
local backend = require "mien.device.backend"
local check = require "mien.base.check"
local device = require "mien.device"
local tensor = require "mien.tensor"

local precision = {}

--- f32; tf32: f32 whose products a GPU may round to TF32 (on the CPU the same as f32); bf16 and fp16: features in
-- 16 bits. Parameters, statistics, losses and the optimiser's state are in f32 with all of them.
precision.names = { "f32", "tf32", "bf16", "fp16" }

local activations = { f32 = "f32", tf32 = "f32", bf16 = "bf16", fp16 = "f16" }

--- The dtype that activations have: precision.activations "fp16" is "f16".
function precision.activations(name)
  return activations[check.one_of(name, precision.names, "precision")]
end

--- Who computes a convolution of this dtype on the CPU.
local function server(dtype)
  local x, w = tensor.zeros { 1, 16, 8, 8, dtype = dtype }, tensor.zeros { 16, 16, 3, 3 }
  local name = backend.serving("conv2d", { x, w }, { pad_top = 1, pad_left = 1, pad_bottom = 1, pad_right = 1 })
  x:free()
  w:free()
  return name
end

--- True when `where` ("cpu" or "cuda") computes in this precision with kernels of its own. The CPU's naive loops
-- (backend "ref") are thousands of times slower and count only when they were chosen: mien.backend.use "ref".
function precision.available(name, where)
  local dtype = precision.activations(name)
  return where == "cuda" or dtype == "f32" or server(dtype) == backend.current()
end

--- The precisions that `where` computes in.
function precision.on(where)
  local can = {}
  for _, name in ipairs(precision.names) do
    if precision.available(name, where) then can[#can + 1] = name end
  end
  return can
end

--- Raises an error that names what can be had when `where` cannot compute in this precision; returns its name.
function precision.require(name, where)
  if precision.available(name, where) then return name end
  local _, no_gpu = device.has_gpu()
  check.raise("device", 'precision = "%s" cannot be computed on this CPU; it computes in %s%s', name,
    table.concat(precision.on(where), ", "), no_gpu and " (" .. no_gpu:match "^[^\n]*" .. ")" or '; device = "cuda" does')
end

--- Brings a model to a device ("auto", "cpu", "cuda") and sets its precision; nil keeps what it has. An error, before
-- anything has changed, when the device or the precision there cannot be had. Returns the model.
function precision.place(model, where, name)
  local target = device.choose(where or model.device)
  precision.require(name or model.precision, target)
  model:to(target)
  return name and model:precision_(name) or model
end

return precision
