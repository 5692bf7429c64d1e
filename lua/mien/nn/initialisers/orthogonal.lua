-- Random orthogonal matrices: Gram-Schmidt, in double, on normal numbers.
-- Not here: which tensors get them (init.lua).
local ffi = require "ffi"
local tensor = require "mien.tensor"

--- Subtracts from row i of `a` its parts along the rows before it.
local function orthogonalise(a, i, columns)
  local row = a + i * columns
  for k = 0, i - 1 do
    local other, dot = a + k * columns, 0
    for j = 0, columns - 1 do dot = dot + row[j] * other[j] end
    for j = 0, columns - 1 do row[j] = row[j] - dot * other[j] end
  end
end

--- Fills t [rows, ...] with gain times a matrix of orthonormal rows (columns when there are more rows than
-- columns). Normal numbers before Gram-Schmidt make every such matrix equally likely.
return function(t, stream, gain)
  local rows = t:size(1)
  local columns = t:count() / rows
  local turned = rows > columns
  if turned then rows, columns = columns, rows end
  local drawn = stream:fill_normal(tensor.empty { rows, columns, dtype = "f64" })
  local a = drawn:data()
  for i = 0, rows - 1 do
    orthogonalise(a, i, columns)
    orthogonalise(a, i, columns) -- twice is enough (Giraud et al. 2005)
    local norm, row = 0, a + i * columns
    for j = 0, columns - 1 do norm = norm + row[j] * row[j] end
    norm = math.sqrt(norm)
    for j = 0, columns - 1 do row[j] = row[j] / norm end
  end
  local values = ffi.new("double[?]", rows * columns)
  for i = 0, rows - 1 do
    for j = 0, columns - 1 do
      values[turned and j * rows + i or i * columns + j] = gain * a[i * columns + j]
    end
  end
  t:write_(values, rows * columns)
end
