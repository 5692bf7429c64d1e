-- Makes one Lua function per op from what C says about it (mien_op_info).
-- Not here: the 1-based, object-like face of the same ops (tensor/math.lua, tensor/view.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local handle = require "mien.tensor.handle"

local wrap, is_tensor = handle.wrap, handle.is

--- "input weight bias?" -> list of { name =, optional =, hidden =, list = }.
local function names(text)
  local list = {}
  for name, mark in text:gmatch "([%w_]+)([?*%-]?)" do
    list[#list + 1] = { name = name, optional = mark == "?", hidden = mark == "-", list = mark == "*" }
  end
  return list
end

--- "stride_h=1 kernel_h!" -> list of { name =, default = number or nil when required }.
local function attributes(text)
  local list = {}
  for name, default in text:gmatch "([%w_]+)[=!]?(%S*)" do
    list[#list + 1] = { name = name, default = tonumber(default) }
  end
  return list
end

local function complain(spec, i, value)
  local input = spec.inputs[i]
  if value == nil then check.raise("argument", "%s: %s is missing", spec.name, input.name) end
  check.raise("argument", "%s: %s must be a tensor, got %s", spec.name, input.name, check.describe(value))
end

--- Fills spec.attr from an options table over the defaults.
local function set_attributes(spec, options)
  local attr = spec.attr
  ffi.copy(attr, spec.defaults, spec.n_attr * 8)
  local needed = spec.n_required
  if options then
    if type(options) ~= "table" then
      check.raise("argument", "%s: attributes must be a table, got %s", spec.name, check.describe(options))
    end
    for key, value in pairs(options) do
      local i = spec.position[key]
      if not i then check.unknown(spec.name, "attribute", key, spec.position) end
      if value == true then value = 1 elseif value == false then value = 0 end
      if type(value) ~= "number" then
        check.raise("argument", "%s: %s must be a number, got %s", spec.name, key, check.describe(value))
      end
      if spec.required[key] then needed = needed - 1 end
      attr[i] = value
    end
  end
  if needed > 0 then
    for _, attribute in ipairs(spec.attributes) do
      if not attribute.default and (options == nil or options[attribute.name] == nil) then
        check.raise("argument", "%s: attribute %s is missing", spec.name, attribute.name)
      end
    end
  end
end

local function run(spec, n, options)
  if options ~= nil or spec.dirty then
    set_attributes(spec, options)
    spec.dirty = options ~= nil
  elseif spec.n_required > 0 then
    set_attributes(spec, nil)
  end
  local out = spec.out
  check.status(C.mien_op_run(spec.id, spec.input, n, spec.attr, spec.n_attr, out, spec.n_visible))
  if spec.n_visible == 1 then return wrap(out[0]) end
  if spec.n_visible == 2 then return wrap(out[0]), wrap(out[1]) end
  return wrap(out[0]), wrap(out[1]), wrap(out[2])
end

--- Who would run this call: see mien.backend.serving.
local function serving(spec, inputs, options)
  for i = 1, #inputs do spec.input[i - 1] = inputs[i] end
  set_attributes(spec, options)
  spec.dirty = true
  return ffi.string(check.pointer(C.mien_op_server(spec.id, spec.input, #inputs, spec.attr, spec.n_attr)))
end

--- An op that takes a list: op.concat({ a, b }, { dim = 1 }).
local function list_op(spec)
  return function(list, options)
    check.type(list, "table", spec.name .. ": " .. spec.inputs[1].name)
    if #list < 1 or #list > spec.n_in then
      check.raise("argument", "%s takes 1 to %d tensors, got %d", spec.name, spec.n_in, #list)
    end
    for i, t in ipairs(list) do
      if not is_tensor(t) then complain(spec, 1, t) end
      spec.input[i - 1] = t
    end
    return run(spec, #list, options)
  end
end

-- The arguments are unrolled per number of inputs, so that a call makes no table. Whichever argument
-- is a table is the attributes; what stands before it are the inputs.
local template = [[
local spec, run, is_tensor, complain = ...
local input, n_min = spec.input, spec.n_in_min
return function(%s, options)
  %s
  return run(spec, %d, options)
end
]]

local one_input = [[
if is_tensor(NAME) then
    input[POSITION] = NAME
  elseif type(NAME) == "table" and POSITION >= n_min then
    options, NAME, input[POSITION] = NAME, nil, nil
  elseif NAME == nil and POSITION >= n_min then
    input[POSITION] = nil
  else
    complain(spec, POSITION + 1, NAME)
  end
  ]]

local function plain_op(spec)
  local arguments, body = {}, {}
  for i, input in ipairs(spec.inputs) do
    local name = input.name .. "_"
    arguments[i] = name
    body[i] = one_input:gsub("NAME", name):gsub("POSITION", tostring(i - 1))
  end
  local code = template:format(table.concat(arguments, ", "), table.concat(body), #arguments)
  return assert(loadstring(code, "=mien.op." .. spec.name))(spec, run, is_tensor, complain)
end

local op = {}
local infos = {}

for id = 0, C.mien_op_count() - 1 do
  local info = C.mien_op_info_at(id)
  local spec = {
    id = id, name = ffi.string(info.name), doc = ffi.string(info.doc),
    inputs = names(ffi.string(info.inputs)), outputs = names(ffi.string(info.outputs)),
    attributes = attributes(ffi.string(info.attributes)),
    n_in = info.n_in, n_in_min = info.n_in_min, n_visible = info.n_visible, n_attr = info.n_attr,
    input = ffi.new("mien_tensor *[?]", math.max(info.n_in, 1)),
    out = ffi.new("mien_tensor *[?]", math.max(info.n_visible, 1)),
    attr = ffi.new("double[?]", math.max(info.n_attr, 1)),
    defaults = ffi.new("double[?]", math.max(info.n_attr, 1)),
    position = {}, required = {}, n_required = 0, dirty = true,
  }
  for i, attribute in ipairs(spec.attributes) do
    spec.position[attribute.name] = i - 1
    spec.defaults[i - 1] = attribute.default or 0
    if not attribute.default then
      spec.required[attribute.name], spec.n_required = true, spec.n_required + 1
    end
  end
  infos[spec.name] = spec
  op[spec.name] = spec.inputs[1].list and list_op(spec) or plain_op(spec)
end

return setmetatable(op, {
  __index = function(_, name) check.unknown("mien.op", "op", name, infos) end,
  serving = serving,
  infos = infos, -- for help and completion: name -> inputs, outputs, attributes, doc
})
