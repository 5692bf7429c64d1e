-- Gradients: leaves, the walk back, recording off, and ops written in Lua.
-- Not here: the tape (core/autograd), any derivative.
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local scope = require "mien.tensor.scope"
local handle = require "mien.tensor.handle"

local methods, fields = handle.methods, handle.fields
local grad = {}

--- Marks a leaf whose gradient is wanted (on = true when left out), which t.requires_grad then tells; returns it.
function methods.requires_grad_(t, on)
  check.status(C.mien_tensor_set_requires_grad(t, on ~= false))
  return t
end

--- True for marked leaves and for what recorded ops made from them.
function fields.requires_grad(t)
  return C.mien_tensor_requires_grad(t)
end

--- The accumulated gradient of a leaf, nil when there is none.
function fields.grad(t)
  local g = C.mien_tensor_grad(t)
  if g ~= nil then return handle.borrow(g) end
end

--- A view of the same elements without gradient history.
function methods.detach(t)
  return handle.wrap(C.mien_tensor_detach(t))
end

local function restore(before, ok, ...)
  C.mien_grad_enable(before)
  if not ok then check.rethrow((...)) end
  return ...
end

--- Runs `fn(...)` without recording gradients and returns what it returns.
--   local y = mien.no_grad(model, x)
function grad.no_grad(fn, ...)
  return restore(C.mien_grad_enable(false), xpcall(fn, check.trace, ...))
end

--- True while ops are recorded.
function grad.recording()
  return C.mien_grad_enabled()
end

-- ---- ops written in Lua ---------------------------------------------------------------------------

local MOST = 8      -- outputs of a custom op
local running = {}  -- number of a recorded node -> { definition =, context =, n_in = } or { answer = }

--- The first n (all when left out) of a list of tensors for C, NULL where there is none; and how many they are.
function grad.array(list, n)
  n = n or #list
  local a = ffi.new("mien_tensor *[?]", math.max(n, 1))
  for i = 1, n do a[i - 1] = list[i] end
  return a, n
end

local number = ffi.new "int64_t[1]"

--- Lets go of what was kept for nodes that are gone.
local function forget_dropped()
  while C.mien_tape_dropped(number) do running[tonumber(number[0])] = nil end
end

--- Keeps what answers for a node of the tape (0: none) until the node is gone. record.answer(record, walk) is
-- called when a walk asks for the node's outputs once more.
function grad.remember(id, record)
  forget_dropped()
  if id > 0 then running[id] = record end
end

local custom_class = {}
custom_class.__index = custom_class

--- Another handle on the same elements, which stays when a scope or a chain frees the first: `context`
-- may hold it until backward.
local function alias(t)
  return handle.borrow(C.mien_tensor_detach(t))
end

function custom_class:__call(...)
  local inputs, n_in, own = { ... }, select("#", ...), {}
  for i = 1, n_in do own[i] = alias(check.type(inputs[i], "tensor", self.name .. ": input " .. i)) end
  local context = {}
  local outputs = { grad.no_grad(self.forward, context, unpack(own)) }
  if #outputs < 1 or #outputs > MOST then
    check.raise("argument", "%s: forward must give 1 to %d tensors, got %d", self.name, MOST, #outputs)
  end
  for i = 1, #outputs do
    outputs[i] = check.type(outputs[i], "tensor", self.name .. ": output " .. i):detach()
  end
  check.status(C.mien_tape_custom(grad.array(inputs, n_in), n_in, grad.array(outputs), #outputs, number))
  grad.remember(tonumber(number[0]), { definition = self, context = context, n_in = n_in })
  return unpack(outputs)
end

--- Makes an op from Lua functions; the result is called like any op.
-- definition: name; forward(context, inputs...) -> outputs, run without recording; backward(context,
-- gradients of the outputs...) -> gradients of the inputs (nil: none). `context` is a table for what
-- backward needs; an output's gradient is nil when none flows.
--   local cube = mien.custom {
--     name     = "cube",
--     forward  = function(context, x) context.x = x; return x ^ 3 end,
--     backward = function(context, dy) return dy * context.x ^ 2 * 3 end,
--   }
function grad.custom(definition)
  check.keys(definition, { name = "string!", forward = "function!", backward = "function!" }, "custom")
  return setmetatable({
    name = definition.name, forward = definition.forward, backward = definition.backward,
  }, custom_class)
end

--- Gradients of a custom node's inputs, from its backward.
local function input_gradients(node, dout)
  local din = { grad.no_grad(node.definition.backward, node.context, unpack(dout, 1, MOST)) }
  for i = 1, node.n_in do
    if din[i] ~= nil then
      check.type(din[i], "tensor", ("%s: gradient of input %d"):format(node.definition.name, i))
      scope.keep(din[i]) -- it may become the gradient of a leaf
    end
  end
  return din
end

local function follow(walk)
  local id, out = ffi.new "int64_t[1]", ffi.new("mien_tensor *[?]", MOST)
  while true do
    local more = C.mien_walk_next(walk, id, out, MOST)
    if more < 0 then check.last() end
    if more == 0 then return end
    local node, dout = running[tonumber(id[0])], {}
    if more == 2 then
      node:answer(walk)
    else
      for i = 1, MOST do
        if out[i - 1] ~= nil then
          dout[i], out[i - 1] = handle.borrow(out[i - 1]), nil
        end
      end
      check.status(C.mien_walk_give(walk, grad.array(input_gradients(node, dout), node.n_in)))
    end
  end
end

--- Walks back from `loss` and adds to the gradient of every leaf; `seed` is d/d(loss), ones when left
-- out (then loss must hold one element). A second walk over the same ops is an error.
function grad.backward(loss, seed)
  check.type(loss, "tensor", "backward: loss")
  if seed ~= nil then check.type(seed, "tensor", "backward: seed") end
  forget_dropped()
  if next(running) == nil then return check.status(C.mien_backward(loss, seed)) end
  local walk = check.pointer(C.mien_walk_new(loss, seed))
  local ok, err = xpcall(follow, check.trace, walk)
  C.mien_walk_free(walk)
  forget_dropped()
  if not ok then check.rethrow(err) end
end

methods.backward = grad.backward

return grad
