-- Who computes: the backend of the CPU and its threads.
-- Not here: the backends (core/backend), figures per op (profile.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"

local backend = {}

--- Chooses who serves the CPU from now on: "cpu" (oneDNN and own kernels) or "ref" (naive loops, the judge).
function backend.use(name)
  check.status(C.mien_backend_use(check.type(name, "string", "backend.use: name")))
end

--- The name of the backend that serves the CPU.
function backend.current()
  return ffi.string(C.mien_backend_current())
end

--- One line on a backend: library, version, instruction set; nil and a message when there is none.
function backend.describe(name)
  local isa, problem = backend.isa()
  if not isa then return nil, problem end
  local text = C.mien_backend_describe(name or C.mien_backend_current())
  if text == nil then return nil, "there is no backend " .. name end
  return ffi.string(text)
end

--- The instruction set of all that the CPU computes, "avx512", "avx2" or "baseline" (the environment's MIEN_CPU_ISA,
-- else the best there is), and those that the processor has, best first; nil and a message where MIEN_CPU_ISA is none.
function backend.isa()
  local isa, sets = C.mien_cpu_isa(), {}
  if isa == nil then return nil, ffi.string(C.mien_error_last().message) end
  for name in ffi.string(C.mien_cpu_isa_sets()):gmatch "%S+" do sets[#sets + 1] = name end
  return ffi.string(isa), sets
end

--- Which backend would run an op on these inputs ("cpu", "ref", "cuda", "view"); an error when none can. Nothing
-- is computed: backend.serving("gru", { x, w_ih, w_hh, b_ih, b_hh }, { reset_after = 0 }).
function backend.serving(name, inputs, attributes)
  local op = getmetatable(require "mien.tensor.op")
  local spec = op.infos[name] or check.unknown("backend.serving", "op", name, op.infos)
  return op.serving(spec, inputs, attributes)
end

--- The number of threads; with n it is set first (0: all cores).
function backend.threads(n)
  if n then C.mien_threads_set(check.type(n, "integer", "backend.threads: n")) end
  return C.mien_threads()
end

return backend
