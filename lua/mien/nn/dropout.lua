-- Dropout, drawing from a named random stream.
-- Not here: which elements fall (op.dropout, the same on every backend).
local check = require "mien.base.check"
local module = require "mien.nn.module"
local rng = require "mien.tensor.rng"
local op = require "mien.tensor.op"
local recompute = require "mien.tensor.recompute"

local dropout = module.define "dropout"

function dropout:forward(x)
  if not self.training or self.p == 0 then return x end
  local stream, attributes = self.rng or rng.default "dropout", self.attributes
  -- Numbers in Lua are exact to 2^53: the low 32 bits of the stream's hash name it well enough.
  attributes.seed, attributes.stream = tonumber(stream.seed), tonumber(stream.stream % 2 ^ 32)
  attributes.counter = recompute.draw(stream, math.ceil(x:count() / 4)) -- four words a block
  return op.dropout(x, attributes)
end

function dropout:detail()
  return tostring(self.p)
end

--- Dropout: nn.dropout{ p, rng = stream } zeroes elements with probability p in training and divides the
-- others by 1 - p; at inference it is the identity. Without rng it draws from the default stream "dropout";
-- model:use_rng(stream) sets the stream of all dropouts of a model.
return function(config)
  check.keys(config, { "number!", rng = "cdata" }, "nn.dropout")
  if config[1] < 0 or config[1] >= 1 then
    check.raise("argument", "nn.dropout: p must be at least 0 and below 1, got %g", config[1])
  end
  return dropout.create { p = config[1], rng = config.rng, attributes = { p = config[1] } }
end
