-- RECOLA as its owners hand it out: videos and the ratings of six people, as a corpus with a gold standard.
-- Not here: the pictures of the procedural stand-in (procedural.lua), post-processing (mien.post).
--
--   mien dataset import recola --from RECOLA --out corpora/paper/recola.h5
--
-- The row of ratings at t = 0 is dropped (--first-row: after the gold standard was fitted with it), and row i meets the
-- frame that is shown at t = 0.04 i.
local here = debug.getinfo(1, "S").source:gsub("^@", ""):match "^(.*)/[^/]*$" or "."
if not package.path:find(here .. "/?.lua", 1, true) then package.path = here .. "/?.lua;" .. package.path end

local lfs = require "lfs"
local ratings = require "reading.ratings"
local assembly = require "reading.assembly"
local check = require "mien.base.check"
local command = require "reading.command"
local csv = require "mien.data.csv"
local data = require "mien.data"
local faces = require "reading.faces"
local partitions = require "reading.partitions"
local people = require "reading.people"

local TARGETS = { "arousal", "valence" }
local STEP = 0.04 -- seconds between two rows of ratings

local function ratings_path(o, dimension, name)
  return ("%s/RECOLA-Annotation/emotional_behaviour/%s/%s.csv"):format(o.from, dimension, name)
end

