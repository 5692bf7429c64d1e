-- Devices: whether a GPU can be used and what it needs, and settings of its arithmetic.
-- Not here: moving tensors (t:to) and modules (m:to), who serves the CPU (backend.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"

local device = {}

device.names = { "auto", "cpu", "cuda" }

local chosen = ffi.new "mien_device[1]"

--- "cpu" or "cuda": what a wish comes to. "cuda" is an error that names what is missing when no GPU can be
-- used; "auto" is a GPU when one can be used, else the CPU.
function device.choose(name)
  check.one_of(name, device.names, "device")
  check.status(C.mien_device_choose(name, chosen))
  return chosen[0] == C.MIEN_DEVICE_CUDA and "cuda" or "cpu"
end

--- True when a GPU can be used; else false and a message that tells what is missing.
function device.has_gpu()
  if C.mien_device_count(C.MIEN_DEVICE_CUDA) > 0 then return true end
  return false, ffi.string(C.mien_error_last().message)
end

local function version(number, major, minor)
  if number == 0 then return nil end
  return ("%d.%d"):format(math.floor(number / major), math.floor(number % major / minor))
end

--- What was found, as a table: devices, built, device, memory (bytes), arch ("9.0"), driver and runtime
-- (CUDA versions), cudnn, cudnn_path, cublaslt, cublaslt_path, nccl, nccl_path, missing; what was not found is nil.
function device.info()
  local raw = ffi.new "mien_cuda_info"
  C.mien_cuda_info_get(raw)
  local function text(chars)
    local s = ffi.string(chars)
    return s ~= "" and s or nil
  end
  local function full(number)
    return number > 0 and ("%s.%d"):format(version(number, 10000, 100), number % 100) or nil
  end
  return {
    devices = raw.devices, built = raw.built ~= 0, device = text(raw.device), memory = tonumber(raw.memory),
    arch = version(raw.arch, 10, 1), driver = version(raw.driver, 1000, 10),
    runtime = version(raw.runtime, 1000, 10), cudnn = full(raw.cudnn), cudnn_path = text(raw.cudnn_path),
    cublaslt = version(raw.cublaslt, 10000, 100), cublaslt_path = text(raw.cublaslt_path),
    nccl = full(raw.nccl), nccl_path = text(raw.nccl_path),
    missing = text(raw.missing),
  }
end

--- Waits until the GPU has done all it was given; errors of launched work appear here.
function device.synchronize()
  check.status(C.mien_device_synchronize(C.MIEN_DEVICE_CUDA))
end

local seconds = ffi.new "double[1]"

--- Runs step() `count` times (at most device.most_steps) and returns how many seconds of the device's own clock
-- each took, as a list: on a GPU by events, so that nothing waits between the steps.
function device.time(name, count, step)
  local where = device.choose(name) == "cuda" and C.MIEN_DEVICE_CUDA or C.MIEN_DEVICE_CPU
  check.type(count, "count", "device.time: count")
  if count > device.most_steps then
    check.raise("argument", "device.time: count must be at most %d, got %d", device.most_steps, count)
  end
  check.status(C.mien_device_mark(where, 0))
  for i = 1, count do
    step()
    check.status(C.mien_device_mark(where, i))
  end
  local list = {}
  for i = 1, count do
    check.status(C.mien_device_between(where, i - 1, i, seconds))
    list[i] = seconds[0]
  end
  return list
end

device.most_steps = C.MIEN_DEVICE_MARKS - 1

local function setting(name, set, get)
  device[name] = function(on)
    if on ~= nil then set(check.type(on, "boolean", "device." .. name)) end
    return get()
  end
end

--- May f32 convolutions and products on a GPU round their inputs to TF32? With a boolean it is set first.
setting("tf32", C.mien_tf32_set, C.mien_tf32)
--- The same bits on every run, on a GPU too? With a boolean it is set first.
setting("deterministic", C.mien_deterministic_set, C.mien_deterministic)
--- Time the GPU's convolution engines for each new shape? With a boolean it is set first.
setting("autotune", C.mien_autotune_set, C.mien_autotune)

return device
