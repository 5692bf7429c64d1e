-- Layers: what they compute, their names, modes, errors, loading by name.
-- Not here: whole networks (models_spec), each op's numbers (tests/backend).
local expect = require "expect"
local mien = require "mien"
local nn, tensor = mien.nn, mien.tensor

local function names(list)
  local out = {}
  for i, entry in ipairs(list) do out[i] = entry.name end
  return out
end

describe("layers", function()
  it("linear: x W' + b", function()
    local m = nn.linear { 2, 3 }
    m.weight:detach():copy_(tensor { { 1, 2 }, { 3, 4 }, { 5, 6 } })
    m.bias:detach():copy_(tensor { 0.5, 0, -1 })
    expect.elements({ { 5.5, 11, 16 } }, m(tensor { { 1, 2 } }))
    expect.shape({ 4, 5, 3 }, m(mien.zeros { 4, 5, 2 }))
    assert.is_nil(nn.linear({ 2, 3, bias = false }):parameters()[2])
  end)

  it("conv2d: kernels, strides and padding per side", function()
    expect.shape({ 2, 5, 4, 3 }, nn.conv2d { 3, 5, { 3, 5 }, stride = 2, padding = 1 }(mien.zeros { 2, 3, 8, 8 }))
    expect.shape({ 2, 5, 9, 8 }, nn.conv2d { 3, 5, 2, padding = { 1, 0, 1, 1 } }(mien.zeros { 2, 3, 8, 8 }))
  end)

  it("max_pool: TensorFlow's same padding on even and odd maps", function()
    local same = nn.max_pool { 3, stride = 2, padding = "same" }
    expect.shape({ 1, 1, 3, 4 }, same(mien.zeros { 1, 1, 6, 7 }))
    local x = mien.arange(16):reshape { 1, 1, 4, 4 }
    assert.are.same({ { { { 11, 12 }, { 15, 16 } } } }, same(x):totable()) -- pads 0 before, 1 after
    assert.are.same({ { { { 6, 8 }, { 14, 16 } } } }, nn.max_pool { 2 }(x):totable())
  end)

  it("batch_norm: batch statistics in training, running ones at inference", function()
    local bn = nn.batch_norm { 1, momentum = 0.5 }
    local x = tensor { { 1 }, { 3 } }
    expect.elements({ { -1 }, { 1 } }, bn(x), 1e-4)
    expect.elements({ 1 }, bn.running_mean)     -- 0.5 * 0 + 0.5 * 2
    expect.elements({ 1.5 }, bn.running_var)    -- 0.5 * 1 + 0.5 * 2 (unbiased)
    bn:train(false)
    expect.elements({ { 0 }, { 2 / math.sqrt(1.5) } }, bn(x), 1e-4)
    bn:bn_test "batch"
    expect.elements({ { -1 }, { 1 } }, bn(x), 1e-4)
    expect.elements({ 1 }, bn.running_mean)
  end)

  it("batch_norm: adds a shortcut before its ReLU", function()
    local bn = nn.batch_norm { 1, relu = true }
    local x = tensor { { 1 }, { 3 } }
    expect.elements({ { 0 }, { 1 } }, bn(x), 1e-4)
    expect.elements({ { 0.5 }, { 0 } }, bn(x, tensor { { 1.5 }, { -4 } }), 1e-4)
  end)

  it("dropout: the identity at inference, in training its stream's draw", function()
    local d = nn.dropout { 0.25, rng = mien.rng.stream(1, "dropout") }
    local x = mien.ones { 10000 }
    local first = d(x)
    local mean, _, low, high = first:summary()
    expect.near(1, mean, 0.02)
    expect.near(0, low)
    expect.near(4 / 3, high, 1e-6)
    assert.are_not.same(first:totable(), d(x):totable())
    d:use_rng(mien.rng.stream(1, "dropout"))
    assert.are.same(first:totable(), d(x):totable())
    assert.are.equal("2500", d.rng:state()[3]) -- blocks of four words
    d:train(false)
    assert.are.equal(x, d(x))
    expect.failure(function() nn.dropout { 1 } end, "below 1")
  end)

  it("lstm: two layers, and a state that is carried on", function()
    local m = nn.lstm { 3, 4, layers = 2 }
    local x = mien.randn { 2, 6, 3 }
    local y, state = m(x)
    expect.shape({ 2, 6, 4 }, y)
    expect.shape({ 2, 4 }, state.c[2])
    local first, between = m(x:narrow(2, 1, 3))
    local second = m(x:narrow(2, 4, 3), between)
    expect.elements(y:totable(), mien.cat({ first, second }, 2))
    assert.are.same({ "weight_ih_l0", "weight_hh_l0", "bias_l0", "weight_ih_l1", "weight_hh_l1", "bias_l1" },
      names(m:parameters()))
    assert.are.equal("lstm state: 2 layers of [2,4]", tostring(state))
  end)

  it("gru: both forms of the reset gate", function()
    local x = mien.randn { 2, 5, 3 }
    local after, before = nn.gru { 3, 4, layers = 2 }, nn.gru { 3, 4, layers = 2, reset_after = false }
    before:load(after:state())
    local y = after(x)
    expect.shape({ 2, 5, 4 }, y)
    assert.are_not.same(y:totable(), before(x):totable())
    local first, between = after(x:narrow(2, 1, 2))
    expect.elements(y:totable(), mien.cat({ first, (after(x:narrow(2, 3, 3), between)) }, 2))
  end)

  it("lrn, tanh, sigmoid, flatten, pools: shapes and values", function()
    expect.elements({ { { { 1 / 2 ^ 0.75 } } } }, nn.lrn { size = 1, alpha = 1, k = 1 }(tensor { { { { 1 } } } }))
    expect.elements({ 0.5 }, nn.sigmoid()(tensor { 0 }))
    expect.elements({ math.tanh(1) }, nn.tanh()(tensor { 1 }))
    expect.shape({ 2, 12 }, nn.flatten()(mien.zeros { 2, 3, 2, 2 }))
    local x = mien.arange(4):reshape { 1, 1, 2, 2 }
    expect.elements({ { 2.5 } }, nn.global_avg_pool()(x))
    expect.elements({ { { { 2.5 } } } }, nn.avg_pool { 2 }(x))
  end)
end)

