-- HDF5 files: mien's own (told apart and left to checkpoint/), Keras' (version 1 and 2), and any other's datasets.
-- Not here: .keras files, which are zips (keras.lua); MATLAB's (matlab.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local tensor = require "mien.tensor"

local reader = { name = "hdf5" }

local SIGNATURE = "\x89HDF\r\n\x1a\n"

function reader.is(head, file)
  if head:sub(1, 8) == SIGNATURE then return true end
  for _, at in ipairs { 512, 1024, 2048 } do -- behind a block of somebody else's (MATLAB's)
    if head:sub(at + 1, at + 8) == SIGNATURE then return true end
  end
  return false, file
end

local text, found, number = ffi.new "const char *[1]", ffi.new "bool[1]", ffi.new "double[1]"
local dtype, ndim, shape = ffi.new "mien_dtype[1]", ffi.new "int[1]", ffi.new "int64_t[6]"

--- An attribute as a text, nil for none.
local function attribute(h5, object, key)
  check.status(C.mien_h5_get_text(h5, object, key, text))
  if text[0] ~= nil then return ffi.string(text[0]) end
  check.status(C.mien_h5_get_number(h5, object, key, number, found))
  return found[0] and ("%.17g"):format(number[0]) or nil
end

--- Shape and dtype of a dataset; nil where no tensor can hold it, and why.
local function about(h5, name)
  if C.mien_h5_info(h5, name, dtype, ndim, shape) ~= C.MIEN_OK then return nil end
  local sizes = {}
  for i = 1, ndim[0] do sizes[i] = tonumber(shape[i - 1]) end
  return sizes, ffi.string(C.mien_dtype_name(dtype[0]))
end

--- Opens the HDF5 file at `path`: { entries, texts, own = true for a file of mien's }.
function reader.datasets(path)
  local h5 = ffi.gc(check.pointer(C.mien_h5_open(path)), C.mien_h5_close)
  local texts, entries, names = {}, {}, {}
  for key in ffi.string(C.mien_h5_attributes(h5, "/")):gmatch "[^\n]+" do texts[key] = attribute(h5, "/", key) end
  if texts.mien_format and texts.mien_format ~= "weights" then
    check.raise("format", "%s is no weight file: its mien_format is %s", path, texts.mien_format)
  end
  for name in ffi.string(C.mien_h5_list(h5)):gmatch "[^\n]+" do names[#names + 1] = name end
  local left = 0
  for _, name in ipairs(names) do
    if name:sub(-1) ~= "/" then
      local sizes, kind = about(h5, name)
      if sizes then
        entries[#entries + 1] = { name = name, shape = sizes, dtype = kind, stored = kind, read = function()
          return tensor.wrap(C.mien_h5_read(h5, name, 0, -1))
        end }
      else
        left = left + 1
      end
    end
  end
  return { entries = entries, texts = texts, own = texts.mien_format == "weights",
    notes = left > 0 and { ("%d datasets are no numbers, or of more than 6 dimensions"):format(left) } or nil }
end

function reader.open(file)
  local opened = reader.datasets(file.path)
  if opened.own then
    for _, entry in ipairs(opened.entries) do entry.name = entry.name:gsub("^weights/", "") end
    opened.format = "mien"
    return opened
  end
  return require("mien.weights.reading.keras").named(opened)
end

return reader
