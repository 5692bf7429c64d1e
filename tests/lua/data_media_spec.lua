-- Videos and pictures from Lua: frames that are kept, colours taken out. A row of PNGs in one file is a video.
-- Not here: faces in them (data_face_spec.lua), decoding (tests/c/test_video.c, test_image.c).
local mien = require "mien"
local C = require "mien.base.ffi"
local tiny = require "tests.lua.tiny"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "*a"
  file:close()
  return bytes
end

describe("a video", function()
  local folder
  before_each(function() folder = tiny.folder() end)
  after_each(function() tiny.drop(folder) end)

  --- A video of n frames 4x6, frame i all of value i.
  local function video(n)
    local all = {}
    for i = 1, n do
      local image = mien.zeros { 4, 6, 3, dtype = "u8" }
      image:fill_(i)
      mien.data.image.write(folder .. "/one.png", image)
      all[i] = read(folder .. "/one.png")
    end
    local file = assert(io.open(folder .. "/row.png", "wb"))
    file:write(table.concat(all))
    file:close()
    return mien.data.video(folder .. "/row.png")
  end

  it("gives frames that can be kept", function()
    local frames, times = {}, {}
    for frame, time in video(5):frames() do frames[#frames + 1], times[#times + 1] = frame, time end
    assert.equal(5, #frames)
    for i, frame in ipairs(frames) do
      assert.equal(i, mien.data.image.resize(frame, { 2, 2 }):at(1, 1, 1))
      assert.near((i - 1) / 25, times[i], 1e-9)
    end
  end)

  it("lets go of frames that nobody keeps", function()
    local before = mien.memory().live
    local large = mien.zeros { 3000, 4000, 3, dtype = "u8" } -- 36 MB
    mien.data.image.write(folder .. "/large.png", large)
    large:free()
    local bytes = read(folder .. "/large.png")
    local file = assert(io.open(folder .. "/row.png", "wb"))
    for _ = 1, 20 do file:write(bytes) end
    file:close()
    local most = 0
    local stats = require("ffi").new "mien_memory_stats" -- mien.memory collects before it looks
    for _ in mien.data.video(folder .. "/row.png"):frames() do
      C.mien_memory(C.MIEN_DEVICE_CPU, stats)
      most = math.max(most, tonumber(stats.live_bytes) - before)
    end
    assert.is_true(most < 500e6, ("%.0f MB"):format(most / 1e6))
  end)
end)

describe("image.grey", function()
  local function coloured()
    return mien.tensor({ { { 255, 0, 0 }, { 0, 255, 0 } }, { { 0, 0, 255 }, { 9, 9, 9 } } }, { dtype = "u8" })
  end

  it("gives three equal channels of luma in place", function()
    local image = coloured()
    assert.equal(image, mien.data.image.grey(image))
    assert.same({ { { 76, 76, 76 }, { 150, 150, 150 } }, { { 29, 29, 29 }, { 9, 9, 9 } } }, image:totable())
  end)

  it("changes a view's own pixels alone", function()
    local image = coloured()
    mien.data.image.grey(image:narrow(2, 1, 1))
    assert.same({ { { 76, 76, 76 }, { 0, 255, 0 } }, { { 29, 29, 29 }, { 9, 9, 9 } } }, image:totable())
  end)

  it("refuses what is no picture", function()
    for _, t in ipairs { mien.zeros { 4, 4, 3 }, mien.zeros { 4, 4, dtype = "u8" } } do
      local ok, err = pcall(mien.data.image.grey, t)
      assert.is_false(ok)
      assert.matches("image_grey: image must be u8 [H,W,3]", tostring(err), 1, true)
    end
  end)
end)
