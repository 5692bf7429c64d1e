-- How weights start: variances, orthogonality, fixed roles, weight files.
-- Not here: the streams themselves (rng_spec).
local expect = require "expect"
local mien = require "mien"
local nn, init = mien.nn, mien.init

local function stream(seed) return mien.rng.stream(seed or 1, "init") end

describe("Xavier", function()
  it("gives variance 2 / (inputs + outputs), uniform by default", function()
    local m = init.xavier():apply(nn.linear { 300, 200 }, stream())
    local mean, sd, low, high = m.weight:summary()
    expect.near(0, mean, 1e-3)
    expect.near(math.sqrt(2 / 500), sd, 1e-3)
    local bound = math.sqrt(6 / 500)
    assert.is_true(low >= -bound and high <= bound and high > 0.99 * bound)
    assert.are.same({ 0, 0 }, { m.bias:summary() } and { m.bias:at(1), m.bias:at(200) })
  end)

  it("counts the window of a convolution, and may be normal", function()
    local m = init.xavier({ normal = true }):apply(nn.conv2d { 16, 32, 5 }, stream())
    local _, sd, _, high = m.weight:summary()
    local want = math.sqrt(2 / (16 * 25 + 32 * 25))
    expect.near(want, sd, 0.02 * want)
    assert.is_true(high > 3 * want)
  end)

  it("draws each gate of an LSTM by itself, and sets the forget bias to one", function()
    local m = init.xavier():apply(nn.lstm { 60, 40 }, stream())
    local _, sd = m.weight_ih_l0:narrow(1, 41, 40):summary()
    expect.near(math.sqrt(2 / 100), sd, 0.01)
    local bias = m.bias_l0:totable()
    for i = 1, 160 do assert.are.equal(i > 40 and i <= 80 and 1 or 0, bias[i]) end
  end)
end)

describe("He", function()
  it("gives variance 2 / inputs", function()
    local m = init.he():apply(nn.linear { 400, 200 }, stream())
    local _, sd = m.weight:summary()
    expect.near(math.sqrt(2 / 400), sd, 1e-3)
    m = init.he({ outputs = true }):apply(m, stream())
    _, sd = m.weight:summary()
    expect.near(math.sqrt(2 / 200), sd, 2e-3)
  end)
end)

describe("orthogonal starts", function()
  local function gram(w) return w:matmul(w:transpose()) end

  it("have orthonormal rows, or columns when there are more rows", function()
    local wide = init.orthogonal():apply(nn.linear { 50, 20 }, stream()).weight:detach()
    local tall = init.orthogonal({ gain = 2 }):apply(nn.linear { 20, 50 }, stream()).weight:detach()
    local rows, columns = gram(wide):totable(), gram(tall:transpose()):totable()
    for i = 1, 20 do
      for j = 1, 20 do
        expect.near(i == j and 1 or 0, rows[i][j], 1e-6)
        expect.near(i == j and 4 or 0, columns[i][j], 1e-5)
      end
    end
  end)

  it("take a convolution as a matrix and a GRU gate by gate", function()
    local conv = init.orthogonal():apply(nn.conv2d { 4, 6, 3 }, stream())
    expect.near(1, gram(conv.weight:detach():reshape { 6, 36 }):at(6, 6), 1e-6)
    local gru = init.orthogonal():apply(nn.gru { 8, 8 }, stream())
    expect.near(0, gram(gru.weight_hh_l0:detach():narrow(1, 9, 8)):at(1, 2), 1e-6)
  end)
end)

describe("any start", function()
  it("is the same for the same seed, and resets batch norm", function()
    local a, b = nn.sequential { nn.linear { 3, 2 }, nn.batch_norm { 2 } }, nn.linear { 3, 2 }
    a[2].running_mean:fill_(7)
    a[2].weight:detach():fill_(9)
    init.xavier():apply(a, stream(5))
    init.xavier():apply(b, stream(5))
    assert.are.same(a[1].weight:totable(), b.weight:totable())
    assert.are.same({ 0, 0 }, a[2].running_mean:totable())
    assert.are.same({ 1, 1 }, a[2].weight:totable())
  end)

  it("says what it does and what it needs", function()
    assert.are.equal("xavier", init.xavier().name)
    assert.is_truthy(init.xavier():describe():match "uniform")
    expect.failure(function() init.xavier():apply(nn.linear { 1, 1 }) end, "random stream", "nil")
    expect.failure(function() init.xavier { norml = true } end, '"normal"')
    expect.failure(function() init.from { "x.h5", transfer = "cnm" } end, '"cnn"')
  end)
end)

describe("a start from a weight file", function()
  local models = mien.models
  local path = os.tmpname() .. ".h5"
  local function network(outputs)
    return models.recurrent { features = models.resnet { width = 2, blocks = { 1, 1, 1, 1 } }, hidden = 3,
      outputs = outputs }
  end
  local source = network { "a", "b", "c" }
  source.features.bn1.running_mean:fill_(0.25)
  mien.checkpoint.save_weights(path, source, { scale_mean = { 0.5, 0.4, 0.3 } })

  it("takes the feature extractor and draws the rest", function()
    local model = init.from(path):apply(network { "x" }, stream(3))
    assert.are.same(source.features.layer3[1].conv2.weight:totable(), model.features.layer3[1].conv2.weight:totable())
    assert.are.equal(0.25, model.features.bn1.running_mean:at(1))
    local fresh = init.xavier():apply(network { "x" }, stream(3))
    assert.are.same(fresh.head.weight:totable(), model.head.weight:totable())
  end)

  it("takes everything when told so", function()
    local model = init.from({ path, transfer = "all" }):apply(network { "a", "b", "c" }, stream(3))
    assert.are.same(source.head.weight:totable(), model.head.weight:totable())
    expect.failure(function() init.from({ path, transfer = "all" }):apply(network { "x" }, stream(3)) end,
      "outputs: a, b, c in " .. path .. ", x here")
  end)

  it("takes a file that holds a feature extractor alone", function()
    local alone = os.tmpname() .. ".h5"
    mien.checkpoint.save_weights(alone, source.features)
    local model = init.from(alone):apply(network { "x" }, stream(3))
    assert.are.equal(0.25, model.features.bn1.running_mean:at(1))
    os.remove(alone)
  end)

  it("knows what the file says about its weights, and when there is no file", function()
    assert.are.same({ 0.5, 0.4, 0.3 }, init.from(path):meta().scale_mean)
    expect.failure(function() init.from("no/such.h5"):apply(network { "x" }, stream()) end, "no/such.h5")
    os.remove(path)
  end)
end)
