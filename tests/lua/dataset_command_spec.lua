-- The door to corpora, `mien dataset`: what readers declare, and what import, info, check and show say.
-- Not here: what the readers make of files (dataset_corpora_spec.lua and its like).
local C = require "mien.base.ffi"
local dataset = require "tests.lua.dataset_forms"
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local command = require "reading.command"
local readers = require "mien.cli.dataset.readers"

local folder = tiny.folder()
local write, says = dataset.writer(folder), dataset.says

teardown(function() tiny.drop(folder) end)

--- Runs `mien dataset WORDS`: the exit code and what it printed.
local function run(...)
  local words = {}
  for i, word in ipairs { ... } do words[i] = "'" .. word .. "'" end
  local pipe = io.popen(("'%s' dataset %s 2>&1; echo $?"):format(os.getenv "MIEN" or "build/mien", table.concat(words, " ")))
  local text = pipe:read "*a"
  pipe:close()
  return tonumber(text:match "(%d+)%s*$"), (text:gsub("%s*%d+%s*$", ""))
end

local function refused(pattern, code, ...)
  local status, text = run(...)
  assert.are.equal(code, status, text)
  assert.matches(pattern, text)
end

describe("a corpus's declaration", function()
  local function own(more)
    local declared = { name = "own", title = "t", wants = "w", options = {
      { "from", "folder", required = true }, { "targets", "names", kind = "names", default = { "a" } },
      { "range", "numbers", kind = "numbers", least = 2, most = 2 }, { "how_many", "count", kind = "count" },
      { "way", "word", among = { "left", "right" }, default = "left" }, { "grey", "flag", kind = "flag" } },
      common = { "out", "faces" }, defaults = { size = 7 },
      make = function(o)
        o.note("a note of %d", o.size)
        o.leave_out("r9", "train", "no reason")
        return { recordings = 2, frames = 3, left_out = { "r8" }, seen = o }
      end }
    for key, value in pairs(more or {}) do declared[key] = value end
    return command.declare(declared)
  end

  it("gives the check of calls from Lua, defaults, notes and what was left out", function()
    local corpus, noted = own(), {}
    local result = corpus.make { from = "x", out = "y.h5", note = function(text) noted[#noted + 1] = text end }
    assert.are.same({ 7, "left", { "a" } }, { result.seen.size, result.seen.way, result.seen.targets })
    assert.are.same({ "a note of 7", "left out r9 (train): no reason" }, result.notes)
    assert.are.same(noted, result.notes)
    assert.are.same({ "r9", "r8" }, result.left_out)
    assert.are.same({ "y.h5: 2 recordings, 3 frames; 2 left out" }, command.lines(result))
    says('own.make: unknown key "sise"; did you mean "size"', corpus.make, { from = "x", out = "y", sise = 3 })
    says("own.make: from is missing", corpus.make, { out = "y" })
    says("way: unknown value \"lift\"; did you mean \"left\"", corpus.make, { from = "x", out = "y", way = "lift" })
    says("range: 1 numbers, wanted are 2", corpus.make, { from = "x", out = "y", range = { 1 } })
  end)

  it("gives the command line of the same options", function()
    local seen
    local corpus = own { make = function(o)
      seen = o
      return { recordings = 1, frames = 1 }
    end }
    local real = print
    _G.print = function() end
    local ok, code = pcall(command.run, corpus, { "--from", "d", "--out", "f.h5", "--targets", "a, b", "--range", "-1,2",
      "--how-many", "3", "--grey", "--way", "right" })
    _G.print = real
    assert(ok, code)
    assert.are.same({ 0, "d", { "a", "b" }, { -1, 2 }, 3, true, "right" },
      { code, seen.from, seen.targets, seen.range, seen.how_many, seen.grey, seen.way })
    says("%-%-how%-many: 'x' is no number", command.run, corpus, { "--from", "d", "--out", "f", "--how-many", "x" })
    says("%-%-range: 1 numbers", command.run, corpus, { "--from", "d", "--out", "f", "--range", "1" })
    says('unknown group of options "split2"', own, { common = { "split2" } })
    says('unknown kind "nmber"', own, { options = { { "x", "y", kind = "nmber" } } })
  end)

  it("is there for every file of datasets/, with examples that its own options understand", function()
    local names = readers.names()
    assert.is_true(#names >= 6)
    for _, name in ipairs(names) do
      local reader = readers.load(name)
      assert.are.equal(name, reader.name)
      assert.is_true(#reader.wants > 20 and #reader.examples > 0, name)
      for _, example in ipairs(reader.examples) do
        local rest, words = assert(example:match("^mien dataset import " .. name .. " (.*)$"), example), {}
        for word in rest:gsub("'(.-)'", function(text) return (text:gsub(" ", "\1")) end):gmatch "%S+" do
          words[#words + 1] = word
        end
        local ok, parsed = command.parser(reader, name):pparse(words)
        assert(ok, example .. ": " .. tostring(parsed))
        assert.is_truthy(parsed.out)
      end
    end
    says('unknown corpus "recolla"; did you mean "recola"', readers.load, "recolla")
  end)
end)

describe("mien dataset", function()
  it("lists what can become a corpus, and what each wants", function()
    local code, text = run "list"
    assert.are.equal(0, code)
    for _, name in ipairs(readers.names()) do assert.truthy(text:find("\n" .. name, 1, true) or text:find("^" .. name)) end
    code, text = run("list", "realeyes")
    assert.are.equal(0, code)
    assert.matches("marks.csv %(video, annotator, emotion, start, end", text)
    assert.matches("mien dataset import realeyes %-%-from", text)
    refused("unknown word improt; did you mean import", 2, "improt")
    refused("import wants a name: abaw, affwild, ", 2, "import")
    refused("info wants a corpus", 2, "info")
    refused("^mien: there is no folder /nowhere of videos$", 1, "import", "videos", "--from", "/nowhere", "--out", "x.h5")
    refused("show: unknown option %-%-recrding; did you mean %-%-recording", 2, "show", "x.h5", "--recrding", "r")
  end)

  it("imports by name, and says what was made", function()
    local code, text = run("import", "procedural", "--kind", "recola", "--profile", "tiny", "--size", "16", "--frames", "30",
      "--out", folder .. "/p.h5")
    assert.are.equal(0, code)
    assert.matches("p.h5: 4 recordings, 120 frames\n  rendered now", text)
  end)

  --- Two persons of known gender and age, votes and labels that can be counted by hand.
  local function voted(path, change)
    local writer = mien.data.writer(path, { name = "voted", height = 4, width = 4, fps = 25, label_kind = "multilabel",
      label_names = { "neutral", "happy" } })
    local recordings = { { "r1", "ann", "train", 3 }, { "r2", "ann", "train", 5 }, { "r3", "bob", "devel", 2 } }
    for i, r in ipairs(recordings) do
      local labels, votes, time, frames = {}, {}, {}, mien.zeros { r[4], 4, 4, 3, dtype = "u8" }
      for row = 1, r[4] do
        labels[row], votes[row], time[row] = { 1, row == 1 and 1 or 0 }, { 2, row == 1 and 2 or 1 }, row / 25
        for k = 0, 47 do frames:data()[(row - 1) * 48 + k] = 10 * row + i + k end
      end
      local recording = { name = r[1], subject = r[2], partition = r[3], frames = frames, labels = mien.tensor(labels),
        votes = mien.tensor(votes, { dtype = "u8" }), time = mien.tensor(time, { dtype = "f64" }) }
      if change then change(recording, i) end
      writer:recording(recording)
    end
    require("reading.people").store(writer, { ann = { gender = "f", age = "30" }, bob = { gender = "m", age = "40" } })
    writer:finish()
    return path
  end

  it("info counts persons, frames, emotions and votes by partition", function()
    local code, text = run("info", voted(folder .. "/voted.h5"))
    assert.are.equal(0, code)
    local function row(...) assert.matches(table.concat({ ... }, " +"), text) end
    row("\npersons", "1", "1", "0", "2\n")
    row("\n  f", "1", "0", "0", "1\n")
    row("\n  m", "0", "1", "0", "1\n")
    assert.matches("age, mean %(sd%) +30 %(0%) +40 %(0%) +%- +35 %(7.07%)", text)
    row("\nrecordings", "2", "1", "0", "3\n")
    assert.matches("frames a recording, mean %(sd%) +4 %(1.41%) +2 %(0%) +%- +3.333 %(1.53%)", text)
    row("\nneutral", "8", "2", "0", "10\n")
    row("\nhappy", "2", "1", "0", "3\n")
    assert.matches("3 votes +7 +3 %(30.00 %%%) +0", text) -- 3 ties at the first rows; 7 rows have three votes
    assert.matches("nothing in test", text)
  end)

  it("info says how much raters agree", function()
    run("import", "procedural", "--kind", "recola", "--profile", "tiny", "--size", "16", "--frames", "30", "--out",
      folder .. "/p.h5")
    local _, text = run("info", folder .. "/p.h5")
    local c = mien.data.open(folder .. "/p.h5")
    local sum = 0
    for _, r in ipairs(c.recordings) do
      local rows = {}
      for i, row in ipairs(c:traces(r.first, r.count):totable()) do
        rows[i] = {}
        for k, rater in ipairs(row) do rows[i][k] = rater[1] end
      end
      sum = sum + mien.agreement.ccc(rows)
    end
    c:close()
    assert.matches(("arousal +6 +%.3f "):format(sum / 4):gsub("%.", "%%."), text)
  end)

  it("check finds nothing in a good corpus, and each fault that was put into it", function()
    local code, text = run("check", voted(folder .. "/good.h5"))
    assert.are.same({ 0, true }, { code, text:find "nothing is wrong" ~= nil }, text)
    local faults = {
      { function(r, i) if i == 3 then r.subject = "ann" end end, "r3: person ann is in train %(r1%) and in devel" },
      { function(r) r.partition = "train" end, "there is no recording in devel" },
      { function(r, i) if i == 2 then r.time = mien.tensor({ .04, .08, .08, .12, .16 }, { dtype = "f64" }) end end,
        "r2: row 3 %(0.08 s%): 1 times stand twice, 0 go back, 0 gaps" },
      { function(r, i) if i == 2 then r.time = mien.tensor({ .04, .08, .12, .2, .24 }, { dtype = "f64" }) end end,
        "r2: row 4 %(0.2 s%): 0 times stand twice, 0 go back, 1 gaps wider than 1.5 steps of 0.04 s" },
      { function(r, i)
        local n = r.labels:size(1)
        local traces = {}
        for row = 1, n do traces[row] = { { 0, 0 }, { i == 2 and row > 3 and 0 / 0 or 0, 0 } } end
        r.traces = mien.tensor(traces)
      end, "r2: rater 2, neutral: values end at row 3 of 5" },
    }
    local kept
    faults[#faults + 1] = { function(r, i)
      if i == 1 then kept = r.frames:to "u8" elseif i == 3 then r.frames = kept:narrow(1, 2, 2):to "u8" end
    end, "r3 %(bob, devel%): 2 of its 2 different frames are those of r1 %(ann, train%): a copy" }
    for _, fault in ipairs(faults) do
      code, text = run("check", voted(folder .. "/bad.h5", fault[1]))
      assert.are.equal(1, code)
      assert.matches(fault[2], text)
      assert.matches("bad.h5: 1 problem$", text)
    end
    write("no.h5", "no corpus")
    code, text = run("check", folder .. "/no.h5")
    assert.are.equal(1, code)
    assert.matches("no HDF5 file", text)
  end)

  it("check reads the owners' files without writing, and goes on behind the first problem", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    for _, name in ipairs { "eat", "milk" } do dataset.clip(folder, name .. ".mkv", "own/videos/" .. name .. ".mkv") end
    dataset.clip(folder, "eat.mkv", "own/videos/again.mkv")
    dataset.clip(folder, "yes.mkv", "own/videos/yes.mkv")
    local rows = { "time,arousal,valence\n" }
    for i = 0, 39 do rows[#rows + 1] = ("%g,0.1,%g\n"):format(i / 25, i / 100) end
    for _, name in ipairs { "eat", "again", "gone" } do write("own/traces/" .. name .. ".csv", table.concat(rows)) end
    rows[4], rows[9] = "0.04,0,0\n", "0.28,7,0\n"
    write("own/traces/milk.csv", table.concat(rows))
    local code, text = run("check", "videos", "--videos", folder .. "/own/videos", "--labels", folder .. "/own/traces",
      "--shares", "0.5,0.5")
    assert.are.equal(1, code)
    assert.matches("milk.csv:4: time 0.04 s stands in line 3 already", text)
    assert.matches("milk.csv:9: arousal: 7 lies beyond %[%-1, 1%]", text)
    assert.matches("left out gone %(no partition%): there is no video", text)
    assert.matches("left out yes %(no partition%): there are no labels", text)
    assert.matches("eat.mkv: its frames are those of .*again.mkv: a copy", text)
    os.remove(folder .. "/own/traces/gone.csv")
    os.remove(folder .. "/own/videos/yes.mkv")
    os.remove(folder .. "/own/videos/again.mkv")
    os.remove(folder .. "/own/traces/again.csv")
    rows[4], rows[9], rows[42], rows[43] = "0.08,0,0\n", "0.28,0,0\n", "1.6,0,0\n", "1.64,0,0\n"
    write("own/traces/milk.csv", table.concat(rows))
    code, text = run("check", "videos", "--videos", folder .. "/own/videos", "--labels", folder .. "/own/traces")
    assert.are.same({ 0, "videos: nothing is wrong" }, { code, text })
  end)

  it("check names what is wrong with the files of RECOLA, Aff-Wild, RealEyes and of pictures, with file and line", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    local function found(wanted, ...)
      local code, text = run("check", ...)
      assert.are.equal(1, code)
      for _, pattern in ipairs(wanted) do assert.matches(pattern, text) end
      assert.matches((": %d problems?$"):format(#wanted), text)
    end
    local ratings = { dataset.ratings }
    for i = 0, 38 do ratings[#ratings + 1] = ("%.2f;0;.1;.2;%.3f;%.3f;.5\n"):format(i / 25, i / 99, i / 80) end
    for _, dimension in ipairs { "arousal", "valence" } do
      for _, name in ipairs { "P15", "P14" } do
        write(("R/RECOLA-Annotation/emotional_behaviour/%s/%s.csv"):format(dimension, name), table.concat(ratings))
      end
    end
    dataset.clip(folder, "eat.mkv", "R/RECOLA-Video-recordings/P15.mkv")
    dataset.clip(folder, "milk.mkv", "R/RECOLA-Video-recordings/P14.mkv")
    ratings[5] = "0.12;7;0;0;0;0;0\n"
    write("R/RECOLA-Annotation/emotional_behaviour/arousal/P14.csv", table.concat(ratings, "", 1, 20))
    found({ "arousal/P14.csv:5: rater FM1: 7 lies beyond", "P14: 18 rows of labels, the video has 51 frames",
      "split.csv:4: P14 stands in line 3 already", "split.csv:5: partition 'best' is none of" },
      "recola", "--from", folder .. "/R", "--split", write("split.csv",
      "recording,partition\nP15,train\nP14,devel\nP14,train\nP13,best\n"))

    for k, dimension in ipairs { "arousal", "valence" } do
      write("A/annotations/" .. dimension .. "/1.txt", ("0.1\n"):rep(47))
      write("A/annotations/" .. dimension .. "/2.txt", ("0.1\n"):rep(50) .. (k == 1 and "x\n" or "0\n"))
      write("A/annotations/" .. dimension .. "/3.txt", "0\n")
    end
    dataset.clip(folder, "eat.mkv", "A/videos/1.mkv")
    dataset.clip(folder, "milk.mkv", "A/videos/2.mkv")
    found({ "arousal/2.txt:51: 'x' is no value", "left out 3 .*there is no .*A/videos/3.mp4" }, "affwild", "--from",
      folder .. "/A", "--seed", "2")

    write("M/videos.csv", "video,subject\na,S1\nb,S2\na.mkv,S2\n")
    write("M/marks.csv", "video,annotator,emotion,start\na,A,hapy,0\na,A,happy,1\nb,A,happy,0\nc,A,happy,0\n")
    dataset.clip(folder, "eat.mkv", "M/a.mkv")
    dataset.clip(folder, "eat.mkv", "M/b.mkv")
    found({ "videos.csv:4: a stands in line 2 already", "marks.csv:2: unknown emotion 'hapy'", "marks.csv:5: c is not in",
      "its frames are those of .*: a copy" }, "realeyes", "--from", folder .. "/M")

    write("F/labels.csv", "image,label\na.png,happy\nb.png,hapy\nc.png,happy\n")
    mien.data.image.write(folder .. "/F/a.png", mien.full({ 8, 8, 3 }, 7, { dtype = "u8" }))
    write("F/c.png", "no picture")
    found({ 'labels.csv:3: unknown label "hapy"', "labels.csv:4: .*c.png: no picture" }, "folder", "--from", folder .. "/F")
  end)

  it("show writes a contact sheet with labels and a figure of raters", function()
    if not pcall(C.mien_image_write, "", nil) then return pending "built without FFmpeg" end
    run("import", "procedural", "--kind", "recola", "--profile", "tiny", "--size", "16", "--frames", "30", "--out",
      folder .. "/p.h5")
    local code, text = run("show", folder .. "/p.h5", "--recording", "P02", "--out", folder .. "/pictures")
    assert.are.equal(0, code)
    assert.matches("wrote .*/P02%-sheet.svg\nwrote .*/P02%-labels.svg", text)
    local sheet = io.open(folder .. "/pictures/P02-sheet.svg"):read "*a"
    local _, frames = sheet:gsub("<image ", "")
    assert.are.equal(30, frames)
    assert.matches("30, 5.80 s", sheet)
    local c = mien.data.open(folder .. "/p.h5")
    local row = c:labels(31, 1):totable()[1]
    c:close()
    assert.truthy(sheet:find((">arousal %.2f<"):format(row[1]), 1, true))
    local figure = io.open(folder .. "/pictures/P02-labels.svg"):read "*a"
    assert.matches("rater 6", figure)
    assert.matches("gold standard", figure)
    refused('unknown recording "P9"', 1, "show", folder .. "/p.h5", "--recording", "P9", "--out", folder)
  end)
end)
