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
local ratings = require "reading.ratings"
local check = require "mien.base.check"
local assembly = require "reading.assembly"
local command = require "reading.command"
local data = require "mien.data"
local faces = require "reading.faces"
local people = require "reading.people"
local timed = require "reading.timed"
local traces = require "reading.traces"

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

--- Videos that nobody labelled: every frame is a row, and its one class says so.
local function unlabelled(o)
  local names, path_of = people.videos(o.videos)
  if #names == 0 then check.raise("io", "%s holds no video", o.videos) end
  local jobs, fps = {}, nil
  for _, entry in ipairs(people.split(names, o)) do
    local path = path_of[entry.name]
    local video = data.video(path)
    fps = fps or o.rate or video.fps > 0 and video.fps or 25
    if math.abs(video.fps - fps) > 0.01 * fps then
      o.note("%s: %g frames a second, the corpus says %g; frames keep their own times", entry.name, video.fps, fps)
    end
    video:close()
    local job = { name = entry.name, subject = entry.subject, partition = entry.partition, video = path,
      boxes = o.boxes and faces.given(o.boxes, entry.name), search = o }
    function job.map(seen)
      local map = {}
      for i = 1, #seen.times do map[i] = i end
      job.rows = #map
      return map
    end
    function job.longer() return false end
    function job.labels() return 1 end
    function job.time(row, seen) return seen.times[row] end
    jobs[#jobs + 1] = job
  end
  return assembly.write { out = o.out, size = o.size, name = o.out:match "([^/]*)$":gsub("%.%w+$", ""), fps = fps,
    names = { "unlabelled" }, label_kind = "class", jobs = jobs, note = o.note,
    source = ("videos of %s, without labels; faces of %d pixels"):format(o.videos, o.size) }
end

local function labelled(o)
  if o.rate and o.rate <= 0 then check.raise("argument", "--rate is %g; rows a second are above 0", o.rate) end
  people.videos(o.videos) -- a folder that is not there is said before its labels are read
  local found = ratings.problems()
  local by_name, names, told = read_labels(o, found)
  o.told, o.source = told, ("videos of %s, traces of %s"):format(o.videos, o.labels)
  return timed.write(by_name, names, o, found)
end

local function make(o)
  return o.labels and labelled(o) or unlabelled(o)
end

--- The folders of --from, unless they are named one by one: FROM/videos and FROM/traces, or all in one folder.
local function prepare(o, what)
  if not o.from and not o.videos then
    check.raise("argument", "%s: from, or videos, must say where the files are", what)
  end
  local function below(name)
    local path = o.from .. "/" .. name
    return lfs.attributes(path, "mode") == "directory" and path or nil
  end
  o.videos = o.videos or below "videos" or o.from
  o.labels = o.labels or o.from and (below "traces" or people.holds_csv(o.from) and o.from) or nil
  return o
end

local videos = command.declare {
  name = "videos", title = "your own videos with traces of arousal and valence, or other targets; or without labels",
  wants = [[
A folder of videos (NAME.mp4, .avi, .mkv, .mov, .webm), and traces: a folder with NAME.csv for each, or one CSV with a
column video. Columns: time (seconds), and one for each target. Each row meets the frame that is shown at its time. Videos
alone become a corpus whose one class is "unlabelled".]],
  common = { "out", "faces", "split" },
  options = {
    { "from", "the folder that holds videos and traces, or all files side by side" },
    { "videos", "the folder of the videos (FROM/videos, else FROM)" },
    { "labels", "a folder with a CSV for each video, by its name, or one CSV with a column video (FROM/traces, else FROM "
      .. "where it holds any CSV)" },
    { "targets", "columns to learn, with commas", kind = "names", default = { "arousal", "valence" } },
    { "time", "the column of times, in seconds", default = "time" },
    { "column", "in one CSV: the column that names the video (video, recording, name or file)" },
    { "range", "of the values; any other is refused with its line", kind = "numbers", least = 2, most = 2,
      default = { -1, 1 } },
    { "rate", "rows a second: traces are brought to it on straight lines; for rows that are not even, or differ between "
      .. "videos", kind = "number" },
  },
  examples = {
    "mien dataset import videos --from mine --person '^(%a+)_' --out corpora/own.h5",
    "mien dataset import videos --videos videos --labels traces --person '^(%a+)_' --out corpora/own.h5",
    "mien dataset import videos --videos videos --labels all.csv --targets engagement --range 0,1 --split split.csv "
      .. "--out corpora/engagement.h5",
    "mien dataset import videos --videos videos --labels traces --rate 25 --shares 0.6,0.2,0.2 --out corpora/own.h5",
  },
  prepare = prepare, make = make,
}

return command.entry(videos, arg)
