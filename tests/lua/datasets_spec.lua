-- The readers of RECOLA and Aff-Wild on small files of their forms, and on a real video.
-- Not here: folders of pictures (data_folder_spec.lua), procedural corpora (procedural_spec.lua).
local C = require "mien.ffi"
local mien = require "mien"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local recola = dofile(here .. "../../datasets/recola.lua")
local affwild = dofile(here .. "../../datasets/affwild.lua")
local annotations, faces, split = require "reading.annotations", require "reading.faces", require "reading.split"
local videos = (os.getenv "MIEN_TEST_DATA" or here .. "../../../shared/data") .. "/video_webcam"

local folder = os.tmpname()
os.remove(folder)

local function write(name, text)
  local path = folder .. "/" .. name
  C.mien_folder_make(path:match "^(.+)/")
  local out = assert(io.open(path, "wb"))
  out:write(text)
  out:close()
  return path
end

local HEADER = "time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 ;FF3\n"

--- A file of ratings as RECOLA has them: rater r says `value(i, r)` in row i, from t = 0.
local function ratings(path, rows, value)
  local lines = { HEADER }
  for i = 0, rows do
    local row = { ("%g"):format(i * 0.04) }
    for r = 1, 6 do row[r + 1] = ("%.4f"):format(value(i, r)) end
    lines[#lines + 1] = table.concat(row, ";") .. "\n"
  end
  return write(path, table.concat(lines))
end

local function says(pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(pattern), tostring(err) .. "\ndoes not say: " .. pattern)
end

local function has_note(notes, pattern)
  for _, text in ipairs(notes) do
    if text:find(pattern) then return end
  end
  error("no note says " .. pattern .. ":\n" .. table.concat(notes, "\n"), 2)
end

local function have_video() return io.open(videos .. "/eat.mkv") and pcall(mien.data.video, videos .. "/eat.mkv") end

teardown(function() os.execute("rm -rf '" .. folder .. "'") end)

describe("a file of RECOLA's ratings", function()
  local function read(text, raters)
    local found = annotations.problems()
    local rows = annotations.raters(write("P1.csv", text), raters, 0.04, found)
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
    says("P1.csv:2: rater FM2 has no rating %('NaN'%)", read, HEADER .. "0;0;NaN;0;0;0;0\n")
    says("P1.csv:2: rater FF3 has no rating %(''%)", read, HEADER .. "0;0;0;0;0;0;\n")
    says("P1.csv:3: rater FM1 says 1.5, ratings lie in", read, HEADER .. "0;0;0;0;0;0;0\n0.04;1.5;0;0;0;0;0\n")
    says("P1.csv:2: 3 fields, the header has 7", read, HEADER .. "0;0;0\n")
    says("P1.csv:2: 'x' is no time", read, HEADER .. "x;0;0;0;0;0;0\n")
    says("no column 'FF3'; its header is: time, FM1.*%-%-raters", read, "time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 \n0;0;0;0;0;0\n")
    says("no ratings after the header", read, HEADER)
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
    local found = annotations.problems()
    local gold, step = annotations.gold(write("gold.csv", text), { "arousal", "valence" }, found)
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
    says("gold.csv:3: valence has no value %('NaN'%)", read, head .. "'A';0.1;0;NaN\n")
    says("gold.csv:3: arousal is 7, labels lie in", read, head .. "'A';0.1;7;0\n")
    says("gold.csv:4: time 0.3 s where 0.2 were", read, head .. "'A';0.1;0;0\n'A';0.3;0;0\n")
    says("no frame rate", read, head)
    says("no column 'timestamp'", read, "name;time\nA;0\n")
  end)
end)

