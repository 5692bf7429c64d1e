-- Pooling over windows and over whole maps.
-- Not here: the ops themselves.
local check = require "mien.base.check"
local module = require "mien.nn.module"
local window = require "mien.nn.window"
local op = require "mien.tensor.op"

local pool = {}

--- TensorFlow's "SAME": H' = ceil(H / stride); an odd number of padded lines leaves the larger part below.
local function same(attributes, height, width)
  local function sides(size, kernel, stride)
    local total = math.max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return math.floor(total / 2), math.ceil(total / 2)
  end
  attributes.pad_top, attributes.pad_bottom = sides(height, attributes.kernel_h, attributes.stride_h)
  attributes.pad_left, attributes.pad_right = sides(width, attributes.kernel_w, attributes.stride_w)
end

local known = { "number|table!", stride = "number|table", padding = "number|table|string" }

local function windowed(name, run)
  local class = module.define(name)

  function class:forward(x) -- [N,C,H,W] -> [N,C,H',W']
    if self.same then same(self.attributes, x:size(3), x:size(4)) end
    return run(x, self.attributes)
  end

  function class:detail()
    return window.text(self.attributes.kernel_h, self.attributes.kernel_w, self.attributes)
  end

  if name == "max_pool" then
    function class:quantised(_, signal) return self, signal end -- whole numbers keep their order
  end

  return function(config)
    local what = "nn." .. name
    check.keys(config, known, what)
    local kh, kw = window.two(config[1], what .. ": kernel", 1)
    local sh, sw = window.two(config.stride or config[1], what .. ": stride", 1)
    local attributes = { kernel_h = kh, kernel_w = kw, stride_h = sh, stride_w = sw }
    if type(config.padding) == "string" then
      check.one_of(config.padding, { "same" }, what .. ": padding")
    else
      window.pad(attributes, config.padding, what .. ": padding")
    end
    return class.create { attributes = attributes, same = config.padding == "same" }
  end
end

--- Maximum over windows: nn.max_pool{ kernel, stride = kernel, padding = 0 }; [N,C,H,W] -> [N,C,H',W'].
-- padding: a number, { height, width }, { top, left, bottom, right }, or "same" (TensorFlow's rule).
pool.max_pool = windowed("max_pool", op.max_pool2d)

--- Mean over windows, padding not counted; takes what nn.max_pool takes.
pool.avg_pool = windowed("avg_pool", op.avg_pool2d)

local global = module.define "global_avg_pool"

function global:forward(x) -- luacheck: ignore 212/self
  return op.global_avg_pool(x)
end

function global:quantised(plan, signal)
  return require("mien.nn.quantise").average(self, plan, signal)
end

--- Mean over height and width: [N,C,H,W] -> [N,C].
function pool.global_avg_pool()
  return global.create()
end

return pool
