-- Layers without parameters: non-linearities, local response normalisation, flatten.
-- Not here: dropout, which needs a random stream (nn/dropout.lua), pooling (nn/pool.lua).
local check = require "mien.base.check"
local module = require "mien.nn.module"
local op = require "mien.tensor.op"

local simple = {}

--- nn.relu(), nn.tanh(), nn.sigmoid(): the function of the same name, element by element.
for _, name in ipairs { "relu", "tanh", "sigmoid" } do
  local class, run = module.define(name), op[name]
  function class:forward(x) return run(x) end -- luacheck: ignore 212/self
  simple[name] = function() return class.create() end
end

local lrn = module.define "lrn"

function lrn:forward(x)
  return op.lrn(x, self.attributes)
end

--- Local response normalisation across channels: nn.lrn{ size = 5, alpha = 1e-4, beta = 0.75, k = 2 }.
-- x / (k + alpha/size * sum of x^2 over `size` neighbouring channels)^beta (Krizhevsky et al. 2012).
function simple.lrn(config)
  config = config or {}
  check.keys(config, { size = "count", alpha = "number", beta = "number", k = "number" }, "nn.lrn")
  local attributes = {}
  for key, value in pairs(config) do attributes[key] = value end
  return lrn.create { attributes = attributes }
end

local flatten = module.define "flatten"

function flatten:forward(x) -- luacheck: ignore 212/self
  return x:flatten(2)
end

--- Joins all dimensions but the first: [N,C,H,W] -> [N,C*H*W].
function simple.flatten()
  return flatten.create()
end

return simple
