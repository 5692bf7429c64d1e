-- MTCNN (Zhang, Zhang, Li, Qiao 2016): three small networks, one after the other, propose, refine and settle faces.
-- Parameters have the names and shapes of facenet-pytorch, below pnet, rnet and onet, whose thresholds and rounding are kept.
-- Not here: other detectors (core/data/face*), following faces (data/link.lua).
local check = require "mien.base.check"
local nn = require "mien.nn"
local op = require "mien.tensor.op"
local scope = require "mien.tensor.scope"
local no_grad = require("mien.tensor.grad").no_grad
local tensor = require "mien.tensor"

local mtcnn = {}

-- ---- networks ----------------------------------------------------------------------------------------

local prelu = nn.define "prelu"

function prelu:forward(x) -- below 0, x times the weight of its channel
  local shape = x.ndim == 4 and { 1, -1, 1, 1 } or { 1, -1 }
  local positive = op.relu(x)
  return positive + (x - positive) * self.weight:reshape(shape)
end

local function new_prelu(channels)
  local self = prelu.create()
  self:parameter("weight", { channels }, "one")
  return self
end

--- Maximum over windows of `kernel`, 2 apart; the last one may reach over the border.
local function pooled(x, kernel)
  local function over(size) return (math.ceil((size - kernel) / 2)) * 2 + kernel - size end
  return op.max_pool2d(x, { kernel_h = kernel, kernel_w = kernel, stride_h = 2, stride_w = 2,
    pad_bottom = math.max(0, over(x:size(3))), pad_right = math.max(0, over(x:size(4))) })
end

local net = nn.define "mtcnn_net"

