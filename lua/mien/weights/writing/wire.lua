-- Protocol buffers' wire format, written: fields as texts that join to messages. Not here: reading (reading/protobuf.lua).
local wire = {}

local function varint(value)
  local text = {}
  while value >= 128 do
    text[#text + 1] = string.char(value % 128 + 128)
    value = math.floor(value / 128)
  end
  text[#text + 1] = string.char(value)
  return table.concat(text)
end

--- A number of 0 and above.
function wire.number(field, value) return varint(field * 8) .. varint(value) end

--- A text, bytes or a message; list: several with the same number.
function wire.text(field, value) return varint(field * 8 + 2) .. varint(#value) .. value end

--- The beginning of such a field whose `size` bytes follow.
function wire.head(field, size) return varint(field * 8 + 2) .. varint(size) end

--- A number in f32.
function wire.float(field, value)
  local ffi = require "ffi"
  return varint(field * 8 + 5) .. ffi.string(ffi.new("float[1]", value), 4)
end

return wire
