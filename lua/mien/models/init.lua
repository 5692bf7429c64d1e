-- Networks of the papers, each loaded when first named.
-- Not here: layers (nn/), weights (nn/initialisers, checkpoint/).
local check = require "mien.base.check"

-- name -> { module, field }; a module without field is the constructor itself
local networks = {
  resnet = { "mien.models.resnet", "resnet" }, resnet50 = { "mien.models.resnet", "resnet50" },
  resnet18 = { "mien.models.resnet", "resnet18" }, resnet34 = { "mien.models.resnet", "resnet34" },
  resnet101 = { "mien.models.resnet", "resnet101" },
  vgg16 = { "mien.models.vgg16" }, recurrent = { "mien.models.recurrent" },
  framewise = { "mien.models.framewise" }, affwildnet = { "mien.models.affwildnet" },
  from_weights = { "mien.models.from_weights", "load" }, onnx = { "mien.models.onnx" },
  cifar_resnet = { "mien.models.cifar_resnet" },
}

local models = {}

--- Every name that `models` has, sorted.
function models.names()
  local names = {}
  for name in pairs(networks) do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- A network from its description, a constructor's name in front of its arguments:
-- models.build{ "recurrent", features = { "resnet", width = 16 }, hidden = 64, outputs = { "arousal", "valence" } }. Every
-- network of `models` has its own, with all arguments that decide what it computes, as field `architecture`; weight files
-- keep that.
function models.build(description)
  check.type(description, "table", "models.build: description")
  local name, arguments = description[1], {}
  if not networks[name] or name == "from_weights" then
    check.unknown("models.build", "network", tostring(name), networks)
  end
  for key, value in pairs(description) do
    if key ~= 1 then arguments[key] = value end
  end
  local features = arguments.features
  if type(features) == "table" and not features.forward then arguments.features = models.build(features) end
  return models[name](arguments)
end

return setmetatable(models, {
  __index = function(_, name)
    local entry = networks[name]
    if not entry then check.unknown("models", "network", name, networks) end
    local value = require(entry[1])
    if entry[2] then value = value[entry[2]] end
    models[name] = value
    return value
  end,
})
