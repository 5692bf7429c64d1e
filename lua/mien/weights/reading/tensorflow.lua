-- TensorFlow's checkpoints: version 2 (X.index and X.data-00000-of-00001 ...) and version 1 (one file). Both are tables of
-- the form of LevelDB, whose values are protocol buffers (tensor_bundle.proto,
-- saved_tensor_slice.proto). Not here: the wire format (protobuf.lua), names (weights/maps).
local bytes = require "mien.weights.bytes"
local check = require "mien.base.check"
local protobuf = require "mien.weights.reading.protobuf"

local tensorflow = { name = "tensorflow" }

local MAGIC, FOOTER, TRAILER = "\x57\xfb\x80\x8b\x24\x75\x47\xdb", 48, 5

-- DataType of types.proto.
local DTYPES = { [1] = "f32", [2] = "f64", [3] = "i32", [4] = "u8", [6] = "i8", [9] = "i64", [10] = "u8", [14] = "bf16",
  [19] = "f16" }
local SIZES = { f32 = 4, f64 = 8, i32 = 4, u8 = 1, i8 = 1, i64 = 8, bf16 = 2, f16 = 2 }
local STRING = 7

function tensorflow.is(_, file)
  return file.size >= FOOTER and file:text(file.size - 8, 8) == MAGIC
end

-- ---- tables --------------------------------------------------------------------------------------------

--- A CRC-32C as it is stored: turned by 15 bits and moved, so that a sum of sums is no sum.
local function masked(crc)
  local turned = (math.floor(crc / 2 ^ 15) + crc * 2 ^ 17) % 2 ^ 32
  return (turned + 0xa282ead8) % 2 ^ 32
end

--- The contents of a block, unpacked.
local function block(file, offset, size)
  if not offset or not size or offset + size + TRAILER > file.size then file:wrong "a block that lies outside of the file" end
  local trailer = file:text(offset + size, TRAILER)
  if masked(file:crc32c(offset, size + 1)) ~= bytes.whole(trailer, 2, 4) then
    file:wrong("the block at byte %.0f is damaged: its sum is another", offset)
  end
  local kind = trailer:byte(1)
  if kind == 0 then return file:text(offset, size) end
  if kind ~= 1 then file:wrong("a block packed by method %d; none (0) and snappy (1) are read", kind) end
  local unpacked = file:unpacked(offset, size, "snappy")
  return unpacked:text(0, unpacked.size)
end

