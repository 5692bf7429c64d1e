-- Dynamic loss scaling for fp16: gradients that would vanish below 6e-8 are made larger on their way back.
-- Not here: the updates (optim/init.lua), when a step is made (train/init.lua).
local ffi = require "ffi"
local check = require "mien.base.check"
local verdict = require "mien.optim.verdict"

-- Micikevicius et al. 2018, section 3.2, with the rules of PyTorch's GradScaler. All of it is decided beside the
-- gradients (optim/verdict.lua), so that a GPU can record it; `heed` brings the outcome to the host afterwards.
local scaler = {}
scaler.__index = scaler

local LEAST = 1e-4 -- a smaller scale means that the gradients are not finite by themselves,
local MOST = 200   -- and so do more steps in a row that were left out, however slowly the scale falls

--- The verdict on a device, with the scale and counts that the host has: those of a checkpoint, or set by hand.
function scaler:on(device)
  local v = self.verdict
  if not v or v.device ~= device then v = verdict.new(device) end
  if v ~= self.verdict or self.scale ~= self.seen then
    v:write(self.scale, self.good, self.skipped)
    self.verdict, self.seen = v, self.scale
  end
  return v
end

--- Walks back from the loss with d/d(loss) = scale: all gradients come out `scale` times as large.
function scaler:backward(loss)
  loss:backward(self:on(loss.device).scale:to "f32")
end

--- Decides about the step of the optimiser with these gradients; returns the verdict for it. max_norm: of the true
-- gradients, where given.
function scaler:judge(optimiser, max_norm, loss)
  local v = self.verdict
  optimiser:norm_to(v.norm)
  v:decide(loss, ffi.new("mien_scaling", self.growth, self.backoff, self.interval, max_norm or 0))
  return v
end

--- Takes over what was decided. Returns the 2-norm of the true gradients, or nil when one was NaN or infinite: then
-- nothing was updated and the scale is smaller; and the loss. A scale below 1e-4, or 200 such steps in a row, is an
-- error of code "numeric".
function scaler:heed(optimiser)
  local open, loss, norm, scale, good, skipped, in_a_row = self.verdict:read(optimiser)
  local before = self.scale
  self.scale, self.good, self.skipped, self.seen = scale, good, skipped, scale
  if not open and (scale < LEAST or in_a_row >= MOST) then
    check.raise("numeric", "gradients are not finite in fp16 even at a loss scale of %g, in %d steps in a row; "
      .. "use bf16 or f32", before, in_a_row)
  end
  return open and norm or nil, loss
end

--- One step of the optimiser with the gradients divided by the scale, and clipped to max_norm where given; both
-- happen inside the update. Returns the norm, as `heed` does.
function scaler:step(optimiser, max_norm)
  optimiser:step(self:judge(optimiser, max_norm))
  return (self:heed(optimiser))
end

--- What a checkpoint keeps: { scale =, good = (steps since the scale last changed), skipped = (steps in all) }.
function scaler:state()
  return { scale = self.scale, good = self.good, skipped = self.skipped }
end

function scaler:set_state(state)
  self.scale, self.good, self.skipped, self.seen = state.scale, state.good, state.skipped, nil
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
