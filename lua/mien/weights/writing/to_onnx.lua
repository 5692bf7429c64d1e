-- Writes a network as an ONNX graph: frames or whole sequences of any length, for onnxruntime and whatever else runs them.
-- Operators: https://onnx.ai/onnx/operators, opset 17. Not here: tensors alone, reading (reading/onnx_tensors.lua).
local check = require "mien.base.check"
local pieces = require "mien.weights.writing.pieces"
local wire = require "mien.weights.writing.wire"
local tensor = require "mien.tensor"

local OPSET, IR = 17, 8
local FLOAT, INT64 = 1, 7 -- TensorProto.DataType
local OF_FLOAT, OF_INT, OF_STRING, OF_INTS = 1, 2, 3, 7 -- AttributeProto.AttributeType

local field, text = wire.number, wire.text

-- ---- the graph as it grows -----------------------------------------------------------------------------

local graph = {}
graph.__index = graph

local function attribute(name, value)
  local out = text(1, name)
  if type(value) == "string" then return out .. text(4, value) .. field(20, OF_STRING) end
  if type(value) == "table" and value.float then return out .. wire.float(2, value.float) .. field(20, OF_FLOAT) end
  if type(value) == "number" then return out .. field(3, value) .. field(20, OF_INT) end
  local parts = {}
  for i, n in ipairs(value) do parts[i] = field(8, n) end
  return out .. table.concat(parts) .. field(20, OF_INTS)
end

