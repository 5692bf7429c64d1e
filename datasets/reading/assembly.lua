-- What the readers of videos share: from checked labels and videos to the corpus file, with notes.
-- Not here: the forms of the annotations, who is in which partition.
local folders = require "mien.base.folders"
local check = require "mien.base.check"
local C = require "mien.base.ffi"
local data = require "mien.data"
local faces = require "reading.faces"
local file = require "mien.data.file"
local people = require "reading.people"
local search = require "reading.search"
local status_line = require "mien.base.status_line"

local assembly = {}

--- f32 or f64 tensor of `shape` from value(row, ...) of its n rows and `width` columns, both from 1.
function assembly.tensor(dtype, shape, value)
  local t, width = file.array(dtype, shape), 1
  for i = 2, #shape do width = width * shape[i] end
  local out = t:data()
  for row = 1, shape[1] do
    for k = 1, width do out[(row - 1) * width + k - 1] = value(row, k) end
  end
  return t
end

--- Searching faces takes most of the time. Says how far it is: { at(job) -> function(frame, time) for a search, done() }.
local function progress(total)
  local began, number, searched = C.mien_time_monotonic(), 0, 0
  local function left() -- after the first that was searched
    if searched == 0 then return "" end
    local seconds = (C.mien_time_monotonic() - began) / searched * (total - number)
    return (", about %s left"):format(seconds < 90 and ("%.0f s"):format(seconds) or ("%.0f min"):format(seconds / 60))
  end
  local self = {}
  function self.at(job)
    return function(_, time)
      status_line.show(("%d of %d, %s: searching the face, %.1f s%s"):format(number + 1, total, job.name, time, left()))
    end
  end
  --- kept: what was found was there already.
  function self.done(job, kept)
    number, searched = number + 1, searched + (kept and 0 or 1)
    if C.mien_terminal(2) then return end -- there the line above says it
    io.stderr:write(("%d of %d, %s%s\n"):format(number, total, job.name, left()))
  end
  return self
end

--- The face of a recording; nil where its video cannot be used, which is said: hours of work on the others stay. The second
-- result: it was found before.
local function follow(job, o, each)
  if job.seen then return job.seen end
  local ok, found, kept = pcall(search.follow, job, search.folder(o.out), each)
  if ok then return found, kept end
  if not check.is_error(found) or found.code == "interrupted" then error(found, 0) end
  o.note("left out %s (%s): %s", job.name, job.partition, found.message)
end

local function remark(job, found, n, note)
  if found.error then note("%s: %s; what came before it is used", job.name, found.error.message) end
  if n ~= job.rows or job.longer(found, n) then
    note("%s: %d rows of labels, the video has %d frames of %.3f s: %d pairs from the beginning", job.name, job.rows,
      #found.times, found.step, n)
  end
  if found.missing > 0 then
    note("%s: no box of the face in %d of %d frames; boxes nearby were held, and their rows say face = 0", job.name,
      found.missing, #found.times)
  end
  if found.left_out then note("%s: %s", job.name, found.left_out) end
  if found.others > 0 then
    note("%s: %d other faces at the same time; the one seen most is used", job.name, found.others)
  end
end

local function add(writer, job, o, found, map)
  local n = #map
  local kinds = #o.names
  local labels = o.label_kind == "class" and assembly.tensor("i32", { n }, job.labels)
    or assembly.tensor("f32", { n, kinds }, job.labels)
  local votes = job.votes and assembly.tensor("u8", { n, kinds }, job.votes)
  local traces = job.traces and assembly.tensor("f32", { n, job.raters, #o.names }, job.traces)
  local time = assembly.tensor("f64", { n }, function(row) return job.time(row, found, map) end)
  local face = assembly.tensor("u8", { n }, function(row) return found.held[map[row]] and 0 or 1 end)
  writer:recording { name = job.name, subject = job.subject, partition = job.partition, labels = labels, traces = traces,
    votes = votes, face = face, time = time, frames = function(write)
      if job.cut then return job.cut(map, o.size, write) end
      faces.cut(job.video, found, map, o.size, write)
    end }
  labels:free() time:free() face:free()
  if votes then votes:free() end
  if traces then traces:free() end
end

--- A job whose rows stand at `step`, 2 `step`, ... seconds: gets its map, time and longer.
function assembly.even(job, step)
  function job.map(seen) return faces.at(seen, step, job.rows) end
  function job.time(row) return row * step end
  function job.longer(seen, n) return #faces.at(seen, step, n + 2) > n + 1 end
  return job
end

--- "640x480": what the paper's Table 2 calls the resolution.
local function size_of(path)
  local video = data.video(path)
  local text = ("%dx%d"):format(video.width, video.height)
  video:close()
  return text
end

--- Writes the corpus: { out =, size =, name =, source =, split = { name =, recordings = how many it has },
-- people = { [subject] = { gender =, age = } } or nil, fps =, names = label names,
-- label_kind = ("continuous"), label_range = { low, high }, note = function(fmt, ...),
-- jobs = list of { name, subject, partition, video, boxes, search = options of mien.data.faces (face.words),
--   rows = number of label rows, map = function(found) -> source frames that meet the label rows in order,
--   longer = function(found, n): the video goes on after its n pairs,
--   labels = function(row, k), traces and votes = function(row, k) or nil, raters = R,
--   time = function(row, found, map), seen, cut, resolution = for faces that were cut out already: what faces.follow would
--   give, function(map, size, write) that writes them, and "640x480" } }; a map of nil leaves a recording out.
-- Gives { recordings =, frames =, fps =, left_out = names }.
function assembly.write(o)
  folders.make_for(o.out)
  local writer = data.writer(o.out, { name = o.name, height = o.size, width = o.size, fps = o.fps,
    label_kind = o.label_kind or "continuous", label_range = o.label_range, label_names = o.names, source = o.source })
  local result, held = { recordings = 0, frames = 0, fps = o.fps, left_out = {} }, {}
  local sizes, shown, known = {}, progress(#o.jobs), 0
  local ok, err = pcall(function()
    for _, job in ipairs(o.jobs) do
      job.search = job.search or {}
      local found, kept = follow(job, o, shown.at(job))
      shown.done(job, kept)
      known = known + (kept and 1 or 0)
      local map = found and job.map(found)
      if map then
        remark(job, found, #map, o.note)
        add(writer, job, o, found, map)
        result.recordings, result.frames = result.recordings + 1, result.frames + #map
        held[job.partition], sizes[#sizes + 1] = true, job.resolution or size_of(job.video)
        job.map, job.labels, job.votes, job.traces = nil, nil, nil, nil -- what they hold is written
      else
        table.insert(result.left_out, job.name)
      end
    end
    if known > 0 then o.note("the faces of %d recordings were found by an import that did not end", known) end
    if result.recordings == 0 then check.raise("io", "none of the %d videos could be used", #o.jobs) end
    for _, partition in ipairs { "train", "devel" } do
      if not held[partition] then o.note("there is no recording in %s: nothing can be trained with this", partition) end
    end
    if o.split then
      local whole = result.recordings == o.split.recordings
      writer:split(whole and o.split.name or ("%s, %d of %d recordings"):format(o.split.name, result.recordings,
        o.split.recordings))
    end
    people.store(writer, o.people)
    writer.h5:set("recording_sizes", sizes, "recording")
    writer:finish()
    search.forget(search.folder(o.out))
  end)
  writer:close()
  status_line.clear()
  if not ok then error(err, 0) end
  return result
end

return assembly
