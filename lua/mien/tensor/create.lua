-- Makes tensors: from Lua tables, of zeros, ones, random numbers, ranges.
-- Not here: reading a file (checkpoint, data).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local handle = require "mien.tensor.handle"
local rng = require "mien.tensor.rng"

local create = {}

create.dtypes = { f32 = C.MIEN_F32, bf16 = C.MIEN_BF16, f16 = C.MIEN_F16, f64 = C.MIEN_F64, u8 = C.MIEN_U8,
  i32 = C.MIEN_I32, i64 = C.MIEN_I64, i8 = C.MIEN_I8 }
create.devices = { cpu = C.MIEN_DEVICE_CPU, cuda = C.MIEN_DEVICE_CUDA }
local dtype_names = { "f32", "bf16", "f16", "f64", "u8", "i32", "i64", "i8" }

--- C's number of a dtype by name; nil means f32.
function create.dtype(name, what)
  return create.dtypes[check.one_of(name or "f32", dtype_names, what .. ": dtype")]
end

--- C's number of a device by name; nil means the CPU.
function create.device(name, what)
  return create.devices[check.one_of(name or "cpu", { "cpu", "cuda" }, what .. ": device")]
end

local sizes = ffi.new "int64_t[6]"

--- An unset tensor of a Lua shape.
local function new(shape, options, what)
  if #shape > 6 then check.raise("shape", "%s: a tensor has at most 6 dimensions, got %d", what, #shape) end
  for i, size in ipairs(shape) do
    if type(size) ~= "number" or size % 1 ~= 0 or size < 0 then
      check.raise("shape", "%s: size %d must be an integer >= 0, got %s", what, i, check.describe(size))
    end
    sizes[i - 1] = size
  end
  local dtype, place = create.dtype(options.dtype, what), create.device(options.device, what)
  return handle.wrap(C.mien_tensor_new(dtype, place, #shape, sizes))
end

local known = { dtype = "string", device = "string", rng = "cdata" }

--- Takes { 2, 3 }, { 2, 3, dtype = "f64" }, ({ 2, 3 }, { dtype = "f64" }) or (2, 3) apart.
local function shape_and_options(what, first, ...)
  local shape, options = {}, {}
  if type(first) == "table" then
    for key, value in pairs(first) do
      if type(key) == "number" then shape[key] = value else options[key] = value end
    end
    for key, value in pairs(check.type((...) or {}, "table", what .. ": options")) do options[key] = value end
  else
    for _, value in ipairs { first, ... } do
      if type(value) == "table" then options = value else shape[#shape + 1] = value end
    end
  end
  return shape, check.keys(options, known, what)
end

local function filled(name, fill)
  create[name] = function(...)
    local shape, options = shape_and_options(name, ...)
    local t = new(shape, options, name)
    fill(t, options)
    return t
  end
end

--- A tensor to be written whole: mien.empty{ 2, 3 }; the last table may say dtype and device. Its elements are
-- zeros: what old memory holds could be NaNs that LuaJIT takes for objects.
filled("empty", function(t) check.status(C.mien_tensor_fill(t, 0)) end)
--- A tensor of zeros: mien.zeros{ 2, 3 }, mien.zeros({ 2, 3 }, { dtype = "f64" }).
filled("zeros", function(t) check.status(C.mien_tensor_fill(t, 0)) end)
--- A tensor of ones; see zeros.
filled("ones", function(t) check.status(C.mien_tensor_fill(t, 1)) end)
--- Standard normal numbers: mien.randn{ 2, 3, rng = stream }; without rng from the default stream.
filled("randn", function(t, options) (options.rng or rng.default "random"):fill_normal(t) end)
--- Numbers uniform in [0, 1); see randn.
filled("rand", function(t, options) (options.rng or rng.default "random"):fill_uniform(t) end)

--- A tensor of one value: mien.full({ 2, 3 }, 0.5).
function create.full(shape, value, options)
  local t = create.empty(shape, options)
  check.status(C.mien_tensor_fill(t, check.type(value, "number", "full: value")))
  return t
end

--- The numbers first, first + step ... up to and including last, as Lua's `for` counts; arange(n) is 1 .. n.
function create.arange(first, last, step, options)
  if last == nil then first, last = 1, first end
  if type(step) == "table" then step, options = nil, step end
  step = check.type(step or 1, "number", "arange: step")
  check.type(first, "number", "arange: first")
  check.type(last, "number", "arange: last")
  local steps = (last - first) / step
  if steps ~= steps or steps >= 2 ^ 31 then
    check.raise("argument", "arange: from %g to %g in steps of %g has no end, or too far away", first, last, step)
  end
  local n = math.max(0, math.floor(steps + 1e-9) + 1)
  local values = ffi.new("double[?]", math.max(n, 1))
  for i = 0, n - 1 do values[i] = first + i * step end
  local t = create.empty({ n }, options)
  check.status(C.mien_tensor_write(t, values, n))
  return t
end

--- The shape of nested tables, from their first entries.
local function shape_of(values)
  local shape = {}
  while type(values) == "table" do
    shape[#shape + 1] = #values
    values = values[1]
  end
  return shape
end

local function flatten(values, shape, depth, out, n)
  if depth > #shape then
    if type(values) ~= "number" then
      check.raise("argument", "tensor: elements must be numbers, got %s", check.describe(values))
    end
    out[n] = values
    return n + 1
  end
  if type(values) ~= "table" or #values ~= shape[depth] then
    local found = type(values) == "table" and tostring(#values) or check.describe(values)
    check.raise("shape", "tensor: ragged tables: dimension %d has size %d, but one entry has %s", depth,
      shape[depth], found)
  end
  for i = 1, shape[depth] do n = flatten(values[i], shape, depth + 1, out, n) end
  return n
end

--- Makes a tensor from a number or nested Lua tables: mien.tensor{ { 1, 2 }, { 3, 4 } }.
-- The dtype is f32; mien.tensor({ 1, 2 }, { dtype = "i64" }) or mien.tensor{ 1, 2, dtype = "i64" } another.
-- Ragged tables are an error.
function create.tensor(values, options)
  local said = {}
  if type(values) == "table" then
    for key, value in pairs(values) do
      if type(key) ~= "number" then said[key] = value end
    end
  end
  for key, value in pairs(check.type(options or {}, "table", "tensor: options")) do said[key] = value end
  check.keys(said, known, "tensor")
  local shape = shape_of(values)
  local t = new(shape, said, "tensor")
  local n = tonumber(C.mien_tensor_count(t))
  local flat = ffi.new("double[?]", math.max(n, 1))
  flatten(values, shape, 1, flat, 0)
  check.status(C.mien_tensor_write(t, flat, n))
  return t
end

return create
