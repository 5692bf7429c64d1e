-- Annotators' marks of emotions: to votes, to labels, to a corpus, on marks whose truth is known.
-- Not here: traces (dataset_videos_spec.lua), the winner's rule itself (data_corpus_spec.lua).
local dataset = require "tests.lua.dataset_forms"
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local ratings, marks = require "reading.ratings", require "reading.marks"
local folder = tiny.folder()
local write, says, has_note, realeyes = dataset.writer(folder), dataset.says, dataset.has_note, dataset.realeyes
local classes = { "neutral", "happy", "other" }

teardown(function() tiny.drop(folder) end)

local function read(text)
  local found = ratings.problems()
  local by_video, named, cut = marks.read({ path = write("marks.csv", text), classes = classes }, found)
  found:raise()
  return by_video, named, cut
end

--- Votes at times as texts, one digit a class.
local function votes_at(by_video, times, unmarked)
  local votes, raters = marks.votes(by_video.v, times, #classes, unmarked)
  local words = {}
  for i, counts in ipairs(votes) do words[i] = table.concat(counts) end
  return table.concat(words, " "), raters
end

describe("marks", function()
  it("hold until the annotator's next one, their end, or the end of the video", function()
    local by_video, _, cut = read "video,annotator,emotion,start,end\nv.mp4,A,neutral,1,\nv,A,happy,2,2.5\nv,A,neutral,3,\n"
    assert.are.same({ "000 100 100 010 000 100 100", 1 }, { votes_at(by_video, { 0.99, 1, 1.99, 2, 2.5, 3, 1e6 }) })
    assert.equal(0, cut)
    -- without the column of ends; in any order; the annotator of no mark counts as neutral
    by_video = read "\239\187\191 Video ;Annotator; Emotion ;Start\r\nv;A;Happy;2\r\nv;A;neutral;1\r\nv;B;other;0\r\n"
    assert.are.same({ "101 101 011", 2 }, { votes_at(by_video, { 0.5, 1.5, 2 }, 1) })
    by_video, _, cut = read "video,annotator,emotion,start,end\nv,A,neutral,1,9\nv,A,happy,2,3\n"
    assert.are.same({ "100 010 000", 1 }, { votes_at(by_video, { 1.5, 2.5, 4 }) })
    assert.equal(1, cut)
  end)

  it("are refused with file and line", function()
    local head = "video,annotator,emotion,start,end\n"
    says("marks.csv:2: unknown emotion 'hapy', did you mean 'happy'%?; known: neutral, happy, other", read,
      head .. "v,A,hapy,1,\n")
    says("marks.csv:3: A marks 1 s a second time %(line 2%)", read, head .. "v,A,happy,1,\nv,A,other,1.0,\n")
    says("marks.csv:2: a mark from 2 to 1 s holds for no time", read, head .. "v,A,happy,2,1\n")
    says("marks.csv:2: start %-1 s lies before", read, head .. "v,A,happy,-1,\n")
    says("marks.csv:2: start: '' is no value", read, head .. "v,A,happy,,\n")
    says("marks.csv:2: end: 'x' is no value", read, head .. "v,A,happy,1,x\n")
    says("marks.csv:2: no annotator is named", read, head .. "v,,happy,1,\n")
    says("marks.csv:2: start: '1,5' has a decimal comma; wanted is 1.5", read,
      "video;annotator;emotion;start\nv;A;happy;1,5\n")
    says("marks.csv:2: 7 fields, the header has 5 %(a decimal comma", read, head .. "v,A,happy,1,5,2,5\n")
    says("no column 'annotator'", read, "video,who,emotion,start\nv,A,happy,1\n")
  end)
end)

describe("a folder of RealEyes' form", function()
  local root

  --- Seven annotators of good will in two clips: the truth is neutral, happy from 0.5 s, surprise from 1 s; annotator k
  -- is k / 100 s late. An eighth says other all the time; four of the others stop halfway through the surprise.
  local function prepare(name)
    root = folder .. "/" .. name
    local lines = { "video;annotator ;emotion;start;end\r\n" }
    for _, video in ipairs { "eat", "milk" } do
      for k = 1, 7 do
        local late = k / 100
        for _, mark in ipairs { { "Neutral", 0 }, { "happy", 0.5 + late }, { "surprise", 1 + late } } do
          lines[#lines + 1] = ("%s.mkv;a%d;%s;%g;%s\r\n"):format(video, k, mark[1], mark[2],
            mark[1] == "surprise" and k > 3 and "1.2" or "")
        end
      end
      lines[#lines + 1] = video .. ";b;other;0;\r\n"
    end
    write(name .. "/marks.csv", "\239\187\191" .. table.concat(lines))
    write(name .. "/videos.csv", "video,subject,Gender,age,mood\neat,S1,f,30,x\nmilk,S2,m,,x\n"
      .. "gone.mp4,S3,f,20,x\n")
  end

  local function make(options)
    local o = { from = root, out = root .. "/out.h5", size = 24, boxes = root .. "/boxes", shares = { 0.5, 0.5 } }
    for key, value in pairs(options or {}) do o[key] = value end
    return realeyes.make(o)
  end

  local function clips()
    for _, name in ipairs { "eat", "milk" } do
      dataset.clip(root, name .. ".mkv", "videos/" .. name .. ".mkv")
      dataset.clip(root, name .. "_face.csv", "boxes/" .. name .. ".csv")
    end
  end

  --- What the annotators above come to at time t: votes for neutral, happy, surprise and other.
  local function truth(t)
    local votes = { 0, 0, 0, 1 }
    for k = 1, 7 do
      local late = k / 100
      local state = t < 0.5 + late and 1 or t < 1 + late and 2 or (k <= 3 or t < 1.2) and 3 or nil
      if state then votes[state] = votes[state] + 1 end
    end
    return votes
  end

  it("is refused when its files do not fit together", function()
    prepare "wrong"
    write("wrong/videos.csv", "video,subject\neat,S1\neat.mkv,S2\n,S3\n")
    says("4 problems.*videos.csv:3: eat stands in line 2 already.*videos.csv:4: no video is named.*marks.csv:24: milk is not",
      function()
        write("wrong/marks.csv", io.open(root .. "/marks.csv", "rb"):read "*a" .. "milk;b;other;0;\r\n")
        make()
      end)
    write("wrong/videos.csv", "video,subject\neat,S1\nmilk,S2\n")
    prepare "nothing"
    says("none of the 3 names in .*videos.csv has a video in .*nothing, which holds 0", make)
    write("nothing/eat.mkv", "")
    write("nothing/marks.csv", "video,annotator,emotion,start\nmilk,A,happy,0\n")
    says("none of the 3 videos of .*videos.csv is marked in .*marks.csv", make)
    write("nothing/videos.csv", "video,subject,gender\neat,S1,f\nmilk,S1,m\n")
    says("videos.csv:3: S1: gender is m here, and f above", make)
    says("cannot have all winners", make, { kind = "class", ties = "all" })
    says("unknown emotion \"calm\"", make, { unmarked = "calm" })
    says("ties: unknown value \"last\"", make, { ties = "last" })
  end)

  it("becomes a corpus whose votes and labels are the annotators' at every frame's own time", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    prepare "good"
    clips()
    dataset.clip(root, "yes.mkv", "videos/yes.mkv")
    local result = make()
    assert.are.same({ 2, 98, 8 }, { result.recordings, result.frames, #result.classes })
    assert.are.same({ "gone", "yes" }, result.left_out)
    has_note(result.notes, "left out yes %(no partition%): there are no labels for it in .*videos.csv")
    has_note(result.notes, "columns of .*videos.csv that the corpus does not keep: mood")
    has_note(result.notes, "annotators: 8 in every video")
    local corpus = mien.data.open(root .. "/out.h5")
    assert.are.same({ S1 = { gender = "f", age = "30" }, S2 = { gender = "m" } }, corpus:people())
    local frames = corpus.recordings[1].count
    local times = corpus:times(1, frames):totable()
    local votes, labels = corpus:votes(1, frames):totable(), corpus:labels(1, frames):totable()
    local seen = { 0, 0, 0 }
    for i = 1, frames do
      local want = truth(times[i])
      assert.are.same({ want[1], want[2], want[3], want[4] }, { votes[i][1], votes[i][2], votes[i][3], votes[i][8] })
      local most = math.max(unpack(want))
      for c = 1, 3 do
        assert.equal(want[c] == most and 1 or 0, labels[i][c])
        seen[c] = seen[c] + labels[i][c]
      end
    end
    assert.is_true(seen[1] > 0 and seen[2] > 0 and seen[3] > 0)
    assert.are.same(seen[2], result.counts[corpus.recordings[1].partition][2])
    assert.are_not.equal(corpus.recordings[1].partition, corpus.recordings[2].partition)
    corpus:close()
  end)

  it("treats ties, other and frames without a vote as declared, and counts them", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    root = folder .. "/ties"
    write("ties/videos.csv", "video,subject\neat,S1\nmilk,S2\n")
    write("ties/marks.csv", "video,annotator,emotion,start,end\n"
      .. "eat,A,happy,0.5,\neat,B,neutral,0.5,\neat,C,other,1,\neat,C,happy,9,\neat,D,other,1,\n"
      .. "milk,A,happy,0,\nmilk,B,happy,0,\n")
    clips()
    -- eat has 47 frames, 15 before 0.5 s, 15 to 1 s; then two of four say other
    local function labels_of(options)
      local result = make(options)
      local corpus = mien.data.open(root .. "/out.h5")
      local n = corpus.recordings[1].count
      local labels = corpus:labels(1, n):totable()
      local times = corpus:times(1, n):totable()
      corpus:close()
      return labels, result, times
    end
    local labels, result = labels_of { classes = classes }
    assert.are.same({ { 0, 0, 0 }, { 1, 1, 0 }, { 0, 0, 1 } }, { labels[1], labels[20], labels[40] })
    has_note(result.notes, "ties: 15 of 98 frames %(15.31 %%%); all winners are labels")
    has_note(result.notes, "without a vote: 15 of 98 frames.*; without a label: 15 of 98")
    has_note(result.notes, "marks that begin after the end of their video: 1")
    has_note(result.notes, "annotators: 2 to 4 a video")
    labels = labels_of { classes = classes, ties = "first" }
    assert.are.same({ { 0, 0, 0 }, { 1, 0, 0 }, { 0, 0, 1 } }, { labels[1], labels[20], labels[40] })
    labels, result = labels_of { classes = classes, ties = "none" }
    assert.are.same({ 0, 0, 0 }, labels[20])
    has_note(result.notes, "without a label: 30 of 98 frames")
    labels, result = labels_of { classes = classes, other = "drop", unmarked = "neutral" }
    -- before 0.5 s all are neutral; then A against B, C and D, who have not begun
    assert.are.same({ { 1, 0 }, { 1, 0 }, { 1, 1 } }, { labels[1], labels[20], labels[40] })
    has_note(result.notes, "votes for other that were not counted: 34")
    local times
    labels, result, times = labels_of { classes = classes, kind = "class" }
    assert.are.same({ 32, 1, 3, 83 }, { #labels, labels[1], labels[32], result.frames })
    assert.is_true(times[1] >= 0.5)
    has_note(result.notes, "without a label: 15 of 98 frames.*, which are left out")
  end)

  it("gives back the real votes of ten annotators, their ties and their winners", function()
    local path = dataset.clips:gsub("video_webcam$", "votes_ferplus/fer2013new_training.csv")
    if not dataset.have_clips() or not io.open(path) then return pending "skipped: no ../shared/data" end
    root = folder .. "/real"
    local emotions = { "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown",
      "NF" }
    local all, pictures = {}, {}
    for line in io.lines(path) do
      local counts, row = line:match "^Training,[^,]*,(.+)$", {}
      for number in (counts or ""):gmatch "%d+" do row[#row + 1] = tonumber(number) end
      if #row == 10 then all[#all + 1] = row end
    end
    -- the whole file by the rule that decides a frame's label (EXPECTED of the data)
    local labels, tied, empty = mien.data.winner_takes_all(mien.tensor(all, { dtype = "u8" }), { kind = "class" })
    assert.are.same({ 28709, 1449, 0 }, { #all, tied, empty })
    local won = {}
    for c = 1, 10 do won[c] = 0 end
    for i = 0, #all - 1 do won[labels:data()[i]] = won[labels:data()[i]] + 1 end
    assert.are.same({ 10309, 7528, 3562, 3515, 2467, 191, 652, 165, 170, 150 }, won)
    local ten = {}
    for _, row in ipairs(all) do
      local sum = 0
      for _, count in ipairs(row) do sum = sum + count end
      ten[#ten + 1] = sum == 10 and row or nil
    end
    assert.is_near(0.509312, mien.metric.fleiss_kappa(ten), 5e-7)
    -- pictures 1 to 40 as what annotators mark in 40 frames of a clip: who saw what is told by the order of the counts
    clips()
    local times, lines = {}, { "video,annotator,emotion,start,end\n" }
    for _, time in mien.data.video(root .. "/videos/eat.mkv"):frames() do times[#times + 1] = time end
    for i = 1, 40 do
      local who = 0
      pictures[i] = ten[i]
      for c, count in ipairs(ten[i]) do
        for _ = 1, count do
          who = who + 1
          lines[#lines + 1] = ("eat,a%d,%s,%.6f,%.6f\n"):format(who, emotions[c], times[i], times[i] + 0.001)
        end
      end
    end
    write("real/videos.csv", "video,subject\neat,S1\nmilk,S2\n")
    write("real/marks.csv", table.concat(lines) .. "milk,a1,neutral,0,\n")
    local result = make { classes = emotions }
    local corpus = mien.data.open(root .. "/out.h5")
    local votes, given = corpus:votes(1, 40):totable(), corpus:labels(1, 40):totable()
    corpus:close()
    local ties = 0
    for i = 1, 40 do
      assert.are.same(pictures[i], votes[i])
      local most, winners = math.max(unpack(pictures[i])), 0
      for c, count in ipairs(pictures[i]) do
        assert.equal(count == most and 1 or 0, given[i][c])
        winners = winners + (count == most and 1 or 0)
      end
      ties = ties + (winners > 1 and 1 or 0)
    end
    assert.is_true(ties > 0)
    assert.equal(ties, result.tied)
  end)
end)
