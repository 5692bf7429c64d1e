-- One's own pictures and videos, as a user does it: pictures to a corpus, pretraining on it, a video read with the
-- weights. A few real faces, seconds of training: whether it learns is not asked here (docs/pictures.md says).
-- Not here: following faces (tests/lua/data_face_spec.lua), reading folders (tests/lua/data_folder_spec.lua).
local mien = require "mien"
local tiny = require "tests.lua.tiny"

local MIEN = os.getenv "MIEN" or "build/mien"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local real = os.getenv "MIEN_TEST_DATA" or here .. "../../../shared/data"

if real:sub(1, 1) ~= "/" then real = require("lfs").currentdir() .. "/" .. real end

local function exists(path) return require("lfs").attributes(path) ~= nil end

describe("own pictures and videos", function()
  local folder
  setup(function() folder = tiny.folder() end)
  teardown(function() tiny.drop(folder) end)

  --- Runs mien with the folder as its home; exit status and what it printed.
  local function run(arguments)
    local status = os.execute(("cd '%s' && MIEN_HOME='%s' '%s' %s > out 2>&1"):format(folder, folder, MIEN, arguments))
    local file = assert(io.open(folder .. "/out"))
    local text = file:read "*a"
    file:close()
    return status, text
  end

  local function lines_of(path)
    local lines = {}
    for line in io.lines(path) do lines[#lines + 1] = line end
    return lines
  end

  --- Every 12th row of the real labels: some 200 pictures of seven emotions.
  local function few_labels()
    local all = lines_of(real .. "/faces8/labels.csv")
    local out = assert(io.open(folder .. "/labels.csv", "w"))
    for i = 1, #all do
      if i == 1 or i % 12 == 0 then out:write(all[i], "\n") end
    end
    out:close()
  end

  it("become a corpus, a start for other experiments, and a table of emotions", function()
    if not exists(real .. "/faces8/labels.csv") then return pending "skipped: no faces8 in ../shared/data" end
    few_labels()
    local root = require("lfs").currentdir()
    local status, text = run(("'%s/datasets/folder.lua' --pictures '%s/faces8/images' --labels labels.csv "
      .. "--out corpora/few.h5 --size 24 --grey"):format(root, real))
    assert.equal(0, status, text)
    status, text = run "run experiments/realeyes.lua --profile tiny --set data=corpora/few.h5"
    assert.equal(0, status, text)
    assert.matches("majority F1", text)
    assert.matches("on few", text)
    local meta = mien.checkpoint.read_meta(folder .. "/weights/tiny/realeyes-few.h5")
    assert.same({ 1, 0, 0, "multilabel", 1 },
      { meta.sequence, meta.fps, meta.procedural, meta.label_kind, meta.grey })
    assert.same({ 20, 20 }, meta.image_size)
    assert.is_false(exists(folder .. "/weights/tiny/realeyes.h5")) -- the procedural start keeps its own name
    local db = mien.results.open(folder .. "/results.db", { read_only = true })
    assert.equal(#meta.outputs, db:value [[SELECT count(*) FROM class_score c JOIN run r ON r.id = c.run
      JOIN experiment e ON e.id = r.experiment WHERE e.name = 'realeyes']])
    db:close()
  end)

  it("give a row for each frame and face, with a column for each emotion", function()
    local video, weights = real .. "/video_webcam/milk.mkv", folder .. "/weights/tiny/realeyes-few.h5"
    if not exists(video) or not exists(weights) then return pending "skipped: no video_webcam in ../shared/data" end
    local status, text = run(("predict '%s' --weights weights/tiny/realeyes-few.h5"):format(video))
    assert.equal(0, status, text)
    assert.is_nil(text:find("note:", 1, true), text) -- the weights say all that must be known
    local lines = lines_of(folder .. "/milk.csv")
    assert.equal(1 + 51, #lines)
    local outputs = table.concat(mien.checkpoint.read_meta(weights).outputs, ",")
    assert.equal("frame,time,face,x,y,w,h,detected,confidence,lost," .. outputs, lines[1])
    for i = 2, #lines do
      local n = 0
      for value in lines[i]:gmatch "[^,]+" do
        n = n + 1
        if n > 10 then assert.is_true(tonumber(value) >= 0 and tonumber(value) <= 1) end
      end
    end
    assert.is_true(exists(folder .. "/milk.svg"))
    local cpu = mien.backend.describe "cpu"
    if not (cpu:find "VNNI" or cpu:find "AMX") then return end
    -- once in 8 bits, kept, and again from there
    local predict = ("predict '%s' --plot none --weights "):format(video)
    status, text = run(predict .. "weights/tiny/realeyes-few.h5 --int8 corpora/few.h5 --save few8.h5 --out a.csv")
    assert.equal(0, status, text)
    status, text = run(predict .. "few8.h5 --out b.csv")
    assert.equal(0, status, text)
    assert.same(lines_of(folder .. "/a.csv"), lines_of(folder .. "/b.csv"))
    status, text = run "predict x.mkv --weights few8.h5 --save few9.h5"
    assert.is_true(status ~= 0)
    assert.matches("--save keeps what --int8 CORPUS makes", text, 1, true)
  end)

  it("take another detector, whose name and file are given", function()
    local video, weights = real .. "/video_webcam/milk.mkv", folder .. "/weights/tiny/realeyes-few.h5"
    local pico = real .. "/face_detectors/pico_facefinder.bin"
    if not exists(video) or not exists(weights) or not exists(pico) then return pending "skipped: no ../shared/data" end
    local status, text = run(("predict '%s' --weights '%s' --plot none --out p.csv --detector pico --detector-weights '%s'")
      :format(video, weights, pico))
    assert.equal(0, status, text)
    assert.matches("1 face, 0 frames without a face", text, 1, true)
    local lines = lines_of(folder .. "/p.csv")
    assert.equal(1 + 51, #lines)
    local detected, confidence, lost = lines[30]:match "^28,[^,]+,1,[^,]+,[^,]+,[^,]+,[^,]+,(%d),([^,]+),(%d),"
    assert.same({ "1", "0" }, { detected, lost })
    assert.is_true(tonumber(confidence) > 3) -- a sum of votes
  end)

  it("may be a picture", function()
    local picture, weights = real .. "/faces/obama.jpg", folder .. "/weights/tiny/realeyes-few.h5"
    if not exists(picture) or not exists(weights) then return pending "skipped: no faces in ../shared/data" end
    local status, text = run(("predict '%s' --weights '%s' --plot none"):format(picture, weights))
    assert.equal(0, status, text)
    assert.matches("obama.jpg: 1 frame of ", text, 1, true)
    assert.matches("1 face, 0 frames without a face", text, 1, true)
    assert.equal(2, #lines_of(folder .. "/obama.csv"))
  end)

  it("that cannot be read are refused by name, and leave nothing behind", function()
    local weights = folder .. "/weights/tiny/realeyes-few.h5"
    if not exists(real .. "/video_openmpf") or not exists(weights) then
      return pending "skipped: no video_openmpf in ../shared/data"
    end
    local text_file = assert(io.open(folder .. "/notes.txt", "w"))
    text_file:write "no video\n"
    text_file:close()
    local good = real .. "/video_openmpf/video_01.mp4"
    for _, case in ipairs {
      { real .. "/video_openmpf/video_01_invalid.mp4", weights, "video_01_invalid.mp4" },
      { real .. "/video_openmpf/video_02_audio_only.mp4", weights, "video_02_audio_only.mp4" },
      { folder .. "/notes.txt", weights, "notes.txt" }, { folder .. "/absent.mp4", weights, "absent.mp4" },
      { good, folder .. "/absent.h5", "absent.h5" }, { good, folder .. "/notes.txt", "notes.txt" },
      { good, folder .. "/corpora/few.h5", "few.h5" }, { good, folder, "a folder, where a file is wanted" },
      { good, weights, "the box 700,10,50,50 lies outside of its 640x480 pixels", " --box 700,10,50,50" },
      { good, weights, "there is no folder none", " --box 1,1,9,9 --out none/bad.csv" },
      { good, weights, "corpora: it is a folder", " --box 1,1,9,9 --out corpora" },
      { good, weights, "must end with .svg, .png or .pdf", " --box 1,1,9,9 --plot bad.gif" },
      { real .. "/faces/noface_chelsea.png", weights, "no face was found in 1 frame;" },
    } do
      local status, text = run(("predict '%s' --weights '%s' --out bad.csv%s"):format(case[1], case[2], case[4] or ""))
      assert.is_true(status ~= 0, text)
      assert.is_not_nil(text:find(case[3], 1, true), text)
      assert.is_nil(text:find("stack traceback", 1, true), text)
      for name in require("lfs").dir(folder) do
        assert.is_nil(name:match "^bad", case[1] .. " left " .. name)
      end
    end
  end)
end)
