-- Whole networks against PyTorch and torchvision: outputs, running statistics, every parameter's gradient.
-- Not here: the golden values' making (tests/golden/networks.py), names and shapes (models_spec).
local ffi = require "ffi"
local mien = require "mien"
local models = mien.models
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")

-- ---- what both sides make from positions ----------------------------------------------------------

local band, bxor, rshift = bit.band, bit.bxor, bit.rshift
local MASK = 0xFFFFFFFFULL

--- Fills a tensor with numbers in [low, high) that a hash of key and position gives.
local function hashed(key, t, low, high)
  local n = t:count()
  local values = ffi.new("double[?]", n)
  for i = 0, n - 1 do
    local h = band((i + key * 7919) * 2654435761ULL, MASK)
    h = band(bxor(h, rshift(h, 15)) * 0x2C1B3C6DULL, MASK)
    h = band(bxor(h, rshift(h, 12)) * 0x297A2D39ULL, MASK)
    h = bxor(h, rshift(h, 15))
    values[i] = low + (high - low) * (tonumber(h) / 2 ^ 32)
  end
  return t:write_(values, n)
end

local function range(name, shape)
  if #shape >= 2 then
    local inputs = 1
    for i = 2, #shape do inputs = inputs * shape[i] end
    return -math.sqrt(6 / inputs), math.sqrt(6 / inputs)
  end
  if name:match "running_mean$" or name:match "bias$" then return -0.1, 0.1 end
  if name:match "bn3%.weight$" then return 0.1, 0.3 end
  return 0.75, 1.25
end

local function fill(model)
  for key, entry in ipairs(model:state()) do
    hashed(key, entry.tensor:detach(), range(entry.name, entry.tensor:size()))
  end
  return #model:state() + 1
end

local function picture(key, shape) return hashed(key, mien.empty(shape), -1, 1) end

-- ---- golden lines -------------------------------------------------------------------------------

local golden = {}
for line in io.lines(here .. "../golden/networks.txt") do
  local name, rest = line:match "^([^#]%S*) (.*)$"
  if name then
    golden[name] = {}
    for number in rest:gmatch "%S+" do table.insert(golden[name], tonumber(number)) end
  end
end

--- Norm, product with a hashed tensor and first elements agree, each within `tolerance` of the norm; returns
-- the largest difference, in norms.
local function agrees(name, t, tolerance)
  local want = assert(golden[name], name)
  local flat = t:detach():reshape { -1 }
  local norm = math.sqrt(((flat ^ 2):sum()):item())
  local probe = hashed(1000, mien.empty { flat:count() }, -1, 1)
  local got = { norm, (flat * probe):sum():item() }
  for i = 1, math.min(4, flat:count()) do got[2 + i] = flat:at(i) end
  local largest = 0
  for i = 1, #want do
    local far = math.abs(got[i] - want[i]) / (want[1] + 1e-12)
    assert.is_true(far <= tolerance, ("%s: value %d is %.9g, not %.9g: %.1g of the norm")
      :format(name, i, got[i], want[i], far))
    largest = math.max(largest, far)
  end
  return largest
end

local function walk_back(y)
  mien.backward((y * hashed(2000, mien.empty(y:size()), -1, 1)):sum())
end

describe("ResNet-50", function()
  local m = models.resnet50()
  fill(m)
  local x = picture(500, { 4, 3, 96, 96 })

  it("gives torchvision's features", function()
    m:train(false)
    agrees("resnet50.eval", mien.no_grad(m, x), 1e-5)
  end)

  it("gives the same when fused", function()
    agrees("resnet50.eval", mien.no_grad(mien.nn.fuse(m), x), 1e-5)
  end)

  it("gives torchvision's gradient of every parameter, and its running statistics", function()
    m:train()
    local y = m(x)
    agrees("resnet50.train", y, 1e-4)
    walk_back(y)
    -- A ReLU whose input f32 puts on the other side of 0 than f64 moves the gradients below it by 1e-3 of
    -- their norms (PyTorch's own f32: 2e-4 here); the others must be exact.
    local far = {}
    for i, p in ipairs(m:parameters()) do far[i] = agrees("resnet50.grad." .. p.name, p.tensor.grad, 5e-3) end
    table.sort(far)
    assert.is_true(far[80] < 2e-6, ("median %.1g"):format(far[80]))
    assert.is_true(far[110] < 2e-5, ("110 of 159 within %.1g"):format(far[110]))
    for _, b in ipairs(m:buffers()) do agrees("resnet50.buffer." .. b.name, b.tensor, 1e-5) end
  end)
end)

describe("ResNet-50 with an LSTM and a head", function()
  it("gives PyTorch's numbers and gradients", function()
    local m = models.recurrent { features = models.resnet50(), hidden = 8, outputs = { "arousal", "valence" } }
    local key = fill(m.features)
    for layer = 0, 1 do
      hashed(key, m.context["weight_ih_l" .. layer]:detach(), -0.05, 0.05)
      hashed(key + 1, m.context["weight_hh_l" .. layer]:detach(), -0.5, 0.5)
      hashed(key + 2, m.context["bias_l" .. layer]:detach(), -0.1, 0.1)
      key = key + 3
    end
    hashed(key, m.head.weight:detach(), -0.5, 0.5)
    hashed(key + 1, m.head.bias:detach(), -0.1, 0.1)
    local y = m:train(false)(picture(501, { 1, 4, 3, 64, 64 }))
    agrees("recurrent", y, 1e-4)
    walk_back(y)
    for name in pairs(golden) do
      local path = name:match "^recurrent%.grad%.(.*)"
      if path then
        local own = path:gsub("bias_ih", "bias")
        for _, p in ipairs(m:parameters()) do
          if p.name == own then agrees(name, p.tensor.grad, 2e-3) end
        end
      end
    end
  end)
end)

describe("VGG-16", function()
  it("gives torchvision's features and gradients", function()
    local m = models.vgg16 { size = 32, fully_connected = { 32, 16 } }
    fill(m)
    local y = m:train(false)(picture(502, { 2, 3, 32, 32 }))
    agrees("vgg16", y, 1e-5)
    walk_back(y)
    for _, p in ipairs(m:parameters()) do agrees("vgg16.grad." .. p.name, p.tensor.grad, 1e-4) end
  end)
end)
