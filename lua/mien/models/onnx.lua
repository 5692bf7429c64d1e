-- A network from an ONNX file, run and trained by mien's own operators. Operators: https://onnx.ai/onnx/operators.
-- Not here: reading the file's tensors (weights/reading/onnx_tensors.lua), writing such files (weights/writing/to_onnx.lua).
local bytes = require "mien.weights.bytes"
local check = require "mien.base.check"
local nn = require "mien.nn"
local op = require "mien.tensor.op"
local protobuf = require "mien.weights.reading.protobuf"
local reading = require "mien.weights.reading.onnx_tensors"
local scope = require "mien.tensor.scope"
local sha256 = require "mien.base.sha256"
local tensor = require "mien.tensor"

local graph = nn.define "onnx"

-- ---- nodes ---------------------------------------------------------------------------------------------

--- Attributes of a node by name: numbers, texts, lists, and tensors as entries of the reader.
local function attribute(file, text, field, wrong)
  local name, value, list = "", nil, nil
  for _, one in ipairs(protobuf.fields(text, field.from, field.to, wrong)) do
    local n = one[1]
    if n == 1 then name = protobuf.text(text, one)
    elseif n == 2 and one.from then value = protobuf.float(text, one.from)
    elseif n == 3 then value = one[2]
    elseif n == 4 then value = protobuf.text(text, one)
    elseif n == 5 and one.from then value = reading.tensor(file, text, one.from, one.to, 0)
    elseif n == 8 then list = protobuf.packed(text, one, list or {}, wrong) end
  end
  return name, list or value
end

local function node_of(file, text, field)
  local function wrong(fmt, ...) file:wrong(fmt, ...) end
  local node = { inputs = {}, outputs = {}, attributes = {} }
  for _, one in ipairs(protobuf.fields(text, field.from, field.to, wrong)) do
    local n = one[1]
    if n == 1 then table.insert(node.inputs, protobuf.text(text, one))
    elseif n == 2 then table.insert(node.outputs, protobuf.text(text, one))
    elseif n == 3 then node.name = protobuf.text(text, one)
    elseif n == 4 then node.op = protobuf.text(text, one)
    elseif n == 5 and one.from then
      local name, value = attribute(file, text, one, wrong)
      node.attributes[name] = value
    end
  end
  return node
end

-- ---- operators -----------------------------------------------------------------------------------------

-- A value is a tensor, or { ints = list } where shapes are computed. Each operator: function(node, inputs, graph) -> outputs.
local ops = {}

local function refuse(node, fmt, ...)
  check.raise("unsupported", "%s (%s): %s", node.op, node.name ~= "" and node.name or node.outputs[1] or "?", fmt:format(...))
end

local function is_ints(value) return type(value) == "table" and value.ints ~= nil end

--- Whole numbers of an input: computed, or a tensor of the file.
local function ints(node, value)
  if is_ints(value) then return value.ints end
  if not value then return nil end
  local list = value:to("f64"):totable()
  if type(list) == "number" then list = { list } end
  for _, n in ipairs(list) do
    if type(n) ~= "number" or n % 1 ~= 0 then refuse(node, "a list of whole numbers is wanted") end
  end
  return list
end

local function pads(node, size)
  local a = node.attributes
  if a.auto_pad and a.auto_pad ~= "NOTSET" and a.auto_pad ~= "VALID" and a.auto_pad ~= "SAME_UPPER" then
    refuse(node, "auto_pad %s", a.auto_pad)
  end
  local kernel, strides = a.kernel_shape, a.strides or { 1, 1 }
  for _, d in ipairs(a.dilations or {}) do
    if d ~= 1 then refuse(node, "dilations %s", table.concat(a.dilations, ",")) end
  end
  if #kernel ~= 2 then refuse(node, "windows of %d dimensions", #kernel) end
  local p = a.pads or { 0, 0, 0, 0 }
  if a.auto_pad == "SAME_UPPER" then
    p = {}
    for i = 1, 2 do
      local total = math.max((math.ceil(size[i] / strides[i]) - 1) * strides[i] + kernel[i] - size[i], 0)
      p[i], p[i + 2] = math.floor(total / 2), math.ceil(total / 2)
    end
  end
  return { kernel_h = kernel[1], kernel_w = kernel[2], stride_h = strides[1], stride_w = strides[2], pad_top = p[1],
    pad_left = p[2], pad_bottom = p[3], pad_right = p[4] }
end

