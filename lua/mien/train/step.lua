-- One training step: the batch brought to the model, forward, backward, update; in fp16 with loss scaling.
-- Not here: which batches, and what is kept of the losses (train/init.lua).
local check = require "mien.base.check"
local flow = require "mien.nn.flow"
local optim = require "mien.optim"
local scope = require "mien.tensor.scope"

local step = {}
step.__index = step

--- step.new{ model =, loss = function(output, labels) -> scalar, optimiser =, clip = largest gradient norm or nil }
function step.new(options)
  return setmetatable({
    model = options.model, loss = options.loss, optimiser = options.optimiser, clip = options.clip,
    parameters = options.model:parameters(),
    scaler = options.model.precision == "fp16" and optim.scaler() or nil,
  }, step)
end

--- Gradients of the loss on a batch, frames f32 [B,T,3,H,W] and labels on any device. Returns the loss as a number;
-- one that is NaN or infinite leaves no gradients.
function step:gradients(frames, labels)
  self.optimiser:zero_grad()
  return scope.run(function()
    local model = self.model
    local output = check.type(model(model:place(frames, true)), "tensor", "what the network returns")
    local loss = check.type(self.loss(flow.exact(output), model:place(labels)), "tensor", "what the loss returns")
    local value = loss:item()
    if value ~= value or math.abs(value) == math.huge then return value end
    if self.scaler then self.scaler:backward(loss) else loss:backward() end
    return value
  end)
end

--- Updates the parameters by their gradients. Returns the gradients' norm where it had to be found: for clipping.
function step:update()
  if self.scaler then
    local norm = self.scaler:step(self.optimiser, self.clip)
    return self.clip and norm
  end
  local norm = self.clip and optim.clip(self.parameters, self.clip)
  self.optimiser:step()
  return norm
end

return step
