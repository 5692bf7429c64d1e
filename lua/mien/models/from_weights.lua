-- Builds the network that a weight file belongs to, from the names and shapes in it.
-- Not here: other frameworks' files, a start that takes the extractor alone (init/).
local check = require "mien.base.check"
local renamed = require "mien.base.renamed"

local from_weights = {}

-- Dimensions of the tensors that decide what the network is.
local DIMENSIONS = { ["features.conv1.weight"] = 4, ["features.features.0.weight"] = 4,
  ["features.features.0.0.weight"] = 4, ["head.weight"] = 2 }

local function shapes_of(tensors, path)
  local shapes = {}
  for _, entry in ipairs(tensors) do
    local name, shape = entry[1], entry[2].shape
    local wanted = DIMENSIONS[name] or name:find "^context%.weight" and 2
      or (name:find "^fully_connected%.%d+%.weight$" or name:find "^features%.classifier%.%d+%.weight$") and 2
    if wanted and #shape ~= wanted or shape[1] == 0 then
      check.raise("format", "%s: %s has the shape [%s], %d dimensions are wanted", path, name, table.concat(shape, ","),
        wanted or #shape)
    end
    shapes[name] = shape
  end
  return shapes
end

--- Outputs of the linear layers whose weights' names match a pattern, in order.
local function widths(tensors, pattern)
  local list = {}
  for _, entry in ipairs(tensors) do
    if entry[1]:match(pattern) then list[#list + 1] = entry[2]:size(1) end
  end
  return list
end

local function extractor(tensors, shapes, path, size)
  local models = require "mien.models"
  local resnet = shapes["features.conv1.weight"]
  local vgg = shapes["features.features.0.weight"] or shapes["features.features.0.0.weight"] -- quantised
  if resnet then return models.resnet50 { width = resnet[1] } end
  if vgg then
    return models.vgg16 { size = size, width = vgg[1],
      fully_connected = widths(tensors, "^features%.classifier%.%d+%.weight$") }
  end
  check.raise("format", "%s: its extractor is neither ResNet-50 nor VGG-16 (no features.conv1.weight)", path)
end

--- Names of the outputs: as the file says, else arousal and valence for two, else numbers.
local function output_names(meta, count, path)
  local names = meta.outputs or meta.label_names
  if not names and count == 2 then names = { "arousal", "valence" } end
  if not names then
    names = {}
    for i = 1, count do names[i] = "output" .. i end
  end
  if #names ~= count then check.raise("format", "%s: %d outputs but %d names", path, count, #names) end
  return names
end

--- The network of a weights file, in test mode: models.from_weights("weights/net.h5"); a quantised one, too. Gives it,
-- its outputs' names, and what else the file says. options.size: side of its input, for VGG-16.
function from_weights.load(path, options)
  if type(options) == "number" then
    renamed.form("models.from_weights", options, "models.from_weights(path, { size = n })")
  end
  local size = check.keys(options or {}, { size = "count" }, "models.from_weights").size
  local models = require "mien.models"
  local file = require("mien.checkpoint").load_weights(path)
  require("mien.checkpoint.check").finite(file.tensors, path)
  local shapes = shapes_of(file.tensors, path)
  local head = shapes["head.weight"]
  if not head then check.raise("format", "%s has no head.weight: an extractor alone gives no predictions", path) end
  local outputs = output_names(file.meta, head[1], path)
  local features = extractor(file.tensors, shapes, path, size)
  local model
  local hh = shapes["context.weight_hh_l0"]
  if hh then
    local layers = 0
    while shapes["context.weight_hh_l" .. layers] do layers = layers + 1 end
    model = models.recurrent { features = features, hidden = hh[2], layers = layers,
      cell = hh[1] == 4 * hh[2] and "lstm" or "gru", outputs = outputs,
      fully_connected = widths(file.tensors, "^fully_connected%.%d+%.weight$") }
  else
    model = models.framewise { features = features, outputs = outputs }
  end
  local ranges = file.meta.int8_ranges
  if ranges then model = require("mien.nn.quantise").empty(model, ranges, path) end
  model:load(file.tensors)
  model:train(false)
  return model, outputs, file.meta
end

return from_weights
