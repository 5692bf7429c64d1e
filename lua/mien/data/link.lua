-- From detections to tracks of faces, frame by frame: linked, gaps filled, smoothed, parts of one face joined.
-- Not here: which trackers there are (track.lua), finding faces in one picture (core/data/face*), videos (face.lua).
local overlap = require("mien.data.track").overlap

local link = {}

local tracker = {}
tracker.__index = tracker

local function ignore() end

--- Links the boxes of one frame after the other: tracker:add(boxes, image, cut) for each frame, then tracker:finish().
-- A box is { x, y, w, h, score = (0), track = (the track that it is known to belong to) }; nothing goes on over a cut.
-- options: fps, gap, rejoin, overlap, share, shortest, smooth as data.faces takes them;
-- visit = function(track, frame): its box in this frame (from 1) will not change any more, which is known at most
-- tracker.delay frames later; frames of a track come in order, but it may still turn out to be no face;
-- ended = function(track): track.kept says whether it is one, and nothing more comes of it.
function link.new(options)
  local fps = options.fps and options.fps > 0 and options.fps or 25
  local function frames(seconds) return math.floor(seconds * fps + 0.5) end
  local self = setmetatable({ frames = 0, started = 0, fps = fps, open = {}, closed = {}, left_out = {}, cuts = {},
    visit = options.visit or ignore, ended = options.ended or ignore, overlap = options.overlap or 0.3,
    share = options.share or 0.3, gap = frames(options.gap or 0.5), rejoin = frames(options.rejoin or 5),
    least = frames(options.shortest or 0.5), radius = frames(options.smooth or 0.1) }, tracker)
  self.delay = self.gap + 2 * self.radius + 1
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

local PACE = 0.25 -- the weight of the newest step in a face's speed

--- Where a face would be that goes on as it did; its speed counts for a few frames only.
local function expected(t, frame)
  local n, box = math.min(frame - t.last, 8), t.latest
  return { box[1] + n * t.pace[1], box[2] + n * t.pace[2], box[3], box[4] }
end

--- Its boxes on the straight line between the last detection and a new one.
local function bridge(t, frame, box)
  local before, from = t.last, t.latest
  for k = before + 1, frame - 1 do
    local part = (k - before) / (frame - before)
    t.raw[k], t.filled[k], t.confidence[k] = {}, true, 0
    for i = 1, 4 do t.raw[k][i] = from[i] + part * (box[i] - from[i]) end
  end
  for i = 1, 2 do -- the centre's
    local step = (box[i] + box[i + 2] / 2 - from[i] - from[i + 2] / 2) / (frame - before)
    t.pace[i] = t.hits == 1 and step / 2 or t.pace[i] + PACE * (step - t.pace[i])
  end
  t.raw[frame], t.confidence[frame] = box, box.score or 0
  t.latest, t.seen, t.last, t.hits = box, frame, frame, t.hits + 1
end

