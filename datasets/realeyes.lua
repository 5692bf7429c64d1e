-- Videos with annotators' marks of emotions, in RealEyes' open interchange form, as a corpus of frames with labels.
-- Not here: pretraining on it (experiments/realeyes.lua), marks to votes (reading/marks.lua).
--
--   mien dataset import realeyes --from FOLDER --out corpora/paper/realeyes.h5
--
-- FOLDER holds videos.csv (video, subject, and gender and age where they are known), marks.csv (video, annotator, emotion,
-- start, end; seconds; no end: until the annotator's next mark) and the videos, in it or in its folder videos. A frame's
-- label is the emotion that most annotators see in it.
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
local marks = require "reading.marks"
local people = require "reading.people"
local traces = require "reading.traces"

--- Names of the videos in videos.csv, in its order, their subjects, columns that no corpus keeps, and what is known of the
-- subjects.
local function read_videos(path, found)
  local rows, header, bad = csv.read(path, { "video", "subject" })
  for _, row in ipairs(bad) do found:add(path, row.line, "%s", traces.field_problem(row.problem)) end
  local names, told, line = {}, {}, {}
  for _, row in ipairs(rows) do
    local name = people.stem(row.video)
    if name == "" or row.subject == "" then
      found:add(path, row.line, "no %s is named", name == "" and "video" or "subject")
    elseif line[name] then
      found:add(path, row.line, "%s stands in line %d already", name, line[name])
    else
      names[#names + 1], told[name], line[name] = name, row.subject, row.line
    end
  end
  if #rows == 0 and #bad == 0 then found:add(path, 1, "no rows after the header") end
  local unused = {}
  for _, name in ipairs(header) do
    local kept = name:lower() == "gender" or name:lower() == "sex" or name:lower() == "age"
    if name ~= "video" and name ~= "subject" and not kept then unused[#unused + 1] = name end
  end
  return names, told, unused, people.about(path, rows, header, function(row) return row.subject end, found)
end

--- u8 [n,C] without the class that is left out: the tensor, and how many votes went.
local function vote_tensor(votes, classes, without)
  local gone, columns = 0, {}
  for c = 1, classes do
    if c ~= without then columns[#columns + 1] = c end
  end
  for _, counts in ipairs(votes) do gone = gone + (counts[without] or 0) end
  return assembly.tensor("u8", { #votes, #columns }, function(row, k) return votes[row][columns[k]] end), gone
end

--- Labels of the frames as rows of 0 and 1, ties as declared: "all", "first" (in the order of the classes), "none".
local function decide(counts, ties)
  local winners, tied, empty = data.winner_takes_all(counts, { kind = "multilabel" })
  local rows, n, k = {}, winners:size(1), winners:size(2)
  local values = winners:data()
  for i = 1, n do
    local row, won = {}, 0
    for c = 1, k do
      local wins = values[(i - 1) * k + c - 1] > 0
      row[c] = wins and (ties ~= "first" or won == 0) and 1 or 0
      won = won + (wins and 1 or 0)
    end
    for c = 1, k do row[c] = (won > 1 and ties == "none") and 0 or row[c] end
    rows[i] = row
  end
  winners:free()
  return rows, tied, empty
end

local function make_job(entry, video, annotators, o, counted)
  local job = { name = entry.name, subject = entry.subject, partition = entry.partition, video = video,
    boxes = o.boxes and faces.given(o.boxes, entry.name), search = o }
  local rows, votes = {}, {}
  function job.map(seen)
    local all, raters = marks.votes(annotators, seen.times, #o.classes, o.unmarked_class)
    local tensor, gone = vote_tensor(all, #o.classes, o.dropped)
    local labels, tied, empty = decide(tensor, o.ties)
    tensor:free()
    local map = {}
    for i, row in ipairs(labels) do
      local class
      for c, yes in ipairs(row) do
        if yes > 0 then class = class or c end
      end
      if class or o.kind == "multilabel" then
        map[#map + 1], rows[#map + 1] = i, o.kind == "class" and { class } or row
        votes[#map] = all[i]
        for c, yes in ipairs(row) do
          local emotion = counted[entry.partition]
          emotion[c] = (emotion[c] or 0) + yes
        end
      end
      counted.unlabelled = counted.unlabelled + (class and 0 or 1)
    end
    counted.frames, counted.tied, counted.empty = counted.frames + #labels, counted.tied + tied, counted.empty + empty
    counted.other = counted.other + gone
    counted.late = counted.late + marks.after(annotators, seen.times[#seen.times])
    counted.fewest = math.min(counted.fewest, raters)
    counted.most = math.max(counted.most, raters)
    if #map == 0 then return o.note("left out %s (%s): no frame has a label", entry.name, entry.partition) end
    job.rows = #map
    return map
  end
  function job.longer() return false end
  function job.labels(row, k) return rows[row][k] end
  function job.votes(row, k) return votes[row][o.columns[k]] end
  function job.time(row, seen, map) return seen.times[map[row]] end
  return job
end

--- Words of what was counted, once everything is written.
local function say_counts(o, counted)
  local n = counted.frames
  local function share(count) return ("%d of %d frames (%.2f %%)"):format(count, n, 100 * count / n) end
  local done = { all = "all winners are labels", first = "the first in the order of the emotions is the label",
    none = "no label" }
  o.note("ties: %s; %s", share(counted.tied), done[o.ties])
  o.note("without a vote: %s; without a label: %s%s", share(counted.empty), share(counted.unlabelled),
    o.kind == "class" and ", which are left out" or "")
  if o.dropped then o.note("votes for other that were not counted: %d", counted.other) end
  if counted.late > 0 then o.note("marks that begin after the end of their video: %d", counted.late) end
  o.note(counted.fewest == counted.most and "annotators: %d in every video" or "annotators: %d to %d a video",
    counted.fewest, counted.most)
end

--- Columns of votes that are labels, and the classes of `dropped` and `unmarked`.
local function prepare(o, what)
  check.one_of(o.kind, { "multilabel", "class" }, what .. ": kind")
  o.ties = check.one_of(o.ties or (o.kind == "class" and "first" or "all"), { "all", "first", "none" }, what .. ": ties")
  if o.kind == "class" and o.ties == "all" then
    check.raise("argument", "%s: a frame of one class cannot have all winners; ties may be first or none", what)
  end
  o.names, o.columns = {}, {}
  for c, name in ipairs(o.classes) do
    if o.other == "drop" and name:lower() == "other" then
      o.dropped = c
    else
      o.names[#o.names + 1], o.columns[#o.columns + 1] = name, c
    end
    if o.unmarked and name:lower() == o.unmarked:lower() then o.unmarked_class = c end
  end
  if o.unmarked and not o.unmarked_class then check.unknown(what, "emotion", o.unmarked, o.classes) end
  local in_it = o.from .. "/videos"
  o.videos = o.videos or lfs.attributes(in_it, "mode") == "directory" and in_it or o.from
  o.labels, o.path = o.from .. "/videos.csv", o.from .. "/marks.csv"
  return o
end

local function make(o)
  local found, counted = ratings.problems(), { frames = 0, tied = 0, empty = 0, unlabelled = 0, other = 0, late = 0,
    train = {}, devel = {}, test = {}, fewest = math.huge, most = 0 }
  local listed, unused, about, cut
  listed, o.told, unused, about = read_videos(o.labels, found)
  local by_video, marked
  by_video, marked, cut = marks.read(o, found)
  for _, one in ipairs(marked) do
    if not o.told[one.name] then found:add(o.path, one.line, "%s is not in %s", one.name, o.labels) end
  end
  found:raise()
  if #unused > 0 then o.note("columns of %s that the corpus does not keep: %s", o.labels, table.concat(unused, ", ")) end
  if cut > 0 then o.note("%d marks end after the annotator's next one; they hold until that", cut) end
  local files, path_of = people.videos(o.videos)
  local usable = {}
  for _, name in ipairs(people.usable(listed, files, path_of, o)) do
    if by_video[name] then
      usable[#usable + 1] = name
    else
      o.leave_out(name, "no partition", "nobody marked anything in it")
    end
  end
  if #usable == 0 then check.raise("io", "none of the %d videos of %s is marked in %s", #listed, o.labels, o.path) end
  local jobs = {}
  for _, entry in ipairs(people.split(usable, o)) do
    jobs[#jobs + 1] = make_job(entry, path_of[entry.name], by_video[entry.name], o, counted)
  end
  local result = assembly.write { out = o.out, size = o.size, name = "realeyes", fps = o.fps, names = o.names,
    label_kind = o.kind, people = about, jobs = jobs, note = o.note,
    source = ("videos and marks of %s, ties %s, other %s, unmarked %s; faces of %d pixels"):format(o.from, o.ties, o.other,
      o.unmarked or "no vote", o.size) }
  say_counts(o, counted)
  result.classes, result.tied, result.unlabelled = o.names, counted.tied, counted.unlabelled
  result.counts = { train = counted.train, devel = counted.devel, test = counted.test }
  return result
end

local realeyes = command.declare {
  name = "realeyes", title = "RealEyes' form: videos in which annotators marked where emotions begin",
  wants = [[
RealEyes' own files are not given out; this open form is for whoever holds marks. A folder with videos.csv (video, subject,
and gender and age where they are known), marks.csv (video, annotator, emotion, start, end; seconds; an empty end: until the
annotator's next mark) and the videos, in it or in its folder videos. A frame's label is the emotion that most annotators
see in it.]],
  common = { "out", "faces", "split" },
  options = {
    { "from", "the folder with videos.csv and marks.csv", required = true },
    { "videos", "the videos' folder, when it is neither FROM/videos nor FROM" },
    { "classes", "the emotions, with commas, in the order of the labels", kind = "names",
      default = { "neutral", "happy", "surprise", "disgust", "contempt", "confusion", "empathy", "other" } },
    { "kind", "multilabel (a frame may carry several) or class (one)", default = "multilabel" },
    { "ties", "all winners are labels, the first in the order of the emotions is, or none (all; for --kind class: first)" },
    { "other", "keep, or drop: votes for other are not counted", among = { "keep", "drop" }, default = "keep" },
    { "unmarked", "the emotion of an annotator before his first mark and after an end; without it: no vote" },
    { "fps", "of the corpus; frames keep their own times", kind = "number", default = 30 },
  },
  defaults = { size = 170 },
  examples = {
    "mien dataset import realeyes --from RealEyes --out corpora/paper/realeyes.h5",
    "mien dataset import realeyes --from own --classes calm,happy,angry --kind class --unmarked calm --out corpora/own.h5",
  },
  prepare = prepare, make = make,
}

return command.entry(realeyes, arg)
