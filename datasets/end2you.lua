-- HDF5 files that End2You wrote of videos (its VisualGenerator): a file for each recording, with the faces that it cut out.
-- Not here: the videos themselves (videos.lua, recola.lua), its audio files.
local here = debug.getinfo(1, "S").source:gsub("^@", ""):match "^(.*)/[^/]*$" or "."
if not package.path:find(here .. "/?.lua", 1, true) then package.path = here .. "/?.lua;" .. package.path end

local lfs = require "lfs"
local assembly = require "reading.assembly"
local check = require "mien.base.check"
local command = require "reading.command"
local data = require "mien.data"
local faces = require "reading.faces"
local file = require "mien.data.file"
local partitions = require "reading.partitions"
local people = require "reading.people"
local ratings = require "reading.ratings"

-- ---- files ---------------------------------------------------------------------------------------------

--- Its files: list of { name, path, partition or nil } of FROM, or of FROM/train, FROM/valid ...
local function files_of(o)
  local list, seen = {}, {}
  local function look(folder, partition)
    for entry in lfs.dir(folder) do
      local path, name = folder .. "/" .. entry, entry:match "^(.+)%.hdf5$"
      local mode = lfs.attributes(path, "mode")
      if name and mode == "file" then
        if seen[name] then check.raise("argument", "%s stands in two folders, %s and %s", name, seen[name], path) end
        seen[name], list[#list + 1] = path, { name = name, path = path, partition = partition }
      elseif mode == "directory" and not partition and partitions.words[entry:lower()] then
        look(path, partitions.words[entry:lower()])
      end
    end
  end
  if lfs.attributes(o.from, "mode") ~= "directory" then check.raise("io", "there is no folder %s", o.from) end
  look(o.from)
  table.sort(list, function(a, b) return a.name < b.name end)
  if #list == 0 then check.raise("io", "%s holds no .hdf5 of End2You", o.from) end
  return list
end

--- What a file holds: { labels = list of rows, names, steps = T, inside = n, height, width }; what is wrong goes to found.
local function look_at(entry, found)
  local h5 = file.open(entry.path)
  local ok, result = pcall(function()
    for _, name in ipairs { "visual", "labels" } do
      if not h5:has(name) then return found:add(entry.path, 1, "no dataset %s: no file of End2You's VisualGenerator",
        name) end
    end
    local _, shape = h5:info "visual"
    local _, rows = h5:info "labels"
    if #shape ~= 5 or shape[3] ~= 3 or #rows ~= 2 then
      return found:add(entry.path, 1, "visual is [%s] and labels [%s]; [T,n,3,H,W] and [T,K] are wanted",
        table.concat(shape, ","), table.concat(rows, ","))
    end
    local names = {}
    for name in (h5:text "label_names" or ""):gmatch "[^\n]+" do names[#names + 1] = name end
    if #names ~= rows[2] then
      return found:add(entry.path, 1, "%d label_names for %d columns of labels", #names, rows[2])
    end
    local labels = h5:read("labels"):to("f64"):totable()
    return { labels = labels, names = names, steps = math.min(shape[1], rows[1]), differ = shape[1] - rows[1],
      inside = shape[2],
      height = shape[4], width = shape[5] }
  end)
  h5:close()
  if not ok then check.rethrow(result) end
  return result
end

-- ---- pictures ------------------------------------------------------------------------------------------

--- Frame `at` (from 1) of a step of f32 [n,3,H,W] from 0 to 255 as u8 [H,W,3]; the second result: all of it is black.
local function picture(step, at, h, w)
  local planes, out = step:select(1, at), file.array("u8", { h, w, 3 })
  local from, to, black = planes:clone():data(), out:data(), true
  for c = 0, 2 do
    for i = 0, h * w - 1 do
      local value = from[c * h * w + i]
      if value ~= value or value < 0 or value > 255 then return nil end
      to[i * 3 + c] = value + 0.5
      black = black and value == 0
    end
  end
  return out, black
end

--- The job of a file: a row for each label, with the first frame of its step as End2You's own provider takes it, or with
-- --all a row for each frame. A step whose pictures are black had no face there: its row says face = 0, and the picture
-- before it stands for it.
local function make_job(entry, about, o)
  local each = o.all and about.inside or 1
  local rows, interval = about.steps * each, o.step / each
  local seen = { times = {}, step = interval, missing = 0, held = {}, others = 0 }
  for i = 1, rows do seen.times[i] = (i - 1) * interval end
  local job = { name = entry.name, subject = entry.subject, partition = entry.partition, rows = rows, seen = seen, search = o,
    resolution = ("%dx%d"):format(about.width, about.height) }
  local h5 = file.open(entry.path)
  local function frame(row)
    local step = math.floor((row - 1) / each) + 1
    local read = h5:read("visual", step, 1):to("f32"):reshape { about.inside, 3, about.height, about.width }
    local out, black = picture(read, (row - 1) % each + 1, about.height, about.width)
    read:free()
    if not out then
      check.raise("format", "%s: visual holds numbers beyond 0 to 255 at step %d: no pictures as End2You writes them",
        entry.path, step)
    end
    return out, black
  end
  for row = 1, rows do -- which of them are black
    local out, black = frame(row)
    out:free()
    if black then seen.missing, seen.held[row] = seen.missing + 1, true end
  end
  function job.map()
    local map = {}
    for row = 1, rows do map[row] = row end
    return map
  end
  function job.cut(map, size, write)
    local room = math.min(faces.piece, #map)
    local last, first = nil, 1
    while seen.held[first] and first < rows do first = first + 1 end
    local crops = {}
    for _, row in ipairs(map) do
      if not seen.held[row] or not last then
        local whole = frame(seen.held[row] and first or row)
        if last then last:free() end
        last = data.image.resize(whole, { size, size })
        whole:free()
      end
      crops[#crops + 1] = last:clone():reshape { 1, size, size, 3 }
      if #crops == room or row == #map then
        write(require("mien.tensor").cat(crops, 1))
        for _, crop in ipairs(crops) do crop:free() end
        crops = {}
      end
    end
    if last then last:free() end
    h5:close()
  end
  function job.longer() return false end
  function job.time(row) return seen.times[row] end
  function job.labels(row, k) return about.labels[math.floor((row - 1) / each) + 1][k] end
  return job
end

local function make(o)
  local found, list, names, jobs = ratings.problems(), files_of(o), {}, {}
  local by_name, first, told = {}, nil, false
  for i, entry in ipairs(list) do
    names[i], by_name[entry.name] = entry.name, entry
    entry.about = look_at(entry, found)
    told = told or entry.partition ~= nil
    if entry.about then
      first = first or entry
      if table.concat(entry.about.names, ",") ~= table.concat(first.about.names, ",") then
        found:add(entry.path, 1, "label_names are %s, but %s in %s", table.concat(entry.about.names, ", "),
          table.concat(first.about.names, ", "), first.path)
      end
      if entry.about.differ ~= 0 then
        o.note("%s: %+d steps of pictures more than labels: the first %d are used", entry.name, entry.about.differ,
          entry.about.steps)
      end
    end
  end
  found:raise()
  if told then
    o.manifest = { path = o.from }
    for _, entry in ipairs(list) do
      if entry.partition then table.insert(o.manifest, { name = entry.name, partition = entry.partition }) end
    end
  end
  o.labels = o.from
  for _, entry in ipairs(people.split(names, o)) do
    entry.path = by_name[entry.name].path
    jobs[#jobs + 1] = make_job(entry, by_name[entry.name].about, o)
  end
  return assembly.write { out = o.out, size = o.size, name = o.out:match "([^/]*)$":gsub("%.%w+$", ""),
    fps = (o.all and first.about.inside or 1) / o.step, names = first.about.names, jobs = jobs, note = o.note,
    source = ("End2You's files of %s, %s; faces of %d pixels"):format(o.from, o.all and "every frame" or "the first frame of "
      .. "each step", o.size) }
end

return command.entry(command.declare {
  name = "end2you", title = "HDF5 files that End2You wrote of videos, with the faces that it cut out",
  wants = [[
A folder with NAME.hdf5 for each recording (datasets visual [T,n,3,H,W] from 0 to 255 and labels [T,K],
  attribute label_names),
or with folders train, valid and test of such. The files do not say how long a step is, so --step must. End2You writes a step
whose face it did not find as black: such a row says face = 0. Its loader takes the first frame of each step, and so does
this; --all takes every frame, each with its step's label.]],
  common = { "out", "split" },
  options = {
    { "from", "the folder", required = true },
    { "step", "seconds from one label to the next", kind = "number", required = true },
    { "size", "side of the faces in pixels", kind = "count", default = 96 },
    { "all", "every frame of a step", kind = "flag" },
  },
  examples = { "mien dataset import end2you --from hdf5 --step 0.1 --out corpora/own.h5" },
  prepare = function(o, what)
    if o.step <= 0 then check.raise("argument", "%s: step is %g s; above 0 is wanted", what, o.step) end
    return o
  end,
  make = make,
}, arg)
