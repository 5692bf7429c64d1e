-- Following faces: linking of detections, gaps, two faces, a trap.
-- Not here: the detector itself (tests/c/test_face.c), `mien predict` (cli_spec.lua).
local face = require "mien.data.face"

local function moving(n, x, step, without)
  local list = {}
  for i = 1, n do list[i] = without and without(i) and {} or { { x + step * i, 100, 50, 50 } } end
  return list
end

describe("linking", function()
  it("gives one track to a face that moves, and fills short gaps along its way", function()
    local detections = moving(50, 10, 4, function(i) return i >= 20 and i <= 25 end)
    local tracks = face.link_all(detections, { fps = 25, smooth = 0 })
    assert.are.equal(1, #tracks)
    local track = tracks[1]
    assert.are.same({ 1, 50, 44 }, { track.first, track.last, track.hits })
    assert.are.same({ 10 + 4 * 22, 100, 50, 50 }, track.boxes[22])
    assert.is_true(track.filled[22])
    assert.is_nil(track.filled[26])
  end)

  it("smooths without holding the motion back", function()
    local track = face.link_all(moving(50, 10, 4), { fps = 25, smooth = 0.12 })[1]
    for i = 1, 50 do assert.is_true(math.abs(track.boxes[i][1] - (10 + 4 * i)) < 1e-9) end
  end)

  it("tells two faces apart, the one seen more first", function()
    local detections = moving(50, 10, 1)
    for i = 1, 50 do
      if i % 3 > 0 then table.insert(detections[i], 1, { 400 - i, 100, 60, 60 }) end
    end
    local tracks = face.link_all(detections, { fps = 25 })
    assert.are.equal(2, #tracks)
    assert.is_true(tracks[1].boxes[25][1] < 100 and tracks[2].boxes[25][1] > 300)
    assert.are.same({ 1, 2 }, { tracks[1].id, tracks[2].id })
  end)

  it("drops what flickers up for a few frames", function()
    local detections = moving(50, 10, 1)
    for i = 20, 24 do table.insert(detections[i], { 500, 300, 40, 40 }) end
    assert.are.equal(1, #face.link_all(detections, { fps = 25 }))
  end)

  it("ends a track when its face is away for long, and holds the box for a moment at the video's end", function()
    local tracks = face.link_all(moving(80, 10, 1, function(i) return i > 30 and i < 50 or i > 75 end),
      { fps = 25, hold = 0.4, least = 1, smooth = 0 })
    assert.are.equal(2, #tracks)
    assert.are.equal(30, tracks[1].last)
    assert.are.same({ 50, 80 }, { tracks[2].first, tracks[2].last })
    assert.is_true(tracks[2].filled[80])
  end)
end)
