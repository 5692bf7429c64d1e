-- HDF5 files as Lua objects: datasets as tensors, attributes as texts and numbers.
-- Not here: what a corpus (corpus.lua), a checkpoint or a weight file (checkpoint/init.lua) holds.
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local tensor = require "mien.tensor"

local file = {}
file.__index = file

local dtypes = { f32 = C.MIEN_F32, f64 = C.MIEN_F64, u8 = C.MIEN_U8, i32 = C.MIEN_I32, i64 = C.MIEN_I64 }

--- A new tensor to be written whole (mien.empty); file.array("i32", { 10 }).
function file.array(dtype, shape)
  return tensor.empty(shape, { dtype = dtype })
end

local function own(pointer)
  return setmetatable({ handle = ffi.gc(check.pointer(pointer), C.mien_h5_close) }, file)
end

--- Opens `path` for reading.
function file.open(path)
  check.type(path, "string", "HDF5: path")
  return own(C.mien_h5_open(path))
end

--- Starts a file that becomes `path` in finish(); close() without finish() leaves nothing behind.
function file.create(path)
  check.type(path, "string", "HDF5: path")
  return own(C.mien_h5_create(path))
end

local function open_handle(self)
  if not self.handle then check.raise("argument", "HDF5: the file was closed already") end
  return self.handle
end

--- Puts a created file on disk under its final name, and closes.
function file:finish()
  check.status(C.mien_h5_finish(open_handle(self)))
  self:close()
end

--- Closes; again is allowed.
function file:close()
  if self.handle then C.mien_h5_close(ffi.gc(self.handle, nil)) end
  self.handle = nil
end

--- True when there is a dataset or group of this name.
function file:has(name)
  return C.mien_h5_has(open_handle(self), name)
end

--- dtype ("f32" ...) and shape (a list) of a dataset.
function file:info(name)
  local dtype, ndim, shape = ffi.new "mien_dtype[1]", ffi.new "int[1]", ffi.new "int64_t[6]"
  check.status(C.mien_h5_info(open_handle(self), name, dtype, ndim, shape))
  local sizes = {}
  for i = 1, ndim[0] do sizes[i] = tonumber(shape[i - 1]) end
  return ffi.string(C.mien_dtype_name(dtype[0])), sizes
end

--- Rows first .. first+count-1 (0-based; all when left out) as a new tensor.
function file:read(name, first, count)
  return tensor.wrap(C.mien_h5_read(open_handle(self), name, first or 0, count or -1))
end

--- A dataset that holds exactly t.
function file:write(name, t)
  check.status(C.mien_h5_write(open_handle(self), name, t))
end

--- A dataset whose first dimension grows: dataset("frames", "u8", { 0, 96, 96, 3 }, { 32, 96, 96, 3 }).
function file:dataset(name, dtype, shape, chunk)
  check.status(C.mien_h5_dataset(open_handle(self), name, dtypes[dtype], #shape,
    ffi.new("int64_t[?]", #shape, shape), chunk and ffi.new("int64_t[?]", #chunk, chunk), 0))
end

--- Adds rows at the end of a growing dataset.
function file:append(name, t)
  check.status(C.mien_h5_append(open_handle(self), name, t))
end

--- Sets an attribute of the file, or of an object: a text, a number, a boolean (0 or 1), or a list of texts.
function file:set(key, value, object)
  local handle = open_handle(self)
  if type(value) == "boolean" then value = value and 1 or 0 end
  if type(value) == "table" then value = table.concat(value, "\n") end
  if type(value) == "number" then
    check.status(C.mien_h5_set_number(handle, object or "", key, value))
  else
    check.status(C.mien_h5_set_text(handle, object or "", key, check.type(value, "string", key)))
  end
end

--- An attribute as text, or nil.
function file:text(key, object)
  local text = ffi.new "const char *[1]"
  check.status(C.mien_h5_get_text(open_handle(self), object or "", key, text))
  return text[0] ~= nil and ffi.string(text[0]) or nil
end

--- An attribute as a number, or nil.
function file:number(key, object)
  local value, found = ffi.new "double[1]", ffi.new "bool[1]"
  check.status(C.mien_h5_get_number(open_handle(self), object or "", key, value, found))
  return found[0] and value[0] or nil
end

--- An attribute that holds lines, as a list of texts, or nil.
function file:list(key, object)
  local text = self:text(key, object)
  if not text then return nil end
  local lines = {}
  if text ~= "" then
    for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  end
  return lines
end

--- Names of all datasets and groups (these end in "/"), depth first, in the order of writing.
function file:names()
  local names = {}
  for name in ffi.string(check.pointer(C.mien_h5_list(open_handle(self)))):gmatch "[^\n]+" do
    names[#names + 1] = name
  end
  return names
end

return file
