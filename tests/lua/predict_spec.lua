-- `mien predict` with weights and places for its output that a stranger chose: told, or refused by name, never a crash.
-- A row of PNGs in one file is the video. Not here: real videos (tests/e2e/pictures_spec.lua).
local lfs = require "lfs"
local mien = require "mien"
local expect = require "expect"
local tiny = require "tests.lua.tiny"

local MIEN = os.getenv "MIEN" or "build/mien"
if MIEN:sub(1, 1) ~= "/" then MIEN = lfs.currentdir() .. "/" .. MIEN end

local folder, video, weights

local function text_of(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

setup(function()
  folder = tiny.folder()
  video, weights = folder .. "/v.png", folder .. "/w.h5"
  local all = {}
  for i = 1, 6 do
    mien.data.image.write(folder .. "/one.png", mien.zeros({ 48, 64, 3, dtype = "u8" }):fill_(40 * i))
    all[i] = text_of(folder .. "/one.png")
  end
  local file = assert(io.open(video, "wb"))
  file:write(table.concat(all))
  file:close()
end)
teardown(function() tiny.drop(folder) end)

local function net(outputs)
  local model = mien.models.framewise { features = mien.models.resnet50 { width = 2 },
    outputs = outputs or { "arousal", "valence" } }
  mien.init.xavier():apply(model, mien.rng.stream(1, "predict"))
  return model
end

local GOOD = { image_size = { 16, 16 }, resize = { 16, 16 }, sequence = 4, outputs = { "arousal", "valence" },
  label_kind = "continuous", fps = 5, scale_mean = { 0, 0, 0 }, scale_sd = { 1, 1, 1 } }

--- GOOD with other values.
local function meta(changes)
  local all = {}
  for key, value in pairs(GOOD) do all[key] = value end
  for key, value in pairs(changes or {}) do all[key] = value end
  return all
end

--- Writes what no save_weights would: each entry as an attribute, lists as lines.
local function write_foreign(changes, model)
  mien.checkpoint.save_weights(weights, model or net())
  local h5 = require("mien.data.file").create(weights .. ".new")
  h5:set("mien_format", "weights")
  h5:set("mien_version", 1)
  local file = mien.checkpoint.load_weights(weights)
  local names = {}
  for i, entry in ipairs(file.tensors) do
    names[i] = entry[1]
    h5:write("weights/" .. entry[1], entry[2])
  end
  local C, check = require "mien.base.ffi", require "mien.base.check"
  check.status(C.mien_h5_set_text(h5.handle, "weights", "order", table.concat(names, "\n")))
  local all = meta(changes)
  all.model, all["model.features"], all["model.features.width"] = "framewise", "resnet", 2
  all["model.features.blocks"], all["model.features.strides"] = { 3, 4, 6, 3 }, "torchvision"
  for key, value in pairs(all) do
    if type(value) == "table" then value = table.concat(value, "\n") .. "\n" end
    h5:set(key, value)
  end
  h5:finish()
  assert(os.rename(weights .. ".new", weights))
end

--- Runs predict in the folder; returns exit code and what it said.
local function run(arguments)
  local status = os.execute(("cd '%s' && timeout 60 '%s' predict v.png --weights w.h5 --box 1,1,40,40 %s > said 2>&1")
    :format(folder, MIEN, arguments))
  return status / 256, text_of(folder .. "/said")
end

describe("mien predict", function()
  it("reads weights whose words about themselves are good", function()
    write_foreign {}
    local code, text = run "--out o.csv"
    assert.equal(0, code, text)
    assert.matches("o.csv: 6 rows of arousal, valence", text, 1, true)
    assert.is_not_nil(lfs.attributes(folder .. "/o.svg"))
    write_foreign { image_size = 16, scale_mean = 0.5, scale_sd = "0.5, 0.25, 1", fps = 0, sequence = 1 }
    assert.equal(0, run "--out o.csv --plot none")
  end)

  it("refuses each that is not, by name and without a traceback", function()
    local nan, huge = 0 / 0, 1 / 0
    for key, values in pairs {
      image_size = { { 3.5, 3.5 }, { 100.99, 100.99 }, { 40000, 40000 }, 4097, 0, -1, nan, huge, 1e300, "abc", { 1, 2, 3 },
        { 16, "x" }, "" },
      sequence = { 0, -5, 1e9, nan, 1.5, "x", { 4 } },
      fps = { -1, 1e-9, huge, nan, 1e9, "fast" },
      scale_sd = { { 0, 0, 0 }, { 1, 1 }, { nan, 1, 1 }, { 1, -1, 1 }, huge, "x,y,z" },
      scale_mean = { { nan, 0, 0 }, "x,y,z", { 0, 0, 0, 0 } },
      outputs = { { "a", "a" }, { "\27[31m", "x" }, { "", "x" }, { "a", ("x"):rep(300) }, 3 },
      label_kind = { "zzz", 1 }, grey = { "yes", 2 }, procedural = { 0.5 }, corpus = { "a\27[2Jb", 7 },
      int8_ranges = { "garbage", { 1, 0, 2 }, { -1, 0 }, { 1, 2 }, { nan, 0 } },
    } do
      for _, value in ipairs(values) do
        write_foreign { [key] = value }
        local said = expect.failure(function() mien.checkpoint.read_meta(weights) end, weights .. ": " .. key
          .. " must be ")
        assert.is_nil(tostring(said):find("%z") or tostring(said):find("\27", 1, true))
        expect.failure(function() require("mien.train.predict").network(weights) end, key .. " must be ")
        if type(value) == "table" or type(value) == "number" and value == value then
          expect.failure(function() mien.checkpoint.save_weights(weights, net():state(), meta { [key] = value }) end,
            "save_weights: meta: " .. key .. " must be ")
        end
      end
    end
    write_foreign { image_size = { 3.5, 3.5 } }
    local code, text = run "--out o.csv"
    assert.equal(1, code, text)
    assert.matches("image_size must be one or two whole numbers from 1 to 4096", text, 1, true)
    assert.is_nil(text:find("traceback", 1, true))
  end)

  --- The column of a CSV as numbers.
  local function column(path, k)
    local list = {}
    for line in text_of(path):gmatch "\n([^\n]+)" do
      local words = {}
      for word in line:gmatch "[^,]+" do words[#words + 1] = word end
      list[#list + 1] = tonumber(words[10 + k])
    end
    return list
  end

  it("applies the post-processing that the weights hold, its windows in seconds, and says when there is none", function()
    write_foreign {}
    assert.equal(0, run "--out raw.csv --plot none")
    local code, text = run "--out o.csv --plot none --post"
    assert.equal(1, code)
    assert.matches("w.h5 holds no post-processing, so --post has nothing to apply", text, 1, true)
    local chain = { method = "greedy", fps = 5, steps = { { step = "median", kept = false, value = 3 },
      { step = "centre", kept = true, value = 0.5 }, { step = "scale", kept = true, value = 2, about = 0.25 },
      { step = "shift", kept = true, value = 1 } } }
    write_foreign { post = require("mien.base.literal").encode { { target = "arousal", chain = chain } } }
    code, text = run "--out without.csv --plot none"
    assert.equal(0, code, text)
    assert.matches("the weights hold a post-processing, which --post applies", text, 1, true)
    assert.equal(text_of(folder .. "/raw.csv"), text_of(folder .. "/without.csv"))
    code, text = run "--out o.csv --plot none --post"
    assert.equal(0, code, text)
    local fps = tonumber(text:match "([%d.]+) frames/s")
    assert.matches(("arousal: post-processed, centre 0.5, scale 2, shift %d frames (0.20 s)"):format(fps / 5), text, 1, true)
    assert.matches("valence: no post-processing was fitted for it", text, 1, true)
    local raw, wanted = column(folder .. "/raw.csv", 1), {}
    for t = 1, #raw do wanted[t] = 2 * (raw[t] + 0.5 - 0.25) + 0.25 end
    local got, delay = column(folder .. "/o.csv", 1), fps / 5
    for t = 1, #raw do assert.is_true(math.abs(wanted[math.max(1, t - delay)] - got[t]) < 1e-5) end
    assert.same(column(folder .. "/raw.csv", 2), column(folder .. "/o.csv", 2))
    write_foreign { post = "{ { target = 3 } }" }
    code, text = run "--out o.csv --plot none"
    assert.equal(1, code)
    assert.matches("w.h5: its post-processing (post) cannot be read", text, 1, true)
  end)

  it("keeps the columns of names with a comma, and names that look like numbers", function()
    write_foreign { outputs = { "a,b", '01' } }
    assert.equal(0, run "--out o.csv --plot o.svg")
    assert.matches('detected,confidence,lost,"a,b",01\n', text_of(folder .. "/o.csv"), 1, true)
  end)

  it("refuses weights with NaN, and says which outputs are no finite number", function()
    local model = net()
    model:parameters()[1][2]:fill_(0 / 0)
    write_foreign({}, model)
    local code, text = run "--out none.csv"
    assert.equal(1, code, text)
    assert.matches("features.conv1.weight holds NaN or Inf", text, 1, true)
    assert.is_nil(lfs.attributes(folder .. "/none.csv"))
    expect.failure(function() mien.init.from(weights):apply(net(), mien.rng.stream(1, "x")) end, "holds NaN or Inf")
    model = net()
    for _, entry in ipairs(model:parameters()) do entry[2]:fill_(3e38) end
    write_foreign({}, model)
    code, text = run "--out o.csv --plot o.svg"
    assert.equal(1, code, text)
    assert.matches("o.csv: in 6 of 6 rows an output is no finite number", text, 1, true)
    assert.matches("plot.panels: no value is finite", text)
  end)

  it("says that frames had another size", function()
    write_foreign {}
    mien.data.image.write(folder .. "/one.png", mien.zeros { 20, 30, 3, dtype = "u8" })
    local whole, small = text_of(video), text_of(folder .. "/one.png")
    local file = assert(io.open(folder .. "/two.png", "wb"))
    file:write(whole, small)
    file:close()
    local status = os.execute(("cd '%s' && '%s' predict two.png --weights w.h5 --box 1,1,40,40 --plot none > said 2>&1")
      :format(folder, MIEN))
    assert.equal(0, status)
    assert.matches("note: 1 frame had another size", text_of(folder .. "/said"))
  end)

  it("refuses shapes that no network has", function()
    for name, shape in pairs { ["head.weight"] = {}, ["features.conv1.weight"] = { 2, 3 },
      ["context.weight_hh_l0"] = { 7 }, ["fully_connected.0.weight"] = { 4 } } do
      local tensors = { { name, mien.zeros(shape) } }
      for _, entry in ipairs(net():state()) do
        if entry[1] ~= name then tensors[#tensors + 1] = entry end
      end
      mien.checkpoint.save_weights(weights, tensors, meta { model = net().architecture })
      expect.failure(function() mien.models.from_weights(weights) end, weights .. ": load: ", name)
    end
  end)

  it("writes into a FIFO, through a link and to standard output, and replaces none of them", function()
    write_foreign {}
    local code, text = run "--out plain.csv --plot none"
    assert.equal(0, code, text)
    local rows = text_of(folder .. "/plain.csv")
    lfs.link("behind.csv", folder .. "/link.csv", true)
    assert.equal(0, run "--out link.csv --plot none")
    assert.equal("link", lfs.symlinkattributes(folder .. "/link.csv", "mode"))
    assert.equal(rows, text_of(folder .. "/behind.csv"))
    assert.equal(0, os.execute(("mkfifo '%s/fifo'; cat '%s/fifo' > '%s/through' &"):format(folder, folder, folder)))
    assert.equal(0, run "--out fifo --plot none")
    assert.equal("named pipe", lfs.attributes(folder .. "/fifo", "mode"))
    assert.equal(0, os.execute(("cd '%s' && '%s' predict v.png --weights w.h5 --box 1,1,40,40 --out /dev/stdout "
      .. "--plot none > out.csv 2> notes"):format(folder, MIEN)))
    assert.equal(rows, text_of(folder .. "/out.csv"))
    assert.matches("6 rows", text_of(folder .. "/notes"))
    assert.equal(rows, text_of(folder .. "/through"))
    lfs.link("/dev/full", folder .. "/full.csv", true)
    code, text = run "--out full.csv --plot none"
    assert.equal(1, code, text)
    assert.matches("full.csv: No space left", text)
    for name in lfs.dir(folder) do assert.is_nil(name:find("partial", 1, true), name) end
  end)

  it("looks at the frames of long windows a few at a time, each once, and says what it says of whole windows", function()
    local predict = require "mien.train.predict"
    local model = mien.models.recurrent { features = mien.models.resnet50 { width = 2 }, hidden = 4,
      outputs = { "arousal", "valence" } }
    mien.init.xavier():apply(model, mien.rng.stream(1, "long windows"))
    mien.checkpoint.save_weights(weights, model, meta { sequence = 70 })
    local pictures, all = {}, {}
    for i = 1, 150 do
      pictures[i] = mien.zeros({ 16, 16, 3, dtype = "u8" }):fill_(i)
      mien.data.image.write(folder .. "/one.png", pictures[i])
      all[i] = text_of(folder .. "/one.png")
    end
    local file = assert(io.open(folder .. "/long.png", "wb"))
    file:write(table.concat(all))
    file:close()
    local network = predict.network(weights, { device = "cpu" })
    local looked, features_of = 0, network.model.features_of
    rawset(network.model, "features_of", function(self, frames)
      looked = looked + frames.shape[1]
      return features_of(self, frames)
    end)
    local rows = predict.video(folder .. "/long.png", network, { box = { 0, 0, 16, 16 }, every = 1 })
    rawset(network.model, "features_of", nil)
    assert.same({ 150, 150 }, { #rows, looked })
    for _, window in ipairs { { 1, 1 }, { 71, 71 }, { 81, 141 } } do -- the first frame, and from which it counts
      local crops = {}
      for i = 1, 70 do crops[i] = mien.data.image.crop(pictures[window[1] + i - 1], { 0, 0, 16, 16 }, network.face) end
      local wanted = predict.window(network, crops)
      for n = window[2], window[1] + 69 do
        for k = 1, 2 do assert.near(wanted[n - window[1] + 1][k], rows[n].values[k], 1e-5) end
      end
    end
  end)

  it("gives a row without box and values where a face was away, and names what is left out", function()
    local predict, face = require "mien.train.predict", require "mien.data.face"
    write_foreign {}
    local all = {}
    for i = 1, 60 do all[i] = text_of(folder .. "/one.png") end
    local file = assert(io.open(folder .. "/away.png", "wb"))
    file:write(table.concat(all))
    file:close()
    local n = 0
    local function detect()
      n = n + 1
      local boxes = {}
      if n <= 20 or n >= 45 then boxes[1] = { 2, 2, 8, 8, score = 7 } end
      if n >= 5 and n <= 8 then boxes[#boxes + 1] = { 11, 11, 4, 4, score = 1 } end
      return boxes
    end
    local rows, seen = predict.video(folder .. "/away.png", predict.network(weights, { device = "cpu" }),
      { detector = detect, every = 1 })
    assert.same({ 1, 60 }, { #seen.tracks, #rows })
    for i, row in ipairs(rows) do
      local away = i > 20 and i < 45
      assert.same({ i, 1, away, not away, away and 0 or 7 },
        { row.frame, row.face, row.lost, row.detected, row.confidence })
      assert.equal(away, row.box == nil)
      assert.equal(away, row.values == nil)
    end
    assert.equal("left out as no face: 1 track: frames 4 to 7 seen in 4 frames, a face in 13 at least (--shortest, --gap)",
      face.left_out(seen))
  end)

  it("refuses what makes no sense of how faces are found and followed", function()
    for arguments, words in pairs {
      ["--gap -1"] = "--gap -1: wanted is a number of seconds, 0 at least", ["--detector yuent"] = 'did you mean "yunet"',
      ["--smallest 2.5"] = "wanted is a whole number of pixels", ["--tracker lnk"] = 'did you mean "link"',
      ["--cascade x.xml"] = "--detector-weights FILE now", ["--tracker none"] = "with --box nothing is searched",
    } do
      local code, text = run("--out o.csv --plot none " .. arguments)
      assert.is_true(code ~= 0)
      assert.matches(words, text, 1, true)
    end
  end)
end)
