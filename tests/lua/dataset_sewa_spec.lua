-- Labels of the AVEC challenges: one CSV or one for each recording, quotes, liking, partitions by name.
-- Not here: RECOLA's gold standards (dataset_forms_spec.lua), own traces (dataset_videos_spec.lua).
local dataset = require "tests.lua.dataset_forms"
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local sewa = dofile(here .. "../../datasets/sewa.lua")
local folder = tiny.folder()
local write, says, has_note = dataset.writer(folder), dataset.says, dataset.has_note

teardown(function() tiny.drop(folder) end)

local function rows(name, n, header)
  local lines = { header and "name;timestamp;arousal;valence;liking\r\n" or nil }
  for i = 0, n do lines[#lines + 1] = ("%s;%.1f;%g;%g;%g\r\n"):format(name, i / 10, i / 100, -i / 100, i / 50) end
  return table.concat(lines)
end

local function import(options)
  local o = { from = folder .. "/tree", boxes = folder .. "/tree/boxes", out = folder .. "/sewa.h5", size = 16 }
  for key, value in pairs(options or {}) do o[key] = value end
  return sewa.make(o)
end

local function tree()
  if not dataset.have_clips() then return false end
  for name, clip in pairs { Train_DE_01 = "eat", Devel_HU_02 = "milk" } do
    dataset.clip(folder, clip .. ".mkv", "tree/videos/" .. name .. ".mkv")
    dataset.clip(folder, clip .. "_face.csv", "tree/boxes/" .. name .. ".csv")
    write("tree/labels/" .. name .. ".csv", rows("'" .. name .. "'", 10, true))
  end
  write("all.csv", "\239\187\191" .. rows('"Train_DE_01"', 10, true) .. rows("Devel_HU_02", 10))
  return true
end

describe("labels of an AVEC challenge", function()
  it("come as a CSV for each recording or as one, with liking, each row with the frame shown at its time", function()
    if not tree() then return pending "no real videos here" end
    local before
    for _, labels in ipairs { folder .. "/tree/labels", folder .. "/all.csv" } do
      local result = import { labels = labels }
      assert.are.same({ 2, 20, 10 }, { result.recordings, result.frames, result.fps })
      has_note(result.notes, "partitions are told by the recordings' names")
      local corpus = mien.data.open(folder .. "/sewa.h5")
      assert.are.same({ "sewa", { "arousal", "valence", "liking" } }, { corpus.name, corpus.label_names })
      for _, recording in ipairs(corpus.recordings) do
        assert.equal(recording.name:find "Train" and "train" or "devel", recording.partition)
        local values, times = corpus:labels(recording.first, 10):totable(), corpus:times(recording.first, 10):totable()
        for i = 1, 10 do -- the row at 0 is dropped
          assert.is_near(i / 10, times[i], 1e-9)
          for k, value in ipairs { i / 100, -i / 100, i / 50 } do assert.is_near(value, values[i][k], 1e-6) end
        end
      end
      local pixels = corpus:pixels(1):totable()
      assert.are.same(before or pixels, pixels)
      before = pixels
      corpus:close()
    end
    local result = import { targets = { "valence" }, shares = { 0.5, 0.5 } }
    assert.equal(2, result.recordings)
    local corpus = mien.data.open(folder .. "/sewa.h5")
    assert.are.same({ "valence" }, corpus.label_names)
    corpus:close()
  end)

  it("are refused with file and line, and never named recola", function()
    if not tree() then return pending "no real videos here" end
    says("recola is the corpus that", import, { name = "RECOLA" })
    says("from, or videos and labels", sewa.make, { out = "x.h5" })
    local path = folder .. "/bad.csv"
    local good = rows("Train_DE_01", 4, true)
    write("bad.csv", (good:gsub("0.03;%-0.03", "0,03;-0.03")))
    says("bad.csv:5: .*0,03", import, { labels = path })
    write("bad.csv", (good:gsub("\r\n[^\r]*;0.2;[^\r]*", "")))
    says("bad.csv:4: time 0.3 s where 0.2 were expected", import, { labels = path })
    write("bad.csv", (good:gsub("liking", "mood")))
    says("no column 'liking'", import, { labels = path })
    write("bad.csv", (good:gsub("0.02;%-0.02", "2;-0.02")))
    says("bad.csv:4: .*2", import, { labels = path })
  end)
end)
