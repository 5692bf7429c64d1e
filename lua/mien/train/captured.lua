-- One training step without a word from the host, as a GPU records it: forward, backward, clipping, update.
-- Not here: recording and replaying (capture.lua), the step that the host decides about (train/step.lua).
local capture = require "mien.capture"
local flow = require "mien.nn.flow"
local optim = require "mien.optim"
local scope = require "mien.scope"
local tensor = require "mien.tensor"

local captured = {}
captured.__index = captured

local NO_LIMIT = 1e300 -- of a norm that is only looked at

--- The step on tensors of the device. Whether the update happens, the device decides: not when the loss, or a norm
-- that was asked for, is not finite.
local function whole(self, frames, labels)
  local work = self.work
  local model, scaler = work.model, work.scaler
  self.before:copy()
  work.optimiser:zero_grad()
  local loss = work.loss(flow.exact(model(model:place(frames, true))), model:place(labels))
  if scaler then scaler:backward(loss) else loss:backward() end
  if self.norm then optim.clip_to(work.parameters, work.clip or NO_LIMIT, self.norm) end
  optim.gate(self.gate, { loss, self.norm })
  self.updating()
  work.optimiser:step(scaler and scaler.scale)
  return loss
end

--- Why a training cannot be captured, or nil.
function captured.refuses(work)
  if work.model:device() ~= "cuda" then return "train.graph is for a GPU" end
  if work.scaler and work.clip then return "in fp16 the clipping goes by a loss scale of the host" end
end

--- captured.new{ work = the step's parts, before = what it may leave half done, rngs =, updating = function called
-- before parameters change, say = function(text) }
function captured.new(options)
  local work, where = options.work, { device = "cuda" }
  local self = setmetatable({ work = work, before = options.before, updating = options.updating }, captured)
  self.gate = scope.keep(tensor.ones({ 1 }, where))
  if work.clip or work.scaler then self.norm = scope.keep(tensor.zeros({ 1 }, { device = "cuda", dtype = "f64" })) end
  work.optimiser.gate = self.gate
  self.step = capture { function(frames, labels) return whole(self, frames, labels) end,
    optimisers = { work.optimiser }, rngs = options.rngs, say = options.say,
    prepare = work.scaler and function() work.scaler:prepare("cuda", work.optimiser) end or nil }
  return self
end

local function is_finite(value)
  return value == value and math.abs(value) < math.huge
end

--- One step. Returns the loss, and the gradients' norm where it was found; a loss that is not finite has changed
-- nothing, and a norm that is not is an error, unless the loss is scaled.
function captured:run(frames, labels)
  local work = self.work
  local steps, scale = work.optimiser.steps, work.scaler and work.scaler.scale
  local loss = self.step(frames, labels):item()
  local norm = self.norm and self.norm:item()
  if not is_finite(loss) or norm and not is_finite(norm) then work.optimiser.steps = steps end
  if not is_finite(loss) then return loss end
  if work.scaler then
    work.scaler:judge(norm / scale)
    return loss
  end
  if norm and not is_finite(norm) then optim.raise_norm(norm) end
  return loss, norm
end

function captured:close()
  self.work.optimiser.gate = nil
  self.step:close()
end

return captured
