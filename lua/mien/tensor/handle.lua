-- Handles: C's tensors as Lua values that release themselves.
-- Not here: what can be done with them (tensor/init.lua and its parts fill `methods` and `fields`).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local scope = require "mien.tensor.scope"

local handle = {}

-- A handle is a reference (`mien_tensor &`), not a pointer: C functions take it as a pointer all the
-- same, but t[i], t + 1 and a - b reach the metatable instead of being pointer arithmetic.
local reference = ffi.typeof "mien_tensor &"
local element_size = {}
for dtype = 0, 7 do element_size[dtype] = tonumber(C.mien_dtype_size(dtype)) end

--- Takes over a new reference that C returned and gives its handle; NULL raises C's last error.
-- The handle belongs to the open scope. Use `borrow` for references to tensors that others hold too.
function handle.wrap(pointer)
  if pointer == nil then check.pointer(pointer) end
  local t = ffi.gc(ffi.cast(reference, pointer), C.mien_tensor_release)
  scope.add(t, tonumber(C.mien_tensor_count(t)) * element_size[tonumber(C.mien_tensor_dtype(t))])
  return t
end

--- Like wrap, for a reference to a tensor that somebody else holds as well (a gradient): no scope frees it.
function handle.borrow(pointer)
  return ffi.gc(ffi.cast(reference, check.pointer(pointer)), C.mien_tensor_release)
end

--- True for tensors.
handle.is = check.is_tensor

--- Methods by name, and computed fields by name (functions of the tensor).
handle.methods, handle.fields = {}, {}

return handle
