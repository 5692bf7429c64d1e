-- Letting go of tensors: scopes, keep, the collector, chains, constant memory.
-- Not here: the pool's own tests (tests/c/test_storage.c).
local expect = require "expect"
local mien = require "mien"
local nn = mien.nn

local function live()
  collectgarbage()
  return mien.memory().live
end

describe("mien.scope", function()
  it("frees what was made inside and gives back what is returned", function()
    local before, inner = live(), nil
    local sum = mien.scope(function()
      inner = mien.zeros { 1000 }
      return inner:sum()
    end)
    assert.is_true(inner.freed)
    assert.are.equal(0, sum:item())
    assert.is_true(mien.memory().live - before < 1000)
  end)

  it("looks into returned tables", function()
    local result = mien.scope(function() return { a = { mien.ones { 2 } } } end)
    assert.are.same({ 1, 1 }, result.a[1]:totable())
  end)

  it("looks into returned functions", function()
    local function make()
      local weight, list = mien.ones { 2 }, { mien.ones { 3 } }
      local function inner() return list[1] end
      return function() return weight, inner() end
    end
    local weight, other = mien.scope(make)()
    assert.are.same({ { 1, 1 }, { 1, 1, 1 } }, { weight:totable(), other:totable() })
  end)

  it("refuses to work inside the scope of a coroutine that waits", function()
    local worker = coroutine.create(function()
      return mien.scope(function()
        local t = mien.ones { 2 }
        coroutine.yield()
        return t:sum()
      end)
    end)
    assert(coroutine.resume(worker))
    expect.failure(function() mien.scope(function() end) end, "a coroutine has yielded inside a scope")
    local mine = mien.scope(function() return mien.ones { 2 } end)
    local ok, sum = coroutine.resume(worker)
    assert.is_true(ok, tostring(sum))
    assert.are.equal(2, sum:item())
    assert.is_false(mine.freed)
  end)

  it("lets the collector free tensors of a GPU in a loop without scopes", function()
    local plugins = require "tests.lua.with_plugin"
    local text = plugins.run(plugins.serving, [[
      local t = mien.zeros { 4, 1024, 1024 }
      for _ = 1, 100 do t:to "cuda" end
      print(mien.memory("cuda").peak < 2 ^ 30)
    ]])
    assert.are.equal("true", text)
  end)

  it("keeps what is to be kept", function()
    local kept
    mien.scope(function() kept = mien.keep(mien.ones { 2 }) end)
    assert.are.same({ 1, 1 }, kept:totable())
  end)

  it("frees on an error as well, and the error keeps its text and traceback", function()
    local inner
    local err = expect.failure(function()
      mien.scope(function()
        inner = mien.zeros { 10 }
        error "on purpose"
      end)
    end, "on purpose")
    assert.is_true(inner.freed)
    assert.is_truthy(mien.check.traceback(err):match "scope_spec")
  end)

  it("hands what an inner scope returns to the outer one", function()
    local passed
    local result = mien.scope(function()
      passed = mien.scope(function() return mien.ones { 3 } end)
      assert.is_false(passed.freed)
      return passed + 1
    end)
    assert.is_true(passed.freed)
    assert.are.same({ 2, 2, 2 }, result:totable())
  end)

  it("passes arguments and all results on, nil included", function()
    assert.are.same({ n = 3, 1, nil, 3 }, { n = 3, mien.scope(function(...) return ... end, 1, nil, 3) })
  end)

  it("leaves parameters, gradients and optimiser states of inside alone", function()
    local model, optimiser, x
    mien.scope(function()
      model = nn.linear { 3, 2 }
      optimiser = mien.optim.adam(model)
      x = mien.keep(mien.ones { 1, 3 })
      local loss = model(x):sum()
      loss:backward()
    end)
    expect.elements({ { 1, 1, 1 }, { 1, 1, 1 } }, model.weight.grad)
    optimiser:step()
    assert.is_true(model.weight:is_finite())
  end)
end)

describe("memory", function()
  it("stays constant over 1000 training steps", function()
    local model = nn.sequential { nn.linear { 16, 32 }, nn.relu(), nn.linear { 32, 4 } }
    local optimiser = mien.optim.adam(model, { lr = 1e-3 })
    local x, y = mien.randn { 8, 16 }, mien.randn { 8, 4 }
    local function step()
      optimiser:zero_grad()
      local loss = mien.loss.mse(model(x), y)
      loss:backward()
      optimiser:step()
      return loss:item()
    end
    for _ = 1, 5 do mien.scope(step) end
    collectgarbage()
    collectgarbage "stop" -- the scopes alone shall do it
    local before = mien.memory()
    for _ = 1, 1000 do mien.scope(step) end
    local after = mien.memory()
    collectgarbage "restart"
    assert.are.equal(before.live, after.live)
    assert.are.equal(before.tensors, after.tensors)
  end)

  it("is let go by the collector when nobody opens a scope", function()
    local t = mien.zeros { 1024, 1024 }
    local most = 0
    for _ = 1, 200 do -- 800 MiB in all
      t = t + 1
      most = math.max(most, mien.memory().live)
    end
    assert.are.equal(200, t:at(1, 1))
    assert.is_true(most < 500 * 2 ^ 20, ("%.0f MiB were live"):format(most / 2 ^ 20))
  end)

  it("prints as one line", function()
    assert.is_truthy(tostring(mien.memory()):match "^live .* in %d+ tensors, pooled .*, peak ")
  end)

  it("is not run without a function", function()
    local ok, problem = pcall(mien.scope, nil)
    assert.is_false(ok)
    assert.matches("the function to run is missing", tostring(problem))
  end)
end)

describe("nn.chain", function()
  it("lets go of what lies between, and of nothing else", function()
    local seen = {}
    local function plus(x)
      seen[#seen + 1] = x
      return x + 1
    end
    local function same(x) return x end
    local x = mien.zeros { 2 }
    local y = nn.chain(x, same, plus, same, plus, plus)
    assert.are.same({ 3, 3 }, y:totable())
    assert.is_false(x.freed)
    assert.is_true(seen[2].freed and seen[3].freed)
  end)

  it("does not disturb the walk back", function()
    local w = mien.tensor { 2 }:requires_grad_()
    nn.chain(w, function(t) return t ^ 2 end, function(t) return t ^ 2 end, function(t) return t:sum() end):backward()
    expect.elements({ 32 }, w.grad) -- d/dw w^4 = 4 w^3
  end)
end)
