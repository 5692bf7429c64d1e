-- Follows faces through a video: detections of every frame, linked to tracks, gaps filled, smoothed.
-- Not here: finding faces in one picture (core/data/face.cpp).
local ffi = require "ffi"
local C = require "mien.ffi"
local check = require "mien.check"
local media = require "mien.data.media"

local face = {}

local MOST = 32 -- faces in a frame

--- Intersection over union of two boxes { x, y, w, h }.
function face.overlap(a, b)
  local w = math.min(a[1] + a[3], b[1] + b[3]) - math.max(a[1], b[1])
  local h = math.min(a[2] + a[4], b[2] + b[4]) - math.max(a[2], b[2])
  if w <= 0 or h <= 0 then return 0 end
  return w * h / (a[3] * a[4] + b[3] * b[4] - w * h)
end

--- A detector: `detect(image)` gives a list of boxes { x, y, w, h }, largest first. cascade: an XML file of
-- OpenCV (its frontal face when left out); min_size: smallest face in pixels (a twelfth of the shorter side).
function face.detector(options)
  options = options or {}
  check.keys(options, { cascade = "string", min_size = "integer" }, "data.face.detector")
  local handle = ffi.gc(check.pointer(C.mien_face_detector_new(options.cascade)), C.mien_face_detector_close)
  local boxes = ffi.new("double[?]", 4 * MOST)
  return function(image)
    local n = C.mien_face_detect(handle, image, options.min_size or 0, boxes, MOST)
    if n < 0 then check.status(n) end
    local list = {}
    for i = 0, n - 1 do list[i + 1] = { boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3] } end
    return list
  end
end

-- ---- linking -----------------------------------------------------------------------------------

