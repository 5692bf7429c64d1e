-- RECOLA and Aff-Wild in their owners' form, with a real video, as corpora.
-- Not here: single files of ratings and boxes (dataset_forms_spec.lua), folders of pictures (data_folder_spec.lua),
-- procedural corpora (procedural_spec.lua).
local dataset = require "tests.lua.dataset_forms"
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local videos = dataset.clips
local folder = tiny.folder()
local write, says, recola, affwild = dataset.writer(folder), dataset.says, dataset.recola, dataset.affwild

teardown(function() tiny.drop(folder) end)

--- A file of ratings as RECOLA has them: rater r says `value(i, r)` in row i, from t = 0.
local function ratings(path, rows, value)
  local lines = { dataset.ratings }
  for i = 0, rows do
    local row = { ("%g"):format(i * 0.04) }
    for r = 1, 6 do row[r + 1] = ("%.4f"):format(value(i, r)) end
    lines[#lines + 1] = table.concat(row, ";") .. "\n"
  end
  return write(path, table.concat(lines))
end

local has_note, have_video = dataset.has_note, dataset.have_clips
local function clip(name, path) dataset.clip(folder, name, path) end

--- Ratings that tell row and rater; the last rater is of another mind, so that weights matter.
local function wave(dimension)
  return function(i, r) return dimension * math.sin(i / (r < 6 and 6 or 9)) / 2 + r * r / 100 end
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
    assert.equal("paper46, 2 of 46 recordings", corpus.split) -- which is not the paper's split
    assert.are.same({ 25, false, "P15", "train", "P14", "devel", 38 }, { corpus.fps, corpus.procedural,
      corpus.recordings[1].name, corpus.recordings[1].partition, corpus.recordings[2].name,
      corpus.recordings[2].partition, corpus.recordings[1].count })
    assert.is_near(0.04, corpus:times(1, 1):totable()[1], 1e-12)
    local traces, labels = corpus:traces(10, 1):totable()[1], corpus:labels(1, 38):totable()
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
    -- fitted with the row at t = 0, and without it from then on
    make_recola { first_row = true, out = folder .. "/out/first.h5" }
    local first = mien.data.open(folder .. "/out/first.h5")
    rows = mien.zeros({ 39, 6 }, { dtype = "f64" })
    for i = 0, 38 do
      for r = 1, 6 do rows:data()[i * 6 + r - 1] = tonumber(("%.4f"):format(wave(1)(i, r))) end
    end
    local whole, apart = mien.data.gold(rows):totable(), 0
    for i, row in ipairs(first:labels(1, 38):totable()) do
      assert.is_near(whole[i + 1], row[1], 1e-6)
      apart = math.max(apart, math.abs(row[1] - labels[i][1]))
    end
    assert.is_true(apart > 1e-5, "the row at t = 0 changed nothing")
    assert.matches("with the row at t = 0", first.source, 1, true)
    first:close()
    local told = {}
    pcall(make_recola, { split = "avec27", note = function(text) told[#told + 1] = text end }) -- it has neither
    has_note(told, "avec27 is one user's list")
    -- the clip has 30 frames/s from t = 0: at 0.4 s it shows its 13th frame
    local video, frame = mien.data.video(videos .. "/eat.mkv"), nil
    for _ = 1, 13 do frame = video:next() end
    video:close()
    local line = 0
    for text in io.lines(videos .. "/eat_face.csv") do
      if line == 13 then
        local x, y, w, h = text:match "^12,([%d.]+),([%d.]+),([%d.]+),([%d.]+),"
        local crop = mien.data.image.crop(frame, { x - (h - w) / 2, tonumber(y), tonumber(h), tonumber(h) }, { 24, 24 })
        assert.are.same(crop:totable(), corpus:pixels(10, 1):totable()[1])
      end
      line = line + 1
    end
    corpus:close()
  end)

  it("holds a few crops of a video at a time", function()
    if not have_video() then return pending "no real videos here" end
    local faces, array, most = require "reading.faces", require("mien.data.file").array, 0
    recola_folder(38)
    make_recola { split = write("one.csv", "recording,partition\nP15,train\n") }
    local piece = faces.piece
    faces.piece = 10
    require("mien.data.file").array = function(dtype, shape)
      if dtype == "u8" and #shape == 4 then most = math.max(most, shape[1]) end
      return array(dtype, shape)
    end
    local ok, problem = pcall(make_recola, { split = folder .. "/one.csv", out = folder .. "/out/pieces.h5" })
    faces.piece, require("mien.data.file").array = piece, array
    assert(ok, tostring(problem))
    assert.equal(10, most)
    local whole, pieces = mien.data.open(folder .. "/out/recola.h5"), mien.data.open(folder .. "/out/pieces.h5")
    assert.are.same(whole:pixels():totable(), pieces:pixels():totable())
    whole:close() pieces:close()
  end)

  it("finds and follows the face when no boxes are given", function()
    if not have_video() then return pending "no real videos here" end
    if not pcall(mien.data.face_detector) then return pending "built without OpenCV" end
    recola_folder(38)
    local with = make_recola { split = write("one.csv", "recording,partition\nP15,train\n") }
    local corpus = mien.data.open(folder .. "/out/recola.h5")
    assert.equal("own", corpus.split)
    local given = corpus:pixels(1, 38):to("f64"):reshape { -1 }:totable()
    corpus:close()
    local without = recola.make { from = folder .. "/R", out = folder .. "/out/found.h5", size = 24,
      split = folder .. "/one.csv" }
    assert.are.equal(with.frames, without.frames)
    corpus = mien.data.open(folder .. "/out/found.h5")
    local found = corpus:pixels(1, 38):to("f64"):reshape { -1 }:totable()
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

  it("of whatever is there is divided for cross-validation, and videos without ratings are left out", function()
    if not have_video() then return pending "no real videos here" end
    recola_folder(38)
    clip("eat.mkv", "R/RECOLA-Video-recordings/P99.mkv")
    local result = make_recola { split = "present", shares = { 0.5, 0.5 } }
    assert.are.same({ 2, { "P99" } }, { result.recordings, result.left_out })
    for _, dimension in ipairs { "arousal", "valence" } do
      ratings("R/RECOLA-Annotation/emotional_behaviour/" .. dimension .. "/P99.csv", 38, wave(1))
    end
    clip("eat_face.csv", "B/P99.csv")
    local tested = {}
    for fold = 1, 3 do
      make_recola { folds = "loso", fold = fold }
      local corpus = mien.data.open(folder .. "/out/recola.h5")
      assert.are.same({ 1, 1, 1 }, { #corpus:partition "train", #corpus:partition "devel", #corpus:partition "test" })
      assert.equal("own", corpus.split)
      tested[fold] = corpus:partition("test")[1].name
      corpus:close()
    end
    table.sort(tested)
    assert.are.same({ "P14", "P15", "P99" }, tested)
    for _, dimension in ipairs { "arousal", "valence" } do
      os.remove(folder .. "/R/RECOLA-Annotation/emotional_behaviour/" .. dimension .. "/P99.csv")
    end
  end)

  it("takes the raters' lags out of the gold standard, and says which", function()
    if not have_video() then return pending "no real videos here" end
    recola_folder(38)
    for _, dimension in ipairs { "arousal", "valence" } do -- two raters of six are 2 rows late
      ratings("R/RECOLA-Annotation/emotional_behaviour/" .. dimension .. "/P15.csv", 38, function(i, r)
        return wave(1)(r > 4 and i - 2 or i, 0)
      end)
    end
    local result = make_recola { lag = 0.24, gold_kind = "median" }
    has_note(result.notes, "P15, arousal: the raters' lags of 0, 0, 0, 0, 2, 2 frames were taken out")
    local corpus = mien.data.open(folder .. "/out/recola.h5")
    assert.truthy(corpus.source:find "median, raters' lags to 0.24 s taken out")
    assert.is_near(wave(1)(10, 0), corpus:labels(10, 1):totable()[1][1], 1e-4)
    corpus:close()
    make_recola { band = 0.12, gold_kind = "mean" }
    corpus = mien.data.open(folder .. "/out/recola.h5")
    assert.truthy(corpus.source:find "raters aligned within 0.12 s")
    local arousal = corpus:traces(1, 38):narrow(3, 1, 1):reshape { 38, 6 }:to "f64"
    local aligned, plain = mien.data.gold(arousal, { kind = "mean", band = 3 }), mien.data.gold(arousal, { kind = "mean" })
    local off = 0
    for i, row in ipairs(corpus:labels(1, 38):totable()) do
      assert.is_near(aligned:at(i), row[1], 1e-5)
      off = math.max(off, math.abs(plain:at(i) - row[1]))
    end
    assert.is_true(off > 0.01)
    corpus:close()
    says("lag and band are about raters", make_recola, { band = 0.1, gold = "g.csv" })
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
    assert.is_near(0.01, corpus:labels(1, 1):totable()[1][1], 1e-6)
    corpus:close()
  end)

  it("takes AVEC's own names with a gold standard in ARFF", function()
    if not have_video() then return pending "no real videos here" end
    for k, dimension in ipairs { "arousal", "valence" } do
      local lines = { "@relation GOLDSTANDARD\n\n@attribute Instance_name string\n@attribute frameTime numeric\n"
        .. "@attribute GoldStandard numeric\n\n\n@data\n\n" }
      for i = 0, 38 do lines[#lines + 1] = ("train_1,%.2f,%g\n"):format(i / 25, (3 - 2 * k) * i / 100) end
      write("V/gold/" .. dimension .. "/train_1.arff", table.concat(lines))
    end
    clip("eat.mkv", "V/videos/train_1.mkv")
    clip("eat_face.csv", "V/boxes/train_1.csv")
    local result = recola.make { from = folder .. "/V", videos = folder .. "/V/videos", boxes = folder .. "/V/boxes",
      gold = folder .. "/V/gold", split = "avec16", size = 24, out = folder .. "/out/avec.h5" }
    assert.are.same({ 1, 38 }, { result.recordings, result.frames })
    has_note(result.notes, "left out dev_9 %(devel%): there is no 'dev_9' in .*V/gold")
    local corpus = mien.data.open(folder .. "/out/avec.h5")
    assert.are.same({ 25, "train_1", "train" },
      { corpus.fps, corpus.recordings[1].name, corpus.recordings[1].partition })
    local row = corpus:labels(10, 1):totable()[1] -- frame 10 has row i = 10
    assert.is_near(0.1, row[1], 1e-6)
    assert.is_near(-0.1, row[2], 1e-6)
    corpus:close()
  end)

  it("refuses what it cannot use", function()
    says("no split paper64.*did you mean paper46", make_recola, { split = "paper64" })
    says("none of the recordings of paper46 is in .*RECOLA%-Annotation", recola.make,
      { from = folder .. "/none", out = folder .. "/n.h5" })
    says("folds is for %-%-split present; avec27 says already", make_recola, { split = "avec27", folds = "3" })
    says("people is for %-%-split present; paper46 says", make_recola, { people = "p.csv" })
    says("gold_kind", make_recola, { gold_kind = "medan" })
    says("two forms of EWE. ewe_all .* ewe_others", make_recola, { gold_kind = "ewe" })
    says("first_row is about a gold standard that is made from ratings", make_recola, { first_row = true, gold = "g.csv" })
    says("rater lags: recording 1 has 38 frames; lags to 25", make_recola, { lag = 1 })
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
    has_note(result.notes, "each video counts as a person of its own; .*%-%-people CSV")
    local corpus = mien.data.open(folder .. "/out/affwild.h5")
    assert.are.equal(1, #corpus:partition "train")
    assert.are.equal(1, #corpus:partition "devel")
    local row = corpus:labels(5, 1):totable()[1]
    assert.is_near(0.05, row[1], 1e-6)
    assert.is_near(-0.05, row[2], 1e-6)
    assert.is_near(0.033, corpus:times(2, 1):totable()[1], 1e-9) -- the frame's own
    corpus:close()
    result = make { people = write("people.csv", "video,person\n1,ann\n2,bob\n") }
    for _, text in ipairs(result.notes) do assert.is_nil(text:find "a person of its own") end
    corpus = mien.data.open(folder .. "/out/affwild.h5")
    assert.are.same({ "ann", "bob" }, { corpus.recordings[1].subject, corpus.recordings[2].subject })
    corpus:close()
    result = make { split = write("aff.csv", "recording,partition\n1,train\n2,devel\n") }
    has_note(result.notes, "each video counts as a person of its own; .*a column subject in %-%-split")
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
    has_note(result.notes, "left out 9 %(devel%): it has no labels")
    has_note(result.notes, "left out 2 %(no partition%): it is not in .*aff.csv")
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
    local times = corpus:times(1, 3):totable()
    assert.is_near(20 / 30, times[3], 1e-3)
    corpus:close()
  end)

  it("refuses what it cannot use", function()
    says("no folder .*nowhere/arousal; %-%-annotations", affwild.make,
      { videos = "x", annotations = folder .. "/nowhere", out = folder .. "/n.h5" })
    write("E/arousal/1.txt", "0\n")
    write("E/valence/1.txt", "0\n")
    write("E/arousal/2.txt", "0\n")
    write("F/arousal/1.txt", "0\n")
    write("F/valence/1.txt", "0\n")
    write("F/arousal/2_left.txt", "0\n")
    write("F/valence/2_left.txt", "0\n")
    local function people(text, o)
      local all = { videos = "x", annotations = folder .. "/F", out = folder .. "/n.h5", people = write("people.csv", text) }
      for key, value in pairs(o or {}) do all[key] = value end
      return affwild.make(all)
    end
    says("2_left: no subject is told by the column of subjects in .*people.csv", people, "video,person\n1,a\n2,b\n")
    says("1 subject for 2 partitions", people, "video,person\n1,a\n2_left,a\n")
    says("leave out %-%-people", people, "video,person\n1,a\n", { split = "s.csv" })
    says("1 subject for 2 partitions", affwild.make,
      { videos = "x", annotations = folder .. "/E", out = folder .. "/n.h5" })
    says("no annotated video was found in x", affwild.make, { videos = "x", annotations = folder .. "/E",
      out = folder .. "/n.h5", split = write("e.csv", "recording,partition\n1,train\n") })
  end)
end)
