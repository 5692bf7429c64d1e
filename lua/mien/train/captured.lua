-- One training step without a word from the host, as a GPU records it: forward, backward, clipping, update.
-- Not here: recording and replaying (capture.lua), the step that the host decides about (train/step.lua).
local capture = require "mien.device.capture"
local flow = require "mien.nn.flow"
local optim = require "mien.optim"
local verdict = require "mien.optim.verdict"

local captured = {}
captured.__index = captured

--- What is recorded is not done yet.
local function phase(self, name)
  if not self.step.recording then self.phase(name) end
end

--- All that the step's modules do differently in training and in inference.
local function modes(modules)
  local words = {}
  for i, entry in ipairs(modules) do words[i] = entry[2].training and "1" or "0" end
  return table.concat(words)
end

--- The step on tensors of the device. Whether the update happens, the device decides: not when the loss, or a norm
-- that was asked for, is not finite.
local function whole(self, frames, labels)
  local work = self.work
  local model, scaler = work.model, work.scaler
  self.before:copy()
  phase(self, "computing")
  work.optimiser:zero_grad()
  local loss = work.loss(flow.exact(model(model:place(frames, true))), model:place(labels))
  if scaler then scaler:backward(loss) else loss:backward() end
  if scaler then
    scaler:judge(work.optimiser, work.clip, loss)
  else
    if work.clip then optim.clip_to(work.parameters, work.clip, self.verdict.norm) end
    self.verdict:decide(loss)
  end
  phase(self, "updating")
  work.optimiser:step(self.verdict)
end

--- Why a training cannot be captured, or nil.
function captured.refuses(work)
  if work.model.device ~= "cuda" then return "train.graph is for a GPU" end
end

--- captured.new{ work = the step's parts, before = what it may leave half done, rngs =, phase = function called with
-- "computing" once that is kept, with "updating" before parameters change, say = function(text) }
function captured.new(options)
  local work = options.work
  local scaler, modules = work.scaler, work.model:named_modules()
  local self = setmetatable({ work = work, before = options.before, phase = options.phase }, captured)
  self.verdict = scaler and scaler:on "cuda" or verdict.new "cuda"
  self.step = capture { function(frames, labels) return whole(self, frames, labels) end,
    optimisers = { work.optimiser }, rngs = options.rngs, say = options.say,
    key = function() return modes(modules) end, launching = function() options.phase "updating" end,
    prepare = scaler and function() scaler:on "cuda" end or nil }
  return self
end

local function is_finite(value)
  return value == value and math.abs(value) < math.huge
end

--- One step. Returns the loss, and the gradients' norm where it was found; a loss that is not finite has changed
-- nothing, and a norm that is not is an error, unless the loss is scaled.
function captured:run(frames, labels)
  local work = self.work
  self.step(frames, labels)
  local open, loss, norm
  if work.scaler then norm, loss = work.scaler:heed(work.optimiser)
  else open, loss, norm = self.verdict:read(work.optimiser) end
  if not is_finite(loss) then return loss end
  if not (open or work.scaler) then optim.raise_norm(norm) end
  return loss, work.clip and norm
end

function captured:close()
  self.step:close()
end

return captured
