-- A folder of one's own videos with traces becomes a corpus: what is refused, left out and told.
-- Not here: the CSVs and people (dataset_traces_spec.lua), the owners' forms (dataset_forms_spec.lua).
local dataset = require "tests.lua.dataset_forms"
local lfs = require "lfs"
local check = require "mien.base.check"
local mien = require "mien"
local tiny = require "tests.lua.tiny"
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
