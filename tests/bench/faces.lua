-- `mien tests/bench/faces.lua [DETECTOR [WEIGHTS]] [--search-every N] [--tracker NAME]`: how well and how fast faces
-- are found in the real clips of ../shared/data: recall, false alarms, overlap with reference boxes, processor time a frame.
-- Not here: the network (mien predict).
local csv = require "mien.data.csv"
local mien = require "mien"
local overlap = require("mien.data.track").overlap

local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local real = os.getenv "MIEN_TEST_DATA" or here .. "../../../shared/data"
local options, words = {}, { ... }
local i = 1
while words[i] do
  local name = words[i]:match "^%-%-([%w-]+)$"
  if name then
    options[name:gsub("-", "_")] = tonumber(words[i + 1]) or words[i + 1]
    i = i + 1
  elseif not options.detector then
    options.detector = words[i]
  else
    options.detector_weights = words[i]
  end
  i = i + 1
end

--- The tracks of a clip, and processor seconds for a frame (of all threads).
local function follow(name)
  local before = os.clock()
  local seen = mien.data.faces(real .. "/" .. name, options)
  return seen, (os.clock() - before) / #seen.times
end

local function centred(box, with)
  local x, y = box[1] + box[3] / 2, box[2] + box[4] / 2
  return x > with[1] and x < with[1] + with[3] and y > with[2] and y < with[2] + with[4]
end

-- webcam: one face in every frame, its centre above row 170; whatever else is found is a false alarm
local total, frames, found, wrong, clocks = 0, 0, 0, 0, 0
for _, name in ipairs { "book", "learn", "milk", "thanks", "eat", "night", "no", "yes", "hungry", "want" } do
  local seen, clock = follow("video_webcam/" .. name .. ".mkv")
  local good, bad = 0, 0
  for n = 1, #seen.times do
    local any = false
    for _, track in ipairs(seen.tracks) do
      local box = track.boxes[n]
      if box and box[2] + box[4] / 2 < 170 then any = true elseif box then bad = bad + 1 end
    end
    good = good + (any and 1 or 0)
  end
  total, frames, found, wrong = total + #seen.tracks, frames + #seen.times, found + good, wrong + bad
  clocks = clocks + clock * #seen.times
end
print(("webcam: 10 clips, %d tracks; a face in %.1f %% of %d frames, %d false boxes; %.1f ms a frame"):format(total,
  100 * found / frames, frames, wrong, 1e3 * clocks / frames))

-- openmpf: two reference tracks of 90 boxes
local seen, clock = follow "video_openmpf/video_01.mp4"
local reference = { {}, {} }
for _, row in ipairs((csv.read(real .. "/video_openmpf/video_01_tracks.csv", { "track", "frame", "x", "y", "w", "h" }))) do
  reference[row.track + 1][row.frame + 1] = { tonumber(row.x), tonumber(row.y), tonumber(row.w), tonumber(row.h) }
end
local shares = {}
for r, boxes in ipairs(reference) do
  local best = 0
  for _, track in ipairs(seen.tracks) do
    local sum = 0
    for n = 1, 90 do sum = sum + (track.boxes[n] and overlap(track.boxes[n], boxes[n]) or 0) end
    best = math.max(best, sum / 90)
  end
  shares[r] = best
end
print(("openmpf: %d tracks, mean overlap %.3f and %.3f; %.1f ms a frame"):format(#seen.tracks, shares[1], shares[2],
  1e3 * clock))

for _, name in ipairs { "WolfgangLanger_Pexels.mp4", "face_noface.mov", "single_face.mp4" } do
  seen, clock = follow("video_pyfeat/" .. name)
  local with = 0
  for n = 1, #seen.times do
    for _, track in ipairs(seen.tracks) do
      if track.boxes[n] then
        with = with + 1
        break
      end
    end
  end
  print(("%s: %dx%d, %d tracks, %d left out, %d cuts, a face in %d of %d frames; %.1f ms a frame"):format(name, seen.width,
    seen.height, #seen.tracks, #seen.left_out, #seen.cuts, with, #seen.times, 1e3 * clock))
end

-- stills
local stills = { ["astronaut.png"] = { 176, 66, 95, 95 }, ["biden.jpg"] = { 433, 211, 314, 314 },
  ["obama-240p.jpg"] = { 189, 21, 67, 67 }, ["obama.jpg"] = { 342, 95, 300, 300 }, ["obama_partial_face.jpg"] = false,
  ["noface_chelsea.png"] = false }
local detect = mien.data.face_detector { detector = options.detector, weights = options.detector_weights }
local right, others = 0, 0
for name, box in pairs(stills) do
  for _, one in ipairs(detect(mien.data.image.read(real .. "/faces/" .. name))) do
    if box and centred(one, box) then right = right + 1 elseif name ~= "obama_partial_face.jpg" then others = others + 1 end
  end
end
print(("stills: %d of 4 faces, %d false boxes"):format(right, others))
