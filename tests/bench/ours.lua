-- Our side of the comparisons: answers one line for each line of standard input, as peer.py does.
-- Not here: what is compared and printed (step.lua, memory.lua), PyTorch's side (peer.py).
--   make CASE PRECISION SETTING [FRAMES] -> "ready", or "error ..."     go -> seconds of one round
--   work -> GFLOP of one round     memory -> largest resident bytes     tensors -> largest bytes in tensors     quit
local mien = require "mien"
local C = require "mien.ffi"

local function network(width, precision, setting)
  C.mien_tape_keep_all(setting == "keep")
  local features = mien.models.resnet50 { width = width, recompute = setting == "blocks" and setting or nil }
  return mien.models.recurrent {
    features = features, hidden = 256, layers = 2, outputs = { "arousal", "valence" },
  }:precision(precision)
end

local function training(width, steps, size)
  return function(precision, setting, pictures)
    if pictures then steps = pictures / 2 end
    local model = network(width, precision, setting)
    local optimiser = mien.optim.adam(model:parameters(), { lr = 4e-5 })
    local frames, target = mien.randn { 2, steps, 3, size, size }, mien.randn { 2, steps, 2 }
    return function()
      mien.scope(function()
        optimiser:zero_grad()
        mien.loss.ccc((model(model:place(frames, true))), target):backward()
        optimiser:step()
      end)
    end
  end
end

local function inference(width, steps, size)
  return function(precision)
    local model = network(width, precision):train(false)
    model.features = model.features:fused()
    local frames = mien.randn { 2, steps, 3, size, size }
    return function()
      mien.scope(function() mien.no_grad(model, model:place(frames, true)) end)
    end
  end
end

local function lstm(precision)
  local layer = mien.nn.lstm { 2048, 256, layers = 2 }:precision(precision)
  local x = mien.randn({ 2, 150, 2048 }):requires_grad_()
  return function()
    mien.scope(function() layer(layer:place(x, true)):sum():backward() end)
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

--- What the machine can do: a direct 3x3 convolution of many channels, its input in the layout of the net's layers.
-- FLOPs are counted as for a direct convolution everywhere, so a net whose layers take Winograd can pass 100 %.
local function peak(precision)
  local x, w = mien.randn { 16, 512, 14, 14 }, mien.randn { 512, 512, 3, 3 }
  if precision ~= "f32" then x = x:to(precision) end
  local input = mien.op.conv2d(x, mien.randn { 512, 512, 1, 1 }, nil)
  return function()
    mien.scope(function() mien.no_grad(mien.op.conv2d, input, w, nil) end)
  end
end

local cases = {
  train = training(64, 8, 150), full = training(64, 150, 150), infer = inference(64, 8, 150),
  demo = training(16, 30, 48), lstm = lstm, ops = ops,
  peak = peak,
}

-- ---- answers ---------------------------------------------------------------------------------------------

local round

local answer = {}

function answer.make(case, precision, setting, frames)
  round = nil
  collectgarbage()
  round = cases[case](precision, setting, tonumber(frames))
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
