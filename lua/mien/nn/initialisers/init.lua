-- How weights start: Xavier, He, orthogonal, or from a weight file; `start:apply(model, rng)`.
-- Not here: reading weight files (checkpoint/), which start serves best (experiments/).
local check = require "mien.base.check"
local rng = require "mien.tensor.rng"
local scope = require "mien.tensor.scope"
local grad = require "mien.tensor.grad"
local orthogonal = require "mien.nn.initialisers.orthogonal"

local init = {}

--- Inputs and outputs of one unit of a weight [K, D] or [K, C, h, w] (Glorot & Bengio 2010).
local function fans(shape)
  local window = 1
  for i = 3, #shape do window = window * shape[i] end
  return (shape[2] or 1) * window, shape[1] * window
end

-- ---- roles: what each parameter of a layer gets ---------------------------------------------------

--- Fills one entry of a module as its role says; `draw(t, stream)` fills weights.
local function fill(entry, draw, stream)
  local t = entry.tensor:detach()
  if entry.role == "weight" then
    local rows = t:size(1) / entry.blocks -- the gates of an LSTM are matrices of their own
    for block = 1, entry.blocks do
      draw(entry.blocks == 1 and t or t:narrow(1, (block - 1) * rows + 1, rows), stream)
    end
  else
    t:fill_(entry.role == "one" and 1 or 0)
    if entry.role == "forget" then
      local hidden = t:size(1) / entry.blocks
      t:narrow(1, hidden + 1, hidden):fill_(1)
    end
  end
end

local class = {}
class.__index = class

--- Draws every weight of a model from the stream and sets biases to 0, batch norm to 1 and 0, and the
-- forget gates' biases of LSTMs to 1. Returns the model.
function class:apply(model, stream)
  if not rng.is(stream) then
    check.raise("argument", '%s:apply needs a random stream, as mien.rng.stream(seed, "init") gives; got %s',
      self.name, check.describe(stream))
  end
  scope.run(grad.no_grad, function()
    model:walk(function(_, m)
      for _, entry in ipairs(m.entries) do
        if entry.tensor then fill(entry, self.draw, stream) end
      end
    end)
  end)
  return model
end

--- One line on what the start does.
function class:describe()
  return self.text
end
class.__tostring = class.describe

local function strategy(name, text, draw)
  return setmetatable({ name = name, text = text, draw = draw }, class)
end

-- ---- the strategies ---------------------------------------------------------------------------------

--- Xavier: variance 2 / (inputs + outputs), uniform, or normal with init.xavier{ normal = true }.
-- Glorot & Bengio 2010, equation 16. Inputs and outputs of a convolution count its window.
function init.xavier(config)
  config = check.keys(config or {}, { normal = "boolean" }, "init.xavier")
  if config.normal then
    return strategy("xavier", "Xavier, normal: sd sqrt(2 / (inputs + outputs))", function(t, stream)
      local inputs, outputs = fans(t.shape)
      stream:fill_normal(t, 0, math.sqrt(2 / (inputs + outputs)))
    end)
  end
  return strategy("xavier", "Xavier, uniform in +-sqrt(6 / (inputs + outputs))", function(t, stream)
    local inputs, outputs = fans(t.shape)
    local bound = math.sqrt(6 / (inputs + outputs))
    stream:fill_uniform(t, -bound, bound)
  end)
end

--- He: normal with variance 2 / inputs, or with init.he{ outputs = true } 2 / outputs (He et al. 2015).
function init.he(config)
  config = check.keys(config or {}, { outputs = "boolean" }, "init.he")
  local text = "He, normal: sd sqrt(2 / " .. (config.outputs and "outputs)" or "inputs)")
  return strategy("he", text, function(t, stream)
    local inputs, outputs = fans(t.shape)
    stream:fill_normal(t, 0, math.sqrt(2 / (config.outputs and outputs or inputs)))
  end)
end

--- Orthonormal rows or columns times a gain: init.orthogonal{ gain = 1 } (Saxe et al. 2014).
-- A convolution counts as the matrix [K, C*h*w].
function init.orthogonal(config)
  config = check.keys(config or {}, { gain = "number" }, "init.orthogonal")
  local gain = config.gain or 1
  return strategy("orthogonal", ("orthogonal, gain %g"):format(gain), function(t, stream)
    orthogonal(t, stream, gain)
  end)
end

--- Starts from a weight file: init.from "weights/affwild.h5", or init.from{ path, transfer = "all" }.
-- transfer = "cnn" (the default) takes the feature extractor alone (`features.*` of the file, or the whole
-- file when it holds a feature extractor), the rest is Xavier; "all" takes everything. The file must say of which
-- network it is (docs/weights.md), and that must be this one: other strides, another form of GRU or other outputs are an
-- error though shapes agree. For a file that does not say it: model = { "resnet", ... }, outputs = { ... }.
function init.from(config)
  return require("mien.nn.initialisers.from")(config, init.xavier())
end

local default = init.xavier()

--- Fills a new module's parameter: Xavier, from the default stream "init".
function init.draw_default(entry)
  scope.run(fill, entry, default.draw, rng.default "init")
end

return init
