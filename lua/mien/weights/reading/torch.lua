-- PyTorch's files: zip containers (since 1.6, TorchScript's too) and the older stream of pickles. Nothing of a file is ever
-- called. Not here: pickles (pickle.lua), where in a checkpoint the network lies (weights/init.lua).
local bytes = require "mien.weights.bytes"
local pickle = require "mien.weights.reading.pickle"
local nested = require "mien.weights.reading.nested"
local numpy = require "mien.weights.reading.numpy"

local torch = { name = "torch" }

local KINDS = { Float = "f32", Double = "f64", Half = "f16", BFloat16 = "bf16", Long = "i64", Int = "i32", Char = "i8",
  Byte = "u8", Bool = "u8" }
local DTYPES = { float32 = "f32", float64 = "f64", float16 = "f16", bfloat16 = "bf16", int64 = "i64", int32 = "i32",
  int8 = "i8", uint8 = "u8", bool = "u8" }
local SIZES = { f32 = 4, f64 = 8, f16 = 2, bf16 = 2, i64 = 8, i32 = 4, i8 = 1, u8 = 1 }

local MAGIC = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19" -- of the older form, a long of ten bytes

function torch.is(head, file)
  if head:sub(1, 4) == "PK\3\4" then
    for _, part in ipairs(bytes.zip(file.path)) do
      if part.name:find "data%.pkl$" then return true end
    end
    return false
  end
  return head:byte(1) == 0x80 and head:find(MAGIC, 1, true) ~= nil
end

-- ---- tensors -----------------------------------------------------------------------------------------

--- A tuple of numbers as a Lua list, nil for another thing.
local function numbers(value)
  if pickle.is(value, "call") and value.to.name == "torch.Size" then value = value.args[1] end
  if not (pickle.is(value, "tuple") or pickle.is(value, "list")) then return nil end
  local list = {}
  for i, n in ipairs(value) do
    if type(n) ~= "number" or n % 1 ~= 0 or n < 0 then return nil end
    list[i] = n
  end
  return #list == #value and list or nil
end

--- Of a storage's name in the pickle: its key, and its elements' type as it is stored there (nil: bytes).
local function storage(value)
  local id = pickle.is(value, "persistent") and value.id
  if not pickle.is(id, "tuple") or id[1] ~= "storage" or not pickle.is(id[2], "global") then return nil end
  return { key = tostring(id[3]), kind = id[2].name:match "%.(%w+)Storage$", count = id[5], view = id[6] }
end

local WRAPPED = { ["torch._utils._rebuild_parameter"] = 1, ["torch._utils._rebuild_parameter_with_state"] = 1 }
local REBUILT = { ["torch._utils._rebuild_tensor"] = true, ["torch._utils._rebuild_tensor_v2"] = true,
  ["torch._utils._rebuild_tensor_v3"] = true }

--- take() of nested.lua: a tensor that the pickle describes. fetch(key) gives bytes and the offset where a storage begins.
local function taking(fetch, swapped)
  local function take(value, file, name)
    if not pickle.is(value, "call") then return nil end
    local to, args = value.to.name, value.args
    if WRAPPED[to] then return take(args[1], file, name) end
    if to == "torch._tensor._rebuild_from_type_v2" and pickle.is(args[3], "tuple") and pickle.is(args[1], "global") then
      return take({ type = "call", to = args[1], args = args[3] }, file, name)
    end
    if not REBUILT[to] then return numpy.array(value, file, name) end
    local from, offset, shape, strides = storage(args[1]), args[2], numbers(args[3]), numbers(args[4])
    if not from or type(offset) ~= "number" or not shape or not strides or #shape ~= #strides then
      file:wrong("%s: a tensor whose storage, shape or strides it does not say", name)
    end
    if from.view and from.view ~= pickle.NONE then
      file:wrong("%s: a tensor in a part of a storage, as PyTorch 0.1 wrote; save it with a newer one", name)
    end
    local stored = from.kind
    if to:find "_v3$" and pickle.is(args[7], "global") then stored = args[7].name:match "^torch%.(%w+)$" end
    local dtype = KINDS[stored] or DTYPES[stored]
    return { shape = shape, dtype = dtype, stored = stored, read = function()
      local data, start = fetch(from, file, name)
      return data:tensor(start + offset * SIZES[dtype], { dtype = dtype, shape = shape, strides = strides, swapped = swapped,
        name = name })
    end }
  end
  return take
