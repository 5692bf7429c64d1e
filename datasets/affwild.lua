-- Aff-Wild as its owners hand it out: videos, and a text file for each video and dimension, as a corpus.
-- Not here: AffWildNet (mien.models.affwildnet), its training (experiments/affwild.lua).
--
--   mien dataset import affwild --from AffWild --out corpora/paper/affwild.h5
--
-- Line i of ANNOTATIONS/arousal/NAME.txt and ANNOTATIONS/valence/NAME.txt belongs to frame i of the video NAME.
-- Where there are as many lines as boxes, but not as frames, line i belongs to the i-th frame that has a box.
local here = debug.getinfo(1, "S").source:gsub("^@", ""):match "^(.*)/[^/]*$" or "."
if not package.path:find(here .. "/?.lua", 1, true) then package.path = here .. "/?.lua;" .. package.path end

local lfs = require "lfs"
local ratings = require "reading.ratings"
local assembly = require "reading.assembly"
local check = require "mien.base.check"
local command = require "reading.command"
local faces = require "reading.faces"
local people = require "reading.people"

local TARGETS = { "arousal", "valence" }

--- Two people in one video are annotated as NAME_left and NAME_right; they stay in one partition. Without a list of
-- people it is the name of the video that stands for the person, though some people are in several videos.
local function source_of(name)
  return name:match "^(.+)_left$" or name:match "^(.+)_right$" or name
end

