-- Tensors: assembles creation, views, arithmetic, access to elements and gradients into one type.
-- Not here: any of them (tensor/*.lua), printing (print.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local renamed = require "mien.base.renamed"
local scope = require "mien.tensor.scope"
local handle = require "mien.tensor.handle"

local methods, fields = handle.methods, handle.fields
local create = require "mien.tensor.create"
local access = require "mien.tensor.access"
require "mien.tensor.view"
local arithmetic = require "mien.tensor.math"
require "mien.tensor.grad"

local function index(t, key)
  local method = methods[key]
  if method then return method end
  if type(key) == "number" then return access.entry(t, key) end
  local field = fields[key]
  if field then return field(t) end
  local known = {}
  renamed.refuse("tensor", key)
  for name in pairs(methods) do known[name] = true end
  for name in pairs(fields) do known[name] = true end
  check.unknown("tensor", "method or field", key, known)
end

local function newindex(t, key, value)
  if type(key) == "number" then return access.set_entry(t, key, value) end
  if key == "name" then return C.mien_tensor_set_name(t, value) end
  if key == "grad" then return check.status(C.mien_tensor_set_grad(t, scope.keep(value))) end
  if key == "requires_grad" then
    check.raise("argument", "tensor: requires_grad cannot be assigned; t:requires_grad_(true) or (false) sets it")
  end
  check.raise("argument", "tensor: %s cannot be assigned; t[i], t.name and t.grad can", check.describe(key))
end

ffi.metatype("mien_tensor", {
  __index = index,
  __newindex = newindex,
  __len = access.length,
  __tostring = function(t) return require("mien.base.print").tensor(t) end,
  __add = arithmetic.add, __sub = arithmetic.sub, __mul = arithmetic.mul, __div = arithmetic.div,
  __pow = arithmetic.pow, __unm = arithmetic.neg,
})

--- Makes a tensor from a number or from nested Lua tables; see tensor/create.lua for the others.
local tensor = setmetatable({ wrap = handle.wrap, borrow = handle.borrow, is = handle.is }, {
  __call = function(_, values, options) return create.tensor(values, options) end,
})
for name, make in pairs(create) do tensor[name] = make end
tensor.cat, tensor.stack = arithmetic.cat, arithmetic.stack

return tensor
