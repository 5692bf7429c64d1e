-- Following faces: linking of detections, gaps, two faces, a trap.
-- Not here: the detector itself (tests/c/test_face.c), `mien predict` (tests/e2e/pictures_spec.lua).
local media = require "mien.data.media"
local mien = require "mien"
local track = require "mien.data.track"

--- The tracks of a video of these detections. Each box is told once, in order, and in time.
local function link_all(detections, options)
  local told, tracker = {}, nil
  options.visit = function(t, frame)
    assert.is_true(tracker.frames - frame <= tracker.delay)
    assert.are.equal(told[t] and told[t] + 1 or t.first, frame)
    assert.is_table(t.boxes[frame])
    told[t] = frame
  end
  options.ended = function(t)
    assert.is_not_nil(t.kept)
    if t.kept then assert.are.equal(told[t], t.last) end
    told[t] = math.huge
  end
  tracker = track.new(options)
  for _, boxes in ipairs(detections) do tracker:add(boxes) end
  local tracks = tracker:finish()
  for _, last in pairs(told) do assert.are.equal(math.huge, last) end
  return tracks
end

local function moving(n, x, step, without)
  local list = {}
  for i = 1, n do list[i] = without and without(i) and {} or { { x + step * i, 100, 50, 50 } } end
  return list
end

describe("linking", function()
  it("gives one track to a face that moves, and fills short gaps along its way", function()
    local detections = moving(50, 10, 4, function(i) return i >= 20 and i <= 25 end)
    local tracks = link_all(detections, { fps = 25, smooth = 0 })
    assert.are.equal(1, #tracks)
    local one = tracks[1]
    assert.are.same({ 1, 50, 44 }, { one.first, one.last, one.hits })
    assert.are.same({ 10 + 4 * 22, 100, 50, 50 }, one.boxes[22])
    assert.is_true(one.filled[22])
    assert.is_nil(one.filled[26])
  end)

  it("smooths without holding the motion back", function()
    local one = link_all(moving(50, 10, 4), { fps = 25, smooth = 0.12 })[1]
    for i = 1, 50 do assert.is_true(math.abs(one.boxes[i][1] - (10 + 4 * i)) < 1e-9) end
  end)

  it("tells two faces apart, the one seen more first", function()
    local detections = moving(50, 10, 1)
    for i = 1, 50 do
      if i % 3 > 0 then table.insert(detections[i], 1, { 400 - i, 100, 60, 60 }) end
    end
    local tracks = link_all(detections, { fps = 25 })
    assert.are.equal(2, #tracks)
    assert.is_true(tracks[1].boxes[25][1] < 100 and tracks[2].boxes[25][1] > 300)
    assert.are.same({ 1, 2 }, { tracks[1].id, tracks[2].id })
  end)

  it("drops what flickers up for a few frames", function()
    local detections = moving(50, 10, 1)
    for i = 20, 24 do table.insert(detections[i], { 500, 300, 40, 40 }) end
    assert.are.equal(1, #link_all(detections, { fps = 25 }))
  end)

  it("ends a track when its face is away for long, and holds the box for a moment at the video's end", function()
    local tracks = link_all(moving(80, 10, 1, function(i) return i > 30 and i < 50 or i > 75 end),
      { fps = 25, hold = 0.4, least = 1, smooth = 0 })
    assert.are.equal(2, #tracks)
    assert.are.equal(30, tracks[1].last)
    assert.are.same({ 50, 80 }, { tracks[2].first, tracks[2].last })
    assert.is_true(tracks[2].filled[80])
  end)

  it("takes half of a short video for long enough, once its end is known", function()
    local detections = moving(60, 10, 1, function(i) return i > 20 end)
    assert.are.equal(0, #link_all(detections, { fps = 25, hold = 0.2 }))
    assert.are.equal(1, #link_all({ unpack(detections, 1, 40) }, { fps = 25, hold = 0.2 }))
    assert.are.equal(1, #link_all({ detections[1] }, { fps = 0 })) -- a picture
  end)
end)

describe("following", function()
  local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
  local clip = (os.getenv "MIEN_TEST_DATA" or here .. "../../../shared/data") .. "/video_webcam/milk.mkv"

  for what, options in pairs { ["found faces"] = {}, ["a given box"] = { box = { 10, 20, 30, 40 } } } do
    it("hands on the frame of each box while the video is read once: " .. what, function()
      if not io.open(clip) or not pcall(mien.data.face_detector) then return pending "no real videos, or no OpenCV" end
      local opened, open = 0, media.video
      media.video = function(path)
        opened = opened + 1
        return open(path)
      end
      local sums, last = {}, nil
      options.visit = function(t, n, image, result)
        assert.is_true(#result.times - n <= 25)
        sums[n], last = image:to("f64"):sum():item(), t
      end
      local ok, result = pcall(mien.data.faces, clip, options)
      media.video = open
      assert.is_true(ok, tostring(result))
      assert.are.same({ 1, 1, 51 }, { opened, #result.tracks, #sums })
      assert.are.equal(result.tracks[1], last)
      local video, n = mien.data.video(clip), 0
      for frame in video:frames() do
        n = n + 1
        assert.are.equal(frame:to("f64"):sum():item(), sums[n])
      end
      assert.are.equal(51, n)
    end)
  end
end)
