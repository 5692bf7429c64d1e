-- Your own videos with traces: a folder of videos and CSVs of time, arousal and valence (or other targets) as a corpus.
-- Not here: the forms of corpora's owners (recola.lua, affwild.lua), marks of annotators (realeyes.lua), videos without
-- labels (mien predict).
--
--   mien datasets/videos.lua --videos VIDEOS --labels TRACES --out corpora/own.h5 --person '^(%a+)_'
--
-- TRACES is a folder with one CSV for each video, by its name, or one CSV with a column video. Each row meets the frame
-- that is shown at its time, so that videos of any frame rate go with traces of any rate.
local here = debug.getinfo(1, "S").source:gsub("^@", ""):match "^(.*)/[^/]*$" or "."
if not package.path:find(here .. "/?.lua", 1, true) then package.path = here .. "/?.lua;" .. package.path end

local lfs = require "lfs"
local annotations = require "reading.annotations"
local check = require "mien.base.check"
local assembly = require "reading.assembly"
local csv = require "mien.data.csv"
local faces = require "reading.faces"
local people = require "reading.people"
local traces = require "reading.traces"

local videos = { targets = { "arousal", "valence" } }

local LATE = 0.5 -- seconds that a video's first frame may come after the first row without a word

--- Rows by video's name, names sorted, subjects by name.
local function read_labels(o, found)
  local by_name, names, told = {}, {}, {}
  if lfs.attributes(o.labels, "mode") == "directory" then
    for entry in lfs.dir(o.labels) do
      local name = entry:match "^(.+)%.[cC][sS][vV]$"
      if name then
        names[#names + 1] = name
        by_name[name] = traces.read(o.labels .. "/" .. entry, name, o, found)[name] or { path = o.labels .. "/" .. entry }
      end
    end
    if #names == 0 then check.raise("io", "%s holds no CSV", o.labels) end
  else
    by_name, names, told = traces.read(o.labels, nil, o, found)
  end
  table.sort(names)
  return by_name, names, told
end

--- All rows at one rate, that of the corpus; gives it in frames a second.
local function settle_rate(by_name, names, o, found)
  local first
  for _, name in ipairs(names) do
    local rows = by_name[name]
    if o.rate and #rows > 0 then
      local gap
      by_name[name], gap = traces.resample(rows, o.rate)
      if gap > 1 then o.note("%s: no row for %.2f s somewhere; values there lie on a straight line", name, gap) end
    else
      traces.even(rows, found)
      if rows.step and first and math.abs(rows.step - first.step) > 0.01 * first.step then
        found:add(rows.path, rows[2].line, "rows every %.4g s, but %s has them every %.4g s (--rate brings all to one)",
          rows.step, first.path, first.step)
      end
      first = first or rows.step and rows
    end
  end
  found:raise()
  return o.rate or math.floor(1000 / first.step + 0.5) / 1000
end

local function make_job(entry, video, rows, o)
  local times = {}
  for i, row in ipairs(rows) do times[i] = row.time end
  local job = { name = entry.name, subject = entry.subject, partition = entry.partition, video = video,
    boxes = o.boxes and faces.given(o.boxes, entry.name), cascade = o.cascade, rows = #rows }
  function job.map(seen)
    local map = faces.shown(seen, times)
    if #map == 0 then
      return o.note("left out %s (%s): its rows begin at %g s, after the end of the video", entry.name, entry.partition,
        times[1])
    end
    if seen.times[1] > times[1] + LATE then
      o.note("%s: rows begin at %g s, the video's first frame is shown at %.3f s and stands for those before", entry.name,
        times[1], seen.times[1])
    end
    return map
  end
  function job.longer(seen, n) return seen.times[#seen.times] > times[n] + 2 * rows.step end
  function job.labels(row, k) return rows[row][k] end
  function job.time(row) return times[row] end
  return job
end

--- Makes the corpus: { videos = folder, labels = folder of CSVs or one CSV, out = path, targets = {"arousal", "valence"},
-- time = "time" (its column), column = of the video's name in one CSV, range = { -1, 1 }, rate = rows a second to bring
-- all traces to, person = Lua pattern on the video's name | people = CSV of video and subject, split = CSV of recording
-- and partition | shares = { 0.8, 0.2 } (of the subjects, for train, devel and test) and seed = 1, size = 150, boxes =
-- folder, cascade = XML of OpenCV, note = function(text) }.
-- Gives { recordings =, frames =, fps =, left_out = names, notes = list }.
function videos.make(options)
  check.keys(options, { videos = "string!", labels = "string!", out = "string!", targets = "table", time = "string",
    column = "string", range = "table", rate = "number", person = "string", people = "string", split = "string",
    shares = "table", seed = "integer", size = "count", boxes = "string", cascade = "string", note = "function" },
    "videos.make")
  local o = { targets = videos.targets, time = "time", range = { -1, 1 }, shares = { 0.8, 0.2 }, seed = 1, size = 150 }
  for key, value in pairs(options) do o[key] = value end
  people.telling(o, options.note)
  if o.rate and o.rate <= 0 then check.raise("argument", "--rate is %g; rows a second are above 0", o.rate) end
  local files, path_of = people.videos(o.videos)
  local found = annotations.problems()
  local by_name, names, told = read_labels(o, found)
  o.told = told
  local fps = settle_rate(by_name, names, o, found)
  local jobs = {}
  for _, entry in ipairs(people.split(people.usable(names, files, path_of, o), o)) do
    jobs[#jobs + 1] = make_job(entry, path_of[entry.name], by_name[entry.name], o)
  end
  local result = assembly.write { out = o.out, size = o.size, name = o.out:match "([^/]*)$":gsub("%.%w+$", ""), fps = fps,
    names = o.targets, label_range = o.range, jobs = jobs, note = o.note,
    source = ("videos of %s, traces of %s; faces of %d pixels"):format(o.videos, o.labels, o.size) }
  result.fps = fps
  return people.told(o, result)
end

--- The command line; returns the exit code.
function videos.main(args)
  local parser = require "argparse"("videos.lua", "Your own videos with traces as a corpus.")
  parser:option("--videos", "the folder of the videos"):count "1"
  parser:option("--labels", "a folder with a CSV for each video, by its name, or one CSV with a column video"):count "1"
  parser:option("--out", "the HDF5 file"):count "1"
  parser:option("--targets", "columns to learn, with commas (arousal,valence)")
  parser:option("--time", "the column of times, in seconds (time)")
  parser:option("--column", "in one CSV: the column that names the video (video, recording, name or file)")
  parser:option("--range", "of the values (-1,1); any other is refused with its line")
  parser:option("--rate", "rows a second: traces are brought to it on straight lines; for rows that are not even, or "
    .. "differ between videos"):convert(tonumber)
  parser:option("--person", "a Lua pattern whose capture in the video's name is the person: '^(%a+)_'")
  parser:option("--people", "a CSV with columns video and subject")
  parser:option("--split", "a CSV with columns recording and partition (train, devel, test), and subject")
  parser:option("--shares", "without --split: of the persons, for train, devel and test (0.8,0.2)")
  parser:option("--seed", "of that draw (1)"):convert(tonumber)
  parser:option("--size", "side of the faces in pixels (150)"):convert(tonumber)
  parser:option("--boxes", "folder of NAME.csv (frame,x,y,w,h): where the faces are; none is searched then")
  parser:option("--cascade", "another face detector of OpenCV")
  parser:epilog [[
Examples:
  mien datasets/videos.lua --videos videos --labels traces --person '^(%a+)_' --out corpora/own.h5
  mien datasets/videos.lua --videos videos --labels all.csv --targets engagement --range 0,1 --split split.csv
    --out corpora/engagement.h5
  mien datasets/videos.lua --videos videos --labels traces --rate 25 --shares 0.6,0.2,0.2 --out corpora/own.h5]]
  local o = parser:parse(args)
  o.targets = o.targets and csv.names(o.targets)
  o.range = o.range and people.numbers(o.range, "--range", 2, 2)
  o.shares = o.shares and people.numbers(o.shares, "--shares", 2, 3)
  o.note = function(text) print("note: " .. text) end
  local result = videos.make(o)
  print(("%s: %d recordings, %d frames, %g a second; %d left out"):format(o.out, result.recordings, result.frames,
    result.fps, #result.left_out))
  return 0
end

if arg and arg[0] and arg[0]:find "videos%.lua$" then return videos.main(arg) end
return videos
