-- Random streams: determinism, state, distributions.
-- Not here: Philox against its published vectors (tests/c/test_rng.c).
local expect = require "expect"
local mien = require "mien"
local rng = mien.rng

describe("a random stream", function()
  it("gives the same numbers for the same seed and name, others for others", function()
    local a, b = rng.stream(1, "init"), rng.stream(1, "init")
    for _ = 1, 10 do assert.are.equal(a:uniform(), b:uniform()) end
    assert.are_not.equal(rng.stream(1, "init"):uniform(), rng.stream(2, "init"):uniform())
    assert.are_not.equal(rng.stream(1, "init"):uniform(), rng.stream(1, "shuffle"):uniform())
  end)

  it("goes on from a saved state with the same bits", function()
    local a = rng.stream(123456789012, "shuffle")
    for _ = 1, 7 do a:normal() end
    local state = a:state()
    assert.are.same({ "string", "string", "string" }, { type(state[1]), type(state[2]), type(state[3]) })
    local b = rng.stream(0, "other"):set_state(state)
    for _ = 1, 10 do assert.are.equal(a:uniform(), b:uniform()) end
    expect.failure(function() b:set_state { "1", "2", "x" } end, '"x"')
    expect.failure(function() rng.stream(-1, "init") end, "seed must lie in 0 to 2^53, got -1")
  end)

  it("fills tensors as asked", function()
    local t = rng.stream(3, "x"):fill_uniform(mien.empty { 100000 }, -2, 4)
    local mean, sd, low, high = t:summary()
    expect.near(1, mean, 0.03)
    expect.near(6 / math.sqrt(12), sd, 0.03)
    assert.is_true(low >= -2 and high < 4)
    mean, sd = rng.stream(3, "x"):fill_normal(t, 5, 0.5):summary()
    expect.near(5, mean, 0.01)
    expect.near(0.5, sd, 0.01)
  end)

  it("shuffles any array, and every entry stays", function()
    local list = { "a", "b", "c", "d", "e" }
    rng.stream(9, "shuffle"):shuffle(list)
    assert.are_not.equal("abcde", table.concat(list))
    table.sort(list)
    assert.are.equal("abcde", table.concat(list))
  end)

  it("draws integers below a bound", function()
    local s, seen = rng.stream(5, "x"), {}
    for _ = 1, 200 do
      local i = s:below(3)
      assert.is_true(i >= 0 and i < 3 and i % 1 == 0)
      seen[i] = true
    end
    assert.is_true(seen[0] and seen[1] and seen[2])
    expect.failure(function() s:below(0) end, "an integer of 1 or more")
  end)

  it("stands for mien.randn where none is given, and mien.seed starts it afresh", function()
    mien.seed(4)
    local a = mien.randn({ 3 }):totable()
    mien.seed(4)
    assert.are.same(a, mien.randn({ 3 }):totable())
    mien.seed(0)
  end)
end)