--- Calls visit(key, text, from, to) for each entry of a block.
local function entries(file, text, visit)
  local restarts = bytes.whole(text, #text - 3, 4)
  local last = restarts and #text - 4 - 4 * restarts
  if #text < 4 or not last or last < 0 then file:wrong "a block without its list of starts" end
  local at, key = 1, ""
  while at <= last do
    local shared, fresh, length
    shared, at = protobuf.varint(text, at)
    fresh, at = protobuf.varint(text, at or #text + 1)
    length, at = protobuf.varint(text, at or #text + 1)
    if not (shared and fresh and length) or shared > #key or fresh < 0 or length < 0 or at + fresh + length - 1 > last then
      file:wrong "a damaged block"
    end
    key = key:sub(1, shared) .. text:sub(at, at + fresh - 1)
    visit(key, text, at + fresh, at + fresh + length - 1)
    at = at + fresh + length
  end
end

--- The same for each entry of a table.
local function each(file, visit)
  local footer = file:text(file.size - FOOTER, FOOTER)
  local at, numbers = 1, {}
  for i = 1, 4 do
    numbers[i], at = protobuf.varint(footer, at)
    if not numbers[i] then file:wrong "a damaged end" end
  end
  entries(file, block(file, numbers[3], numbers[4]), function(_, text, from)
    local offset, after = protobuf.varint(text, from)
    entries(file, block(file, offset, after and protobuf.varint(text, after)), visit)
  end)
end

-- ---- messages ------------------------------------------------------------------------------------------

local function reader(file)
  return function(fmt, ...) file:wrong(fmt, ...) end
end

--- Sizes of a TensorShapeProto.
local function shape_of(text, field, wrong)
  local shape = {}
  for _, one in ipairs(protobuf.fields(text, field.from, field.to, wrong)) do
    if one[1] == 2 and one.from then
      local size = 0
      for _, inner in ipairs(protobuf.fields(text, one.from, one.to, wrong)) do
        if inner[1] == 1 then size = inner[2] end
      end
      if not size or size < 0 then wrong "a shape with a size below 0" end
      shape[#shape + 1] = size
    end
  end
  return shape
end

--- Names of variables by their keys, as the graph of a TensorFlow 2 checkpoint has them.
local function full_names(text, wrong)
  local names = {}
  for _, node in ipairs(protobuf.fields(text, 1, #text, wrong)) do
    for _, attribute in ipairs(node[1] == 1 and node.from and protobuf.fields(text, node.from, node.to, wrong) or {}) do
      if attribute[1] == 2 and attribute.from then
        local said = {}
        for _, one in ipairs(protobuf.fields(text, attribute.from, attribute.to, wrong)) do
          if one.from then said[one[1]] = protobuf.text(text, one) end
        end
        if said[3] and said[2] and said[2] ~= "" then names[said[3]] = said[2] end
      end
    end
  end
  return names
end

-- ---- version 2 -----------------------------------------------------------------------------------------

local GRAPH, SUFFIX = "_CHECKPOINTABLE_OBJECT_GRAPH", "/%.ATTRIBUTES/VARIABLE_VALUE$"

local function open_bundle(file)
  local wrong, prefix = reader(file), file.path:gsub("%.index$", "")
  local list, shards, big, left, graph = {}, 1, false, 0, nil
  each(file, function(key, text, from, to)
    local said = {}
    for _, field in ipairs(protobuf.fields(text, from, to, wrong)) do said[field[1]] = said[field[1]] or field end
    local function number(n) return said[n] and said[n][2] or 0 end
    if key == "" then
      shards, big = number(1), number(2) == 1
      return
    end
    if said[7] then file:wrong("%s is kept in slices (a partitioned variable), which are not read", key) end
    local entry = { name = key, dtype = DTYPES[number(1)], stored = "DataType " .. number(1), shard = number(3),
      offset = number(4), size = number(5), sum = number(6),
      shape = said[2] and said[2].from and shape_of(text, said[2], wrong) or {} }
    if key == GRAPH then graph = entry
    elseif number(1) == STRING then left = left + 1
    else list[#list + 1] = entry end
  end)
  if shards < 1 or shards > 99999 then file:wrong("%s data files", tostring(shards)) end
  local data, files = {}, { file.path }
  local function shard(i)
    if i < 0 or i >= shards then file:wrong("a tensor in data file %d of %d", i, shards) end
    data[i] = data[i] or bytes.open(("%s.data-%05d-of-%05d"):format(prefix, i, shards))
    return data[i]
  end
  for i = 0, shards - 1 do files[#files + 1] = shard(i).path end
  local function verified(entry)
    local from = shard(entry.shard)
    if masked(from:crc32c(entry.offset, entry.size)) ~= entry.sum then
      from:wrong("%s is damaged: its CRC-32C is another than the index says", entry.name)
    end
    return from
  end
  local names = {}
  if graph and graph.size > 16 then -- lengths, their sum, then the texts
    local from = shard(graph.shard)
    local text = from:text(graph.offset, graph.size)
    local length, after = protobuf.varint(text, 1)
    if length and after + 4 + length - 1 == #text then names = full_names(text:sub(after + 4), wrong) end
  end
  for _, entry in ipairs(list) do
    local count = 1
    for _, n in ipairs(entry.shape) do count = count * n end
    if entry.dtype and count * SIZES[entry.dtype] ~= entry.size then
      file:wrong("%s: %.0f bytes for a shape of [%s]", entry.name, entry.size, table.concat(entry.shape, ","))
    end
    function entry.read()
      return verified(entry):tensor(entry.offset, { dtype = entry.dtype, shape = entry.shape, swapped = big,
        name = entry.name })
    end
    entry.name = names[entry.name] or entry.name:gsub(SUFFIX, "")
  end
  return { entries = list, files = files, notes = left > 0 and { left .. " texts are left out" } or nil }
end

-- ---- version 1 -----------------------------------------------------------------------------------------

-- Of TensorProto: where values of a type stand when not in tensor_content (4), and the bytes of each.
local FLOATS = { [5] = "f32", [6] = "f64" }

local function slice(file, text, field, kinds)
  local wrong, name, proto = reader(file), nil, nil
  for _, one in ipairs(protobuf.fields(text, field.from, field.to, wrong)) do
    if one[1] == 1 then name = protobuf.text(text, one) elseif one[1] == 3 then proto = one end
  end
  local about = kinds[name]
  if not name or not about or not proto then file:wrong "a part of a tensor that the file does not list" end
  local content, dtype = nil, nil
  for _, one in ipairs(protobuf.fields(text, proto.from, proto.to, wrong)) do
    if one[1] == 4 then content, dtype = protobuf.text(text, one), about.dtype
    elseif FLOATS[one[1]] and one.from then content, dtype = (content or "") .. protobuf.text(text, one), FLOATS[one[1]] end
  end
  if not content then return nil end
  return { name = name, shape = about.shape, dtype = dtype, stored = about.stored, read = function()
    return bytes.tensor_of(content, { shape = about.shape, dtype = dtype, name = file.path .. ": " .. name })
  end }
end

local function open_single(file, list)
  local wrong, kinds, found, left = reader(file), {}, {}, 0
  for _, one in ipairs(list) do
    for _, field in ipairs(protobuf.fields(one.text, one.from, one.to, wrong)) do
      if field[1] == 1 and field.from then -- the list of tensors
        for _, tensor in ipairs(protobuf.fields(one.text, field.from, field.to, wrong)) do
          local about = { shape = {}, slices = 0 }
          local inside = tensor[1] == 1 and tensor.from and protobuf.fields(one.text, tensor.from, tensor.to, wrong)
          for _, inner in ipairs(inside or {}) do
            if inner[1] == 1 then about.name = protobuf.text(one.text, inner)
            elseif inner[1] == 2 and inner.from then about.shape = shape_of(one.text, inner, wrong)
            elseif inner[1] == 3 then about.dtype, about.stored = DTYPES[inner[2]], "DataType " .. tostring(inner[2])
            elseif inner[1] == 4 then about.slices = about.slices + 1 end
          end
          if about.name then
            if about.slices > 1 then file:wrong("%s is kept in %d slices, which are not read", about.name, about.slices) end
            kinds[about.name] = about
          end
        end
      elseif field[1] == 2 and field.from then
        local entry = slice(file, one.text, field, kinds)
        if entry then found[#found + 1] = entry else left = left + 1 end
      end
    end
  end
  return { entries = found, notes = left > 0 and { left .. " whole numbers and texts are left out" } or nil }
end

--- Of version 1 the values are tensors, of version 2 they say where tensors lie: its first one has no name and no tensor.
function tensorflow.open(file)
  if file.path:find "%.index$" then return open_bundle(file) end
  local list = {}
  each(file, function(_, text, from, to) list[#list + 1] = { text = text, from = from, to = to } end)
  local ok, opened = pcall(open_single, file, list)
  if ok then return opened end
  if check.is_error(opened) and not file.path:find "%.index$" then
    opened.message = opened.message .. " (an index of version 2 must end in .index)"
  end
  check.rethrow(opened)
end

return tensorflow