describe("Aff-Wild's values", function()
  local function unscale(...)
    local found, lists = annotations.problems(), {}
    for i, text in ipairs { ... } do
      local path = write(("v%d.txt"):format(i), text)
      lists[i] = { path = path, values = annotations.values(path, found) }
    end
    local scale = annotations.unscale(lists, found)
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
    for _, entry in ipairs(split.recola.paper46) do
      assert.is_nil(home[entry.name])
      home[entry.name], count[entry.partition] = entry.partition, count[entry.partition] + 1
    end
    assert.are.same({ train = 16, devel = 15, test = 15 }, count)
    for _, entry in ipairs(split.recola.avec27) do assert.are.equal(home[entry.name], entry.partition) end
    assert.are.equal(27, #split.recola.avec27)
  end)

  it("may be a manifest, whose mistakes are named by line", function()
    local function manifest(text) return split.manifest(write("split.csv", text)) end
    assert.are.same({ { name = "a", partition = "train", subject = "a" }, { name = "b", partition = "devel",
      subject = "b" } }, manifest "recording,partition\na,train\nb,validation\n")
    says("split.csv:2: partition 'trian' is none of", manifest, "recording,partition\na,trian\n")
    says("split.csv:3: a stands in line 2 already", manifest, "recording,partition\na,train\na,train\n")
    says("split.csv:3: subject s is in train and in test", manifest,
      "recording,partition,subject\na,train,s\nb,test,s\n")
    says("names no recording", manifest, "recording,partition\n")
  end)

  it("drawn from a seed keeps two people of one video together", function()
    local names = { "1", "2_left", "2_right", "3", "4", "5" }
    local drawn, again = split.draw(names, affwild.subject, 7, 0.8), split.draw(names, affwild.subject, 7, 0.8)
    assert.are.same(drawn, again)
    assert.are.equal(drawn[2].partition, drawn[3].partition)
    local devel = 0
    for _, entry in ipairs(drawn) do devel = devel + (entry.partition == "devel" and 1 or 0) end
    assert.truthy(devel == 1 or devel == 2)
    says("1 subject: nothing to split", split.draw, { "2_left", "2_right" }, affwild.subject, 1, 0.8)
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

-- ---- whole corpora out of a real video -----------------------------------------------------------------

local function clip(name, path)
  C.mien_folder_make((folder .. "/" .. path):match "^(.+)/")
  os.execute(("cp '%s/%s' '%s/%s'"):format(videos, name, folder, path))
end

--- Ratings that tell row and rater: the gold standard's mean is easy to follow.
local function wave(dimension)
  return function(i, r) return dimension * math.sin(i / 6) / 2 + r / 100 end
end

local function recola_folder(rows, rows_valence)
  for _, name in ipairs { "P15", "P14" } do
    ratings("R/RECOLA-Annotation/emotional_behaviour/arousal/" .. name .. ".csv", rows, wave(1))
    ratings("R/RECOLA-Annotation/emotional_behaviour/valence/" .. name .. ".csv", rows_valence or rows, wave(-1))
  end
  clip("eat.mkv", "R/RECOLA-Video-recordings/P15.mkv")
  clip("milk.mkv", "R/RECOLA-Video-recordings/P14.mkv")
  clip("eat_face.csv", "B/P15.csv")
  clip("milk_face.csv", "B/P14.csv")
end

local function make_recola(options)
  local o = { from = folder .. "/R", out = folder .. "/out/recola.h5", size = 24, boxes = folder .. "/B" }
  for key, value in pairs(options or {}) do o[key] = value end
  return recola.make(o)
end

describe("RECOLA", function()
  it("becomes a corpus: frames shown at t = 0.04 i, gold standard and traces of the same rows", function()
    if not have_video() then return pending "no real videos here" end
    recola_folder(38)
    clip("eat.mkv", "R/RECOLA-Video-recordings/P99.mkv")
    local result = make_recola()
    assert.are.same({ 2, 76 }, { result.recordings, result.frames })
    has_note(result.notes, "left out P16 %(train%): there is no .*arousal/P16.csv")
    has_note(result.notes, "P99 is not in the split paper46")
    local corpus = mien.data.open(folder .. "/out/recola.h5")
    assert.are.same({ "arousal", "valence" }, corpus.label_names)
    assert.are.same({ 25, false, "P15", "train", "P14", "devel", 38 }, { corpus.fps, corpus.procedural,
      corpus.recordings[1].name, corpus.recordings[1].partition, corpus.recordings[2].name,
      corpus.recordings[2].partition, corpus.recordings[1].count })
    assert.is_near(0.04, corpus:times(0, 1):totable()[1], 1e-12)
    local traces, labels = corpus:traces(9, 1):totable()[1], corpus:labels(0, 38):totable()
    for r = 1, 6 do -- frame 10 has row i = 10
      assert.is_near(wave(1)(10, r), traces[r][1], 1e-4)
      assert.is_near(wave(-1)(10, r), traces[r][2], 1e-4)
    end
    local rows = mien.zeros({ 38, 6 }, { dtype = "f64" })
    for i = 1, 38 do
      for r = 1, 6 do rows:data()[(i - 1) * 6 + r - 1] = tonumber(("%.4f"):format(wave(1)(i, r))) end
    end
    local gold = mien.data.gold(rows):totable()
    for i = 1, 38 do assert.is_near(gold[i], labels[i][1], 1e-6) end
    -- the clip has 30 frames/s from t = 0: at 0.4 s it shows its 13th frame
    local video, frame = mien.data.video(videos .. "/eat.mkv"), nil
    for _ = 1, 13 do frame = video:next() end
    video:close()
    local line = 0
    for text in io.lines(videos .. "/eat_face.csv") do
      if line == 13 then
        local x, y, w, h = text:match "^12,([%d.]+),([%d.]+),([%d.]+),([%d.]+),"
        local crop = mien.data.image.crop(frame, { x - (h - w) / 2, tonumber(y), tonumber(h), tonumber(h) }, 24, 24)
        assert.are.same(crop:totable(), corpus:pixels(9, 1):totable()[1])
      end
      line = line + 1
    end
    corpus:close()
  end)

  it("finds and follows the face when no boxes are given", function()
    if not have_video() then return pending "no real videos here" end
    if not pcall(mien.data.face_detector) then return pending "built without OpenCV" end
    recola_folder(38)
    local with = make_recola { split = write("one.csv", "recording,partition\nP15,train\n") }
    local corpus = mien.data.open(folder .. "/out/recola.h5")
    local given = corpus:pixels(0, 38):to("f64"):reshape { -1 }:totable()
    corpus:close()
    local without = recola.make { from = folder .. "/R", out = folder .. "/out/found.h5", size = 24,
      split = folder .. "/one.csv" }
    assert.are.equal(with.frames, without.frames)
    corpus = mien.data.open(folder .. "/out/found.h5")
    local found = corpus:pixels(0, 38):to("f64"):reshape { -1 }:totable()
    corpus:close()
    assert.is_true(mien.metric.pearson(found, given) > 0.6) -- the same face, cut a little wider
  end)

  it("pairs up to the shorter of labels and video, and says so", function()
    if not have_video() then return pending "no real videos here" end
    recola_folder(50, 45)
    local result = make_recola()
    has_note(result.notes, "P15: 50 rows of arousal, 45 of valence: the first 45")
    has_note(result.notes, "P15: 45 rows of labels, the video has 47 frames of 0.033 s: 39 pairs from the beginning")
    recola_folder(20)
    result = make_recola()
    has_note(result.notes, "P15: 20 rows of labels, the video has 47 frames of 0.033 s: 20 pairs")
    assert.are.equal(40, result.frames)
  end)

  it("leaves out a video that cannot be used, and keeps the others", function()
    if not have_video() then return pending "no real videos here" end
    recola_folder(38)
    write("R/RECOLA-Video-recordings/P14.mkv", "no video")
    local result = make_recola()
    assert.are.equal(1, result.recordings)
    has_note(result.notes, "left out P14 %(devel%): .*P14.mkv")
    has_note(result.notes, "no recording in devel")
    write("R/RECOLA-Video-recordings/P15.mkv", "no video")
    says("none of the 2 videos could be used", make_recola)
    -- boxes of frames that the clip has not, as for a video without a face
    recola_folder(38)
    write("B/P15.csv", "frame,x,y,w,h\n1000,1,1,9,9\n")
    has_note(make_recola().notes, "left out P15 %(train%): .*no face in 47 frames; %-%-boxes")
  end)

  it("takes a ready gold standard, without traces", function()
    if not have_video() then return pending "no real videos here" end
    recola_folder(38)
    local lines = { "name;timestamp;arousal;valence\n" }
    for i = 0, 15 do lines[#lines + 1] = ("'P15';%g;%g;%g\n"):format(i / 10, i / 100, -i / 100) end
    local result = make_recola { gold = write("gold.csv", table.concat(lines)) }
    assert.are.same({ 1, 15 }, { result.recordings, result.frames })
    has_note(result.notes, "left out P14 %(devel%): there is no 'P14' in .*gold.csv")
    local corpus = mien.data.open(folder .. "/out/recola.h5")
    assert.are.equal(10, corpus.fps)
    assert.is_false(corpus:has "traces")
    assert.is_near(0.01, corpus:labels(0, 1):totable()[1][1], 1e-6)
    corpus:close()
  end)

  it("refuses what it cannot use", function()
    says("no split paper64.*did you mean paper46", make_recola, { split = "paper64" })
    says("none of the recordings of paper46 is in .*RECOLA%-Annotation", recola.make,
      { from = folder .. "/none", out = folder .. "/n.h5" })
    says("gold_kind", make_recola, { gold_kind = "median" })
    says("splt.*split", make_recola, { splt = "avec27" })
  end)
end)

describe("Aff-Wild", function()
  local function make(options)
    local o = { videos = folder .. "/A/videos", annotations = folder .. "/A/annotations", boxes = folder .. "/A/boxes",
      out = folder .. "/out/affwild.h5", size = 24 }
    for key, value in pairs(options or {}) do o[key] = value end
    return affwild.make(o)
  end

  local function values(name, n, scale)
    for k, dimension in ipairs { "arousal", "valence" } do
      local lines = {}
      for i = 1, n do lines[i] = ("%g\n"):format((k == 1 and i or -i) * scale) end
      write(("A/annotations/%s/%s.txt"):format(dimension, name), table.concat(lines))
    end
  end

  local function prepare(scale)
    values("1", 47, scale)
    values("2", 51, scale)
    clip("eat.mkv", "A/videos/1.mkv")
    clip("milk.mkv", "A/videos/2.mkv")
    clip("eat_face.csv", "A/boxes/1.csv")
    clip("milk_face.csv", "A/boxes/2.csv")
  end

  it("becomes a corpus, line i with frame i; whole numbers are scaled, and that is said", function()
    if not have_video() then return pending "no real videos here" end
    prepare(10)
    local result = make()
    assert.are.same({ 2, 98, 1000 }, { result.recordings, result.frames, result.scale })
    has_note(result.notes, "scaled by 1000")
    local corpus = mien.data.open(folder .. "/out/affwild.h5")
    assert.are.equal(1, #corpus:partition "train")
    assert.are.equal(1, #corpus:partition "devel")
    local row = corpus:labels(4, 1):totable()[1]
    assert.is_near(0.05, row[1], 1e-6)
    assert.is_near(-0.05, row[2], 1e-6)
    assert.is_near(0.033, corpus:times(1, 1):totable()[1], 1e-9) -- the frame's own
    corpus:close()
  end)

  it("says where lines and frames differ, and what was left out", function()
    if not have_video() then return pending "no real videos here" end
    prepare(0.001)
    values("1", 40, 0.001)
    values("3", 5, 0.001)
    values("2_left", 51, 0.001)
    local result = make()
    has_note(result.notes, "1: 40 rows of labels, the video has 47 frames.*40 pairs")
    has_note(result.notes, "left out 3 .*no .*videos/3.mp4")
    has_note(result.notes, "left out 2_left .*two people")
    result = make { split = write("aff.csv", "recording,partition\n1,train\n9,devel\n") }
    has_note(result.notes, "left out 9 %(devel%): there is no 9.txt")
    has_note(result.notes, "2 is not in the split")
    for _, name in ipairs { "3", "2_left" } do
      for _, dimension in ipairs { "arousal", "valence" } do
        os.remove(("%s/A/annotations/%s/%s.txt"):format(folder, dimension, name))
      end
    end
  end)

  it("pairs lines with boxes when there are as many, but fewer than frames", function()
    if not have_video() then return pending "no real videos here" end
    prepare(0.001)
    values("1", 3, 0.001)
    write("A/boxes/1.csv", "frame,x,y,w,h\n4,270,97,65,84\n8,270,97,65,84\n20,270,97,65,84\n")
    local result = make { split = write("aff.csv", "recording,partition\n1,train\n") }
    has_note(result.notes, "1: 3 lines for the 3 of 47 frames that have a box")
    local corpus = mien.data.open(folder .. "/out/affwild.h5")
    local times = corpus:times(0, 3):totable()
    assert.is_near(20 / 30, times[3], 1e-3)
    corpus:close()
  end)

  it("refuses what it cannot use", function()
    says("no folder .*nowhere/arousal; %-%-annotations", affwild.make,
      { videos = "x", annotations = folder .. "/nowhere", out = folder .. "/n.h5" })
    write("E/arousal/1.txt", "0\n")
    write("E/valence/1.txt", "0\n")
    write("E/arousal/2.txt", "0\n")
    says("1 subject: nothing to split", affwild.make,
      { videos = "x", annotations = folder .. "/E", out = folder .. "/n.h5" })
    says("no annotated video was found in x", affwild.make, { videos = "x", annotations = folder .. "/E",
      out = folder .. "/n.h5", split = write("e.csv", "recording,partition\n1,train\n") })
  end)
end)
