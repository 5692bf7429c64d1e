-- From a video to crops of its one face, frame by frame: where the face is, which frame is shown when, the cutting.
-- Not here: finding and linking faces (mien.data.faces), labels (ratings.lua).
local ffi = require "ffi"
local lfs = require "lfs"
local square_of = require("mien.data.box").square
local check = require "mien.base.check"
local csv = require "mien.data.csv"
local data = require "mien.data"
local face = require "mien.data.face"
local file = require "mien.data.file"

local faces = {}

faces.extensions = { "mp4", "avi", "mkv", "mov", "webm", "MP4", "AVI" }

--- The video of this name in a folder, whatever its container; nil when there is none.
function faces.video(folder, name)
  for _, extension in ipairs(faces.extensions) do
    local path = ("%s/%s.%s"):format(folder, name, extension)
    if lfs.attributes(path, "mode") == "file" then return path end
  end
end

-- ---- where the face is -----------------------------------------------------------------------------

--- Points in a .pts file (the corners of a box, or landmarks): the box around them.
local function points(path)
  local input = assert(io.open(path, "rb"))
  local text = input:read "*a"
  input:close()
  local low, high = { math.huge, math.huge }, { -math.huge, -math.huge }
  for x, y in (text:match "%b{}" or ""):gmatch "([%d%.eE+-]+)[ \t]+([%d%.eE+-]+)" do
    for k, value in ipairs { tonumber(x), tonumber(y) } do
      low[k], high[k] = math.min(low[k], value), math.max(high[k], value)
    end
  end
  if not (high[1] > low[1] and high[2] > low[2]) then check.raise("format", "%s holds no box", path) end
  return { low[1], low[2], high[1] - low[1], high[2] - low[2] }
end

--- Boxes that were handed out with a corpus, by frame (from 1): FOLDER/NAME/1.pts ..., or FOLDER/NAME.csv with
-- columns frame (from 0), x, y, w, h as `mien predict` writes them. nil when there are none for this recording.
function faces.given(folder, name)
  local boxes, count = {}, 0
  local path = folder .. "/" .. name
  if lfs.attributes(path, "mode") == "directory" then
    local offset = lfs.attributes(path .. "/0.pts") and 1 or 0
    for entry in lfs.dir(path) do
      local frame = tonumber(entry:match "^(%d+)%.pts$")
      if frame then
        boxes[frame + offset], count = points(path .. "/" .. entry), count + 1
      end
    end
  elseif lfs.attributes(path .. ".csv") then
    for _, row in ipairs((csv.read(path .. ".csv", { "frame", "x", "y", "w", "h" }))) do
      local frame = tonumber(row.frame)
      local box = { tonumber(row.x), tonumber(row.y), tonumber(row.w), tonumber(row.h) }
      if not frame or #box < 4 or not (box[3] > 0 and box[4] > 0) then
        check.raise("format", "%s.csv:%d: no box of frame, x, y, w, h", path, row.line)
      end
      if not boxes[frame + 1] then count = count + 1 end
      boxes[frame + 1] = boxes[frame + 1] or box -- the face seen most stands first
    end
  end
  if count > 0 then return boxes, count end
end

