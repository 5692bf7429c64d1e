-- Torch7's .t7 files, binary (little-endian, 64-bit longs) and ASCII: a tree of numbers, texts, tables and objects, each
-- object by its number. Not here: names (weights/maps).
local bytes = require "mien.weights.bytes"
local pickle = require "mien.weights.reading.pickle" -- for its dict, which nested.lua walks
local nested = require "mien.weights.reading.nested"

local torch7 = { name = "torch7" }

local NIL, NUMBER, STRING, TABLE, TORCH, BOOLEAN, FUNCTION, RECURSIVE, OLD_RECURSIVE = 0, 1, 2, 3, 4, 5, 6, 8, 7

local KINDS = { Float = "f32", Double = "f64", Byte = "u8", Char = "i8", Int = "i32", Long = "i64", Cuda = "f32",
  CudaDouble = "f64", Half = "f16", CudaHalf = "f16" }
local SIZES = { f32 = 4, f64 = 8, u8 = 1, i8 = 1, i32 = 4, i64 = 8, f16 = 2 }
local MOST, DEEPEST = 1e6, 200 -- objects; levels

function torch7.is(head)
  if head:find "^[34]\n%d+\n" then return true end
  local kind, number, version = bytes.whole(head, 1, 4), bytes.whole(head, 5, 4), bytes.whole(head, 9, 4)
  if kind == TABLE then return number == 1 and version ~= nil and version < 1e6 end
  return kind == TORCH and number == 1 and version ~= nil and version < 200 and head:find("^V %d+", 13) ~= nil
    or kind == TORCH and number == 1 and head:find("^torch%.", 13) ~= nil
end

local class = {}
class.__index = class

-- ---- words of either form --------------------------------------------------------------------------------

--- ASCII: the next word of a line of its own.
function class:word()
  local first, last, word = self.text:find("^%s*(%S+)[ \n]?", self.at)
  if not first then self.file:wrong("cut off at byte %d", self.at) end
  self.at = last + 1
  return word
end

function class:int()
  if self.ascii then return tonumber(self:word()) or self.file:wrong("no number at byte %d", self.at) end
  self.at = self.at + 4
  return bytes.integer(self.text, self.at - 4, 4) or self.file:wrong("cut off at byte %d", self.at)
end

function class:long()
  if self.ascii then return self:int() end
  self.at = self.at + 8
  return bytes.integer(self.text, self.at - 8, 8) or self.file:wrong("a number above 2^53, or cut off, at byte %d", self.at)
end

function class:double()
  if self.ascii then return tonumber(self:word()) or 0 / 0 end
  self.at = self.at + 8
  return bytes.double(self.text, self.at - 8) or self.file:wrong("cut off at byte %d", self.at)
end

function class:string()
  local length = self:int()
  if length < 0 or self.at + length - 1 > #self.text then
    self.file:wrong("a text of %d bytes at byte %d", length, self.at)
  end
  local value = self.text:sub(self.at, self.at + length - 1)
  self.at = self.at + length + (self.ascii and 1 or 0)
  return value
end

function class:longs(n)
  local list = {}
  if n < 0 or n > 64 then self.file:wrong("a tensor of %d dimensions", n) end
  for i = 1, n do list[i] = self:long() end
  return list
end

-- ---- objects -------------------------------------------------------------------------------------------

--- A storage: { dtype, at = offset of its elements in the file } or, of an ASCII file, { dtype, values }.
function class:storage(kind)
  local count, dtype = self:long(), KINDS[kind]
  if not dtype then self.file:wrong("a storage of type %s", kind) end
  if count < 0 or count > self.file.size then self.file:wrong("a storage of %.0f elements", count) end
  if self.ascii then
    local values = {}
    for i = 1, count do values[i] = tonumber(self:word()) or 0 / 0 end
    return { dtype = dtype, values = values }
  end
  local at = self.at - 1
  self.at = self.at + count * SIZES[dtype]
  if self.at - 1 > #self.text then self.file:wrong "cut off in a tensor's elements" end
  return { dtype = dtype, at = at }
end

