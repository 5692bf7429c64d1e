-- Finds the faces of a video and follows them, in one pass over its frames.
-- Not here: linking them (track.lua), finding faces in one picture (core/data/face.cpp).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local media = require "mien.data.media"
local parts = require "mien.base.parts"
local tensor = require "mien.tensor"
local track = require "mien.data.track"

local face = {}

local MOST = 32 -- faces in a frame

face.detectors = parts.detectors

--- The name of a detector that exists.
local function known(name)
  return face.detectors[name] and name or check.unknown("data.faces", "detector", tostring(name), face.detectors)
end

--- A detector of the C core by name, with the file of what was trained.
local function open(name, weights)
  return ffi.gc(check.pointer(C.mien_face_detector_new(name, weights)), C.mien_face_detector_close)
end

local function close(handle)
  C.mien_face_detector_close(ffi.gc(handle, nil))
end

--- A detector that is a function of Lua; nil where it is one of the C core.
local function in_lua(options)
  local detector = options.detector or "cascade"
  if type(detector) == "function" then return detector end
  local module = face.detectors[known(detector)]
  if module == true then return nil end
  return require(module[1])[module[2]] { weights = options.weights, smallest = options.smallest }
end

local function list_of(faces, count)
  local list = {}
  for i = 0, count - 1 do
    local f = faces[i]
    list[i + 1] = { f.x, f.y, f.w, f.h, score = f.score }
  end
  return list
end

--- A detector: `detect(image)` gives a list of boxes { x, y, w, h, score = }, largest first. detector: "cascade" (OpenCV's,
-- its frontal face when no weights are named), "yunet", "pico", "mtcnn", or such a function itself; weights: the file of
-- what was trained; smallest: side of the smallest face in pixels (a twelfth of the shorter side).
function face.detector(options)
  options = options or {}
  check.keys(options, { detector = "string|function", weights = "string", smallest = "integer" }, "data.face_detector")
  local own = in_lua(options)
  if own then return own end
  local handle = open(options.detector or "cascade", options.weights)
  local faces = ffi.new("mien_face[?]", MOST)
  return function(image)
    local n = C.mien_face_detect(handle, image, options.smallest or 0, faces, MOST)
    if n < 0 then check.status(n) end
    return list_of(faces, n)
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

-- What says how faces are found and followed: for data.faces and, as --detector-weights FILE, for command lines.
face.words = {
  { "detector", "string|function", "NAME", "what finds faces: cascade (OpenCV's), yunet, mtcnn or pico" },
  { "detector_weights", "string", "FILE", "what the detector was trained to: an XML for cascade, .onnx for yunet, ..." },
  { "tracker", "string|function", "NAME", "what follows them: link or none" },
  { "smallest", "integer", "PIXELS", "side of the smallest face (a twelfth of the shorter side)" },
  { "shortest", "number", "SECONDS", "how long a face is detected at least (0.5; half of a short video)" },
  { "gap", "number", "SECONDS", "how long its box is carried over where it is not detected (0.5)" },
  { "rejoin", "number", "SECONDS", "how long it may be away and is the same where it comes back at its place (5)" },
  { "search_every", "integer", "N", "all of the picture is searched in each n-th frame (15)" },
}

face.options = { overlap = "number", share = "number", smooth = "number" }
for _, word in ipairs(face.words) do face.options[word[1]] = word[2] end

--- Those of a table of options that data.faces takes.
function face.pick(options)
  local picked = {}
  for name in pairs(face.options) do picked[name] = options[name] end
  return picked
end

--- Refuses what makes no sense among the options of face.words; `what` begins the message. given: a command line's texts,
-- by name, for the message.
function face.check(options, what, given)
  for _, word in ipairs(face.words) do
    local name, kind, value = word[1], word[2], options[word[1]]
    local least = name == "search_every" and 1 or 0
    local numeric = kind == "number" or kind == "integer"
    if numeric and value ~= nil and not (type(value) == "number" and value >= least and value <= 1e6
      and (kind == "number" or value % 1 == 0)) then
      check.raise("usage", "%s: --%s %s: wanted is a%s number of %s, %d at least", what, name:gsub("_", "-"),
        tostring(given and given[name] or value), kind == "integer" and " whole" or "", word[3]:lower(), least)
    end
  end
  if type(options.detector) == "string" then known(options.detector) end
  if type(options.tracker) == "string" and not track.kinds[options.tracker] then
    check.unknown(what, "tracker", options.tracker, track.kinds)
  end
end

--- Options of face.words from a command line's texts, numbers as numbers; `what` begins the message of what makes no sense.
function face.from_words(texts, what)
  local picked = {}
  for _, word in ipairs(face.words) do
    local name, kind, text = word[1], word[2], texts[word[1]]
    local numeric = kind == "number" or kind == "integer"
    if text then picked[name] = numeric and (tonumber(text) or text) or text end
  end
  face.check(picked, what, texts)
  return picked
end

