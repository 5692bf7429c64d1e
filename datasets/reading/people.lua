-- Who is in which video, and in which partition, for corpora that people bring themselves; it is said how it was told.
-- Not here: published splits, manifests, the draw (partitions.lua).
local lfs = require "lfs"
local ratings = require "reading.ratings"
local check = require "mien.base.check"
local csv = require "mien.data.csv"
local faces = require "reading.faces"
local partitions = require "reading.partitions"

local people = {}

--- A video's name without its container: "a/7.mp4" -> "a/7", "7" and "7.left" as they are.
function people.stem(name)
  local stem, extension = name:match "^(.+)%.(%w+)$"
  for _, known in ipairs(faces.extensions) do
    if extension and extension:lower() == known:lower() then return stem end
  end
  return name
end

--- Names of the videos in a folder, sorted, and their paths by name; two files of one name are an error, as labels could
-- be either's.
function people.videos(folder)
  if lfs.attributes(folder, "mode") ~= "directory" then check.raise("io", "there is no folder %s of videos", folder) end
  local names, path_of = {}, {}
  for entry in lfs.dir(folder) do
    local name = people.stem(entry)
    if name ~= entry then
      if path_of[name] then
        check.raise("argument", "two videos are named %s: %s and %s/%s; move one away", name, path_of[name], folder, entry)
      end
      names[#names + 1], path_of[name] = name, folder .. "/" .. entry
    end
  end
  table.sort(names)
  return names, path_of
end

--- Whether a folder holds a CSV.
function people.holds_csv(folder)
  if lfs.attributes(folder, "mode") ~= "directory" then return false end
  for entry in lfs.dir(folder) do
    if entry:lower():find "%.csv$" then return true end
  end
  return false
end

--- Names with labels whose video is there; whatever lacks its video or its labels is left out and said.
-- names: with labels; files: what people.videos gave; path_of: by name, gets those in folders below as well.
function people.usable(names, files, path_of, o)
  local usable, labelled = {}, {}
  for _, name in ipairs(names) do
    labelled[name], path_of[name] = true, path_of[name] or faces.video(o.videos, name)
    if path_of[name] then
      usable[#usable + 1] = name
    else
      o.leave_out(name, "no partition", ("there is no video of this name in %s"):format(o.videos))
    end
  end
  for _, name in ipairs(files) do
    if not labelled[name] then o.leave_out(name, "no partition", "there are no labels for it in " .. o.labels) end
  end
  if #usable == 0 then
    check.raise("io", "none of the %d names in %s has a video in %s, which holds %d (%s ...)", #names, o.labels, o.videos,
      #files, files[1] or "none")
  end
  return usable
end

--- The first column of a header that has one of these names; nil without any.
function people.column(header, names)
  for _, wanted in ipairs(names) do
    for _, name in ipairs(header) do
      if name:lower() == wanted then return name end
    end
  end
end

people.video_columns = { "video", "recording", "name", "file", "filename" }
people.subject_columns = { "subject", "person", "participant" }

--- Subjects of a CSV with columns video and subject: by the video's name.
local function read_people(path)
  local rows, header, bad = csv.read(path)
  local video, subject = people.column(header, people.video_columns), people.column(header, people.subject_columns)
  if not video or not subject then
    check.raise("format", "%s has no columns video and subject; its header is: %s", path, table.concat(header, ", "))
  end
  local found, of, line = ratings.problems(), {}, {}
  for _, row in ipairs(bad) do found:add(path, row.line, "%s", row.problem) end
  for _, row in ipairs(rows) do
    local name = people.stem(row[video])
    if row[subject] == "" then
      found:add(path, row.line, "%s has no subject", name)
    elseif of[name] and of[name] ~= row[subject] then
      found:add(path, row.line, "%s has another subject in line %d", name, line[name])
    end
    of[name], line[name] = of[name] or row[subject], line[name] or row.line
  end
  found:raise()
  return of
end

--- What a table says of persons in its columns gender and age: { [subject] = { gender =, age = } }, texts; nil without
-- such columns. rows and header as csv.read gives them; subject(row): whose row it is. Two rows of a person that differ are
-- problems of `found`.
function people.about(path, rows, header, subject, found)
  local columns, about = {}, {}
  columns.gender, columns.age = people.column(header, { "gender", "sex" }), people.column(header, { "age" })
  if not next(columns) then return nil end
  for _, row in ipairs(rows) do
    local who = subject(row)
    about[who] = about[who] or {}
    for what, column in pairs(columns) do
      local value, before = row[column], about[who][what]
      if value ~= "" and before and before ~= value then
        found:add(path, row.line, "%s: %s is %s here, and %s above", who, what, value, before)
      end
      if value ~= "" then about[who][what] = before or value end
    end
  end
  return about
end

--- Puts it into a corpus, in the order of its subjects: `mien dataset info` counts by it.
function people.store(writer, about)
  if not about then return end
  for _, what in ipairs { "gender", "age" } do
    local list, any = {}, false
    for i, subject in ipairs(writer.subjects) do
      list[i] = about[subject] and about[subject][what] or ""
      any = any or list[i] ~= ""
    end
    if any then writer.h5:set("subject_" .. what, list, "subject") end
  end
end

--- How subjects are told: a function of a name (nil where it says nothing), and its description. source(name): the video
-- that stands for its person where nothing tells.
local function teller(o, listed, source)
  if o.person then
    return function(name)
      local ok, subject = pcall(string.match, name, o.person)
      if not ok then check.raise("argument", "--person %s is no Lua pattern: %s", o.person, subject) end
      return subject
    end, ("the pattern %s in their videos' names"):format(o.person)
  elseif o.people then
    local of = read_people(o.people)
    return function(name) return of[name] end, ("the column of subjects in %s"):format(o.people)
  elseif listed then
    return function(name) return listed[name] end, ("the column of subjects in %s"):format(o.split)
  elseif o.told and next(o.told) then
    return function(name) return o.told[name] end, ("the column of subjects in %s"):format(o.labels)
  end
  return source, "nothing: each video counts as a person of its own; a person who is in several may be in train and in "
    .. "devel; --person PATTERN, --people CSV or a column subject in --split tells who is who"
end

--- Subjects of a manifest by recording, where it has a column for them.
local function manifest_subjects(list, has_subjects)
  if not has_subjects then return nil end
  local of = {}
  for _, entry in ipairs(list) do of[entry.name] = entry.subject end
  return of
end

--- List of { name, subject, partition } for the names (of videos with labels), and how subjects were told.
-- o: person = Lua pattern, people = CSV, split = manifest, told = subjects by name that came with the labels,
-- shares = list (train, devel, test) or folds and fold where there is no manifest, seed, labels = path for messages, note;
-- manifest = { path =, { name =, partition = } ... } that came with the labels, for those who say nothing else.
-- source(name): the video that a recording was cut from, where several are cut from one; they stay together.
function people.split(names, o, source)
  source = source or function(name) return name end
  if o.split and o.folds then
    check.raise("argument", "--split %s says who is in which partition already; --folds divides anew", o.split)
  elseif o.given and o.given.shares and (o.split or o.folds) then
    check.raise("argument", "--shares divides the persons, and so does %s; leave one out", o.split and "--split" or "--folds")
  elseif o.fold and not o.folds then
    check.raise("argument", "--fold %d: of how many? --folds says it", o.fold)
  end
  local manifest, has_subjects
  local split = o.split or o.manifest and o.manifest.path
  if o.split then
    manifest, has_subjects = partitions.manifest(o.split)
  elseif not (o.folds or o.given and o.given.shares) then
    manifest = o.manifest -- the organisers'
  end
  for _, entry in ipairs(manifest or {}) do entry.name = people.stem(entry.name) end
  local subject, how = teller(o, manifest and manifest_subjects(manifest, has_subjects), source)
  local known, of, home = {}, {}, {}
  for _, name in ipairs(names) do
    of[name] = subject(name)
    if not of[name] or of[name] == "" then
      check.raise("argument", "%s: no subject is told by %s", name, how)
    end
    known[name] = true
  end
  o.note("subjects are told by %s", how)
  if not manifest then
    local function person(name) return of[name] end
    return partitions.draw(names, person, o.seed, o.folds and o or o.shares, partitions.groups(names, person, source))
  end
  if o.given and o.given.seed then o.note("seed %d draws nothing: %s says who is in which partition", o.seed, split) end
  local list, listed = {}, {}
  for _, entry in ipairs(manifest) do
    listed[entry.name] = true
    local who = of[entry.name]
    if who and home[who] and home[who] ~= entry.partition then
      check.raise("format", "%s: subject %s is in %s and in %s", split, who, home[who], entry.partition)
    elseif known[entry.name] then
      home[who] = entry.partition
      list[#list + 1] = { name = entry.name, subject = who, partition = entry.partition }
    else
      o.leave_out(entry.name, entry.partition, "it has no labels")
    end
  end
  for _, name in ipairs(names) do
    if not listed[name] then o.leave_out(name, "no partition", "it is not in " .. split) end
  end
  return list
end

return people
