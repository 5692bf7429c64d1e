-- A file made of pieces, texts and tensors' elements, put in place whole; and texts of numbers for such files.
-- Not here: what the pieces mean.
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"

local pieces = {}

--- Bytes of a piece: a text, or a tensor whose elements lie side by side.
function pieces.size(piece)
  return type(piece) == "string" and #piece or piece:count() * tonumber(C.mien_dtype_size(C.mien_tensor_dtype(piece)))
end

--- Writes the pieces one behind the other to `path`, which appears whole or not at all.
function pieces.write(path, list)
  local total, at = 0, 0
  for _, piece in ipairs(list) do total = total + pieces.size(piece) end
  local buffer = ffi.new("uint8_t[?]", math.max(total, 1))
  for _, piece in ipairs(list) do
    local size = pieces.size(piece)
    ffi.copy(buffer + at, type(piece) == "string" and piece or piece:data(), size)
    at = at + size
  end
  check.status(C.mien_file_write(path, buffer, total))
end

--- The CRC-32 of a piece.
function pieces.crc32(piece)
  return C.mien_crc32(type(piece) == "string" and piece or piece:data(), pieces.size(piece))
end

--- A whole number as `count` bytes, the lowest first.
function pieces.whole(value, count)
  local text = {}
  for i = 1, count do
    text[i] = string.char(value % 256)
    value = math.floor(value / 256)
  end
  return table.concat(text)
end

--- Tensors as others want them: f32, on the CPU, side by side; list of { name, tensor }.
function pieces.plain(tensors)
  local list = {}
  for i, entry in ipairs(tensors) do list[i] = { entry[1], entry[2]:detach():to "f32" } end
  return list
end

return pieces
