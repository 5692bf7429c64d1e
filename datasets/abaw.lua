-- Aff-Wild2, as the ABAW challenges hand it out: a text file of valence and arousal for each person of a video, and the
-- videos or the faces that were cut out of them, as a corpus. Not here: Aff-Wild, the first one (affwild.lua).
local here = debug.getinfo(1, "S").source:gsub("^@", ""):match "^(.*)/[^/]*$" or "."
if not package.path:find(here .. "/?.lua", 1, true) then package.path = here .. "/?.lua;" .. package.path end

local ffi = require "ffi"
local lfs = require "lfs"
local ratings = require "reading.ratings"
local assembly = require "reading.assembly"
local check = require "mien.base.check"
local command = require "reading.command"
local csv = require "mien.data.csv"
local data = require "mien.data"
local faces = require "reading.faces"
local file = require "mien.data.file"
local people = require "reading.people"
local pictures = require "reading.pictures"
local traces = require "reading.traces"

local PARTITIONS = { Train_Set = "train", Validation_Set = "devel", Test_Set = "test" }
local TARGETS = { "arousal", "valence" }

--- Two people in one video are annotated as NAME_left and NAME_right.
local function source_of(name)
  return name:match "^(.+)_left$" or name:match "^(.+)_right$" or name
end

--- The labels of a file, a line for each frame: { path =, { arousal, valence } or false where a value below -1 says that
-- there is none ... }, and how many such there are. The header says which column is which.
local function read_labels(path, found)
  local rows, header, bad = csv.read(path, TARGETS)
  local list, without = { path = path }, 0
  for _, row in ipairs(bad) do found:add(path, row.line, "%s", traces.field_problem(row.problem)) end
  for _, row in ipairs(rows) do
    local values, none = {}, false
    for k, name in ipairs(TARGETS) do
      local value, problem = traces.number(row[name])
      if not value then
        found:add(path, row.line, "%s: %s", name, problem)
      elseif value > 1 then
        found:add(path, row.line, "%s: %g lies beyond [-1, 1]", name, value)
      end
      none = none or value ~= nil and value < -1
      values[k] = value or 0
    end
    list[#list + 1] = not none and values
    without = without + (none and 1 or 0)
  end
  if #rows == 0 and #bad == 0 then found:add(path, 1, "no rows after the header %s", table.concat(header, ",")) end
  return list, without
end

--- Where labels run on without a gap: list of { first, last }; those of fewer than `least` rows are counted apart.
local function stretches(list, least)
  local result, short, first = {}, 0, nil
  for i = 1, #list + 1 do
    if list[i] then
      first = first or i
    elseif first then
      if i - first >= least then result[#result + 1] = { first, i - 1 } else short = short + i - first end
      first = nil
    end
  end
  return result, short
end

-- ---- faces that were cut out -----------------------------------------------------------------------------

--- For a job: the pictures FOLDER/00001.jpg ... of its frames; a frame without one keeps the picture before it (at the
-- beginning the first one), and its row says face = 0.
local function from_pictures(job, folder, first, last, fps)
  local seen = { times = {}, step = 1 / fps, missing = 0, held = {}, others = 0 }
  local path_of, before, any = {}, nil, nil
  for i = first, last do
    local path
    for _, ending in ipairs { "jpg", "png", "jpeg" } do
      local try = ("%s/%05d.%s"):format(folder, i, ending)
      if not path and lfs.attributes(try, "mode") == "file" then path = try end
    end
    local n = i - first + 1
    seen.times[n], path_of[n] = (i - 1) / fps, path or before
    if not path then seen.missing, seen.held[n] = seen.missing + 1, true end
    before, any = path or before, any or path
  end
  if not any then return nil end
  for n = 1, #seen.times do path_of[n] = path_of[n] or any end
  job.seen = seen
  local picture = data.image.read(any)
  job.resolution = ("%dx%d"):format(picture:size(2), picture:size(1))
  picture:free()
  function job.cut(map, size, write)
    local bytes, room = size * size * 3, math.min(faces.piece, #map)
    local crops, held, last_path, last_picture = file.array("u8", { room, size, size, 3 }), 0, nil, nil
    local to = crops:data()
    for _, n in ipairs(map) do
      if path_of[n] ~= last_path then
        if last_picture then last_picture:free() end
        last_path, last_picture = path_of[n], pictures.middle(data.image.read(path_of[n]), size)
      end
      ffi.copy(to + held * bytes, last_picture:data(), bytes)
      held = held + 1
      if held == room then
        write(crops)
        held = 0
      end
    end
    if held > 0 then write(crops:narrow(1, 1, held)) end
    if last_picture then last_picture:free() end
    crops:free()
  end
  return job
end

-- ---- recordings ------------------------------------------------------------------------------------------

--- The stretches of one label file as jobs.
local function add_jobs(jobs, entry, labels, o)
  local parts, short = stretches(labels, o.least)
  if short > 0 then o.note("%s: %d frames in stretches shorter than %d are left out", entry.name, short, o.least) end
  if #parts == 0 then return o.leave_out(entry.name, entry.partition, "no stretch of labels is long enough") end
  if #parts > 1 then
    o.note("%s: its labels have gaps; it becomes %d recordings, one for each stretch", entry.name, #parts)
  end
  local video = o.videos and (faces.video(o.videos, entry.name) or faces.video(o.videos, source_of(entry.name)))
  local crops = o.faces and o.faces .. "/" .. entry.name
  for i, part in ipairs(parts) do
    local first, last = part[1], part[2]
    local job = { name = entry.name .. (i > 1 and "+" .. i or ""), source = entry.name, subject = entry.subject,
      partition = entry.partition,
      video = video, rows = last - first + 1, boxes = o.boxes and faces.given(o.boxes, entry.name), search = o }
    local offset = 0
    if crops and lfs.attributes(crops, "mode") == "directory" then
      if not from_pictures(job, crops, first, last, o.fps) then
        return o.leave_out(entry.name, entry.partition, crops .. " holds none of its pictures")
      end
    elseif not video then
      return o.leave_out(entry.name, entry.partition, "there is neither a folder of its faces nor its video")
    elseif source_of(entry.name) ~= entry.name and not job.boxes then
      return o.leave_out(entry.name, entry.partition, "two people are in the video; --faces or --boxes must say which is "
        .. "meant")
    else
      offset = first - 1
    end
    function job.map(seen)
      local map = {}
      for row = 1, math.min(job.rows, #seen.times - offset) do map[row] = offset + row end
      return #map > 0 and map or nil
    end
    function job.time(row, seen, map) return seen.times[map[row]] end
    function job.longer() return false end
    function job.labels(row, k) return labels[first + row - 1][k] end
    jobs[#jobs + 1] = job
  end
end

--- Label files by name and the partition of their folder: list of { name, partition, path }.
local function label_files(o)
  local list, seen = {}, {}
  for folder, partition in pairs(PARTITIONS) do
    local path = o.labels .. "/" .. folder
    if lfs.attributes(path, "mode") == "directory" then
      for entry in lfs.dir(path) do
        local name = entry:match "^(.+)%.txt$"
        if name and seen[name] then
          check.raise("argument", "%s stands in two partitions, %s and %s", name, seen[name], path)
        elseif name then
          seen[name] = path
          list[#list + 1] = { name = name, partition = partition, path = path .. "/" .. entry }
        end
      end
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  if #list == 0 then check.raise("io", "%s holds no Train_Set or Validation_Set with NAME.txt", o.labels) end
  return list
end

local function make(o)
  local found, jobs, read, without = ratings.problems(), {}, {}, 0
  local list, names = label_files(o), {}
  for i, entry in ipairs(list) do
    local n
    read[entry.name], n = read_labels(entry.path, found)
    without, names[i] = without + n, entry.name
  end
  found:raise()
  local own = o.split or o.folds or o.given.shares
  for _, entry in ipairs(own and people.split(names, o, source_of) or list) do
    entry.subject = entry.subject or source_of(entry.name)
    add_jobs(jobs, entry, read[entry.name], o)
  end
  if without > 0 then o.note("%d frames have no label (a value below -1): they are left out", without) end
  if #jobs == 0 then check.raise("io", "none of the %d annotated persons has a video or a folder of faces", #list) end
  return assembly.write { out = o.out, size = o.size, name = "abaw", fps = o.fps, names = TARGETS, jobs = jobs,
    note = o.note, label_range = { -1, 1 },
    source = ("Aff-Wild2 of %s, %s partitions; faces of %d pixels"):format(o.labels, own and "own" or "the owners'", o.size) }
end

return command.entry(command.declare {
  name = "abaw", title = "Aff-Wild2 as the ABAW challenges hand it out: valence and arousal for each frame",
  wants = [[
Ask: the Aff-Wild2 team (Dimitrios Kollias), with their licence signed. Their folder VA_Estimation_Challenge with Train_Set
and Validation_Set (NAME.txt: the header valence,arousal, then a line for each frame; values below -1: no label), and the
cropped_aligned images (cropped_aligned/NAME/00001.jpg ...; a frame without a picture had no face) or the videos. Two people
in one video are NAME_left and NAME_right. Frames without a label are left out; where they lie between others the
recording is divided there. Persons are told by --people, else by the video's name.]],
  common = { "out", "faces", "split" },
  options = {
    { "from", "folder with VA_Estimation_Challenge, cropped_aligned and videos" },
    { "labels", "folder that holds Train_Set and Validation_Set (FROM/VA_Estimation_Challenge)" },
    { "faces", "folder that holds NAME/00001.jpg ... (FROM/cropped_aligned)" },
    { "videos", "folder of NAME.mp4 or .avi, for those without a folder of faces (FROM/videos)" },
    { "fps", "of the videos, for pictures, which have no time", kind = "number", default = 30 },
    { "least", "rows that a stretch of labels must have to be a recording", kind = "count", default = 10 },
  },
  defaults = { size = 112 },
  examples = { "mien dataset import abaw --from AffWild2 --people people.csv --out corpora/abaw.h5" },
  prepare = function(o, what)
    if not o.from and not (o.labels and (o.faces or o.videos)) then
      check.raise("argument", "%s: from, or labels and faces or videos, must say where the files are", what)
    end
    local function below(name)
      local path = o.from and o.from .. "/" .. name
      return path and lfs.attributes(path, "mode") == "directory" and path or nil
    end
    o.labels = o.labels or below "VA_Estimation_Challenge" or o.from
    o.faces, o.videos = o.faces or below "cropped_aligned", o.videos or below "videos"
    return o
  end,
  make = make,
}, arg)
