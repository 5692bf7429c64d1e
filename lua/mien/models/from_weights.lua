-- Builds the network that a weight file belongs to, from the names and shapes in it.
-- Not here: other frameworks' files, a start that takes the extractor alone (init/).
local check = require "mien.check"

local from_weights = {}

local function shapes_of(tensors)
  local shapes = {}
  for _, entry in ipairs(tensors) do shapes[entry[1]] = entry[2]:size() end
  return shapes
end

local function extractor(shapes, path, size)
  local models = require "mien.models"
  local resnet, vgg = shapes["features.conv1.weight"], shapes["features.features.0.weight"]
  if resnet then return models.resnet50 { width = resnet[1] } end
  if vgg then return models.vgg16 { size = size } end
  check.raise("format", "%s: its extractor is neither ResNet-50 nor VGG-16 (no features.conv1.weight)", path)
end

--- Names of the outputs: as the file says, else arousal and valence for two, else numbers.
local function output_names(meta, count, path)
  local names = meta.outputs or meta.label_names
  if type(names) == "string" then
    local list = {}
    for name in names:gmatch "[^\n]+" do list[#list + 1] = name end
    names = list
  end
  if not names and count == 2 then names = { "arousal", "valence" } end
  if not names then
    names = {}
    for i = 1, count do names[i] = "output" .. i end
  end
  if #names ~= count then check.raise("format", "%s: %d outputs but %d names", path, count, #names) end
  return names
end

--- Loads `path`: the network with its weights, in test mode; its outputs' names; and the file's meta.
-- size: side of its input, for VGG-16.
function from_weights.load(path, size)
  local models = require "mien.models"
  local file = require("mien.checkpoint").load_weights(path)
  local shapes = shapes_of(file.tensors)
  local head = shapes["head.weight"]
  if not head then check.raise("format", "%s has no head.weight: an extractor alone gives no predictions", path) end
  local outputs = output_names(file.meta, head[1], path)
  local features = extractor(shapes, path, size)
  local model
  local hh = shapes["context.weight_hh_l0"]
  if hh then
    local layers, wide = 0, {}
    while shapes["context.weight_hh_l" .. layers] do layers = layers + 1 end
    for _, entry in ipairs(file.tensors) do
      if entry[1]:match "^fully_connected%.%d+%.weight$" then wide[#wide + 1] = entry[2]:size(1) end
    end
    model = models.recurrent { features = features, hidden = hh[2], layers = layers,
      cell = hh[1] == 4 * hh[2] and "lstm" or "gru", fully_connected = wide, outputs = outputs }
  else
    model = models.framewise { features = features, outputs = outputs }
  end
  model:load(file.tensors)
  model:train(false)
  return model, outputs, file.meta
end

return from_weights
