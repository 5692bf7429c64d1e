-- Gradients in Lua: leaves, no_grad, ops written in Lua.
-- Not here: each op's derivative (tests/backend/test_gradients.c).
local expect = require "expect"
local mien = require "mien"
local tensor = mien.tensor

describe("backward", function()
  it("adds to the gradients of leaves", function()
    local w = tensor { 2, 3 }:requires_grad_()
    assert.is_nil(w.grad)
    mien.backward((w * w):sum())
    expect.elements({ 4, 6 }, w.grad)
    mien.backward((w * 10):sum())
    expect.elements({ 14, 16 }, w.grad)
    w.grad = nil
    assert.is_nil(w.grad)
    w.grad = tensor { 1, 1 }
    expect.elements({ 1, 1 }, w.grad)
  end)

  it("reaches a leaf through a skip connection twice", function()
    local x = tensor { 1, -2 }:requires_grad_()
    local y = x + x:relu()
    mien.backward((y * y):sum())
    expect.elements({ 8, -4 }, x.grad) -- y = 2x above 0, x below
  end)

  it("takes a seed for tensors of more than one element", function()
    local w = tensor { 1, 2 }:requires_grad_()
    expect.failure(function() (w * w):backward() end, "not one number")
    mien.backward(w * w, tensor { 1, 10 })
    expect.elements({ 2, 40 }, w.grad)
  end)

  it("goes through a change of dtype, rounded as the other one rounds", function()
    local w = tensor { 1, 3 }:requires_grad_()
    local y = (w:to "bf16" * tensor { 1, 2, dtype = "bf16" }):to "f32"
    mien.backward((y * tensor { 1 + 2 ^ -7, 1 + 2 ^ -12 }):sum()) -- bf16 has 7 bits behind the point
    assert.are.equal("f32", w.grad.dtype)
    assert.are.same({ 1 + 2 ^ -7, 2 }, w.grad:totable())
    assert.is_false(w:to("i32").requires_grad)
    assert.is_false(w:to("f32").requires_grad) -- nothing changes: a copy
    assert.is_false(mien.no_grad(function() return w:to "bf16" end).requires_grad)
  end)

  it("refuses what cannot be", function()
    local w = tensor { 1, 2 }:requires_grad_()
    local loss = (w * w):sum()
    loss:backward()
    expect.failure(function() loss:backward() end, "backward")
    expect.failure(function() tensor(1):backward() end, "grad")
    expect.failure(function() mien.backward(3) end, "a tensor", "3")
    expect.failure(function() (w + 1):requires_grad_() end, "leaf")
  end)

  it("flows into parts, joins and permutations", function()
    local w = tensor { { 1, 2, 3 }, { 4, 5, 6 } }:requires_grad_()
    local y = mien.cat({ w:select(2, 2), w[1] }) * tensor { 1, 10, 100, 1000, 10000 }
    y:sum():backward()
    expect.elements({ { 100, 1001, 10000 }, { 0, 10, 0 } }, w.grad)
  end)
end)

describe("mien.no_grad", function()
  it("records nothing inside, and records again afterwards, also on an error", function()
    local w = tensor { 2 }:requires_grad_()
    local y, n = mien.no_grad(function(x) return x * 2, 7 end, w)
    assert.is_false(y.requires_grad)
    assert.are.equal(7, n)
    expect.failure(function() mien.no_grad(error, "inside") end, "inside")
    assert.is_true((w * 2).requires_grad)
  end)
end)

describe("mien.custom", function()
  local cube = mien.custom {
    name = "cube",
    forward = function(context, x)
      context.x = x
      return x ^ 3
    end,
    backward = function(context, dy) return dy * context.x ^ 2 * 3 end,
  }

  it("takes part in the walk back", function()
    local w = tensor { 1, 2 }:requires_grad_()
    local loss = (cube(w * 2) * tensor { 1, 10 }):sum() -- 8 w^3
    assert.are.equal(8 + 640, loss:item())
    loss:backward()
    expect.elements({ 24, 960 }, w.grad)
  end)

  it("may be used several times in one graph, and inside a scope", function()
    local w = tensor { 1.5 }:requires_grad_()
    mien.scope(function() cube(cube(w)):sum():backward() end) -- w^9
    expect.elements({ 9 * 1.5 ^ 8 }, w.grad, 1e-4)
  end)

  it("finds its context unharmed when the inputs were freed meanwhile", function()
    local w = tensor { 2 }:requires_grad_()
    mien.nn.chain(w, function(t) return t * 1 end, cube, function(t) return t:sum() end):backward()
    expect.elements({ 12 }, w.grad)
  end)

  it("may have several inputs and outputs, and leave gradients out", function()
    local both = mien.custom {
      name = "both",
      forward = function(_, a, b) return a + b, a - b end,
      backward = function(_, sum, difference)
        if not difference then return sum, sum end
        return sum + difference, nil
      end,
    }
    local a, b = tensor { 1 }:requires_grad_(), tensor { 5 }:requires_grad_()
    local sum, difference = both(a, b)
    assert.are.equal(-4, difference:at(1))
    mien.backward((sum * 3):sum())
    expect.elements({ 3 }, a.grad)
    expect.elements({ 3 }, b.grad)
  end)

  it("says what a wrong backward did", function()
    local wrong = mien.custom {
      name = "wrong", forward = function(_, x) return x * 1 end, backward = function() return 3 end,
    }
    local w = tensor { 1 }:requires_grad_()
    expect.failure(function() wrong(w):sum():backward() end, "wrong: gradient of input 1", "a tensor, got 3")
    expect.failure(function() mien.custom { name = "x", forward = print } end, "backward is missing")
  end)
end)