describe("a misspelt or missing option", function()
  it("is an error that names the nearest one and the place", function()
    expect.failure(function() nn.conv2d { 3, 8, 3, strides = 2 } end, "nn_spec.lua:", '"strides"', '"stride"')
    expect.failure(function() nn.linear { 3, 8, biass = false } end, '"bias"')
    expect.failure(function() nn.lstm { 3, 8, layer = 2 } end, '"layers"')
    expect.failure(function() nn.linear { 3 } end, "nn.linear: value 2 is missing")
    expect.failure(function() nn.linear { 3, 4, 5 } end, "nothing belongs at position 3")
    expect.failure(function() nn.conv2d { 3, 8, 0 } end, "kernel must be an integer >= 1")
    expect.failure(function() nn.linear(3, 8) end, "takes a table, got 3")
    expect.failure(function() nn.batch_norm { "8" } end, "an integer of 1 or more", '"8"')
  end)
end)

describe("modules", function()
  local function example()
    local m = nn.sequential { nn.linear { 2, 3 }, nn.relu(), nn.sequential { nn.batch_norm { 3 }, nn.linear { 3, 1 } } }
    return m
  end

  it("name parameters and buffers by path, in order", function()
    local m = example()
    assert.are.same({ "0.weight", "0.bias", "2.0.weight", "2.0.bias", "2.1.weight", "2.1.bias" },
      names(m:parameters()))
    assert.are.same({ "2.0.running_mean", "2.0.running_var" }, names(m:buffers()))
    assert.are.equal(8, #m:state())
    assert.are.equal(6 + 3 + 3 + 3 + 3 + 1, m:count())
    local name, t = unpack(m:parameters()[1])
    assert.are.equal("0.weight", name)
    assert.are.equal(t, m[1].weight)
    assert.are.equal("2.1", m:named_modules()[6][1])
  end)

  it("switch modes with all below", function()
    local m = example():train(false)
    assert.is_false(m[3][1].training)
    assert.is_true(m:train()[3][1].training)
  end)

  it("print as a tree, equal neighbours once", function()
    local m = nn.sequential { nn.linear { 2, 2 }, nn.relu(), nn.relu() }
    assert.are.equal("sequential  (6 parameters)\n  0: linear{ 2, 2 }\n  1 to 2: relu", tostring(m))
  end)

  it("can be written in a few lines", function()
    local gate = nn.define "gate"
    function gate:forward(x) return x * self.inner(x):sigmoid() end
    local m = gate.create()
    m:add("inner", nn.linear { 2, 2 })
    expect.shape({ 3, 2 }, m(mien.ones { 3, 2 }))
    assert.are.same({ "inner.weight", "inner.bias" }, names(m:parameters()))
    expect.failure(function() m:add("other", 3) end, "must be a module, got 3")
  end)
end)

describe("load", function()
  local function list(m, prefix)
    local out = {}
    for i, entry in ipairs(m:state()) do out[i] = { (prefix or "") .. entry[1], mien.full(entry[2].shape, i) } end
    return out
  end

  it("copies by name, below a prefix when asked, and ignores PyTorch's counters", function()
    local m = nn.sequential { nn.linear { 2, 1 }, nn.batch_norm { 1 } }
    local tensors = list(m, "features.")
    tensors[#tensors + 1] = { "features.1.num_batches_tracked", tensor(3) }
    tensors[#tensors + 1] = { "head.weight", mien.zeros { 1 } }
    local report = m:load(tensors, { prefix = "features" })
    assert.are.equal(6, report.loaded)
    assert.are.same({ { 1, 1 } }, m[1].weight:totable())
    assert.are.same({ 6 }, m[2].running_var:totable())
  end)

  it("is all or nothing, and says which names do not fit", function()
    local m = nn.sequential { nn.linear { 2, 1 }, nn.linear { 1, 1 } }
    local before = m[1].weight:totable()
    local tensors = list(m)
    table.remove(tensors, 4)
    expect.failure(function() m:load(tensors) end, "1 of 4 tensors are missing", "1.bias")
    assert.are.same(before, m[1].weight:totable())
    assert.are.same({ "1.bias" }, m:load(tensors, { strict = false }).missing)
    tensors = list(m)
    for i = 1, 7 do tensors[#tensors + 1] = { "extra" .. i, tensor(1) } end
    expect.failure(function() m:load(tensors) end, "7 tensors that the model does not have", "extra5 and 2 more")
    tensors = list(m)
    tensors[1][2] = mien.zeros { 1, 2, 1 }
    expect.failure(function() m:load(tensors, { strict = false }) end, "shapes differ", "0.weight is [1,2,1]", "[1,2]")
    expect.failure(function() m:load({ { "x", tensor(1) } }, { strict = false }) end, "none of 1 tensors fits")
    expect.failure(function() m:load(list(m), { perfix = "a" }) end, '"prefix"')
  end)
end)
