-- The one place where 1-based Lua positions become 0-based C positions and back.
-- Not here: looking at elements (tensor/access.lua).
local check = require "mien.base.check"

local index = {}

--- A 0-based dimension from a 1-based one; negative ones count from the end (-1 is the last).
function index.dim(dim, ndim, what)
  if type(dim) ~= "number" or dim % 1 ~= 0 or dim == 0 or dim > ndim or dim < -ndim then
    check.raise("argument", "%s: dimension %s is not one of 1 to %d", what, tostring(dim), ndim)
  end
  return dim > 0 and dim - 1 or ndim + dim
end

--- A 0-based position from a 1-based one in `size` entries; negative ones count from the end.
function index.position(i, size, what)
  if type(i) ~= "number" or i % 1 ~= 0 or i == 0 or i > size or i < -size then
    check.raise("argument", "%s: position %s is not one of 1 to %d", what, tostring(i), size)
  end
  return i > 0 and i - 1 or size + i
end

--- A 0-based start from a 1-based first entry; first .. first + length - 1 must lie in `size` entries.
function index.range(first, length, size, what)
  if type(first) ~= "number" or type(length) ~= "number" or first % 1 ~= 0 or length % 1 ~= 0
    or first < 1 or length < 0 or first + length - 1 > size then
    check.raise("argument", "%s: first %s, length %s does not lie in 1 to %d", what, tostring(first),
      tostring(length), size)
  end
  return first - 1
end

return index
