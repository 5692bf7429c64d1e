-- A folder of pictures and a CSV of labels (columns image, label or emotion) as a corpus.
-- Not here: pretraining on it (experiments/realeyes.lua).
--
--   mien datasets/folder.lua --pictures FOLDER --labels labels.csv --out corpora/faces.h5 [--sequence 1]
--     [--size 112] [--kind multilabel|class] [--classes a,b,c] [--order mixed|episodes] [--seed 1] [--skip-bad] [--grey]
--     [--person '^(S%d+)_']
--
-- Windows out of single pictures: networks here take windows of `sequence` frames that never cross a recording,
-- and a split by participant must not tear a person apart. So whole persons are packed into groups of a whole
-- number of windows, and each group becomes a recording with a subject of its own: whoever splits by subject
-- splits by person. Who a picture shows is told by the CSV's column person or subject; else by --person, a Lua pattern
-- whose capture in the picture's name is the person; else it is guessed, and said how: by the folders where the pictures
-- lie in several, or by the names before trailing _NUMBERs (George_W_Bush_0139 -> George_W_Bush). Folders or names that
-- go with the labels one to one are classes and no persons. Within a recording the pictures
-- are shuffled ("mixed"), or sorted by label ("episodes": windows of one emotion, as a video has them, so that windows
-- without a neutral frame exist for re-sampling).
-- The partitions are those of the CSV's column partition (train, devel, test), else train and devel are 80 and 20 % of
-- the persons, drawn from the seed. No more than one recording's pictures are in memory.
local box = require "mien.data.box"
local check = require "mien.base.check"
local csv = require "mien.data.csv"
local data = require "mien.data"
local file = require "mien.data.file"
local folders = require "mien.base.folders"
local lfs = require "lfs"
local rng = require "mien.tensor.rng"
local split = require "mien.data.split"

local folder = {}

--- Names that need no --classes: the eight emotions of faces8 and FER+, and RealEyes' own.
folder.emotions = { "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "happy",
  "confusion", "empathy", "other" }

-- ---- persons ------------------------------------------------------------------------------------

--- The name of a picture before its trailing numbers: S005_001_00000011.png -> S005.
local function name_before_numbers(picture)
  local stem = picture.image:match "([^/]*)$":gsub("%.%w+$", "")
  repeat
    local shorter = stem:match "^(.+)_%d+$"
    stem = shorter or stem
  until not shorter
  return stem
end

local function folder_of(picture) return picture.image:match "^(.*)/[^/]*$" or "" end
local function itself(picture) return picture.image end

--- Whether persons told by of(picture) are told apart by their labels as well: then they are classes.
local function are_classes(pictures, of)
  local label_of, person_of, n = {}, {}, 0
  for _, picture in ipairs(pictures) do
    local person, label = of(picture), next(picture.labels)
    if next(picture.labels, label) then return false end
    if not label_of[person] then n = n + 1 end
    label_of[person], person_of[label] = label_of[person] or label, person_of[label] or person
    if label_of[person] ~= label or person_of[label] ~= person then return false end
  end
  return n > 1 and n < #pictures
end

local function count(pictures, of)
  local seen, n = {}, 0
  for _, picture in ipairs(pictures) do
    local person = of(picture)
    if not seen[person] then n = n + 1 end
    seen[person] = true
  end
  return n
end

--- How persons are told apart when nobody says it: a function of a picture, and its description.
local function guess(pictures)
  local refused = ""
  for _, way in ipairs { { folder_of, "the folders of the pictures" },
    { name_before_numbers, "the pictures' names before their trailing numbers" } } do
    local n = count(pictures, way[1])
    if n > 1 and n < #pictures then
      if not are_classes(pictures, way[1]) then return way[1], way[2] .. refused .. " (guessed)" end
      refused = refused .. ("; %s are the labels' own"):format(way[2])
    end
  end
  return itself, "nothing: each picture counts as a person of its own" .. refused
    .. ". If that is wrong, a column person in the CSV or --person PATTERN tells them"
end