--- Adds an operator; returns the name of its output, or of `several` outputs.
function graph:node(op, inputs, attributes, several)
  self.count = self.count + 1
  local parts, outputs = {}, {}
  for _, name in ipairs(inputs) do parts[#parts + 1] = text(1, name) end
  for i = 1, several or 1 do
    outputs[i] = ("%s_%d%s"):format(op:lower(), self.count, several and "_" .. i or "")
    parts[#parts + 1] = text(2, outputs[i])
  end
  parts[#parts + 1] = text(3, ("%s_%d"):format(op, self.count)) .. text(4, op)
  local keys = {}
  for key in pairs(attributes or {}) do keys[#keys + 1] = key end
  table.sort(keys)
  for _, key in ipairs(keys) do parts[#parts + 1] = text(5, attribute(key, attributes[key])) end
  self.nodes[#self.nodes + 1] = text(1, table.concat(parts))
  return unpack(outputs)
end

--- Adds a tensor of weights under a name; returns it.
function graph:weight(name, t)
  local plain = t:detach():to "f32"
  local head = {}
  for i, n in ipairs(plain.shape) do head[i] = field(1, n) end
  head = table.concat(head) .. field(2, FLOAT) .. text(8, name)
  local size = pieces.size(plain)
  head = head .. wire.head(9, size)
  table.insert(self.weights, wire.head(5, #head + size) .. head)
  table.insert(self.weights, plain)
  return name
end

--- Adds whole numbers; returns their name.
function graph:numbers(list)
  self.count = self.count + 1
  local name, raw = "numbers_" .. self.count, {}
  for i, n in ipairs(list) do raw[i] = n < 0 and ("\xff"):rep(8) or pieces.whole(n, 8) end
  table.insert(self.weights, text(5, field(1, #list) .. field(2, INT64) .. text(8, name) .. text(9, table.concat(raw))))
  return name
end

-- ---- layers --------------------------------------------------------------------------------------------

local emit = {}

local function windowed(a, names)
  local pads = { a.pad_top or 0, a.pad_left or 0, a.pad_bottom or 0, a.pad_right or 0 }
  return { kernel_shape = names, strides = { a.stride_h or 1, a.stride_w or 1 }, pads = pads }
end

--- Weight and bias of a convolution and the batch norm after it, as one convolution's.
local function folded(conv, norm)
  local scale = norm.weight / (norm.running_var + norm.attributes.eps):sqrt()
  local weight = conv.weight * scale:reshape { -1, 1, 1, 1 }
  local bias = norm.bias - norm.running_mean * scale
  if rawget(conv, "bias") then bias = bias + conv.bias * scale end
  return weight, bias
end

--- A convolution, its batch norm (nil for none) and what the norm adds and cuts off.
function graph:conv(conv, x, path, norm, norm_path, residual)
  local k = conv.weight.shape
  local how = windowed(conv.attributes, { k[3], k[4] })
  local inputs = { x }
  if norm and self.fold then
    local weight, bias = folded(conv, norm)
    inputs[2], inputs[3] = self:weight(path .. ".weight", weight), self:weight(path .. ".bias", bias)
  else
    inputs[2] = self:weight(path .. ".weight", conv.weight)
    if rawget(conv, "bias") then inputs[3] = self:weight(path .. ".bias", conv.bias) end
  end
  local y = self:node("Conv", inputs, how)
  if norm and not self.fold then y = self:norm(norm, y, norm_path) end
  if residual then y = self:node("Add", { y, residual }) end
  return norm and norm.attributes.relu == 1 and self:node("Relu", { y }) or y
end

function graph:norm(norm, x, path)
  return self:node("BatchNormalization", { x, self:weight(path .. ".weight", norm.weight), self:weight(path .. ".bias",
    norm.bias), self:weight(path .. ".running_mean", norm.running_mean), self:weight(path .. ".running_var",
    norm.running_var) }, { epsilon = { float = norm.attributes.eps } })
end

function emit.conv2d(g, m, x, path) return g:conv(m, x, path) end
function emit.relu(g, _, x) return g:node("Relu", { x }) end
function emit.sigmoid(g, _, x) return g:node("Sigmoid", { x }) end
function emit.tanh(g, _, x) return g:node("Tanh", { x }) end
function emit.dropout(_, _, x) return x end
function emit.flatten(g, _, x) return g:node("Flatten", { x }, { axis = 1 }) end

function emit.max_pool(g, m, x)
  local a = m.attributes
  local how = windowed(a, { a.kernel_h, a.kernel_w })
  if m.same then how.pads, how.auto_pad = nil, "SAME_UPPER" end
  return g:node("MaxPool", { x }, how)
end

function emit.global_avg_pool(g, _, x)
  return g:node("Flatten", { g:node("GlobalAveragePool", { x }) }, { axis = 1 })
end

--- [N,D] or [B,T,D] times a matrix.
function emit.linear(g, m, x, path)
  local weight = g:weight(path .. ".weight", m.weight:permute(2, 1):clone())
  local y = g:node("MatMul", { x, weight })
  return rawget(m, "bias") and g:node("Add", { y, g:weight(path .. ".bias", m.bias) }) or y
end

function emit.sequential(g, m, x, path)
  local i = 1
  while i <= #m do
    local layer, after = m[i], m[i + 1]
    local name = path .. "." .. i - 1
    if layer.class_name == "conv2d" and after and after.class_name == "batch_norm" then
      x, i = g:conv(layer, x, name, after, path .. "." .. i), i + 1
    else
      x = g:layer(layer, x, name)
    end
    i = i + 1
  end
  return x
end

local function shortcut(g, m, x, path)
  return m.downsample and g:layer(m.downsample, x, path .. ".downsample") or x
end

function emit.bottleneck(g, m, x, path)
  local y = g:conv(m.conv1, x, path .. ".conv1", m.bn1, path .. ".bn1")
  y = g:conv(m.conv2, y, path .. ".conv2", m.bn2, path .. ".bn2")
  return g:conv(m.conv3, y, path .. ".conv3", m.bn3, path .. ".bn3", shortcut(g, m, x, path))
end

function emit.basic_block(g, m, x, path)
  local y = g:conv(m.conv1, x, path .. ".conv1", m.bn1, path .. ".bn1")
  return g:conv(m.conv2, y, path .. ".conv2", m.bn2, path .. ".bn2", shortcut(g, m, x, path))
end

function emit.resnet(g, m, x, path)
  x = g:conv(m.conv1, x, path .. ".conv1", m.bn1, path .. ".bn1")
  x = g:layer(m.pool, x)
  for i = 1, 4 do x = g:layer(m["layer" .. i], x, path .. ".layer" .. i) end
  return g:layer(m.average, x)
end

function emit.vgg16(g, m, x, path)
  x = g:layer(m.flatten, g:layer(m.features, x, path .. ".features"))
  return g:layer(m.classifier, x, path .. ".classifier")
end

-- Rows of gates in ONNX's order, from mien's: LSTM i f g o -> i o f c, GRU r z n -> z r h.
local ORDER = { lstm = { 1, 4, 2, 3 }, gru = { 2, 1, 3 } }

local function gates(t, cell)
  local order, list = ORDER[cell], {}
  local hidden = t:size(1) / #order
  for i, k in ipairs(order) do list[i] = t:narrow(1, (k - 1) * hidden + 1, hidden) end
  return tensor.cat(list, 1)
end

--- [B,T,D] -> [B,T,H], one layer after the other.
local function recurrent_layers(g, m, x, path, cell)
  local function weight(name, t)
    local shape = t.shape
    return g:weight(path .. "." .. name, t:reshape { 1, unpack(shape) })
  end
  local y = g:node("Transpose", { x }, { perm = { 1, 0, 2 } })
  for l = 1, m.layers do
    local w, at = m.weights[l], "_l" .. l - 1
    local bias
    if cell == "lstm" then bias = tensor.cat({ gates(w.bias, cell), gates(w.bias, cell) * 0 }, 1)
    else bias = tensor.cat({ gates(w.bias_ih, cell), gates(w.bias_hh, cell) }, 1) end
    local how = { hidden_size = m.hidden }
    if cell == "gru" then how.linear_before_reset = m.attributes.reset_after and 1 or 0 end
    local out = g:node(cell:upper(), { y, weight("weight_ih" .. at, gates(w.ih, cell)),
      weight("weight_hh" .. at, gates(w.hh, cell)), weight("bias" .. at, bias) }, how)
    y = g:node("Squeeze", { out, g:numbers { 1 } }) -- [T,1,B,H]: directions
  end
  return g:node("Transpose", { y }, { perm = { 1, 0, 2 } })
end

function emit.lstm(g, m, x, path) return recurrent_layers(g, m, x, path, "lstm") end
function emit.gru(g, m, x, path) return recurrent_layers(g, m, x, path, "gru") end

function emit.framewise(g, m, x) return g:layer(m.head, g:layer(m.features, x, "features"), "head") end

function emit.recurrent(g, m, x) -- [B,T,3,H,W]
  local shape = g:node("Shape", { x })
  local frames = g:node("Reshape", { x, g:node("Concat", { g:numbers { -1 }, g:node("Slice", { shape, g:numbers { 2 },
    g:numbers { 5 } }) }, { axis = 0 }) })
  local y = g:layer(m.fully_connected, g:layer(m.features, frames, "features"), "fully_connected")
  local sequence = g:node("Reshape", { y, g:node("Concat", { g:node("Slice", { shape, g:numbers { 0 }, g:numbers { 2 } }),
    g:numbers { -1 } }, { axis = 0 }) })
  return g:layer(m.head, g:layer(m.context, sequence, "context"), "head")
end

function graph:layer(m, x, path)
  local how = emit[m.class_name]
  if not how then
    check.raise("unsupported", "onnx: there is no operator for %s (%s)", path or "a layer", m.class_name)
  end
  return how(self, m, x, path)
end

-- ---- the file ------------------------------------------------------------------------------------------

--- ValueInfoProto of f32 with sizes that are numbers or names.
local function value(name, sizes)
  local dims = {}
  for i, size in ipairs(sizes) do
    dims[i] = text(1, type(size) == "number" and field(1, size) or text(2, size))
  end
  return text(1, name) .. text(2, text(1, field(1, FLOAT) .. text(2, table.concat(dims))))
end

--- Writes a network of mien.models to an ONNX file: input "frames", [batch,time,3,height,width] of a recurrent one,
-- [batch,3,height,width] of another, batch and time of any size; output "outputs". options: fold = batch norm becomes part
-- of the convolutions; size = { height, width } where only one fits (VGG-16), else both are free; texts = what the file
-- says of itself, by key. Returns the number of operators.
return function(path, model, options)
  options = check.keys(options or {}, { fold = "boolean", size = "table", texts = "table" }, "weights.save")
  local g = setmetatable({ nodes = {}, weights = {}, count = 0, fold = options.fold }, graph)
  local sequence = model.class_name == "recurrent"
  local size = options.size or { "height", "width" }
  local y = require("mien.tensor.grad").no_grad(function() return g:layer(model, "frames", "features") end)
  local outputs = rawget(model, "outputs") and #model.outputs or rawget(model, "features_out") or "features"
  g.nodes[#g.nodes + 1] = text(1, text(1, y) .. text(2, "outputs") .. text(4, "Identity"))
  local input = sequence and { "batch", "time", 3, size[1], size[2] } or { "batch", 3, size[1], size[2] }
  local head = table.concat(g.nodes) .. text(2, "mien")
  local tail = text(11, value("frames", input))
    .. text(12, value("outputs", sequence and { "batch", "time", outputs } or { "batch", outputs }))
  local inside = #head + #tail
  for _, piece in ipairs(g.weights) do inside = inside + pieces.size(piece) end
  if inside >= 2 ^ 31 then check.raise("unsupported", "%s: an ONNX file holds up to 2 GB", path) end
  local about = {}
  for key, said in pairs(options.texts or {}) do about[#about + 1] = text(14, text(1, key) .. text(2, said)) end
  table.sort(about)
  local parts = { field(1, IR) .. text(2, "mien") .. wire.head(7, inside) .. head }
  for _, piece in ipairs(g.weights) do parts[#parts + 1] = piece end
  parts[#parts + 1] = tail .. text(8, text(1, "") .. field(2, OPSET)) .. table.concat(about)
  pieces.write(path, parts)
  return #g.nodes
end
