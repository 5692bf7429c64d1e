-- Weight files: named tensors of a model in HDF5, with what one must know to use them.
-- Not here: matching names with a model (nn/state.lua), the form of other frameworks' files.
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local checks = require "mien.checkpoint.check"
local tensor = require "mien.tensor"

local checkpoint = {}

local FORMAT, VERSION, GROUP = "weights", 1, "weights"

-- ---- attributes ----------------------------------------------------------------------------------

--- A list is kept as lines, each ended by a newline: that tells it from a text.
local function set_attribute(file, key, value)
  if type(value) == "number" then return check.status(C.mien_h5_set_number(file, "/", key, value)) end
  if type(value) == "table" then
    local lines = {}
    for i, item in ipairs(value) do lines[i] = type(item) == "number" and ("%.17g"):format(item) or item end
    value = table.concat(lines, "\n") .. "\n"
  end
  check.status(C.mien_h5_set_text(file, "/", key, check.type(value, "string", "save_weights: meta." .. key)))
end

local number, found, words = ffi.new "double[1]", ffi.new "bool[1]", ffi.new "const char *[1]"

local function get_attribute(file, key)
  check.status(C.mien_h5_get_number(file, "/", key, number, found))
  if found[0] then return number[0] end
  check.status(C.mien_h5_get_text(file, "/", key, words))
  if words[0] == nil then return nil end
  local text = ffi.string(words[0])
  if text:sub(-1) ~= "\n" then return text end
  local list = {}
  for line in text:gmatch "([^\n]*)\n" do
    list[#list + 1] = not checks.TEXTS[key] and tonumber(line) or line
  end
  return list
end

local function read_attributes(file)
  local meta, keys = {}, {}
  for key in ffi.string(C.mien_h5_attributes(file, "/")):gmatch "[^\n]+" do keys[#keys + 1] = key end
  for _, key in ipairs(keys) do
    if not key:match "^mien_" then meta[key] = get_attribute(file, key) end
  end
  return checks.meta(meta, ffi.string(C.mien_h5_path(file)))
end

-- ---- files ---------------------------------------------------------------------------------------

--- Runs fn(file) and closes the file, also on an error.
local function with(file, fn)
  local ok, result = xpcall(fn, check.trace, file)
  C.mien_h5_close(ffi.gc(file, nil))
  if not ok then check.rethrow(result) end
  return result
end

--- Writes all parameters and buffers of `module` (or a list of { name, tensor }) to `path`, atomically.
-- meta: a table of numbers, texts and lists of them that travels with the weights: architecture,
-- image_size, scale_mean, scale_sd (what the input was scaled with) ... A quantised network keeps its ranges there.
function checkpoint.save_weights(path, module, meta)
  check.type(path, "string", "save_weights: path")
  check.type(module, "table", "save_weights: module")
  checks.meta(meta or {}, "save_weights: meta", "argument")
  local list = module.state and module:state() or module
  with(check.pointer(C.mien_h5_create(path)), function(file)
    set_attribute(file, "mien_format", FORMAT)
    set_attribute(file, "mien_version", VERSION)
    local names = {}
    for i, entry in ipairs(list) do
      names[i] = entry[1] or entry.name
      check.status(C.mien_h5_write(file, GROUP .. "/" .. names[i], entry[2] or entry.tensor))
    end
    check.status(C.mien_h5_set_text(file, GROUP, "order", table.concat(names, "\n")))
    for key, value in pairs(meta or {}) do set_attribute(file, key, value) end
    if module.int8_ranges then set_attribute(file, "int8_ranges", module.int8_ranges) end
    check.status(C.mien_h5_finish(file))
  end)
end

--- Opens a weight file or raises an error that says what is wrong with it.
local function open(path)
  check.type(path, "string", "load_weights: path")
  local file = ffi.gc(check.pointer(C.mien_h5_open(path)), C.mien_h5_close)
  local format = get_attribute(file, "mien_format")
  if format ~= FORMAT then
    check.raise("format", "%s is no weight file of mien: its mien_format is %s", path, check.describe(format))
  end
  return file
end

--- Reads a weight file: { tensors = ordered list of { name, tensor }, meta = table }.
--   model:load(mien.checkpoint.load_weights("weights/affwild.h5").tensors)
function checkpoint.load_weights(path)
  return with(open(path), function(file)
    check.status(C.mien_h5_get_text(file, GROUP, "order", words))
    if words[0] == nil then check.raise("format", "%s: group /%s has no list 'order' of its tensors", path, GROUP) end
    local names, tensors = {}, {}
    for name in ffi.string(words[0]):gmatch "[^\n]+" do names[#names + 1] = name end
    for i, name in ipairs(names) do
      tensors[i] = { name, tensor.wrap(C.mien_h5_read(file, GROUP .. "/" .. name, 0, -1)) }
    end
    return { tensors = tensors, meta = read_attributes(file) }
  end)
end

--- What a weight file says about its weights, without reading them.
function checkpoint.read_meta(path)
  return with(open(path), read_attributes)
end

-- ---- whole trainings -------------------------------------------------------------------------------

--- Saves the whole state of a training; see checkpoint/state.lua.
function checkpoint.save(path, what)
  return require("mien.checkpoint.state").save(path, what)
end

--- Sets model, optimiser and random streams to what checkpoint.save wrote; see checkpoint/state.lua.
function checkpoint.load(path, into)
  return require("mien.checkpoint.state").load(path, into)
end

return checkpoint
