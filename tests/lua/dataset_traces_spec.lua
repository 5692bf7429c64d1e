-- Traces of one's own videos: what the CSVs may look like, and who is in which video and partition.
-- Not here: the videos (dataset_videos_spec.lua), the owners' forms (dataset_forms_spec.lua).
local dataset = require "tests.lua.dataset_forms"
local tiny = require "tests.lua.tiny"
local command = require "reading.command"
local ratings, people, traces = require "reading.ratings", require "reading.people", require "reading.traces"
local split = require "reading.partitions"
local folder = tiny.folder()
local write, says, has_note = dataset.writer(folder), dataset.says, dataset.has_note

teardown(function() tiny.drop(folder) end)

describe("a CSV of traces", function()
  local function read(text, options)
    local o, found = { time = "time", targets = { "arousal", "valence" }, range = { -1, 1 } }, ratings.problems()
    for key, value in pairs(options or {}) do o[key] = value end
    local by_name, names, told = traces.read(write("a.csv", text), o.name, o, found)
    found:raise()
    return by_name, names, told
  end

  it("may have a BOM, CRLF, semicolons, blanks in its header, columns in any order and case, empty lines", function()
    for _, text in ipairs {
      "time,arousal,valence\n0,0.5,-0.5\n0.04,1,-1\n",
      "\239\187\191time,arousal,valence\r\n0,0.5,-0.5\r\n0.04,1,-1\r\n",
      " Time ; Valence ;Arousal \n0;-0.5;0.5\n\n0.04;-1;1",
      '"time","note","arousal","valence"\n0,"a, b",.5,-.5\n0.04,,1e0,-1\n',
    } do
      local list = read(text, { name = "x" }).x
      assert.are.same({ { 0, 0.5, -0.5 }, { 0.04, 1, -1 }, 2 },
        { { list[1].time, unpack(list[1]) }, { list[2].time, unpack(list[2]) }, #list })
    end
  end)

  it("is refused with file and line when a number is none", function()
    local function of(text) return read(text, { name = "x" }) end
    says("a.csv:3: arousal: '0,5' has a decimal comma; wanted is 0.5", of, "time;arousal;valence\n0;0;0\n0.04;0,5;0\n")
    says("a.csv:2: time: '0,04' has a decimal comma; wanted is 0.04", of, "time;arousal;valence\n0,04;0;0\n")
    says("a.csv:2: 6 fields, the header has 3 %(a decimal comma%?", of, "time,arousal,valence\n0,04,0,5,0,1\n")
    says("a.csv:2: 2 fields, the header has 3$", of, "time,arousal,valence\n0,1\n")
    says("a.csv:2: valence: '' is no value", of, "time,arousal,valence\n0,0,\n")
    for _, word in ipairs { "nan", "inf", "0x1", "-", "1 2" } do
      says("a.csv:2: valence: '" .. word:gsub("%-", "%%-") .. "' is no value", of,
        "time,arousal,valence\n0,0," .. word .. "\n")
    end
    says("a.csv:4: arousal: 1.2 lies beyond %[%-1, 1%]", of, "time,arousal,valence\n0,0,0\n1,1,1\n2,1.2,0\n")
    says("a.csv:1: .*no column 'arousal'; its header is: time, engagement %(%-%-time and %-%-targets", of,
      "time,engagement\n0,1\n")
    says("a.csv:1: no rows after the header", of, "time,arousal,valence\n")
  end)

  it("has other targets and ranges when it is told so", function()
    local list = read("t;engagement\n1;7\n", { name = "x", time = "t", targets = { "engagement" }, range = { 0, 10 } }).x
    assert.are.same({ 1, 7 }, { list[1].time, list[1][1] })
  end)

  it("is refused with file and line when times do not rise", function()
    local function of(text) return read("time,arousal,valence\n" .. text, { name = "x" }) end
    says("a.csv:4: time 0.04 s stands in line 3 already", of, "0,0,0\n0.04,0,0\n0.04,0,0\n")
    says("a.csv:4: time 0.04 s comes after 0.08 s", of, "0,0,0\n0.08,0,0\n0.04,0,0\n")
    says("a.csv:2: time %-1 s lies before the video", of, "-1,0,0\n")
  end)

  it("of all videos names them in a column, with or without the container, and whoever is in them", function()
    local by_name, names, told = read("file,subject,time,arousal,valence\nb.mp4,Ann,0,0,0\na,Bob,0,1,1\nb.MP4,Ann,1,0.5,0\n")
    assert.are.same({ { "b", "a" }, 2, 1, { b = "Ann", a = "Bob" } }, { names, #by_name.b, #by_name.a, told })
    assert.equal(1, #read("clip,time,arousal,valence\na,0,0,0\n", { column = "clip" }).a)
    says("a.csv:1: no column video says whose row it is %(%-%-column", read, "time,arousal,valence\n0,0,0\n")
    says("a.csv:1: no column clip says whose row it is", read, "video,time,arousal,valence\na,0,0,0\n", { column = "clip" })
    says("a.csv:3: a is Bob here, and Ann above", read, "video,subject,time,arousal,valence\na,Ann,0,0,0\na,Bob,1,0,0\n")
    says("a.csv:2: no video is named", read, "video,time,arousal,valence\n,0,0,0\n")
  end)

  it("must have even rows, or is brought to a rate on straight lines", function()
    local function even(text)
      local found, list = ratings.problems(), read(text, { name = "x" }).x
      traces.even(list, found)
      found:raise()
      return list.step
    end
    assert.is_near(1 / 30, even "time,arousal,valence\n0,0,0\n0.033,0,0\n0.067,0,0\n0.1,0,0\n", 1e-12)
    says("a.csv:5: time 0.16 s where about 0.12 were expected.*%-%-rate", even,
      "time,arousal,valence\n0,0,0\n0.04,0,0\n0.08,0,0\n0.16,0,0\n0.2,0,0\n")
    says("a.csv:2: 1 row: no rate", even, "time,arousal,valence\n0,0,0\n")
    local list, gap = traces.resample(read("time,arousal,valence\n0.1,0,1\n0.5,0.4,-1\n2.5,0,0\n", { name = "x" }).x, 10)
    assert.are.same({ 25, 2 }, { #list, gap })
    for i, want in ipairs { { 0.1, 0, 1 }, { 0.2, 0.1, 0.5 }, { 0.3, 0.2, 0 }, { 0.4, 0.3, -0.5 }, { 0.5, 0.4, -1 },
      { 0.6, 0.38, -0.95 } } do
      assert.is_near(want[1], list[i].time, 1e-12)
      assert.is_near(want[2], list[i][1], 1e-12)
      assert.is_near(want[3], list[i][2], 1e-12)
    end
    assert.is_near(2.5, list[25].time, 1e-12)
  end)
end)

describe("people in videos", function()
  local function told(names, options)
    local o = { seed = 1, shares = { 0.5, 0.5 }, labels = "labels.csv" }
    for key, value in pairs(options) do o[key] = value end
    command.tell(o)
    local of = {}
    for _, entry in ipairs(people.split(names, o)) do of[entry.name] = entry.subject .. " " .. entry.partition end
    return of, o
  end

  it("are told by a pattern, a CSV, the manifest or the labels, in this order, and it is said by which", function()
    local names = { "ann_1", "ann_2", "bob_1" }
    local manifest = write("split.csv", "recording,partition,subject\nann_1.mp4,train,M\nann_2,train,M\nbob_1,devel,N\n")
    local csv = write("people.csv", "Person;Video\nP;ann_1.mkv\nP;ann_2\nQ;bob_1\n")
    local labels = { ann_1 = "L", ann_2 = "L", bob_1 = "K" }
    for _, case in ipairs {
      { { person = "^(%a+)_", people = csv, split = manifest, told = labels }, "ann", "the pattern" },
      { { people = csv, split = manifest, told = labels }, "P", "people.csv" },
      { { split = manifest, told = labels }, "M", "split.csv" }, { { told = labels }, "L", "labels.csv" },
    } do
      local of, o = told(names, case[1])
      assert.equal(case[2], of.ann_1:match "^%S+")
      assert.equal(of.ann_1, of.ann_2) -- one person is in one partition
      assert.are_not.equal(of.ann_1:match "%S+$", of.bob_1:match "%S+$")
      has_note(o.notes, "^subjects are told by .*" .. case[3]:gsub("%.", "%%."))
    end
    local of, o = told(names, {})
    assert.equal("ann_1", of.ann_1:match "^%S+")
    has_note(o.notes, "each video counts as a person of its own.*%-%-person")
  end)

  it("are in one partition; videos that a manifest does not have, or has alone, are left out and said", function()
    local manifest = write("split.csv", "recording,partition\nann_1,train\nzoe_1,devel\n")
    local of, o = told({ "ann_1", "bob_1" }, { split = manifest })
    assert.are.same({ ann_1 = "ann_1 train" }, of)
    assert.are.same({ "zoe_1", "bob_1" }, o.left_out)
    has_note(o.notes, "left out zoe_1 %(devel%): it has no labels")
    has_note(o.notes, "left out bob_1 %(no partition%): it is not in .*split.csv")
    write("split.csv", "recording,partition\nann_1,train\nann_2,devel\n")
    says("%-%-split .*split.csv says who is in which partition already", told, { "ann_1" }, { split = manifest, folds = "3" })
    says("%-%-shares divides the persons, and so does %-%-split", told, { "ann_1" },
      { split = manifest, given = { shares = { 0.5, 0.5 } } })
    says("%-%-fold 2: of how many", told, { "ann_1", "bob_1" }, { fold = 2 })
    says("subject ann is in train and in devel", told, { "ann_1", "ann_2" }, { split = manifest, person = "^(%a+)_" })
    says("7: no subject is told by the pattern %^%(%%a%+%)_", told, { "7", "a_1" }, { person = "^(%a+)_" })
    says("%-%-person %(%%a is no Lua pattern: unfinished capture", told, { "a" }, { person = "(%a" })
    says("people.csv:3: a has another subject in line 2", told, { "a" },
      { people = write("people.csv", "video,subject\na,P\na.mp4,Q\n") })
    says("people.csv has no columns video and subject; its header is: video, age", told, { "a" },
      { people = write("people.csv", "video,age\na,7\n") })
  end)

  it("are shared out among train, devel and test", function()
    local names, count, tested = {}, {}, {}
    for i = 1, 20 do names[i] = "v" .. i end
    for _, entry in ipairs(split.draw(names, function(name) return name end, 3, { 0.6, 0.2, 0.2 })) do
      count[entry.partition] = (count[entry.partition] or 0) + 1
    end
    assert.are.same({ train = 12, devel = 4, test = 4 }, count)
    for k = 1, 3 do -- three folds of three persons: each is tested once
      local drawn = split.draw({ "a", "b", "c" }, function(name) return name end, 3, { folds = "loso", fold = k })
      local again = split.draw({ "a", "b", "c" }, function(name) return name end, 3, { folds = "3", fold = k })
      assert.are.same(drawn, again)
      tested[#tested + 1] = drawn[1].partition == "test" and 1 or drawn[2].partition == "test" and 2 or 3
    end
    table.sort(tested)
    assert.are.same({ 1, 2, 3 }, tested)
    local sizes = {}
    for _, entry in ipairs(split.draw(names, function(name) return name end, 1, { folds = "6", fold = 6 })) do
      sizes[entry.partition] = (sizes[entry.partition] or 0) + 1
    end
    assert.are.same({ train = 13, devel = 4, test = 3 }, sizes)
    for _, case in ipairs { { "2", 1, "3 parts at least" }, { "x", 1, "3 parts at least" }, { "21", 1, "20 participants" },
      { "5", 6, "fold 6; wanted is one from 1 to 5" } } do
      says("%-%-folds: .*" .. case[3], split.draw, names, function(name) return name end, 1,
        { folds = case[1], fold = case[2] })
    end
    says("2 subjects for 3 partitions", split.draw, { "a", "b" }, function(name) return name end, 1, { 0.6, 0.2, 0.2 })
    assert.are.same({ 0.6, 0.2, 0.2 }, command.numbers("0.6, 0.2,0.2", "--shares", 2, 3))
    says("%-%-shares: 1 numbers, wanted are 2 to 3", command.numbers, "0.8", "--shares", 2, 3)
    says("%-%-range: 'a' is no number", command.numbers, "a,1", "--range", 2, 2)
  end)
end)
