-- Looks at tensors and their elements: sizes, dtype, single entries, Lua tables, copies.
-- Not here: views (tensor/view.lua), how a tensor is printed (print.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local doubles = require "mien.base.doubles"
local index = require "mien.base.index"
local handle = require "mien.tensor.handle"
local create = require "mien.tensor.create"
local op = require "mien.tensor.call"

local methods, fields = handle.methods, handle.fields
local access = {}

local device_names = { [0] = "cpu", "cuda" }

--- The size of dimension i (-1 is the last); t.shape has all of them.
function methods.size(t, i)
  if i == nil then check.raise("argument", "t:size(i) takes a dimension; all sizes are t.shape") end
  return tonumber(C.mien_tensor_size(t, index.dim(i, C.mien_tensor_ndim(t), "size")))
end

--- The number of elements.
function methods.count(t) return tonumber(C.mien_tensor_count(t)) end

-- What a tensor is, is a field; what needs an argument, looks at the elements or changes something is a method.
function fields.shape(t)
  local shape = {}
  for d = 1, C.mien_tensor_ndim(t) do shape[d] = tonumber(C.mien_tensor_size(t, d - 1)) end
  return shape
end
function fields.ndim(t) return C.mien_tensor_ndim(t) end
function fields.dtype(t) return ffi.string(C.mien_dtype_name(C.mien_tensor_dtype(t))) end
function fields.device(t) return device_names[tonumber(C.mien_tensor_device(t))] end
function fields.name(t)
  local name = C.mien_tensor_name(t)
  if name ~= nil then return ffi.string(name) end
end
function fields.freed(t) return C.mien_tensor_is_freed(t) end

--- The size of dimension 1: what `#t` gives; 0 for a scalar.
function access.length(t)
  return C.mien_tensor_ndim(t) > 0 and tonumber(C.mien_tensor_size(t, 0)) or 0
end

-- ---- elements ----------------------------------------------------------------------------------

local position, value = ffi.new "int64_t[6]", ffi.new "double[1]"

--- The element at 1-based positions as a number: t:at(2, 3).
function methods.at(t, ...)
  local ndim = C.mien_tensor_ndim(t)
  if select("#", ...) ~= ndim then
    check.raise("argument", "at: %d dimensions need as many positions, got %d", ndim, select("#", ...))
  end
  for d = 0, ndim - 1 do
    position[d] = index.position((select(d + 1, ...)), tonumber(C.mien_tensor_size(t, d)), "at")
  end
  check.status(C.mien_tensor_get(t, position, value))
  return value[0]
end

--- The one element of a tensor that has one, as a number.
function methods.item(t)
  if C.mien_tensor_count(t) ~= 1 then
    check.raise("shape", "item: the tensor has %d elements %s, not one", t:count(), access.shape_text(t))
  end
  check.status(C.mien_tensor_read(t, value, 1))
  return value[0]
end

--- t[i]: entry i of dimension 1 as a view; a number when the tensor has one dimension.
function access.entry(t, i)
  if C.mien_tensor_ndim(t) == 1 then return methods.at(t, i) end
  return t:select(1, i)
end

--- t[i] = number, tensor or nested table.
function access.set_entry(t, i, new)
  if C.mien_tensor_ndim(t) == 1 and type(new) == "number" then
    position[0] = index.position(i, access.length(t), "t[i]")
    return check.status(C.mien_tensor_set(t, position, new))
  end
  local at = index.position(i, access.length(t), "t[i]")
  local part = op.narrow(t:detach(), { dim = 0, start = at, length = 1 })
  if type(new) == "number" then return part:fill_(new) end
  local source = handle.is(new) and new:detach() or create.tensor(new, { dtype = t.dtype })
  part:copy_(source:reshape(part.shape))
end

--- "[2,150,3]".
function access.shape_text(t)
  return "[" .. table.concat(t.shape, ",") .. "]"
end

--- All elements in row-major order: a double array of the FFI, and their number.
function methods.doubles(t)
  return doubles.from(t)
end

--- The elements as nested Lua tables (a number for a scalar).
function methods.totable(t)
  local flat, shape, n = methods.doubles(t), t.shape, 0
  local function level(depth)
    if depth > #shape then
      n = n + 1
      return flat[n - 1]
    end
    local rows = {}
    for i = 1, shape[depth] do rows[i] = level(depth + 1) end
    return rows
  end
  return level(1)
end

local pointers = { f32 = "float *", f64 = "double *", u8 = "uint8_t *", i32 = "int32_t *", i64 = "int64_t *",
  i8 = "int8_t *", f16 = "uint16_t *", bf16 = "uint16_t *" }
for name, ctype in pairs(pointers) do pointers[name] = ffi.typeof(ctype) end

--- A typed FFI pointer to element 0: float*, double*, uint8_t*, int8_t*, int32_t*, int64_t*; uint16_t* for f16, bf16.
-- It is valid while the tensor lives; the elements are in row-major order when the tensor is contiguous.
function methods.data(t)
  return ffi.cast(pointers[t.dtype], check.pointer(C.mien_tensor_data(t)))
end

-- ---- copies, filling, letting go -----------------------------------------------------------------

--- Copies the elements of `src` (same shape, any dtype) into t; returns t.
function methods.copy_(t, src)
  check.status(C.mien_tensor_copy(t, check.type(src, "tensor", "copy_: source")))
  return t
end

--- Sets every element to a number; returns t.
function methods.fill_(t, number)
  check.status(C.mien_tensor_fill(t, check.type(number, "number", "fill_: value")))
  return t
end

local place, cast = { dtype = "string", device = "string" }, { dtype = 0 }

--- The same elements in another dtype ("f64") or on another device ("cuda"), or both:
-- t:to{ device = "cuda", dtype = "bf16" }. A copy, t stays as it is (t:move_ moves; model:to and optimiser:to move, too,
-- as their tensors are held in many places). Gradients flow back through a change between float dtypes
-- (op.cast); what changes the device, or holds integers, has no history.
function methods.to(t, target)
  local dtype, device = C.mien_tensor_dtype(t), C.mien_tensor_device(t)
  if type(target) == "table" then
    check.keys(target, place, "to")
    if target.dtype then dtype = create.dtype(target.dtype, "to") end
    if target.device then device = create.device(target.device, "to") end
  elseif create.devices[target] then
    device = create.devices[target]
  else
    dtype = create.dtype(target, "to")
  end
  if C.mien_tensor_requires_grad(t) and C.mien_grad_enabled() and dtype ~= C.mien_tensor_dtype(t)
    and dtype <= C.MIEN_F64 and device == C.mien_tensor_device(t) then
    cast.dtype = tonumber(dtype)
    return op.cast(t, cast)
  end
  return handle.wrap(C.mien_tensor_to(t, dtype, device))
end

--- Brings the elements to "cpu" or "cuda" in place, so that all who hold t have them there; its gradient is
-- dropped. Returns t.
function methods.move_(t, where)
  check.status(C.mien_tensor_move(t, create.device(where, "move_")))
  return t
end

--- A copy without gradient history.
function methods.clone(t)
  return handle.wrap(C.mien_tensor_to(t, C.mien_tensor_dtype(t), C.mien_tensor_device(t)))
end

--- Lets go of the elements now; every later use is an error that says so. What backward needs stays.
function methods.free(t)
  C.mien_tensor_free(t)
end

--- Sets all elements, in row-major order, from a double array of the FFI; returns t.
function methods.write_(t, values, n)
  check.status(C.mien_tensor_write(t, values, n))
  return t
end

local summary = ffi.new "double[5]"

--- mean, standard deviation (1/n), minimum, maximum and the number of elements that are not finite.
function methods.summary(t)
  check.status(C.mien_tensor_summary(t, summary))
  return summary[0], summary[1], summary[2], summary[3], summary[4]
end

local finite = ffi.new "bool[1]"

--- True when no element is NaN or infinite.
function methods.is_finite(t)
  check.status(C.mien_tensor_is_finite(t, finite))
  return finite[0]
end

return access
