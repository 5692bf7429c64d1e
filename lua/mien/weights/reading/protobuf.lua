-- Protocol buffers' wire format, one message at a time: https://protobuf.dev/programming-guides/encoding/. What a field
-- means, and into which one goes, its reader says; so no nesting of a file's own can go deep.
-- Not here: messages (tensorflow.lua, onnx_tensors.lua).
local ffi = require "ffi"
local bytes = require "mien.weights.bytes"

local protobuf = {}

--- A varint of `text` at `at`: its value (above 2^53: nil; negative ones in two's complement of 64 bits as such) and what
-- follows it.
function protobuf.varint(text, at)
  local low, high, scale = 0, 0, 1
  for i = 0, 9 do
    local byte = text:byte(at + i)
    if not byte then return nil, nil end
    local part = byte % 128
    if i < 4 then low = low + part * scale
    elseif i == 4 then
      low, high = low + part % 16 * scale, math.floor(part / 16)
      scale = 1 / 16 -- times 128 below: 8, what is left of a byte's 7 bits in `high`
    else high = high + part * scale end
    scale = scale * 128
    if byte < 128 then
      if high % 2 ^ 32 >= 2 ^ 31 then
        local value = -((2 ^ 32 - 1 - high % 2 ^ 32) * 2 ^ 32 + (2 ^ 32 - 1 - low) + 1)
        return value >= -2 ^ 53 and value or nil, at + i + 1
      end
      local value = high * 2 ^ 32 + low
      return value <= 2 ^ 53 and value or nil, at + i + 1
    end
  end
  return nil, nil
end

--- The fields of a message in text[first..last], in order: list of { number, value } for numbers (varints; fixed 32 and 64
-- bits as whole numbers, nil above 2^53) and { number, from =, to = } for bytes. wrong(fmt, ...) raises for what is none.
function protobuf.fields(text, first, last, wrong)
  local list, at = {}, first
  while at <= last do
    local tag, after = protobuf.varint(text, at)
    if not tag or tag < 8 then wrong("a message that is damaged at its byte %d", at - first) end
    local number, wire = math.floor(tag / 8), tag % 8
    local field = { number }
    at = after
    if wire == 0 then
      field[2], at = protobuf.varint(text, at)
    elseif wire == 1 then
      field[2], field.from, field.to, at = bytes.whole(text, at, 8), at, at + 7, at + 8
    elseif wire == 5 then
      field[2], field.from, field.to, at = bytes.whole(text, at, 4), at, at + 3, at + 4
    elseif wire == 2 then
      local length
      length, at = protobuf.varint(text, at)
      if not length or length < 0 or at + length - 1 > last then
        wrong("a message that is cut off at its byte %d", (at or first) - first)
      end
      field.from, field.to = at, at + length - 1
      at = at + length
    else
      wrong("a message with a field of wire type %d", wire)
    end
    if not at or at > last + 1 then wrong("a message that is cut off") end
    list[#list + 1] = field
  end
  return list
end

--- All varints of a packed field.
function protobuf.packed(text, field, list, wrong)
  if not field.from then
    list[#list + 1] = field[2]
    return list
  end
  local at = field.from
  while at <= field.to do
    local value
    value, at = protobuf.varint(text, at)
    if not at or at > field.to + 1 then wrong "a list of numbers that is cut off" end
    list[#list + 1] = value
  end
  return list
end

local four = ffi.new "union { uint8_t bytes[4]; float value; }"

--- The f32 at `at` of a text.
function protobuf.float(text, at)
  for i = 0, 3 do four.bytes[i] = text:byte(at + i) end
  local value = four.value
  return value == value and value or 0 / 0
end

--- The bytes of a field as a text.
function protobuf.text(text, field) return field.from and text:sub(field.from, field.to) or "" end

return protobuf
