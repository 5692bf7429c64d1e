-- Following faces: linking of detections, gaps, two faces, a trap.
-- Not here: the detector itself (tests/c/test_face.c), `mien predict` (tests/e2e/pictures_spec.lua).
local expect = require "expect"
local media = require "mien.data.media"
local mien = require "mien"
local track = require "mien.data.track"

--- The tracks of a video of these detections. Each box is told once, in order, and in time.
local function link_all(detections, options, cuts)
  local told, tracker = {}, nil
  options.visit = function(t, frame)
    if tracker.frames then assert.is_true(tracker.frames - frame <= tracker.delay) end
    if tracker.frames then assert.are.equal(told[t] and told[t] + 1 or t.first, frame) end
    assert.is_table(t.boxes[frame])
    told[t] = frame
  end
  options.ended = function(t)
    assert.is_not_nil(t.kept)
    if t.kept then assert.are.equal(told[t], t.last) end
    told[t] = math.huge
  end
  tracker = track.new(options)
  for n, boxes in ipairs(detections) do tracker:add(boxes, nil, cuts and cuts[n]) end
  local tracks, left_out = tracker:finish()
  for _, last in pairs(told) do assert.are.equal(math.huge, last) end
  return tracks, left_out
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
      { fps = 25, gap = 0.4, shortest = 1, smooth = 0, rejoin = 0 })
    assert.are.equal(2, #tracks)
    assert.are.equal(30, tracks[1].last)
    assert.are.same({ 50, 80 }, { tracks[2].first, tracks[2].last })
    assert.is_true(tracks[2].filled[80])
  end)

  it("takes half of a short video for long enough, once its end is known", function()
    local detections = moving(60, 10, 1, function(i) return i > 20 end)
    assert.are.equal(0, #link_all(detections, { fps = 25, gap = 0.2, shortest = 1.5 }))
    assert.are.equal(1, #link_all({ unpack(detections, 1, 40) }, { fps = 25, gap = 0.2, shortest = 1.5 }))
    assert.are.equal(1, #link_all({ detections[1] }, { fps = 0 })) -- a picture
  end)
end)

describe("a face that was away", function()
  local away = moving(120, 10, 0.5, function(i) return i > 50 and i < 90 end)

  it("is the same one where it comes back at its place, and lost in between", function()
    local tracks = link_all(away, { fps = 25, smooth = 0 })
    assert.are.equal(1, #tracks)
    local one = tracks[1]
    assert.are.same({ 1, 120, 81, 2 }, { one.first, one.last, one.hits, one.parts })
    for n = 1, 120 do
      assert.are.equal(n > 50 and n < 90 or nil, one.lost[n])
      assert.are.equal(one.lost[n] == nil, one.boxes[n] ~= nil)
    end
  end)

  it("is another one at another place, of another size, after long, and after a cut", function()
    local elsewhere, larger = moving(120, 10, 0.5), moving(120, 10, 0.5)
    for n = 51, 120 do
      elsewhere[n] = n < 90 and {} or { { 300, 100, 50, 50 } }
      larger[n] = n < 90 and {} or { { 10, 80, 90, 90 } }
    end
    assert.are.equal(2, #link_all(elsewhere, { fps = 25 }))
    assert.are.equal(2, #link_all(larger, { fps = 25 }))
    assert.are.equal(2, #link_all(away, { fps = 25, rejoin = 1 }))
    assert.are.equal(2, #link_all(away, { fps = 25 }, { [70] = true }))
  end)

  it("keeps the last frames of a video, however few", function()
    local tracks, left_out = link_all(moving(120, 10, 0.5, function(i) return i > 80 and i < 115 end), { fps = 25 })
    assert.are.same({ 1, 120, 0 }, { #tracks, tracks[1].last, #left_out })
  end)
end)

describe("a cut", function()
  it("ends every track, and a face found soon after it was there from the cut on", function()
    local detections = moving(100, 10, 0, function(i) return i >= 51 and i <= 53 end)
    local tracks = link_all(detections, { fps = 25, smooth = 0 }, { [51] = true })
    assert.are.equal(2, #tracks)
    table.sort(tracks, function(a, b) return a.first < b.first end)
    assert.are.same({ 1, 50, 51, 100 }, { tracks[1].first, tracks[1].last, tracks[2].first, tracks[2].last })
    assert.is_true(tracks[2].filled[52])
  end)
end)

describe("what is left out", function()
  it("is told with its frames and the reason", function()
    local detections = moving(100, 10, 1)
    for i = 20, 24 do table.insert(detections[i], { 500, 300, 40, 40 }) end
    for i = 40, 80, 8 do table.insert(detections[i], { 300, 300, 40, 40 }) end
    local tracks, left_out = link_all(detections, { fps = 25 })
    assert.are.equal(1, #tracks)
    table.sort(left_out, function(a, b) return a.first < b.first end)
    assert.are.same({ 20, 24, 5, "seen in 5 frames, a face in 13 at least" },
      { left_out[1].first, left_out[1].last, left_out[1].hits, left_out[1].reason })
    assert.are.same({ 40, 80, "detected in only 6 of its 41 frames" },
      { left_out[2].first, left_out[2].last, left_out[2].reason })
    assert.are.equal(2, #left_out)
  end)
end)

describe("two people", function()
  it("who cross keep their numbers, though one hides the other for a while", function()
    local detections = {}
    for n = 1, 100 do
      local left, right = 20 + 4 * n, 420 - 4 * n
      detections[n] = { { left, 100, 60, 60 } }
      if math.abs(left - right) > 30 then table.insert(detections[n], 1, { right, 104, 60, 60 }) end
    end
    local tracks = link_all(detections, { fps = 25, smooth = 0 })
    assert.are.equal(2, #tracks)
    for _, t in ipairs(tracks) do
      local way = t.boxes[100][1] - t.boxes[1][1]
      assert.is_true(math.abs(way) > 390, "turned back: " .. way)
    end
  end)
end)

describe("trackers", function()
  it("go by names; an unknown one is refused with the nearest", function()
    expect.failure(function() track.new { tracker = "lnik" } end, 'did you mean "link"')
  end)

  it("of no kind give every detection as it is, the n-th largest to face n", function()
    local tracks, left_out = link_all({ { { 1, 1, 9, 9 }, { 5, 5, 3, 3 } }, { { 2, 2, 9, 9 } }, {}, { { 3, 3, 9, 9 } } },
      { tracker = "none" })
    assert.are.same({ 2, 0 }, { #tracks, #left_out })
    assert.are.same({ 1, 4, 3 }, { tracks[1].first, tracks[1].last, tracks[1].hits })
    assert.is_true(tracks[1].lost[3])
    assert.are.same({ 2, 2, 9, 9 }, tracks[1].boxes[2])
  end)

  it("that follow a box begin at the third detection, and again after a loss", function()
    local begun, n = {}, 0
    local tracker = track.following({ fps = 25, smooth = 0 }, function(_, box)
      local x = box[1]
      begun[#begun + 1] = n
      return { next = function()
        x = x + 1
        return { x, 100, 50, 50 }, (n > 40 and n < 45) and -1 or 0.9
      end }
    end)
    for i = 1, 60 do
      n = i
      tracker:add((i <= 3 or i >= 45) and { { 100 + i, 100, 50, 50, score = 0.5 } } or {})
    end
    local tracks = tracker:finish()
    assert.are.same({ 3, 45 }, begun)
    assert.are.same({ 1, 1, 60 }, { #tracks, tracks[1].first, tracks[1].last })
    assert.are.equal(0.9, tracks[1].confidence[20])
    assert.is_true(tracks[1].filled[42])
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

describe("real clips", function()
  local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
  local real = os.getenv "MIEN_TEST_DATA" or here .. "../../../shared/data"

  local function follow(name, options)
    if not io.open(real .. "/" .. name) or not pcall(mien.data.face_detector) then return nil end
    return mien.data.faces(real .. "/" .. name, options or {})
  end

  it("with two people: boxes lie on the reference's", function()
    local seen = follow "video_openmpf/video_01.mp4"
    if not seen then return pending "skipped: no video_openmpf in ../shared/data, or no OpenCV" end
    assert.are.same({ 2, 0 }, { #seen.tracks, #seen.cuts })
    local sums = { { 0, 0 }, { 0, 0 } }
    local csv = require "mien.data.csv"
    local columns = { "track", "frame", "x", "y", "w", "h" }
    for _, row in ipairs((csv.read(real .. "/video_openmpf/video_01_tracks.csv", columns))) do
      local box = { tonumber(row.x), tonumber(row.y), tonumber(row.w), tonumber(row.h) }
      for t, one in ipairs(seen.tracks) do
        local sum = sums[row.track + 1]
        sum[t] = sum[t] + track.overlap(one.boxes[row.frame + 1], box) / 90
      end
    end
    local first, second = math.max(unpack(sums[1])), math.max(unpack(sums[2]))
    assert.is_true(first > 0.74 and second > 0.8, ("%.3f and %.3f"):format(first, second))
  end)

  for _, name in ipairs { "no", "yes", "eat" } do
    it("with one person have one face, in every frame, and never the skull on a shirt: " .. name, function()
      local seen = follow("video_webcam/" .. name .. ".mkv")
      if not seen then return pending "skipped: no video_webcam in ../shared/data, or no OpenCV" end
      assert.are.equal(1, #seen.tracks)
      for n = 1, #seen.times do
        local box = seen.tracks[1].boxes[n]
        assert.is_true(box[2] + box[4] / 2 < 170)
      end
    end)
  end

  it("that end in another picture: the cuts are told, and no face is carried over them", function()
    local seen = follow "video_pyfeat/face_noface.mov"
    if not seen then return pending "skipped: no video_pyfeat in ../shared/data, or no OpenCV" end
    assert.are.same({ 73, 74 }, seen.cuts) -- a black frame, then sky
    assert.are.same({ 1, 1, 72 }, { #seen.tracks, seen.tracks[1].first, seen.tracks[1].last })
  end)
end)
