-- From detections to tracks of faces, frame by frame: linked, gaps filled, smoothed.
-- Not here: finding faces in one picture (core/data/face.cpp), videos (face.lua).
local track = {}

--- Intersection over union of two boxes { x, y, w, h }.
function track.overlap(a, b)
  local w = math.min(a[1] + a[3], b[1] + b[3]) - math.max(a[1], b[1])
  local h = math.min(a[2] + a[4], b[2] + b[4]) - math.max(a[2], b[2])
  if w <= 0 or h <= 0 then return 0 end
  return w * h / (a[3] * a[4] + b[3] * b[4] - w * h)
end

local tracker = {}
tracker.__index = tracker

local function ignore() end

--- Links the boxes of one frame after the other: tracker:add(list of boxes) for each frame, then tracker:finish().
-- options: fps, hold, overlap, share, least, smooth as data.faces takes them;
-- visit = function(track, frame): its box in this frame (from 1) will not change any more, which is known at most
-- tracker.delay frames later; frames of a track come in order, but it may still turn out to be no face;
-- ended = function(track): track.kept says whether it is one, and nothing more comes of it.
function track.new(options)
  local fps = options.fps and options.fps > 0 and options.fps or 25
  local function frames(seconds) return math.floor(seconds * fps + 0.5) end
  local self = setmetatable({ frames = 0, open = {}, closed = {}, visit = options.visit or ignore,
    ended = options.ended or ignore, overlap = options.overlap or 0.3, share = options.share or 0.3,
    hold = frames(options.hold or 0.5), least = frames(options.least or 1.5), radius = frames(options.smooth or 0.1) },
    tracker)
  self.delay = self.hold + 2 * self.radius + 1
  return self
end

-- ---- smoothing ---------------------------------------------------------------------------------

