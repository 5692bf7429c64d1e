-- Numbers from wherever they are (Lua arrays, tensors, double pointers) as one buffer of doubles for C.
-- Not here: what is computed from them (metric.lua, post/init.lua, stats.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"

local doubles = {}

local double_pointer = ffi.typeof "double *"
local double_array = ffi.typeof "double[?]"

--- A new buffer of n doubles (at least one, so that its address is valid).
function doubles.new(n)
  return double_array(math.max(n, 1))
end

local function from_tensor(t)
  local n = tonumber(C.mien_tensor_count(t))
  local buffer = doubles.new(n)
  check.status(C.mien_tensor_read(t, buffer, n))
  return buffer, n
end

local function number_at(value, place, what)
  if type(value) == "boolean" then return value and 1 or 0 end
  if type(value) ~= "number" then
    check.raise("argument", "%s: value %s is %s, not a number", what, place, check.describe(value))
  end
  return value
end

--- `value` as doubles in row-major order: buffer, count. A tensor of any shape, a Lua array of numbers (true
-- is 1), or a double pointer with its count `n`. A pointer is used where it is, the others are copied.
function doubles.from(value, n, what)
  what = what or "numbers"
  if check.is_tensor(value) then return from_tensor(value) end
  if type(value) == "table" then
    local buffer = doubles.new(#value)
    for i = 1, #value do buffer[i - 1] = number_at(value[i], i, what) end
    return buffer, #value
  end
  local array = type(value) == "cdata" and ffi.istype(double_array, value)
  if array or type(value) == "cdata" and ffi.istype(double_pointer, value) then
    n = n or array and ffi.sizeof(value) / 8
    if not n then check.raise("argument", "%s: a double pointer needs its count", what) end
    return value, n
  end
  check.raise("argument", "%s: a Lua array, a tensor or a double pointer is wanted, got %s", what,
    check.describe(value))
end

--- Two lists of the same length: buffer a, buffer b, count.
function doubles.pair(a, b, n, what)
  local pa, na = doubles.from(a, n, what .. ": predictions")
  local pb, nb = doubles.from(b, n, what .. ": gold standard")
  if na ~= nb then
    check.raise("shape", "%s: %d predictions meet %d values of the gold standard", what, na, nb)
  end
  return pa, pb, na
end

--- A table of rows as doubles [rows, columns]: buffer, rows, columns. A tensor's last dimension is the column
-- ([B,T,K] counts as B*T rows); one dimension, or an array of numbers, is one column.
function doubles.matrix(value, what)
  if check.is_tensor(value) then
    local dims = C.mien_tensor_ndim(value)
    local buffer, n = from_tensor(value)
    local columns = dims > 1 and tonumber(C.mien_tensor_size(value, dims - 1)) or 1
    return buffer, columns > 0 and n / columns or 0, columns
  end
  if type(value) ~= "table" or type(value[1]) ~= "table" then
    local buffer, n = doubles.from(value, nil, what)
    return buffer, n, 1
  end
  local rows, columns = #value, #value[1]
  local buffer = doubles.new(rows * columns)
  for i, row in ipairs(value) do
    if #row ~= columns then
      check.raise("shape", "%s: row %d has %d values, row 1 has %d", what, i, #row, columns)
    end
    for k = 1, columns do
      buffer[(i - 1) * columns + k - 1] = number_at(row[k], ("%d,%d"):format(i, k), what)
    end
  end
  return buffer, rows, columns
end

--- A buffer's n values as a Lua array.
function doubles.list(buffer, n)
  local list = {}
  for i = 1, n do list[i] = buffer[i - 1] end
  return list
end

return doubles