--- All recordings that have a video and, unless there is a gold standard, ratings: divided by participant.
local function present(o)
  local names, own = {}, {}
  for _, name in ipairs(people.videos(o.videos)) do
    local missing = not o.gold and not lfs.attributes(ratings_path(o, "arousal", name))
    if missing then
      o.leave_out(name, "no partition", "there is no " .. ratings_path(o, "arousal", name))
    else
      names[#names + 1] = name
    end
  end
  if #names == 0 then check.raise("io", "%s holds no video that has ratings", o.videos) end
  for key, value in pairs(o) do own[key] = value end
  own.split = nil
  return people.split(names, own)
end

--- List of { name, partition, subject }, and the published split's name, or "own".
local function choose_split(o)
  if o.split == "present" then return present(o), "own" end
  local list, _, published = partitions.manifest(o.split)
  return list, published and o.split or "own"
end

--- Gold standard of one dimension from rows of ratings, held within [-1, 1]: values by row. The row at t = 0 has no value,
-- but with first_row a say in the others'.
local function fuse(rows, raters, o, what, note)
  local zero = o.first_row and rows.zero
  if o.first_row and not zero then note("%s: there is no row at t = 0; the gold standard is fitted without it", what) end
  local before = zero and 1 or 0
  local traces = assembly.tensor("f64", { #rows + before, raters },
    function(row, r) return (rows[row - before] or zero)[r] end)
  local function frames(seconds) return seconds and math.floor(seconds / STEP + 0.5) end
  local fused, weights, lags = data.gold(traces, { kind = o.gold_kind, clip = o.clip, lag = frames(o.lag),
    band = frames(o.band) })
  local values, beyond = {}, 0
  local numbers = fused:data()
  for i = 1, #rows do
    local value = numbers[i - 1 + before]
    if value < -1 or value > 1 then beyond = beyond + 1 end
    values[i] = math.max(-1, math.min(1, value))
  end
  traces:free() fused:free()
  if lags then note("%s: the raters' lags of %s frames were taken out", what, table.concat(lags, ", ")) end
  if beyond > 0 then note("%s: the gold standard leaves [-1, 1] in %d rows; held at the bound", what, beyond) end
  for r, weight in ipairs(weights) do
    if weight < 0 and not o.clip then note("%s: rater %d agrees with the others by %.3f", what, r, weight) end
  end
  return values
end

--- Ratings of a recording: { rows =, labels = function, traces = function, raters = }; nil and what is missing.
local function read_ratings(name, o, found)
  local dimensions = {}
  for k, dimension in ipairs(TARGETS) do
    local path = ratings_path(o, dimension, name)
    if not lfs.attributes(path) then return nil, path end
    dimensions[k] = ratings.raters(path, o.raters, STEP, found)
  end
  local a, v = #dimensions[1], #dimensions[2]
  if a ~= v and #found.list == 0 then
    o.note("%s: %d rows of arousal, %d of valence: the first %d are used", name, a, v, math.min(a, v))
  end
  return { rows = math.min(a, v), dimensions = dimensions }
end

local function add_ratings(job, rated, o)
  local raters = #o.raters
  local gold = {}
  for k, rows in ipairs(rated.dimensions) do
    gold[k] = fuse(rows, raters, o, ("%s, %s"):format(job.name, TARGETS[k]), o.note)
  end
  job.rows, job.raters = rated.rows, raters
  job.labels = function(row, k) return gold[k][row] end
  job.traces = function(row, i) -- [R,K], dimensions fastest
    local k = (i - 1) % #gold + 1
    return rated.dimensions[k][row][(i - k) / #gold + 1]
  end
end

--- Labels, videos and partitions of all recordings, and what was left out.
local function collect(entries, o)
  local found, jobs, waiting, listed = ratings.problems(), {}, {}, {}
  local gold, step = nil, STEP
  if o.gold then gold, step = ratings.gold(o.gold, TARGETS, found) end
  for _, entry in ipairs(entries) do
    local name = entry.name
    listed[name] = true
    local rated, missing
    if gold then
      rated, missing = gold[name], ("'%s' in %s"):format(name, o.gold)
    else
      rated, missing = read_ratings(name, o, found)
    end
    local video = faces.video(o.videos, name)
    if not rated or not video then
      o.leave_out(name, entry.partition, "there is no " .. (rated and ("%s/%s.mp4"):format(o.videos, name) or missing))
    else
      local job = { name = name, subject = entry.subject or name, partition = entry.partition, video = video,
        boxes = o.boxes and faces.given(o.boxes, name), search = o }
      jobs[#jobs + 1], waiting[job] = assembly.even(job, step), rated
    end
  end
  found:raise()
  if lfs.attributes(o.videos, "mode") == "directory" then
    for entry in lfs.dir(o.videos) do
      local name = entry:match "^(P%d+)%.%w+$"
      if name and not listed[name] then o.note("%s is not in the split %s", name, o.split) end
    end
  end
  if #jobs == 0 then
    check.raise("io", "none of the recordings of %s is in %s; it should hold RECOLA-Annotation and "
      .. "RECOLA-Video-recordings", o.split, o.from)
  end
  for _, job in ipairs(jobs) do
    if gold then
      local rows = waiting[job]
      job.rows = #rows
      job.labels = function(row, k) return rows[row][k] end
    else
      add_ratings(job, waiting[job], o)
    end
  end
  return jobs, step
end

local function prepare(o, what)
  require("mien.data.gold").kind(o.gold_kind, what .. ": gold_kind")
  if o.first_row and o.gold then
    check.raise("argument", "%s: first_row is about a gold standard that is made from ratings, %s is one", what, o.gold)
  end
  if o.gold and (o.lag or o.band) then
    check.raise("argument", "%s: lag and band are about raters, %s is a gold standard", what, o.gold)
  end
  o.split = o.split or o.folds and "present" or "paper46"
  for _, name in ipairs { "folds", "fold", "shares", "person", "people" } do
    if o.given[name] and o.split ~= "present" then
      check.raise("argument", "%s: %s is for --split present; %s says already who is in which partition", what, name, o.split)
    end
  end
  o.videos = o.videos or o.from .. "/RECOLA-Video-recordings"
  return o
end

--- What the owners' table of participants (User, ...; P16 or 16) says of them; nil without one. Its last rows are no people.
local function participants(o, entries)
  local path = o.from .. "/RECOLA-Metadata/recola_user_info.csv"
  if not lfs.attributes(path) then return nil end
  local rows, header, bad = csv.read(path, { "User" })
  local found, subject_of, people_rows = ratings.problems(), {}, {}
  for _, entry in ipairs(entries) do subject_of[entry.name] = entry.subject or entry.name end
  local function subject(row) return subject_of[row.User] or subject_of["P" .. row.User] end
  for _, row in ipairs(rows) do people_rows[#people_rows + 1] = subject(row) and row or nil end
  if #people_rows < #rows + #bad then
    o.note("%s: %d rows name no recording of the split", path, #rows + #bad - #people_rows)
  end
  local about = people.about(path, people_rows, header, subject, found)
  found:raise()
  return about
end

local function make(o)
  if o.split == "avec27" then
    o.note("the split avec27 is one user's list of the recordings that AVEC 2016 and 2018 used; their organisers published "
      .. "none")
  end
  local entries, published = choose_split(o)
  local jobs, step = collect(entries, o)
  local result = assembly.write { out = o.out, size = o.size, name = "recola", fps = 1 / step, names = TARGETS,
    people = participants(o, entries), jobs = jobs, note = o.note,
    split = { name = published, recordings = #entries },
    source = ("RECOLA, split %s, gold standard %s; faces of %d pixels"):format(o.split,
      o.gold and "of " .. o.gold or o.gold_kind .. (o.clip and ", clipped" or "")
        .. (o.lag and (", raters' lags to %g s taken out"):format(o.lag) or "")
        .. (o.band and (", raters aligned within %g s"):format(o.band) or "")
        .. (o.first_row and ", with the row at t = 0" or ""), o.size) }
  return result
end

local recola = command.declare {
  name = "recola", title = "RECOLA, or AVEC's part of it: videos and six raters' arousal and valence",
  wants = [[
Ask: the RECOLA team (University of Fribourg), with their licence signed. A folder with
RECOLA-Annotation/emotional_behaviour/{arousal,valence}/P16.csv (time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 ;FF3, every 0.04 s) and
RECOLA-Video-recordings/P16.mp4; gender and age are taken from RECOLA-Metadata/recola_user_info.csv where it is there. AVEC
2015 to 2018: recordings_video, and ratings_gold_standard (ARFF) or a CSV name;timestamp;arousal;valence for --gold.]],
  common = { "out", "faces", "split" },
  options = {
    { "from", "the folder with RECOLA-Annotation and RECOLA-Video-recordings", required = true },
    { "split", "paper46, avec27 (one user's list of AVEC's recordings), avec16, present (all that are there, divided by "
      .. "--shares or --folds), or a CSV with columns recording and partition (paper46; with --folds: present)" },
    { "gold_kind", "ccc_centred (AVEC's), mean, median, ewe_all or ewe_others (raters weighed by their correlation with "
      .. "the mean of all, or of the others)", default = "ccc_centred" },
    { "first_row", "the gold standard is fitted with the row at t = 0, too, as AVEC's was; no frame gets it", kind = "flag" },
    { "clip", "raters that disagree with the others count 0 instead of below", kind = "flag" },
    { "lag", "take out each rater's lag against the others, of this many seconds at most", kind = "number" },
    { "band", "then align the raters by dynamic time warping, none moved further than this many seconds", kind = "number" },
    { "raters", "columns to use, with commas", kind = "names", default = { "FM1", "FM2", "FM3", "FF1", "FF2", "FF3" } },
    { "gold", "a gold standard instead of ratings: a CSV name;timestamp;arousal;valence, or a folder with "
      .. "arousal/NAME.arff and valence/NAME.arff" },
    { "videos", "their folder, when it is another" },
  },
  examples = {
    "mien dataset import recola --from RECOLA --out corpora/paper/recola.h5",
    "mien dataset import recola --from RECOLA --split present --folds loso --fold 3 --out corpora/own/recola3.h5",
    "mien dataset import recola --from RECOLA --split avec27 --gold gold.csv --out corpora/avec/recola.h5",
    "mien dataset import recola --from AVEC2016 --videos AVEC2016/recordings_video --split avec16 "
      .. "--gold AVEC2016/ratings_gold_standard --out corpora/avec/recola.h5",
  },
  prepare = prepare, make = make,
}

return command.entry(recola, arg)
