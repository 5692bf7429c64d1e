-- Optimisers against values worked out by hand, their state, clipping, misuse.
-- Not here: the kernels on every backend (tests/backend).
local expect = require "expect"
local mien = require "mien"
local optim, tensor = mien.optim, mien.tensor

local function leaf(values, gradient)
  local p = tensor(values):requires_grad_()
  p.grad = tensor(gradient)
  return p
end

describe("Adam", function()
  it("makes the published steps", function()
    local p = leaf({ 1 }, { 0.5 })
    local opt = optim.adam({ p }, { lr = 0.1, eps = 1e-8 })
    opt:step() -- m/(1-b1) = g, v/(1-b2) = g^2: a step of lr
    expect.elements({ 0.9 }, p)
    p.grad = tensor { -1 }
    opt:step()
    local m = (0.9 * 0.05 + 0.1 * -1) / (1 - 0.9 ^ 2)
    local v = (0.999 * 0.00025 + 0.001) / (1 - 0.999 ^ 2)
    expect.elements({ 0.9 - 0.1 * m / math.sqrt(v) }, p)
  end)

  it("adds weight decay to the gradient, or decoupled to the step", function()
    local p = leaf({ 2 }, { 0 })
    optim.adam({ p }, { lr = 0.1, weight_decay = 0.5 }):step()
    expect.elements({ 1.9 }, p)
    p = leaf({ 2 }, { 0 })
    optim.adam({ p }, { lr = 0.1, weight_decay = 0.5, decoupled = true }):step()
    expect.elements({ 2 - 0.1 * 0.5 * 2 }, p)
  end)

  it("goes on from a saved state with the same bits", function()
    local function run(opt, p, gradients)
      for _, g in ipairs(gradients) do
        p.grad = tensor { g, -g }
        opt:step()
      end
    end
    local p, q = tensor({ 1, 2 }):requires_grad_(), tensor({ 0, 0 }):requires_grad_()
    local a, b = optim.adam({ { "w", p } }, { lr = 0.01 }), optim.adam({ { "w", q } }, { lr = 0.01 })
    run(a, p, { 0.3, -0.2 })
    local state = a:state()
    assert.are.equal(2, state.step)
    assert.are.same({ "m/w", "v/w" }, { state[1][1], state[2][1] })
    q:detach():copy_(p)
    b:set_state(state)
    run(a, p, { 0.7 })
    run(b, q, { 0.7 })
    assert.are.same(p:totable(), q:totable())
    expect.failure(function() optim.adam({ { "other", q } }):set_state(state) end, "the state has no m/other")
    local r = tensor({ 1 }):requires_grad_()
    expect.failure(function() optim.adam({ { "w", r } }):set_state(state) end, "m/w is [2] in the state, [1] here")
  end)

  it("leaves parameters without a gradient alone", function()
    local p, q = leaf({ 1 }, { 1 }), tensor({ 5 }):requires_grad_()
    optim.adam({ p, q }, { lr = 0.1 }):step()
    expect.elements({ 0.9 }, p)
    expect.elements({ 5 }, q)
  end)
end)

describe("SGD", function()
  it("moves along the gradient, with momentum, Nesterov and decay", function()
    local p = leaf({ 1 }, { 2 })
    local opt = optim.sgd({ p }, { lr = 0.1, momentum = 0.9 })
    opt:step() -- v = 2
    expect.elements({ 0.8 }, p)
    opt:step() -- v = 3.8
    expect.elements({ 0.42 }, p)
    p = leaf({ 1 }, { 2 })
    optim.sgd({ p }, { lr = 0.1, momentum = 0.9, nesterov = true }):step()
    expect.elements({ 1 - 0.1 * (2 + 0.9 * 2) }, p)
    p = leaf({ 1 }, { 2 })
    optim.sgd({ p }, { lr = 0.1, weight_decay = 0.5 }):step()
    expect.elements({ 0.75 }, p)
  end)

  it("takes a new learning rate at any time", function()
    local p = leaf({ 1 }, { 1 })
    local opt = optim.sgd({ p }, { lr = 0.1 })
    opt:step()
    opt.lr = 0.5
    opt:step()
    expect.elements({ 0.4 }, p)
    assert.are.equal(2, opt:state().step)
  end)
end)

describe("clipping", function()
  it("scales all gradients by their common norm, only when it is too large", function()
    local p, q = leaf({ 0, 0 }, { 3, 0 }), leaf({ 0 }, { 4 })
    expect.near(5, optim.clip({ p, q }, 10))
    expect.elements({ 3, 0 }, p.grad)
    expect.near(5, optim.clip({ p, q }, 1))
    expect.elements({ 0.6, 0 }, p.grad)
    expect.elements({ 0.8 }, q.grad)
  end)
end)

