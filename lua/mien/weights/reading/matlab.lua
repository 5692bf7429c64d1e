-- MATLAB's .mat files of version 5 (also compressed), with structs and cells, as MatConvNet writes its networks: "MAT-File
-- Format", MathWorks. Version 7.3 is HDF5 (hdf5.lua). Not here: names (weights/maps).
local bytes = require "mien.weights.bytes"
local numpy = require "mien.weights.reading.numpy"

local matlab = { name = "matlab" }

-- Elements' types by number (miINT8 ...), and classes of arrays (mxDOUBLE_CLASS ...).
local STORED = { [1] = "i8", [2] = "u8", [3] = "i16", [4] = "u16", [5] = "i32", [6] = "u32", [7] = "f32", [9] = "f64",
  [12] = "i64" }
local SIZES = { i8 = 1, u8 = 1, i16 = 2, u16 = 2, i32 = 4, u32 = 4, f32 = 4, f64 = 8, i64 = 8 }
local TENSORS = { i8 = "i8", u8 = "u8", i32 = "i32", f32 = "f32", f64 = "f64", i64 = "i64" }
local MATRIX, COMPRESSED, UTF8 = 14, 15, 16
local CELL, STRUCT, OBJECT, CHAR, SPARSE = 1, 2, 3, 4, 5
local DEEPEST = 64

function matlab.is(head)
  return #head >= 128 and head:find "^MATLAB 5%.0 MAT%-file" ~= nil
end

-- ---- elements ------------------------------------------------------------------------------------------

local class = {}
class.__index = class

--- Type, offset and size of the element at `at` (from 0) of a source, and where the next one begins.
function class:element(from, at, stop)
  if at + 8 > stop then self.file:wrong("cut off at byte %.0f of an array", at) end
  local tag = from:text(at, 8)
  local kind, size = bytes.whole(tag, 1, 4, self.order), bytes.whole(tag, 5, 4, self.order)
  if kind >= 65536 then -- a small one: two bytes of type, two of size, the rest is the element
    size = math.floor(kind / 65536)
    kind = kind % 65536
    if size > 4 then self.file:wrong("a damaged element at byte %.0f", at) end
    return kind, at + 4, size, at + 8
  end
  if at + 8 + size > stop then self.file:wrong("an element of %.0f bytes at byte %.0f: cut off or damaged", size, at) end
  return kind, at + 8, size, at + 8 + (kind == COMPRESSED and size or math.ceil(size / 8) * 8)
end

function class:numbers(from, kind, at, size)
  local stored, list = STORED[kind], {}
  if not stored or stored:find "^f" then self.file:wrong "sizes that are no whole numbers" end
  local text = from:text(at, size)
  for i = 1, size, SIZES[stored] do list[#list + 1] = bytes.whole(text, i, SIZES[stored], self.order) end
  return list
end

--- Walks an array between two places of a source; its tensors go into self.entries under `name`.
function class:array(from, at, stop, name, depth)
  if depth > DEEPEST then self.file:wrong("structs and cells lie deeper than %d in each other", DEEPEST) end
  if stop - at < 8 then return end -- an empty cell
  local part, place, size, after, _
  _, place, size, after = self:element(from, at, stop)
  local kind = from:text(place, 1):byte()
  if size < 8 then self.file:wrong "an array without its flags" end
  if self.order == "big" then kind = from:text(place + 3, 1):byte() end
  part, place, size, after = self:element(from, after, stop)
  local shape = self:numbers(from, part, place, size)
  local count = 1
  for _, n in ipairs(shape) do count = count * n end
  _, place, size, after = self:element(from, after, stop)
  local own = from:text(place, size)
  if name == "" then name = own end
  if kind == CELL then
    for i = 1, count do
      if after >= stop then break end
      _, place, size, after = self:element(from, after, stop)
      self:array(from, place, place + size, name .. "." .. i, depth + 1)
    end
  elseif kind == STRUCT or kind == OBJECT then
    if kind == OBJECT then _, _, _, after = self:element(from, after, stop) end
    part, place, size, after = self:element(from, after, stop)
    local length = self:numbers(from, part, place, size)[1] or 0
    _, place, size, after = self:element(from, after, stop)
    if length < 1 or length > 1024 then self.file:wrong "fields whose names have no length" end
    local fields, text = {}, from:text(place, size)
    for i = 1, size, length do fields[#fields + 1] = text:sub(i, i + length - 1):match "^[^%z]*" end
    for i = 1, count do
      for _, field in ipairs(fields) do
        if after >= stop then return end
        _, place, size, after = self:element(from, after, stop)
        self:array(from, place, place + size, name .. (count > 1 and "." .. i or "") .. "." .. field, depth + 1)
      end
    end
  elseif kind == CHAR then
    part, place, size = self:element(from, after, stop)
    local text = from:text(place, math.min(size, 4096))
    self.texts[name] = (part == 4 or part == 17) and text:gsub("(.)%z", "%1") or text
  elseif kind == SPARSE or kind > 15 then
    self.left = self.left + 1
  elseif count > 0 then
    part, place, size = self:element(from, after, stop)
    self:tensor(from, name, shape, part, place, size)
  end
end

function class:tensor(from, name, shape, kind, place, size)
  local stored, count = STORED[kind], 1
  for _, n in ipairs(shape) do count = count * n end
  if not stored or count * SIZES[stored] ~= size then
    self.file:wrong("%s: %.0f bytes of type %d for a shape of [%s]", name, size, kind, table.concat(shape, ","))
  end
  -- trailing dimensions of size 1 are left out of MATLAB's shapes; the first index runs fastest
  local strides = numpy.columns_first(shape)
  self.entries[#self.entries + 1] = { name = name, shape = shape, dtype = TENSORS[stored], stored = stored, read = function()
    return from:tensor(place, { dtype = TENSORS[stored], shape = shape, strides = strides, swapped = self.order == "big",
      name = name })
  end }
end

--- Names with a layer's own name in place of its number, "net.layers.conv1.weights.1", where each layer has one.
local function named(walk)
  local names, owner = {}, {}
  for key, text in pairs(walk.texts) do
    local layer = key:match "^(.*%.%d+)%.name$"
    if layer and text:find "^[%w_%-]+$" then
      local list = layer:match "^(.*)%.%d+$" .. "." .. text
      if owner[list] then return end -- two of one name: numbers tell them apart
      owner[list], names[layer] = layer, list
    end
  end
  for _, entry in ipairs(walk.entries) do
    local head = entry.name:match "^.-%.%d+"
    if head and names[head] then entry.name = names[head] .. entry.name:sub(#head + 1) end
  end
end

function matlab.open(file)
  local order = file:text(126, 2)
  if order ~= "IM" and order ~= "MI" then file:wrong "its header does not say the order of bytes" end
  local walk = setmetatable({ file = file, order = order == "MI" and "big" or nil, entries = {}, texts = {}, left = 0 },
    class)
  local at = 128
  while at < file.size do
    local kind, place, size, after = walk:element(file, at, file.size)
    local from, first = file, place
    if kind == COMPRESSED then
      from = file:unpacked(place, size, "zlib")
      kind, first, size = walk:element(from, 0, from.size)
    end
    if kind == MATRIX then walk:array(from, first, first + size, "", 1)
    elseif kind ~= UTF8 then walk.left = walk.left + 1 end
    at = after
  end
  named(walk)
  return { entries = walk.entries, texts = walk.texts,
    notes = walk.left > 0 and { walk.left .. " sparse matrices, functions and objects are left out" } or nil }
end

return matlab
