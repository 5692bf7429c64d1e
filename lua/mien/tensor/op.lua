-- The ops of ops.def as Lua functions: `op.conv2d(x, weight, bias, { stride_h = 2 })`.
-- Not here: how a call is made (tensor/call.lua); positions and dimensions are C's own, 0-based.
require "mien.tensor" -- results have their methods

return require "mien.tensor.call"
