-- Our side of the comparisons: answers one line for each line of standard input, as peer.py does.
-- Not here: what is compared and printed (step.lua, memory.lua), PyTorch's side (peer.py).
--   make CASE PRECISION SETTING [FRAMES] -> "ready", or "error ..."     go -> seconds of one round
--   work -> GFLOP of one round     memory -> largest resident bytes     tensors -> largest bytes in tensors     quit
local mien = require "mien"
local C = require "mien.base.ffi"

local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
package.path = here .. "?.lua;" .. package.path
local steps = require "cases"

--- A case at one size, as a function (precision, setting, pictures of both sequences or nil) -> one round.
local function sized(make, width, frames, size)
  return function(precision, setting, pictures)
    local s = { batch = 2, steps = pictures and pictures / 2 or frames, size = size, width = width, hidden = 256,
      inputs = 2048 }
    C.mien_tape_keep_all(setting == "keep")
    return make(s, { device = "cpu", precision = precision, recompute = setting == "blocks" and "blocks" or nil })
  end
end

--- Ops whose arithmetic is nothing: what calling one costs.
local function ops(precision)
  local function tensor(...)
    local t = mien.randn { ... }
    return precision == "f32" and t or t:to(precision)
  end
  local a, b, rows, picture = tensor(16), tensor(16), tensor(1, 16), tensor(1, 16, 2, 2)
  local weight, kernel = mien.randn { 16, 16 }, mien.randn { 16, 16, 1, 1 }
  if precision ~= "f32" then weight = weight:to(precision) end
  local op = mien.op
  local function four()
    return a:relu(), a + b, op.linear(rows, weight, nil), op.conv2d(picture, kernel, nil)
  end
  return function()
    for _ = 1, 2000 do
      mien.scope(function() mien.no_grad(four) end)
    end
  end
end

--- What the machine can do: a direct convolution (5x5 in floats: of 3x3 Winograd may serve any) of many channels, its
-- input in the layout of the net's layers. FLOPs are counted as for a direct convolution everywhere, so a net whose
-- layers take Winograd can pass 100 %.
local function peak(precision)
  local op = mien.op
  if precision == "int8" then
    local x = op.quantise(mien.rand { 16, 512, 14, 14 }, { scale = 1 / 255 })
    local w, bias = mien.ones({ 512, 512, 3, 3 }, { dtype = "i8" }), mien.zeros { 512 }
    local scale = mien.full({ 512 }, 1e-4)
    return function()
      mien.scope(function() mien.no_grad(op.conv2d_int8, x, w, bias, scale, nil) end)
    end
  end
  local x, w = mien.randn { 8, 128, 38, 38 }, mien.randn { 128, 128, 5, 5 }
  if precision ~= "f32" then x = x:to(precision) end
  local input = op.conv2d(x, mien.randn { 128, 128, 1, 1 }, nil)
  return function()
    mien.scope(function() mien.no_grad(op.conv2d, input, w, nil) end)
  end
end

--- Calls that are too short to be timed one by one.
local function repeated(make, s)
  return function()
    local call = make(s)
    return function()
      for _ = 1, 50 do call() end
    end
  end
end

local cases = {
  attention = repeated(steps.attention, { heads = 8, steps = 150, size = 64 }),
  layernorm = repeated(steps.layer_norm, { rows = 1200, size = 512 }),
  train = sized(steps.train, 64, 8, 150), full = sized(steps.train, 64, 150, 150),
  infer = sized(steps.infer, 64, 8, 150), demo = sized(steps.train, 16, 30, 48),
  lstm = sized(steps.lstm, 64, 150, 150), ops = ops, peak = peak,
}

--- KIND:NET:SIZE:FRAMES of shapes.lua: one sequence, NET the width of a ResNet-50 or vgg16.
local function of_shape(case)
  local kind, net, size, frames = case:match "^(%a+):(%w+):(%d+):(%d+)$"
  return function(precision)
    return steps[kind]({ batch = 1, steps = tonumber(frames), size = tonumber(size), width = tonumber(net),
      vgg = net == "vgg16", hidden = 256 }, { device = "cpu", precision = precision })
  end
end

-- ---- answers ---------------------------------------------------------------------------------------------

local round

local answer = {}

function answer.make(case, precision, setting, frames)
  round = nil
  collectgarbage()
  round = (cases[case] or of_shape(case))(precision, setting, tonumber(frames))
  for _ = 1, case == "full" and 1 or 3 do round() end
  return "ready"
end

function answer.go()
  local start = C.mien_time_monotonic()
  round()
  return ("%.6f"):format(C.mien_time_monotonic() - start)
end

function answer.work()
  local sum = 0
  for _, row in ipairs(mien.profile(round)) do
    if row.error then error(row.op .. " takes the library's naive loops: " .. row.implementation) end
    sum = sum + row.gflop
  end
  return ("%.6f"):format(sum)
end

function answer.memory()
  local status = assert(io.open "/proc/self/status"):read "*a"
  return ("%d"):format(1024 * assert(status:match "VmHWM:%s*(%d+)"))
end

function answer.tensors()
  return ("%d"):format(mien.memory().peak)
end

io.stdout:setvbuf "line"
for line in io.lines() do
  if line == "quit" then break end
  local words = {}
  for word in line:gmatch "%S+" do words[#words + 1] = word end
  local ok, text = pcall(answer[words[1]], unpack(words, 2))
  print(ok and text or "error " .. tostring(text):gsub("%s+", " "))
end
