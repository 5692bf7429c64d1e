-- MuSe, as its organisers hand out labels: for each dimension a CSV for each video, in milliseconds, of a gold standard or of
-- its raters. Not here: other challenges (sewa.lua), own traces (videos.lua).
local here = debug.getinfo(1, "S").source:gsub("^@", ""):match "^(.*)/[^/]*$" or "."
if not package.path:find(here .. "/?.lua", 1, true) then package.path = here .. "/?.lua;" .. package.path end

local lfs = require "lfs"
local ratings = require "reading.ratings"
local assembly = require "reading.assembly"
local check = require "mien.base.check"
local command = require "reading.command"
local csv = require "mien.data.csv"
local data = require "mien.data"
local partitions = require "reading.partitions"
local people = require "reading.people"
local timed = require "reading.timed"
local traces = require "reading.traces"

--- The values of one file: { path =, { time =, line =, value } ... }. Columns timestamp (or timeStamp) in milliseconds and
-- value;
-- without one named so, columns 1, 2, ... are raters, whose gold standard is taken.
local function read(path, o, found)
  local rows, header, bad = csv.read(path, { "timestamp" })
  for _, row in ipairs(bad) do found:add(path, row.line, "%s", traces.field_problem(row.problem)) end
  local value, raters = people.column(header, { "value" }), {}
  for _, column in ipairs(header) do
    if column:find "^%d+$" then raters[#raters + 1] = column end
  end
  local columns = value and { value } or raters
  if #columns == 0 then
    found:add(path, 1, "neither a column value nor raters 1, 2, ...; its header is: %s", table.concat(header, ", "))
    return { path = path }
  end
  local list = { path = path }
  for _, row in ipairs(rows) do
    local ms, problem = traces.number(row.timestamp)
    if not ms then
      found:add(path, row.line, "timestamp: %s", problem)
    else
      local values = { time = ms / 1000, line = row.line }
      for k, column in ipairs(columns) do
        local number, wrong = traces.number(row[column])
        if not number then
          found:add(path, row.line, "%s: %s", column, wrong)
        elseif number < o.range[1] or number > o.range[2] then
          found:add(path, row.line, "%s: %g lies beyond [%g, %g] (--range)", column, number, o.range[1], o.range[2])
        end
        values[k] = number or 0
      end
      local last = list[#list]
      if last and values.time <= last.time then
        found:add(path, row.line, "timestamp %g after %g in line %d: times must rise", ms, last.time * 1000, last.line)
      end
      list[#list + 1] = values
    end
  end
  if #list == 0 then found:add(path, 1, "no rows after the header") end
  if #columns > 1 and #list > 1 and #found.list == 0 then
    local t = assembly.tensor("f64", { #list, #columns }, function(row, k) return list[row][k] end)
    local gold = data.gold(t, { kind = o.gold_kind }):totable()
    for i, row in ipairs(list) do row[1] = gold[i] end
    o.fused = math.max(o.fused or 0, #columns)
  end
  return list
end

--- Videos that all dimensions have a file for, sorted; the others are left out.
local function labelled(o)
  local seen, names = {}, {}
  for _, target in ipairs(o.targets) do
    local folder = o.labels .. "/" .. target
    if lfs.attributes(folder, "mode") ~= "directory" then
      check.raise("io", "there is no folder %s; --labels names the one that holds %s", folder, table.concat(o.targets,
        " and "))
    end
    for entry in lfs.dir(folder) do
      local name = entry:match "^(.+)%.csv$"
      if name then seen[name] = (seen[name] or 0) + 1 end
    end
  end
  for name, n in pairs(seen) do
    if n == #o.targets then names[#names + 1] = name
    else o.leave_out(name, "no partition", "it has not all of " .. table.concat(o.targets, ", ")) end
  end
  table.sort(names)
  return names
end

--- The partitions of the organisers' table Id,Proposal, for people.split.
local function own_split(path, found)
  local rows, header, bad = csv.read(path)
  local id, proposal = people.column(header, { "id" }), people.column(header, { "proposal", "partition" })
  if not id or not proposal then check.raise("format", "%s has no columns Id and Proposal", path) end
  for _, row in ipairs(bad) do found:add(path, row.line, "%s", row.problem) end
  local list, seen = { path = path }, {}
  for _, row in ipairs(rows) do
    local partition = partitions.words[row[proposal]:lower()]
    if not partition then
      found:add(path, row.line, "'%s' is none of train, devel, test", row[proposal])
    elseif seen[row[id]] then
      found:add(path, row.line, "%s stands in line %d already", row[id], seen[row[id]])
    else
      list[#list + 1], seen[row[id]] = { name = row[id], partition = partition }, row.line
    end
  end
  return list
end

local function make(o)
  people.videos(o.videos)
  local found, by_name, names = ratings.problems(), {}, labelled(o)
  for _, name in ipairs(names) do
    local first = nil
    for k, target in ipairs(o.targets) do
      local path = ("%s/%s/%s.csv"):format(o.labels, target, name)
      local rows = read(path, o, found)
      first = first or rows
      if #rows ~= #first then found:add(path, 1, "%d rows, but %s has %d", #rows, first.path, #first) end
      for i, row in ipairs(first) do
        local other = rows[i]
        if other and math.abs(other.time - row.time) > 1e-6 then
          found:add(path, other.line, "time %g s where %s has %g", other.time, first.path, row.time)
          break
        end
        row[k] = other and other[1] or 0
      end
    end
    for _, row in ipairs(first) do
      for k = #o.targets + 1, #row do row[k] = nil end
    end
    by_name[name] = first
  end
  o.manifest = o.partition and own_split(o.partition, found)
  found:raise()
  if o.fused then o.note("up to %d raters in a file: their gold standard (%s) is taken", o.fused, o.gold_kind) end
  o.source = ("videos of %s, labels of %s"):format(o.videos, o.labels)
  return timed.write(by_name, names, o, found)
end

return command.entry(command.declare {
  name = "muse", title = "MuSe (MuSe-CaR and its kin): videos with a CSV for each dimension, in milliseconds",
  wants = [[
Videos (ID.mp4 ...) in videos/, labels in label_segments/ (or labels/): a folder for each dimension with ID.csv, columns
timestamp (milliseconds) and value, or timeStamp and raters 1, 2, ...; partition.csv with columns Id and Proposal (train,
devel, test). Rows need not be even: --rate brings them to one rate.]],
  common = { "out", "faces", "split" },
  options = {
    { "from", "folder that holds videos, label_segments and partition.csv" },
    { "videos", "the folder of videos (FROM/videos)" },
    { "labels", "the folder that holds arousal/ID.csv ... (FROM/label_segments, else FROM/labels)" },
    { "partition", "the organisers' table of partitions (FROM/partition.csv, else FROM/metadata/partition.csv)" },
    { "targets", "dimensions to learn, names of folders", kind = "names", default = { "arousal", "valence" } },
    { "gold_kind", "of raters", default = "ccc_centred", among = require("mien.data.gold").kinds },
    { "range", "of the values", kind = "numbers", least = 2, most = 2, default = { -1, 1 } },
    { "rate", "rows a second: values are brought to it on straight lines", kind = "number" },
  },
  examples = { "mien dataset import muse --from MuSe --rate 4 --people people.csv --out corpora/muse.h5" },
  prepare = function(o, what)
    if not o.from and not (o.videos and o.labels) then
      check.raise("argument", "%s: from, or videos and labels, must say where the files are", what)
    end
    local function there(name, mode)
      local path = o.from and o.from .. "/" .. name
      return path and lfs.attributes(path, "mode") == mode and path or nil
    end
    o.videos = o.videos or o.from .. "/videos"
    o.labels = o.labels or there("label_segments", "directory") or o.from .. "/labels"
    o.partition = o.partition or there("partition.csv", "file") or there("metadata/partition.csv", "file")
    return o
  end,
  make = make,
}, arg)
