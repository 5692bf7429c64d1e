-- Aff-Wild2 in its owners' form: header, values that say "no label", pictures that are missing, two people in a video.
-- Not here: Aff-Wild (dataset_forms_spec.lua).
local dataset = require "tests.lua.dataset_forms"
local lfs = require "lfs"
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local abaw = dofile(here .. "../../datasets/abaw.lua")
local folder = tiny.folder()
local write, says, has_note = dataset.writer(folder), dataset.says, dataset.has_note

teardown(function() tiny.drop(folder) end)

--- A picture whose brightness is its frame's number: a BMP of 8x8 pixels under the owners' kind of name.
local function picture(name, frame)
  local function four(n) return string.char(n % 256, math.floor(n / 256), 0, 0) end
  write(("tree/cropped_aligned/%s/%05d.png"):format(name, frame), "BM" .. four(246) .. four(0) .. four(54) .. four(40)
    .. four(8) .. four(8) .. "\1\0\24\0" .. four(0) .. four(192) .. four(2835):rep(2) .. four(0):rep(2)
    .. string.char(frame * 5):rep(192))
end

local function labels(values, header)
  local lines = { header or "valence,arousal" }
  for i, value in ipairs(values) do lines[i + 1] = value or "-5,-5" end
  return "\239\187\191" .. table.concat(lines, "\r\n") .. "\r\n"
end

local function row(i) return ("%g,%g"):format(i / 50, -i / 50) end

local function tree()
  local all, gap, left = {}, {}, {}
  for i = 1, 24 do
    all[i], gap[i] = row(i), (i < 9 or i > 11) and row(i)
    if i ~= 5 and i ~= 6 then picture("12-30-1920x1080", i) end
    picture("7", i)
  end
  for i = 1, 6 do
    left[i] = row(i)
    picture("44_left", i)
  end
  write("tree/VA_Estimation_Challenge/Train_Set/12-30-1920x1080.txt", labels(all))
  write("tree/VA_Estimation_Challenge/Train_Set/44_left.txt", labels(left))
  write("tree/VA_Estimation_Challenge/Validation_Set/7.txt", labels(gap))
end

local function import(options)
  local o = { from = folder .. "/tree", out = folder .. "/abaw.h5", size = 8, least = 4 }
  for key, value in pairs(options or {}) do o[key] = value end
  return abaw.make(o)
end

describe("Aff-Wild2", function()
  it("gives each labelled frame the picture of its number, by the owners' partitions", function()
    tree()
    local result = import()
    assert.are.same({ 4, 24 + 6 + 8 + 13 }, { result.recordings, result.frames })
    has_note(result.notes, "3 frames have no label")
    has_note(result.notes, "7: its labels have gaps; it becomes 2 recordings")
    has_note(result.notes, "no box of the face in 2 of 24 frames")
    local corpus = mien.data.open(folder .. "/abaw.h5")
    assert.are.same({ "arousal", "valence" }, corpus.label_names)
    local partitions = {}
    for _, r in ipairs(corpus.recordings) do
      partitions[r.name] = r.partition
      local values = corpus:labels(r.first, r.count):totable()
      local times = corpus:times(r.first, r.count):totable()
      for i = 1, r.count do
        local frame = r.name == "7+2" and i + 11 or i
        local shown = r.name:find "^12" and (frame == 5 or frame == 6) and 4 or frame
        assert.equal(shown * 5, corpus:pixels(r.first + i - 1):totable()[1][1][1][1])
        assert.is_near(-frame / 50, values[i][1], 1e-6) -- arousal stands second in the file
        assert.is_near(frame / 50, values[i][2], 1e-6)
        assert.is_near((frame - 1) / 30, times[i], 1e-9)
      end
    end
    assert.are.same({ ["12-30-1920x1080"] = "train", ["44_left"] = "train", ["7"] = "devel", ["7+2"] = "devel" }, partitions)
    local face = corpus.file:read("face"):totable()
    local first = corpus.recordings[1].name:find "^12" and corpus.recordings[1].first or nil
    if first then assert.are.same({ 1, 0, 0, 1 }, { face[first + 3], face[first + 4], face[first + 5], face[first + 6] }) end
    corpus:close()
  end)

  it("takes persons and partitions that are said", function()
    tree()
    write("split.csv", "recording,partition,subject\n7,train,anna\n12-30-1920x1080,test,bert\n44_left,devel,carl\n")
    has_note(import({ split = folder .. "/split.csv", seed = 3 }).notes, "seed 3 draws nothing")
    local corpus = mien.data.open(folder .. "/abaw.h5")
    for _, r in ipairs(corpus.recordings) do
      if r.name:find "^7" then assert.are.same({ "anna", "train" }, { r.subject, r.partition }) end
    end
    corpus:close()
  end)

  it("is refused with file and line", function()
    tree()
    local path = "tree/VA_Estimation_Challenge/Train_Set/44_left.txt"
    write(path, labels { row(1), "0,5;0.2" })
    says("44_left.txt:3: ", import)
    write(path, labels { row(1), "x,0.2" })
    says("44_left.txt:3: valence: 'x' is no value", import)
    write(path, labels { row(1), "0.1,1.5" })
    says("44_left.txt:3: arousal: 1.5 lies beyond", import)
    write(path, labels({ row(1) }, "happy,sad"))
    says("no column", import)
    os.remove(folder .. "/" .. path)
    write("tree/VA_Estimation_Challenge/Validation_Set/12-30-1920x1080.txt", labels { row(1) })
    says("12%-30%-1920x1080 stands in two partitions", import)
    os.remove(folder .. "/tree/VA_Estimation_Challenge/Validation_Set/12-30-1920x1080.txt")
    says("from, or labels and faces", abaw.make, { out = "x.h5" })
    assert.is_nil(lfs.attributes(folder .. "/abaw.h5.partial"))
  end)

  it("leaves out whoever has neither faces nor a video, and two people in one video without boxes", function()
    tree()
    write("tree/VA_Estimation_Challenge/Train_Set/99.txt", labels { row(1), row(2), row(3), row(4) })
    local result = import()
    has_note(result.notes, "left out 99 .train.: there is neither a folder of its faces nor its video")
    os.remove(folder .. "/tree/VA_Estimation_Challenge/Train_Set/99.txt")
  end)
end)
