-- Finds the faces of a video and follows them, in one pass over its frames.
-- Not here: linking them (track.lua), finding faces in one picture (core/data/face.cpp).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local media = require "mien.data.media"
local track = require "mien.data.track"

local face = {}

local MOST = 32 -- faces in a frame

--- A detector: `detect(image)` gives a list of boxes { x, y, w, h }, largest first. cascade: an XML file of
-- OpenCV (its frontal face when left out); smallest: side of the smallest face in pixels (a twelfth of the shorter side).
function face.detector(options)
  options = options or {}
  check.keys(options, { cascade = "string", smallest = "integer" }, "data.face.detector")
  local handle = ffi.gc(check.pointer(C.mien_face_detector_new(options.cascade)), C.mien_face_detector_close)
  local boxes = ffi.new("double[?]", 4 * MOST)
  return function(image)
    local n = C.mien_face_detect(handle, image, options.smallest or 0, boxes, MOST)
    if n < 0 then check.status(n) end
    local list = {}
    for i = 0, n - 1 do list[i + 1] = { boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3] } end
    return list
  end
end

--- A tracker of one face that stands still.
local function standing(box, visit, ended)
  local one = { id = 1, first = 1, last = 0, hits = 0, boxes = {}, filled = {}, confidence = {}, lost = {}, kept = true }
  return {
    delay = 0,
    add = function()
      one.last, one.hits = one.last + 1, one.hits + 1
      one.boxes[one.last] = box
      visit(one, one.last)
    end,
    finish = function()
      ended(one)
      return { one }, {}
    end,
  }
end

-- What says how faces are found and followed, by name: for data.faces, `mien predict` and imports.
face.options = { tracker = "string|function", cascade = "string", smallest = "integer", shortest = "number", gap = "number",
  rejoin = "number", overlap = "number", share = "number", smooth = "number" }

--- Follows the faces of a video: { times = list, fps =, width =, height =, tracks = list, left_out = list, resized = frames of
-- another size that were brought to this one, error = nil or what ended a damaged file early }.
-- A track: { id = 1 for the face seen most, first, last (1-based frames), hits, boxes[frame] = { x, y, w, h },
-- filled[frame] = true where no detection stood behind the box, confidence[frame] = the detector's score,
-- lost[frame] = true where the face was away between two parts of the track: there is no box }.
-- What was left out is in `left_out`: { first, last, hits, box, reason }.
-- options: box = { x, y, w, h } (one face there, nothing is detected), tracker = "link" (track.kinds), cascade,
-- smallest = side of the smallest face in pixels (a twelfth of the shorter side), shortest = 0.5 (seconds of detections that
-- make a face; or half of a short video), gap = 0.5 (seconds that a face may stay undetected), rejoin = 5 (seconds after
-- which a face that comes back at the same place is the same), overlap = 0.3 (of boxes in neighbouring frames), share = 0.3
-- (of a track's frames that need a detection), smooth = 0.1 (seconds on each side), each = function(frame, time, n).
-- visit = function(track, n, image, result) gets each box of a track and its frame while the video is read, for which
-- the frames of the last second or so are held. A track may turn out to be no face: ended = function(track) comes
-- when nothing more does, and track.kept says whether it is one of `tracks`, or part of one, which track.whole names at the
-- end.
function face.follow(path, options)
  options = options or {}
  local known = { box = "table", each = "function", visit = "function", ended = "function" }
  for name, kinds in pairs(face.options) do known[name] = kinds end
  check.keys(options, known, "data.faces")
  local detect = options.box and function() end
    or face.detector { cascade = options.cascade, smallest = options.smallest }
  local video = media.video(path)
  local b = options.box
  if b and (b[1] >= video.width or b[2] >= video.height or b[1] + b[3] <= 0 or b[2] + b[4] <= 0) then
    video:close()
    check.raise("argument", "%s: the box %s lies outside of its %dx%d pixels", path, table.concat(b, ","), video.width,
      video.height)
  end
  local result, images = { times = {}, fps = video.fps, width = video.width, height = video.height }, {}
  local function visit(t, n)
    if options.visit then options.visit(t, n, images[n], result) end
  end
  local function ended(t)
    if options.ended then options.ended(t) end
  end
  local tracker = options.box and standing(options.box, visit, ended)
    or track.new { fps = result.fps, tracker = options.tracker, gap = options.gap, rejoin = options.rejoin,
      overlap = options.overlap, share = options.share, shortest = options.shortest, smooth = options.smooth, visit = visit,
      ended = ended }
  local function next_image() -- the frames before a damage are good
    local ok, image, time = pcall(video.next, video)
    if ok then return image, time end
    if video.given == 0 or not check.is_error(image) or image.code ~= "format" then error(image, 0) end
    result.error = image
  end
  local held = options.visit and tracker.delay or 0
  local function drop(n)
    if images[n] then images[n]:free() end
    images[n] = nil
  end
  local ok, problem = xpcall(function()
    for image, time in next_image do
      local n = #result.times + 1
      result.times[n], images[n] = time, image
      tracker:add(detect(image), image)
      if options.each then options.each(image, time, n) end
      drop(n - held)
    end
    result.tracks, result.left_out = tracker:finish()
    result.resized = video:resized()
  end, check.trace)
  video:close()
  for n in pairs(images) do drop(n) end
  if not ok then check.rethrow(problem) end
  return result
end

return face
