-- Aff-Wild as its owners hand it out: videos, and a text file for each video and dimension, as a corpus.
-- Not here: AffWildNet (mien.models.affwildnet), its training (experiments/affwild.lua).
--
--   mien datasets/affwild.lua --videos videos/train --annotations annotations/train --boxes bboxes/train
--     --out corpora/paper/affwild.h5
--
-- Line i of ANNOTATIONS/arousal/NAME.txt and ANNOTATIONS/valence/NAME.txt belongs to frame i of the video NAME.
-- Where there are as many lines as boxes, but not as frames, line i belongs to the i-th frame that has a box.
local here = debug.getinfo(1, "S").source:gsub("^@", ""):match "^(.*)/[^/]*$" or "."
if not package.path:find(here .. "/?.lua", 1, true) then package.path = here .. "/?.lua;" .. package.path end

local lfs = require "lfs"
local annotations = require "reading.annotations"
local check = require "mien.base.check"
local assembly = require "reading.assembly"
local faces = require "reading.faces"
local partitions = require "reading.partitions"

local affwild = { names = { "arousal", "valence" } }

--- Two people in one video are annotated as NAME_left and NAME_right; they stay in one partition. Without a list of
-- people it is the name of the video that stands for the person, though some people are in several videos.
function affwild.subject(name)
  return name:match "^(.+)_left$" or name:match "^(.+)_right$" or name
end

--- Names that are annotated in both dimensions, sorted; half annotated ones are noted.
local function annotated(o)
  local seen, names = {}, {}
  for _, dimension in ipairs(affwild.names) do
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
  local source = affwild.subject(name)
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
    boxes = boxes, cascade = o.cascade }
  job.map = pairing(job, boxed, o.note)
  job.time = function(row, found, map) return found.times[map[row]] end
  job.longer = function(found, n) return boxed ~= n and #found.times > n end
  return job
end

