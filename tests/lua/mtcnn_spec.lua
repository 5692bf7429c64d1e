-- MTCNN against PyTorch: three networks, the sizes of a picture, what is suppressed and moved.
-- Not here: how good its trained weights are (tests/bench/faces.lua), following faces (data_face_spec.lua).
local bit = require "bit"
local ffi = require "ffi"
local expect = require "expect"
local golden = require "golden" "mtcnn.txt"
local mien = require "mien"
local mtcnn = require "mien.models.mtcnn"
local tiny = require "tiny"

local folder = tiny.folder()
teardown(function() tiny.drop(folder) end)

local MASK = 0xFFFFFFFFULL

--- Numbers in [low, high), as tests/golden/mtcnn.py makes them.
local function hashed(key, n, low, high)
  local values = ffi.new("double[?]", n)
  for i = 0, n - 1 do
    local h = bit.band((i + key * 7919) * 2654435761ULL, MASK)
    h = bit.band(bit.bxor(h, bit.rshift(h, 15)) * 0x2C1B3C6DULL, MASK)
    h = bit.band(bit.bxor(h, bit.rshift(h, 12)) * 0x297A2D39ULL, MASK)
    h = bit.bxor(h, bit.rshift(h, 15))
    values[i] = low + (high - low) * (tonumber(h) / 2 ^ 32)
  end
  return values
end

local quiet = { conv4_2 = true, dense5_2 = true, dense6_2 = true }

local function drawn()
  local nets = mtcnn.new()
  for key, entry in ipairs(nets:state()) do
    local t, layer = entry.tensor:detach(), entry.name:match "([^.]+)%.[^.]+$"
    local low, high = -0.1, 0.1
    if layer:find "^prelu" then
      low, high = 0.1, 0.4
    elseif entry.name:find "weight$" then
      local inputs = t:count() / t:size(1)
      high = math.sqrt(6 / inputs) * (quiet[layer] and 0.1 or 1)
      low = -high
    end
    t:write_(hashed(key, t:count(), low, high), t:count())
  end
  return nets
end

--- u8 [60,80,3]: hashed numbers, each the mean of the 5x5 around it.
local function picture()
  local h, w = 60, 80
  local raw, image = hashed(999, h * w * 3, 0, 256), mien.zeros { h, w, 3, dtype = "u8" }
  local values = ffi.new("double[?]", h * w * 3)
  for y = 0, h - 1 do
    for x = 0, w - 1 do
      for c = 0, 2 do
        local sum = 0
        for i = math.max(0, y - 2), math.min(h - 1, y + 2) do
          for k = math.max(0, x - 2), math.min(w - 1, x + 2) do sum = sum + math.floor(raw[(i * w + k) * 3 + c]) end
        end
        values[(y * w + x) * 3 + c] = math.floor(sum / 25)
      end
    end
  end
  return image:write_(values, h * w * 3)
end

local function compare(faces)
  assert.equal(golden.counts[3], #faces)
  for i, face in ipairs(faces) do
    local wanted = golden["face" .. i]
    for k = 1, 4 do expect.near(wanted[k], face[k], 1e-3) end
    expect.near(wanted[5], face.score, 1e-5)
  end
end

describe("MTCNN", function()
  it("gives PyTorch's boxes and probabilities", function()
    compare(mtcnn.detect(drawn(), picture(), { smallest = 16, thresholds = golden.thresholds }))
  end)

  it("is a detector of data.faces, with its weights out of a file", function()
    mien.checkpoint.save_weights(folder .. "/mtcnn.h5", drawn())
    local detect = mien.data.face_detector { detector = "mtcnn", weights = folder .. "/mtcnn.h5", smallest = 16 }
    for _, face in ipairs(detect(picture())) do assert.is_true(face.score > 0.7) end
    expect.failure(function() mien.data.face_detector { detector = "mtcnn" } end, "mtcnn needs weights")
    expect.failure(function() mien.data.face_detector { detector = "mtcn" } end, 'did you mean "mtcnn"')
  end)

  it("finds nothing in a picture smaller than a face", function()
    assert.same({}, mtcnn.detect(drawn(), mien.zeros { 10, 10, 3, dtype = "u8" }, { smallest = 20 }))
  end)
end)