local function median(values)
  table.sort(values)
  return values[(#values + 1) / 2]
end

local function mean(values)
  local sum = 0
  for _, value in ipairs(values) do sum = sum + value end
  return sum / #values
end

--- pick(values) for each number of the boxes around a frame.
local function around(boxes, frame, reach, pick)
  local out = {}
  for i = 1, 4 do
    local values = {}
    for k = frame - reach, frame + reach do values[#values + 1] = boxes(k)[i] end
    out[i] = pick(values)
  end
  return out
end

--- A track's box in a frame, raw boxes being known up to 2 radius frames later or to the track's end: median (against
-- single wrong boxes) and then mean over `radius` frames on each side, of centre and size.
local function smooth(t, frame, radius)
  if radius < 1 then return t.raw[frame] end
  local function reach(k) -- the same on both sides, so that motion is not held back
    return math.min(radius, k - t.first, t.last - k)
  end
  local function centred(k)
    local b = t.raw[k]
    return { b[1] + b[3] / 2, b[2] + b[4] / 2, b[3], b[4] }
  end
  local function middle(k)
    t.medians[k] = t.medians[k] or around(centred, k, reach(k), median)
    return t.medians[k]
  end
  local b = around(middle, frame, reach(frame), mean)
  return { b[1] - b[3] / 2, b[2] - b[4] / 2, b[3], b[4] }
end

--- Final boxes up to a frame.
function tracker:settle(t, upto)
  for frame = t.settled + 1, upto do
    t.boxes[frame], t.settled = smooth(t, frame, self.radius), frame
    self.visit(t, frame)
    local past = frame - self.radius - 1 -- of no more use
    t.raw[past], t.medians[past] = nil, nil
  end
end

-- ---- linking -----------------------------------------------------------------------------------

--- A detection that comes and goes is no face: a real one is found for a while (or half a short video of `frames`; a
-- picture is one frame).
local function enough(self, t, frames)
  return t.hits >= math.min(frames, math.max(2, math.min(self.least, math.floor(frames / 2))))
end

--- Whether a track that goes on no more is a face; nil where that depends on how long the video is.
local function judge(self, t)
  if t.hits / (t.last - t.born + 1) < self.share or not enough(self, t, self.frames) then return false end
  return enough(self, t, math.huge) or nil
end

--- Its boxes on the straight line between the last detection and a new one.
local function bridge(t, frame, box)
  local before, from = t.last, t.raw[t.last]
  for k = before + 1, frame - 1 do
    local part = (k - before) / (frame - before)
    t.raw[k], t.filled[k] = {}, true
    for i = 1, 4 do t.raw[k][i] = from[i] + part * (box[i] - from[i]) end
  end
  t.raw[frame], t.last, t.hits = box, frame, t.hits + 1
end

--- A new track. Near the video's beginning its box is held back to the first frame (a face does not appear by itself).
local function start(self, frame, box)
  local t = { born = frame, first = frame <= self.hold + 1 and 1 or frame, last = frame, hits = 1, raw = {}, medians = {},
    boxes = {}, filled = {} }
  for k = t.first, frame do t.raw[k], t.filled[k] = box, k < frame or nil end
  t.settled = t.first - 1
  table.insert(self.open, t)
end

--- Gives each detection of the next frame to the track whose last box it overlaps most (best pairs first); what is
-- left starts tracks. A track that was not seen for more than `hold` frames has ended.
function tracker:add(boxes)
  local frame, open = self.frames + 1, self.open
  self.frames = frame
  for i = #open, 1, -1 do
    if frame - open[i].last - 1 > self.hold then self:close(table.remove(open, i)) end
  end
  local found = {}
  for i, t in ipairs(open) do
    local wanted = frame - t.last > 1 and self.overlap / 2 or self.overlap -- after a gap it has moved on
    for b, box in ipairs(boxes) do
      local share = track.overlap(t.raw[t.last], box)
      if share >= wanted then found[#found + 1] = { share, i, b } end
    end
  end
  table.sort(found, function(a, b)
    if a[1] ~= b[1] then return a[1] > b[1] end
    if a[2] ~= b[2] then return a[2] < b[2] end
    return a[3] < b[3]
  end)
  local used_track, used_box = {}, {}
  for _, pair in ipairs(found) do
    local i, b = pair[2], pair[3]
    if not used_track[i] and not used_box[b] then
      used_track[i], used_box[b] = true, true
      bridge(open[i], frame, boxes[b])
    end
  end
  for b, box in ipairs(boxes) do
    if not used_box[b] then start(self, frame, box) end
  end
  for _, t in ipairs(open) do self:settle(t, t.last - 2 * self.radius) end
end

-- ---- ends --------------------------------------------------------------------------------------

function tracker:close(t)
  t.kept = judge(self, t)
  if t.kept ~= false then
    self:settle(t, t.last)
    table.insert(self.closed, t)
  end
  if t.kept ~= nil then self.ended(t) end
end

--- The tracks that are faces: a list of { id = 1 for the face seen most, first, last, hits, boxes, filled }; see
-- data.faces. Where a face was seen shortly before the video's end its box is held.
function tracker:finish()
  for _, t in ipairs(self.open) do
    t.kept = judge(self, t) ~= false
    if t.kept then
      if self.frames - t.last <= self.hold then
        for frame = t.last + 1, self.frames do t.raw[frame], t.filled[frame] = t.raw[t.last], true end
        t.last = self.frames
      end
      self:settle(t, t.last)
      table.insert(self.closed, t)
    end
    self.ended(t)
  end
  local faces = {}
  for _, t in ipairs(self.closed) do
    if t.kept == nil then
      t.kept = enough(self, t, self.frames)
      self.ended(t)
    end
    t.raw, t.medians, t.born, t.settled = nil, nil, nil, nil
    if t.kept then faces[#faces + 1] = t end
  end
  table.sort(faces, function(a, b)
    if a.hits ~= b.hits then return a.hits > b.hits end
    if a.first ~= b.first then return a.first < b.first end
    return a.boxes[a.first][1] < b.boxes[b.first][1]
  end)
  for id, t in ipairs(faces) do t.id = id end
  return faces
end

return track
