-- Optimisers: fused updates of parameters, their state by name, and clipping.
-- Not here: the arithmetic (core/optim), the training loop (train/).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local renamed = require "mien.base.renamed"
local scope = require "mien.tensor.scope"
local tensor = require "mien.tensor"

local optim = {}

-- ---- parameters as C sees them ----------------------------------------------------------------------

--- A list of { name, tensor } from parameters(), a module, or plain tensors.
local function named(params, what)
  if type(params) == "table" and params.parameters then params = params:parameters() end
  check.type(params, "table", what .. ": parameters")
  local list = {}
  for i, p in ipairs(params) do
    local entry = check.is_tensor(p) and { tostring(i), p } or { p[1] or p.name, p[2] or p.tensor }
    check.type(entry[2], "tensor", ("%s: parameter %d"):format(what, i))
    if not entry[2].requires_grad then
      check.raise("argument", "%s: %s wants no gradient: call requires_grad_() first", what, entry[1])
    end
    list[i] = entry
  end
  if #list == 0 then check.raise("argument", "%s: the list of parameters is empty", what) end
  return list
end

local function array(list)
  local a = ffi.new("mien_tensor *[?]", #list)
  for i, entry in ipairs(list) do a[i - 1] = entry[2] end
  return a
end

--- Fills `grads` with references to the gradients (NULL where there is none) for the time of fn().
local function with_gradients(params, grads, what, fn)
  local found = 0
  for i, entry in ipairs(params) do
    grads[i - 1] = C.mien_tensor_grad(entry[2])
    if grads[i - 1] ~= nil then found = found + 1 end
  end
  local status = C.MIEN_OK
  if found > 0 then status = fn() end
  for i = 0, #params - 1 do C.mien_tensor_release(grads[i]) end
  check.status(status)
  if found == 0 then
    check.raise("argument", "%s: no parameter has a gradient: call loss:backward() first", what)
  end
end

--- Zero tensors of the parameters' shapes, named prefix/name.
local function zeros_like(params, prefix)
  local list = {}
  for i, entry in ipairs(params) do
    local t = tensor.zeros(entry[2].shape, { dtype = entry[2].dtype, device = entry[2].device })
    list[i] = { prefix .. "/" .. entry[1], scope.keep(t) }
  end
  return list
end

-- ---- what all optimisers do --------------------------------------------------------------------------

local base = {}
base.__index = base

--- Drops the gradients of all parameters.
function base:zero_grad()
  for _, entry in ipairs(self.params) do check.status(C.mien_tensor_set_grad(entry[2], nil)) end
end

--- One update of every parameter that has a gradient; none at all is an error. verdict: who decides beside the
-- gradients whether there is one, and by what they are divided on the way (optim/verdict.lua).
function base:step(verdict)
  self:fill_hyper()
  self.hyper.verdict = verdict and verdict.numbers
  local count = self.steps + 1
  with_gradients(self.params, self.grads, self.name, function() return self:update(count) end)
  self.steps = count
end

--- The 2-norm of all gradients together into `norm`, f64 [1] beside them: infinite or NaN when any of them is.
function base:norm_to(norm)
  with_gradients(self.params, self.grads, self.name, function()
    return C.mien_grad_clip_to(self.grads, #self.params, math.huge, norm)
  end)
end

--- Brings the state to "cpu" or "cuda", in place, where model:to has brought the parameters; returns itself. The field
-- `device` says where it is.
function base:to(where)
  local target = require("mien.device").choose(where)
  for _, entry in ipairs(self:state()) do entry[2]:move_(target) end
  self.device = target
  return self
end

--- What a recorded update holds for: every number but the rate, and which parameters are trained.
function base:settings()
  self:fill_hyper()
  local h, words = self.hyper, { self.name }
  local rate = h.lr
  h.lr, h.verdict = 0, nil
  words[2], h.lr = ffi.string(h, ffi.sizeof(h)), rate
  for i, entry in ipairs(self.params) do words[2 + i] = entry[2].requires_grad and "1" or "0" end
  return table.concat(words)
end

--- Its name and options in one line: "optim.adam lr=0.001 ...".
function base:describe()
  local words = {}
  for key, value in pairs(self) do
    if (type(value) == "number" or type(value) == "boolean") and key ~= "steps" then
      words[#words + 1] = ("%s=%s"):format(key, type(value) == "number" and ("%.17g"):format(value) or tostring(value))
    end
  end
  table.sort(words)
  return self.name .. " " .. table.concat(words, " ")
end

--- Counts a step that `capture` is about to replay, with the rate of now.
function base:feed(capture)
  self:fill_hyper()
  check.status(self:feed_to(capture, self.steps + 1))
  self.steps = self.steps + 1
end

--- What a checkpoint keeps: an ordered list of { name, tensor }, with the number of steps as `.step`.
function base:state()
  local list = { step = self.steps }
  for _, moments in ipairs(self.moments) do
    for _, entry in ipairs(moments) do list[#list + 1] = entry end
  end
  return list
end

--- Copies a state that `state` gave, all or nothing; names and shapes must be those of this optimiser.
function base:set_state(state)
  check.type(state, "table", self.name .. ": state")
  check.type(state.step, "integer", self.name .. ": state: step")
  local given, copies = {}, {}
  for _, entry in ipairs(state) do given[entry[1] or entry.name] = entry[2] or entry.tensor end
  for _, entry in ipairs(self:state()) do
    local source = given[entry[1]]
    if not source then check.raise("format", "%s: the state has no %s", self.name, entry[1]) end
    if table.concat(source.shape, ",") ~= table.concat(entry[2].shape, ",") then
      check.raise("shape", "%s: %s is [%s] in the state, [%s] here", self.name, entry[1],
        table.concat(source.shape, ","), table.concat(entry[2].shape, ","))
    end
    copies[#copies + 1] = { entry[2], source }
  end
  if #state ~= #copies then
    check.raise("format", "%s: the state has %d tensors, this optimiser %d", self.name, #state, #copies)
  end
  for _, copy in ipairs(copies) do copy[1]:copy_(copy[2]) end
  self.steps = state.step
end

function base.load_state() renamed.refuse("optimiser", "load_state") end

local function positive(value, what, zero_too)
  if value < 0 or value == 0 and not zero_too or value ~= value then
    check.raise("argument", "%s must be %s 0, got %g", what, zero_too and "at least" or "above", value)
  end
  return value
end

--- The share of the past that a moving mean keeps: at 1 nothing new would ever come in.
local function kept_share(value, what)
  if not (value >= 0 and value < 1) then check.raise("argument", "%s must lie in [0,1), got %g", what, value) end
  return value
end

-- ---- Adam --------------------------------------------------------------------------------------------

local adam = setmetatable({}, { __index = base })
adam.__index = adam

function adam:fill_hyper()
  local h = self.hyper
  h.lr, h.beta1, h.beta2, h.eps = positive(self.lr, "optim.adam: lr", true), self.beta1, self.beta2, self.eps
  h.weight_decay, h.decoupled = self.weight_decay, self.decoupled and 1 or 0
end

function adam:feed_to(capture, step)
  return C.mien_capture_adam(capture, self.hyper, step)
end

function adam:update(step)
  return C.mien_adam_step(self.hyper, self.array, self.grads, self.m, self.v, #self.params, step)
end

local adam_keys = {
  lr = "number", beta1 = "number", beta2 = "number", eps = "number", weight_decay = "number",
  decoupled = "boolean",
}

local function adam_options(config, what)
  check.keys(config, adam_keys, what)
  return {
    lr = positive(config.lr or 4e-5, what .. ": lr", true),
    beta1 = kept_share(config.beta1 or 0.9, what .. ": beta1"),
    beta2 = kept_share(config.beta2 or 0.999, what .. ": beta2"),
    eps = positive(config.eps or 1e-8, what .. ": eps"),
    weight_decay = positive(config.weight_decay or 0, what .. ": weight_decay", true),
    decoupled = config.decoupled or false,
  }
end

--- Adam, bias-corrected (Kingma & Ba 2015, algorithm 1):
-- optim.adam(params, { lr = 4e-5, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0 }).
-- params: model:parameters(), a model, or a list of tensors. weight_decay times the weight is added to the
-- gradient, or with decoupled = true to the step (AdamW). `opt.lr` may be set at any time.
function optim.adam(params, config)
  local self = setmetatable(adam_options(config or {}, "optim.adam"), adam)
  params = named(params, "optim.adam")
  local m, v = zeros_like(params, "m"), zeros_like(params, "v")
  self.name, self.params, self.steps, self.moments, self.hyper = "optim.adam", params, 0, { m, v }, ffi.new "mien_adam"
  self.device = params[1][2].device
  self.array, self.grads, self.m, self.v = array(params), ffi.new("mien_tensor *[?]", #params), array(m), array(v)
  return self
end

-- ---- SGD ---------------------------------------------------------------------------------------------

local sgd = setmetatable({}, { __index = base })
sgd.__index = sgd

function sgd:fill_hyper()
  local h = self.hyper
  h.lr, h.momentum = positive(self.lr, "optim.sgd: lr", true), self.momentum
  h.weight_decay, h.nesterov = self.weight_decay, self.nesterov and 1 or 0
end

function sgd:feed_to(capture)
  return C.mien_capture_sgd(capture, self.hyper)
end

function sgd:update(step)
  return C.mien_sgd_step(self.hyper, self.array, self.grads, self.v, #self.params, step)
end

local sgd_keys = { lr = "number!", momentum = "number", weight_decay = "number", nesterov = "boolean" }

local function sgd_options(config, what)
  check.keys(config, sgd_keys, what)
  return {
    lr = positive(config.lr, what .. ": lr", true),
    momentum = positive(config.momentum or 0, what .. ": momentum", true),
    weight_decay = positive(config.weight_decay or 0, what .. ": weight_decay", true),
    nesterov = config.nesterov or false,
  }
end

--- Stochastic gradient descent: optim.sgd(params, { lr = 0.1, momentum = 0, weight_decay = 0 }).
-- v = momentum v + g + weight_decay p; p -= lr v; nesterov = true: p -= lr (g + momentum v). `opt.lr` may be
-- set at any time.
function optim.sgd(params, config)
  local self = setmetatable(sgd_options(config or {}, "optim.sgd"), sgd)
  params = named(params, "optim.sgd")
  local v = self.momentum > 0 and zeros_like(params, "v") or {}
  self.name, self.params, self.steps, self.moments, self.hyper = "optim.sgd", params, 0, { v }, ffi.new "mien_sgd"
  self.device = params[1][2].device
  self.array, self.grads = array(params), ffi.new("mien_tensor *[?]", #params)
  self.v = self.momentum > 0 and array(v) or ffi.new("mien_tensor *[?]", #params)
  return self
end

-- ---- clipping, names -------------------------------------------------------------------------------

--- Scales all gradients down when their common 2-norm exceeds max_norm; returns the norm found.
function optim.clip(params, max_norm)
  params = named(params, "optim.clip")
  positive(check.type(max_norm, "number", "optim.clip: max_norm"), "optim.clip: max_norm")
  local grads, norm = ffi.new("mien_tensor *[?]", #params), ffi.new "double[1]"
  with_gradients(params, grads, "optim.clip", function()
    return C.mien_grad_clip(grads, #params, max_norm, norm)
  end)
  return norm[0]
end

--- The same without waiting for a GPU: the norm goes into `norm`, a tensor f64 [1] on the gradients' device, and one
-- that is not finite scales nothing.
function optim.clip_to(params, max_norm, norm)
  params = named(params, "optim.clip_to")
  local grads = ffi.new("mien_tensor *[?]", #params)
  with_gradients(params, grads, "optim.clip_to", function()
    return C.mien_grad_clip_to(grads, #params, max_norm, norm)
  end)
end

--- The error of a norm that is no number.
function optim.raise_norm(norm)
  check.raise("numeric", "clip: the norm of the gradients is %g; a loss or an input was not finite, or the learning "
    .. "rate is too high", norm)
end

--- Dynamic loss scaling for fp16; see optim/scaler.lua.
function optim.scaler(config)
  return require "mien.optim.scaler"(config)
end

--- The optimisers that experiments write by name.
optim.names = { "adam", "sgd" }

--- The name and the options of { "adam", lr = 4e-5 }.
local function parts(config, what)
  check.type(config, "table", what)
  local name, options = check.one_of(config[1], optim.names, what), {}
  for key, value in pairs(config) do
    if key ~= 1 then options[key] = value end
  end
  return name, options
end

--- The options of the optimiser of that name: key -> type, as check.keys takes them.
function optim.options(name)
  return check.one_of(name, optim.names, "optimiser") == "adam" and adam_keys or sgd_keys
end

--- Raises the error of { "adam", lr = 4e-5 } that from_table would raise, without parameters.
function optim.check(config, what)
  local name, options = parts(config, what)
  local read = name == "adam" and adam_options or sgd_options
  read(options, what)
end

--- The optimiser that experiments write as { "adam", lr = 4e-5 }, for these parameters.
function optim.from_table(config, params)
  local name, options = parts(config, "optimiser")
  return optim[name](params, options)
end

return optim
