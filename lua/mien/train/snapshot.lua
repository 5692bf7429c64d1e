-- What a training step may leave half done when it is interrupted: running statistics and random streams.
-- Not here: when a step is interrupted (train/init.lua), checkpoints (checkpoint/state.lua).
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local scope = require "mien.tensor.scope"

local snapshot = {}
snapshot.__index = snapshot

function snapshot.new(model, rngs)
  local self = setmetatable({ pairs = {}, rngs = rngs, states = {} }, snapshot)
  for _, entry in ipairs(model:buffers()) do
    local buffer = entry[2]
    self.pairs[#self.pairs + 1] = { buffer, scope.keep(buffer:clone()) }
  end
  return self
end

function snapshot:copy()
  for _, pair in ipairs(self.pairs) do check.status(C.mien_tensor_copy(pair[2], pair[1])) end
end

--- Without buffers where the step copies them itself.
function snapshot:take(without)
  if not without then self:copy() end
  for name, stream in pairs(self.rngs) do self.states[name] = stream:state() end
end

function snapshot:restore()
  for _, pair in ipairs(self.pairs) do check.status(C.mien_tensor_copy(pair[1], pair[2])) end
  for name, stream in pairs(self.rngs) do
    if self.states[name] then stream:set_state(self.states[name]) end
  end
end

return snapshot
