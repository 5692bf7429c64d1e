-- What is decided about updates where the gradients are: whether, divided by what, and the loss scale that follows.
-- Not here: the decision (core/optim/judge.h), the loss scale as the host sees it (optim/scaler.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local scope = require "mien.tensor.scope"
local tensor = require "mien.tensor"

local verdict = {}
verdict.__index = verdict

local COUNT = C.MIEN_VERDICT_COUNT

--- On a device; nothing of it waits for a GPU but `read`.
function verdict.new(device)
  local numbers = scope.keep(tensor.zeros({ COUNT }, { dtype = "f64", device = device }))
  local self = setmetatable({ device = device, numbers = numbers, values = ffi.new("double[?]", COUNT),
    norm = scope.keep(numbers:narrow(1, C.MIEN_VERDICT_NORM + 1, 1)),
    scale = scope.keep(numbers:select(1, C.MIEN_VERDICT_SCALE + 1)) }, verdict)
  return self:write(1, 0, 0)
end

--- Sets the loss scale, and the counts that go with it.
function verdict:write(scale, good, skipped)
  local v = self.values
  v[C.MIEN_VERDICT_DIVISOR], v[C.MIEN_VERDICT_SCALE] = scale, scale
  v[C.MIEN_VERDICT_GOOD], v[C.MIEN_VERDICT_SKIPPED], v[C.MIEN_VERDICT_IN_A_ROW] = good, skipped, 0
  check.status(C.mien_tensor_write(self.numbers, v, COUNT))
  return self
end

local never = ffi.new "mien_scaling" -- a scale that stays

--- Decides by the norm that was put into `norm`, and the loss where given.
function verdict:decide(loss, rules)
  check.status(C.mien_judge(rules or never, self.numbers, loss))
end

--- The decision about the last step of the optimiser, which does not count when it was left out: open, loss, norm,
-- scale, good, skipped, skipped in a row.
function verdict:read(optimiser)
  local v = self.values
  check.status(C.mien_tensor_read(self.numbers, v, COUNT))
  if v[C.MIEN_VERDICT_OPEN] == 0 then optimiser.steps = optimiser.steps - 1 end
  return v[C.MIEN_VERDICT_OPEN] ~= 0, v[C.MIEN_VERDICT_LOSS], v[C.MIEN_VERDICT_NORM], v[C.MIEN_VERDICT_SCALE],
    v[C.MIEN_VERDICT_GOOD], v[C.MIEN_VERDICT_SKIPPED], v[C.MIEN_VERDICT_IN_A_ROW]
end

return verdict