--- A tensor: what nested.lua's take gives.
function class:tensor(kind)
  local n = self:int()
  local shape, strides = self:longs(n), self:longs(n)
  local first = self:long() - 1
  local from = self:object()
  local file = self.file
  if type(from) ~= "table" or not from.dtype then
    return { type = "tensor", shape = { 0 }, dtype = KINDS[kind], stored = kind }
  end
  return { type = "tensor", shape = shape, strides = strides, dtype = from.dtype, stored = kind, read = function(name)
    if from.at then
      return file:tensor(from.at + first * SIZES[from.dtype], { dtype = from.dtype, shape = shape, strides = strides,
        name = name })
    end
    local count, step = 1, 1
    for i = #shape, 1, -1 do
      if strides[i] ~= step and shape[i] ~= 1 then file:wrong("%s: a view in an ASCII file", name) end
      count, step = count * shape[i], step * shape[i]
    end
    if first < 0 or first + count > #from.values then file:wrong("%s: elements outside of its storage", name) end
    local values = {}
    for i = 1, count do values[i] = from.values[first + i] end
    return require("mien.tensor").tensor(values):reshape(shape)
  end }
end

function class:table()
  local count = self:int()
  local dict = pickle.dict()
  self.known[self.number] = dict
  if count < 0 then self.file:wrong("a table of %d entries", count) end
  for _ = 1, count do
    local key, value = self:object(), self:object()
    if key ~= nil and key == key and value ~= nil then pickle.put(dict, key, value) end
  end
  return dict
end

function class:object()
  self.count, self.depth = self.count + 1, self.depth + 1
  if self.count > MOST or self.depth > DEEPEST then
    self.file:wrong("more than %.0f objects, or %d in each other", MOST, DEEPEST)
  end
  local kind, value = self:int(), nil
  if kind == NUMBER then value = self:double()
  elseif kind == STRING then value = self:string()
  elseif kind == BOOLEAN then value = self:int() == 1
  elseif kind == TABLE or kind == TORCH then
    local number = self:int()
    if self.known[number] then
      value = self.known[number]
    else
      self.number = number
      if kind == TABLE then
        value = self:table()
      else
        local name = self:string()
        if name:find "^V %d+$" then name = self:string() end
        local storage, tensor = name:match "^torch%.(%w+)Storage$", name:match "^torch%.(%w+)Tensor$"
        if storage then value = self:storage(storage)
        elseif tensor then value = self:tensor(tensor)
        else value = self:object() end -- a class of Lua keeps a table of its fields
        self.known[number] = value
      end
    end
  elseif kind == FUNCTION or kind == RECURSIVE or kind == OLD_RECURSIVE then
    local number = self:int()
    if not self.known[number] then
      self.known[number] = false
      self:string() -- its code, which is not looked at
      self:object()
      self.functions = self.functions + 1
    end
  elseif kind ~= NIL then
    self.file:wrong("an object of type %s at byte %d", tostring(kind), self.at)
  end
  self.depth = self.depth - 1
  return value
end

--- nn's containers hold their layers in `modules`, whose word says nothing.
local function named(name) return (name:gsub("%f[%w]modules%.", "")) end

function torch7.open(file)
  local text = file:text(0, math.min(file.size, 2 ^ 30))
  local walk = setmetatable({ file = file, text = text, at = 1, known = {}, count = 0, depth = 0, functions = 0,
    ascii = text:find "^%d+\n" ~= nil }, class)
  local root = walk:object()
  local entries = nested.entries(root, file, function(value)
    if type(value) ~= "table" or value.type ~= "tensor" then return nil end
    return { shape = value.shape, dtype = value.read and value.dtype, stored = value.stored, value = value }
  end)
  local kept, seen, left = {}, {}, 0
  for _, entry in ipairs(entries) do
    local last = entry.name:match "[^%.]*$"
    local count = 1
    for _, n in ipairs(entry.shape) do count = count * n end
    if count == 0 or not entry.dtype or last:find "^grad" or last == "output" or seen[entry.value] then
      left = left + 1
    else
      seen[entry.value] = true
      local name = named(entry.name)
      entry.name = name
      local read = entry.value.read
      entry.read = function() return read(name) end
      kept[#kept + 1] = entry
    end
  end
  local notes = {}
  if left > 0 then
    notes[#notes + 1] = ("%d tensors are left out: gradients, outputs, empty ones, second names"):format(left)
  end
  if walk.functions > 0 then notes[#notes + 1] = ("%d functions are not looked at"):format(walk.functions) end
  return { entries = kept, notes = notes }
end

return torch7
