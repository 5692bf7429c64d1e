-- Recomputation: the bits are those without it, and less is kept.
-- Not here: the tape itself (tests/c/test_tape.c).
local ffi = require "ffi"
local mien = require "mien"
local C = require "mien.base.ffi"
local expect = require "expect"

local function bytes(t)
  return ffi.string(t:data(), t:count() * tonumber(C.mien_dtype_size(C.mien_tensor_dtype(t))))
end

--- Bytes in tensors that somebody holds: handles that are garbage hold none.
local function held()
  collectgarbage() collectgarbage()
  return mien.memory().live
end

--- Three Adam steps of a small ResNet + dropout + LSTM: the losses, the bits of all gradients, weights and running
-- statistics, and the bytes that the second forward pass kept (the first makes packed weights, which stay).
local function train(options)
  C.mien_tape_keep_all(options.keep_all or false)
  mien.seed(3)
  local model = mien.models.recurrent {
    features = mien.models.resnet { blocks = { 2, 1, 1, 1 }, width = 16, recompute = options.recompute },
    fully_connected = { 16 }, dropout = 0.3, hidden = 8, layers = 1, outputs = { "arousal", "valence" },
  }
  local stream = mien.rng.stream(1, "dropout")
  model:use_rng(stream)
  model:precision_(options.precision or "f32")
  local optimiser = mien.optim.adam(model:parameters(), { lr = 1e-3 })
  local source = mien.rng.stream(9, "input")
  local frames = source:fill_normal(mien.empty { 2, 3, 3, 40, 40 })
  local target = source:fill_normal(mien.empty { 2, 3, 2 })
  local out = { losses = {}, bits = {} }
  for i = 1, 3 do
    optimiser:zero_grad()
    mien.scope(function()
      local before = held()
      local loss = mien.loss.ccc((model(model:place(frames, true))), target)
      if i == 2 then out.kept = held() - before end
      loss:backward()
      optimiser:step()
      out.losses[i] = loss:item()
    end)
    for _, p in ipairs(model:parameters()) do table.insert(out.bits, bytes(p.tensor.grad)) end
  end
  C.mien_tape_keep_all(false)
  for _, entry in ipairs(model:state()) do table.insert(out.bits, bytes(entry.tensor)) end
  out.counter = tonumber(stream.counter)
  return out
end

