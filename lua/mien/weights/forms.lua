-- Files for other programs: the form that a name asks for, its names and texts. Not here: the forms (weights/writing).
local check = require "mien.base.check"
local literal = require "mien.base.literal"
local tensor = require "mien.tensor"

local forms = {}

local EXTENSIONS = { h5 = "mien", safetensors = "safetensors", pt = "torch", pth = "torch", onnx = "onnx" }

--- The form that a file's name asks for.
function forms.form(path)
  local extension = path:match "%.(%w+)$"
  return EXTENSIONS[extension] or check.raise("argument", "%s: the forms that are written end in .h5 (mien's own), "
    .. ".safetensors, .pt, .pth or .onnx", path)
end

--- Names as PyTorch's load_state_dict wants them: torchvision's own for an extractor or a network with one linear layer on
-- it; for a recurrent one torchvision's below `features`, nn.LSTM's or nn.GRU's below `context`, `fully_connected` and
-- `head`. An LSTM's one bias becomes bias_ih, beside a bias_hh of zeros.
function forms.names(tensors, model)
  local alone, list = not model or model[1] ~= "recurrent", {}
  local vgg = model and (model[1] == "vgg16" or type(model.features) == "table" and model.features[1] == "vgg16")
  for _, entry in ipairs(tensors) do
    local name, t = entry[1], entry[2]
    local layer = name:match "^context%.bias_(l%d+)$"
    if layer then
      list[#list + 1] = { "context.bias_ih_" .. layer, t }
      list[#list + 1] = { "context.bias_hh_" .. layer, tensor.zeros(t.shape) }
    else
      if alone and model and model[1] == "framewise" then
        name = name:gsub("^features%.", ""):gsub("^head%.", vgg and "classifier.6." or "fc.")
      end
      list[#list + 1] = { name, t }
    end
  end
  return list
end

local KEPT_BACK = { post = true, config_hash = true, int8_ranges = true }

--- What the file says of itself, as texts.
function forms.texts(meta)
  local texts = {}
  for key, value in pairs(meta) do
    if not KEPT_BACK[key] then texts["mien." .. key] = literal.encode(value) end
  end
  return texts
end

local WRITERS = { safetensors = require "mien.weights.writing.to_safetensors",
  torch = require "mien.weights.writing.to_torch" }

--- Writes tensors, a list of { name, tensor } of a network, to `path` in a form of WRITERS; meta: what it says of itself.
function forms.write(form, path, tensors, meta)
  WRITERS[form](path, forms.names(tensors, meta.model), forms.texts(meta))
end

return forms