--- A new track. Near the video's beginning, or a cut, its box is held back to the first frame from there (a face does not
-- appear by itself).
local function start(self, frame, box)
  local since = self.cuts[#self.cuts] or 1
  self.started = self.started + 1
  local t = { number = self.started, born = frame, first = frame - since <= self.gap and since or frame, last = frame,
    seen = frame, hits = 1, open = true, latest = box, entry = box, pace = { 0, 0 }, raw = {}, medians = {}, boxes = {},
    filled = {}, lost = {}, confidence = {} }
  for k = t.first, frame do
    t.raw[k], t.filled[k], t.confidence[k] = box, k < frame or nil, k < frame and 0 or box.score or 0
  end
  t.settled = t.first - 1
  table.insert(self.open, t)
end

--- Pairs of open tracks and boxes that may be one, the best first: { share, track's place, box's place }.
local function pairs_of(self, boxes, frame)
  local found = {}
  for i, t in ipairs(self.open) do
    local wanted = frame - t.last > 1 and self.overlap / 2 or self.overlap -- after a gap it has moved on
    local there = expected(t, frame)
    for b, box in ipairs(boxes) do
      local share = math.max(overlap(there, box), t.hits > 1 and 0 or overlap(t.latest, box))
      if box.track then share = box.track == t and 2 or 0 end
      if share >= wanted then found[#found + 1] = { share, i, b } end
    end
  end
  table.sort(found, function(a, b)
    if a[1] ~= b[1] then return a[1] > b[1] end
    if a[2] ~= b[2] then return a[2] < b[2] end
    return a[3] < b[3]
  end)
  return found
end

--- Gives each detection of the next frame to the track that it overlaps most where that is expected (best pairs first);
-- what is left starts tracks. A track that was not seen for more than `gap` frames has ended, and every track at a cut.
function tracker:add(boxes, _, cut)
  local frame, open = self.frames + 1, self.open
  if cut and frame > 1 then
    for i = #open, 1, -1 do self:close(table.remove(open, i)) end
    table.insert(self.cuts, frame)
  end
  self.frames = frame
  for i = #open, 1, -1 do
    if frame - open[i].last - 1 > self.gap then self:close(table.remove(open, i)) end
  end
  local used_track, used_box = {}, {}
  for _, pair in ipairs(pairs_of(self, boxes, frame)) do
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

--- Detections that make a face: those of a while, or half of a short video; a picture is one frame.
local function needed(self, frames)
  return math.min(frames, math.max(2, math.min(self.least, math.floor(frames / 2))))
end

local function leave_out(self, t, reason)
  t.kept = false
  table.insert(self.left_out,
    { first = t.born, last = t.seen, hits = t.hits, box = t.entry, reason = reason })
  self.ended(t)
end

--- Whether the end of one part and the beginning of a later one are at one place: of one size, centres within half a face.
local function at_one_place(a, b)
  local size = math.max(a[3], b[3])
  local x, y = a[1] + a[3] / 2 - b[1] - b[3] / 2, a[2] + a[4] / 2 - b[2] - b[4] / 2
  return math.min(a[3], b[3]) > size / 1.6 and x * x + y * y < size * size / 4
end

--- Whether there was no cut from the end of one part to the beginning of another, `rejoin` frames later at most.
local function within_reach(self, before, after)
  if after.first <= before.last or after.first - before.last - 1 > self.rejoin then return false end
  for _, cut in ipairs(self.cuts) do
    if cut > before.last and cut <= after.first then return false end
  end
  return true
end

--- Whether a track that is too short to be a face by itself may be a part of one that was seen before.
local function may_go_on(self, t)
  for i = #self.closed, 1, -1 do
    local before = self.closed[i]
    local near = within_reach(self, before, t) and at_one_place(before.boxes[before.last], t.entry)
    if near then return true end
  end
  return false
end

--- A track goes on no more. Too few detections leave it out at once, unless it may be a part of another face, or half of
-- a video whose length is not known yet.
function tracker:close(t)
  t.open = nil
  local span = t.seen - t.born + 1
  if t.hits / span < self.share then
    return leave_out(self, t, ("detected in only %d of its %d frames"):format(t.hits, span))
  end
  if t.hits < needed(self, self.frames) and t.hits < 3 and not may_go_on(self, t) then
    return leave_out(self, t, "too short")
  end
  self:settle(t, t.last)
  table.insert(self.closed, t)
  if t.hits >= needed(self, math.huge) then
    t.kept = true
    self.ended(t)
  end
end

--- Joins parts that end and begin at one place into faces: lists of parts, in order.
local function join(self)
  table.sort(self.closed, function(a, b)
    if a.first ~= b.first then return a.first < b.first end
    return a.number < b.number
  end)
  local faces = {}
  for _, t in ipairs(self.closed) do
    local best
    for _, face in ipairs(faces) do
      local before = face[#face]
      if within_reach(self, before, t) and at_one_place(before.boxes[before.last], t.boxes[t.first])
        and (not best or before.last > best[#best].last) then
        best = face
      end
    end
    if best then best[#best + 1] = t else faces[#faces + 1] = { t } end
  end
  return faces
end

--- The parts of a face in its first one: between them it is lost.
local function merge(parts)
  local whole = parts[1]
  for i = 2, #parts do
    local t = parts[i]
    for k = whole.last + 1, t.first - 1 do whole.lost[k] = true end
    for k = t.first, t.last do
      whole.boxes[k], whole.filled[k], whole.confidence[k] = t.boxes[k], t.filled[k], t.confidence[k]
    end
    whole.last, whole.hits, t.whole = t.last, whole.hits + t.hits, whole
  end
  whole.parts = #parts
  return whole
end

--- The faces, and the tracks that were left out. A face: { id = 1 for the one seen most, first, last, hits,
-- boxes[frame], filled[frame], confidence[frame], lost[frame], parts = tracks that were joined }; see data.faces. A track
-- that visit and ended were given and that was joined to an earlier one names it in `whole`. Left out: a list of { first,
-- last, hits, box, reason }. Where a face was seen shortly before the video's end its box is held.
function tracker:finish()
  for _, t in ipairs(self.open) do
    if self.frames - t.last <= self.gap then
      for frame = t.last + 1, self.frames do t.raw[frame], t.filled[frame], t.confidence[frame] = t.latest, true, 0 end
      t.last = self.frames
    end
    self:close(t)
  end
  self.open = {}
  local faces = {}
  for _, parts in ipairs(join(self)) do
    local hits, wanted = 0, needed(self, self.frames)
    for _, t in ipairs(parts) do hits = hits + t.hits end
    for _, t in ipairs(parts) do
      if hits < wanted then
        leave_out(self, t, "too short")
      elseif not t.kept then
        t.kept = true
        self.ended(t)
      end
    end
    if hits >= wanted then faces[#faces + 1] = merge(parts) end
  end
  for _, t in ipairs(self.closed) do
    t.raw, t.medians, t.born, t.settled, t.latest, t.pace = nil, nil, nil, nil, nil, nil
    t.seen, t.entry = nil, nil
  end
  table.sort(faces, function(a, b)
    if a.hits ~= b.hits then return a.hits > b.hits end
    if a.first ~= b.first then return a.first < b.first end
    return a.boxes[a.first][1] < b.boxes[b.first][1]
  end)
  for id, t in ipairs(faces) do t.id = id end
  for _, one in ipairs(self.left_out) do
    if one.reason == "too short" then
      one.reason = ("seen in %d frame%s, a face in %d at least"):format(one.hits, one.hits == 1 and "" or "s",
        needed(self, self.frames))
    end
  end
  return faces, self.left_out
end

return link
