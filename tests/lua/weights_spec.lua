-- Weights files say what their network is and how its input was made; nobody guesses what they leave out, and
-- `mien predict` gives the bits of validation. Not here: broken values (predict_spec), the file itself (checkpoint_spec).
local mien = require "mien"
local expect = require "expect"
local tiny = require "tests.lua.tiny"
local models, init = mien.models, mien.init
local evaluate = require "mien.train.evaluate"
local predict = require "mien.train.predict"

local folder, path

setup(function()
  folder = tiny.folder()
  path = folder .. "/w.h5"
end)
teardown(function() tiny.drop(folder) end)

local function stream(seed) return mien.rng.stream(seed or 1, "weights") end

local function drawn(model) return init.he():apply(model, stream()):train(false) end

--- The same bits for the same frames, in the same order of outputs.
local function agree(model, again, size)
  local x = mien.rand({ 1, 3, 3, size, size }, { rng = stream(7) })
  assert.are.same(mien.no_grad(model, x):totable(), mien.no_grad(again, x):totable())
end

--- Attributes of a file as they stand there.
local function attribute(key)
  local h5 = require("mien.data.file").open(path)
  local value = h5:number(key) or h5:text(key)
  h5:close()
  return value
end

--- The file with attributes taken out, as an earlier mien or another program would have written it.
local function without(...)
  local drop = {}
  for _, key in ipairs { ... } do drop[key] = true end
  local file, h5 = mien.checkpoint.load_weights(path), require("mien.data.file").open(path)
  local C, ffi = require "mien.base.ffi", require "ffi"
  local out, names = require("mien.data.file").create(path .. ".new"), {}
  for key in ffi.string(C.mien_h5_attributes(h5.handle, "/")):gmatch "[^\n]+" do
    local top = key:match "^[^%.]+"
    if not drop[key] and not drop[top] then out:set(key, h5:number(key) or h5:text(key)) end
  end
  h5:close()
  for i, entry in ipairs(file.tensors) do
    names[i] = entry[1]
    out:write("weights/" .. entry[1], entry[2])
  end
  out:set("order", names, "weights")
  out:finish()
  assert(os.rename(path .. ".new", path))
end

local networks = {
  affwildnet = function() return models.affwildnet { width = 4, hidden = 8, fully_connected = {} }, 32 end,
  ["LSTM on TF-slim's ResNet"] = function()
    return models.recurrent { features = models.resnet { width = 2, blocks = { 1, 2, 1, 1 }, strides = "slim" }, hidden = 4,
      layers = 1, fully_connected = { 5, 6 }, dropout = 0.5, outputs = { "b", "a" } }, 32
  end,
  ["GRU on VGG-16"] = function()
    return models.recurrent { features = models.vgg16 { size = 32, width = 2, fully_connected = { 8 } }, cell = "gru",
      hidden = 4, outputs = { "x", "y", "z" } }, 32
  end,
  framewise = function()
    return models.framewise { features = models.resnet50 { width = 2, strides = "slim" }, outputs = { "happy", "sad" } }, 24
  end,
}

