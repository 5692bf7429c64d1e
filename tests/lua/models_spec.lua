-- Networks: names and shapes as torchvision has them, variants, fusing, heads.
-- Not here: their numbers against PyTorch's (networks_spec).
local expect = require "expect"
local mien = require "mien"
local nn, models = mien.nn, mien.models
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")

describe("ResNet-50", function()
  it("has torchvision's names and shapes, in torchvision's order", function()
    local list = {}
    for _, entry in ipairs(models.resnet50():state()) do
      list[#list + 1] = entry.name .. " " .. table.concat(entry.tensor.shape, ",")
    end
    local want = {}
    for line in io.lines(here .. "../golden/resnet50_names.txt") do want[#want + 1] = line end
    assert.are.same(want, list)
  end)

  it("gives 32 times its width, for any size of picture", function()
    local m = models.resnet50 { width = 4 }:train(false)
    assert.are.equal(128, m.features_out)
    expect.shape({ 2, 128 }, m(mien.randn { 2, 3, 64, 64 }))
    expect.shape({ 1, 128 }, m(mien.randn { 1, 3, 75, 50 }))
    expect.failure(function() models.resnet50 { with = 4 } end, '"width"')
    expect.failure(function() models.resnet50 { strides = "slimm" } end, '"slim"')
    expect.failure(function() m(mien.randn { 1, 1, 64, 64 }) end, "conv2d", "[1,1,64,64]")
  end)

  it("as TF-slim builds it halves at the end of stages 1 to 3", function()
    local m = models.resnet50 { width = 2, strides = "slim" }:train(false)
    assert.are.equal(320 - 53 - 2, #m:state()) -- the same tensors: torchvision's without counters and fc
    local x, sizes = mien.randn { 1, 3, 96, 96 }, {}
    local y = m.bn1(m.conv1(x))
    y = m.pool(y)
    sizes[1] = y:size(3)
    for i = 1, 4 do
      y = m["layer" .. i](y)
      sizes[i + 1] = y:size(3)
    end
    assert.are.same({ 24, 12, 6, 3, 3 }, sizes)
    assert.are.equal(2, m.layer1[3].conv2.attributes.stride_h)
    assert.are.equal(1, m.layer2[1].conv2.attributes.stride_h)
  end)

  it("holds a few maps at a time at inference", function()
    local m = models.resnet50 { width = 16 }:train(false)
    local x = mien.randn { 4, 3, 96, 96 }
    collectgarbage()
    mien.no_grad(m, x)
    collectgarbage()
    collectgarbage "stop"
    local scope = require "mien.tensor.scope"
    scope.reset_peak()
    local before = mien.memory().live
    mien.no_grad(m, x)
    local most = mien.memory().peak - before
    collectgarbage "restart"
    local largest = 4 * 16 * 48 * 48 * 4 -- bytes after conv1
    assert.is_true(most < 5 * largest, ("%.1f times the largest map"):format(most / largest))
  end)
end)

describe("VGG-16", function()
  it("has torchvision's names and a size of its own", function()
    local m = models.vgg16 { size = 32, width = 2, fully_connected = { 16, 8 } }:train(false)
    local names = {}
    for _, entry in ipairs(m:parameters()) do names[entry.name] = table.concat(entry.tensor.shape, ",") end
    assert.are.equal("2,3,3,3", names["features.0.weight"])
    assert.are.equal("16,16,3,3", names["features.28.weight"])
    assert.are.equal("16,16", names["classifier.0.weight"])
    assert.are.equal("8,16", names["classifier.3.weight"])
    assert.are.equal(30, #m:parameters())
    expect.shape({ 2, 8 }, m(mien.randn { 2, 3, 32, 32 }))
    expect.failure(function() m(mien.randn { 2, 3, 64, 64 }) end, "64x64", "size = 32")
    assert.are.equal(4 * 16, models.vgg16({ size = 64, width = 2, fully_connected = {} }).features_out)
  end)
end)

describe("nn.fuse", function()
  local function agree(model, x)
    mien.init.he():apply(model, mien.rng.stream(1, "init"))
    for _, entry in ipairs(model:buffers()) do -- statistics that are not 0 and 1
      local mean = entry.name:match "running_mean$"
      local drawn = mien.rand(entry.tensor.shape)
      entry.tensor:copy_(mean and drawn * 0.1 or drawn + 0.5)
    end
    local want = model:train(false)(x)
    local fast = nn.fuse(model)
    local got = fast(x)
    local error_norm = ((want - got) ^ 2):sum():item() / (want ^ 2):sum():item()
    assert.is_true(error_norm < 1e-9, ("relative error %g"):format(math.sqrt(error_norm)))
  end

  it("gives the same numbers for ResNet-50, VGG-16 and what stands on them", function()
    agree(models.resnet50 { width = 4 }, mien.randn { 2, 3, 64, 64 })
    agree(models.resnet50 { width = 2, strides = "slim" }, mien.randn { 2, 3, 64, 64 })
    agree(models.vgg16 { size = 32, width = 8, fully_connected = { 32 } }, mien.randn { 2, 3, 32, 32 })
    agree(models.recurrent { features = models.resnet { width = 8, blocks = { 1, 1, 1, 1 } }, hidden = 4,
      outputs = { "a" } }, mien.randn { 1, 2, 3, 32, 32 })
  end)

  it("leaves the model trainable and as it was", function()
    local model = nn.sequential { nn.conv2d { 1, 2, 3, bias = false }, nn.batch_norm { 2, relu = true } }
    agree(model, mien.randn { 1, 1, 5, 5 })
    local weight = model[1].weight:totable()
    local fast = nn.fuse(model)
    assert.are.same(weight, model[1].weight:totable())
    assert.are.equal(1, #fast)
    model:train()
    model(mien.randn { 1, 1, 5, 5 }):sum():backward()
    assert.is_truthy(model[1].weight.grad)
    assert.are.equal(0, #fast:parameters())
  end)

  it("takes modules only", function()
    expect.failure(function() nn.fuse(3) end, "takes a module, got 3")
  end)
end)

describe("networks with a head", function()
  local function small() return models.resnet { width = 2, blocks = { 1, 1, 1, 1 } } end

  it("recurrent: one row of outputs per frame", function()
    local m = models.recurrent { features = small(), hidden = 8, outputs = { "arousal", "valence" } }:train(false)
    local x = mien.randn { 2, 3, 3, 32, 32 }
    local y = m(x)
    expect.shape({ 2, 3, 2 }, y)
    local first, state = m(x:narrow(2, 1, 1))
    expect.elements(y:totable(), mien.cat({ first, (m(x:narrow(2, 2, 2), state)) }, 2), 1e-5)
    expect.failure(function() m(mien.zeros { 2, 3, 32, 32 }) end, "[B,T,3,H,W]", "[2,3,32,32]")
    local children = {}
    for _, entry in ipairs(m.entries) do children[#children + 1] = entry.name end
    assert.are.same({ "features", "fully_connected", "context", "head" }, children)
  end)

  it("recurrent: GRU, fully connected layers, errors", function()
    local m = models.recurrent { features = small(), hidden = 4, cell = "gru", fully_connected = { 10, 6 },
      dropout = 0.5, outputs = { "x" } }
    expect.shape({ 1, 2, 1 }, m(mien.randn { 1, 2, 3, 32, 32 }))
    expect.shape({ 10, 64 }, m.fully_connected[1].weight)
    expect.failure(function() models.recurrent { features = small(), outputs = {} } end, "outputs is empty")
    expect.failure(function() models.recurrent { features = {}, outputs = { "x" } } end, "features must be")
    expect.failure(function() models.recurrent { features = small(), cell = "gur", outputs = { "x" } } end, '"gru"')
  end)

  it("framewise: pictures or sequences of them", function()
    local m = models.framewise { features = small(), outputs = { "a", "b", "c" } }
    expect.shape({ 2, 3 }, m(mien.randn { 2, 3, 32, 32 }))
    expect.shape({ 1, 2, 3 }, m(mien.randn { 1, 2, 3, 32, 32 }))
  end)

  it("AffWildNet: ResNet-50 or VGG-Face, GRU of 128, valence before arousal", function()
    local m = models.affwildnet { width = 2, fully_connected = { 8 } }:train(false)
    expect.shape({ 1, 2, 2 }, m(mien.randn { 1, 2, 3, 96, 96 }))
    assert.are.same({ "valence", "arousal" }, m.outputs)
    expect.shape({ 384, 8 }, m.context.weight_ih_l0)
    m = models.affwildnet { features = "vgg16", width = 2, fully_connected = { 16, 8 } }:train(false)
    expect.shape({ 1, 1, 2 }, m(mien.randn { 1, 1, 3, 96, 96 }))
  end)
end)