--- Gives each detection of a frame to the track whose last box it overlaps most (best pairs first); what is
-- left starts tracks. A track that was not seen for more than `hold` frames has ended.
local function link(open, closed, boxes, frame, hold, overlap)
  local pairs_found = {}
  for i = #open, 1, -1 do
    if frame - open[i].last - 1 > hold then closed[#closed + 1] = table.remove(open, i) end
  end
  for t, track in ipairs(open) do
    local enough = frame - track.last > 1 and overlap / 2 or overlap -- after a gap it has moved on
    for b, box in ipairs(boxes) do
      local share = face.overlap(track.boxes[track.last], box)
      if share >= enough then pairs_found[#pairs_found + 1] = { share, t, b } end
    end
  end
  table.sort(pairs_found, function(a, b)
    if a[1] ~= b[1] then return a[1] > b[1] end
    if a[2] ~= b[2] then return a[2] < b[2] end
    return a[3] < b[3]
  end)
  local used_track, used_box = {}, {}
  for _, found in ipairs(pairs_found) do
    local t, b = found[2], found[3]
    if not used_track[t] and not used_box[b] then
      used_track[t], used_box[b] = true, true
      local track = open[t]
      track.boxes[frame], track.last, track.hits = boxes[b], frame, track.hits + 1
    end
  end
  for b, box in ipairs(boxes) do
    if not used_box[b] then open[#open + 1] = { first = frame, last = frame, hits = 1, boxes = { [frame] = box } } end
  end
end

--- Boxes between detections lie on the straight line; before the first and after the last detection the box is
-- held for `hold` frames where the video begins or ends (a face does not appear by itself in between).
local function fill(track, frames, hold)
  local before
  for frame = track.first, track.last do
    local box = track.boxes[frame]
    if box then
      if before and frame - before > 1 then
        local from = track.boxes[before]
        for k = before + 1, frame - 1 do
          local share = (k - before) / (frame - before)
          track.boxes[k] = {}
          for i = 1, 4 do track.boxes[k][i] = from[i] + share * (box[i] - from[i]) end
          track.filled[k] = true
        end
      end
      before = frame
    end
  end
  if track.first <= hold + 1 then
    for frame = 1, track.first - 1 do
      track.boxes[frame], track.filled[frame] = track.boxes[track.first], true
    end
    track.first = math.min(track.first, 1)
  end
  if frames - track.last <= hold then
    for frame = track.last + 1, frames do
      track.boxes[frame], track.filled[frame] = track.boxes[track.last], true
    end
    track.last = math.max(track.last, frames)
  end
end

--- Median (against single wrong boxes) and then mean over `radius` frames on each side, of centre and size.
local function smooth(track, radius)
  if radius < 1 then return end
  local function pass(boxes, pick)
    local out = {}
    for frame = track.first, track.last do
      local low, high = math.max(track.first, frame - radius), math.min(track.last, frame + radius)
      local reach = math.min(frame - low, high - frame) -- the same on both sides, so that motion is not held back
      out[frame] = {}
      for i = 1, 4 do
        local values = {}
        for k = frame - reach, frame + reach do values[#values + 1] = boxes[k][i] end
        out[frame][i] = pick(values)
      end
    end
    return out
  end
  local centred = {}
  for frame = track.first, track.last do
    local b = track.boxes[frame]
    centred[frame] = { b[1] + b[3] / 2, b[2] + b[4] / 2, b[3], b[4] }
  end
  local median = pass(centred, function(values)
    table.sort(values)
    return values[(#values + 1) / 2]
  end)
  local mean = pass(median, function(values)
    local sum = 0
    for _, value in ipairs(values) do sum = sum + value end
    return sum / #values
  end)
  for frame = track.first, track.last do
    local b = mean[frame]
    track.boxes[frame] = { b[1] - b[3] / 2, b[2] - b[4] / 2, b[3], b[4] }
  end
end

--- Links detections of all frames: face.link_all(list of lists of boxes, { fps =, hold = seconds, overlap =,
-- share =, least = seconds, smooth = seconds }) -> tracks. See face.follow.
function face.link_all(detections, options)
  local fps = options.fps and options.fps > 0 and options.fps or 25
  local hold = math.floor((options.hold or 0.5) * fps + 0.5)
  local open, tracks = {}, {}
  for frame, boxes in ipairs(detections) do link(open, tracks, boxes, frame, hold, options.overlap or 0.3) end
  for _, track in ipairs(open) do tracks[#tracks + 1] = track end
  local kept = {}
  for _, track in ipairs(tracks) do
    local length = track.last - track.first + 1
    -- a detection that comes and goes is no face: a real one is found for a while (or half a short video)
    local least = math.floor((options.least or 1.5) * fps + 0.5)
    local needed = math.max(2, math.min(least, math.floor(#detections / 2)))
    if track.hits >= needed and track.hits / length >= (options.share or 0.3) then
      track.filled = {}
      fill(track, #detections, hold)
      smooth(track, math.floor((options.smooth or 0.1) * fps + 0.5))
      kept[#kept + 1] = track
    end
  end
  table.sort(kept, function(a, b)
    if a.hits ~= b.hits then return a.hits > b.hits end
    if a.first ~= b.first then return a.first < b.first end
    return a.boxes[a.first][1] < b.boxes[b.first][1]
  end)
  for id, track in ipairs(kept) do track.id = id end
  return kept
end

--- Follows the faces of a video: { times = list, fps =, width =, height =, tracks = list, error = nil or what
-- ended a damaged file early }. A track: { id = 1 for the face seen most, first, last (1-based frames), hits,
-- boxes[frame] = { x, y, w, h }, filled[frame] = true where no detection stood behind the box }.
-- options: box = { x, y, w, h } (one face there, nothing is detected), cascade, min_size, hold = 0.5 (seconds
-- that a face may stay undetected), overlap = 0.3 (of boxes in neighbouring frames), share = 0.3 (of a track's
-- frames that need a detection), least = 1.5 (seconds of detections that make a face; or half of a short video),
-- smooth = 0.1 (seconds on each side), each = function(frame, time, n).
function face.follow(path, options)
  options = options or {}
  check.keys(options, { box = "table", cascade = "string", min_size = "integer", hold = "number", overlap = "number",
    share = "number", least = "number", smooth = "number", each = "function" }, "data.faces")
  local detect = not options.box and face.detector { cascade = options.cascade, min_size = options.min_size }
  local video = media.video(path)
  local result = { times = {}, fps = video.fps, width = video.width, height = video.height }
  local detections = {}
  local ok, err = pcall(function()
    for frame, time in video:frames() do
      local n = #result.times + 1
      result.times[n] = time
      if detect then detections[n] = detect(frame) end
      if options.each then options.each(frame, time, n) end
    end
  end)
  video:close()
  if not ok then
    -- frames before the damage are good, and told apart from a video that ended
    if #result.times == 0 or not check.is_error(err) or err.code ~= "format" then error(err, 0) end
    result.error = err
  end
  if options.box then
    local track = { id = 1, first = 1, last = #result.times, hits = #result.times, boxes = {}, filled = {} }
    for n = 1, #result.times do track.boxes[n] = options.box end
    result.tracks = { track }
    return result
  end
  result.tracks = face.link_all(detections, { fps = result.fps, hold = options.hold, overlap = options.overlap,
    share = options.share, least = options.least, smooth = options.smooth })
  return result
end

return face
