-- %% [markdown]
-- # First steps
-- Cells begin with `-- %%`. Run all with `./mien notebooks-lua/first_steps.lua`, or paste cells at the prompt.

-- %% Tensors and layers
local mien = require "mien"
local nn = mien.nn

local x = mien.randn { 2, 150, 64 }                   -- two sequences of 150 frames, 64 features each
local model = nn.sequential { nn.linear { 64, 32 }, nn.relu(), nn.linear { 32, 2 } }
mien.init.xavier():apply(model, mien.rng.stream(1, "init"))
print(model)
print(model(x))                                       -- f32[2,150,2]

-- %% [markdown]
-- ## Concordance
-- The CCC (Lin 1989) asks for more than correlation: offset and scale count too.

-- %% CCC against Pearson's r
local gold, scaled = {}, {}
for t = 1, 150 do
  gold[t] = math.sin(t / 10)
  scaled[t] = 0.5 * gold[t] + 0.2
end
print(("r = %.3f, CCC = %.3f"):format(mien.metric.pearson(scaled, gold), mien.metric.ccc(scaled, gold)))

-- %% [markdown]
-- ## Learning
-- The targets are a fixed linear map of the input, so that a network this small can find them.

-- %% A training loop by hand
local target = mien.no_grad(function()
  local teacher = nn.linear { 64, 2 }
  mien.init.xavier():apply(teacher, mien.rng.stream(2, "init"))
  return teacher(x)
end)
local optimiser = mien.optim.adam(model:parameters(), { lr = 1e-2 })
local losses = {}
for step = 1, 60 do
  losses[step] = mien.scope(function()                -- frees what a step makes
    optimiser:zero_grad()
    local loss = mien.loss.ccc(model(x), target)
    loss:backward()
    optimiser:step()
    return loss:item()
  end)
end
print(("loss %.3f -> %.3f"):format(losses[1], losses[#losses]))

-- %% A plot in the terminal; with file = "loss.svg" it is a figure
mien.plot.lines { { y = losses, label = "1 - CCC" }, xlabel = "step" }
