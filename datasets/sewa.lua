-- SEWA, or another corpus of an AVEC challenge, as its organisers hand out labels: CSVs of name;timestamp;arousal;valence
-- (;liking), or ARFF, beside videos. Not here: RECOLA and its raters (recola.lua), own traces (videos.lua).
local here = debug.getinfo(1, "S").source:gsub("^@", ""):match "^(.*)/[^/]*$" or "."
if not package.path:find(here .. "/?.lua", 1, true) then package.path = here .. "/?.lua;" .. package.path end

local lfs = require "lfs"
local ratings = require "reading.ratings"
local assembly = require "reading.assembly"
local check = require "mien.base.check"
local command = require "reading.command"
local faces = require "reading.faces"
local partitions = require "reading.partitions"
local people = require "reading.people"

--- Rows by recording, and the step: of one file or ARFF folder, or of a folder with a CSV for each recording.
local function read_labels(o, found)
  if not people.holds_csv(o.labels) then return ratings.gold(o.labels, o.targets, found) end
  local by_name, step, first = {}, nil, nil
  for entry in lfs.dir(o.labels) do
    if entry:lower():find "%.csv$" then
      local path = o.labels .. "/" .. entry
      local rows, own = ratings.gold(path, o.targets, found)
      if step and own ~= step then
        check.raise("format", "%s: rows every %g s, but %s has them every %g s", path, own, first, step)
      end
      step, first = own, path
      for name, list in pairs(rows) do
        if by_name[name] then check.raise("format", "%s: %s has rows in %s as well", path, name, by_name[name].path) end
        by_name[name] = list
      end
    end
  end
  return by_name, step
end

--- Partitions by the organisers' own names (Train_DE_01), where all recordings have such and nobody says otherwise.
local function split(names, o)
  local list = {}
  for i, name in ipairs(names) do
    local partition = partitions.words[(name:match "^(%a+)_" or ""):lower()]
    if not partition or o.split or o.folds or o.given.shares then return people.split(names, o) end
    list[i] = { name = name, subject = name, partition = partition }
  end
  o.note("partitions are told by the recordings' names, and each counts as a person of its own")
  return list
end

local function make_job(entry, path, rows, step, o)
  local job = { name = entry.name, subject = entry.subject, partition = entry.partition, video = path, rows = #rows,
    boxes = o.boxes and faces.given(o.boxes, entry.name), search = o }
  function job.labels(row, k) return rows[row][k] end
  return assembly.even(job, step)
end

local function make(o)
  local found = ratings.problems()
  local files, path_of = people.videos(o.videos)
  local by_name, step = read_labels(o, found)
  found:raise()
  local names, jobs = {}, {}
  for name in pairs(by_name) do names[#names + 1] = name end
  table.sort(names)
  for _, entry in ipairs(split(people.usable(names, files, path_of, o), o)) do
    jobs[#jobs + 1] = make_job(entry, path_of[entry.name], by_name[entry.name], step, o)
  end
  return assembly.write { out = o.out, size = o.size, name = o.name, fps = 1 / step, names = o.targets, jobs = jobs,
    note = o.note, source = ("videos of %s, labels of %s; faces of %d pixels"):format(o.videos, o.labels, o.size) }
end

return command.entry(command.declare {
  name = "sewa", title = "SEWA, or another corpus of the AVEC challenges 2017 to 2019: videos and gold standards",
  wants = [[
Videos (NAME.mp4, .avi ...) in videos/, and labels in labels/: a CSV for each recording, or one for all, with the header
name;timestamp;arousal;valence (and liking), names with or without quotes, a row every 0.1 s from 0 or 0.1 s on. Names that
begin with Train_, Devel_ or Test_ say the partition; --split, --shares or --folds say it otherwise.]],
  common = { "out", "faces", "split" },
  options = {
    { "from", "folder that holds videos and labels" },
    { "videos", "the folder of videos (FROM/videos)" },
    { "labels", "a folder of CSVs, one CSV, or a folder of ARFF files for each dimension (FROM/labels)" },
    { "targets", "columns to learn, in this order", kind = "names", default = { "arousal", "valence", "liking" } },
    { "name", "of the corpus", default = "sewa" },
  },
  examples = { "mien dataset import sewa --from SEWA --out corpora/sewa.h5" },
  prepare = function(o, what)
    if not o.from and not (o.videos and o.labels) then
      check.raise("argument", "%s: from, or videos and labels, must say where the files are", what)
    end
    if o.name:lower() == "recola" then
      check.raise("argument", "%s: recola is the corpus that datasets/recola.lua makes", what)
    end
    o.videos, o.labels = o.videos or o.from .. "/videos", o.labels or o.from .. "/labels"
    return o
  end,
  make = make,
}, arg)
