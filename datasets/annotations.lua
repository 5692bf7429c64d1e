-- Files of annotation programs beside videos, as a corpus: intervals with labels (ELAN, ANVIL, NOVA), or traces of several
-- raters (CARMA, DARMA, PAGAN, NOVA), whose gold standard is taken. Not here: own CSVs (videos.lua), marks (realeyes.lua).
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
local intervals = require "reading.intervals"
local people = require "reading.people"
local rated = require "reading.rated"
local timed = require "reading.timed"

-- ---- which files ---------------------------------------------------------------------------------------

--- Files of a folder and of those one level below it, sorted.
local function files_of(folder)
  local list = {}
  local function look(path, deeper)
    for entry in lfs.dir(path) do
      local inside = path .. "/" .. entry
      if entry:sub(1, 1) ~= "." then
        local mode = lfs.attributes(inside, "mode")
        if mode == "file" then list[#list + 1] = inside elseif mode == "directory" and deeper then look(inside, false) end
      end
    end
  end
  if lfs.attributes(folder, "mode") ~= "directory" then check.raise("io", "there is no folder %s of annotations", folder) end
  look(folder, true)
  table.sort(list)
  return list
end

--- What of a CSV is a trace: its reader, by the words in it.
local function csv_reader(path, o)
  local head = csv.text(path):sub(1, 4096)
  if head:find("VideoTime", 1, true) then
    return function(found) return rated.pagan(path, o.column, found) end
  elseif head:find("Multimedia File", 1, true) or head:find '%f[%w]"?Second"?,' then
    return function(found) return rated.girard(path, found) end
  end
end

--- Reads all files: intervals = list of { path, media, tiers }, traces = list.
local function read_all(o, found)
  local all, traces, others = {}, {}, 0
  for _, path in ipairs(files_of(o.labels)) do
    local ending, one = path:match "%.([%w~]+)$", nil
    local name = path:match("[^/]*$"):gsub("%.[^.]*$", "")
    if ending == "eaf" then
      one = intervals.elan(path, found)
      if one.without > 0 then
        o.note("%s: %d time slots have no time; they lie evenly between their neighbours", path, one.without)
      end
    elseif ending == "anvil" then
      one = intervals.anvil(path, found)
      if one.untimed > 0 then o.note("%s: %d elements have no times of their own and are left out", path, one.untimed) end
    elseif ending == "annotation" then
      local about = intervals.nova_header(path)
      local folder = path:match "([^/]*)/[^/]*$" -- a session's
      if about.kind == "CONTINUOUS" then
        for _, trace in ipairs(rated.nova(path, about, found)) do
          trace.media = folder
          traces[#traces + 1] = trace
        end
      elseif about.kind == "DISCRETE" or about.kind == "FREE" then
        one = intervals.nova(path, about, found)
        one.media = { folder }
        if (one.garbage or 0) > 0 then o.note("%s: %d intervals are marked as garbage and left out", path, one.garbage) end
      else
        o.note("%s: a scheme %s is not read", path, tostring(about.kind))
      end
    elseif ending and ending:lower() == "csv" then
      local read = csv_reader(path, o)
      if not read then others = others + 1 end
      for _, trace in ipairs(read and read(found) or {}) do
        local folder = path:match "([^/]*)/[^/]*$"
        trace.target = trace.target or #o.targets > 1 and folder or o.targets[1]
        traces[#traces + 1] = trace
      end
    end
    if one then
      one.name = name
      all[#all + 1] = one
    end
  end
  if others > 0 then o.note("%d CSVs in %s are of none of the programs; mien dataset import videos reads own ones", others,
    o.labels) end
  return all, traces
end

--- The video that a file speaks of: by the media that it names, else by its own name.
local function video_of(media, name, path_of)
  for _, one in ipairs(media) do
    local stem = people.stem(one)
    if path_of[stem] then return stem end
    if path_of[one] then return one end
  end
  return path_of[name] and name or nil
end

-- ---- intervals -----------------------------------------------------------------------------------------

--- The tier that is meant: the one of --tier, or the only one.
local function tier_of(one, o)
  local names = {}
  for name, list in pairs(one.tiers) do
    if #list > 0 or name == o.tier then names[#names + 1] = name end
  end
  table.sort(names)
  if o.tier then return one.tiers[o.tier] end
  if #names > 1 then
    check.raise("argument", "%s has the tiers %s; --tier says which is meant", one.path, table.concat(names, ", "))
  end
  return one.tiers[names[1]]
end

--- Class of each row at `rate`: what is said at its time (from <= t < to), else the class of no label.
local function classes_at(list, rate, n, class_of)
  local rows, at = {}, 1
  for i = 1, n do
    local t = (i - 1) / rate
    while list[at] and list[at].to <= t + 1e-9 do at = at + 1 end
    local now = list[at]
    rows[i] = now and now.from <= t + 1e-9 and class_of[now.label] or 1
  end
  return rows
end

local function from_intervals(all, o, found)
  local _, path_of = people.videos(o.videos)
  local by_name, names, classes, class_of, overlaps = {}, {}, { o.none }, { [o.none] = 1, [""] = 1 }, 0
  for _, one in ipairs(all) do
    local name, list = video_of(one.media or {}, one.name, path_of), tier_of(one, o)
    if not name then
      o.leave_out(one.name, "no partition", ("neither %s nor %s is a video in %s"):format(table.concat(one.media or {}, ", "),
        one.name, o.videos))
    elseif not list then
      o.leave_out(name, "no partition", ("%s has no tier %s"):format(one.path, tostring(o.tier)))
    else
      if by_name[name] then found:add(one.path, 1, "%s is annotated in %s as well", name, by_name[name].path) end
      by_name[name] = list
      list.path, names[#names + 1] = one.path, name
      for i, entry in ipairs(list) do
        if list[i - 1] and entry.from < list[i - 1].to - 1e-9 then overlaps = overlaps + 1 end
        if not class_of[entry.label] then
          classes[#classes + 1], class_of[entry.label] = entry.label, true
        end
      end
    end
  end
  found:raise()
  if #names == 0 then check.raise("io", "no annotation in %s belongs to a video in %s", o.labels, o.videos) end
  if #classes == 1 then check.raise("format", "%s: no interval has a label", o.labels) end
  local function by_word(a, b) return a < b end
  local words = { unpack(classes, 2) }
  table.sort(words, by_word)
  for i, word in ipairs(words) do classes[i + 1], class_of[word] = word, i + 1 end
  if overlaps > 0 then o.note("%d intervals begin before the one before them ends; that one's label stays to its end",
    overlaps) end
  table.sort(names)
  local rate, jobs, counts = o.rate, {}, {}
  for _, entry in ipairs(people.split(names, o)) do
    local list = by_name[entry.name]
    local job = { name = entry.name, subject = entry.subject, partition = entry.partition, video = path_of[entry.name],
      boxes = o.boxes and faces.given(o.boxes, entry.name), search = o }
    local rows
    function job.map(seen)
      local times = {}
      local n = math.floor((seen.times[#seen.times] + seen.step) * rate + 1e-6)
      for i = 1, math.max(n, 1) do times[i] = (i - 1) / rate end
      local map = faces.shown(seen, times)
      rows, job.rows = classes_at(list, rate, #map, class_of), #map
      for _, class in ipairs(rows) do
        counts[entry.partition] = counts[entry.partition] or {}
        counts[entry.partition][class] = (counts[entry.partition][class] or 0) + 1
      end
      local late = list[#list] and list[#list].from > times[#map] + 1 / rate
      if late then o.note("%s: intervals of %s lie behind the end of the video", entry.name, list.path) end
      return map
    end
    function job.longer() return false end
    function job.labels(row) return rows[row] end
    function job.time(row) return (row - 1) / rate end
    jobs[#jobs + 1] = job
  end
  local result = assembly.write { out = o.out, size = o.size, name = o.out:match "([^/]*)$":gsub("%.%w+$", ""), fps = rate,
    names = classes, label_kind = "class", jobs = jobs, note = o.note,
    source = ("videos of %s, intervals of %s%s; faces of %d pixels"):format(o.videos, o.labels,
      o.tier and ", tier " .. o.tier or "", o.size) }
  for _, partition in ipairs { "train", "devel", "test" } do counts[partition] = counts[partition] or {} end
  result.classes, result.counts = classes, counts
  return result
end

-- ---- traces --------------------------------------------------------------------------------------------

--- The gold standard of a video's traces of one target.
local function fused(list, rate, n, o)
  table.sort(list, function(a, b) return a.rater < b.rater end)
  local columns = {}
  for r, trace in ipairs(list) do columns[r] = rated.sampled(trace, rate, n) end
  if #list == 1 then return columns[1], columns end
  local t = assembly.tensor("f64", { n, #list }, function(row, r) return columns[r][row] end)
  return data.gold(t, { kind = o.gold_kind, lag = o.lag and math.floor(o.lag * rate + 0.5) or nil }):totable(), columns
end

local function from_traces(list, o, found)
  found:raise()
  local _, path_of = people.videos(o.videos)
  local by, names, targets, known, missing, own, turned = {}, {}, {}, {}, 0, 0, 0
  for _, trace in ipairs(list) do
    local name = video_of({ trace.media or "" }, trace.media, path_of)
    missing, turned = missing + trace.missing, turned + (trace.turned or 0)
    if trace.way == "hold" and trace.high and not trace.target then own = own + 1 end
    if not trace.target then
      check.raise("argument", "%s does not say what was rated; --targets says it (one name, or folders arousal/ and "
        .. "valence/)", trace.path)
    elseif #trace == 0 then
      o.note("%s: no value of %s; left out", trace.path, trace.rater)
    elseif not name then
      o.leave_out(trace.media or trace.path, "no partition", "there is no video of this name in " .. o.videos)
    else
      if not by[name] then by[name], names[#names + 1] = {}, name end
      local of = by[name]
      of[trace.target] = of[trace.target] or {}
      table.insert(of[trace.target], trace)
      if not known[trace.target] then targets[#targets + 1], known[trace.target] = trace.target, true end
    end
  end
  if #names == 0 then check.raise("io", "no trace in %s belongs to a video in %s", o.labels, o.videos) end
  table.sort(names)
  table.sort(targets)
  if #o.targets > 1 then targets = o.targets end
  if missing > 0 then o.note("%d values are missing in the traces; lines or the value before stand for them", missing) end
  if turned > 0 then o.note("%d rows came after later ones of their session; they are brought into order", turned) end
  local rows_of, kept, most = {}, {}, 0
  for _, name in ipairs(names) do
    local whole, every = true, {}
    for _, target in ipairs(targets) do
      whole = whole and by[name][target] ~= nil
      for _, trace in ipairs(by[name][target] or {}) do every[#every + 1] = trace end
    end
    if not whole then
      o.leave_out(name, "no partition", "not all of " .. table.concat(targets, ", ") .. " are rated")
    else
      local n, rows = rated.length(every, o.rate), { path = every[1].path }
      for i = 1, n do rows[i] = { time = (i - 1) / o.rate, line = 1 } end
      for k, target in ipairs(targets) do
        local gold = fused(by[name][target], o.rate, n, o)
        most = math.max(most, #by[name][target])
        for i = 1, n do rows[i][k] = gold[i] end
      end
      rows_of[name], kept[#kept + 1] = rows, name
    end
  end
  o.note("up to %d raters a video; what they said is brought to [-1, 1] by the range that the files say%s", most,
    own > 0 and ", or by their own" or "")
  if most > 1 then o.note("the gold standard is %s%s", o.gold_kind, o.lag
    and (", lags of up to %g s taken out"):format(o.lag) or "") end
  o.targets, o.range, o.source = targets, { -1, 1 }, ("videos of %s, traces of %s"):format(o.videos, o.labels)
  local rate = o.rate
  o.rate = nil -- they are even already
  local result = timed.write(rows_of, kept, o, found)
  o.rate = rate
  return result
end

local function make(o)
  local found = ratings.problems()
  people.videos(o.videos)
  local all, list = read_all(o, found)
  if #all > 0 and #list > 0 then
    check.raise("argument", "%s holds intervals (%s ...) and traces (%s ...); a corpus has labels of one kind: --labels "
      .. "names a folder with one of them", o.labels, all[1].path, list[1].path)
  end
  found:raise()
  if #all > 0 then return from_intervals(all, o, found) end
  if #list == 0 then
    check.raise("io", "%s holds no .eaf, .anvil or .annotation, and no CSV of CARMA, DARMA or PAGAN", o.labels)
  end
  return from_traces(list, o, found)
end

return command.entry(command.declare {
  name = "annotations", title = "videos with files of annotation programs: ELAN, ANVIL, NOVA, CARMA, DARMA, PAGAN",
  wants = [[
Videos (NAME.mp4 ...) in videos/, and in labels/ either intervals (ELAN's .eaf, ANVIL's .anvil, NOVA's discrete and free
.annotation with .annotation~) or traces of raters (CSVs of CARMA, DARMA and PAGAN, NOVA's continuous .annotation). A file
belongs to the video that it names, else to that of its own name; NOVA's to that of its session's folder. Intervals become a
class for each row, from <= t < to; traces of several raters become their gold standard.]],
  common = { "out", "faces", "split" },
  options = {
    { "from", "folder that holds videos and labels" },
    { "videos", "the folder of videos (FROM/videos)" },
    { "labels", "the folder of annotation files, and of folders with them (FROM/labels)" },
    { "rate", "rows a second", kind = "number", default = 25 },
    { "tier", "of intervals: the tier, track or scheme, where a file has several" },
    { "none", "the class of rows that no interval covers", default = "none" },
    { "targets", "of traces: what was rated, where the files do not say it; several are names of folders", kind = "names",
      default = {} },
    { "column", "of PAGAN: the column that names the video", default = "DatabaseName" },
    { "gold_kind", "of raters", default = "ccc_centred", among = require("mien.data.gold").kinds },
    { "lag", "seconds: raters' lags against each other are estimated, no longer than that, and taken out", kind = "number" },
  },
  examples = {
    "mien dataset import annotations --from mine --tier emotion --out corpora/own.h5",
    "mien dataset import annotations --from mine --targets arousal --rate 10 --lag 3 --out corpora/own.h5",
  },
  prepare = function(o, what)
    if not o.from and not (o.videos and o.labels) then
      check.raise("argument", "%s: from, or videos and labels, must say where the files are", what)
    end
    if o.rate <= 0 then check.raise("argument", "%s: rate is %g; rows a second are above 0", what, o.rate) end
    o.videos, o.labels = o.videos or o.from .. "/videos", o.labels or o.from .. "/labels"
    return o
  end,
  make = make,
}, arg)
