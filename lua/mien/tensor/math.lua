-- Arithmetic on tensors: operators with numbers and tensors, functions, reductions, joining.
-- Not here: 0-based attributes and layers (mien.op, nn).
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local index = require "mien.base.index"
local handle = require "mien.tensor.handle"
local op = require "mien.tensor.call"
local renamed = require "mien.base.renamed"

local methods = handle.methods
local arithmetic = {}

local affine = { scale = 1, shift = 0, divisor = 1 } -- filled anew for every call: numbers need no tensors

local function scale_shift(t, scale, shift)
  affine.scale, affine.shift, affine.divisor = scale, shift, 1
  return op.affine(t, affine)
end

local function bad(sign, a, b)
  check.raise("argument", "%s %s %s: only tensors and numbers can be combined", check.describe(a), sign,
    check.describe(b))
end

--- a + b for tensors (broadcast as NumPy does) and numbers.
function arithmetic.add(a, b)
  if type(b) == "number" then return scale_shift(a, 1, b) end
  if type(a) == "number" then return scale_shift(b, 1, a) end
  if not (handle.is(a) and handle.is(b)) then bad("+", a, b) end
  return op.add(a, b)
end

--- a - b; see add.
function arithmetic.sub(a, b)
  if type(b) == "number" then return scale_shift(a, 1, -b) end
  if type(a) == "number" then return scale_shift(b, -1, a) end
  if not (handle.is(a) and handle.is(b)) then bad("-", a, b) end
  return op.sub(a, b)
end

--- a * b element by element; see add.
function arithmetic.mul(a, b)
  if type(b) == "number" then return scale_shift(a, b, 0) end
  if type(a) == "number" then return scale_shift(b, a, 0) end
  if not (handle.is(a) and handle.is(b)) then bad("*", a, b) end
  return op.mul(a, b)
end

--- a / b element by element; see add. A division, not a product with the reciprocal: 41 / 41 is 1.
function arithmetic.div(a, b)
  if type(b) == "number" then
    affine.scale, affine.shift, affine.divisor = 1, 0, b
    return op.affine(a, affine)
  end
  if type(a) == "number" then return op.power(b, { exponent = -1, scale = a }) end
  if not (handle.is(a) and handle.is(b)) then bad("/", a, b) end
  return op.div(a, b)
end

--- t ^ exponent for a number as exponent.
function arithmetic.pow(t, exponent)
  if type(exponent) ~= "number" or not handle.is(t) then bad("^", t, exponent) end
  return op.power(t, { exponent = exponent })
end

--- -t
function arithmetic.neg(t)
  return scale_shift(t, -1, 0)
end

methods.add, methods.sub, methods.mul, methods.div, methods.pow =
  arithmetic.add, arithmetic.sub, arithmetic.mul, arithmetic.div, arithmetic.pow

local same = { "relu", "sigmoid", "tanh", "exp", "log", "abs", "softmax", "log_softmax", "matmul" }
for _, name in ipairs(same) do
  methods[name] = op[name]
end

--- Square root, as the power 1/2.
function methods.sqrt(t)
  return op.power(t, { exponent = 0.5 })
end

--- t:sum(), t:mean(), t:max(): over all elements, or t:sum(2, { keep = false }) over one dimension; keep = true leaves
-- size 1 there.
for _, name in ipairs { "sum", "mean", "max" } do
  methods[name] = function(t, dim, options)
    if dim == nil then return op[name](t) end
    if type(options) == "boolean" then renamed.form(name, options, "{ keep = true }") end
    local keep = options and check.keys(options, { keep = "boolean" }, name).keep
    return op[name](t, { dim = index.dim(dim, C.mien_tensor_ndim(t), name), keep = keep and 1 or 0 })
  end
end

--- The smallest element; see max.
function methods.min(t, dim, options)
  return arithmetic.neg(methods.max(arithmetic.neg(t), dim, options))
end

local MOST = 8 -- tensors that one concat takes

--- Joins tensors along an existing dimension (1 when left out): mien.cat({ a, b, c }, 2).
function arithmetic.cat(list, dim)
  check.type(list, "table", "cat: list")
  if #list == 0 then check.raise("argument", "cat: the list is empty") end
  check.type(list[1], "tensor", "cat: entry 1")
  local options = { dim = index.dim(dim or 1, C.mien_tensor_ndim(list[1]), "cat") }
  while #list > MOST do
    local groups = {}
    for first = 1, #list, MOST do
      local group = { unpack(list, first, math.min(first + MOST - 1, #list)) }
      groups[#groups + 1] = #group > 1 and op.concat(group, options) or group[1]
    end
    list = groups
  end
  return op.concat(list, options)
end

--- Joins tensors of one shape along a new first dimension: mien.stack{ a, b } of [T,D] is [2,T,D].
function arithmetic.stack(list)
  check.type(list, "table", "stack: list")
  local rows = {}
  for i, t in ipairs(list) do
    local shape = check.type(t, "tensor", "stack: entry " .. i).shape
    table.insert(shape, 1, 1)
    rows[i] = t:reshape(shape)
  end
  return arithmetic.cat(rows, 1)
end

return arithmetic
