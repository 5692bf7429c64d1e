-- What the readers of RECOLA and Aff-Wild make of small files: labels, gold standards, splits, times, boxes.
-- Not here: whole corpora (dataset_corpora_spec.lua).
local dataset = require "tests.lua.dataset_forms"
local tiny = require "tests.lua.tiny"
local ratings, faces, partitions = require "reading.ratings", require "reading.faces", require "reading.partitions"
local command, people = require "reading.command", require "reading.people"
local folder = tiny.folder()
local write, says, affwild, HEADER = dataset.writer(folder), dataset.says, dataset.affwild, dataset.ratings

teardown(function() tiny.drop(folder) end)

describe("a file of RECOLA's ratings", function()
  local function read(text, raters)
    local found = ratings.problems()
    local rows = ratings.raters(write("P1.csv", text), raters, 0.04, found)
    found:raise()
    return rows
  end

  it("loses its row at t = 0; names keep no blanks", function()
    local rows = read(HEADER .. "0;1;1;1;1;1;1\n0.04;0.1;0.2;0.3;0.4;0.5;0.6\n0.08;0;0;0;0;0;0\n")
    assert.are.equal(2, #rows)
    assert.are.same({ 0.1, 0.2, 0.3, 0.4, 0.5, 0.6 }, { unpack(rows[1]) })
    rows = read("time;FM1 ;FM2 \n0.04;0.1;0.2\n", { "FM2", "FM1" })
    assert.are.same({ 0.2, 0.1 }, { unpack(rows[1]) })
  end)

  it("is refused with file and line when a rating is missing, no number, or out of range", function()
    says("P1.csv:2: rater FM2: 'NaN' is no value", read, HEADER .. "0;0;NaN;0;0;0;0\n")
    says("P1.csv:2: rater FF3: '' is no value", read, HEADER .. "0;0;0;0;0;0;\n")
    says("P1.csv:3: rater FM1: 1.5 lies beyond %[%-1, 1%]", read, HEADER .. "0;0;0;0;0;0;0\n0.04;1.5;0;0;0;0;0\n")
    says("P1.csv:2: 3 fields, the header has 7", read, HEADER .. "0;0;0\n")
    says("P1.csv:2: 'x' is no time", read, HEADER .. "x;0;0;0;0;0;0\n")
    says("no column 'FF3'; its header is: time, FM1.*%-%-raters", read, "time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 \n0;0;0;0;0;0\n")
    says("no rows after the header", read, HEADER)
  end)

  it("is refused when rows are missing or stand twice: labels behind would be shifted", function()
    local row = ";0;0;0;0;0;0\n"
    says("P1.csv:4: time 0.12 s where 0.08 were expected", read,
      HEADER .. "0" .. row .. "0.04" .. row .. "0.12" .. row)
    says("P1.csv:4: time 0.04 s where 0.08 were expected", read,
      HEADER .. "0" .. row .. "0.04" .. row .. "0.04" .. row)
    says("P1.csv:2: the first time is 0.2 s; 0 or 0.04", read, HEADER .. "0.2" .. row)
  end)

  it("says all problems at once, ten of them in full", function()
    local lines = {}
    for i = 0, 11 do lines[i + 1] = ("%g;2;0;0;0;0;0\n"):format(i * 0.04) end
    says("12 problems in the annotations:\n.*P1.csv:11: .*\n  and 2 more", read, HEADER .. table.concat(lines))
  end)
end)

describe("a gold standard of AVEC", function()
  local function read(text)
    local found = ratings.problems()
    local gold, step = ratings.gold(write("gold.csv", text), { "arousal", "valence" }, found)
    found:raise()
    return gold, step
  end

  it("has quoted names and its own rate", function()
    local gold, step = read("name;timestamp;arousal;valence\n'A';0;0;0\n'A';0.1;0.5;-0.5\n\"B\";0.1;1;1\n")
    assert.are.equal(0.1, step)
    assert.are.same({ { 0.5, -0.5 }, 1 }, { { unpack(gold.A[1]) }, #gold.A })
    assert.are.equal(1, gold.B[1][1])
  end)

  it("is refused with file and line", function()
    local head = "name;timestamp;arousal;valence\n'A';0;0;0\n"
    says("gold.csv:3: valence: 'NaN' is no value", read, head .. "'A';0.1;0;NaN\n")
    says("gold.csv:3: arousal: 7 lies beyond", read, head .. "'A';0.1;7;0\n")
    says("gold.csv:4: time 0.3 s where 0.2 were", read, head .. "'A';0.1;0;0\n'A';0.3;0;0\n")
    says("no frame rate", read, head)
    says("no column 'timestamp'", read, "name;time\nA;0\n")
  end)
end)

describe("a gold standard of AVEC in ARFF", function()
  local HEAD = "@relation GOLDSTANDARD_AROUSAL\n\n@attribute Instance_name string\n@attribute frameTime numeric\n"
    .. "@attribute GoldStandard numeric\n\n\n@data\n\n" -- the first row stands in line 10

  local function read(files)
    local found = ratings.problems()
    tiny.drop(folder .. "/gold")
    for path, text in pairs(files) do write("gold/" .. path .. ".arff", text) end
    local gold, step = ratings.gold(folder .. "/gold", { "arousal", "valence" }, found)
    found:raise()
    return gold, step
  end

  local good = HEAD .. "dev_1,0.00,0\ndev_1,0.04,-0.25\ndev_1,0.08,1\n"

  it("gives the rows of both files of a recording, the one at t = 0 dropped", function()
    local gold, step = read { ["arousal/dev_1"] = good, ["arousal/dev_2"] = good, ["valence/dev_1"] =
      "% comment\r\n@RELATION 'gold standard'\r\n@ATTRIBUTE 'Instance_name' STRING\r\n@attribute\tGoldStandard real\r\n"
      .. "@attribute frametime numeric\r\n@DATA\r\n'dev_1',0,0\r\n\r\n% another\r\n'dev_1', 0.5, 0.04\r\n'dev_1',-1,0.08" }
    assert.are.equal(0.04, step)
    assert.are.same({ { -0.25, 0.5 }, { 1, -1 }, 2 }, { { unpack(gold.dev_1[1]) }, { unpack(gold.dev_1[2]) }, #gold.dev_1 })
    assert.is_nil(gold.dev_2) -- has no valence
  end)

  it("is refused with file and line", function()
    local function with(valence) return read { ["arousal/dev_1"] = good, ["valence/dev_1"] = valence } end
    says("valence/dev_1.arff:11: GoldStandard: '%?' is no value", with, HEAD .. "d,0,0\nd,0.04,?\nd,0.08,0\n")
    says("valence/dev_1.arff:13: GoldStandard: 2 lies beyond", with, HEAD .. "d,0,0\n% c\nd,0.04,1\nd,0.08,2\n")
    says("valence/dev_1.arff:10: 2 fields, the header has 3", with, HEAD .. "d,0\nd,0.04,0\nd,0.08,0\n")
    says("valence/dev_1.arff:12: time 0.12 s where .*arousal/dev_1.arff has 0.08", with,
      HEAD .. "d,0,0\nd,0.04,0\nd,0.12,0\n")
    says("valence/dev_1.arff:1: 2 rows, but .*arousal/dev_1.arff has 3", with, HEAD .. "d,0,0\nd,0.04,0\n")
    says("valence/dev_1.arff:2: neither @relation, @attribute nor @data: 'time;value'", with, "@relation x\ntime;value\n")
    says("valence/dev_1.arff: no line @data", with, (HEAD:gsub("@data", "")))
    says("valence/dev_1.arff has no column 'GoldStandard'; its header is: Instance_name, frameTime", with,
      (HEAD:gsub("@attribute Gold[^\n]*", "")))
    local gap = HEAD .. "d,0,0\nd,0.04,0\nd,0.12,0\n"
    says("arousal/dev_1.arff:12: time 0.12 s where 0.08 were expected", read,
      { ["arousal/dev_1"] = gap, ["valence/dev_1"] = gap })
    says("there is no folder .*gold/valence; a gold standard in ARFF", read, { ["arousal/dev_1"] = good })
    says("gold: no recording has arousal and valence", read, { ["arousal/dev_1"] = good, ["valence/dev_2"] = good })
  end)
end)

describe("Aff-Wild's values", function()
  local function unscale(...)
    local found, lists = ratings.problems(), {}
    for i, text in ipairs { ... } do
      local path = write(("v%d.txt"):format(i), text)
      lists[i] = { path = path, values = ratings.values(path, found) }
    end
    local scale = ratings.unscale(lists, found)
    found:raise()
    return scale, lists
  end

  it("stay as they are, or are divided by 1000 when whole numbers go beyond 1 in any file", function()
    local scale, lists = unscale("0.25\r\n-1\r\n\r\n")
    assert.are.same({ 1, { 0.25, -1 } }, { scale, lists[1].values })
    scale, lists = unscale("0\n1\n", "-500\n1000\n")
    assert.are.same({ 1000, { 0, 0.001 }, { -0.5, 1 } }, { scale, lists[1].values, lists[2].values })
  end)

  it("are refused with file and line when neither fits", function()
    says("v1.txt:2: 1.2 lies beyond %[%-1, 1%]", unscale, "0.5\n1.2\n")
    says("v1.txt:1: 1001 lies beyond %[%-1000, 1000%]", unscale, "1001\n")
    says("v1.txt:2: 'nan' is no value", unscale, "0\nnan\n")
    says("v1.txt:2: '' is no value", unscale, "0\n\n0\n")
  end)
end)

describe("a split", function()
  it("of the paper has 46 recordings, and AVEC's 27 are in the same partitions", function()
    local home, count = {}, { train = 0, devel = 0, test = 0 }
    for _, entry in ipairs((partitions.manifest "paper46")) do
      assert.is_nil(home[entry.name])
      home[entry.name], count[entry.partition] = entry.partition, count[entry.partition] + 1
    end
    assert.are.same({ train = 16, devel = 15, test = 15 }, count)
    for _, entry in ipairs((partitions.manifest "avec27")) do assert.are.equal(home[entry.name], entry.partition) end
    assert.are.equal(27, #(partitions.manifest "avec27"))
    assert.are.same({ "avec16", "avec27", "paper46" }, partitions.published())
  end)

  it("may be a manifest, whose mistakes are named by line", function()
    local function manifest(text) return partitions.manifest(write("split.csv", text)) end
    assert.are.same({ { name = "a", partition = "train", subject = "a" }, { name = "b", partition = "devel",
      subject = "b" } }, manifest "recording,partition\na,train\nb,validation\n")
    says("split.csv:2: partition 'trian' is none of", manifest, "recording,partition\na,trian\n")
    says("split.csv:3: a stands in line 2 already", manifest, "recording,partition\na,train\na,train\n")
    says("split.csv:3: subject s is in train and in test", manifest,
      "recording,partition,subject\na,train,s\nb,test,s\n")
    says("names no recording", manifest, "recording,partition\n")
  end)

  it("drawn with a list of people keeps each person's videos together, and each video's persons", function()
    local list = write("people.csv", "video,person\n1,ann\n2_left,ann\n2_right,bob\n3,bob\n4,cid\n5,dan\n6,eve\n")
    local who = { ["1"] = "ann", ["2_left"] = "ann", ["2_right"] = "bob", ["3"] = "bob", ["4"] = "cid", ["5"] = "dan",
      ["6"] = "eve" }
    local names = { "1", "2_left", "2_right", "3", "4", "5", "6" }
    local split_of, seen = {}, {}
    for seed = 1, 8 do
      local o = { people = list, seed = seed, shares = { 0.5, 0.5 } }
      command.tell(o)
      for _, entry in ipairs(people.split(names, o, affwild.source_of)) do
        split_of[entry.name] = entry.partition
        assert.are.equal(who[entry.name], entry.subject)
      end
      for _, name in ipairs { "2_left", "2_right", "3" } do assert.are.equal(split_of["1"], split_of[name]) end
      seen[split_of["1"]] = true
    end
    assert.are.same({ train = true, devel = true }, seen)
  end)

  it("drawn from a seed keeps two people of one video together", function()
    local names = { "1", "2_left", "2_right", "3", "4", "5" }
    local function draw(of)
      local o = { seed = 7, shares = { 0.8, 0.2 } }
      command.tell(o)
      return people.split(of, o, affwild.source_of)
    end
    local drawn = draw(names)
    assert.are.same(drawn, draw(names))
    assert.are.equal(drawn[2].partition, drawn[3].partition)
    local devel = 0
    for _, entry in ipairs(drawn) do devel = devel + (entry.partition == "devel" and 1 or 0) end
    assert.truthy(devel == 1 or devel == 2)
    says("1 subject for 2 partitions", draw, { "2_left", "2_right" })
  end)
end)

describe("a video", function()
  it("is read by presentation time", function()
    local times = {}
    for i = 1, 30 do times[i] = math.floor(i * 1000 / 30 + 0.5) / 1000 end -- starts late, as Matroska rounds
    local map = faces.at({ times = times, step = 1 / 30 }, 0.04, 100)
    assert.are.same({ 1, 2, 3, 4, 6 }, { unpack(map, 1, 5) }) -- 0.04 0.08 0.12 0.16 0.2
    assert.are.equal(25, #map)                                -- the last frame is shown until 1.033 s
    local even = {}
    for i = 1, 7500 do even[i] = (i - 1) * 0.04 end
    map = faces.at({ times = even, step = 0.04 }, 0.04, 7500)
    assert.are.same({ 7500, 2, 7500, 7500 }, { #map, map[1], map[7499], map[7500] })
  end)

  it("has boxes in .pts files or a CSV", function()
    local pts = "version: 1\nn_points: 4\n{\n10 20\n10 60\n40 60\n40 20\n}\n"
    write("boxes/7/1.pts", pts)
    write("boxes/7/3.pts", pts)
    write("boxes/8.csv", "frame,x,y,w,h\n0,1,2,3,4\n")
    local boxes, count = faces.given(folder .. "/boxes", "7")
    assert.are.same({ { 10, 20, 30, 40 }, nil, { 10, 20, 30, 40 }, count = 2 },
      { boxes[1], boxes[2], boxes[3], count = count })
    assert.are.same({ { 1, 2, 3, 4 } }, (faces.given(folder .. "/boxes", "8")))
    assert.is_nil((faces.given(folder .. "/boxes", "9")))
    write("boxes/bad/1.pts", "version: 1\n")
    says("1.pts holds no box", faces.given, folder .. "/boxes", "bad")
    write("boxes/bad2.csv", "frame,x,y,w,h\n0,1,2,0,4\n")
    says("bad2.csv:2: no box", faces.given, folder .. "/boxes", "bad2")
  end)
end)