local function read_values(job, o, found, lists)
  local values = {}
  for k, dimension in ipairs(affwild.names) do
    local path = ("%s/%s/%s.txt"):format(o.annotations, dimension, job.name)
    values[k] = annotations.values(path, found)
    lists[#lists + 1] = { path = path, values = values[k] }
  end
  local a, v = #values[1], #values[2]
  if a ~= v then
    o.note("%s: %d lines of arousal, %d of valence: the first %d are used", job.name, a, v, math.min(a, v))
  end
  job.rows = math.min(a, v)
  job.labels = function(row, k) return values[k][row] end
end

--- That names are no persons.
local function warn(o, instead)
  o.note("videos are taken for persons: a person who is in several of them may be in train and in devel; %s says who is who",
    instead)
end

--- Who is in which partition, as drawn.
local function draw(names, o)
  if not o.people then
    warn(o, "--people FILE (a CSV with columns video and person)")
    return partitions.draw(names, affwild.subject, o.seed, o.share)
  end
  local people, unknown = partitions.people(o.people), {}
  for _, name in ipairs(names) do
    if not people[name] then unknown[#unknown + 1] = name end
  end
  if #unknown > 0 then
    check.raise("format", "%s does not say who is in %s%s", o.people, unknown[1],
      #unknown > 1 and (" and %d more"):format(#unknown - 1) or "")
  end
  local function person(name) return people[name] end
  return partitions.draw(names, person, o.seed, o.share, partitions.groups(names, person, affwild.subject))
end

--- Makes the corpus: { videos = folder, annotations = folder, out = path, boxes = folder, split = CSV of recording
-- and partition (else 80 % of the persons train, drawn from the seed), people = CSV of video and person, which names
-- NAME_left and NAME_right apart (else each video counts as a person), share = 0.8, seed = 1, size = 96, fps = 30 (of the
-- corpus; frames keep their own times), cascade = XML of OpenCV, note = function(text) }.
-- Gives { recordings =, frames =, scale = 1 or 1000, notes = list }.
function affwild.make(options)
  check.keys(options, { videos = "string!", annotations = "string!", out = "string!", boxes = "string",
    split = "string", people = "string", share = "number", seed = "integer", size = "count", fps = "number",
    cascade = "string", note = "function" }, "affwild.make")
  local o, notes = { share = 0.8, seed = 1, size = 96, fps = 30 }, {}
  for key, value in pairs(options) do o[key] = value end
  o.note = function(fmt, ...)
    notes[#notes + 1] = fmt:format(...)
    if options.note then options.note(notes[#notes]) end
  end
  local names, known = annotated(o), {}
  for _, name in ipairs(names) do known[name] = true end
  local list
  if o.split and o.people then
    check.raise("argument", "affwild.make: split names partitions and, in a column subject, persons; leave out people")
  elseif o.split then
    local persons
    list, persons = partitions.manifest(o.split)
    if not persons then warn(o, "its column subject") end
  else
    if #names == 0 then check.raise("io", "%s holds no annotated video", o.annotations) end
    list = draw(names, o)
  end
  local found, lists, jobs, listed = annotations.problems(), {}, {}, {}
  for _, entry in ipairs(list) do
    listed[entry.name] = true
    local job, missing
    if known[entry.name] then
      job, missing = find_job(entry, o)
    else
      missing = ("there is no %s.txt in %s/arousal and valence"):format(entry.name, o.annotations)
    end
    if job then
      read_values(job, o, found, lists)
      jobs[#jobs + 1] = job
    else
      o.note("left out %s (%s): %s", entry.name, entry.partition, missing)
    end
  end
  for _, name in ipairs(names) do
    if not listed[name] then o.note("%s is not in the split %s", name, o.split) end
  end
  local scale = annotations.unscale(lists, found)
  found:raise()
  if #jobs == 0 then check.raise("io", "no annotated video was found in %s", o.videos) end
  if scale ~= 1 then o.note("the annotations are scaled by %d", scale) end
  local result = assembly.write { out = o.out, size = o.size, name = "affwild", fps = o.fps, names = affwild.names,
    jobs = jobs, note = o.note,
    source = ("Aff-Wild, %s; faces of %d pixels"):format(o.split and "split " .. o.split
      or ("%g of the persons to train, seed %d"):format(o.share, o.seed), o.size) }
  result.scale, result.notes = scale, notes
  return result
end

--- The command line; returns the exit code.
function affwild.main(args)
  local parser = require "argparse"("affwild.lua", "Aff-Wild as a corpus.")
  parser:option("--videos", "folder of NAME.mp4 or .avi"):count "1"
  parser:option("--annotations", "folder that holds arousal/NAME.txt and valence/NAME.txt"):count "1"
  parser:option("--out", "the HDF5 file"):count "1"
  parser:option("--boxes", "folder of NAME/1.pts ... or NAME.csv (frame,x,y,w,h); else the faces are searched")
  parser:option("--split", "CSV with columns recording and partition, and subject if a subject has several")
  parser:option("--people", "CSV with columns video and person: who is who, without --split; else each video is a person")
  for _, option in ipairs {
    { "share", "of the persons, for training, without --split (0.8)" }, { "seed", "of that draw (1)" },
    { "size", "side of the faces in pixels (96)" }, { "fps", "of the corpus; frames keep their own times (30)" },
  } do
    parser:option("--" .. option[1], option[2]):convert(tonumber)
  end
  parser:option("--cascade", "another face detector of OpenCV")
  parser:epilog [[
Examples:
  mien datasets/affwild.lua --videos videos/train --annotations annotations/train --boxes bboxes/train \
    --out corpora/paper/affwild.h5
  mien datasets/affwild.lua --videos videos --annotations annotations --split own.csv --out corpora/own/affwild.h5]]
  local o = parser:parse(args)
  o.note = function(text) print("note: " .. text) end
  local result = affwild.make(o)
  print(("%s: %d recordings, %d frames"):format(o.out, result.recordings, result.frames))
  return 0
end

if arg and arg[0] and arg[0]:find "affwild%.lua$" then return affwild.main(arg) end
return affwild