--- Probability of a face and the box's corrections: P-Net [N,2,h,w] and [N,4,h,w], the others [N,2] and [N,4].
function net:forward(x) -- [N,3,H,W]
  for i, kernel in ipairs(self.pools) do
    x = self["prelu" .. i](self["conv" .. i](x))
    if kernel > 0 then x = pooled(x, kernel) end
  end
  if self.dense then
    local flat = x:permute(1, 4, 3, 2):reshape { x:size(1), -1 } -- as its authors' columns come first
    x = self["prelu" .. #self.pools + 1](self[self.dense](flat))
    return op.softmax(self[self.face](x)), self[self.box](x)
  end
  return self[self.face](x), self[self.box](x)
end

--- channels = { into the first, out of each }; kernels and pools (0: none) of each convolution.
local function stack(channels, kernels, pools)
  local self = net.create { pools = pools }
  for i, kernel in ipairs(kernels) do
    self:add("conv" .. i, nn.conv2d { channels[i], channels[i + 1], kernel })
    self:add("prelu" .. i, new_prelu(channels[i + 1]))
  end
  return self
end

local function with_dense(self, number, inputs, units, landmarks)
  self.dense, self.face, self.box = "dense" .. number, ("dense%d_1"):format(number + 1), ("dense%d_2"):format(number + 1)
  self:add(self.dense, nn.linear { inputs, units })
  self:add("prelu" .. number, new_prelu(units))
  self:add(self.face, nn.linear { units, 2 })
  self:add(self.box, nn.linear { units, 4 })
  if landmarks then self:add(("dense%d_3"):format(number + 1), nn.linear { units, 10 }) end
  return self
end

local all = nn.define "mtcnn"

--- The three networks, without weights worth anything: children pnet, rnet and onet.
function mtcnn.new()
  local self = all.create()
  local pnet = stack({ 3, 10, 16, 32 }, { 3, 3, 3 }, { 2, 0, 0 })
  pnet.face, pnet.box = "conv4_1", "conv4_2"
  pnet:add("conv4_1", nn.conv2d { 32, 2, 1 })
  pnet:add("conv4_2", nn.conv2d { 32, 4, 1 })
  self:add("pnet", pnet)
  self:add("rnet", with_dense(stack({ 3, 28, 48, 64 }, { 3, 3, 2 }, { 3, 3, 0 }), 4, 576, 128))
  self:add("onet", with_dense(stack({ 3, 32, 64, 64, 128 }, { 3, 3, 3, 2 }, { 3, 3, 2, 0 }), 5, 1152, 256, true))
  return self:train(false)
end

-- ---- pictures ----------------------------------------------------------------------------------------

--- Rows that average `from` numbers to `to`: each over all that it touches.
local function averages(from, to)
  local values = {}
  for i = 0, to - 1 do
    local first, last = math.floor(i * from / to), math.ceil((i + 1) * from / to)
    local row = {}
    for k = 0, from - 1 do row[k + 1] = k >= first and k < last and 1 / (last - first) or 0 end
    values[i + 1] = row
  end
  return tensor.tensor(values)
end

--- f32 [H,W,3] from 0 to 255 as [3,height,width] around 0, each pixel the mean of what it covers.
local function resized(picture, height, width)
  local h, w = picture:size(1), picture:size(2)
  local rows = op.matmul(averages(h, height), picture:reshape { h, w * 3 })
  local turned = rows:reshape({ height, w, 3 }):permute(2, 1, 3):reshape { w, height * 3 }
  local both = op.matmul(averages(w, width), turned):reshape { width, height, 3 }
  return (both:permute(3, 2, 1) - 127.5) * 0.0078125
end

-- ---- boxes -------------------------------------------------------------------------------------------
-- A box: { left, top, right, bottom, score, correction = { 4 numbers, in sides of the box } }.

--- Keeps the best of those that overlap; rule: of two boxes, what is compared with `most`.
local function suppress(boxes, most, rule)
  for i, box in ipairs(boxes) do box.order = i end
  table.sort(boxes, function(a, b)
    if a[5] ~= b[5] then return a[5] > b[5] end
    return a.order < b.order
  end)
  local kept = {}
  for _, box in ipairs(boxes) do
    local good = true
    for _, other in ipairs(kept) do
      if rule(other, box) > most then
        good = false
        break
      end
    end
    if good then kept[#kept + 1] = box end
  end
  return kept
end

local function union(a, b)
  local w, h = math.min(a[3], b[3]) - math.max(a[1], b[1]), math.min(a[4], b[4]) - math.max(a[2], b[2])
  if w <= 0 or h <= 0 then return 0 end
  return w * h / ((a[3] - a[1]) * (a[4] - a[2]) + (b[3] - b[1]) * (b[4] - b[2]) - w * h)
end

--- What both share, in parts of the smaller one; sides count their last pixel.
local function smaller(a, b)
  local w, h = math.min(a[3], b[3]) - math.max(a[1], b[1]) + 1, math.min(a[4], b[4]) - math.max(a[2], b[2]) + 1
  if w <= 0 or h <= 0 then return 0 end
  local function area(box) return (box[3] - box[1] + 1) * (box[4] - box[2] + 1) end
  return w * h / math.min(area(a), area(b))
end

--- Moved by its correction, in sides that are `one` pixel longer.
local function corrected(box, one)
  local w, h, c = box[3] - box[1] + one, box[4] - box[2] + one, box.correction
  return { box[1] + c[1] * w, box[2] + c[2] * h, box[3] + c[3] * w, box[4] + c[4] * h, box[5] }
end

--- The square around its centre.
local function squared(box)
  local w, h = box[3] - box[1], box[4] - box[2]
  local side = math.max(w, h)
  local left, top = box[1] + w / 2 - side / 2, box[2] + h / 2 - side / 2
  return { left, top, left + side, top + side, box[5] }
end

local function each(list, change, ...)
  local out = {}
  for i, value in ipairs(list) do out[i] = change(value, ...) end
  return out
end

-- ---- stages ------------------------------------------------------------------------------------------

local CELL, STRIDE = 12, 2 -- pixels that P-Net sees, and from one look to the next

--- What P-Net proposes at all sizes.
local function propose(nets, picture, o)
  local h, w = picture:size(1), picture:size(2)
  local proposals, scale = {}, CELL / o.smallest
  while math.min(h, w) * scale >= CELL do
    local found = scope.run(function()
      local x = resized(picture, math.floor(h * scale + 1), math.floor(w * scale + 1))
      local face, box = nets.pnet(x:reshape { 1, 3, x:size(2), x:size(3) })
      local rows, columns = face:size(3), face:size(4)
      local cells = rows * columns
      local p = op.softmax(face:reshape({ 2, cells }):permute(2, 1):reshape { cells, 2 }):totable()
      local moves = box:reshape({ 4, cells }):totable()
      local list = {}
      for i = 1, cells do
        if p[i][2] >= o.thresholds[1] then
          local x0, y0 = STRIDE * ((i - 1) % columns), STRIDE * math.floor((i - 1) / columns)
          list[#list + 1] = { math.floor((x0 + 1) / scale), math.floor((y0 + 1) / scale),
            math.floor((x0 + CELL) / scale), math.floor((y0 + CELL) / scale), p[i][2],
            correction = { moves[1][i], moves[2][i], moves[3][i], moves[4][i] } }
        end
      end
      return list
    end)
    for _, box in ipairs(suppress(found, 0.5, union)) do proposals[#proposals + 1] = box end
    scale = scale * o.factor
  end
  return each(each(suppress(proposals, 0.7, union), corrected, 0), squared)
end

local TOGETHER = 128 -- boxes in one call of a network

--- The boxes that a network takes for faces, with its scores and corrections.
local function judged(network, picture, boxes, side, threshold)
  local h, w = picture:size(1), picture:size(2)
  local inside = {}
  local function whole(v) return v < 0 and math.ceil(v) or math.floor(v) end
  for _, box in ipairs(boxes) do
    local left, top = math.max(1, whole(box[1])), math.max(1, whole(box[2]))
    local right, bottom = math.min(w, whole(box[3])), math.min(h, whole(box[4]))
    if right > left - 1 and bottom > top - 1 then inside[#inside + 1] = { box, left, top, right, bottom } end
  end
  local kept = {}
  for first = 1, #inside, TOGETHER do
    scope.run(function()
      local crops = {}
      for i = first, math.min(first + TOGETHER - 1, #inside) do
        local _, left, top, right, bottom = unpack(inside[i])
        local part = picture:narrow(1, top, bottom - top + 1):narrow(2, left, right - left + 1)
        crops[#crops + 1] = resized(part, side, side):reshape { 1, 3, side, side }
      end
      local face, moves = network(tensor.cat(crops, 1))
      local p, corrections = face:totable(), moves:totable()
      for i = 1, #crops do
        if p[i][2] > threshold then
          local box = inside[first + i - 1][1]
          kept[#kept + 1] = { box[1], box[2], box[3], box[4], p[i][2], correction = corrections[i] }
        end
      end
    end)
  end
  return kept
end

--- Faces of a picture u8 [H,W,3], largest first: { x, y, w, h, score = probability }. options: smallest = 20 (side in
-- pixels), thresholds = { 0.6, 0.7, 0.7 } (of the three networks), factor = 0.709 (from size to size).
function mtcnn.detect(nets, image, options)
  local o = check.keys(options or {}, { smallest = "number", thresholds = "table", factor = "number" }, "mtcnn.detect")
  o = { smallest = o.smallest or 20, thresholds = o.thresholds or { 0.6, 0.7, 0.7 }, factor = o.factor or 0.709 }
  return scope.run(function()
    return no_grad(function()
      local picture = image:to "f32"
      local boxes = propose(nets, picture, o)
      boxes = suppress(judged(nets.rnet, picture, boxes, 24, o.thresholds[2]), 0.7, union)
      boxes = judged(nets.onet, picture, each(each(boxes, corrected, 1), squared), 48, o.thresholds[3])
      boxes = suppress(each(boxes, corrected, 1), 0.7, smaller)
      local faces = each(boxes, function(b) return { b[1], b[2], b[3] - b[1], b[4] - b[2], score = b[5] } end)
      table.sort(faces, function(a, b)
        local sizes = a[3] * a[4] - b[3] * b[4]
        if sizes ~= 0 then return sizes > 0 end
        return a[1] < b[1]
      end)
      return faces
    end)
  end)
end

--- A detector for data.faces: { weights = a weights file with all three networks, smallest = side in pixels (a twelfth of
-- the shorter side) } -> function(image).
function mtcnn.detector(options)
  if not options.weights then
    check.raise("argument", "the detector mtcnn needs weights: a file with the tensors of pnet, rnet and onet")
  end
  local nets = mtcnn.new()
  nets:load(require("mien.weights").load(options.weights).tensors)
  return function(image)
    local smallest = options.smallest or math.floor(math.min(image:size(1), image:size(2)) / 12)
    return mtcnn.detect(nets, image, { smallest = math.max(smallest, 12) })
  end
end

return mtcnn
