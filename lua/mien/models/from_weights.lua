-- Builds the network that a weight file describes.
-- Not here: the file's form (docs/weights.md), a start that takes the extractor alone (nn/initialisers/from.lua).
local check = require "mien.base.check"
local checks = require "mien.checkpoint.check"
local shapes_of = require "mien.weights.shapes"
local weights = require "mien.weights"

local from_weights = {}

-- ---- what shapes tell ----------------------------------------------------------------------------------

--- Attributes of a description as far as names and shapes tell, "model.hidden=64" each, and alternatives where they do not:
-- "model.features.strides=torchvision|slim|caffe"; an empty list for a network that is none of mien's.
local function guess(tensors)
  local shapes, list = shapes_of.shapes(tensors), {}
  local features, context = shapes_of.extractor(shapes, "features."), shapes_of.context(shapes)
  if not features or not shapes["head.weight"] then return list end
  local function add(key, value)
    if type(value) == "table" then value = #value > 0 and table.concat(value, ",") or "none" end
    list[#list + 1] = ("model%s=%s"):format(key, value)
  end
  add("", context and "recurrent" or "framewise")
  add(".features", features[1])
  add(".features.width", features.width)
  if features[1] == "resnet" then
    add(".features.blocks", features.blocks)
    add(".features.strides", features.block and "torchvision" or "torchvision|slim|caffe")
    if features.block then add(".features.block", features.block) end
  else
    add(".features.size", features.size or "N")
    add(".features.fully_connected", features.fully_connected)
    add(".features.dropout", 0.5)
  end
  if context then
    for _, key in ipairs { "cell", "hidden", "layers" } do add("." .. key, context[key]) end
    if context.cell == "gru" then add(".reset_after", "true|false") end
    add(".fully_connected", context.fully_connected)
    add(".dropout", context.dropout)
  end
  return list
end

--- An error where meta leaves out what the network is, or one of `keys`, with what the shapes tell of it.
function from_weights.need(meta, path, keys)
  local lacks = checks.missing(meta, keys or {})
  if not meta.model then lacks[#lacks + 1] = "model" end
  -- AffWildNet names its outputs itself
  if not meta.outputs and not (meta.model and meta.model[1] == "affwildnet") then lacks[#lacks + 1] = "outputs" end
  if #lacks == 0 then return end
  local list = meta.model and {} or guess(weights.load(path).tensors)
  checks.lacks(path, lacks, #list > 0 and list or nil)
end

-- ---- building ------------------------------------------------------------------------------------------

--- Names of what a network was made with and its description does not say.
local function unsaid(made, said, path, list)
  for key, value in pairs(made) do
    local name = key == 1 and path or path .. "." .. key
    if said[key] == nil then
      list[#list + 1] = name
    elseif type(value) == "table" and value[1] and type(value[1]) == "string" then
      unsaid(value, said[key], name, list)
    end
  end
  return list
end

--- The network of a description with these outputs; path: the file, for messages. A file must say all arguments: the
-- default of a constructor is not what somebody else's network was made with.
local function build(description, outputs, path, defaults)
  local whole = {}
  for key, value in pairs(description) do whole[key] = value end
  if description[1] ~= "affwildnet" then whole.outputs = outputs end -- which names them itself
  local ok, model = pcall(require("mien.models").build, whole)
  if not ok then
    if check.is_error(model) then model.message = ("%s: %s"):format(path, model.message) end
    check.rethrow(model)
  end
  local lacks = defaults and {} or unsaid(model.architecture or {}, description, "model", {})
  if #lacks > 0 then checks.lacks(path, lacks) end
  return model
end

--- The network of a weights file, in test mode: models.from_weights("weights/net.h5"); a quantised one, too. Gives it,
-- its outputs' names, and what else the file says. What a network is, and which output means what, no shape tells: a file
-- that is silent about it is refused, unless options say it: { model = { "affwildnet", fully_connected = {} },
-- outputs = { "valence", "arousal" } } or any other attribute of docs/weights.md. What contradicts the file is an error.
-- Weights of other programs come with weights.load's options (map, prefix, scale, channels) beside these.
function from_weights.load(path, options)
  check.type(options or {}, "table", "models.from_weights: options")
  local how, said = weights.apart(options)
  local file = weights.load(path, how)
  checks.finite(file.tensors, path)
  local meta = checks.join(file.meta, said, path)
  from_weights.need(meta, path)
  local model = build(meta.model, meta.outputs, path, not file.meta.model)
  meta.outputs = meta.outputs or model.outputs
  local told = table.concat(meta.outputs, ", ")
  if model.outputs and table.concat(model.outputs, ", ") ~= told then
    check.raise("argument", "%s: the outputs are %s, but a network %s has %s", path, told, meta.model[1],
      table.concat(model.outputs, ", "))
  end
  if meta.int8_ranges then model = require("mien.nn.quantise").empty(model, meta.int8_ranges, path) end
  local ok, problem = pcall(model.load, model, file.tensors)
  if not ok then
    if check.is_error(problem) then problem.message = ("%s: %s"):format(path, problem.message) end
    check.rethrow(problem)
  end
  model:train(false)
  return model, meta.outputs, meta
end

return from_weights
