-- Losses, and small networks that learn.
-- Not here: the training loop (train_spec), derivatives (tests/backend).
local expect = require "expect"
local mien = require "mien"
local nn, loss, tensor = mien.nn, mien.loss, mien.tensor

describe("losses", function()
  it("ccc: 1 - mean of the coefficients, over the batch or per sequence", function()
    local gold = tensor { { { 1 }, { 2 }, { 3 } }, { { 4 }, { 6 }, { 8 } } }
    expect.near(0, loss.ccc(gold, gold):item())
    -- Lin 1989: 2 s_xy / (s_x^2 + s_y^2 + (m_x - m_y)^2) = 2 v / (2 v + 1), v the variance of the gold
    local v = 35 / 6 - (1 + 2 + 3 + 4 + 6 + 8) ^ 2 / 36 + 130 / 6 - 35 / 6
    expect.near(1 - 2 * v / (2 * v + 1), loss.ccc(gold + 1, gold):item())
    local per = (2 * (2 / 3) / (2 * (2 / 3) + 1) + 2 * (8 / 3) / (2 * (8 / 3) + 1)) / 2
    expect.near(1 - per, loss.ccc(gold + 1, gold, { scope = "sequence" }):item())
    expect.failure(function() loss.ccc(gold, gold, { scope = "frame" }) end, "batch, sequence")
    expect.failure(function() loss.ccc(gold, mien.zeros { 2, 3, 2 }) end, "[2,3,1]", "[2,3,2]")
  end)

  it("sigmoid cross-entropy: stable, weighted per class", function()
    local logits, truth = tensor { { 0, 100 } }, tensor { { 1, 1 } }
    expect.near(math.log(2) / 2, loss.sigmoid_cross_entropy(logits, truth):item())
    expect.near(3 * math.log(2) / 2, loss.sigmoid_cross_entropy(logits, truth, { weight = tensor { 3, 1 } }):item())
  end)

  it("softmax cross-entropy and mse", function()
    local target = tensor({ 1 }, { dtype = "i64" })
    expect.near(math.log(2), loss.softmax_cross_entropy(tensor { { 0, 0 } }, target):item())
    target = tensor({ 3 }, { dtype = "i64" })
    expect.failure(function() loss.softmax_cross_entropy(tensor { { 0, 0 } }, target) end, "target of row 1 is 3")
    expect.near(2.5, loss.mse(tensor { 1, 2 }, tensor { 0, 4 }):item())
    assert.are.equal(loss.mse, loss.by_name "mse")
    expect.failure(function() loss.by_name "cccp" end, '"ccc"')
  end)
end)

local function train(model, optimiser, criterion, steps)
  local first, last
  for _ = 1, steps do
    last = mien.scope(function()
      optimiser:zero_grad()
      local value = criterion(model)
      value:backward()
      optimiser:step()
      return value:item()
    end)
    first = first or last
  end
  return first, last
end

describe("a small network", function()
  it("learns XOR", function()
    local model = nn.sequential { nn.linear { 2, 16 }, nn.tanh(), nn.linear { 16, 1 } }
    mien.init.xavier():apply(model, mien.rng.stream(1, "init"))
    local x, y = tensor { { 0, 0 }, { 0, 1 }, { 1, 0 }, { 1, 1 } }, tensor { { 0 }, { 1 }, { 1 }, { 0 } }
    local optimiser = mien.optim.adam(model, { lr = 0.02 })
    local first, last = train(model, optimiser, function(m) return loss.sigmoid_cross_entropy(m(x), y) end, 300)
    assert.is_true(last < 0.05 and last < first, ("loss %g to %g"):format(first, last))
  end)

  local function follow(precision)
    local features = mien.models.resnet { width = 4, blocks = { 1, 1, 1, 1 } }
    local model = mien.models.recurrent { features = features, hidden = 8, layers = 1, outputs = { "arousal" } }
    mien.init.xavier():apply(model, mien.rng.stream(2, "init"))
    local level = mien.rand { 2, 6, 1, rng = mien.rng.stream(3, "data") }
    local noise = mien.randn { 2, 6, 3, 32, 32, rng = mien.rng.stream(4, "data") }
    local frames = noise * 0.1 + level:reshape { 2, 6, 1, 1, 1 }
    local optimiser = mien.optim.adam(model, { lr = 2e-3 })
    model:precision_(precision)
    return train(model, optimiser, function(m) return loss.ccc(m(m:place(frames, true)), level) end, 40)
  end

  it("of convolutions and an LSTM follows a signal in pictures", function()
    local first, last = follow "f32"
    assert.is_true(last < 0.3 and last < first, ("loss %g to %g"):format(first, last))
  end)

  it("learns the same in bf16", function()
    local first, last = follow "bf16"
    local as_f32 = follow "f32"
    assert.is_true(math.abs(first - as_f32) < 0.05, ("loss starts at %g, in f32 at %g"):format(first, as_f32))
    assert.is_true(last < 0.1, ("loss %g to %g"):format(first, last))
  end)

  it("ends with the same bits when trained twice from one seed", function()
    local function run()
      local model = nn.sequential { nn.conv2d { 1, 4, 3 }, nn.batch_norm { 4, relu = true }, nn.global_avg_pool(),
        nn.dropout { 0.5 }, nn.linear { 4, 1 } }
      model:use_rng(mien.rng.stream(5, "dropout"))
      mien.init.he():apply(model, mien.rng.stream(5, "init"))
      local x = mien.randn { 8, 1, 9, 9, rng = mien.rng.stream(5, "x") }
      local y = mien.randn { 8, 1, rng = mien.rng.stream(5, "y") }
      local optimiser = mien.optim.sgd(model, { lr = 0.05, momentum = 0.9 })
      train(model, optimiser, function(m) return loss.mse(m(x), y) end, 20)
      return model[5].weight:totable()
    end
    assert.are.same(run(), run())
  end)
end)
