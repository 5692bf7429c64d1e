-- What is timed of mien: training steps, inference and an LSTM as users write them, on any device.
-- Not here: who asks for them and how they are timed (ours.lua, gpu_ours.lua).
-- s: { batch =, steps = (frames of a sequence), size = (pixels), width = (of ResNet-50) or vgg = true, hidden =,
-- inputs = (LSTM) };
-- how: { device =, precision =, recompute =, lr =, graph = true: replayed as a whole }
local mien = require "mien"
local flow = require "mien.nn.flow"

local cases = {}

--- The paper's network.
function cases.network(s, how)
  return mien.models.recurrent {
    features = s.vgg and mien.models.vgg16 { size = s.size, dropout = 0 }
      or mien.models.resnet50 { width = s.width, recompute = how.recompute },
    hidden = s.hidden, layers = 2, outputs = { "arousal", "valence" },
  }:to(how.device):precision_(how.precision == "int8" and "f32" or how.precision)
end

--- Can whole steps be replayed as graphs there?
function cases.has_graphs(where)
  return where == "cuda" and package.searchpath("mien.capture", package.path) ~= nil
end

local WARM = 5 -- calls after which a step must have been recorded

--- The step, or with how.graph the step recorded once and replayed from then on; an error when it cannot be.
local function whole(step, optimisers, how)
  if not how.graph then return step end
  local why, calls = "no reason was given", 0
  local captured = require "mien.device.capture" { step, optimisers = optimisers, say = function(text) why = text end }
  return function(...)
    calls = calls + 1
    if calls == WARM and captured:replays() == 0 then error("the step was not recorded: " .. why, 0) end
    return captured(...)
  end
end

--- A function (frames, target) -> loss (a tensor, good until the next call) that trains the model by one step; fp16
-- scales its loss.
function cases.learning(model, how)
  local optimiser = mien.optim.adam(model:parameters(), { lr = how.lr or 4e-5 })
  local scaler = model.precision == "fp16" and mien.optim.scaler {}
  return whole(function(frames, target)
    return mien.scope(function()
      optimiser:zero_grad()
      local output = model(model:place(frames, true))
      local loss = mien.loss.ccc(flow.exact(output), target)
      if scaler then
        scaler:backward(loss)
        optimiser:step(scaler:judge(optimiser)) -- the scale stays on the device: nothing waits for it
      else
        loss:backward()
        optimiser:step()
      end
      return loss
    end)
  end, { optimiser }, how)
end

local function frames_of(s, how)
  return mien.randn { s.batch, s.steps, 3, s.size, s.size }:to(how.device)
end

--- A training step on s.batch sequences of s.steps random frames.
function cases.train(s, how)
  local learn = cases.learning(cases.network(s, how), how)
  local frames, target = frames_of(s, how), mien.randn({ s.batch, s.steps, 2 }):to(how.device)
  return function()
    local loss = learn(frames, target)
    if not how.graph then loss:free() end
  end
end

--- The same net in its form for inference, in precision "int8" with convolutions in whole numbers.
function cases.infer(s, how)
  local model, frames = cases.network(s, how):train(false), frames_of(s, how)
  if how.precision == "int8" then
    model = mien.nn.quantise(model, { frames = frames })
  else
    model.features = model.features:fused()
  end
  return whole(function()
    mien.scope(function() mien.no_grad(model, model:place(frames, true)) end)
  end, nil, how)
end

--- Two layers of LSTM alone, forward and backward, on what a CNN in that precision gives.
function cases.lstm(s, how)
  local layer = mien.nn.lstm({ s.inputs, s.hidden, layers = 2 }):to(how.device):precision_(how.precision)
  local x = layer:place(mien.randn { s.batch, s.steps, s.inputs }, true):requires_grad_()
  local trained = layer:parameters()
  trained[#trained + 1] = { "x", x }
  local optimiser = mien.optim.adam(trained) -- for its zero_grad alone
  return whole(function()
    optimiser:zero_grad()
    mien.scope(function() layer(x):sum():backward() end)
  end, nil, how)
end

--- A round that walks back from a function's sum; its leaves get new gradients each time.
local function both_ways(forward, leaves)
  local trained = {}
  for i, leaf in ipairs(leaves) do trained[i] = { "leaf" .. i, leaf:requires_grad_() } end
  local optimiser = mien.optim.adam(trained) -- for its zero_grad alone
  return function()
    optimiser:zero_grad()
    mien.scope(function() forward():sum():backward() end)
  end
end

--- Attention of s.heads heads over s.steps frames of s.size features, forward and backward.
function cases.attention(s)
  local query, key, value = mien.randn { s.heads, s.steps, s.size }, mien.randn { s.heads, s.steps, s.size },
    mien.randn { s.heads, s.steps, s.size }
  return both_ways(function()
    return (query:matmul(key:permute(1, 3, 2)) * s.size ^ -0.5):softmax():matmul(value)
  end, { query, key, value })
end

--- Layer norm of s.rows rows as a user writes it: means, differences, products, all broadcast.
function cases.layer_norm(s)
  local x, scale, shift = mien.randn { s.rows, s.size }, mien.randn { s.size }, mien.randn { s.size }
  return both_ways(function()
    local centred = x - x:mean(2, { keep = true })
    return centred * ((centred * centred):mean(2, { keep = true }) + 1e-5):pow(-0.5) * scale + shift
  end, { x, scale, shift })
end

return cases