function ops.Conv(node, x)
  if (node.attributes.group or 1) ~= 1 then refuse(node, "groups of channels (%d)", node.attributes.group) end
  node.attributes.kernel_shape = node.attributes.kernel_shape or { x[2]:size(3), x[2]:size(4) }
  local a = pads(node, { x[1]:size(3), x[1]:size(4) })
  a.kernel_h, a.kernel_w = nil, nil
  return op.conv2d(x[1], x[2], x[3], a)
end

function ops.BatchNormalization(node, x, self)
  local a = node.attributes
  return op.batch_norm(x[1], x[2], x[3], x[4], x[5], nil, { training = self.training, relu = 0, eps = a.epsilon or 1e-5,
    momentum = self.training and 1 - (a.momentum or 0.9) or 0 })
end

--- How far behind the border the last window of ceil_mode reaches, unless it would begin there.
local function over(size, kernel, stride, before, after)
  local places = math.ceil((size + before + after - kernel) / stride) + 1
  if (places - 1) * stride >= size + before then places = places - 1 end
  return math.max(0, (places - 1) * stride + kernel - size - before)
end

function ops.MaxPool(node, x)
  local h, w = x[1]:size(3), x[1]:size(4)
  local a = pads(node, { h, w })
  if (node.attributes.ceil_mode or 0) ~= 0 then
    a.pad_bottom = over(h, a.kernel_h, a.stride_h, a.pad_top, a.pad_bottom)
    a.pad_right = over(w, a.kernel_w, a.stride_w, a.pad_left, a.pad_right)
  end
  return op.max_pool2d(x[1], a)
end

function ops.AveragePool(node, x)
  local a = pads(node, { x[1]:size(3), x[1]:size(4) })
  if (node.attributes.ceil_mode or 0) ~= 0 then refuse(node, "ceil_mode") end
  if a.pad_top + a.pad_left + a.pad_bottom + a.pad_right > 0 then refuse(node, "padding") end
  return op.avg_pool2d(x[1], a)
end

function ops.GlobalAveragePool(_, x)
  local n, c = x[1]:size(1), x[1]:size(2)
  return op.global_avg_pool(x[1]):reshape { n, c, 1, 1 }
end

--- Means over the map alone, as exporters of average pools write it.
function ops.ReduceMean(node, x)
  local axes = node.attributes.axes or ints(node, x[2])
  local all = axes and table.concat(axes, ",")
  if all ~= "2,3" and all ~= "-1,-2" and all ~= "-2,-1" or x[1].ndim ~= 4 then refuse(node, "over axes %s", tostring(all)) end
  local y = op.global_avg_pool(x[1])
  return (node.attributes.keepdims or 1) == 1 and y:reshape { y:size(1), y:size(2), 1, 1 } or y
end

function ops.Relu(_, x) return op.relu(x[1]) end
function ops.Sigmoid(_, x) return op.sigmoid(x[1]) end
function ops.Tanh(_, x) return op.tanh(x[1]) end
function ops.Exp(_, x) return op.exp(x[1]) end
function ops.Identity(_, x) return x[1] end
function ops.Dropout(_, x) return x[1] end -- as at test; a graph does not say its stream

--- max(0, x) + slope min(0, x).
local function leaky(x, slope)
  local positive = op.relu(x)
  return positive + (x - positive) * slope
end
function ops.LeakyRelu(node, x) return leaky(x[1], node.attributes.alpha or 0.01) end
function ops.PRelu(_, x)
  local slope = x[2]
  if slope.ndim == 1 and x[1].ndim == 4 then slope = slope:reshape { 1, -1, 1, 1 } end
  return leaky(x[1], slope)
end

--- A number of an input or attribute.
local function number(value)
  if is_ints(value) then return value.ints[1] end
  return type(value) == "number" and value or value and value:item()
end

function ops.Clip(node, x)
  local low, high = number(x[2] or node.attributes.min), number(x[3] or node.attributes.max)
  local y = x[1]
  if low then y = op.relu(y - low) + low end
  if high then y = y - op.relu(y - high) end
  return y
end

function ops.Softmax(node, x)
  local axis = node.attributes.axis or -1
  if axis ~= -1 and axis ~= x[1].ndim - 1 then refuse(node, "over axis %d; the last one is", axis) end
  return op.softmax(x[1])
end

function ops.LRN(node, x)
  local a = node.attributes
  return op.lrn(x[1], { size = a.size, alpha = a.alpha or 1e-4, beta = a.beta or 0.75, k = a.bias or 1 })
end

