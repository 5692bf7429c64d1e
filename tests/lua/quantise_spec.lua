-- nn.quantise: networks in 8-bit whole numbers beside their f32 form, and what it refuses.
-- Not here: the ops against ref and PyTorch (tests/backend), speed (tests/bench).
local expect = require "expect"
local mien = require "mien"
local tiny = require "tiny"
local nn, op = mien.nn, mien.op

local backend = mien.backend.current()
local fast = mien.backend.describe():find "VNNI" or mien.backend.describe():find "AMX"
if not fast then mien.backend.use "ref" end -- any processor computes the same, slowly
teardown(function() mien.backend.use(backend) end)

--- |a - b| / |b|, 2-norms over all elements.
local function distance(a, b)
  local d = a - b
  return math.sqrt((d * d):sum():item() / (b * b):sum():item())
end

local function frames_of(...)
  return mien.rand({ ... }, { rng = mien.rng.stream(3, "frames") })
end

--- Batch norms' running statistics as a few batches leave them.
local function settle(model, frames)
  model:train(true)
  for _ = 1, 30 do mien.scope(function() mien.no_grad(model, frames) end) end
  return model:train(false)
end

local function small_resnet(strides)
  return mien.models.resnet { blocks = { 2, 1, 1, 1 }, width = 8, strides = strides }
end

describe("a quantised network", function()
  it("rounds weights per filter, activations on the calibrated step, and adds the bias", function()
    local layer = nn.conv2d { 1, 2, 1 }
    layer.weight:copy_(mien.tensor { 0.5, -2 }:reshape { 2, 1, 1, 1 })
    layer.bias:copy_(mien.tensor { 0.1, 3 })
    local x = mien.tensor { 0, 0.2, 0.6, 1 }:reshape { 1, 1, 2, 2 }
    local q = nn.quantise(nn.sequential { layer, nn.relu() }, { frames = x, range = "max" })
    assert.are.same({ 127, -127 }, q[1][1].weight:reshape({ 2 }):totable())
    expect.near(1 / 255, q[1][1].input.step)
    expect.near(3 / 255, q[1][1].output.step)
    local y = mien.no_grad(q, x):reshape({ 8 }):totable()
    for i, right in ipairs { 0.1, 0.2, 0.4, 0.6, 3, 2.6, 1.8, 1 } do
      assert.is_true(math.abs(y[i] - right) <= 1.5 / 255, i .. ": " .. y[i])
    end
  end)

  for _, strides in ipairs { "torchvision", "slim" } do
    it("stays near f32 through bottlenecks and shortcuts: " .. strides, function()
      local x = frames_of(8, 3, 40, 40)
      local model = settle(small_resnet(strides), x)
      local right, y = mien.no_grad(nn.fuse(model), x), mien.no_grad(nn.quantise(model, { frames = x }), x)
      assert.are.equal("f32", y.dtype)
      assert.is_true(distance(y, right) < 0.08, "off by " .. distance(y, right))
    end)
  end

  it("says the same on the fast backend and on the reference", function()
    local x = frames_of(2, 3, 40, 40)
    local q = nn.quantise(settle(small_resnet(), x), { frames = x })
    local y = mien.no_grad(q, x)
    mien.backend.use "ref"
    local right = mien.no_grad(q, x)
    mien.backend.use(fast and backend or "ref")
    assert.is_true(distance(y, right) < 2e-3, "off by " .. distance(y, right))
  end)

  it("takes pictures with negative numbers, and maps that layers in f32 go on with", function()
    local x = mien.randn { 4, 3, 12, 12, rng = mien.rng.stream(4, "frames") }
    local model = nn.sequential {
      nn.conv2d { 3, 8, 3, padding = 1 }, nn.relu(), nn.max_pool { 2 }, nn.conv2d { 8, 8, 3 }, nn.tanh(),
      nn.conv2d { 8, 4, 1 }, nn.flatten(), nn.linear { 64, 3 },
    }
    local q = nn.quantise(model, { frames = x })
    assert.is_true(q[1].input.signed)
    assert.is_true(distance(mien.no_grad(q, x), mien.no_grad(model, x)) < 0.05)
  end)

  it("gives back to the bias what rounding takes from the mean response", function()
    local layer = nn.conv2d { 1, 1, { 1, 64 }, bias = false }
    layer.weight:fill_(0.3 / 127) -- rounds to nothing beside the one of 1
    layer.weight:data()[0] = 1
    local x = mien.full({ 1, 1, 1, 64 }, 1)
    local q = nn.quantise(nn.sequential { layer, nn.relu() }, { frames = x })
    expect.near(1 + 63 * 0.3 / 127, mien.no_grad(q, x):item(), 0.6 * q[1][1].output.step)
  end)

  it("keeps outliers from taking the steps of all others", function()
    local x = frames_of(1, 1, 512, 512)
    x:data()[17] = 1.5
    local layer = nn.conv2d { 1, 1, 1, bias = false }
    layer.weight:fill_(1)
    local model = nn.sequential { layer, nn.relu() }
    local step = {}
    for _, range in ipairs { "max", "mse" } do
      step[range] = nn.quantise(model, { frames = x, range = range })[1][1].output.step
    end
    expect.near(1.5 / 255, step.max)
    assert.is_true(step.mse < 0.9 * step.max, "step " .. step.mse)
  end)

  it("takes pixels/255 as they are, and quantises to nearest with ties to even", function()
    local x = mien.tensor { 0, 1 / 255, 17 / 255, 1 }:reshape { 1, 1, 2, 2 }
    assert.are.same({ 0, 1, 17, 255 }, op.quantise(x, { scale = 1 / 255 }):reshape({ 4 }):totable())
    local ties = mien.tensor { 0.5, 1.5, -2.5, 300 }
    assert.are.same({ 0, 2, -2, 127 }, op.quantise(ties, { scale = 1, is_signed = 1 }):totable())
  end)
end)

