-- What OpenFace (or py-feat in its form) measured in videos, as labels: action units, gaze and pose of each frame, with the
-- face where its landmarks are. Not here: its features as inputs.
local here = debug.getinfo(1, "S").source:gsub("^@", ""):match "^(.*)/[^/]*$" or "."
if not package.path:find(here .. "/?.lua", 1, true) then package.path = here .. "/?.lua;" .. package.path end

local lfs = require "lfs"
local ratings = require "reading.ratings"
local check = require "mien.base.check"
local command = require "reading.command"
local csv = require "mien.data.csv"
local people = require "reading.people"
local timed = require "reading.timed"
local traces = require "reading.traces"

local NEEDED = { "frame", "timestamp", "success" }

--- The intensities of action units that a header has, "AU01_r" ..., in its order.
local function intensities(header)
  local list = {}
  for _, name in ipairs(header) do
    if name:find "^AU%d+_r$" then list[#list + 1] = name end
  end
  return list
end

--- The box around a row's landmarks, nil without any (OpenFace writes them with -2Dfp).
local function box_of(row, columns)
  local low, high = { math.huge, math.huge }, { -math.huge, -math.huge }
  for _, column in ipairs(columns) do
    local value = tonumber(row[column[1]])
    if not value then return nil end
    low[column[2]], high[column[2]] = math.min(low[column[2]], value), math.max(high[column[2]], value)
  end
  if high[1] <= low[1] or high[2] <= low[2] then return nil end
  return { low[1], low[2], high[1] - low[1], high[2] - low[2] }
end

--- Of several faces the one that is seen in most rows; rows of the others are left out and counted.
local function one_face(rows, name, o)
  local counts, best = {}, nil
  for _, row in ipairs(rows) do
    local id = row.face_id or "0"
    counts[id] = (counts[id] or 0) + (tonumber(row.success) == 1 and 1 or 0)
  end
  for id, n in pairs(counts) do
    if not best or n > counts[best] or n == counts[best] and id < best then best = id end
  end
  local kept = {}
  for _, row in ipairs(rows) do
    if (row.face_id or "0") == best then kept[#kept + 1] = row end
  end
  if #kept < #rows then
    o.note("%s: %d rows of other faces than number %s, which is seen most, are left out", name, #rows - #kept, best)
  end
  return kept
end

--- Rows as timed.write takes them. A frame without a face (success 0) keeps its row, whose values are not measured; as no box
-- is there, it says face = 0.
local function read(path, name, o, found)
  local rows, header, bad = csv.read(path, NEEDED)
  for _, row in ipairs(bad) do found:add(path, row.line, "%s", traces.field_problem(row.problem)) end
  o.targets = o.targets or intensities(header)
  local known, landmarks = {}, {}
  for _, column in ipairs(header) do
    known[column] = true
    local axis = column:match "^([xy])_%d+$"
    if axis then landmarks[#landmarks + 1] = { column, axis == "x" and 1 or 2 } end
  end
  for _, target in ipairs(o.targets) do
    if not known[target] then
      found:add(path, 1, "no column %s; its header is: %s", target, table.concat(header, ", "):sub(1, 200))
      return { path = path }
    end
  end
  local list, unseen = { path = path, boxes = #landmarks > 0 and {} or nil }, 0
  for _, row in ipairs(one_face(rows, name, o)) do
    local frame, time, success = tonumber(row.frame), traces.number(row.timestamp), tonumber(row.success)
    if not frame or frame % 1 ~= 0 or not time or success ~= 0 and success ~= 1 then
      found:add(path, row.line, "frame '%s', timestamp '%s', success '%s': no whole number, time, and 0 or 1", row.frame,
        row.timestamp, row.success)
    else
      local values, last = { time = time, line = row.line }, list[#list]
      if last and time <= last.time then
        found:add(path, row.line, "time %g s after %g s in line %d: times must rise", time, last.time, last.line)
      end
      for k, target in ipairs(o.targets) do
        local value, problem = traces.number(row[target])
        if not value then
          found:add(path, row.line, "%s: %s", target, problem)
        elseif success == 1 and (value < o.range[1] or value > o.range[2]) then
          found:add(path, row.line, "%s: %g lies beyond [%g, %g] (--range)", target, value, o.range[1], o.range[2])
        end
        values[k] = success == 1 and value or last and last[k] or o.range[1]
      end
      if list.boxes and success == 1 then list.boxes[frame] = box_of(row, landmarks) end
      unseen = unseen + 1 - success
      list[#list + 1] = values
    end
  end
  if unseen > 0 then
    o.note("%s: no face in %d of %d rows; they keep the values before them%s", name, unseen, #list,
      list.boxes and " and say face = 0" or "")
  end
  return list
end

local function make(o)
  local names = people.videos(o.videos)
  local found, by_name, list = ratings.problems(), {}, {}
  if lfs.attributes(o.labels, "mode") ~= "directory" then check.raise("io", "there is no folder %s of CSVs", o.labels) end
  for entry in lfs.dir(o.labels) do
    local name = entry:match "^(.+)%.[cC][sS][vV]$"
    if name then list[#list + 1] = name end
  end
  table.sort(list)
  for _, name in ipairs(list) do by_name[name] = read(o.labels .. "/" .. name .. ".csv", name, o, found) end
  if #list == 0 then check.raise("io", "%s holds no CSV for the %d videos of %s", o.labels, #names, o.videos) end
  found:raise()
  if #o.targets == 0 then check.raise("format", "%s has no column AU.._r; --targets names columns", o.labels) end
  o.source = ("videos of %s, measured by OpenFace in %s"):format(o.videos, o.labels)
  return timed.write(by_name, list, o, found)
end

return command.entry(command.declare {
  name = "openface", title = "videos with what OpenFace measured in them: action units, gaze, pose",
  wants = [[
Videos (NAME.mp4, .avi ...) in videos/, and OpenFace's NAME.csv for each in labels/ (FaceLandmarkVid, FeatureExtraction;
names in the header with or without blanks): frame, timestamp, success, and the columns to learn. The face is where its
landmarks x_0 ... y_67 are, and searched where the CSV has none. A frame in which OpenFace found no face keeps its row:
face = 0.]],
  common = { "out", "faces", "split" },
  options = {
    { "from", "folder that holds videos and labels" },
    { "videos", "the folder of videos (FROM/videos)" },
    { "labels", "the folder of CSVs (FROM/labels)" },
    { "targets", "columns to learn (all intensities of action units, AU01_r ...)", kind = "names" },
    { "range", "of the values where a face is seen", kind = "numbers", least = 2, most = 2, default = { 0, 5 } },
    { "rate", "rows a second: values are brought to it on straight lines", kind = "number" },
  },
  examples = { "mien dataset import openface --from mine --targets AU06_r,AU12_r --out corpora/smiles.h5" },
  prepare = function(o, what)
    if not o.from and not (o.videos and o.labels) then
      check.raise("argument", "%s: from, or videos and labels, must say where the files are", what)
    end
    o.videos, o.labels = o.videos or o.from .. "/videos", o.labels or o.from .. "/labels"
    return o
  end,
  make = make,
}, arg)
