-- Ranges of activations, seen on sample frames: what one step of an 8-bit number shall stand for.
-- Not here: the network in whole numbers (nn/quantise.lua).
local ffi = require "ffi"
local check = require "mien.base.check"
local scope = require "mien.tensor.scope"
local op = require "mien.tensor.op"
local grad = require "mien.tensor.grad"
local tensor = require "mien.tensor"

local calibrate = {}

-- ---- histograms --------------------------------------------------------------------------------------

local BINS = 2048

--- How often absolute values fall into BINS equal bins below `limit`, a power of two that grows as it must.
local histogram = {}
histogram.__index = histogram

local function new_histogram()
  return setmetatable({ bins = ffi.new("double[?]", BINS), limit = 0, largest = 0, signed = false }, histogram)
end

--- Twice the range: neighbours become one bin.
function histogram:grow()
  local bins = self.bins
  for i = 0, BINS / 2 - 1 do bins[i] = bins[2 * i] + bins[2 * i + 1] end
  for i = BINS / 2, BINS - 1 do bins[i] = 0 end
  self.limit = 2 * self.limit
end

function histogram:add(t, what)
  local flat = (t.device == "cpu" and t or t:to "cpu"):reshape { -1 } -- side by side
  local p, n, low, high = flat:data(), flat:count(), 0, 0
  for i = 0, n - 1 do
    local x = p[i]
    if x - x ~= 0 then check.raise("numeric", "nn.quantise: %s meets numbers that are not finite", what) end
    if x < low then low = x end
    if x > high then high = x end
  end
  local largest = math.max(high, -low)
  if low < 0 then self.signed = true end
  if largest > self.largest then self.largest = largest end
  if largest == 0 then return end
  if self.limit == 0 then self.limit = 2 ^ math.ceil(math.log(largest) / math.log(2) + 1e-6) end
  while self.limit <= largest do self:grow() end
  local bins, per = self.bins, BINS / self.limit
  for i = 0, n - 1 do
    local x = p[i]
    if x < 0 then x = -x end
    if x > 0 then -- zero is exact in any case
      local k = math.floor(x * per)
      bins[k] = bins[k] + 1
    end
  end
end

--- Mean square error, up to a factor, of numbers in [0, top] in steps of top / levels, larger ones cut off.
local function square_error(h, top, levels)
  local width, step, sum = h.limit / BINS, top / levels, 0
  for i = 0, BINS - 1 do
    local n = h.bins[i]
    if n > 0 then
      local x = (i + 0.5) * width
      if x > top then
        sum = sum + n * (x - top) ^ 2
      else
        sum = sum + n * math.min(step * step / 12, x * x) -- rounding; at most all of a small number is lost
      end
    end
  end
  return sum
end

-- How far the numbers reach that are kept apart; what lies beyond is cut off there.
local rules = {}

function rules.max(h) return h.largest end

--- The range of the least mean square error: cutting off a few makes the steps of all others finer.
function rules.mse(h, levels)
  local best, least = h.largest, math.huge
  for k = 20, 100 do
    local top = h.largest * k / 100
    local loss = square_error(h, top, levels)
    if loss < least then best, least = top, loss end
  end
  return best
end

-- ---- what is to be seen ------------------------------------------------------------------------------

local observer = {}
observer.__index = observer

--- Collects the ranges of layers' inputs and outputs: first :range names what is wanted, then :watch looks at
-- it while `run` calls the model, then :range gives the step and whether numbers below zero occur.
function calibrate.observer(rule)
  check.one_of(rule or "mse", { "mse", "max" }, "nn.quantise: range")
  return setmetatable({ rule = rules[rule or "mse"], seen = {}, order = {}, ranges = {}, rounded = {} }, observer)
end

