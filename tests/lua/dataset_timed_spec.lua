-- Labels of others with a time for each row: OpenFace's measurements, MuSe's milliseconds and raters.
-- Not here: own traces (dataset_videos_spec.lua), annotation programs (dataset_annotations_spec.lua).
local csv = require "mien.data.csv"
local dataset = require "tests.lua.dataset_forms"
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local openface = dofile(here .. "../../datasets/openface.lua")
local muse = dofile(here .. "../../datasets/muse.lua")
local folder = tiny.folder()
local write, says, has_note = dataset.writer(folder), dataset.says, dataset.has_note

teardown(function() tiny.drop(folder) end)

describe("OpenFace's measurements", function()
  --- Its CSV of a clip: landmarks at the corners of the face's boxes, no face in frames 4 and 5, another face now and then.
  local function measured(clip, change)
    local lines = { " frame, face_id, timestamp, confidence, success, x_0, x_1, y_0, y_1, AU06_r, AU12_r, AU12_c" }
    local boxes = csv.read(dataset.clips .. "/" .. clip .. "_face.csv", { "frame", "x", "y", "w", "h" })
    for i, box in ipairs(boxes) do
      local frame, seen = tonumber(box.frame), (i == 4 or i == 5) and 0 or 1
      local x, y, w, h = tonumber(box.x), tonumber(box.y), tonumber(box.w), tonumber(box.h)
      lines[#lines + 1] = ("%d, 0, %.4f, 0.9, %d, %g, %g, %g, %g, %g, %g, 1"):format(frame + 1, frame / 30, seen, x, x + w,
        y, y + h, i / 100, seen == 1 and i / 50 or 0)
      if i % 7 == 0 then lines[#lines + 1] = ("%d, 1, %.4f, 0.9, 1, 1, 5, 1, 5, 4, 4, 1"):format(frame + 1, frame / 30) end
    end
    local text = table.concat(lines, "\r\n") .. "\r\n"
    write("of/labels/" .. clip .. ".csv", change and change(text) or text)
    return boxes
  end

  local function import(options)
    local o = { from = folder .. "/of", out = folder .. "/of.h5", size = 16, rate = nil }
    for key, value in pairs(options or {}) do o[key] = value end
    return openface.make(o)
  end

  it("become labels of the frames they were taken of, with the faces where their landmarks are", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    for _, clip in ipairs { "eat", "milk" } do
      dataset.clip(folder, clip .. ".mkv", "of/videos/" .. clip .. ".mkv")
      measured(clip)
    end
    local result = import()
    assert.equal(2, result.recordings)
    has_note(result.notes, "eat: no face in 2 of ")
    has_note(result.notes, "rows of other faces than number 0")
    local corpus = mien.data.open(folder .. "/of.h5")
    assert.are.same({ "AU06_r", "AU12_r" }, corpus.label_names)
    local r = corpus.recordings[1]
    local values, face = corpus:labels(r.first, 8):totable(), corpus.file:read("face"):totable()
    for i = 1, 8 do
      local shown = (i == 4 or i == 5) and 3 or i -- what was not measured keeps the value before
      assert.is_near(shown / 100, values[i][1], 1e-6)
      assert.is_near(shown / 50, values[i][2], 1e-6)
      assert.equal((i == 4 or i == 5) and 0 or 1, face[r.first + i - 1])
    end
    corpus:close()
    -- the same faces as from boxes that are given
    local own = import { targets = { "AU12_c" } }
    assert.equal(result.frames, own.frames)
  end)

  it("are read with the real header, which has blanks before its names", function()
    local real = here .. "../../../shared/data/openface_csv/OpenFace_Test.csv"
    if not io.open(real) then return pending "no real data here" end
    local rows, header = csv.read(real, { "frame", "timestamp", "success", "AU12_r" })
    assert.are.same({ 100, 431, "timestamp" }, { #rows, #header, header[2] })
  end)

  it("are refused with file and line", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    measured("eat", function(text) return (text:gsub("0%.02, 0%.04", "0,02, 0.04")) end)
    says("eat.csv:3: 13 fields, the header has 12 .a decimal comma", import)
    measured("eat", function(text) return (text:gsub("0%.02, 0%.04", "0.02, 7")) end)
    says("eat.csv:3: AU12_r: 7 lies beyond %[0, 5%]", import)
    measured "eat"
    says("no column AU99_r", import, { targets = { "AU99_r" } })
  end)
end)

describe("MuSe's labels", function()
  local function tree(change)
    for _, clip in ipairs { "eat", "milk" } do
      dataset.clip(folder, clip .. ".mkv", "muse/videos/" .. clip .. ".mkv")
      dataset.clip(folder, clip .. "_face.csv", "muse/boxes/" .. clip .. ".csv")
    end
    for k, target in ipairs { "arousal", "valence" } do
      for _, clip in ipairs { "eat", "milk" } do
        local lines = { clip == "eat" and "timestamp,value,segment_id" or "timeStamp,1,2,3" }
        for i = 0, 4 do
          local value = (i - 2) / 10 * k
          lines[i + 2] = clip == "eat" and ("%d,%g,1"):format(250 * i, value)
            or ("%d,%g,%g,%g"):format(250 * i, value, value + 0.1, value - 0.1)
        end
        local text = table.concat(lines, "\n") .. "\n"
        write(("muse/label_segments/%s/%s.csv"):format(target, clip), change and change(text, target, clip) or text)
      end
    end
    write("muse/partition.csv", "Id,Proposal\neat,train\nmilk,devel\n9,test\n")
  end

  local function import(options)
    local o = { from = folder .. "/muse", boxes = folder .. "/muse/boxes", out = folder .. "/muse.h5", size = 16 }
    for key, value in pairs(options or {}) do o[key] = value end
    return muse.make(o)
  end

  it("come with their milliseconds, their raters' gold standard and their partitions", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    tree()
    local result = import()
    assert.are.same({ 2, 4 }, { result.recordings, result.fps })
    has_note(result.notes, "up to 3 raters in a file: their gold standard .ccc_centred. is taken")
    has_note(result.notes, "left out 9 .test.: it has no labels")
    local corpus = mien.data.open(folder .. "/muse.h5")
    local partitions = {}
    for _, r in ipairs(corpus.recordings) do
      partitions[r.name] = r.partition
      local values, times = corpus:labels(r.first, r.count):totable(), corpus:times(r.first, r.count):totable()
      for i = 1, r.count do
        assert.is_near((i - 1) / 4, times[i], 1e-9)
        for k = 1, 2 do assert.is_near((i - 3) / 10 * k, values[i][k], 1e-5) end
      end
    end
    assert.are.same({ eat = "train", milk = "devel" }, partitions)
    corpus:close()
  end)

  it("are refused with file and line", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    tree(function(text, target, clip) return target == "valence" and clip == "eat" and text:gsub("250,", "260,") or text end)
    says("valence/eat.csv:3: time 0.26 s where .*arousal/eat.csv has 0.25", import)
    tree(function(text) return (text:gsub("timestamp,value", "timestamp,score")) end)
    says("neither a column value nor raters", import)
    tree()
    write("muse/partition.csv", "Id,Proposal\neat,trian\n")
    says("partition.csv:2: 'trian' is none of train, devel, test", import)
    os.remove(folder .. "/muse/label_segments/valence/milk.csv")
    write("muse/partition.csv", "Id,Proposal\neat,train\n")
    has_note(import().notes, "left out milk .no partition.: it has not all of arousal, valence")
  end)
end)
