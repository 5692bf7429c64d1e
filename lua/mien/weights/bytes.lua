-- A file of another program as bytes: texts and numbers at places of it, tensors, unpacked parts.
-- Not here: what the bytes mean (weights/reading).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local tensor = require "mien.tensor"
local dtypes = require("mien.tensor.create").dtypes

local bytes = {}

local class = {}
class.__index = class

local function adopt(pointer, path)
  return setmetatable({ cdata = ffi.gc(check.pointer(pointer), C.mien_bytes_close), path = path,
    size = tonumber(C.mien_bytes_size(pointer)) }, class)
end

--- A file, open for reading; what is wrong with it is an error.
function bytes.open(path)
  return adopt(C.mien_bytes_open(check.type(path, "string", "weights: path")), path)
end

--- An error of the format that names the file.
function class:wrong(fmt, ...)
  check.raise("format", "%s: %s", self.path, fmt:format(...))
end

local LONGEST = 2 ^ 28 -- of a text: headers and descriptions, never elements

--- `count` bytes from `offset` on (from 0) as a text.
function class:text(offset, count)
  if count > LONGEST then self:wrong("a description of %.0f bytes; up to %.0f are read", count, LONGEST) end
  local buffer = ffi.new("uint8_t[?]", math.max(count, 1))
  check.status(C.mien_bytes_read(self.cdata, offset, count, buffer))
  return ffi.string(buffer, count)
end

--- The first bytes, fewer where there are fewer.
function class:head(count)
  return self:text(0, math.min(count, self.size))
end

local sum = ffi.new "uint32_t[1]"

--- CRC-32C of `count` bytes from `offset` on.
function class:crc32c(offset, count)
  check.status(C.mien_bytes_crc32c(self.cdata, offset, count, sum))
  return sum[0]
end

local sizes, steps = ffi.new "int64_t[6]", ffi.new "int64_t[6]"

local function fill(to, list, what)
  if #list > 6 then check.raise("shape", "%s has %d dimensions; a tensor has at most 6", what, #list) end
  for i, n in ipairs(list) do to[i - 1] = n end
  return to
end

--- A tensor whose element 0 lies at byte `offset`. how: { dtype, shape, strides = in elements (none: row-major),
-- swapped = the other order of bytes, name = for messages }.
function class:tensor(offset, how)
  local name = ("%s: %s"):format(self.path, how.name or "a tensor")
  local strides = how.strides and fill(steps, how.strides, name) or nil
  return tensor.wrap(C.mien_bytes_tensor(self.cdata, offset, how.swapped or false, dtypes[how.dtype], #how.shape,
    fill(sizes, how.shape, name), strides))
end

local packings = { deflate = C.MIEN_DEFLATE, zlib = C.MIEN_ZLIB, gzip = C.MIEN_GZIP, snappy = C.MIEN_SNAPPY }

--- What `count` packed bytes from `offset` on unpack to. size: nil where it is not known.
function class:unpacked(offset, count, packing, size)
  return adopt(C.mien_bytes_unpack(self.cdata, offset, count, packings[packing], size or -1), self.path)
end

--- The files of a zip file, in its order: list of { name =, size =, open = function() -> bytes }.
function bytes.zip(path)
  local zip = ffi.gc(check.pointer(C.mien_zip_open(path)), C.mien_zip_close)
  local list = {}
  for i = 1, tonumber(C.mien_zip_count(zip)) do
    local name = ffi.string(C.mien_zip_name(zip, i - 1))
    list[i] = { name = name, size = tonumber(C.mien_zip_size(zip, i - 1)), open = function()
      return adopt(C.mien_zip_read(zip, i - 1), path .. ": " .. name)
    end }
  end
  return list
end

-- ---- numbers in texts ----------------------------------------------------------------------------------

--- The whole number of `count` bytes (1 to 8) at `at` (from 1) of a text, the lowest byte first; "big": the highest.
-- nil: the text ends before, or above 2^53.
function bytes.whole(text, at, count, order)
  if at + count - 1 > #text then return nil end
  local value = 0
  for i = 0, count - 1 do
    value = value * 256 + text:byte(order == "big" and at + i or at + count - 1 - i)
  end
  return value <= 2 ^ 53 and value or nil
end

--- The same with a sign (two's complement).
function bytes.integer(text, at, count, order)
  local high = text:byte(order == "big" and at or at + count - 1)
  if not high or at + count - 1 > #text then return nil end
  if high < 128 then return bytes.whole(text, at, count, order) end
  local value = 0
  for i = 0, count - 1 do
    value = value * 256 + 255 - text:byte(order == "big" and at + i or at + count - 1 - i)
  end
  return value < 2 ^ 53 and -value - 1 or nil
end

local eight = ffi.new "union { uint8_t bytes[8]; double value; }"

--- The f64 of 8 bytes at `at` of a text, the lowest byte first; "big": the highest.
function bytes.double(text, at, order)
  if at + 7 > #text then return nil end
  for i = 0, 7 do eight.bytes[order == "big" and 7 - i or i] = text:byte(at + i) end
  local value = eight.value
  return value == value and value or 0 / 0
end

--- A tensor from a text of its elements; how: as for class:tensor.
function bytes.tensor_of(text, how)
  local size, count = tonumber(C.mien_dtype_size(dtypes[how.dtype])), 1
  for _, n in ipairs(how.shape) do count = count * n end
  if count * size ~= #text then
    check.raise("format", "%s has %d bytes, its shape [%s] of %s wants %.0f", how.name, #text,
      table.concat(how.shape, ","), how.dtype, count * size)
  end
  local t = tensor.empty(#how.shape == 0 and { 1, dtype = how.dtype } or { dtype = how.dtype, unpack(how.shape) })
  if how.swapped and size > 1 then
    local parts = {}
    for i = 1, #text, size do parts[#parts + 1] = text:sub(i, i + size - 1):reverse() end
    text = table.concat(parts)
  end
  ffi.copy(t:data(), text, #text)
  return #how.shape == 0 and t:reshape {} or t
end

return bytes
