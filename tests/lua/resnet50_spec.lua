-- ResNet-50 against golden values: features, running statistics and the gradient of every parameter.
-- Not here: how they were made (tests/golden/resnet50.py, which names the same random streams).
local mien = require "mien"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local golden = dofile(here .. "golden.lua")("resnet50.txt")

local SEED = 7

local function uniform(t, name, low, high)
  return mien.rng.stream(SEED, name):fill_uniform(t, low, high)
end

--- The weights of resnet50.py: BN shifts lie far from 0, so that rounding rarely moves an element across the
-- kink of a ReLU, which would change gradients by far more than rounding does.
local function fill(name, t)
  if t.ndim == 4 then
    local bound = math.sqrt(6 / (t:size(2) * t:size(3) * t:size(4)))
    uniform(t, name, -bound, bound)
  elseif name:find "weight$" then
    uniform(t, name, 0.25, 0.75)
  else
    uniform(t, name, 1.5, 2.5)
    local data = t:data()
    for i = 3, t:size(1) - 1, 4 do data[i] = -data[i] end
  end
end

--- How far a tensor is from its golden row: its norm (relative), and the worst of four elements (1 would be
-- as much as a typical element holds).
local function distance(t, row)
  local flat = t:reshape { -1 }
  local n, sum, values = flat:size(1), 0, flat:totable()
  for i = 1, n do sum = sum + values[i] ^ 2 end
  local element = 0
  for i = 0, 3 do
    element = math.max(element, math.abs(values[math.floor(n * i / 4) + 1] - row[2 + i]))
  end
  return math.abs(math.sqrt(sum) - row[1]) / row[1], element * math.sqrt(n) / row[1]
end

local function close(name, t, norm_limit, element_limit)
  local norm, element = distance(t, assert(golden[name], name))
  assert.is_true(norm < norm_limit, ("%s: norm is off by %g"):format(name, norm))
  assert.is_true(element < element_limit, ("%s: elements are off by %g"):format(name, element))
end

describe("resnet50", function()
  local model = mien.models.resnet50()
  local features, frames
  setup(function()
    for _, p in ipairs(model:parameters()) do fill(p[1], p[2]) end
    frames = uniform(mien.zeros { 2, 3, 150, 150 }, "frames", -1, 1)
    features = model(frames)
    local seed = uniform(mien.zeros { 2, 2048 }, "seed", -1, 1);
    (features * seed):sum():backward()
  end)

  it("gives the features that torchvision gives", function()
    close("features", features, 2e-6, 2e-5)
  end)

  -- PyTorch's own f32 is off by up to 4e-5 and 6e-4 here: biases before a batch norm hardly matter.
  it("gives the gradient of every parameter", function()
    local count = 0
    for _, p in ipairs(model:parameters()) do
      close(p[1], p[2].grad, 2e-4, 2e-3)
      count = count + 1
    end
    assert.equal(159, count)
  end)

  it("moves the running statistics as torchvision does", function()
    for _, b in ipairs(model:buffers()) do close(b[1], b[2], 2e-6, 2e-5) end
  end)

  it("gives the same features from its fused form", function()
    model:train(false)
    local plain, fused = mien.no_grad(model, frames), mien.no_grad(model:fused(), frames)
    local difference = (plain - fused):totable()
    local size, off = 0, 0
    for i, row in ipairs(plain:totable()) do
      for j, value in ipairs(row) do
        size, off = size + value ^ 2, off + difference[i][j] ^ 2
      end
    end
    assert.is_true(math.sqrt(off / size) < 2e-5, "fused features are off by " .. math.sqrt(off / size))
  end)
end)
