-- The paper's chain on trees in their owners' layout: import ImageNet's, Aff-Wild's, RealEyes' and RECOLA's files, then the
-- paper profile of experiments/initialisation.lua, shrunk, to Table 5. Real clips, real raters, a few seconds of each.
-- Not here: the readers one by one (tests/lua/dataset_*_spec.lua), whether anything is learnt.
local lfs = require "lfs"
local csv = require "mien.data.csv"
local mien = require "mien"
local tiny = require "tests.lua.tiny"

local MIEN = os.getenv "MIEN" or "build/mien"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local real = os.getenv "MIEN_TEST_DATA" or here .. "../../../shared/data"
if real:sub(1, 1) ~= "/" then real = lfs.currentdir() .. "/" .. real end

-- Clips with boxes of their face, and their frames.
local CLIPS = { "eat", "milk", "yes", "book" }

describe("the paper's chain", function()
  local folder
  setup(function() folder = tiny.folder() end)
  teardown(function() tiny.drop(folder) end)

  local function write(name, text)
    local path = folder .. "/" .. name
    require("mien.base.folders").make_for(path)
    local out = assert(io.open(path, "wb"))
    out:write(text)
    out:close()
  end

  local function copy(from, name)
    require("mien.base.folders").make_for(folder .. "/" .. name)
    assert(os.execute(("cp '%s/%s' '%s/%s'"):format(real, from, folder, name)) == 0)
  end

  --- Runs mien with the folder as its home; what it printed.
  local function run(arguments)
    local status = os.execute(("cd '%s' && OMP_NUM_THREADS=2 MIEN_HOME='%s' '%s' %s > out 2>&1"):format(folder, folder, MIEN,
      arguments))
    local file = assert(io.open(folder .. "/out"))
    local text = file:read "*a"
    file:close()
    assert.equal(0, status, text)
    return text
  end

  local read = {}

  --- What real rater number `who` said at a time: from [0, 1] to [-1, 1], on a straight line between rows of 0.1 s.
  local function rating(who, time)
    read[who] = read[who] or csv.read(("%s/traces_taskA/annotations_10hz/TaskA_ann%d.csv"):format(real, who))
    local at = time * 10
    local row = math.floor(at)
    local a, b = tonumber(read[who][row + 1].Data), tonumber(read[who][row + 2].Data)
    return math.max(-1, math.min(1, 2 * (a + (at - row) * (b - a)) - 1))
  end

  --- Boxes of a clip as bboxes/NAME/1.pts ..., which is how Aff-Wild has them.
  local function points(clip, name)
    for _, row in ipairs((csv.read(("%s/video_webcam/%s_face.csv"):format(real, clip), { "frame", "x", "y", "w", "h" }))) do
      local x, y = tonumber(row.x), tonumber(row.y)
      local right, low = x + tonumber(row.w), y + tonumber(row.h)
      write(("AffWild/bboxes/train/%s/%d.pts"):format(name, row.frame + 1),
        ("version: 1\nn_points: 4\n{\n%g %g\n%g %g\n%g %g\n%g %g\n}\n"):format(x, y, right, y, right, low, x, low))
    end
  end

  local function recola_tree()
    for i, name in ipairs { "P15", "P14", "P13", "P16" } do
      copy(("video_webcam/%s.mkv"):format(CLIPS[i]), ("RECOLA/RECOLA-Video-recordings/%s.mp4"):format(name))
      copy(("video_webcam/%s_face.csv"):format(CLIPS[i]), ("boxes/%s.csv"):format(name))
      for k, dimension in ipairs { "arousal", "valence" } do
        local lines = { "time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 ;FF3\r\n" }
        for row = 0, 38 do
          local words = { ("%.2f"):format(row / 25) }
          for r = 1, 6 do words[r + 1] = ("%.4f"):format(rating(r, 40 * i + 20 * k + 5 * row / 25)) end
          lines[#lines + 1] = table.concat(words, ";") .. "\r\n"
        end
        write(("RECOLA/RECOLA-Annotation/emotional_behaviour/%s/%s.csv"):format(dimension, name), table.concat(lines))
      end
    end
    write("RECOLA/RECOLA-Metadata/recola_user_info.csv", "\239\187\191User;Group_id;Gender ;Age\r\nP13;1;female;21\r\n"
      .. "P14;1;male;22\r\nP15;2;female;23\r\nP16;2;male;24\r\n\r\nMean;;;22.5\r\nN=4\r\n")
  end

  local function affwild_tree()
    for i, clip in ipairs(CLIPS) do
      copy(("video_webcam/%s.mkv"):format(clip), ("AffWild/videos/train/%d.mp4"):format(i))
      points(clip, tostring(i))
      local frames = #(csv.read(("%s/video_webcam/%s_face.csv"):format(real, clip)))
      for k, dimension in ipairs { "arousal", "valence" } do
        local lines = {}
        for row = 1, frames do lines[row] = ("%.4f\n"):format(rating(6 + k, 30 * i + row / 6)) end
        write(("AffWild/annotations/train/%s/%d.txt"):format(dimension, i), table.concat(lines))
      end
    end
  end

  --- Seven annotators who see a neutral face, then a happy, then a surprised one, each a little later than the one before.
  local function realeyes_tree()
    local marks, videos = { "\239\187\191video,annotator,emotion,start,end\r\n" }, { "video,subject,gender,age\r\n" }
    for i, clip in ipairs(CLIPS) do
      copy(("video_webcam/%s.mkv"):format(clip), ("RealEyes/videos/%s.mp4"):format(clip))
      copy(("video_webcam/%s_face.csv"):format(clip), ("boxes/%s.csv"):format(clip))
      videos[#videos + 1] = ("%s.mp4,S%d,%s,%d\r\n"):format(clip, i, i % 2 == 0 and "male" or "female", 20 + i)
      for who = 1, 7 do
        for _, mark in ipairs { { "neutral", 0 }, { "happy", 0.4 + who / 50 }, { "surprise", 0.9 + who / 50 } } do
          marks[#marks + 1] = ("%s.mp4,a%d,%s,%g,\r\n"):format(clip, who, mark[1], mark[2])
        end
      end
    end
    write("RealEyes/marks.csv", table.concat(marks))
    write("RealEyes/videos.csv", table.concat(videos))
  end

  --- JPEG pictures of two classes as tar files in a tar file, and some of them to validate.
  local function imagenet_tree()
    local seen, map, truth = { neutral = 0, happiness = 0 }, { neutral = 1, happiness = 2 }, {}
    for _, row in ipairs((csv.read(real .. "/faces8/labels.csv"))) do
      local n, class = seen[row.emotion], map[row.emotion]
      if n and n < 24 then
        seen[row.emotion] = n + 1
        local wnid = class == 1 and "n01440764" or "n01443537"
        if n < 18 then
          copy("faces8/images/" .. row.image, ("ImageNet/%s/%s_%d.JPEG"):format(wnid, wnid, n + 1))
        else
          truth[#truth + 1] = class .. "\n"
          copy("faces8/images/" .. row.image, ("ImageNet/val/ILSVRC2012_val_%08d.JPEG"):format(#truth))
        end
      end
    end
    write("ImageNet/ILSVRC2012_validation_ground_truth.txt", table.concat(truth))
    write("ImageNet/map_clsloc.txt", "n01440764 1 tench\nn01443537 2 goldfish\n")
    assert(os.execute(("cd '%s/ImageNet' && for d in n01440764 n01443537 val; do (cd $d && tar -cf ../$d.tar *) && rm -r $d; "
      .. "done && tar -cf ILSVRC2012_img_train.tar n*.tar && rm n*.tar && mv val.tar ILSVRC2012_img_val.tar")
      :format(folder)) == 0)
  end

  it("goes from the owners' files to Table 5", function()
    if not lfs.attributes(real .. "/video_webcam/eat.mkv") then return pending "skipped: no ../shared/data" end
    if not pcall(mien.data.video, real .. "/video_webcam/eat.mkv") then return pending "skipped: built without FFmpeg" end
    recola_tree() affwild_tree() realeyes_tree() imagenet_tree()
    local text = run "dataset import imagenet --from ImageNet --size 40 --out corpora/paper/imagenet.h5"
    assert.matches("2 classes, 36 pictures to train with, 12 to validate", text)
    text = run "dataset import affwild --from AffWild --size 40 --out corpora/paper/affwild.h5"
    assert.matches("affwild.h5: 4 recordings, 272 frames", text)
    text = run "dataset import realeyes --from RealEyes --boxes boxes --size 44 --out corpora/paper/realeyes.h5"
    assert.matches("realeyes.h5: 4 recordings, 272 frames", text)
    text = run "dataset import recola --from RECOLA --boxes boxes --size 40 --out corpora/paper/recola.h5"
    assert.matches("recola.h5: 4 recordings, 152 frames, 25 a second", text)
    assert.matches("recola_user_info.csv: 2 rows name no recording", text)
    text = run "dataset info corpora/paper/recola.h5"
    assert.matches("female +1 +0 +1 +2\n", text)
    assert.matches("videos of 640x480 +2 +1 +1 +4\n", text)
    run "dataset check corpora/paper/recola.h5"

    local sets = { "seeds={1}" }
    for _, name in ipairs { "initialisation", "imagenet", "affwild", "realeyes" } do
      sets[#sets + 1] = name .. ".network.width=8"
      sets[#sets + 1] = name .. ".train.epochs=1"
      sets[#sets + 1] = name .. ".data.size={32,32}"
      if name ~= "imagenet" then
        sets[#sets + 1] = name .. ".data.sequence=10"
        sets[#sets + 1] = name .. ".network.hidden=8"
      end
    end
    for _, set in ipairs { "imagenet.data.batch=8", "imagenet.data.resize={40,40}", "affwild.network.fully_connected=16",
      "realeyes.data.resize={40,40}", "realeyes.data.resample.max_neutral=0.9" } do sets[#sets + 1] = set end
    text = run("run experiments/initialisation.lua --profile paper --set '" .. table.concat(sets, "' --set '") .. "'")
    assert.matches("Table 5: CCC after post%-processing, test %(devel%), one seed", text)
    assert.is_nil(text:find("procedural", 1, true), text)
    for _, arm in ipairs { "random", "imagenet", "affwild", "realeyes" } do
      assert.matches("\n" .. arm .. " +%-?%.%d%d%d %(%-?%.%d%d%d%) +%-?%.%d%d%d %(%-?%.%d%d%d%) +1", text)
    end
    local db = mien.results.open(folder .. "/results.db", { read_only = true })
    assert.equal(7, db:value "SELECT count(*) FROM run WHERE status = 'finished' AND profile = 'paper' AND procedural = 0")
    db:close()
  end)
end)