--- One face from the tracks of a video: the one seen most, and where it is absent others that are not there at
-- the same time (a face that turned away comes back as a new track).
local function one_face(tracks)
  local boxes, taken, others = {}, {}, 0
  for _, track in ipairs(tracks) do
    local free = true
    for _, other in ipairs(taken) do
      if track.first <= other.last and other.first <= track.last then free = false end
    end
    others = others + (free and 0 or 1)
    if free then
      taken[#taken + 1] = track
      for frame = track.first, track.last do boxes[frame] = track.boxes[frame] end
    end
  end
  return boxes, others
end

--- Frames without a box take that of the nearest frame which has one: no frame is left out, none turns black. Gives the
-- boxes, how many were held, and which: { [frame] = true }.
local function hold(boxes, frames)
  local list, before, missing, held = {}, nil, 0, {}
  for frame = 1, frames do
    before = boxes[frame] and frame or before
    list[frame] = before or 0
  end
  local after
  for frame = frames, 1, -1 do
    after = boxes[frame] and frame or after
    local nearest = list[frame]
    if nearest == 0 or (after and after - frame < frame - nearest) then nearest = after end
    if nearest ~= frame then missing, held[frame] = missing + 1, true end
    list[frame] = nearest
  end
  for frame = 1, frames do list[frame] = boxes[list[frame]] end
  return list, missing, held
end

--- Follows the face of a video: { times, step (seconds of a frame), boxes (every frame has one), missing (frames
-- whose box was carried over), held[frame] = true for each of these, others (faces at the same time), error }.
-- options: boxes = what faces.given gave, each, search = what face.options of mien.data.face names.
function faces.follow(path, options)
  local given = options.boxes
  local takes = face.pick(options.search or {})
  takes.each, takes.box = options.each, given and { 0, 0, 1, 1 } or nil -- nothing to search: only times are read
  local seen = data.faces(path, takes)
  local frames = #seen.times
  local boxes, others = given, 0
  if not given then boxes, others = one_face(seen.tracks) end
  local any = false
  for frame = 1, frames do any = any or boxes[frame] ~= nil end
  if not any then
    check.raise("argument", "%s: no face in %d frames%s; --boxes names a folder that says where it is", path, frames,
      not given and #seen.left_out > 0 and "; " .. face.left_out(seen) or "")
  end
  local step = seen.fps > 0 and 1 / seen.fps
    or frames > 1 and (seen.times[frames] - seen.times[1]) / (frames - 1) or 0
  local result = { times = seen.times, step = step, error = seen.error, others = others,
    left_out = not given and #seen.left_out > 0 and face.left_out(seen) or nil }
  result.boxes, result.missing, result.held = hold(boxes, frames)
  return result
end

-- ---- which frame is shown when -----------------------------------------------------------------------

local ROUNDING = 1e-3 -- seconds: Matroska keeps times in milliseconds

--- Source frames (from 1) that are shown at these rising times, as long as the video lasts; before its first frame that
-- one.
function faces.shown(found, times)
  local starts, map, frame = found.times, {}, 1
  local stop = starts[#starts] + found.step + ROUNDING
  for i, t in ipairs(times) do
    if t > stop then break end
    while frame < #starts and starts[frame + 1] <= t + ROUNDING do frame = frame + 1 end
    map[i] = frame
  end
  return map
end

--- The same at t = step, 2 step, ..., `most` at most.
function faces.at(found, step, most)
  local times = {}
  for i = 1, most do times[i] = i * step end
  return faces.shown(found, times)
end

-- ---- cutting -----------------------------------------------------------------------------------------

faces.piece = 64 -- crops in memory

--- Cuts the frames that map names in rising order: squares around the boxes' centres, as `mien predict` cuts them.
-- Calls write(crops u8 [n,size,size,3]) with some of them at a time.
function faces.cut(path, found, map, size, write)
  local crops, bytes = file.array("u8", { math.min(faces.piece, #map), size, size, 3 }), size * size * 3
  local target, room, held = crops:data(), math.min(faces.piece, #map), 0
  local video = data.video(path)
  local n, at = 0, 1
  local function flush()
    if held > 0 then write(crops:narrow(1, 1, held)) end
    held = 0
  end
  local ok, err = pcall(function()
    for frame in video:frames() do
      n = n + 1
      if map[at] == n then
        local crop = data.image.crop(frame, square_of(found.boxes[n]), { size, size })
        while map[at] == n do
          ffi.copy(target + held * bytes, crop:data(), bytes)
          held, at = held + 1, at + 1
          if held == room then flush() end
        end
        crop:free()
      end
      if at > #map then break end
    end
    flush()
  end)
  video:close()
  crops:free()
  if not ok then error(err, 0) end
  if at <= #map then check.raise("format", "%s: %d frames at second reading, %d at first", path, n, #found.times) end
end

return faces
