-- The entry: `local mien = require "mien"`; its parts are loaded when they are first named.
-- Not here: any of them.
local check = require "mien.check"

local mien = {}

-- name -> module that is loaded on first use
local parts = {
  nn = "mien.nn", models = "mien.models", init = "mien.init", loss = "mien.loss", optim = "mien.optim",
  metric = "mien.metric", data = "mien.data", train = "mien.train", post = "mien.post",
  stats = "mien.stats", experiment = "mien.experiment", sweep = "mien.sweep",
  checkpoint = "mien.checkpoint", results = "mien.results", plot = "mien.plot",
  rng = "mien.rng", op = "mien.op", tensor = "mien.tensor", check = "mien.check",
  print = "mien.print", repl = "mien.repl", cli = "mien.cli", backend = "mien.backend",
  profile = "mien.profile", device = "mien.device", precision = "mien.precision", capture = "mien.capture",
  predict = "mien.predict",
}

-- name -> { module, field }: functions that stand in `mien` itself
local functions = {
  scope = { "mien.scope", "run" }, keep = { "mien.scope", "keep" }, memory = { "mien.scope", "memory" },
  no_grad = { "mien.tensor.grad", "no_grad" }, backward = { "mien.tensor.grad", "backward" },
  custom = { "mien.tensor.grad", "custom" }, recompute = { "mien.tensor.recompute", "run" }, seed = { "mien.rng", "seed" },
}
for _, name in ipairs { "empty", "zeros", "ones", "full", "randn", "rand", "arange", "cat", "stack" } do
  functions[name] = { "mien.tensor", name }
end

-- name -> { a function in C that it needs, whose library the bundle for GPU machines leaves out }
local needs = {
  data = { "mien_h5_open", "HDF5" }, checkpoint = { "mien_h5_open", "HDF5" }, experiment = { "mien_h5_open", "HDF5" },
  results = { "mien_db_open", "SQLite" }, sweep = { "mien_db_open", "SQLite" },
}

local function check_needs(name)
  local symbol, library = unpack(needs[name])
  local C = require "mien.ffi"
  if not pcall(function() return C[symbol] end) then
    check.raise("unsupported", "mien.%s needs %s, which is left out of this build; build mien whole", name, library)
  end
end

--- Every name that `mien` has, sorted: for completion and help.
function mien.names()
  local names = { "names" }
  for name in pairs(parts) do names[#names + 1] = name end
  for name in pairs(functions) do names[#names + 1] = name end
  table.sort(names)
  return names
end

return setmetatable(mien, {
  __index = function(_, name)
    local value
    if parts[name] then
      if needs[name] then check_needs(name) end
      value = require(parts[name])
    elseif functions[name] then
      require "mien.tensor"
      value = require(functions[name][1])[functions[name][2]]
    else
      check.unknown("mien", "field", name, mien.names())
    end
    mien[name] = value
    return value
  end,
})