local function assert_same(a, b)
  assert.same(a.losses, b.losses)
  assert.equal(#a.bits, #b.bits)
  for i = 1, #a.bits do assert.is_true(a.bits[i] == b.bits[i]) end
  assert.equal(a.counter, b.counter)
end

describe("recomputation in a network", function()
  for _, precision in ipairs { "f32", "bf16" } do
    it("gives the bits that everything kept gives over three steps, with less kept: " .. precision, function()
      local all, default = train { precision = precision, keep_all = true }, train { precision = precision }
      local blocks = train { precision = precision, recompute = "blocks" }
      assert.is_true(all.losses[3] < all.losses[1])
      assert_same(all, default)
      assert_same(all, blocks)
      assert.is_true(default.kept < 0.8 * all.kept)
      assert.is_true(blocks.kept < 0.5 * default.kept)
    end)
  end

  it("is refused where there are no blocks", function()
    expect.failure(function() mien.nn.linear({ 2, 2 }):recompute "blocks" end, "no blocks")
    expect.failure(function() mien.models.resnet50 { width = 8, recompute = "block" } end, "blocks")
  end)
end)

describe("mien.recompute", function()
  local function both(fn)
    local function run(recomputed)
      mien.seed(5)
      local out = { fn(recomputed and mien.recompute or function(f, ...) return f(...) end) }
      for i, t in ipairs(out) do out[i] = type(t) == "number" and t or bytes(t) end
      return out
    end
    assert.same(run(false), run(true))
  end

  it("draws the same dropout, moves running statistics once, and leaves the stream where it was", function()
    both(function(recompute)
      local stream = mien.rng.stream(2, "dropout")
      local conv, bn = mien.nn.conv2d { 3, 16, 3 }, mien.nn.batch_norm { 16, relu = true }
      local drop = mien.nn.dropout { 0.5, rng = stream }
      local x = mien.randn { 4, 3, 9, 9 }
      local function block(input) return drop(mien.nn.chain(input, conv, bn)) end
      (recompute(block, x) * mien.randn { 4, 16, 7, 7 }):sum():backward()
      return conv.weight.grad, bn.weight.grad, bn.running_mean, bn.running_var, tonumber(stream.counter)
    end)
  end)

  it("may be nested, and take and give several tensors beside other values", function()
    both(function(recompute)
      local w, v = mien.randn({ 3, 4 }):requires_grad_(), mien.randn({ 3, 4 }):requires_grad_()
      local drop = mien.nn.dropout { 0.5, rng = mien.rng.stream(3, "dropout") }
      local function inner(a, factor) return (drop(a * factor)):tanh() end
      local function outer(factor, a, none, b)
        assert(none == nil)
        local c = recompute(inner, a, factor)
        return c * b, recompute(inner, b * a, 2) + c
      end
      local p, q = recompute(outer, 3, w * 2, nil, v)
      ;(p * q + q + w):sum():backward()
      return w.grad, v.grad
    end)
  end)

  it("works when only parameters inside want gradients, and records nothing when nothing does", function()
    local layer, x = mien.nn.linear { 4, 2 }, mien.randn { 3, 4 }
    local y = mien.recompute(layer, x)
    assert.is_true(y.requires_grad)
    y:sum():backward()
    expect.elements({ 3, 3 }, layer.bias.grad)
    assert.is_false(mien.recompute(function(t) return t * 2 end, x).requires_grad)
    assert.is_false(mien.no_grad(mien.recompute, layer, x).requires_grad)
  end)

  it("keeps only the inputs, and drops them after backward", function()
    local w = mien.randn({ 1000 }):requires_grad_()
    local function many(t)
      for _ = 1, 10 do
        local next_one = (t * t):sigmoid()
        t = next_one
      end
      return t
    end
    collectgarbage()
    local before = mien.memory().live
    local y = mien.scope(function() return mien.recompute(many, w) end)
    assert.is_true(mien.memory().live - before <= 2 * 4096)
    y:sum():backward()
    y:free()
    w.grad = nil
    collectgarbage()
    assert.is_true(mien.memory().live - before <= 0)
  end)

  it("says what is wrong with the function", function()
    local w = mien.randn({ 3 }):requires_grad_()
    expect.failure(function() mien.recompute(function(t) return t end, w) end, "return a copy")
    expect.failure(function() mien.recompute(function() return 3 end, w) end, "output 1")
    expect.failure(function() mien.recompute(function(t) t:sum():backward() end, w) end, "not inside")
    expect.failure(function() mien.recompute(error, "inside") end, "inside")
    assert.is_true((w * 2).requires_grad) -- recording goes on as before
    local calls = 0
    local y = mien.recompute(function(t)
      calls = calls + 1
      return calls == 1 and t * 2 or t:sum()
    end, w)
    expect.failure(function() y:sum():backward() end, "second time")
    assert.is_nil(w.grad)
  end)

  it("notices that an input was changed in place", function()
    local w = mien.randn({ 3 }):requires_grad_()
    local x = w * 2
    local y = mien.recompute(function(t) return t * t end, x)
    x:detach():fill_(1)
    expect.failure(function() y:sum():backward() end, "input '1' of a recomputed function was changed in place")
  end)
end)

describe("batch norm's outputs", function()
  it("may be read, and are refused to backward when they were changed in place", function()
    local function run(touch)
      mien.seed(1)
      local bn, conv = mien.nn.batch_norm { 16, relu = true }, mien.nn.conv2d { 16, 16, 1 }
      local y = bn(mien.randn { 2, 16, 5, 5 })
      touch(y)
      conv(y):sum():backward()
      return bytes(conv.weight.grad), bytes(bn.weight.grad)
    end
    local w1, b1 = run(function() end)
    local w2, b2 = run(function(y) y:totable() end)
    assert.is_true(w1 == w2 and b1 == b2)
    expect.failure(function() run(function(y) y:fill_(1) end) end, "changed in place")
  end)
end)
