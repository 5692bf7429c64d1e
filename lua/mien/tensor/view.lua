-- Other shapes of the same elements: views wherever the layout allows it.
-- Not here: arithmetic (tensor/math.lua).
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local index = require "mien.base.index"
local handle = require "mien.tensor.handle"
local op = require "mien.tensor.call"

local methods = handle.methods

local function list(...)
  local first = ...
  return type(first) == "table" and first or { ... }
end

--- The same elements in another shape: t:reshape{ 2, -1 } or t:reshape(2, -1); one size may be -1.
function methods.reshape(t, ...)
  local shape = list(...)
  if #shape > 6 then check.raise("shape", "reshape: at most 6 dimensions, got %d", #shape) end
  local options = { ndim = #shape }
  for i, size in ipairs(shape) do
    options["d" .. (i - 1)] = check.type(size, "integer", "reshape: size " .. i)
  end
  return op.reshape(t, options)
end

--- A view of `length` entries of dimension `dim` from entry `first` on (all 1-based).
function methods.narrow(t, dim, first, length)
  local d = index.dim(dim, C.mien_tensor_ndim(t), "narrow")
  local start = index.range(first, length, tonumber(C.mien_tensor_size(t, d)), "narrow")
  return op.narrow(t, { dim = d, start = start, length = length })
end

--- Entry i of dimension `dim`, without that dimension: t:select(2, 1) of [B,T,D] is [B,D].
function methods.select(t, dim, i)
  local shape = t.shape
  local d = index.dim(dim, #shape, "select")
  local start = index.position(i, shape[d + 1], "select")
  table.remove(shape, d + 1)
  return op.narrow(t, { dim = d, start = start, length = 1 }):reshape(shape)
end

--- A view with dimensions in another order: t:permute{ 1, 3, 2 }.
function methods.permute(t, ...)
  local order, ndim = list(...), C.mien_tensor_ndim(t)
  if #order ~= ndim then
    check.raise("argument", "permute: a tensor of %d dimensions needs as many numbers, got %d", ndim, #order)
  end
  local options = {}
  for i, dim in ipairs(order) do options["p" .. (i - 1)] = index.dim(dim, ndim, "permute") end
  return op.permute(t, options)
end

--- A view with dimensions a and b exchanged (the two of a matrix when left out).
function methods.transpose(t, a, b)
  local order, ndim = {}, C.mien_tensor_ndim(t)
  local x, y = index.dim(a or 1, ndim, "transpose"), index.dim(b or 2, ndim, "transpose")
  for i = 1, ndim do order[i] = i end
  order[x + 1], order[y + 1] = order[y + 1], order[x + 1]
  return methods.permute(t, order)
end

--- Joins all dimensions from `first` on: [N,C,H,W] with first = 2 (default 1) is [N,C*H*W].
function methods.flatten(t, first)
  local shape = t.shape
  local d = index.dim(first or 1, #shape, "flatten")
  local joined, rest = {}, 1
  for i = 1, d do joined[i] = shape[i] end
  for i = d + 1, #shape do rest = rest * shape[i] end
  joined[d + 1] = rest
  return methods.reshape(t, joined)
end

return methods
