-- What all layers and models share: parameters, buffers and children in order, by name.
-- Not here: loading weights (nn/loading.lua), how weights are drawn (init.lua).
local check = require "mien.base.check"
local tensor = require "mien.tensor"
local scope = require "mien.tensor.scope"

local module = {}

local base, computed = {}, {} -- methods of every module; fields that are computed: functions of the module
module.base = base

module.statistics = { "running", "batch" } -- of batch norm at inference
module.recomputed = { "blocks", "none" }   -- what backward may make again

local function pass(...) return ... end

--- m(x) is m:forward(x), and no tail call: its frame tells an error which module was being computed (base/check.lua).
local function call(self, ...)
  return pass(self:forward(...))
end

--- The path of a module below another one, "features.conv1"; nil when it is not there.
local function path_below(parent, child)
  local found
  parent:walk(function(path, m) found = found or m == child and path ~= "" and path or nil end)
  return found
end

--- The innermost of modules that compute each other, outermost first: "net.head (linear 256, 2)".
check.modules(call, function(modules)
  local names, last = { modules[1].class_name }, modules[#modules]
  for i = 2, #modules do
    names[i] = path_below(modules[i - 1], modules[i]) or ("(%s)"):format(modules[i].class_name)
  end
  local detail = last.detail and last:detail()
  return ("%s (%s%s)"):format(table.concat(names, "."), last.class_name, detail and " " .. detail or "")
end)

--- Makes a class of modules. `class.create(fields)` makes an object with those fields; the class gets
-- its own `forward`. An object is called as a function: m(x) is m:forward(x).
--   local gate = nn.define "gate"
--   function gate.new(n) local m = gate.create {}; m:add("inner", nn.linear{ n, n }); return m end
--   function gate:forward(x) return x * self.inner(x):sigmoid() end
function module.define(name)
  local class = setmetatable({ class_name = name }, { __index = base })
  local meta = {
    class = class, fields = computed,
    __index = function(self, key)
      local value = class[key]
      if value ~= nil then return value end
      local field = computed[key]
      if field then return field(self) end
    end,
    __call = call,
    __tostring = base.describe,
  }
  function class.create(fields)
    fields = fields or {}
    fields.training = true
    fields.entries = {} -- in order: { name =, kind = "parameter" | "buffer", ... } or { name =, child = }
    return setmetatable(fields, meta)
  end
  return class
end

--- True for modules.
function module.is(value)
  return type(value) == "table" and type(rawget(value, "entries")) == "table" and value.forward ~= nil
end

-- ---- building ------------------------------------------------------------------------------------

--- Adds a parameter, drawn from the default stream "init", as field `name`; returns its tensor.
-- role: how initialisation treats it: "weight" (drawn), "zero", "one", or "forget" (an LSTM's bias: zero,
-- but one for the forget gate). blocks: matrices stacked in dimension 1 that are drawn one by one.
function base:parameter(name, shape, role, blocks)
  local t = scope.keep(tensor.empty(shape))
  local entry = { name = name, kind = "parameter", role = role, blocks = blocks or 1, tensor = t }
  self.entries[#self.entries + 1] = entry
  self[name] = t
  require("mien.nn.initialisers").draw_default(entry)
  return t:requires_grad_()
end

--- Adds a tensor that is kept with the weights but not trained, filled with `value`, as field `name`.
function base:buffer(name, shape, value)
  local t = scope.keep(tensor.full(shape, value))
  local role = value == 1 and "one" or "zero"
  self.entries[#self.entries + 1] = { name = name, kind = "buffer", role = role, tensor = t }
  self[name] = t
  return t
end

--- Adds a child module as field `name`; returns it.
function base:add(name, child)
  if not module.is(child) then
    check.raise("argument", "%s: child %s must be a module, got %s", self.class_name, name,
      check.describe(child))
  end
  self.entries[#self.entries + 1] = { name = name, child = child }
  self[name] = child
  return child
end

-- ---- walking -------------------------------------------------------------------------------------

--- Calls visit(path, module) for this module (path "") and all below, parents first.
function base:walk(visit, path)
  path = path or ""
  visit(path, self)
  for _, entry in ipairs(self.entries) do
    if entry.child then entry.child:walk(visit, path == "" and entry.name or path .. "." .. entry.name) end
  end
end

-- { "features.conv1.weight", tensor }, with the two also as .name and .tensor
local pair = {
  __index = function(self, key)
    if key == "name" then return self[1] elseif key == "tensor" then return self[2] end
  end,
}

local function collect(self, kind)
  local list = {}
  self:walk(function(path, m)
    for _, entry in ipairs(m.entries) do
      if entry.tensor and (kind == nil or entry.kind == kind) then
        local name = path == "" and entry.name or path .. "." .. entry.name
        list[#list + 1] = setmetatable({ name, entry.tensor }, pair)
      end
    end
  end)
  return list
end

--- Everything that is trained: an ordered list of { name, tensor } (also .name, .tensor); names are paths.
function base:parameters() return collect(self, "parameter") end

--- Tensors that are kept but not trained (running statistics), as parameters() lists them.
function base:buffers() return collect(self, "buffer") end

--- Parameters and buffers together: what a weight file holds.
function base:state() return collect(self) end

--- All modules below and this one: an ordered list of { path, module }.
function base:named_modules()
  local list = {}
  self:walk(function(path, m) list[#list + 1] = { path, m } end)
  return list
end

--- The number of trained numbers.
function base:count()
  local n = 0
  for _, p in ipairs(self:parameters()) do n = n + p.tensor:count() end
  return n
end

-- ---- places --------------------------------------------------------------------------------------

--- Brings all parameters and buffers to "cpu" or "cuda", in place (t:to of a tensor copies); "auto" is a GPU when one
-- can be used. Gradients are dropped; an optimiser's state follows with optimiser:to. Nothing has changed when one of
-- them does not fit. Returns itself.
function base:to(where)
  local target, moved = require("mien.device").choose(where), {}
  local ok, problem = pcall(base.walk, self, function(_, m)
    for _, entry in ipairs(m.entries) do
      local t = entry.tensor
      local from = t and t.device
      if t and from ~= target then
        t:move_(target)
        moved[#moved + 1] = { t, from }
      end
    end
  end)
  if ok then return self end
  for _, pair_ in ipairs(moved) do pair_[1]:move_(pair_[2]) end
  check.rethrow(problem)
end

local function first_tensor(m)
  for _, entry in ipairs(m.entries) do
    local t = entry.tensor or first_tensor(entry.child)
    if t then return t end
  end
end

--- Where the parameters and buffers lie: "cpu" or "cuda"; "cpu" for a module that has none.
function computed:device()
  local t = first_tensor(self)
  return t and t.device or "cpu"
end

--- What activations are in: "f32" unless precision_ has set another.
function computed:precision()
  return rawget(self, "chosen_precision") or "f32"
end

--- Sets what activations are in: "f32", "tf32" (f32 whose products may be rounded to TF32 on a GPU, for the whole
-- process), "bf16" or "fp16" (which wants loss scaling: optim.scaler); parameters, statistics and losses stay in f32.
-- Returns itself.
function base:precision_(name)
  local dtype = require("mien.device.precision").activations(name)
  require("mien.device").tf32(name == "tf32")
  self.chosen_precision, self.activations = name, dtype
  return self
end

--- A batch's tensor on the module's device, the pictures (input = true) in the precision of activations: t
-- itself when nothing is to be done.
function base:place(t, input)
  local where, dtype = self.device, input and t.dtype == "f32" and self.activations or t.dtype
  if t.device == where and t.dtype == dtype then return t end
  return t:to { device = where, dtype = dtype }
end

-- ---- modes ---------------------------------------------------------------------------------------

--- Switches to training (on = true or nothing) or to inference (false), with all below; returns itself.
function base:train(on)
  self:walk(function(_, m) m.training = on ~= false end)
  return self
end

--- Which statistics batch norm uses at inference, with all below: "running" (the default), or "batch".
function base:bn_test(mode)
  check.one_of(mode, module.statistics, "bn_test")
  self:walk(function(_, m)
    if m.class_name == "batch_norm" then m.test = mode end
  end)
  return self
end

--- What backward makes again instead of keeping it, with all below: "blocks" (the blocks of a ResNet keep only
-- their inputs: less memory, more time, the same bits), or "none". An error when there are no such blocks.
function base:recompute(what)
  check.one_of(what, module.recomputed, "recompute")
  local blocks = 0
  self:walk(function(_, m)
    if m.recomputable then m.recomputed, blocks = what == "blocks", blocks + 1 end
  end)
  if blocks == 0 and what == "blocks" then
    check.raise("argument", "recompute: %s has no blocks that can be run again", self.class_name)
  end
  return self
end

--- Gives all dropouts below the random stream that they draw from; returns itself.
function base:use_rng(stream)
  self:walk(function(_, m)
    if m.class_name == "dropout" then m.rng = stream end
  end)
  return self
end

--- Drops the gradients of all parameters.
function base:zero_grad()
  for _, p in ipairs(self:parameters()) do p.tensor.grad = nil end
end

-- ---- seen from outside -----------------------------------------------------------------------------

--- The module as text: its class, what it was made with, and its children.
function base:describe(indent)
  indent = indent or ""
  local head = self.class_name .. (self.detail and "{ " .. self:detail() .. " }" or "")
  local lines, before = { head }, nil
  for _, entry in ipairs(self.entries) do
    if entry.child then
      local child = base.describe(entry.child, indent .. "  ")
      if before and before.text == child then -- equal neighbours share one line: "1 to 5: bottleneck"
        before.last = entry.name
      else
        before = { first = entry.name, last = entry.name, text = child }
        lines[#lines + 1] = before
      end
    end
  end
  for i = 2, #lines do
    local line = lines[i]
    local name = line.first == line.last and line.first or line.first .. " to " .. line.last
    lines[i] = ("%s  %s: %s"):format(indent, name, line.text)
  end
  if indent == "" then lines[1] = ("%s  (%d parameters)"):format(head, self:count()) end
  return table.concat(lines, "\n")
end

--- Copies tensors by name into this module; see nn/loading.lua.
function base:load(tensors, options)
  return require("mien.nn.loading").load(self, tensors, options)
end

--- A module of the same fields, tensors and children, whose children can be replaced.
function base:twin()
  local copy = setmetatable({}, getmetatable(self))
  for key, value in pairs(self) do copy[key] = value end
  copy.entries = {}
  for i, entry in ipairs(self.entries) do
    copy.entries[i] = entry.child and { name = entry.name, child = entry.child } or entry
  end
  return copy
end

--- The form of this module for inference; see nn.fuse.
function base:fused()
  local copy = self:twin()
  copy.architecture = nil -- its tensors are others
  for _, entry in ipairs(copy.entries) do
    if entry.child then
      entry.child = entry.child:fused()
      copy[entry.name] = entry.child
    end
  end
  return copy
end

--- The form of a fused module in whole numbers, and what its output stands for (nil: f32); see nn.quantise.
function base:quantised(plan, signal)
  return require("mien.nn.quantise").apart(self, plan, signal)
end

return module
