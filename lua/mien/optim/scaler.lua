-- Dynamic loss scaling for fp16: gradients that would vanish below 6e-8 are made larger on their way back.
-- Not here: the updates (optim.lua), when a step is made (train/init.lua).
local check = require "mien.check"
local scope = require "mien.scope"
local tensor = require "mien.tensor"

-- Micikevicius et al. 2018, section 3.2, with the rules of PyTorch's GradScaler. The scale is a tensor on the loss's
-- device, where the walk back starts from it. In `step` the host decides whether a gradient is infinite (the sum of
-- all squares, one reduction and one wait for the device) and leaves the update out; in a recorded step the update's
-- gate does, and `judge` is told afterwards.
local scaler = {}
scaler.__index = scaler

local LEAST = 1e-4 -- a smaller scale means that the gradients are not finite by themselves

--- The scale on a device.
local function seed_for(self, where)
  if not self.seed or self.seed.device ~= where then
    self.seed = scope.keep(tensor.zeros({}, { device = where }))
    self.seeded = nil
  end
  if self.seeded ~= self.scale then
    self.seed:fill_(self.scale)
    self.seeded = self.scale
  end
  return self.seed
end

--- Walks back from the loss with d/d(loss) = scale: all gradients come out `scale` times as large.
function scaler:backward(loss)
  loss:backward(seed_for(self, loss.device))
end

--- One step of the optimiser with the gradients divided by the scale, and clipped to max_norm where given; both
-- happen inside the update. Returns the 2-norm of the true gradients, or nil when one was NaN or infinite: then
-- nothing was updated and the scale is smaller. A scale below 1e-4 is an error of code "numeric".
function scaler:step(optimiser, max_norm)
  local scale = self.scale
  local norm = optimiser:gradient_norm() / scale
  if not self:judge(norm) then return nil end
  optimiser:step(max_norm and norm > max_norm and scale * (norm / max_norm) or scale)
  return norm
end

--- Adapts the scale to a step whose true gradients have this norm; false when it is NaN or infinite.
function scaler:judge(norm)
  if norm ~= norm or norm == math.huge then
    self.skipped, self.good = self.skipped + 1, 0
    self.scale = self.scale * self.backoff
    if self.scale < LEAST then
      check.raise("numeric", "gradients are not finite in fp16 even at a loss scale of %g; use bf16 or f32",
        self.scale / self.backoff)
    end
    return false
  end
  self.good = self.good + 1
  if self.good == self.interval then
    self.good = 0
    if self.scale * self.growth < 2 ^ 127 then self.scale = self.scale * self.growth end -- finite in f32
  end
  return true
end

--- Brings the scale to where a recorded step reads it: the seed of the walk back, and the update's divisor.
function scaler:prepare(device, optimiser)
  seed_for(self, device)
  optimiser.hyper.divisor = self.scale
end

--- What a checkpoint keeps: { scale =, good = (steps since the scale last changed), skipped = (steps in all) }.
function scaler:state()
  return { scale = self.scale, good = self.good, skipped = self.skipped }
end

function scaler:set_state(state)
  self.scale, self.good, self.skipped = state.scale, state.good, state.skipped
end

local known = { scale = "number", growth = "number", backoff = "number", interval = "count" }

--- Loss scaling: optim.scaler{ scale = 65536, growth = 2, backoff = 0.5, interval = 2000 }. The scale is multiplied by
-- `growth` after `interval` steps in a row with finite gradients, and by `backoff` after one without.
--   scaler:backward(loss)
--   local norm = scaler:step(optimiser, max_norm)
return function(config)
  config = check.keys(config or {}, known, "optim.scaler")
  local self = setmetatable({ scale = config.scale or 2 ^ 16, growth = config.growth or 2,
    backoff = config.backoff or 0.5, interval = config.interval or 2000, good = 0, skipped = 0 }, scaler)
  if not (self.scale > 0 and self.growth > 1 and self.backoff > 0 and self.backoff < 1) then
    check.raise("argument", "optim.scaler: scale must be above 0, growth above 1, backoff between 0 and 1; got %g, %g, %g",
      self.scale, self.growth, self.backoff)
  end
  return self
end