describe("a weights file", function()
  for name, make in pairs(networks) do
    it("gives back the network it was saved from: " .. name, function()
      local model, size = make()
      drawn(model)
      mien.checkpoint.save_weights(path, model)
      local again, outputs, meta = models.from_weights(path)
      assert.are.equal(tostring(model), tostring(again))
      assert.are.same(model.outputs, outputs)
      assert.are.same(model.architecture, meta.model)
      agree(model, again, size)
      -- and so does what was read when it is saved again
      mien.checkpoint.save_weights(path, again, meta)
      agree(model, (models.from_weights(path)), size)
    end)
  end

  it("has its network's arguments as attributes", function()
    mien.checkpoint.save_weights(path, (networks.affwildnet()))
    assert.are.same({ "recurrent", "gru", 8, 2, 0, 0, "\n", "resnet", "slim", "3\n4\n6\n3\n", 4, "valence\narousal\n" },
      { attribute "model", attribute "model.cell", attribute "model.hidden", attribute "model.layers",
        attribute "model.reset_after", attribute "model.dropout", attribute "model.fully_connected",
        attribute "model.features", attribute "model.features.strides", attribute "model.features.blocks",
        attribute "model.features.width", attribute "outputs" })
  end)

  it("that does not say them is refused, and taken when they are said", function()
    local model = drawn((networks.affwildnet()))
    mien.checkpoint.save_weights(path, model)
    without "model"
    expect.failure(function() models.from_weights(path) end, path .. " does not say model", "--set model=")
    local again, outputs = models.from_weights(path,
      { model = { "affwildnet", width = 4, hidden = 8, fully_connected = {} } })
    assert.are.same({ "valence", "arousal" }, outputs)
    agree(model, again, 32)
    without "outputs"
    expect.failure(function() models.from_weights(path, { model = model.architecture }) end, "does not say outputs")
    again, outputs = models.from_weights(path, { model = model.architecture, outputs = { "valence", "arousal" } })
    assert.are.same({ "valence", "arousal" }, outputs)
    agree(model, again, 32)
    -- one argument of a network alone
    for _, key in ipairs { "model.reset_after", "model.features.strides", "model.cell" } do
      mien.checkpoint.save_weights(path, model)
      without(key)
      expect.failure(function() models.from_weights(path) end, path .. " does not say " .. key)
      agree(model, (models.from_weights(path, mien.checkpoint.meta { key .. "=" .. ({ ["model.reset_after"] = "false",
        ["model.features.strides"] = "slim", ["model.cell"] = "gru" })[key] })), 32)
    end
  end)

  it("of an earlier mien is refused with what to say, as far as shapes tell", function()
    local said = { ["model.features.strides"] = "slim", ["model.reset_after"] = "false" }
    for name, make in pairs(networks) do
      local model, size = make()
      drawn(model)
      mien.checkpoint.save_weights(path, model)
      without "model"
      local text = tostring(expect.failure(function() models.from_weights(path) end, "does not say model"))
      local sets = {}
      for set in text:gmatch "%-%-set (%S+)" do
        local key, value = set:match "^(.-)=(.*)$"
        if value:find "|" then value = assert(said[key], key) end
        if name:find "VGG" and key == "model.reset_after" then value = "true" end
        sets[#sets + 1] = key .. "=" .. value
      end
      local again = models.from_weights(path, mien.checkpoint.meta(sets))
      assert.are.equal(tostring(model), tostring(again))
      agree(model, again, size)
    end
  end)

  it("contradicts nobody without an error", function()
    local model = drawn((networks.affwildnet()))
    expect.failure(function() mien.checkpoint.save_weights(path, model, { outputs = { "arousal", "valence" } }) end,
      "save_weights: meta: outputs is arousal, valence, but valence, arousal was given")
    mien.checkpoint.save_weights(path, model)
    expect.failure(function() models.from_weights(path, { outputs = { "arousal", "valence" } }) end,
      path .. ": outputs is valence, arousal, but arousal, valence was given")
    expect.failure(function() models.from_weights(path, { model = { features = { strides = "torchvision" } } }) end,
      path .. ": model.features.strides is slim, but torchvision was given")
    expect.failure(function() models.from_weights(path, { model = { fully_connected = { 4 } } }) end,
      "model.fully_connected is none, but 4 was given")
  end)

  it("with a network of somebody's own is no guess either", function()
    mien.checkpoint.save_weights(path, mien.nn.sequential { mien.nn.linear { 2, 2 } }, { outputs = { "a", "b" } })
    expect.failure(function() models.from_weights(path) end, "does not say model")
    mien.checkpoint.save_weights(path, mien.nn.sequential { mien.nn.linear { 2, 2 } }, { outputs = { "a", "b" },
      model = { "attnet", heads = 4 } })
    assert.are.same({ "attnet", heads = 4 }, mien.checkpoint.read_meta(path).model)
    expect.failure(function() models.from_weights(path) end, path .. ": models.build: unknown network \"attnet\"")
  end)

  it("has no attribute that docs/weights.md leaves out", function()
    local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
    local page = assert(io.open(here .. "../../docs/weights.md")):read "*a"
    local checks = require "mien.checkpoint.check"
    for name in pairs(require("mien.weights.scaling").KNOWN) do
      assert.is_truthy(page:find("| `" .. name .. "` |", 1, true), "scale " .. name)
    end
    local said = {}
    page = page:match "## mien's own files(.*)"
    for row in page:gmatch "\n(|[^\n]*)" do
      for name in (row:match("^| ([^|]*)|") or ""):gmatch "`([^`]*)`" do said[name:match "[^%.]*$"] = true end
    end
    for _, known in ipairs { checks.KNOWN, checks.ARGUMENTS } do
      for name in pairs(known) do
        assert.is_true(said[name], name .. " does not stand in the table of docs/weights.md")
        said[name] = name == "model" or nil
      end
    end
    assert.are.same({ "features", "model" }, (function(list)
      for name in pairs(said) do list[#list + 1] = name end
      table.sort(list)
      return list
    end) {})
  end)

  it("of a later mien is refused", function()
    mien.checkpoint.save_weights(path, (networks.framewise()))
    local file = require("mien.data.file").create(path)
    file:set("mien_format", "weights")
    file:set("mien_version", 3)
    file:finish()
    expect.failure(function() mien.checkpoint.load_weights(path) end, path .. ": version 3, this mien reads 1 and 2")
  end)
end)

describe("a start from a weights file", function()
  local function slim(strides, outputs)
    return models.recurrent { features = models.resnet { width = 2, blocks = { 1, 1, 1, 1 }, strides = strides }, hidden = 4,
      cell = "gru", reset_after = strides ~= "slim", outputs = outputs or { "a", "b" } }
  end

  it("names what differs where shapes agree", function()
    mien.checkpoint.save_weights(path, slim "slim")
    expect.failure(function() init.from(path):apply(slim "torchvision", stream()) end, "belong to another network",
      "strides: slim in " .. path .. ", torchvision here")
    init.from(path):apply(slim("slim", { "x" }), stream())
    expect.failure(function() init.from({ path, transfer = "all" }):apply(slim "torchvision", stream()) end,
      "features.strides: slim in", "reset_after: false in " .. path .. ", true here")
    expect.failure(function() init.from({ path, transfer = "all" }):apply(slim("slim", { "b", "a" }), stream()) end,
      "outputs: a, b in " .. path .. ", b, a here")
    init.from({ path, transfer = "all" }):apply(slim "slim", stream())
  end)

  it("says how its input was scaled, or the declaration does", function()
    local start = require "mien.experiment.start"
    mien.checkpoint.save_weights(path, slim "slim")
    local config = { data = { scale = false } }
    expect.failure(function() start.scale(config, init.from(path)) end,
      path .. " does not say how its input was scaled (scale_mean, scale_sd): say it in data.scale")
    local declared = { mean = { 0, 0, 0 }, sd = { 1, 1, 1 } }
    assert.are.same({ declared }, { start.scale({ data = { scale = declared } }, init.from(path)) })
    mien.checkpoint.save_weights(path, slim "slim", { scale_mean = 0.5, scale_sd = { 0.2, 0.3, 0.4 } })
    local own = { mean = { 0.5, 0.5, 0.5 }, sd = { 0.2, 0.3, 0.4 } }
    assert.are.same({ own }, { start.scale(config, init.from(path)) })
    local taken, note = start.scale({ data = { scale = declared } }, init.from(path))
    assert.are.same(declared, taken)
    assert.matches("have seen pixels scaled by { mean = { 0.5, 0.5, 0.5 }", note, 1, true)
    assert.are.same({ declared }, { start.scale(config, init.xavier()) })
  end)

  it("asks what its network is where the file does not say it", function()
    local model = drawn(slim "slim")
    mien.checkpoint.save_weights(path, model)
    without "model"
    local said = expect.failure(function() init.from(path):apply(slim "slim", stream()) end, path
      .. " does not say what its network is", "mien.init.from{", 'strides = "slim"')
    -- what it says to say is right
    local code = tostring(said):match "mien.init.from%b{}"
    local start = assert(loadstring("local mien = ... return " .. code))(mien)
    local other = start:apply(slim "slim", stream())
    assert.are.same(model.features.conv1.weight:totable(), other.features.conv1.weight:totable())
    expect.failure(function() start:apply(slim "torchvision", stream()) end, "torchvision here")
  end)
end)

-- ---- prediction as validation --------------------------------------------------------------------------

--- Frames u8 [N,H,W,3] as a row of PNGs, which is a video.
local function video_of(frames)
  local name = folder .. "/v.png"
  local file = assert(io.open(name, "wb"))
  for i = 1, frames:size(1) do
    mien.data.image.write(folder .. "/one.png", frames:narrow(1, i, 1):reshape { frames:size(2), frames:size(3), 3 })
    local one = assert(io.open(folder .. "/one.png", "rb"))
    file:write(one:read "*a")
    one:close()
  end
  file:close()
  return name
end

describe("mien predict", function()
  local scale = { mean = { 0.485, 0.456, 0.406 }, sd = { 0.229, 0.224, 0.225 } }
  local corpus, recording, video

  setup(function()
    corpus = mien.data.open(tiny.corpus(folder .. "/c.h5", "continuous"))
    recording = corpus:partition("devel")[1]
    video = video_of(corpus:pixels(recording.first, recording.count))
  end)
  teardown(function() corpus:close() end)

  --- Compares predict's numbers with validation's, frame by frame: to the bit, where validation sees one window at a time;
  -- libraries sum otherwise over more.
  local function compare(model, sequence, resize, batch, tolerance)
    mien.checkpoint.save_weights(path, model, { image_size = { 16, 16 }, resize = resize, face_size = { 20, 20 },
      scale_mean = scale.mean, scale_sd = scale.sd, sequence = sequence, fps = 0, label_kind = "continuous" })
    local wanted = evaluate.predict { model = model, corpus = corpus, recordings = { recording }, sequence = sequence,
      size = { 16, 16 }, resize = resize, scale = scale, batch = batch }[1]
    local network = predict.network(path, { device = "cpu" })
    local rows = predict.video(video, network, { box = { 0, 0, 20, 20 } })
    assert.equal(recording.count, #rows)
    assert.equal(52, #rows)
    for t, row in ipairs(rows) do
      for k = 1, 2 do
        if tolerance then
          expect.near(wanted[k][t], row.values[k], tolerance)
        else
          assert.equal(wanted[k][t], row.values[k], ("frame %d, output %d"):format(t, k))
        end
      end
    end
  end

  local function recurrent()
    return drawn(models.recurrent { features = models.resnet { width = 4, blocks = { 1, 1, 1, 1 } }, hidden = 8,
      outputs = { "arousal", "valence" } })
  end

  it("gives validation's bits for a corpus's frames, the last window's too", function()
    compare(recurrent(), 8, { 20, 20 }, 1)   -- 52 frames: the last window holds four of the one before
    compare(recurrent(), 8, { 18, 19 }, 1)   -- resized, then cut out of the middle
    compare(recurrent(), 8, { 24, 24 }, 1)
    compare(recurrent(), 8, { 24, 24 }, 4, 1e-6)
    compare(recurrent(), 60, { 16, 16 }, 1)  -- a recording shorter than a window
    compare(recurrent(), 52, { 20, 20 }, 1)
    compare(drawn(models.framewise { features = models.resnet { width = 4, blocks = { 1, 1, 1, 1 } },
      outputs = { "arousal", "valence" } }), 1, { 20, 20 }, 32)
  end)

  it("gives them in turns, too, where the video has twice the frame rate of training", function()
    local rate = mien.data.video(video).fps
    assert.is_true(rate > 0)
    local w = mien.data.writer(folder .. "/turns.h5", { name = "turns", height = 20, width = 20, fps = rate / 2,
      label_kind = "continuous", label_names = { "arousal", "valence" } })
    for turn = 1, 2 do
      local list = {}
      for i = turn, recording.count, 2 do list[#list + 1] = corpus:pixels(recording.first + i - 1, 1) end
      w:recording { name = "turn" .. turn, subject = "s", partition = "devel", frames = mien.cat(list, 1),
        labels = mien.zeros { #list, 2 } }
    end
    w:finish()
    local model, turns = recurrent(), mien.data.open(folder .. "/turns.h5")
    local wanted = evaluate.predict { model = model, corpus = turns, recordings = turns.recordings, sequence = 8,
      size = { 16, 16 }, resize = { 18, 18 }, scale = scale, batch = 1 }
    turns:close()
    mien.checkpoint.save_weights(path, model, { image_size = 16, resize = 18, face_size = 20, scale_mean = scale.mean,
      scale_sd = scale.sd, sequence = 8, fps = rate / 2, label_kind = "continuous" })
    local rows = predict.video(video, predict.network(path, { device = "cpu" }), { box = { 0, 0, 20, 20 } })
    assert.equal(52, #rows)
    for t, row in ipairs(rows) do
      for k = 1, 2 do assert.equal(wanted[(t - 1) % 2 + 1][k][math.floor((t + 1) / 2)], row.values[k]) end
    end
  end)

  it("and nn.quantise see the same crop", function()
    local seen = {}
    local calibrate = require "mien.nn.calibrate"
    calibrate.frames({ corpus = corpus, frames = 4, partition = "devel", size = { 16, 16 }, resize = { 24, 24 },
      scale = scale }, function(frames) seen[#seen + 1] = frames:totable() end)
    local loader = mien.data.loader { corpus = corpus, sequence = 1, batch = 4, size = { 16, 16 }, resize = { 24, 24 },
      scale = scale, starts = { 105 + 6, 105 + 19, 105 + 32, 105 + 45 } }
    local frames = loader:next()
    assert.are.same(frames:totable(), seen[1])
    loader:close()
  end)

  it("says of an experiment's own weights what its runs have stored", function()
    local home, file = require "mien.base.home", require "mien.data.file"
    local old = home.folder
    home.folder = folder
    local db = mien.results.open(folder .. "/results.db")
    local function declare(over)
      return mien.experiment(tiny.declaration(folder .. "/c.h5", { name = over and "other" or "said",
        post = false, weights = "weights/said.h5",
        data = { corpus = folder .. "/c.h5", sequence = 8, batch = 2, size = { 16, 16 }, resize = { 19, 19 },
          augment = { crop = true }, scale = scale },
        model = function(network, c)
          return mien.models.recurrent { hidden = network.hidden, layers = 1, outputs = over or c.label_names,
            features = mien.models.resnet { width = network.width, blocks = { 1, 1, 1, 1 } } }
        end,
        train = { optimiser = { "adam", lr = 1e-3 }, epochs = 1, stop = { patience = 2 } }, evaluate = { batch = 1 } }))
    end
    local ok, problem = pcall(function()
      assert.equal(0, declare():run { db = db, quiet = true, device = "cpu" })
      local stored = file.open(folder .. "/" .. db:value "SELECT folder FROM run" .. "/predictions.h5")
      local raw = stored:read "devel/raw":totable()
      stored:close()
      for _, weights in ipairs { "/weights/said.h5", "/" .. db:value "SELECT folder FROM run" .. "/best.h5" } do
        local rows = predict.video(video, predict.network(folder .. weights, { device = "cpu" }),
          { box = { 0, 0, 20, 20 }, every = 1 })
        assert.equal(#raw, #rows)
        for t, row in ipairs(rows) do assert.same(raw[t], row.values) end
      end
      -- outputs in another order would be trained, and stored, under each other's names
      expect.failure(function() declare { "valence", "arousal" }:run { db = db, quiet = true, device = "cpu" } end,
        "the network's outputs are valence, arousal, the labels are arousal, valence")
    end)
    db:close()
    home.folder = old
    assert(ok, problem)
  end)

  it("asks for what the weights leave out, and takes it on the command line", function()
    local model = recurrent()
    mien.checkpoint.save_weights(path, model)
    expect.failure(function() predict.network(path) end,
      path .. " does not say fps, image_size, label_kind, resize, scale_mean, scale_sd, sequence")
    local MIEN = os.getenv "MIEN" or "build/mien"
    if MIEN:sub(1, 1) ~= "/" then MIEN = require("lfs").currentdir() .. "/" .. MIEN end
    local function run(arguments)
      local pipe = io.popen(("cd '%s' && '%s' predict v.png --weights w.h5 --box 0,0,20,20 --plot none --device cpu %s 2>&1")
        :format(folder, MIEN, arguments))
      local text = pipe:read "*a"
      pipe:close()
      return text
    end
    assert.matches("mien: w.h5 does not say fps, image_size", run "", 1, true)
    local said = run("--set image_size=16 --set resize=20 --set scale_mean=0,0,0 --set scale_sd=1,1,1 --set sequence=8 "
      .. "--set fps=0 --set label_kind=continuous")
    assert.matches("v.csv: 52 rows of arousal, valence", said, 1, true)
    assert.matches("w.h5: outputs is arousal, valence, but valence, arousal was given",
      run "--set outputs=valence,arousal", 1, true)
    assert.matches("--size is --set image_size=N now", run "--size 16", 1, true)
  end)
end)
