-- A folder of one's own videos with traces: what the CSVs may look like, what is refused, left out and told.
-- Not here: the owners' forms (dataset_forms_spec.lua, dataset_corpora_spec.lua), marks (dataset_realeyes_spec.lua).
local dataset = require "tests.lua.dataset_forms"
local lfs = require "lfs"
local check = require "mien.base.check"
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local command = require "reading.command"
local annotations, people, traces = require "reading.annotations", require "reading.people", require "reading.traces"
local split = require "reading.partitions"
local folder = tiny.folder()
local write, says, has_note, videos = dataset.writer(folder), dataset.says, dataset.has_note, dataset.videos

teardown(function() tiny.drop(folder) end)

--- A tree of its own: t.write(name, text), t.make(options).
local number = 0
local function tree()
  number = number + 1
  local root = "t" .. number
  local t = { root = folder .. "/" .. root }
  function t.write(name, text) return write(root .. "/" .. name, text) end
  function t.clip(name, path) dataset.clip(t.root, name, path) end
  function t.make(options)
    local o = { videos = t.root .. "/videos", labels = t.root .. "/traces", out = t.root .. "/own.h5", size = 24 }
    for key, value in pairs(options or {}) do o[key] = value end
    return videos.make(o)
  end
  return t
end

--- Rows of a trace at t = first, first + step ...: the row's number / 100 and its negative.
local function rows(n, step, first)
  local lines = { "time,arousal,valence\n" }
  for i = 1, n do
    lines[i + 1] = ("%.6g,%g,%g\n"):format((first or 0) + (i - 1) * step, i / 100, -i / 100)
  end
  return table.concat(lines)
end

