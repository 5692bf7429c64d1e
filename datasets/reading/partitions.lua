-- Who is in which partition: a manifest, somebody's own or a published one, or a seeded draw.
-- Not here: splits of a finished corpus (mien.data.split_subjects).
local lfs = require "lfs"
local ratings = require "reading.ratings"
local check = require "mien.base.check"
local csv = require "mien.data.csv"
local rng = require "mien.tensor.rng"

local partitions = {}

local folder = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("reading/[^/]*$", "") .. "manifests"

--- Names of the published manifests, datasets/manifests/NAME.csv. Of RECOLA: paper46, the 46 recordings of the paper;
-- avec27, those of them that AVEC 2016 and 2018 used by one user's list, as none was published; avec16, those of the 27
-- that have labels, under the names that AVEC's own files give them (in what order they are the 27 is not published).
function partitions.published()
  local names = {}
  for entry in lfs.dir(folder) do names[#names + 1] = entry:match "^(.+)%.csv$" end
  table.sort(names)
  return names
end

--- The path of a manifest: a file, or the name of a published one. The second result: whether it is published.
local function path_of(name)
  if lfs.attributes(name, "mode") == "file" then return name, false end
  local path = ("%s/%s.csv"):format(folder, name)
  if lfs.attributes(path) then return path, true end
  local near = check.nearest(name, partitions.published())
  check.raise("argument", "no split %s: a CSV with columns recording and partition, or one of %s%s", name,
    table.concat(partitions.published(), ", "), near and ("; did you mean %s?"):format(near) or "")
end

--- What people call the partitions.
partitions.words = { train = "train", devel = "devel", test = "test", dev = "devel", val = "devel", valid = "devel",
  validation = "devel" }

--- A manifest: CSV with columns recording and partition (train, devel or test), and subject when a subject has
-- more than one recording; or the name of a published one. List of { name, partition, subject }, whether there is a column
-- subject, and whether it is published.
function partitions.manifest(name)
  local path, published = path_of(name)
  local rows, header, bad = csv.read(path, { "recording", "partition" })
  local found, subject = ratings.problems(), nil
  for _, column in ipairs(header) do
    if column:lower() == "subject" then subject = column end
  end
  local list, seen, home = {}, {}, {}
  for _, row in ipairs(bad) do found:add(path, row.line, "%s", row.problem) end
  for _, row in ipairs(rows) do
    local partition = partitions.words[row.partition:lower()]
    local who = subject and row[subject] or row.recording
    if not partition then
      found:add(path, row.line, "partition '%s' is none of train, devel, test", row.partition)
    elseif seen[row.recording] then
      found:add(path, row.line, "%s stands in line %d already", row.recording, seen[row.recording])
    elseif home[who] and home[who] ~= partition then
      found:add(path, row.line, "subject %s is in %s and in %s", who, home[who], partition)
    else
      seen[row.recording], home[who] = row.line, partition
      list[#list + 1] = { name = row.recording, partition = partition, subject = who }
    end
  end
  found:raise()
  if #list == 0 then check.raise("format", "%s names no recording", path) end
  return list, subject ~= nil, published
end

--- Names of the groups that recordings form which share a person or a video: group(name), named by the first of its
-- persons in order. subject(name) names who is in a recording, video(name) where it was cut from.
function partitions.groups(names, subject, video)
  local parent = {}
  local function root(key)
    parent[key] = parent[key] or key
    while parent[key] ~= key do key = parent[key] end
    return key
  end
  for _, name in ipairs(names) do
    local a, b = root("person " .. subject(name)), root("video " .. video(name))
    parent[a < b and b or a] = a < b and a or b -- persons come before videos
  end
  return function(name) return root("person " .. subject(name)) end
end

--- The partition of each of the shuffled subjects.
local function by_folds(subjects, o)
  local folds, number = require("mien.data.split").folds(#subjects, o.folds, o.fold or 1, "--folds"), {}
  for i, who in ipairs(subjects) do number[who] = folds[i] end
  return number
end

--- Partitions by subject: subjects in an order that depends on the seed alone, their first `share` (0.8) to train, the
-- others to devel; or a list of shares of train, devel and test, each of which gets one subject at least; or { folds =,
-- fold = } (mien.data.split: folds). names: of recordings; subject(name) names who is in it; group(name): what stays
-- together, its subject when left out.
function partitions.draw(names, subject, seed, share, group)
  group = group or subject
  local shares = type(share) == "table" and share or { share, 1 - share }
  local subjects, known, list, total = {}, {}, {}, 0
  for _, name in ipairs(names) do
    local who = group(name)
    if not known[who] then
      known[who], subjects[#subjects + 1] = true, who
    end
  end
  if #subjects < #shares then
    check.raise("argument", "%d subject%s for %d partitions: nothing to split", #subjects, #subjects == 1 and "" or "s",
      #shares)
  end
  for _, part in ipairs(shares) do total = total + part end
  table.sort(subjects)
  rng.stream(seed, "split"):shuffle(subjects)
  local home, sum, used, cut = {}, 0, 0, require("mien.data.split").cut
  if shares.folds then home = by_folds(subjects, shares) end
  for i, partition in ipairs { "train", "devel", "test" } do
    if not shares[i] then break end
    sum = sum + shares[i]
    local last = cut(#subjects, sum, total, used + 1, #subjects - (#shares - i))
    for k = used + 1, last do home[subjects[k]] = partition end
    used = last
  end
  for _, name in ipairs(names) do
    list[#list + 1] = { name = name, partition = home[group(name)], subject = subject(name) }
  end
  return list
end

return partitions
