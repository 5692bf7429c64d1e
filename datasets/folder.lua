-- A folder of pictures and a CSV of labels (columns image, label or emotion) as a corpus.
-- Not here: pretraining on it (experiments/realeyes.lua).
--
--   mien dataset import folder --pictures FOLDER --labels labels.csv --out corpora/faces.h5 --person '^(S%d+)_'
--
-- Windows out of single pictures: networks here take windows of `sequence` frames that never cross a recording,
-- and a split by participant must not tear a person apart. So whole persons are packed into groups of a whole
-- number of windows, and each group becomes a recording with a subject of its own: whoever splits by subject
-- splits by person. Who a picture shows is told by the CSV's column person or subject; else by --person, a Lua pattern
-- whose capture in the picture's name is the person; else it is guessed, and said how: by the folders where the pictures
-- lie in several, or by the names before trailing _NUMBERs (George_W_Bush_0139 -> George_W_Bush), or before a first dot
-- (KA.AN1.39 -> KA). Folders or names that go with the labels one to one are classes and no persons. Within a recording
-- the pictures are shuffled ("mixed"), or sorted by label ("episodes": windows of one emotion, as a video has them, so
-- that windows without a neutral frame exist for re-sampling).
-- The partitions are those of the CSV's column partition (train, devel, test), else train and devel are 80 and 20 % of
-- the persons, drawn from the seed. No more than one recording's pictures are in memory.
local here = debug.getinfo(1, "S").source:gsub("^@", ""):match "^(.*)/[^/]*$" or "."
if not package.path:find(here .. "/?.lua", 1, true) then package.path = here .. "/?.lua;" .. package.path end

local check = require "mien.base.check"
local command = require "reading.command"
local data = require "mien.data"
local file = require "mien.data.file"
local folders = require "mien.base.folders"
local lfs = require "lfs"
local middle = require("reading.pictures").middle
local picture_labels = require "reading.picture_labels"
local picture_people = require "reading.picture_people"
local rng = require "mien.tensor.rng"
local split = require "mien.data.split"

