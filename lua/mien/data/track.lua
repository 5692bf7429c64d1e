-- From the detections of each frame to faces that go through a video: which ways there are, what all of them share.
-- Not here: linking (link.lua), finding faces in one picture (core/data/face*), videos (face.lua).
local check = require "mien.base.check"

local track = {}

--- Intersection over union of two boxes { x, y, w, h }.
function track.overlap(a, b)
  local w = math.min(a[1] + a[3], b[1] + b[3]) - math.max(a[1], b[1])
  local h = math.min(a[2] + a[4], b[2] + b[4]) - math.max(a[2], b[2])
  if w <= 0 or h <= 0 then return 0 end
  return w * h / (a[3] * a[4] + b[3] * b[4] - w * h)
end

-- The trackers by name, each loaded when it is wanted. It is called with the options of track.new and gives a table with
--   add(self, boxes, image, cut)  one frame after the other: its detections, a list of { x, y, w, h, score = }, its picture
--                                 u8 [H,W,3] (only for the length of the call), true where the camera cut before it;
--   finish(self)                  the faces and what was left out (see link.lua);
--   delay                         frames that a box may still change after its frame was added.
track.kinds = require("mien.base.parts").trackers

--- A tracker. options.tracker: "link" (detections that overlap from frame to frame), "none" (every detection of a frame for
-- itself: the n-th largest is face n), or a function(options) that makes one (track.following helps); the others as
-- data.faces takes them, and fps, visit, ended (see link.lua).
function track.new(options)
  local make = options.tracker or "link"
  if type(make) == "string" then
    local kind = track.kinds[make] or check.unknown("data.faces", "tracker", make, track.kinds)
    make = require(kind[1])[kind[2]]
  end
  return make(options)
end

-- ---- no tracker -----------------------------------------------------------------------------------

--- The tracker that follows nothing: the n-th largest detection of each frame is face n. Nothing is linked, filled, smoothed
-- or left out.
function track.none(options)
  local faces, frames = {}, 0
  local visit, ended = options.visit or function() end, options.ended or function() end
  return {
    delay = 0,
    add = function(_, boxes)
      frames = frames + 1
      for i, box in ipairs(boxes) do
        local t = faces[i] or { id = i, first = frames, hits = 0, boxes = {}, filled = {}, lost = {}, confidence = {} }
        faces[i] = t
        if t.last then
          for k = t.last + 1, frames - 1 do t.lost[k] = true end
        end
        t.last, t.hits, t.boxes[frames], t.confidence[frames] = frames, t.hits + 1, box, box.score or 0
        visit(t, frames)
      end
    end,
    finish = function()
      for _, t in ipairs(faces) do
        t.kept = true
        ended(t)
      end
      return faces, {}
    end,
  }
end

-- ---- a follower in each face ----------------------------------------------------------------------

local SEEN = 3 -- detections that a face needs before somebody follows it

local following = {}
following.__index = following

--- A tracker out of something that follows one box: start(image, box) begins in a picture with a box and gives a follower;
-- follower:next(image) -> box { x, y, w, h }, confidence: at or below 0 it has lost its target. It follows each face that was
-- detected in 3 frames; where it has lost the face, a detection nearby lets it begin again. What it says counts as a
-- detection; detections that overlap it are its own.
function track.following(options, start)
  local self = setmetatable({ start = start, by_track = {} }, following)
  self.links = require("mien.data.link").new(options)
  self.delay = self.links.delay
  return self
end

function following:add(boxes, image, cut)
  if cut then self.by_track = {} end
  local all, followed_tracks = {}, {}
  for t in pairs(self.by_track) do followed_tracks[#followed_tracks + 1] = t end
  table.sort(followed_tracks, function(a, b) return a.number < b.number end) -- followers may draw from one stream
  for _, t in ipairs(followed_tracks) do
    local box, confidence = self.by_track[t]:next(image)
    if not t.open or confidence <= 0 then
      self.by_track[t] = nil
    else
      all[#all + 1] = { box[1], box[2], box[3], box[4], score = confidence, track = t }
    end
  end
  local followed = #all
  for _, box in ipairs(boxes) do
    local own = false
    for i = 1, followed do own = own or track.overlap(box, all[i]) > 0.3 end
    if not own then all[#all + 1] = box end
  end
  self.links:add(all, image, cut)
  for _, t in ipairs(self.links.open) do
    if t.hits >= SEEN and t.last == self.links.frames and not self.by_track[t] then
      self.by_track[t] = self.start(image, t.latest)
    end
  end
end

function following:finish() return self.links:finish() end

return track
