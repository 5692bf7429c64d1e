-- NumPy's files: .npy (versions 1 to 3), .npz (a zip of them), and arrays inside pickles.
-- https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Not here: pickles' own form (pickle.lua).
local bytes = require "mien.weights.bytes"
local pickle = require "mien.weights.reading.pickle"

local numpy = { name = "numpy" }

local DTYPES = { f4 = "f32", f8 = "f64", f2 = "f16", u1 = "u8", b1 = "u8", i1 = "i8", i4 = "i32", i8 = "i64" }
local MAGIC = "\x93NUMPY"

--- "<f4" -> "f32", swapped; nil for what a tensor cannot hold.
function numpy.dtype(text)
  local order, kind = text:match "^([<>|=]?)(%a%d)$"
  return DTYPES[kind], order == ">"
end

--- Strides of elements whose first index runs fastest (Fortran's order).
function numpy.columns_first(shape)
  local strides, step = {}, 1
  for i, n in ipairs(shape) do
    strides[i] = step
    step = step * math.max(n, 1)
  end
  return strides
end

function numpy.is(head, file)
  return head:sub(1, 6) == MAGIC or head:sub(1, 4) == "PK\3\4" and bytes.zip(file.path)[1] ~= nil
    and bytes.zip(file.path)[1].name:find "%.npy$" ~= nil
end

-- ---- inside pickles -------------------------------------------------------------------------------------

--- The bytes of a text that Python's codecs wrote: protocol 2 keeps bytes as latin-1 in UTF-8.
local function encoded(value)
  if not (pickle.is(value, "call") and value.to.name == "_codecs.encode" and value.args[2] == "latin1") then return value end
  return type(value.args[1]) == "string" and value.args[1]:gsub("[\xc2\xc3][\x80-\xbf]", function(two)
    return string.char((two:byte(1) - 0xc0) * 64 + two:byte(2) - 0x80)
  end) or value
end

local RECONSTRUCT = { ["numpy.core.multiarray._reconstruct"] = true, ["numpy._core.multiarray._reconstruct"] = true }

--- An array of a pickle as { shape, dtype or nil, stored, read }; nil for another thing. An array of objects, of which
-- there is one, is that object: { object = value }.
function numpy.array(value, file, name)
  if not (pickle.is(value, "call") and RECONSTRUCT[value.to.name] and pickle.is(value.state, "tuple")) then return nil end
  local shape, dtype, fortran, data = value.state[2], value.state[3], value.state[4], encoded(value.state[5])
  if not pickle.is(shape, "tuple") or not pickle.is(dtype, "call") or type(dtype.args[1]) ~= "string" then
    file:wrong("%s: an array that does not say its shape and type", name)
  end
  local order = pickle.is(dtype.state, "tuple") and dtype.state[2] or "<"
  if dtype.args[1]:sub(1, 1) == "O" then
    return { object = pickle.is(data, "list") and #data == 1 and data[1] or pickle.NONE }
  end
  local sizes = {}
  for i, n in ipairs(shape) do
    if type(n) ~= "number" then file:wrong("%s: a shape that is not made of numbers", name) end
    sizes[i] = n
  end
  local kind, swapped = numpy.dtype((order == ">" and ">" or "<") .. dtype.args[1])
  return { shape = sizes, dtype = kind, stored = dtype.args[1], read = function()
    if type(data) ~= "string" then file:wrong("%s: an array without its elements", name) end
    if fortran ~= true then
      return bytes.tensor_of(data, { shape = sizes, dtype = kind, swapped = swapped, name = name })
    end
    local turned, order_of = {}, {}
    for i, n in ipairs(sizes) do turned[#sizes + 1 - i], order_of[i] = n, #sizes + 1 - i end
    return bytes.tensor_of(data, { shape = turned, dtype = kind, swapped = swapped, name = name }):permute(unpack(order_of))
      :clone()
  end }
end

-- ---- .npy -----------------------------------------------------------------------------------------------

--- What a .npy file holds: { shape, dtype, stored, read }, or { object = value of a pickle }.
function numpy.npy(file, name)
  local head = file:head(12)
  if head:sub(1, 6) ~= MAGIC then file:wrong "no .npy file: its first bytes are others" end
  local version = head:byte(7)
  local long = version == 1 and 2 or 4
  local length = bytes.whole(head, 9, long)
  if not version or version > 3 or not length then
    file:wrong("a .npy file of version %s; 1 to 3 are read", tostring(version))
  end
  local start = 8 + long
  local header = file:text(start, length)
  local descr, fortran = header:match "'descr':%s*'([^']+)'", header:match "'fortran_order':%s*(%a+)"
  local inside = header:match "'shape':%s*%(([%d,%s]*)%)"
  if not descr or not fortran or not inside then
    file:wrong("a .npy file whose header says %s; one array of one type is read", header:sub(1, 60))
  end
  local shape = {}
  for n in inside:gmatch "%d+" do shape[#shape + 1] = tonumber(n) end
  if descr:find "O" then
    local object = pickle.read(file, file:text(start + length, file.size - start - length))
    local array = numpy.array(object, file, name)
    return array and array.object and array or { object = object }
  end
  local dtype, swapped = numpy.dtype(descr)
  return { shape = shape, dtype = dtype, stored = descr, read = function()
    return file:tensor(start + length, { dtype = dtype, shape = shape, swapped = swapped, name = name,
      strides = fortran == "True" and numpy.columns_first(shape) or nil })
  end }
end

function numpy.open(file)
  local nested = require "mien.weights.reading.nested"
  local parts = {}
  if file:head(6) == MAGIC then
    parts[1] = { name = "array", file = file }
  else
    for _, part in ipairs(bytes.zip(file.path)) do
      if part.name:find "%.npy$" then parts[#parts + 1] = { name = part.name:gsub("%.npy$", ""), open = part.open } end
    end
  end
  local entries = {}
  for _, part in ipairs(parts) do
    local array = numpy.npy(part.file or part.open(), part.name)
    if array.object then
      for _, entry in ipairs(nested.entries(array.object, file, numpy.array)) do entries[#entries + 1] = entry end
    else
      array.name = part.name
      entries[#entries + 1] = array
    end
  end
  return { entries = entries }
end

return numpy