describe("a trained network", function()
  local folder, corpus, model
  setup(function()
    folder = tiny.folder()
    corpus = mien.data.open(tiny.corpus(folder .. "/tiny.h5", "continuous", 4))
    mien.rng.seed(1)
    model = mien.models.recurrent { features = small_resnet(), hidden = 8, layers = 1, outputs = corpus.label_names }
    local optimiser = mien.optim.adam(model:parameters(), { lr = 5e-3 })
    for epoch = 1, 24 do
      local loader = mien.data.loader { corpus = corpus, sequence = 8, batch = 3, seed = 1, epoch = epoch,
        starts = corpus:windows { partition = "train", sequence = 8, stride = 6 } }
      for frames, labels in loader:batches() do
        mien.scope(function()
          optimiser:zero_grad()
          mien.loss.ccc((model(frames)), labels):backward()
          optimiser:step()
        end)
      end
      loader:close()
    end
    model:train(false)
  end)
  teardown(function()
    corpus:close()
    tiny.drop(folder)
  end)

  --- CCC of both outputs over all of a partition.
  local function ccc(m, partition)
    local loader = mien.data.loader { corpus = corpus, sequence = 8, batch = 1,
      starts = corpus:windows { partition = partition, sequence = 8 } }
    local sums = { mien.metric.moments(), mien.metric.moments() }
    for frames, labels in loader:batches() do
      local y, gold = mien.no_grad(m, frames):reshape({ -1, 2 }):totable(), labels:reshape({ -1, 2 }):totable()
      for t = 1, #y do
        for k = 1, 2 do sums[k]:add({ y[t][k] }, { gold[t][k] }, 1) end
      end
    end
    loader:close()
    return { sums[1]:ccc(), sums[2]:ccc() }
  end

  -- of both outputs together: a single one of so small a network moves by 0.004, and by 0.016 half trained
  it("loses at most 0.005 CCC in 8 bits, calibrated on its corpus", function()
    local q, lost = nn.quantise(model, { corpus = corpus, frames = 1000 }), 0
    local f32, int8 = ccc(model, "devel"), ccc(q, "devel")
    for k = 1, 2 do
      assert.is_true(f32[k] > 0.5, "the network has learnt nothing: " .. f32[k])
      lost = lost + math.abs(f32[k] - int8[k]) / 2
    end
    assert.is_true(lost <= 0.005, ("%.4f, %.4f became %.4f, %.4f"):format(f32[1], f32[2], int8[1], int8[2]))
  end)

  it("serves predictions from a weights file", function()
    local predict, path = require "mien.train.predict", folder .. "/net.h5"
    local net = mien.models.framewise { features = mien.models.resnet50 { width = 4 }, outputs = { "happy", "sad" } }
    mien.checkpoint.save_weights(path, net, { image_size = 32, resize = 32, sequence = 1, fps = 0, scale_mean = 0,
      scale_sd = 1, label_kind = "multilabel" })
    local crops = { mien.full({ 32, 32, 3 }, 90, { dtype = "u8" }), mien.full({ 32, 32, 3 }, 200, { dtype = "u8" }) }
    local right = predict.window(predict.network(path, { device = "cpu" }), crops)
    local network = predict.network(path, { int8 = corpus.path })
    local rows = predict.window(network, crops)
    for i = 1, 2 do
      for k = 1, 2 do expect.near(right[i][k], rows[i][k], 0.05) end
    end
    local whole = folder .. "/net8.h5"
    mien.checkpoint.save_weights(whole, network.model, network.meta)
    local again = predict.network(whole)
    assert.are.same(rows, predict.window(again, crops))
    assert.are.same(network.size, again.size)
    expect.failure(function() predict.network(whole, { int8 = corpus.path }) end, whole, "whole numbers already")
    expect.failure(function() predict.network(whole, { precision = "bf16" }) end, "leave out", "--precision")
    -- where oneDNN has no such kernels
    local shell = io.popen(("DNNL_MAX_CPU_ISA=AVX2 '%s' -e 'require(\"mien\").models.from_weights \"%s\"' 2>&1"):format(
      os.getenv "MIEN" or "build/mien", whole))
    local text = shell:read "*a"
    shell:close()
    assert.matches("^mien: .*net8.h5: this processor has no fast products of 8%-bit numbers.*take the f32 weights", text)
  end)

  local extractors = {
    resnet = function() return mien.models.resnet50 { width = 4 } end,
    vgg = function() return mien.models.vgg16 { size = 32, width = 4, fully_connected = { 8 } } end,
  }
  for what, extractor in pairs(extractors) do
    it("is kept in a weights file and says the same bits from there: " .. what, function()
      local x, path = frames_of(1, 2, 3, 32, 32), folder .. "/kept.h5"
      local net = mien.models.recurrent { features = extractor(), fully_connected = { 6 }, hidden = 4, layers = 1,
        outputs = { "a", "b", "c" } }
      local q = nn.quantise(net, { frames = x })
      mien.checkpoint.save_weights(path, q, { image_size = 32, outputs = net.outputs })
      local again, outputs, meta = mien.models.from_weights(path)
      assert.are.equal(tostring(q), tostring(again))
      assert.are.same({ 3, 32 }, { #outputs, meta.image_size[1] })
      assert.are.same(mien.no_grad(q, x):totable(), mien.no_grad(again, x):totable())
      -- its whole numbers are no start for others, and a file that lost some of its ranges is none
      local tensors = mien.checkpoint.load_weights(path).tensors
      expect.failure(function() net:load(tensors) end, what == "vgg" and "are missing" or "is i32, the model has f32")
      for _, said in ipairs { "each with 0 or 1 after it", "damaged" } do
        table.remove(q.int8_ranges)
        mien.checkpoint.save_weights(path, q)
        expect.failure(function() mien.models.from_weights(path) end, path, "int8_ranges", said)
      end
    end)
  end

  it("can be calibrated with sequences, and refuses a corpus of no such frames", function()
    local q = nn.quantise(model, { frames = frames_of(2, 4, 3, 20, 20) })
    assert.are.same({ 1, 4, 2 }, mien.no_grad(q, frames_of(1, 4, 3, 20, 20)).shape)
    expect.failure(function() nn.quantise(model, { corpus = corpus, partition = "dev" }) end, '"devel"')
  end)
end)

describe("nn.quantise refuses", function()
  local model = nn.sequential { nn.conv2d { 3, 4, 3 }, nn.relu() }
  local cases = {
    ["what is no module"] = { function() nn.quantise(3, {}) end, "takes a module, got 3" },
    ["no frames"] = { function() nn.quantise(model) end, "needs frames to calibrate with" },
    ["frames of another shape"] = { function() nn.quantise(model, { frames = mien.ones { 3, 8, 8 } }) end,
      "frames must be [N,3,H,W] or [B,T,3,H,W], got [3,8,8]" },
    ["frames that are not finite"] = {
      function() nn.quantise(model, { frames = mien.full({ 1, 3, 8, 8 }, 0 / 0) }) end, "not finite" },
    ["an unknown range"] = { function() nn.quantise(model, { frames = mien.ones { 1, 3, 8, 8 }, range = "kl" }) end,
      "unknown value", "mse" },
    ["an unknown key"] = { function() nn.quantise(model, { frame = 3 }) end, '"frames"' },
    ["a network without convolutions"] = {
      function() nn.quantise(nn.linear { 3, 2 }, { frames = mien.ones { 1, 3, 8, 8 } }) end, "no convolution" },
    ["whole numbers of another dtype"] = { function()
      op.conv2d_int8(mien.ones { 1, 1, 2, 2 }, mien.ones { 1, 1, 1, 1, dtype = "i8" }, mien.ones { 1 }, mien.ones { 1 })
    end, "conv2d_int8: input is f32 but must be u8 or i8" },
    ["a scale of nothing"] = { function() op.quantise(mien.ones { 2 }, { scale = 0 }) end, "scale is 0" },
  }
  for what, case in pairs(cases) do
    it(what, function() expect.failure(unpack(case)) end)
  end
end)