end

--- Classes that stand in a file and say nothing of tensors.
local QUIET = { "^torch%.Size$", "^torch%.device$", "^_codecs%.", "^numpy%.", "^builtins%.", "^__builtin__%.",
  "^collections%." }

--- "12 objects of 2 classes are left out (argparse.Namespace, ...)", for what cannot be tensors.
local function left(classes)
  local names = {}
  for name in pairs(classes) do
    local quiet = false
    for _, pattern in ipairs(QUIET) do quiet = quiet or name:find(pattern) ~= nil end
    if not quiet then names[#names + 1] = name end
  end
  table.sort(names)
  if #names == 0 then return nil end
  return ("objects of %d classes are looked into and not made: %s%s"):format(#names, table.concat(names, ", ", 1,
    math.min(3, #names)), #names > 3 and " ..." or "")
end

local function file_of(root, file, fetch, swapped)
  local entries, classes = nested.entries(root, file, taking(fetch, swapped))
  return { entries = entries, notes = { left(classes) } }
end

-- ---- containers --------------------------------------------------------------------------------------

local function open_zip(file)
  local parts, folder = {}, nil
  for _, part in ipairs(bytes.zip(file.path)) do
    parts[part.name] = part
    folder = folder or part.name:match "^(.-)data%.pkl$"
  end
  local main = parts[folder .. "data.pkl"]
  if main.size > pickle.LONGEST then file:wrong("a pickle of %.0f bytes; up to %.0f are read", main.size, pickle.LONGEST) end
  local inside, order = main.open(), parts[folder .. "byteorder"]
  local swapped = order ~= nil and order.size < 100 and order.open():head(100):find "big" ~= nil
  local opened = setmetatable({}, { __mode = "v" }) -- storages that several tensors share
  return file_of(pickle.read(inside, inside:text(0, inside.size)), file, function(from, _, name)
    local part = parts[folder .. "data/" .. from.key] or parts[folder .. "tensors/" .. from.key]
    if not part then file:wrong("%s: its elements, %s, are not in the file", name, from.key) end
    opened[from.key] = opened[from.key] or part.open()
    return opened[from.key], 0
  end, swapped)
end

--- Of the stream: magic number, version, facts of the machine, the object, keys; then count and elements of each storage.
local function open_stream(file)
  local text = file:text(0, math.min(file.size, pickle.LONGEST))
  local at, values, kinds = 1, {}, {}
  for i = 1, 5 do
    local outside
    values[i], at, outside = pickle.read(file, text, at)
    for _, value in ipairs(outside) do -- the elements' size stands with the tensors alone
      local from = storage(value)
      if from then kinds[from.key] = from.kind end
    end
  end
  if not pickle.is(values[5], "list") then file:wrong "the list of its storages is missing" end
  local big = pickle.get(values[3], "little_endian") == false
  local places, start = {}, at - 1
  for _, key in ipairs(values[5]) do
    local name = tostring(key)
    local count, size = bytes.whole(file:text(start, 8), 1, 8, big and "big" or nil), SIZES[KINDS[kinds[name] or ""] or ""]
    if not count or not size then file:wrong("its storage %s has elements of unknown number or size", name) end
    places[name] = start + 8
    start = start + 8 + count * size
    if start > file.size then file:wrong("cut off in its storage %s", name) end
  end
  return file_of(values[4], file, function(from, _, name)
    if not places[from.key] then file:wrong("%s: its elements, %s, are not in the file", name, from.key) end
    return file, places[from.key]
  end, big)
end

function torch.open(file)
  if file:head(2) == "PK" then return open_zip(file) end
  return open_stream(file)
end

return torch
