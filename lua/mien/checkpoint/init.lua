-- Weight files: named tensors of a model in HDF5, with what one must know to use them.
-- Not here: matching names with a model (nn/loading.lua), the form of other frameworks' files.
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local checks = require "mien.checkpoint.check"
local tensor = require "mien.tensor"
local sha256 = require "mien.base.sha256"

local checkpoint = {}

local FORMAT, VERSION, GROUP = "weights", 2, "weights" -- version 1 said less about its network

-- ---- attributes ----------------------------------------------------------------------------------

--- A list is kept as lines, each ended by a newline: that tells it from a text. A description of a network,
-- { "resnet", width = 16 } of key "model", is kept as model = "resnet" and model.width = 16.
local function set_attribute(file, key, value)
  if type(value) == "boolean" then value = value and 1 or 0 end
  if type(value) == "number" then return check.status(C.mien_h5_set_number(file, "/", key, value)) end
  if type(value) == "table" and (key == "model" or key:find "^model%.") and type(value[1]) == "string" then
    set_attribute(file, key, value[1])
    for name, one in pairs(value) do
      if name ~= 1 then set_attribute(file, key .. "." .. name, one) end
    end
    return
  end
  if type(value) == "table" then
    local lines = {}
    for i, item in ipairs(value) do lines[i] = type(item) == "number" and ("%.17g"):format(item) or item end
    value = table.concat(lines, "\n") .. "\n"
  end
  check.status(C.mien_h5_set_text(file, "/", key, check.type(value, "string", "save_weights: meta." .. key)))
end

local dtypes = require("mien.tensor.create").dtypes
local number, found, words = ffi.new "double[1]", ffi.new "bool[1]", ffi.new "const char *[1]"

local function get_attribute(file, key)
  check.status(C.mien_h5_get_number(file, "/", key, number, found))
  if found[0] then return number[0] end
  check.status(C.mien_h5_get_text(file, "/", key, words))
  if words[0] == nil then return nil end
  local text = ffi.string(words[0])
  if text:sub(-1) ~= "\n" then return text end
  local list = {}
  if text == "\n" then return list end
  for line in text:gmatch "([^\n]*)\n" do
    list[#list + 1] = not checks.TEXTS[key] and tonumber(line) or line
  end
  return list
end

--- Puts the value of "model.features.width" where it belongs: meta.model.features.width.
local function place(meta, key, value)
  local at, last = meta, nil
  for word in (key == "model" and key or key:find "^model%." and key or ""):gmatch "[^%.]+" do
    if last then
      if type(at[last]) ~= "table" then at[last] = { at[last] } end
      at = at[last]
    end
    last = word
  end
  if last and type(at[last]) == "table" then at[last][1] = value else at[last or key] = value end
end

--- Meta from texts and numbers by attribute, in the order of `keys`.
local function nested(keys, value)
  local meta = {}
  for _, key in ipairs(keys) do place(meta, key, value(key)) end
  if type(meta.model) == "string" then meta.model = { meta.model } end
  return meta
end

local function read_attributes(file)
  local keys = {}
  for key in ffi.string(C.mien_h5_attributes(file, "/")):gmatch "[^\n]+" do
    if not key:match "^mien_" then keys[#keys + 1] = key end
  end
  local meta = nested(keys, function(key) return get_attribute(file, key) end)
  return checks.meta(meta, ffi.string(C.mien_h5_path(file)))
end

--- Meta from texts as a command line has them: { "model.cell=gru", "outputs=valence,arousal" }; numbers, true and false
-- mean themselves, commas divide a list, none is an empty one.
function checkpoint.meta(texts)
  local keys, values = {}, {}
  for i, text in ipairs(texts) do
    local key, value = text:match "^([%w_%.]+)=(.*)$"
    if not key then check.raise("usage", "%s is no attribute of a weights file as KEY=VALUE", text) end
    if value:find "," then
      local list = {}
      for word in (value .. ","):gmatch "([^,]*)," do list[#list + 1] = not checks.TEXTS[key] and tonumber(word) or word end
      value = list
    elseif value == "none" then
      value = {}
    elseif value == "true" or value == "false" then
      value = value == "true"
    else
      value = not checks.TEXTS[key] and tonumber(value) or value
    end
    keys[i], values[key] = key, value
  end
  return nested(keys, function(key) return values[key] end)
end

-- ---- files ---------------------------------------------------------------------------------------

--- Runs fn(file) and closes the file, also on an error.
local function with(file, fn)
  local ok, result = xpcall(fn, check.trace, file)
  C.mien_h5_close(ffi.gc(file, nil))
  if not ok then check.rethrow(result) end
  return result
end

--- What a file says of its weights: what is given, and what the network knows of itself. Both must agree.
local function about(module, meta)
  local all, own = {}, { model = rawget(module, "architecture"), outputs = rawget(module, "outputs") }
  for key, value in pairs(checks.meta(meta or {}, "save_weights: meta", "argument")) do all[key] = value end
  return own.model and checks.join(all, own, "save_weights: meta") or all
end

--- Writes all parameters and buffers of `module` (or a list of { name, tensor }) to `path`, atomically.
-- meta: a table of numbers, texts and lists of them that travels with the weights: image_size, resize, scale_mean,
-- scale_sd ... (docs/weights.md has what `mien predict` must know). What a network of mien.models was made with and the
-- names of its outputs go along by themselves, and so do the ranges of a quantised one.
function checkpoint.save_weights(path, module, meta)
  check.type(path, "string", "save_weights: path")
  check.type(module, "table", "save_weights: module")
  meta = about(module, meta)
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
    for key, value in pairs(meta) do set_attribute(file, key, value) end
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
  local version = get_attribute(file, "mien_version")
  if version and version ~= 1 and version ~= VERSION then
    check.raise("format", "%s: version %s, this mien reads 1 and %d", path, tostring(version), VERSION)
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

--- A hash of the names and numbers of a weight file, whatever its meta says.
function checkpoint.digest(path)
  return require("mien.tensor.scope").run(function()
    local parts = {}
    for i, entry in ipairs(checkpoint.load_weights(path).tensors) do
      local t = entry[2]
      local bytes = t:count() * tonumber(C.mien_dtype_size(dtypes[t.dtype]))
      parts[i] = entry[1] .. " " .. sha256.bytes(t:data(), bytes)
    end
    return sha256.text(table.concat(parts, "\n"))
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
