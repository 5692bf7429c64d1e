-- ONNX files: tensors of the graph's initialisers, also those in files beside it. The graph itself is models/onnx.lua's.
-- Messages: onnx.proto3. Not here: the wire format (protobuf.lua), names (weights/maps).
local bytes = require "mien.weights.bytes"
local protobuf = require "mien.weights.reading.protobuf"

local onnx = { name = "onnx" }

-- TensorProto.DataType.
local DTYPES = { [1] = "f32", [2] = "u8", [3] = "i8", [6] = "i32", [7] = "i64", [9] = "u8", [10] = "f16", [11] = "f64",
  [16] = "bf16" }
local SIZES = { f32 = 4, f64 = 8, i32 = 4, u8 = 1, i8 = 1, i64 = 8, bf16 = 2, f16 = 2 }

--- A message whose first field is ir_version and which has a graph (7).
function onnx.is(head)
  if head:byte(1) ~= 0x08 then return false end
  local version, at = protobuf.varint(head, 2)
  if not version or version < 3 or version > 100 then return false end
  while at and at <= #head do
    local tag, after = protobuf.varint(head, at)
    if not tag then return false end
    local number, wire = math.floor(tag / 8), tag % 8
    if number == 7 then return wire == 2 end
    local length, body = protobuf.varint(head, after)
    if wire == 0 then at = body
    elseif wire == 2 and length and number <= 30 then at = body + length
    else return false end
  end
  return false
end

--- Key and value texts of a StringStringEntryProto.
local function pair(text, field, wrong)
  local key, value = "", ""
  for _, one in ipairs(protobuf.fields(text, field.from, field.to, wrong)) do
    if one[1] == 1 then key = protobuf.text(text, one) elseif one[1] == 2 then value = protobuf.text(text, one) end
  end
  return key, value
end

--- Numbers of a tensor that stand as numbers, and not as bytes: as the bytes they stand for.
local function packed(text, field, dtype, wrong)
  if field[1] == 4 or field[1] == 10 then return protobuf.text(text, field) end -- float_data, double_data
  local ffi = require "ffi"
  local list = protobuf.packed(text, field, {}, wrong)
  local types = { i64 = "int64_t", i32 = "int32_t", u8 = "uint8_t", i8 = "int8_t", f16 = "uint16_t", bf16 = "uint16_t" }
  if not types[dtype] then wrong "numbers in a field that is not theirs" end
  local buffer = ffi.new(types[dtype] .. "[?]", math.max(1, #list))
  for i, value in ipairs(list) do buffer[i - 1] = value end
  return ffi.string(buffer, #list * SIZES[dtype])
end

--- A TensorProto as an entry; text[from..to] is the message, which begins at byte `base` of the file.
function onnx.tensor(file, text, from, to, base)
  local function wrong(fmt, ...) file:wrong(fmt, ...) end
  local entry, raw, external, outside = { shape = {}, name = "" }, nil, {}, false
  local kind, numbers = 0, {}
  for _, field in ipairs(protobuf.fields(text, from, to, wrong)) do
    local n = field[1]
    if n == 1 then protobuf.packed(text, field, entry.shape, wrong)
    elseif n == 2 then kind = field[2] or 0
    elseif n == 4 or n == 5 or n == 7 or n == 10 then numbers[#numbers + 1] = field
    elseif n == 8 then entry.name = protobuf.text(text, field)
    elseif n == 9 and field.from then raw = field
    elseif n == 13 and field.from then
      local key, value = pair(text, field, wrong)
      external[key] = value
    elseif n == 14 then outside = field[2] == 1 end
  end
  entry.dtype, entry.stored = DTYPES[kind], "TensorProto." .. kind
  local count = 1
  for _, n in ipairs(entry.shape) do
    if n < 0 then wrong("%s: a size below 0", entry.name) end
    count = count * n
  end
  function entry.read()
    local size = count * SIZES[entry.dtype]
    local how = { dtype = entry.dtype, shape = entry.shape, name = entry.name }
    if outside then
      local name = external.location or ""
      if name == "" or name:sub(1, 1) == "/" or ("/" .. name .. "/"):find("/../", 1, true) then
        wrong("%s lies in the file %q, which is not beside it", entry.name, name)
      end
      return bytes.open((file.path:match "^(.*/)" or "") .. name):tensor(tonumber(external.offset) or 0, how)
    end
    if raw then
      if raw.to - raw.from + 1 ~= size then wrong("%s: %d bytes for a shape of [%s]", entry.name, raw.to - raw.from + 1,
        table.concat(entry.shape, ",")) end
      return file:tensor(base + raw.from - 1, how)
    end
    local parts = {}
    for i, field in ipairs(numbers) do parts[i] = packed(text, field, entry.dtype, wrong) end
    how.name = file.path .. ": " .. entry.name
    return bytes.tensor_of(table.concat(parts), how)
  end
  entry.file = outside and external.location or nil
  return entry
end

--- The file's graph: { initialisers = entries, nodes, inputs, outputs = lists of { from, to } in text, texts }.
function onnx.graph(file)
  local function wrong(fmt, ...) file:wrong(fmt, ...) end
  local text, texts, graph = file:text(0, file.size), {}, nil
  for _, field in ipairs(protobuf.fields(text, 1, #text, wrong)) do
    if field[1] == 7 and field.from then graph = field
    elseif field[1] == 2 then texts.producer = protobuf.text(text, field)
    elseif field[1] == 14 and field.from then
      local key, value = pair(text, field, wrong)
      texts[key] = value
    end
  end
  if not graph then file:wrong "an ONNX file without a graph" end
  local found = { text = text, texts = texts, initialisers = {}, nodes = {}, inputs = {}, outputs = {} }
  local lists = { [1] = found.nodes, [11] = found.inputs, [12] = found.outputs }
  for _, field in ipairs(protobuf.fields(text, graph.from, graph.to, wrong)) do
    if field[1] == 5 and field.from then
      table.insert(found.initialisers, onnx.tensor(file, text, field.from, field.to, 0))
    elseif lists[field[1]] and field.from then
      table.insert(lists[field[1]], field)
    end
  end
  return found
end

--- Names of a graph's inputs or outputs (ValueInfoProto).
function onnx.names(file, text, list)
  local names = {}
  for i, field in ipairs(list) do
    for _, one in ipairs(protobuf.fields(text, field.from, field.to, function(fmt, ...) file:wrong(fmt, ...) end)) do
      if one[1] == 1 then names[i] = protobuf.text(text, one) end
    end
  end
  return names
end

function onnx.open(file)
  local graph = onnx.graph(file)
  local files, seen = { file.path }, {}
  for _, entry in ipairs(graph.initialisers) do
    if entry.file and not seen[entry.file] then
      seen[entry.file] = true
      files[#files + 1] = (file.path:match "^(.*/)" or "") .. entry.file
    end
  end
  return { entries = graph.initialisers, texts = graph.texts, files = files }
end

return onnx