describe("loss scaling", function()
  --- A parameter whose gradient in the next step is g times the scale.
  local function step(scaler, opt, p, g, max_norm)
    opt:zero_grad()
    scaler:backward((p * tensor(g)):sum())
    return scaler:step(opt, max_norm)
  end

  it("leaves the bits of the updates as they are without it", function()
    local p, q = tensor({ 1, 2 }):requires_grad_(), tensor({ 1, 2 }):requires_grad_()
    local plain, scaled, scaler = optim.adam({ p }, { lr = 0.1 }), optim.adam({ q }, { lr = 0.1 }), optim.scaler()
    for i = 1, 5 do
      local g = { 0.3 * i, -1 / i }
      plain:zero_grad()
      mien.backward((p * tensor(g)):sum())
      plain:step()
      expect.near(math.sqrt(g[1] ^ 2 + g[2] ^ 2), step(scaler, scaled, q, g))
      expect.elements({ 65536 * g[1], 65536 * g[2] }, q.grad, 0.01)
      assert.are.same(p:totable(), q:totable())
    end
  end)

  it("leaves a step with an infinite or undefined gradient out and halves the scale", function()
    local p = tensor({ 1, 2 }):requires_grad_()
    local opt, scaler = optim.sgd({ p }, { lr = 1 }), optim.scaler { scale = 1024 }
    assert.is_nil(step(scaler, opt, p, { 0.5, math.huge }))
    assert.are.same({ 1, 2 }, p:totable())
    assert.are.same({ scale = 512, good = 0, skipped = 1 }, scaler:state())
    assert.is_nil(step(scaler, opt, p, { 0 / 0, 1 }))
    assert.is_nil(step(scaler, opt, p, { 1e37, 1 })) -- finite by itself, not when scaled
    assert.are.same({ scale = 128, good = 0, skipped = 3 }, scaler:state())
    assert.are.equal(0, opt:state().step)
    assert.are.equal(0.5, step(scaler, opt, p, { 0.5, 0 }))
    assert.are.same({ 0.5, 2 }, p:totable())
  end)

  it("doubles the scale after enough good steps in a row, as long as it is finite", function()
    local p = tensor({ 0 }):requires_grad_()
    local opt, scaler = optim.sgd({ p }, { lr = 1 }), optim.scaler { scale = 8, interval = 3 }
    local seen = {}
    for i, g in ipairs { 1, 1, math.huge, 1, 1, 1, 1 } do
      step(scaler, opt, p, { g })
      seen[i] = scaler.scale
    end
    assert.are.same({ 8, 8, 4, 4, 4, 8, 8 }, seen)
    scaler:set_state { scale = 2 ^ 126, good = 2, skipped = 0 }
    step(scaler, opt, p, { 1e-38 })
    assert.are.equal(2 ^ 126, scaler.scale)
  end)

  it("clips by the true norm, inside the update", function()
    local p = tensor({ 0, 0 }):requires_grad_()
    local opt, scaler = optim.sgd({ p }, { lr = 1 }), optim.scaler { scale = 1024 }
    assert.are.equal(5, step(scaler, opt, p, { 3, 4 }, 1))
    expect.elements({ -0.6, -0.8 }, p)
    step(scaler, opt, p, { 0.3, 0 }, 1)
    expect.elements({ -0.9, -0.8 }, p)
  end)

  it("gives up when no scale is small enough", function()
    local p = tensor({ 1 }):requires_grad_()
    local opt, scaler = optim.sgd({ p }, { lr = 1 }), optim.scaler { scale = 1 }
    local err = expect.failure(function()
      for _ = 1, 20 do step(scaler, opt, p, { math.huge }) end
    end, "not finite in fp16", "bf16")
    assert.are.equal("numeric", err.code)
    assert.are.same({ 1 }, p:totable())
    expect.failure(function() optim.scaler { growth = 0.5 } end, "growth above 1")
    scaler = optim.scaler { scale = 65536, backoff = 0.999 } -- after as many steps, however slowly the scale falls
    local steps = 0
    expect.failure(function()
      for _ = 1, 300 do
        step(scaler, opt, p, { math.huge })
        steps = steps + 1
      end
    end, "not finite in fp16", "in 200 steps in a row")
    assert.are.equal(199, steps)
    assert.is_true(scaler.scale > 5e4)
  end)

  it("goes on with a scale that is a number when somebody catches that", function()
    local p = tensor({ 1 }):requires_grad_()
    local opt, scaler = optim.sgd({ p }, { lr = 1 }), optim.scaler()
    for _ = 1, 1200 do pcall(step, scaler, opt, p, { math.huge }) end
    assert.is_true(scaler.scale > 0)
    assert.are.same({ 1 }, p:totable())
    assert.are.equal(0.5, step(scaler, opt, p, { 0.5 }))
    assert.are.same({ 0.5 }, p:totable())
  end)
end)

describe("misuse", function()
  it("is named", function()
    local p = leaf({ 1 }, { 1 })
    expect.failure(function() optim.adam({ p }, { lrr = 1 }) end, '"lrr"', '"lr"')
    expect.failure(function() optim.adam({ p }, { lr = -1 }) end, "lr must be at least 0, got -1")
    expect.failure(function() optim.adam({ p }, { lr = "1e-3" }) end, "lr must be a number")
    expect.failure(function() optim.adam({ p }, { beta1 = 1 }) end, "beta1 must lie in [0,1), got 1")
    expect.failure(function() optim.adam({ p }, { beta2 = -0.1 }) end, "beta2 must lie in [0,1), got -0.1")
    expect.failure(function() optim.adam({}) end, "empty")
    expect.failure(function() optim.adam({ tensor { 1 } }) end, "wants no gradient", "requires_grad_()")
    expect.failure(function() optim.sgd({ p }, {}) end, "lr is missing")
    expect.failure(function() optim.from_table({ "adma" }, { p }) end, '"adma"', '"adam"')
    local opt = optim.from_table({ "adam", lr = 0.1 }, { p })
    opt:zero_grad()
    assert.is_nil(p.grad)
    expect.failure(function() opt:step() end, "no parameter has a gradient", "backward")
    assert.are.equal(0, opt:state().step)
  end)
end)
