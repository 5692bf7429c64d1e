-- safetensors: a header in JSON, then the elements. https://github.com/huggingface/safetensors, "Format".
-- Not here: what the names mean (weights/maps).
local bytes = require "mien.weights.bytes"
local cjson = require "cjson"

local DTYPES = { F32 = "f32", F16 = "f16", BF16 = "bf16", F64 = "f64", I64 = "i64", I32 = "i32", I8 = "i8", U8 = "u8",
  BOOL = "u8" }
local SIZES = { F64 = 8, I64 = 8, U64 = 8, C64 = 8, F32 = 4, I32 = 4, U32 = 4, F16 = 2, BF16 = 2, I16 = 2, U16 = 2, I8 = 1,
  U8 = 1, BOOL = 1, F8_E4M3 = 1, F8_E5M2 = 1 }

local LONGEST = 100e6 -- bytes of a header, as the library's own bound

local reader = { name = "safetensors" }

function reader.is(head)
  local length = bytes.whole(head, 1, 8)
  return length ~= nil and length >= 2 and head:sub(9, 9) == "{" and length <= LONGEST
end

local function whole(value) return type(value) == "number" and value % 1 == 0 and value >= 0 and value <= 2 ^ 53 end

--- Checks one tensor's line of the header; gives shape and bytes from and to.
local function line(file, name, said)
  if type(said) ~= "table" or type(said.shape) ~= "table" or type(said.data_offsets) ~= "table" then
    file:wrong("%s: its header wants dtype, shape and data_offsets", name)
  end
  local first, last, count = said.data_offsets[1], said.data_offsets[2], 1
  local size = SIZES[said.dtype]
  if not size then file:wrong("%s: there is no dtype %s", name, tostring(said.dtype)) end
  for _, n in ipairs(said.shape) do
    if not whole(n) then file:wrong("%s: its shape is not made of whole numbers", name) end
    count = count * n
  end
  if not whole(first) or not whole(last) or #said.data_offsets ~= 2 or last - first ~= count * size then
    file:wrong("%s: %s of shape [%s] are %.0f bytes, its data_offsets say otherwise", name, said.dtype,
      table.concat(said.shape, ","), count * size)
  end
  return said.shape, first, last
end

function reader.open(file)
  local length = bytes.whole(file:head(8), 1, 8)
  if 8 + length > file.size then file:wrong("cut off in its header of %.0f bytes", length) end
  local ok, header = pcall(cjson.decode, file:text(8, length))
  if not ok or type(header) ~= "table" then file:wrong("its header is no JSON: %s", tostring(header)) end
  local entries, texts = {}, {}
  for name, said in pairs(header) do
    if name == "__metadata__" then
      for key, value in pairs(type(said) == "table" and said or {}) do texts[key] = tostring(value) end
    else
      local shape, first, last = line(file, name, said)
      local dtype = DTYPES[said.dtype]
      entries[#entries + 1] = { name = name, shape = shape, dtype = dtype, stored = said.dtype, first = first, last = last,
        read = function() return file:tensor(8 + length + first, { dtype = dtype, shape = shape, name = name }) end }
    end
  end
  table.sort(entries, function(a, b)
    if a.first ~= b.first then return a.first < b.first end
    if a.last ~= b.last then return a.last < b.last end
    return a.name < b.name
  end)
  local at = 0
  for _, entry in ipairs(entries) do
    if entry.first ~= at then
      file:wrong("%s lies at byte %.0f of the elements, %.0f was wanted", entry.name, entry.first, at)
    end
    at = entry.last
  end
  if 8 + length + at ~= file.size then
    file:wrong("its tensors have %.0f bytes, the file has %.0f for them: cut off or damaged", at, file.size - 8 - length)
  end
  return { entries = entries, texts = texts }
end

return reader