for name, run in pairs { Add = function(a, b) return a + b end, Sub = function(a, b) return a - b end,
  Mul = function(a, b) return a * b end, Div = function(a, b) return a / b end } do
  ops[name] = function(node, x)
    if not (is_ints(x[1]) or is_ints(x[2])) then return run(x[1], x[2]) end
    local a, b, list = ints(node, x[1]), ints(node, x[2]), {}
    for i = 1, math.max(#a, #b) do
      local value = run(a[#a == 1 and 1 or i], b[#b == 1 and 1 or i])
      list[i] = name == "Div" and math.floor(value) or value
    end
    return { ints = list }
  end
end

function ops.Gemm(node, x)
  local a = node.attributes
  local left, right = x[1], x[2]
  if (a.transA or 0) == 1 then left = left:permute(2, 1) end
  if (a.transB or 0) == 1 and (a.alpha or 1) == 1 and (a.beta or 1) == 1 and (not x[3] or x[3].ndim == 1) then
    return op.linear(left, right, x[3])
  end
  if (a.transB or 0) == 1 then right = right:permute(2, 1) end
  local y = op.matmul(left, right)
  if (a.alpha or 1) ~= 1 then y = y * a.alpha end
  return x[3] and y + ((a.beta or 1) ~= 1 and x[3] * a.beta or x[3]) or y
end

--- [..., D] times a matrix of the file, or two matrices.
function ops.MatMul(node, x)
  local shape = x[1].shape
  if x[2].ndim ~= 2 then refuse(node, "by a tensor of %d dimensions", x[2].ndim) end
  if #shape == 2 then return op.matmul(x[1], x[2]) end
  shape[#shape] = x[2]:size(2)
  return op.matmul(x[1]:reshape { -1, x[2]:size(1) }, x[2]):reshape(shape)
end

local function axis_of(axis, ndim) return axis < 0 and axis + ndim or axis end

function ops.Concat(node, x)
  if is_ints(x[1]) or is_ints(x[2]) then
    local list = {}
    for _, value in ipairs(x) do
      for _, n in ipairs(ints(node, value)) do list[#list + 1] = n end
    end
    return { ints = list }
  end
  return tensor.cat(x, axis_of(node.attributes.axis, x[1].ndim) + 1)
end

function ops.Flatten(node, x)
  local shape, axis, rows = x[1].shape, axis_of(node.attributes.axis or 1, x[1].ndim), 1
  for i = 1, axis do rows = rows * shape[i] end
  return x[1]:reshape { rows, -1 }
end

function ops.Reshape(node, x)
  local shape, old = { unpack(ints(node, x[2])) }, x[1].shape
  for i, n in ipairs(shape) do
    if n == 0 and (node.attributes.allowzero or 0) == 0 then shape[i] = old[i] end
  end
  return x[1]:reshape(shape)
end

function ops.Transpose(node, x)
  local order = {}
  for i = 1, x[1].ndim do order[i] = node.attributes.perm and node.attributes.perm[i] + 1 or x[1].ndim + 1 - i end
  return x[1]:permute(unpack(order))
end

function ops.Unsqueeze(node, x)
  if is_ints(x[1]) then return x[1] end
  local shape, axes = x[1].shape, node.attributes.axes or ints(node, x[2])
  for _, axis in ipairs(axes) do table.insert(shape, axis_of(axis, #shape + 1) + 1, 1) end
  return x[1]:reshape(shape)
end

function ops.Squeeze(node, x)
  if is_ints(x[1]) then return x[1] end
  local shape, kept, drop = x[1].shape, {}, {}
  local axes = node.attributes.axes or ints(node, x[2])
  for _, axis in ipairs(axes or {}) do drop[axis_of(axis, #shape) + 1] = true end
  for i, n in ipairs(shape) do
    if axes and not drop[i] or not axes and n ~= 1 then kept[#kept + 1] = n end
  end
  return x[1]:reshape(kept)
end

-- ---- shapes as numbers ---------------------------------------------------------------------------------

function ops.Shape(_, x) return { ints = x[1].shape } end
function ops.Cast(_, x) return x[1] end

function ops.Gather(node, x)
  if not is_ints(x[1]) then refuse(node, "of what is no shape") end
  local list, from = {}, x[1].ints
  for i, at in ipairs(ints(node, x[2])) do list[i] = from[axis_of(at, #from) + 1] or refuse(node, "beyond the shape") end
  return { ints = list }
end

--- What a shape is filled with: zeros, unless the node says a value.
function ops.ConstantOfShape(node, x)
  local value = node.attributes.value
  return tensor.full(ints(node, x[1]), value and value.read():to("f32"):reshape({}):item() or 0)
end

function ops.Expand(node, x) return x[1] + tensor.zeros(ints(node, x[2])) end

--- Of a tensor one axis, in steps of 1.
local function part(node, x)
  local t, axes = x[1], node.attributes.axes or ints(node, x[4]) or { 0 }
  local first, last = node.attributes.starts or ints(node, x[2]), node.attributes.ends or ints(node, x[3])
  for _, step in ipairs(x[5] and ints(node, x[5]) or {}) do
    if step ~= 1 then refuse(node, "steps of %d", step) end
  end
  for i, axis in ipairs(axes) do
    local dim = axis_of(axis, t.ndim) + 1
    local size = t:size(dim)
    local from, to = math.min(axis_of(first[i], size), size), math.min(axis_of(last[i], size), size)
    if to <= from then refuse(node, "an empty part") end
    t = t:narrow(dim, from + 1, to - from)
  end
  return t
end

function ops.Slice(node, x)
  if not is_ints(x[1]) then return part(node, x) end
  local from, list = x[1].ints, {}
  local first, last = (node.attributes.starts or ints(node, x[2]))[1], (node.attributes.ends or ints(node, x[3]))[1]
  for i = axis_of(first, #from) + 1, math.min(axis_of(last, #from), #from) do list[#list + 1] = from[i] end
  return { ints = list }
end

-- ---- recurrent layers ----------------------------------------------------------------------------------

-- Places of mien's gates in ONNX's order: LSTM i o f c -> i f g o, GRU z r h -> r z n.
local ORDER = { LSTM = { 1, 3, 4, 2 }, GRU = { 2, 1, 3 } }

local function gates(t, cell)
  local order, list = ORDER[cell], {}
  local hidden = t:size(1) / #order
  for i, k in ipairs(order) do list[i] = t:narrow(1, (k - 1) * hidden + 1, hidden) end
  return tensor.cat(list, 1)
end

local function recurrent(node, x, cell)
  local a = node.attributes
  if (a.direction or "forward") ~= "forward" or (a.layout or 0) ~= 0 then refuse(node, "direction %s",
    tostring(a.direction)) end
  if x[5] or x[8] then refuse(node, "lengths of sequences, or peepholes") end
  local function state_of(s) return s and s:reshape { s:size(2), s:size(3) } end
  local h0, c0 = state_of(x[6]), state_of(x[7])
  local function own(t) return t:reshape { unpack(t.shape, 2) } end -- without the dimension of directions
  local w, r = gates(own(x[2]), cell), gates(own(x[3]), cell)
  local rows = w:size(1)
  local both = x[4] and own(x[4]) or tensor.zeros { 2 * rows }
  local input, state = gates(both:narrow(1, 1, rows), cell), gates(both:narrow(1, rows + 1, rows), cell)
  local y, h, c
  local batch_first = x[1]:permute(2, 1, 3)
  if cell == "LSTM" then
    y, h, c = op.lstm(batch_first, w, r, input + state, h0, c0)
  else
    y, h = op.gru(batch_first, w, r, input, state, h0, { reset_after = (a.linear_before_reset or 0) == 1 })
  end
  local t, b, hidden = x[1]:size(1), x[1]:size(2), r:size(2)
  local function last(s) return s and s:reshape { 1, b, hidden } end
  return y:permute(2, 1, 3):reshape { t, 1, b, hidden }, last(h), last(c)
end

function ops.LSTM(node, x) return recurrent(node, x, "LSTM") end
function ops.GRU(node, x) return recurrent(node, x, "GRU") end

-- ---- the network ---------------------------------------------------------------------------------------

--- Every name that is read after node i, so that the others can go.
local function last_uses(nodes, output)
  local last = { [output] = #nodes + 1 }
  for i, node in ipairs(nodes) do
    for _, name in ipairs(node.inputs) do last[name] = math.max(last[name] or 0, i) end
  end
  return last
end

function graph:forward(x)
  local values = { [self.input] = x }
  for name, value in pairs(self.constants) do values[name] = value end
  for i, node in ipairs(self.nodes) do
    local inputs = {}
    for k, name in ipairs(node.inputs) do
      if name ~= "" then
        inputs[k] = values[name]
        if inputs[k] == nil then refuse(node, "its input %s is made by nobody", name) end
      end
    end
    local made = { ops[node.op](node, inputs, self) }
    for k, name in ipairs(node.outputs) do values[name] = made[k] end
    for _, name in ipairs(node.inputs) do -- what came of it by a view keeps the elements
      local value = values[name]
      if self.last[name] == i and name ~= self.input and value and not is_ints(value) then
        local alias = self.held[value] or value == x
        for _, one in ipairs(made) do alias = alias or one == value end
        if not alias then value:free() end
        values[name] = nil
      end
    end
    if values[self.output] then break end
  end
  return values[self.output]
end

function graph:detail() return ("%s, %d operators"):format(self.file, #self.nodes) end

--- Parameters of the file's tensors: those of floats are trained, but batch norm's statistics.
local function take_tensors(self, initialisers)
  local statistics = {}
  for _, node in ipairs(self.nodes) do
    if node.op == "BatchNormalization" then statistics[node.inputs[4]], statistics[node.inputs[5]] = true, true end
  end
  for _, entry in ipairs(initialisers) do
    local t = entry.read()
    if entry.dtype == "f32" and #entry.shape > 0 then
      local own = statistics[entry.name] and self:buffer(entry.name, entry.shape, 0)
        or self:parameter(entry.name, entry.shape, "zero")
      own:detach():copy_(t)
      self.constants[entry.name] = own
    elseif entry.dtype and entry.dtype:find "^[iu]" then
      self.constants[entry.name] = { ints = #entry.shape == 0 and { t:item() } or t:to("f64"):totable() }
    else
      self.constants[entry.name] = scope.keep(t:to "f32")
    end
  end
end

local known = { "string", file = "string", output = "string", size = "count|table", sha256 = "string" }

--- A network from an ONNX file: models.onnx{ "net.onnx", output = "name of a tensor", size = 96 }. [N,3,H,W] -> what the
-- graph
-- gives (or the tensor `output` of it, such as the features before a classifier). With size (height and width, or one number)
-- it is run once, and has features_out: then it serves as an extractor. Operators that mien has not are an error that names
-- them with their place. Its tensors keep the file's names; dropout does nothing.
return function(config)
  if type(config) == "string" then config = { config } end
  check.keys(config, known, "models.onnx")
  local path = config[1] or config.file or check.raise("argument", "models.onnx: which file? models.onnx \"net.onnx\"")
  local hash = sha256.file(path)
  if config.sha256 and config.sha256 ~= hash then
    check.raise("format", "%s is another file than the network was made of: its sha256 was %s", path, config.sha256)
  end
  local file = bytes.open(path)
  if not reading.is(file:head(4096)) then file:wrong "no ONNX file" end
  local read = reading.graph(file)
  local self = graph.create { nodes = {}, constants = {}, file = path }
  local missing, places = {}, {}
  for _, field in ipairs(read.nodes) do
    local node = node_of(file, read.text, field)
    if node.op == "Constant" then
      local entry = node.attributes.value
      if type(entry) ~= "table" or not entry.read then file:wrong("the constant %s has no tensor", node.outputs[1] or "?") end
      entry.name = node.outputs[1]
      table.insert(read.initialisers, entry)
    else
      if not ops[node.op] and not places[node.op] then
        missing[#missing + 1], places[node.op] = node.op, true
        missing[#missing] = ("%s at %s"):format(node.op, node.name or node.outputs[1] or "?")
      end
      table.insert(self.nodes, node)
    end
  end
  if #missing > 0 then
    check.raise("unsupported", "%s: mien has no operator for %s", path, table.concat(missing, ", "))
  end
  local initial, inputs = {}, {}
  for _, entry in ipairs(read.initialisers) do initial[entry.name] = true end
  for _, name in ipairs(reading.names(file, read.text, read.inputs)) do
    if not initial[name] then inputs[#inputs + 1] = name end
  end
  if #inputs ~= 1 then file:wrong("%d inputs; networks of one are run", #inputs) end
  self.input, self.output = inputs[1], config.output or reading.names(file, read.text, read.outputs)[1]
  local there = self.output == self.input
  for _, node in ipairs(self.nodes) do
    for _, name in ipairs(node.outputs) do there = there or name == self.output end
  end
  if not there then check.raise("argument", "models.onnx: no operator of %s gives %s", path, tostring(self.output)) end
  self.last, self.held = last_uses(self.nodes, self.output), {}
  scope.run(function() take_tensors(self, read.initialisers) end)
  for _, value in pairs(self.constants) do self.held[value] = true end
  self.architecture = { "onnx", file = path, output = self.output, sha256 = hash }
  if config.size then
    local h, w = config.size, config.size
    if type(h) == "table" then h, w = h[1], h[2] end
    local was = self.training
    self:train(false)
    local shape = scope.run(function()
      return require("mien.tensor.grad").no_grad(function() return self(tensor.zeros { 1, 3, h, w }).shape end)
    end)
    self:train(was)
    if #shape ~= 2 then
      check.raise("shape", "models.onnx: %s of %s is [%s]; an extractor gives [N,F]", self.output, path, table.concat(shape,
        ","))
    end
    self.features_out, self.architecture.size = shape[2], { h, w }
  end
  return self
end
