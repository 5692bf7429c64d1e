-- The names that `mien` has, and the modules that they stand for: read by the entry, by help and by completion.
-- Not here: loading them (lua/mien/init.lua).
local parts = {}

-- name -> module
parts.modules = {
  nn = "mien.nn", models = "mien.models", init = "mien.nn.initialisers", loss = "mien.nn.loss", optim = "mien.optim",
  metric = "mien.affect.metric", agreement = "mien.affect.agreement",
  data = "mien.data", train = "mien.train", post = "mien.affect.post",
  stats = "mien.affect.stats", experiment = "mien.experiment", checkpoint = "mien.checkpoint", results = "mien.results",
  plot = "mien.plot", rng = "mien.tensor.rng", op = "mien.tensor.op", tensor = "mien.tensor", check = "mien.base.check",
  print = "mien.base.print", repl = "mien.repl", cli = "mien.cli", backend = "mien.device.backend",
  profile = "mien.device.profile", device = "mien.device", precision = "mien.device.precision",
  capture = "mien.device.capture", predict = "mien.train.predict", weights = "mien.weights",
}

-- name -> { module, field }: functions that stand in `mien` itself
parts.functions = {
  scope = { "mien.tensor.scope", "run" }, keep = { "mien.tensor.scope", "keep" },
  memory = { "mien.tensor.scope", "memory" }, no_grad = { "mien.tensor.grad", "no_grad" },
  backward = { "mien.tensor.grad", "backward" }, custom = { "mien.tensor.grad", "custom" },
  recompute = { "mien.tensor.recompute", "run" }, seed = { "mien.tensor.rng", "seed" },
}
for _, name in ipairs { "empty", "zeros", "ones", "full", "randn", "rand", "arange", "cat", "stack" } do
  parts.functions[name] = { "mien.tensor", name }
end

-- What finds faces and what follows them, by the names that options take. A detector: true where the C core has it
-- (core/data/face.h), else the module and its function, called with { weights = path, smallest = pixels } for a
-- function(image) -> list of boxes. A tracker: the module and its function, see data/track.lua.
parts.detectors = { cascade = true, yunet = true, pico = true, mtcnn = { "mien.models.mtcnn", "detector" } }
parts.trackers = { link = { "mien.data.link", "new" }, none = { "mien.data.track", "none" } }

--- All names, sorted.
function parts.names()
  local names = { "names" }
  for name in pairs(parts.modules) do names[#names + 1] = name end
  for name in pairs(parts.functions) do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- A module as users name it: "affect.post.steps" -> "post.steps", "nn.linear" as it is.
function parts.public(module)
  local name, at
  for short, long in pairs(parts.modules) do
    long = long:sub(#"mien." + 1)
    local own = module == long or module:sub(1, #long + 1) == long .. "."
    if own and (not at or #long > at) then name, at = short .. module:sub(#long + 1), #long end
  end
  return name or module
end

return parts