local function step_of(self, layer, side, signed)
  local sides = self.seen[layer]
  if not sides then
    sides = {}
    self.seen[layer] = sides
    self.order[#self.order + 1] = layer
  end
  local h = sides[side]
  if not h then
    h = new_histogram()
    sides[side] = h
  end
  if signed == nil then signed = h.signed end
  if not self.watched or h.largest == 0 then return 1, signed end -- 0: silent on all frames
  -- pictures of pixels/255 fit exactly: one step is one of their own
  if side == "input" and not signed and h.largest <= 1 then return 1 / 255, false end
  local levels = signed and 127 or 255
  return self.rule(h, levels) / levels, signed
end

--- The step of a layer's "input" or "output" and whether it is signed; signed: nil where the frames decide.
-- Before anything was watched the step is 1; from then on `ranges` lists what was given: step, 1 for signed, step ...
function observer:range(layer, side, signed)
  local step
  step, signed = step_of(self, layer, side, signed)
  if self.watched then
    table.insert(self.ranges, step)
    table.insert(self.ranges, signed and 1 or 0)
  end
  return step, signed
end

--- Registers the weights [K,C,R,S] whose mean response to a layer's inputs is wanted.
function observer:respond(layer, weight)
  self.seen[layer].weight = weight
end

--- That response, for each filter over the frames; before anything was watched nil.
function observer:response(layer)
  return self.watched and self.seen[layer].sums or nil
end

local placement = { "stride_h", "stride_w", "pad_top", "pad_left", "pad_bottom", "pad_right" }

local function add_response(sides, layer, x)
  local attributes = {}
  for _, name in ipairs(placement) do attributes[name] = layer.attributes[name] end
  local means = op.global_avg_pool(op.conv2d(x, sides.weight, nil, attributes)):sum(1):totable()
  sides.pictures = (sides.pictures or 0) + x:size(1)
  sides.sums = sides.sums or {}
  for k = 1, #means do sides.sums[k] = (sides.sums[k] or 0) + means[k] end
end

--- Calls `run` while the layers that :range named are looked at.
function observer:watch(run)
  for _, layer in ipairs(self.order) do
    local sides = self.seen[layer]
    layer.forward = function(own, x, residual) -- hides the class's
      local y = getmetatable(own).class.forward(own, x, residual)
      add_response(sides, own, x)
      if sides.input then sides.input:add(x, "the input") end
      if sides.output then sides.output:add(y, "a layer") end
      return y
    end
  end
  local ok, problem = pcall(scope.run, grad.no_grad, run)
  for _, layer in ipairs(self.order) do layer.forward = nil end
  if not ok then error(problem, 0) end
  for _, layer in ipairs(self.order) do
    if not self.seen[layer].pictures then
      check.raise("argument", "nn.quantise: the frames never reached a convolution of the model; its forward must "
        .. "call all of its layers")
    end
  end
  for _, layer in ipairs(self.order) do
    local sides = self.seen[layer]
    for k = 1, #sides.sums do sides.sums[k] = sides.sums[k] / sides.pictures end
  end
  self.watched = true
end

-- ---- what was seen before -----------------------------------------------------------------------------

local recorded = {}
recorded.__index = recorded

--- Gives the ranges that an observer gave, in the same order; weights and biases are empty: a file has them.
function calibrate.recorded(ranges)
  local self = setmetatable({ ranges = ranges, at = 0, watched = true }, recorded)
  self.rounded = setmetatable({}, { __index = function(_, layer)
    local shape, steps = layer.weight.shape, {}
    for k = 1, shape[1] do steps[k] = 1 end
    return { weight = tensor.empty(shape, { dtype = "i8" }), steps = steps }
  end })
  return self
end

function recorded:range()
  self.at = self.at + 2
  return self.ranges[self.at - 1] or 1, self.ranges[self.at] == 1
end

function recorded.response(_, layer)
  return layer.bias:totable() -- any numbers
end

-- ---- frames ------------------------------------------------------------------------------------------

local AT_ONCE = 16

--- Calls visit(frames) for pieces of a tensor of frames, along its first dimension.
local function of_tensor(frames, visit)
  local step = frames.ndim == 5 and 1 or AT_ONCE
  for first = 1, frames:size(1), step do
    scope.run(function() visit(frames:narrow(1, first, math.min(step, frames:size(1) - first + 1))) end)
  end
end

--- The same for `count` frames that lie evenly in a corpus' partition, each a sequence of one: [B,1,3,H,W].
local function of_corpus(options, count, visit)
  local starts = options.corpus:windows { partition = options.partition or "train", sequence = 1 }
  if #starts == 0 then
    check.raise("argument", "nn.quantise: %s has no frames in partition %s", options.corpus.name,
      options.partition or "train")
  end
  local chosen = {}
  for i = 1, math.min(count, #starts) do
    chosen[i] = starts[math.floor((i - 0.5) * #starts / math.min(count, #starts)) + 1]
  end
  local loader = require("mien.data.loader").new { corpus = options.corpus, starts = chosen, sequence = 1,
    batch = math.min(AT_ONCE, #chosen), size = options.size, resize = options.resize or options.size,
    scale = options.scale, keep_last = true }
  local ok, problem = pcall(function()
    for frames in loader:batches() do scope.run(function() visit(frames) end) end
  end)
  loader:close()
  if not ok then error(problem, 0) end
end

--- Calls visit(frames) piece by piece for what nn.quantise was given.
function calibrate.frames(options, visit)
  local frames = options.frames
  if check.is_tensor(frames) then
    if options.corpus then
      check.raise("argument", "nn.quantise: frames is a tensor, so there is no use for a corpus")
    elseif (frames.ndim ~= 4 and frames.ndim ~= 5) or frames:count() == 0 then
      check.raise("shape", "nn.quantise: frames must be [N,3,H,W] or [B,T,3,H,W], got [%s]",
        table.concat(frames.shape, ","))
    end
    return of_tensor(frames, visit)
  end
  if not options.corpus then
    check.raise("argument", "nn.quantise needs frames to calibrate with: { corpus = mien.data.open(path) } or "
      .. "{ frames = tensor }")
  end
  of_corpus(options, frames and check.type(frames, "count", "nn.quantise: frames") or 256, visit)
end

return calibrate
