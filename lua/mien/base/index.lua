-- The one place where 1-based Lua positions become 0-based C positions and back.
-- Everything that Lua names by its place counts from 1: dimensions, elements, frames, windows, rows, classes. What C, its
-- ops (`mien.op`) and files hold counts from 0.
-- Not here: looking at elements (tensor/access.lua).
local check = require "mien.base.check"

local index = {}

--- What a message about a wrong position ends with.
local function from_one(i)
  return i == 0 and "; positions begin at 1" or ""
end

--- A 0-based dimension from a 1-based one; negative ones count from the end (-1 is the last).
function index.dim(dim, ndim, what)
  if type(dim) ~= "number" or dim % 1 ~= 0 or dim == 0 or dim > ndim or dim < -ndim then
    check.raise("argument", "%s: dimension %s is not one of 1 to %d%s", what, tostring(dim), ndim, from_one(dim))
  end
  return dim > 0 and dim - 1 or ndim + dim
end

--- A 0-based position from a 1-based one in `size` entries; negative ones count from the end.
function index.position(i, size, what)
  if type(i) ~= "number" or i % 1 ~= 0 or i == 0 or i > size or i < -size then
    check.raise("argument", "%s: position %s is not one of 1 to %d%s", what, tostring(i), size, from_one(i))
  end
  return i > 0 and i - 1 or size + i
end

--- A 0-based start from a 1-based first entry; first .. first + length - 1 must lie in `size` entries.
function index.range(first, length, size, what)
  if type(first) ~= "number" or type(length) ~= "number" or first % 1 ~= 0 or length % 1 ~= 0
    or first < 1 or length < 0 or first + length - 1 > size then
    check.raise("argument", "%s: first %s, length %s does not lie in 1 to %d%s", what, tostring(first),
      tostring(length), size, from_one(first))
  end
  return first - 1
end

--- A 0-based first row and a number of rows from a 1-based first one (1 when left out) and a number (all that follow
-- when left out), out of `size` rows.
function index.rows(first, count, size, what)
  first = first or 1
  if not count then count = type(first) == "number" and math.max(size - first + 1, 0) or size end
  return index.range(first, count, size, what), count
end

--- The 1-based position of a 0-based one.
function index.from_c(i) return i + 1 end

--- Classes as C and files count them, from 0, become Lua's, in place: n numbers of an FFI array.
function index.classes_from_c(numbers, n)
  for i = 0, n - 1 do numbers[i] = numbers[i] + 1 end
end

--- The other way round. `classes` is how many there are; one that is none of them is an error that names its place.
function index.classes_to_c(numbers, n, classes, what)
  for i = 0, n - 1 do
    if numbers[i] < 1 or numbers[i] > classes then
      check.raise("argument", "%s %d: class %d is not one of 1 to %d%s", what, i + 1, tonumber(numbers[i]), classes,
        numbers[i] == 0 and "; classes begin at 1" or "")
    end
  end
  for i = 0, n - 1 do numbers[i] = numbers[i] - 1 end
end

return index
