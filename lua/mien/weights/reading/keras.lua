-- Keras: HDF5 files of versions 1 and 2 (a layer's group with its weights' names; also inside a whole model), .keras zips
-- of Keras 3, whose HDF5 counts layers by class, and whose configuration says their names.
-- Not here: HDF5 (hdf5.lua), which name is which in mien (weights/maps).
local bytes = require "mien.weights.bytes"
local cjson = require "cjson"

local keras = { name = "keras" }

function keras.is(head, file)
  if head:sub(1, 4) ~= "PK\3\4" then return false end
  for _, part in ipairs(bytes.zip(file.path)) do
    if part.name == "model.weights.h5" then return true end
  end
  return false
end

--- Names without what Keras 1 and 2 put around them: groups, repeated layers, ":0".
local function short(name)
  name = name:gsub("^model_weights/", ""):gsub(":0$", "")
  local layer, rest = name:match "^([^/]+)/(.*)$"
  while layer and rest:sub(1, #layer + 1) == layer .. "/" do rest = rest:sub(#layer + 2) end
  return layer and layer .. "/" .. rest or name
end

--- Keeps entries that `name_of` has a name for; a note counts the others.
local function rename(opened, name_of, others)
  local kept, left = {}, 0
  for _, entry in ipairs(opened.entries) do
    local name = name_of(entry.name)
    if name then
      entry.name = name
      kept[#kept + 1] = entry
    else
      left = left + 1
    end
  end
  opened.entries, opened.format = kept, "keras"
  opened.notes = opened.notes or {}
  if left > 0 then table.insert(opened.notes, ("%d %s are left out"):format(left, others)) end
  return opened
end

--- Entries of an HDF5 file as Keras names them, where it is one of Keras'.
function keras.named(opened)
  local is_keras = opened.texts.keras_version or opened.texts.layer_names
  for _, entry in ipairs(opened.entries) do is_keras = is_keras or entry.name:find "^model_weights/" end
  if not is_keras then return opened end
  return rename(opened, function(name) return not name:find "^optimizer_weights/" and short(name) or nil end,
    "tensors of the optimiser")
end

-- ---- Keras 3 -------------------------------------------------------------------------------------------

-- What stands at vars/0, 1, ... of a layer; other classes keep their numbers.
local NORM = { "gamma", "beta", "moving_mean", "moving_variance" }
local VARIABLES = { Conv2D = { "kernel", "bias" }, Dense = { "kernel", "bias" },
  DepthwiseConv2D = { "depthwise_kernel", "bias" },
  SeparableConv2D = { "depthwise_kernel", "pointwise_kernel", "bias" }, BatchNormalization = NORM }

--- Keras' own rule: "BatchNormalization" -> "batch_normalization", "Conv2D" -> "conv2d".
local function snake(class)
  return (class:gsub("%W+", ""):gsub("(.)(%u%l+)", "%1_%2"):gsub("(%l)(%u)", "%1_%2"):lower())
end

--- Names by place: layers are counted by class in the model's order, models within models likewise.
local function places(config, prefix, names)
  local counts = {}
  for _, layer in ipairs(config.layers or {}) do
    local class = type(layer) == "table" and layer.class_name or ""
    local word = snake(class)
    local n = counts[word] or 0
    counts[word] = n + 1
    local place = ("%slayers/%s%s"):format(prefix, word, n > 0 and "_" .. n or "")
    local own = type(layer.config) == "table" and layer.config or {}
    local name = type(own.name) == "string" and own.name or type(layer.name) == "string" and layer.name or word
    names[place] = { name = name, variables = VARIABLES[class] or {} }
    if own.layers then places(own, place .. "/", names) end
  end
  return names
end

function keras.open(file)
  local parts = {}
  for _, part in ipairs(bytes.zip(file.path)) do parts[part.name] = part end
  local config = parts["config.json"] and parts["config.json"].open()
  local ok, said = pcall(cjson.decode, config and config:text(0, config.size) or "")
  if not ok or type(said) ~= "table" or type(said.config) ~= "table" then
    file:wrong "its config.json does not describe a model"
  end
  local names = places(said.config, "", {})
  local inside, path = parts["model.weights.h5"].open(), os.tmpname()
  local copy = assert(io.open(path, "wb"))
  local good, problem = pcall(function()
    for at = 0, inside.size - 1, 2 ^ 24 do assert(copy:write(inside:text(at, math.min(2 ^ 24, inside.size - at)))) end
    assert(copy:close())
    return require("mien.weights.reading.hdf5").datasets(path)
  end)
  os.remove(path) -- what is open stays readable
  if not good then error(problem, 0) end
  return rename(problem, function(place)
    local layer, number = place:match "^(.*)/vars/(%d+)$"
    local known = layer and names[layer]
    return known and ("%s/%s"):format(known.name, known.variables[tonumber(number) + 1] or number) or nil
  end, "variables of no layer (the optimiser's, metrics')")
end

return keras