describe("a CSV of traces", function()
  local function read(text, options)
    local o, found = { time = "time", targets = { "arousal", "valence" }, range = { -1, 1 } }, annotations.problems()
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
      local found, list = annotations.problems(), read(text, { name = "x" }).x
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

describe("a folder of videos with traces", function()
  it("is refused when names do not tell videos and labels apart, or nothing fits", function()
    local t = tree()
    says("no folder .*videos of videos", t.make)
    t.write("videos/a.mp4", "")
    says("traces holds no CSV", function()
      t.write("traces/readme.txt", "")
      t.make()
    end)
    t.write("traces/b.csv", rows(5, 0.04))
    says("none of the 1 names in .*traces has a video in .*videos, which holds 1 %(a", t.make)
    t.write("videos/a.AVI", "")
    says("two videos are named a: ", t.make)
    says("unknown key \"lables\"; did you mean \"labels\"", t.make, { lables = "x" })
  end)

  it("is refused when rows of two videos have two rates", function()
    local t = tree()
    t.write("traces/a.csv", rows(5, 0.04))
    t.write("traces/b.csv", rows(5, 0.1))
    t.write("videos/a.mp4", "")
    says("b.csv:3: rows every 0.1 s, but .*a.csv has them every 0.04 s %(%-%-rate", t.make)
    t.write("traces/b.csv", rows(5, 0.04) .. "0.16,0,0\n0.2,9,0\n")
    says("2 problems in the annotations.*b.csv:7: time 0.16 s stands in line 6.*b.csv:8: arousal: 9 lies", t.make)
  end)

  it("becomes a corpus: every row with the frame shown at its time, the rest left out and said", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    local t = tree()
    t.clip("eat.mkv", "videos/cat_eat.Mkv")
    t.clip("milk.mkv", "videos/bob_milk.mkv")
    t.clip("eat_face.csv", "boxes/cat_eat.csv")
    t.clip("milk_face.csv", "boxes/bob_milk.csv")
    t.clip("book.mkv", "videos/ann_book.mkv")
    t.write("videos/ann_broken.mp4", "no video")
    for name, text in pairs { cat_eat = rows(15, 0.1), bob_milk = rows(40, 0.1), zoe = rows(3, 0.1),
      ann_broken = rows(3, 0.1) } do
      t.write("traces/" .. name .. ".csv", "\239\187\191" .. text:gsub(",", " ; "):gsub("\n", "\r\n"))
    end
    local result = t.make { boxes = t.root .. "/boxes", person = "^(%a+)_", split = t.write("split.csv",
      "recording,partition\ncat_eat,train\nbob_milk.mkv,devel\nann_broken,train\n") }
    assert.are.same({ 2, 10 }, { result.recordings, result.fps })
    table.sort(result.left_out)
    assert.are.same({ "ann_book", "ann_broken", "zoe" }, result.left_out)
    has_note(result.notes, "left out zoe %(no partition%): there is no video of this name")
    has_note(result.notes, "left out ann_book %(no partition%): there are no labels for it")
    has_note(result.notes, "left out ann_broken %(train%): .*ann_broken.mp4")
    has_note(result.notes, "bob_milk: 40 rows of labels, the video has 51 frames")
    local corpus = mien.data.open(t.root .. "/own.h5")
    assert.are.same({ "arousal", "valence" }, corpus.label_names)
    assert.are.same({ 10, "cat", "train", 15 }, { corpus.fps, corpus.recordings[1].subject,
      corpus.recordings[1].partition, corpus.recordings[1].count })
    for i, row in ipairs(corpus:labels(1, 15):totable()) do
      assert.is_near(i / 100, row[1], 1e-6)
      assert.is_near(-i / 100, row[2], 1e-6)
    end
    for i, time in ipairs(corpus:times(1, 15):totable()) do assert.is_near((i - 1) / 10, time, 1e-9) end
    -- the clip has 30 frames/s from t = 0: the row at 0.5 s has its 16th frame, wherever its box is
    local video, frame = mien.data.video(t.root .. "/videos/cat_eat.Mkv"), nil
    for _ = 1, 16 do frame = video:next() end
    video:close()
    local line = 0
    for text in io.lines(t.root .. "/boxes/cat_eat.csv") do
      if line == 16 then
        local x, y, w, h = text:match "^15,([%d.]+),([%d.]+),([%d.]+),([%d.]+),"
        local side = math.max(w, h)
        local crop = mien.data.image.crop(frame, { x + (w - side) / 2, y + (h - side) / 2, side, side }, { 24, 24 })
        assert.are.same(crop:totable(), corpus:pixels(6, 1):totable()[1])
      end
      line = line + 1
    end
    corpus:close()
  end)

  it("keeps a row of which no face is known, with the picture of where it was, and says so", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    local t = tree()
    for _, name in ipairs { "eat", "milk" } do
      t.clip(name .. ".mkv", "videos/" .. name .. ".mkv")
      t.write("traces/" .. name .. ".csv", rows(10, 0.1))
    end
    -- eat: frames 0 to 5 and 20 on have a box, 30 frames/s; milk: every frame has one
    local boxes = { "frame,x,y,w,h\n" }
    for frame = 0, 40 do boxes[#boxes + 1] = ("%d,%d,100,60,60\n"):format(frame, 200 + frame) end
    t.write("boxes/milk.csv", table.concat(boxes))
    for _ = 1, 14 do table.remove(boxes, 8) end
    t.write("boxes/eat.csv", table.concat(boxes))
    local result = t.make { boxes = t.root .. "/boxes" }
    has_note(result.notes, "eat: no box of the face in %d+ of %d+ frames; .* their rows say face = 0")
    local corpus = mien.data.open(t.root .. "/own.h5")
    for _, recording in ipairs(corpus.recordings) do
      local seen = {}
      for i, value in ipairs(corpus:faces(recording.first, recording.count):totable()) do seen[i] = value end
      assert.are.same(recording.name == "eat" and { 1, 1, 0, 0, 0, 0, 0, 1, 1, 1 } or { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 }, seen)
      assert.are.same(10, recording.count)
    end
    local held = corpus:pixels(corpus.recordings[1].first + 3, 1):to "f32"
    assert.is_true(held:sum():item() > 0) -- never a black picture
    corpus:close()
  end)

  it("goes on where an import was interrupted, when video and options are the same", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    local t, faces, searched = tree(), require "reading.faces", {}
    local follow, stop = faces.follow, nil
    faces.follow = function(path, options)
      if path == stop then check.raise("interrupted", "stopped") end
      table.insert(searched, path:match "(%a+)%.mkv$")
      return follow(path, options)
    end
    finally(function() faces.follow = follow end)
    for _, name in ipairs { "eat", "milk", "yes" } do
      t.clip(name .. ".mkv", "videos/" .. name .. ".mkv")
      t.write("traces/" .. name .. ".csv", rows(8, 0.1))
    end
    local function import(out, gap)
      searched = {}
      local result = t.make { out = t.root .. "/" .. out, gap = gap }
      return table.concat(searched, " "), result
    end
    stop = t.root .. "/videos/yes.mkv"
    says("stopped", import, "own.h5")
    assert.are.same({ "eat", "milk" }, searched)
    assert.is_nil(lfs.attributes(t.root .. "/own.h5"))
    stop = nil
    local again, result = import "own.h5"
    assert.equal("yes", again)
    has_note(result.notes, "the faces of 2 recordings were found by an import that did not end")
    assert.is_nil(lfs.attributes(t.root .. "/own.h5.faces"))
    assert.equal("eat milk yes", (import "whole.h5"))
    local a, b = mien.data.open(t.root .. "/own.h5"), mien.data.open(t.root .. "/whole.h5")
    for _, what in ipairs { "pixels", "labels", "faces", "times" } do
      assert.are.same(b[what](b, 1):totable(), a[what](a, 1):totable())
    end
    a:close() b:close()
    -- other options, another video, a file that is no such file: searched anew
    stop = t.root .. "/videos/yes.mkv"
    says("stopped", import, "own.h5")
    assert.equal("eat milk", table.concat(searched, " "))
    says("stopped", import, "own.h5", 1)
    assert.equal("eat milk", table.concat(searched, " "))
    local out = assert(io.open(t.root .. "/own.h5.faces/milk.face", "a"))
    out:write "}"
    out:close()
    os.execute(("touch -d 2020-01-01 '%s/videos/eat.mkv'"):format(t.root))
    stop = nil
    assert.equal("eat milk yes", (import("own.h5", 1)))
  end)

  it("takes one CSV, other targets and ranges, a rate, and shares of its people", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    local t = tree()
    local lines = { "video,subject,t,engagement\n" }
    for _, name in ipairs { "eat", "milk", "yes" } do
      t.clip(name .. ".mkv", "videos/" .. name .. ".mkv")
      t.clip(name .. "_face.csv", "boxes/" .. name .. ".csv")
      for i = 0, 6 do lines[#lines + 1] = ("%s.mkv,%s,%g,%g\n"):format(name, name:upper(), 0.2 * i, i) end
    end
    local result = t.make { labels = t.write("all.csv", table.concat(lines)), targets = { "engagement" }, time = "t",
      range = { 0, 10 }, rate = 25, shares = { 0.4, 0.3, 0.3 }, boxes = t.root .. "/boxes" }
    assert.are.same({ 3, 3 * 31, 25 }, { result.recordings, result.frames, result.fps })
    has_note(result.notes, "subjects are told by the column of subjects in .*all.csv")
    local corpus = mien.data.open(t.root .. "/own.h5")
    assert.are.same({ 1, 1, 1 }, { #corpus:partition "train", #corpus:partition "devel", #corpus:partition "test" })
    assert.equal("EAT", corpus.recordings[1].subject)
    assert.is_near(2.4, corpus:labels(13, 1):totable()[1][1], 1e-5) -- t = 0.48
    corpus:close()
    local notes = {}
    says("none of the 2 videos could be used", t.make, { labels = t.write("late.csv",
      "video,time,arousal,valence\neat,90,0,0\neat,91,0,0\nmilk,90,0,0\nmilk,91,0,0\n"), boxes = t.root .. "/boxes",
      note = function(text) notes[#notes + 1] = text end })
    has_note(notes, "left out eat %(%a+%): its rows begin at 90 s, after the end of the video")
  end)

  it("gets in as one folder of videos and CSVs side by side, and as videos that nobody labelled", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    for _, name in ipairs { "eat", "milk" } do
      dataset.clip(folder, name .. ".mkv", "side/" .. name .. ".mkv")
      dataset.clip(folder, name .. "_face.csv", "side/boxes/" .. name .. ".csv")
    end
    local function make()
      return videos.make { from = folder .. "/side", boxes = folder .. "/side/boxes", size = 16, shares = { 0.5, 0.5 },
        out = folder .. "/side.h5" }
    end
    local result = make()
    assert.are.same({ 2, 98, 30 }, { result.recordings, result.frames, result.fps })
    local corpus = mien.data.open(folder .. "/side.h5")
    assert.are.same({ "class", { "unlabelled" } }, { corpus.label_kind, corpus.label_names })
    assert.are.equal(1, corpus:labels(1, 1):data()[0])
    local milk = corpus.recordings[1].name == "milk" and corpus.recordings[1] or corpus.recordings[2]
    local times = corpus:times(milk.first, 2):totable() -- the frames' own, from the beginning of the file's clock
    assert.is_near(0, times[1], 1e-9)
    assert.is_near(0.034, times[2], 1e-9)
    corpus:close()
    for _, name in ipairs { "eat", "milk" } do
      write("side/" .. name .. ".csv", "time,arousal,valence\n0,0,0\n0.04,0.1,0\n0.08,0.2,0\n")
    end
    result = make()
    assert.are.same({ 2, 6, 25 }, { result.recordings, result.frames, result.fps })
    says("from, or videos, must say", videos.make, { out = "x" })
  end)
end)
