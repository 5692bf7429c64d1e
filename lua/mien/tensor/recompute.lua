-- Trades time for memory: a function whose inner results are dropped after forward and made again in backward.
-- Not here: the node of the tape that stands for it (core/autograd), batch norm's outputs (made again by default).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local grad = require "mien.tensor.grad"
local handle = require "mien.tensor.handle"
local scope = require "mien.tensor.scope"

local recompute = {}

-- The function that runs now: { draws = numbers of random blocks in order, again = second time, at =, outer = }.
local current

-- ---- what must be the same both times --------------------------------------------------------------

local function draw(context, stream, blocks)
  if not context then
    local counter = tonumber(stream.counter)
    stream.counter = stream.counter + blocks
    return counter
  elseif context.again then
    context.at = context.at + 1
    return context.draws[context.at] or check.raise("argument",
      "recompute: the function draws more random numbers the second time")
  end
  local counter = draw(context.outer, stream, blocks)
  context.draws[#context.draws + 1] = counter
  return counter
end

--- Takes `blocks` Philox blocks of a random stream and returns the number of the first; a function that is run
-- again gets what it got at first, and the stream does not move.
function recompute.draw(stream, blocks)
  return draw(current, stream, blocks)
end

--- True while a function runs for the second time: running statistics have moved already.
function recompute.again()
  local context = current
  while context do
    if context.again then return true end
    context = context.outer
  end
  return false
end

--- Runs fn(...) in a context and leaves it, also on an error.
local function inside(context, fn, ...)
  local before = current
  current = context
  local function leave(ok, ...)
    current = before
    if not ok then check.rethrow((...)) end
    return ...
  end
  return leave(xpcall(fn, check.trace, ...))
end

-- ---- the second time ---------------------------------------------------------------------------------

--- The inputs as they were. A copy of a handle may go when the function is over, a leaf is somebody else's.
local function inputs_of(walk, n)
  local pointers = ffi.new("mien_tensor *[?]", math.max(n, 1))
  check.status(C.mien_walk_inputs(walk, pointers, n))
  local list = {}
  for i = 1, n do
    local leaf = C.mien_tensor_is_leaf(pointers[i - 1])
    list[i] = (leaf and handle.borrow or handle.wrap)(pointers[i - 1])
  end
  return list
end

local function run_again(record, walk)
  local args = { unpack(record.args, 1, record.n) }
  for i, t in ipairs(inputs_of(walk, #record.places)) do args[record.places[i]] = t end
  local outputs = { record.fn(unpack(args, 1, record.n)) }
  for i, t in ipairs(outputs) do check.type(t, "tensor", "recompute: output " .. i) end
  check.status(C.mien_walk_through(walk, grad.array(outputs)))
end

--- Answers a walk that has stopped: makes the outputs again with recording on, and lets go of all handles. Batch
-- norm's outputs are kept this time: the walk comes to them next.
local function answer(record, walk)
  local before, kept = C.mien_grad_enable(true), C.mien_tape_keep_all(true)
  local context = { again = true, draws = record.draws, at = 0 }
  local ok, err = xpcall(inside, check.trace, context, scope.run, run_again, record, walk)
  C.mien_grad_enable(before)
  C.mien_tape_keep_all(kept)
  if not ok then check.rethrow(err) end
end

-- ---- the first time ------------------------------------------------------------------------------------

local function rehearse(fn, ...)
  local before = C.mien_tape_rehearse(true)
  local function restore(ok, ...)
    C.mien_tape_rehearse(before)
    if not ok then check.rethrow((...)) end
    return { ... }
  end
  return restore(xpcall(fn, check.trace, ...))
end

--- Runs `fn(...)` and returns what it returns (tensors), but keeps only its inputs for backward: what lies between
-- is made again then. The bits are the same as without; dropouts draw the same elements and running statistics
-- move once. fn must have no other effects, and must see through its arguments every tensor that an op outside
-- made and that wants a gradient; parameters it may see anywhere.
--   y = mien.recompute(block.forward, block, x)
function recompute.run(fn, ...)
  if not C.mien_grad_enabled() then return fn(...) end
  local record = { fn = fn, args = { ... }, n = select("#", ...), places = {}, draws = {} }
  local inputs = {}
  for i = 1, record.n do
    if handle.is(record.args[i]) then
      inputs[#inputs + 1], record.places[#record.places + 1] = record.args[i], i
      record.args[i] = false -- C keeps the elements; a handle here would keep the history as well
    end
  end
  local outputs = inside({ draws = record.draws, outer = current }, rehearse, fn, ...)
  for i, t in ipairs(outputs) do check.type(t, "tensor", "recompute: output " .. i) end
  if #outputs == 0 then check.raise("argument", "recompute: the function returned no tensor") end
  local number = ffi.new "int64_t[1]"
  check.status(C.mien_tape_recompute(grad.array(inputs), #inputs, grad.array(outputs), #outputs, number))
  record.answer = answer
  grad.remember(tonumber(number[0]), record)
  return unpack(outputs)
end

return recompute