--- Gives every picture its `person`; returns how they were told apart. column: of the CSV, or nil.
local function tell_persons(pictures, o, column, bad)
  local of, how
  if o.person then
    of, how = function(picture) return picture.image:match(o.person) end, ("the pattern %s"):format(o.person)
  elseif column then
    of, how = function(picture) return picture.told end, ("the column %s"):format(column)
  else
    of, how = guess(pictures)
  end
  local good = {}
  for _, picture in ipairs(pictures) do
    picture.person = of(picture)
    if picture.person and picture.person ~= "" then
      good[#good + 1] = picture
    else
      bad[#bad + 1] = { line = picture.line, problem = ("%s: no person is told by %s"):format(picture.image, how) }
    end
  end
  return good, how
end

-- ---- the CSV ------------------------------------------------------------------------------------

local PARTITIONS = { train = "train", devel = "devel", validation = "devel", val = "devel", test = "test" }

local function complain(bad, options)
  if #bad == 0 or options.skip_bad then return end
  table.sort(bad, function(a, b) return a.line < b.line end)
  local lines = {}
  for i = 1, math.min(#bad, 10) do lines[i] = ("  line %d: %s"):format(bad[i].line, bad[i].problem) end
  if #bad > 10 then lines[11] = ("  and %d more"):format(#bad - 10) end
  check.raise("format", "%s: %d bad rows (skip_bad leaves them out)\n%s", options.labels, #bad,
    table.concat(lines, "\n"))
end

--- Pictures of the CSV: list of { image =, labels = { [class] = true }, line =, told = person, partition = }, the class
-- names in use, bad rows, how many pictures stand more than once, and the columns of persons and partitions.
local function read_labels(options)
  local rows, header, bad = csv.read(options.labels, { "image" })
  local column
  for _, name in ipairs(header) do
    if name:lower() == "label" or name:lower() == "emotion" then column = column or name end
  end
  if not column then
    check.raise("format", "%s has no column 'label' or 'emotion'; its header is: %s", options.labels,
      table.concat(header, ", "))
  end
  local person, partition
  for _, name in ipairs(header) do
    local word = name:lower()
    if word == "person" or word == "subject" then person = person or name end
    if word == "partition" then partition = partition or name end
  end
  local allowed = {}
  for _, name in ipairs(options.classes or folder.emotions) do allowed[name:lower()] = name end
  local pictures, by_name, used, repeated = {}, {}, {}, 0
  for _, row in ipairs(rows) do
    local name, label = row.image, allowed[row[column]:lower()]
    local part = partition and row[partition]:lower()
    if part and not PARTITIONS[part] then
      bad[#bad + 1] = { line = row.line, problem = ('unknown partition "%s": train, devel or test'):format(row[partition]) }
    elseif name == "" then
      bad[#bad + 1] = { line = row.line, problem = "no picture is named" }
    elseif not label then
      local near = check.nearest(row[column], allowed)
      bad[#bad + 1] = { line = row.line, problem = ('unknown label "%s"%s'):format(row[column],
        near and (', did you mean "%s"?'):format(near) or "; name your own with --classes") }
    else
      local picture = by_name[name]
      if picture and not picture.labels[label] and options.kind == "class" then
        bad[#bad + 1] = { line = row.line, problem = ("%s has another label in line %d"):format(name, picture.line) }
      else
        if picture then
          repeated = repeated + 1
        else
          picture = { image = name, labels = {}, line = row.line, told = person and row[person],
            partition = part and PARTITIONS[part] }
          by_name[name], pictures[#pictures + 1] = picture, picture
        end
        picture.labels[label], used[label] = true, true
      end
    end
  end
  local classes = options.classes
  if not classes then -- in the order above
    classes = {}
    for _, name in ipairs(folder.emotions) do
      if used[name] then classes[#classes + 1] = name end
    end
  end
  return pictures, classes, bad, repeated, person, partition
end

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

--- A picture as u8 [size,size,3]: the largest square in its middle, resized.
local function square(path, size, grey)
  local image = data.image.read(path)
  local h, w = image:size(1), image:size(2)
  local result = data.image.crop(image, box.square({ 0, 0, w, h }, math.min(h, w)), { size, size })
  image:free()
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

--- Makes the corpus: { pictures = folder, labels = CSV, out = path, sequence = 1, size = side of the first picture,
-- kind = "multilabel"|"class", classes = list, order = "mixed"|"episodes", windows = 4 (of a group, at least),
-- share = 0.8 (of the persons, for train), seed = 1, skip_bad = false,
-- grey = false (take the colour out), name = text, person = pattern whose capture in the picture's name is who it shows }.
-- Returns what it found: { pictures, persons, persons_by, repeated, bad, classes, counts, size, train, devel, test }.
function folder.make(options)
  check.keys(options, { pictures = "string!", labels = "string!", out = "string!", sequence = "count", size = "count",
    kind = "string", classes = "table", order = "string", windows = "count", share = "number", seed = "integer",
    skip_bad = "boolean", grey = "boolean", name = "string", person = "string" }, "folder.make")
  local o = { sequence = 1, kind = "multilabel", order = "mixed", windows = 4, share = 0.8, seed = 1 }
  for key, value in pairs(options) do o[key] = value end
  check.one_of(o.kind, { "multilabel", "class" }, "folder.make: kind")
  check.one_of(o.order, { "mixed", "episodes" }, "folder.make: order")
  local pictures, classes, bad, repeated, column, partitioned = read_labels(o)
  local how
  pictures, o.size = find_pictures(pictures, o, bad)
  pictures, how = tell_persons(pictures, o, column, bad)
  if #bad > 0 and not o.skip_bad then -- all of them, before the error
    for _, picture in ipairs(pictures) do
      try(picture, bad, function() data.image.read(o.pictures .. "/" .. picture.image):free() end)
    end
  end
  complain(bad, o)
  if not o.size then check.raise("format", "%s names no picture that can be read", o.labels) end
  local stream = rng.stream(o.seed, "split")
  local persons = find_persons(pictures, stream)
  if #persons < 2 then
    check.raise("format", "%s shows one person only, as told by %s: nothing to split", o.labels, how)
  end
  local cut = split.cut(#persons, o.share, 1, 1, #persons - 1)
  local parts = { train = {}, devel = {}, test = {} }
  for i, person in ipairs(persons) do
    table.insert(parts[partitioned and person.partition or i <= cut and "train" or "devel"], person)
  end
  local found = { pictures = 0, persons = #persons, persons_by = how, repeated = repeated, classes = classes,
    counts = {}, size = o.size }
  for c in ipairs(classes) do found.counts[c] = 0 end
  folders.make_for(o.out)
  local name = o.name or o.out:match "([^/]*)$":gsub("%.%w+$", "")
  local writer = data.writer(o.out, { name = name, height = o.size, width = o.size,
    fps = 0, grey = o.grey, label_kind = o.kind, label_names = classes, sequence = o.sequence,
    source = ("pictures of %s, labels of %s; single pictures, order %s"):format(o.pictures, o.labels, o.order) })
  local ok, err = pcall(function()
    writer.h5:set("persons_by", how)
    for _, partition in ipairs { "train", "devel", "test" } do
      local groups = pack(parts[partition], o.windows, o.sequence)
      found[partition] = 0
      for g, group in ipairs(groups) do
        order_pictures(group.pictures, o, classes, stream)
        local good = write_group(writer, group, ("%s group %d"):format(partition, g), partition, o, classes, bad)
        found[partition] = found[partition] + #good
        found.pictures = found.pictures + #good
        for _, picture in ipairs(good) do
          for c, class in ipairs(classes) do
            if picture.labels[class] then found.counts[c] = found.counts[c] + 1 end
          end
        end
      end
    end
    complain(bad, o)
    writer:finish()
  end)
  writer:close()
  if not ok then error(err, 0) end
  found.bad = #bad
  return found
end

--- The command line; returns the exit code.
function folder.main(args)
  local parser = require "argparse"("folder.lua", "A folder of pictures and a CSV of labels as a corpus.")
  parser:option("--pictures", "the folder"):count "1"
  parser:option("--labels", "CSV with columns image and label (or emotion); also person and partition, if known"):count "1"
  parser:option("--out", "the HDF5 file"):count "1"
  for _, option in ipairs {
    { "size", "side of the pictures in pixels (that of the first one)" },
    { "sequence", "pictures in a window: more than 1 for a network that must see several at once (1)" },
    { "windows", "windows in a recording, at least (4)" },
    { "share", "of the persons, for training (0.8)" }, { "seed", "of the split (1)" },
  } do
    parser:option("--" .. option[1], option[2]):convert(tonumber)
  end
  parser:option("--kind", "multilabel (a picture may carry several) or class (one)")
  parser:option("--order", "of a recording: mixed, or episodes (by label)")
  parser:option("--name", "of the corpus (the file's)")
  parser:option("--person", "Lua pattern whose capture in a picture's name is the person: '^(S%d+)_'")
  parser:option("--classes", "names with commas (those of the emotions that occur)")
  parser:flag("--grey", "take the colour out: where some labels come with it more often, it would be learnt")
  parser:flag("--skip-bad", "leave out rows that cannot be used")
  local options = parser:parse(args)
  options.classes = options.classes and csv.names(options.classes)
  options.skip_bad, options.grey = options.skip_bad or nil, options.grey or nil
  local found = folder.make(options)
  print(("%s: %d pictures of %d persons (train %d, devel %d%s), %dx%d"):format(options.out, found.pictures,
    found.persons, found.train, found.devel, found.test > 0 and (", test %d"):format(found.test) or "", found.size,
    found.size))
  print(("  persons are told apart by %s"):format(found.persons_by))
  for c, name in ipairs(found.classes) do print(("  %-12s %6d"):format(name, found.counts[c])) end
  if found.repeated > 0 then
    print(("  %d rows name a picture again; their labels were joined"):format(found.repeated))
  end
  if found.bad > 0 then print(("  %d bad rows were left out"):format(found.bad)) end
  return 0
end

if arg and arg[0] and arg[0]:find "folder%.lua$" then return folder.main(arg) end
return folder