--- Names that are annotated in both dimensions, sorted; half annotated ones are noted.
local function annotated(o)
  local seen, names = {}, {}
  for _, dimension in ipairs(TARGETS) do
    local folder = o.annotations .. "/" .. dimension
    if lfs.attributes(folder, "mode") ~= "directory" then
      check.raise("io", "there is no folder %s; --annotations names the one that holds arousal and valence", folder)
    end
    for entry in lfs.dir(folder) do
      local name = entry:match "^(.+)%.txt$"
      if name then
        seen[name] = (seen[name] or "") .. dimension
      end
    end
  end
  for name, dimensions in pairs(seen) do
    if dimensions == "arousalvalence" then names[#names + 1] = name else names.half = names.half or name end
  end
  table.sort(names)
  if names.half then
    o.note("left out %s and whatever else has %s alone", names.half, seen[names.half])
  end
  return names
end

--- Source frames that meet the lines in order: all, or those with a box.
local function pairing(job, boxed, note)
  return function(found)
    local map, frames = {}, #found.times
    if job.rows ~= frames and boxed == job.rows then
      note("%s: %d lines for the %d of %d frames that have a box", job.name, job.rows, boxed, frames)
      for frame = 1, frames do
        if job.boxes[frame] then map[#map + 1] = frame end
      end
    else
      for frame = 1, math.min(job.rows, frames) do map[frame] = frame end
    end
    return map
  end
end

--- A recording with all that is needed, or nil and what is missing.
local function find_job(entry, o)
  local name = entry.name
  local source = source_of(name)
  local video = faces.video(o.videos, name) or faces.video(o.videos, source)
  if not video then return nil, ("there is no %s/%s.mp4 or .avi"):format(o.videos, name) end
  local boxes, boxed
  if o.boxes then
    boxes, boxed = faces.given(o.boxes, name)
    if not boxes then o.note("%s: no boxes in %s; its face is searched", name, o.boxes) end
  end
  if not boxes and source ~= name then
    return nil, "two people are in the video; --boxes must say which face is meant"
  end
  local job = { name = name, subject = entry.subject or source, partition = entry.partition, video = video,
    boxes = boxes, search = o }
  job.map = pairing(job, boxed, o.note)
  job.time = function(row, found, map) return found.times[map[row]] end
  job.longer = function(found, n) return boxed ~= n and #found.times > n end
  return job
end

local function read_values(job, o, found, lists)
  local values = {}
  for k, dimension in ipairs(TARGETS) do
    local path = ("%s/%s/%s.txt"):format(o.annotations, dimension, job.name)
    values[k] = ratings.values(path, found)
    lists[#lists + 1] = { path = path, values = values[k] }
  end
  local a, v = #values[1], #values[2]
  if a ~= v then
    o.note("%s: %d lines of arousal, %d of valence: the first %d are used", job.name, a, v, math.min(a, v))
  end
  job.rows = math.min(a, v)
  job.labels = function(row, k) return values[k][row] end
end

--- Who is in which partition: a list of { name, subject, partition }.
local function partition(names, o)
  if o.split and o.people then
    check.raise("argument", "affwild: --split names partitions and, in a column subject, persons; leave out --people")
  elseif #names == 0 then
    check.raise("io", "%s holds no annotated video", o.annotations)
  end
  return people.split(names, o, source_of)
end

local function make(o)
  local found, lists, jobs = ratings.problems(), {}, {}
  for _, entry in ipairs(partition(annotated(o), o)) do
    local job, missing = find_job(entry, o)
    if job then
      read_values(job, o, found, lists)
      jobs[#jobs + 1] = job
    else
      o.leave_out(entry.name, entry.partition, missing)
    end
  end
  local scale = ratings.unscale(lists, found)
  found:raise()
  if #jobs == 0 then check.raise("io", "no annotated video was found in %s", o.videos) end
  if scale ~= 1 then o.note("the annotations are scaled by %d", scale) end
  local result = assembly.write { out = o.out, size = o.size, name = "affwild", fps = o.fps, names = TARGETS,
    jobs = jobs, note = o.note,
    source = ("Aff-Wild, %s; faces of %d pixels"):format(o.split and "split " .. o.split
      or ("shares %s of the persons, seed %d"):format(table.concat(o.shares, ", "), o.seed), o.size) }
  result.scale = scale
  return result
end

--- The folders of --from, unless they are named one by one: FROM/videos/train ... as the owners have it, or FROM/videos.
local function prepare(o, what)
  if not o.from and not (o.videos and o.annotations) then
    check.raise("argument", "%s: from, or videos and annotations, must say where the files are", what)
  end
  local function below(name)
    local path = o.from and ("%s/%s"):format(o.from, name)
    if not path or lfs.attributes(path, "mode") ~= "directory" then return path, false end
    local train = path .. "/train"
    return lfs.attributes(train, "mode") == "directory" and train or path, true
  end
  o.videos, o.annotations = o.videos or below "videos", o.annotations or below "annotations"
  local boxes, there = below "bboxes"
  o.boxes = o.boxes or there and boxes or nil
  o.labels = o.annotations
  return o
end

local affwild = command.declare {
  name = "affwild", title = "Aff-Wild: videos with a value of arousal and of valence for each frame",
  wants = [[
Ask: the Aff-Wild team (Imperial College London, iBUG), with their licence signed. Their folders videos/train/NAME.mp4 or
.avi, annotations/train/{arousal,valence}/NAME.txt (one value a line, line i for frame i) and bboxes/train/NAME/1.pts ...;
no annotation of the test videos is given out. Where line and frame numbers differ and there are as many lines as
boxes, line i belongs to the i-th frame that has a box. Two people in one video are NAME_left and NAME_right.]],
  common = { "out", "faces", "split" },
  options = {
    { "from", "folder with videos, annotations and bboxes" },
    { "videos", "folder of NAME.mp4 or .avi (FROM/videos/train, else FROM/videos)" },
    { "annotations", "folder that holds arousal/NAME.txt and valence/NAME.txt (the same)" },
    { "fps", "of the corpus; frames keep their own times", kind = "number", default = 30 },
  },
  defaults = { size = 96 },
  examples = {
    "mien dataset import affwild --from AffWild --people people.csv --out corpora/paper/affwild.h5",
    "mien dataset import affwild --videos videos --annotations annotations --split own.csv --out corpora/own/affwild.h5",
  },
  prepare = prepare, make = make,
}

affwild.source_of = source_of

return command.entry(affwild, arg)