--- Persons in a random order that depends on the seed alone: list of { name =, pictures = list }.
local function find_persons(pictures, stream)
  local by_name, persons = {}, {}
  table.sort(pictures, function(a, b) return a.image < b.image end)
  for _, picture in ipairs(pictures) do
    local name = picture.person
    local person = by_name[name]
    if not person then
      person = { name = name, pictures = {}, partition = picture.partition }
      by_name[name], persons[#persons + 1] = person, person
    end
    if person.partition ~= picture.partition then
      check.raise("format", "person %s is in %s (%s) and in %s (%s): that would be the same face in both", name,
        person.partition, person.pictures[1].image, picture.partition, picture.image)
    end
    person.pictures[#person.pictures + 1] = picture
  end
  return stream:shuffle(persons)
end

--- Packs persons into groups of a whole number of windows: the largest first, then the largest that still fits.
local function pack(persons, windows, sequence)
  local left, groups = {}, {}
  for i, person in ipairs(persons) do left[i] = person end
  local place = {}
  for i, person in ipairs(left) do place[person] = i end
  table.sort(left, function(a, b)
    if #a.pictures ~= #b.pictures then return #a.pictures > #b.pictures end
    return place[a] < place[b]
  end)
  while #left > 0 do
    local group = { pictures = {} }
    local room = math.max(windows, math.ceil(#left[1].pictures / sequence)) * sequence
    local i = 1
    while i <= #left and room > 0 do
      if #left[i].pictures <= room then
        local person = table.remove(left, i)
        for _, picture in ipairs(person.pictures) do group.pictures[#group.pictures + 1] = picture end
        room = room - #person.pictures
      else
        i = i + 1
      end
    end
    groups[#groups + 1] = group
  end
  return groups
end

local function square(path, size, grey)
  local result = middle(data.image.read(path), size)
  return grey and data.image.grey(result) or result
end

local function label_tensor(pictures, classes, kind)
  local number = {}
  for c, name in ipairs(classes) do number[name] = c end
  local n, k = #pictures, #classes
  local t = kind == "class" and file.array("i32", { n }) or file.array("f32", { n, k }):fill_(0)
  local values = t:data()
  for i, picture in ipairs(pictures) do
    for name in pairs(picture.labels) do
      if kind == "class" then values[i - 1] = number[name] else values[(i - 1) * k + number[name] - 1] = 1 end
    end
  end
  return t
end

local function order_pictures(pictures, options, classes, stream)
  stream:shuffle(pictures)
  if options.order ~= "episodes" then return end
  local place, rank = {}, {}
  for i, picture in ipairs(pictures) do
    place[picture], rank[picture] = i, #classes
    for c, name in ipairs(classes) do
      if picture.labels[name] then rank[picture] = math.min(rank[picture], c) end
    end
  end
  table.sort(pictures, function(a, b)
    if rank[a] ~= rank[b] then return rank[a] < rank[b] end
    return place[a] < place[b]
  end)
end

--- Calls fn(picture), and takes an unreadable picture for a bad row: returns whether it was none.
local function try(picture, bad, fn)
  local ok, err = pcall(fn, picture)
  if ok then return true end
  if not (check.is_error(err) and (err.code == "io" or err.code == "format")) then error(err, 0) end
  bad[#bad + 1] = { line = picture.line, problem = err.message }
  return false
end

--- Pictures whose files are there, and the side of the first one that can be read.
local function find_pictures(pictures, o, bad)
  local good, size = {}, o.size
  for _, picture in ipairs(pictures) do
    local path = o.pictures .. "/" .. picture.image
    if lfs.attributes(path) then good[#good + 1] = picture
    else bad[#bad + 1] = { line = picture.line, problem = ("%s: cannot be read: no such file"):format(path) } end
  end
  for _, picture in ipairs(good) do
    if size then break end
    try(picture, {}, function()
      local image = data.image.read(o.pictures .. "/" .. picture.image)
      size = math.min(image:size(1), image:size(2))
      image:free()
    end)
  end
  return good, size
end

--- Reads a group's pictures and writes those that can be read as one recording; returns them.
local function write_group(writer, group, name, partition, o, classes, bad)
  local size, good = o.size, {}
  local bytes = size * size * 3
  local frames = file.array("u8", { #group.pictures, size, size, 3 })
  local target = frames:data()
  for _, picture in ipairs(group.pictures) do
    if try(picture, bad, function()
      local pixels = square(o.pictures .. "/" .. picture.image, size, o.grey)
      require("ffi").copy(target + #good * bytes, pixels:data(), bytes)
      pixels:free()
    end) then good[#good + 1] = picture end
  end
  if #good > 0 then
    local labels = label_tensor(good, classes, o.kind)
    writer:recording { name = name, subject = name, partition = partition, frames = frames:narrow(1, 1, #good),
      labels = labels }
    labels:free()
  end
  frames:free()
  return good
end

--- Groups of persons written as recordings, partition by partition; what was written is counted in `found`.
local function write_parts(writer, parts, o, found, stream, bad)
  for _, partition in ipairs { "train", "devel", "test" } do
    found[partition] = 0
    for g, group in ipairs(pack(parts[partition], o.windows, o.sequence)) do
      order_pictures(group.pictures, o, found.classes, stream)
      local good = write_group(writer, group, ("%s group %d"):format(partition, g), partition, o, found.classes, bad)
      found[partition], found.pictures = found[partition] + #good, found.pictures + #good
      found.recordings = found.recordings + (#good > 0 and 1 or 0)
      local counts = found.counts[partition]
      for _, picture in ipairs(good) do
        for c, class in ipairs(found.classes) do counts[c] = counts[c] + (picture.labels[class] and 1 or 0) end
      end
    end
  end
end

--- Pictures that can be used with their persons and labels: pictures, classes, how persons are told, ...
local function read(o, bad)
  local pictures, classes, wrong, repeated, column, partitioned = picture_labels.read(o)
  local how
  for _, row in ipairs(wrong) do bad[#bad + 1] = row end
  pictures, o.size = find_pictures(pictures, o, bad)
  pictures, how = picture_people.tell(pictures, o, column, bad)
  if #bad > 0 and not o.skip_bad then -- all of them, before the error
    for _, picture in ipairs(pictures) do
      try(picture, bad, function() data.image.read(o.pictures .. "/" .. picture.image):free() end)
    end
  end
  picture_labels.complain(bad, o)
  if not o.size then check.raise("format", "%s names no picture that can be read", o.labels) end
  return pictures, { pictures = 0, recordings = 0, persons_by = how, repeated = repeated, classes = classes,
    size = o.size, counts = {} }, partitioned
end

--- Lines for people: sizes, persons, what was joined and left out.
local function describe(found)
  found.frames = found.pictures
  found.lines = {
    ("%d pictures of %d persons (train %d, devel %d%s), %dx%d"):format(found.pictures, found.persons, found.train,
      found.devel, found.test > 0 and (", test %d"):format(found.test) or "", found.size, found.size),
    "persons are told apart by " .. found.persons_by,
    found.repeated > 0 and ("%d rows name a picture again; their labels were joined"):format(found.repeated) or nil,
  }
  if found.bad > 0 then table.insert(found.lines, ("%d bad rows were left out"):format(found.bad)) end
  return found
end

local function make(o)
  local bad = {}
  local pictures, found, partitioned = read(o, bad)
  local stream = rng.stream(o.seed, "split")
  local persons = find_persons(pictures, stream)
  if #persons < 2 then
    check.raise("format", "%s shows one person only, as told by %s: nothing to split", o.labels, found.persons_by)
  end
  local cut = split.cut(#persons, o.share, 1, 1, #persons - 1)
  local parts = { train = {}, devel = {}, test = {} }
  for i, person in ipairs(persons) do
    table.insert(parts[partitioned and person.partition or i <= cut and "train" or "devel"], person)
  end
  found.persons = #persons
  for partition in pairs(parts) do
    found.counts[partition] = {}
    for c in ipairs(found.classes) do found.counts[partition][c] = 0 end
  end
  folders.make_for(o.out)
  local writer = data.writer(o.out, { name = o.name or o.out:match "([^/]*)$":gsub("%.%w+$", ""), height = o.size,
    width = o.size, fps = 0, grey = o.grey, label_kind = o.kind, label_names = found.classes, sequence = o.sequence,
    source = ("pictures of %s, labels of %s; single pictures, order %s"):format(o.pictures, o.labels, o.order) })
  local ok, err = pcall(function()
    writer.h5:set("persons_by", found.persons_by)
    writer.h5:set("persons", { tostring(#parts.train), tostring(#parts.devel), tostring(#parts.test) }) -- in the groups
    write_parts(writer, parts, o, found, stream, bad)
    picture_labels.complain(bad, o)
    writer:finish()
  end)
  writer:close()
  if not ok then error(err, 0) end
  found.bad = #bad
  return describe(found)
end

--- Every picture is read, and all that is wrong is noted.
local function inspect(o)
  local bad = {}
  o.skip_bad = true
  local pictures = read(o, bad)
  for _, picture in ipairs(pictures) do
    try(picture, bad, function() data.image.read(o.pictures .. "/" .. picture.image):free() end)
  end
  for _, row in ipairs(bad) do o.note("left out %s:%d: %s", o.labels, row.line, row.problem) end
end

--- Pictures and labels of --from, unless they are named one by one.
local function prepare(o, what)
  if not o.from and not (o.pictures and o.labels) then
    check.raise("argument", "%s: from, or pictures and labels, must say where the files are", what)
  end
  o.pictures, o.labels = o.pictures or o.from, o.labels or o.from .. "/labels.csv"
  return o
end

return command.entry(command.declare {
  name = "folder", title = "single pictures and a CSV of their labels: FER+, AffectNet's or CK+'s pictures, your own",
  wants = [[
A folder of pictures (also in folders below it), and a CSV with columns image (the path from the folder on) and label or
emotion; person or subject, and partition (train, devel, test), where they are known. A picture may stand in several rows.]],
  options = {
    { "from", "folder of the pictures, with labels.csv in it" },
    { "pictures", "the folder (FROM)" },
    { "labels", "the CSV (FROM/labels.csv)" },
    { "size", "side of the pictures in pixels (that of the first one)", kind = "count" },
    { "sequence", "pictures in a window: more than 1 for a network that must see several at once", kind = "count",
      default = 1 },
    { "windows", "windows in a recording, at least", kind = "count", default = 4 },
    { "share", "of the persons, for training", kind = "number", default = 0.8 },
    { "seed", "of the split", kind = "integer", default = 1 },
    { "kind", "a picture may carry several labels, or one", among = { "multilabel", "class" }, default = "multilabel" },
    { "order", "of a recording: mixed, or episodes (by label)", among = { "mixed", "episodes" }, default = "mixed" },
    { "name", "of the corpus (the file's)" },
    { "person", "Lua pattern whose capture in a picture's name is the person: '^(S%d+)_'" },
    { "classes", "names with commas (those of the emotions that occur)", kind = "names" },
    { "grey", "take the colour out: where some labels come with it more often, it would be learnt", kind = "flag" },
    { "skip_bad", "leave out rows that cannot be used", kind = "flag" },
  },
  examples = { "mien dataset import folder --from faces8 --out corpora/faces8.h5 --grey" },
  prepare = prepare, make = make, check = inspect,
}, arg)