--- Words about the tracks that data.faces left out: how many, and the longest of them with their reasons. Frames count from
-- 0, as `mien predict` writes them.
function face.left_out(seen)
  local list, texts = {}, {}
  for i, one in ipairs(seen.left_out) do list[i] = one end
  table.sort(list, function(a, b)
    if a.hits ~= b.hits then return a.hits > b.hits end
    return a.first < b.first
  end)
  for i = 1, math.min(#list, 3) do
    texts[i] = ("frames %d to %d %s"):format(list[i].first - 1, list[i].last - 1, list[i].reason)
  end
  if #list > 3 then texts[4] = ("%d that were seen less"):format(#list - 3) end
  return ("left out as no face: %d track%s: %s (--shortest, --gap)"):format(#list, #list == 1 and "" or "s",
    table.concat(texts, "; "))
end

--- The frames of a video one by one: next() -> image, time, boxes, cut; and close(). Those of the C core find faces beside
-- Lua; a detector that is a function is asked here.
local function open_stream(video, options)
  local own = not options.box and in_lua { detector = options.detector, weights = options.detector_weights,
    smallest = options.smallest }
  local handle = not options.box and not own and open(options.detector or "cascade", options.detector_weights)
    or nil
  local stream = check.pointer(C.mien_stream_open(video.handle, handle, options.smallest or 0, options.search_every or 15,
    options.threads or 1))
  local frame = ffi.new "mien_stream_frame"
  local function next_frame()
    local code = C.mien_stream_next(stream, frame)
    if code < 0 then check.status(code) end
    if code == 0 then return nil end
    local image = tensor.wrap(frame.image)
    return image, frame.time, own and own(image) or list_of(frame.faces, frame.count), frame.cut
  end
  local function finish()
    C.mien_stream_close(stream)
    if handle then close(handle) end
    video:close()
  end
  return next_frame, finish
end

local function check_box(path, b, video)
  if b[1] >= video.width or b[2] >= video.height or b[1] + b[3] <= 0 or b[2] + b[4] <= 0 then
    video:close()
    check.raise("argument", "%s: the box %s lies outside of its %dx%d pixels", path, table.concat(b, ","), video.width,
      video.height)
  end
end

--- Follows the faces of a video: { times = list, fps =, width =, height =, tracks = list, left_out = list, cuts = list of the
-- frames before which the camera cut, resized = frames of another size that were brought to this one, error = nil or what
-- ended a damaged file early }.
-- A track: { id = 1 for the face seen most, first, last (1-based frames), hits, boxes[frame] = { x, y, w, h },
-- filled[frame] = true where no detection stood behind the box, confidence[frame] = the detector's score,
-- lost[frame] = true where the face was away between two parts of the track: there is no box }.
-- What was left out is in `left_out`: { first, last, hits, box, reason }.
-- options: box = { x, y, w, h } (one face there, nothing is detected), detector = "cascade" and detector_weights (see
-- data.face_detector), tracker = "link" (track.kinds), smallest = side of the smallest face in pixels
-- (a twelfth of the shorter side), shortest = 0.5 (seconds of detections that make a face; or half of a short video), gap =
-- 0.5 (seconds that a face may stay undetected), rejoin = 5 (seconds after which a face that comes back at the same place is
-- the same), search_every = 15 (frames from one search of the whole picture to the next; between them faces are looked for
-- where they were), overlap = 0.3 (of boxes in neighbouring frames), share = 0.3 (of a track's frames that need a
-- detection), smooth = 0.1 (seconds on each side), threads = 1 (0: nothing runs beside Lua; what comes out is the same),
-- each = function(frame, time, n).
-- visit = function(track, n, image, result) gets each box of a track and its frame while the video is read, for which
-- the frames of the last second or so are held. A track may turn out to be no face: ended = function(track) comes
-- when nothing more does, and track.kept says whether it is one of `tracks`, or part of one, which track.whole names at the
-- end.
function face.follow(path, options)
  options = options or {}
  local takes = { box = "table", each = "function", visit = "function", ended = "function", threads = "integer" }
  for name, kinds in pairs(face.options) do takes[name] = kinds end
  check.keys(options, takes, "data.faces")
  local video = media.video(path)
  if options.box then check_box(path, options.box, video) end
  local result = { times = {}, cuts = {}, fps = video.fps, width = video.width, height = video.height }
  local images = {}
  local function visit(t, n)
    if options.visit then options.visit(t, n, images[n], result) end
  end
  local function ended(t)
    if options.ended then options.ended(t) end
  end
  local tracker = options.box and standing(options.box, visit, ended)
    or track.new { fps = result.fps, tracker = options.tracker, gap = options.gap,
      rejoin = options.rejoin, overlap = options.overlap, share = options.share, shortest = options.shortest,
      smooth = options.smooth, visit = visit, ended = ended }
  local next_frame, finish = open_stream(video, options)
  local function next_good() -- the frames before a damage are good
    local ok, image, time, boxes, cut = pcall(next_frame)
    if ok then return image, time, boxes, cut end
    if #result.times == 0 or not check.is_error(image) or image.code ~= "format" then error(image, 0) end
    result.error = image
  end
  local held = options.visit and tracker.delay or 0
  local function drop(n)
    if images[n] then images[n]:free() end
    images[n] = nil
  end
  local ok, problem = xpcall(function()
    for image, time, boxes, cut in next_good do
      local n = #result.times + 1
      result.times[n], images[n] = time, image
      if cut then table.insert(result.cuts, n) end
      tracker:add(boxes, image, cut)
      if options.each then options.each(image, time, n) end
      drop(n - held)
    end
    result.tracks, result.left_out = tracker:finish()
    result.resized = video:resized()
  end, check.trace)
  finish()
  for n in pairs(images) do drop(n) end
  if not ok then check.rethrow(problem) end
  return result
end

return face
