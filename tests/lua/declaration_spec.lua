-- Declarations that are not understood are refused before anything is opened, and what is said helps.
-- Not here: the cases made from the list of keys (declaration_cases.lua), what is run (arms_spec.lua).
local mien = require "mien"
local check = require "mien.base.check"
local schema = require "mien.experiment.schema"
local tiny = require "tests.lua.tiny"

local function refusal(fn, ...)
  local ok, err = pcall(fn, ...)
  return not ok and err or nil
end

local function refused(pattern, declaration)
  declaration.name = declaration.name or "x"
  local err = refusal(mien.experiment, declaration)
  assert.is_not_nil(err, "accepted, though wanted: " .. pattern)
  assert.is_true(check.is_error(err), tostring(err))
  assert.matches(pattern, err.message)
end

describe("a declaration", function()
  local folder, old_open, old_create, opened
  local home, data, file = require "mien.base.home", mien.data, require "mien.data.file"
  local old_home = home.folder

  setup(function()
    folder = tiny.folder()
    home.folder = folder
    old_open, old_create = data.open, file.create
    local function never(path)
      opened = path
      error "a file was opened"
    end
    rawset(data, "open", never)
    file.create = never
  end)

  teardown(function()
    rawset(data, "open", old_open)
    file.create = old_create
    home.folder = old_home
    tiny.drop(folder)
  end)

  after_each(function()
    assert.is_nil(opened)
    for name in require("lfs").dir(folder) do assert.matches("^%.%.?$", name) end
  end)

  it("is refused for each misspelt key, each misspelt word and each value of the wrong kind, wherever it stands", function()
    local cases = require "tests.lua.declaration_cases"()
    assert.is_true(#cases >= 500)
    local wrong = {}
    for _, case in ipairs(cases) do
      local declaration, title, word = unpack(case)
      local err = refusal(mien.experiment, declaration)
      if not err then
        wrong[#wrong + 1] = title .. ": accepted"
      elseif not (check.is_error(err) and err.code == "argument" and err.message:find(word, 1, true)) then
        wrong[#wrong + 1] = title .. ": " .. tostring(err)
      end
    end
    assert.same({}, wrong)
  end)

  it("says what is wrong with a list", function()
    refused('^post: entry 2: unknown value "medain"; did you mean "median"%? known: median, centre, scale, shift$',
      { post = { "shift", "medain" } })
    refused("^data.size must be a list of 2 counts .*, got { 150 }$", { data = { size = { 150 } } })
    refused("data.resize must be a list of 2 counts up to 32767 or false", { data = { resize = true } })
    refused("data.split must be a list of 2 or 3 numbers above 0 .* got { 8, %-2 }", { data = { split = { 8, -2 } } })
    refused("data.split must", { data = { split = { 0 / 0, 0.2 } } })
    refused("data.split must", { data = { split = { 1 } } })
    refused("data.split: the shares must be 1 together, got 2", { data = { split = { 0.5, 1.5 } } })
    refused('seeds must be a list .* got { "one" }', { seeds = { "one" } })
    refused("seeds must be a list", { seeds = { 1, -1 } })
    refused("seeds must be a list", { seeds = {} })
    refused("seeds: 3 stands there twice", { seeds = { 3, 1, 3 } })
    refused("saturation must be a list of 2 numbers", { data = { augment = { saturation = { 2 } } } })
    refused("saturation: the smallest factor comes first", { data = { augment = { saturation = { 1.5, 0.5 } } } })
    refused("data.scale.sd must be a list of 3 numbers of at least 1e%-06", { data = { scale = { sd = { 0, 1, 1 } } } })
    refused("brightness must be a number between 0 and 255", { data = { augment = { brightness = 300 } } })
    refused("max_neutral must be a number between 0 and 1", { data = { resample = { max_neutral = 1.5 } } })
    refused("quota.happy must be a number above 0", { data = { resample = { quota = { happy = "much" } } } })
  end)

  it("asks those who own an option what it may be", function()
    refused('train.optimiser: unknown key "betas"; did you mean "beta', { train = { optimiser = { "adam", betas = 1 } } })
    refused('train.optimiser: unknown key "momentum"', { train = { optimiser = { "adam", momentum = 0.9 } } })
    refused("train.optimiser: lr must be a number", { train = { optimiser = { "adam", lr = "1e-3" } } })
    refused("train.optimiser: lr must be at least 0", { train = { optimiser = { "adam", lr = -1 } } })
    refused("train.optimiser: beta1 must lie in %[0,1%)", { train = { optimiser = { "adam", beta1 = 1 } } })
    refused('train.optimiser: unknown value "adamm"; did you mean "adam"', { train = { optimiser = { "adamm" } } })
    refused('profiles.demo: train.optimiser: unknown key "lrr"; did you mean "lr"',
      { profiles = { demo = { train = { optimiser = { lrr = 1 } } } } })
    refused('arm a: train.optimiser: unknown key "beta1"', { train = { optimiser = { "adam", lr = 1 } },
      arms = { { "a", train = { optimiser = { "sgd", lr = 1, beta1 = 0.9 } } } } })
    refused('data.generate: kind: unknown value "recla"; did you mean "recola"', { data = { generate = { kind = "recla" } } })
    refused('data.generate: unknown key "frams"; did you mean "frames"',
      { data = { generate = { kind = "recola", frams = 3 } } })
    refused('train.stop.watch: unknown value "validation/cc"; did you mean "validation/ccc"',
      { train = { stop = { watch = "validation/cc" } } })
    refused("post with method joint: steps must be in the order", { post = { "shift", "median" },
      post_options = { method = "joint" } })
    -- a profile or an arm may give what is missing
    mien.experiment { name = "x", train = { optimiser = { "sgd" } },
      profiles = { a = { train = { optimiser = { lr = 1 } } } } }
    mien.experiment { name = "x", train = { stop = { watch = "validation/ccc_arousal" } } }
  end)

  it("refuses keys that would be ignored", function()
    refused("train.loss_scope is of the loss ccc, train.loss is .*mse",
      { train = { loss = "mse", loss_scope = "sequence" } })
    refused("class_weights weigh sigmoid", { data = { class_weights = "raw" } })
    refused("arm b: data.class_weights weigh", { train = { loss = "softmax_cross_entropy" }, data = { class_weights = "raw" },
      arms = { { "a" }, { "b", train = { loss = function() end } } } })
    refused("data.resize is { 90, 100 }: nothing of data.size, { 96, 96 }",
      { data = { size = { 96, 96 }, resize = { 90, 100 } } })
    refused("arm a: seeds belongs to the whole experiment.*%-%-arms NAME", { arms = { { "a", seeds = { 1 } } } })
    refused("arm a: weights belongs to the whole experiment", { arms = { { "a", weights = "w.h5" } } })
    for _, key in ipairs { "name", "about", "arms", "profiles", "pictures", "prerequisites" } do
      refused("arm a: " .. key .. " belongs to the whole", { arms = { { "a", [key] = key == "name" and "b" or {} } } })
    end
    refused("profiles.demo: name belongs to the declaration", { profiles = { demo = { name = "y" } } })
    refused("pictures: seeds belongs to the declaration", { pictures = { seeds = { 1 } } })
    refused("profiles.demo.pictures: arms belongs", { profiles = { demo = { pictures = { arms = {} } } } })
  end)

  it("refuses arms that no table could tell apart, or that have no name", function()
    refused('two of them are called "a"', { arms = { { "a" }, { "b" }, { "a", network = {} } } })
    refused('profiles.demo: arms: two of them are called "a"', { profiles = { demo = { arms = { { "a" }, { "a" } } } } })
    refused("entry 2 must begin with its name", { arms = { { "a" }, { network = {} } } })
    refused('entry 1 must begin with its name, .* got the text "a"', { arms = { "a", "b" } })
    refused("arms is empty", { arms = {} })
    refused('profiles.demo: arm a: unknown key "trian"; did you mean "train"',
      { profiles = { demo = { arms = { { "a", trian = {} } } } } })
    refused('arm a.network: unknown key "wdth"; did you mean "width"', { network = { width = 1 },
      profiles = { demo = { arms = { { "a", network = { wdth = 2 } } } } } })
  end)

  it("offers a word only when it is near, else lists what there is", function()
    local function message(fn)
      return tostring(refusal(fn))
    end
    refused('^the declaration: unknown key "metrics"; known: about, arms, data, ', { metrics = {} })
    assert.matches('unknown method or field "std"; known: abs, add', message(function() return mien.zeros { 2 }:std() end))
    assert.matches('nn.linear: unknown key "wide"; known: bias$', message(function() mien.nn.linear { 3, 8, wide = 1 } end))
    assert.is_nil(check.nearest("clamp", { "clone" }))
    assert.is_nil(check.nearest("argmax", { "max" }))
    assert.is_nil(check.nearest("a", { "b" }))
    assert.equal("bf16", check.nearest("bf61", { "fp16", "bf16" }))
    assert.equal("epochs", check.nearest("epohcs", { "epochs", "patience" }))
    assert.equal("optimiser", check.nearest("opt", { "loss", "optimiser" }))
  end)

  it("shows the text that --set does not understand", function()
    local function message(key, text)
      local config = schema.resolve { name = "x", network = { width = 64 }, train = { optimiser = { "sgd", lr = 1 } } }
      local err = refusal(schema.set, config, key, text)
      return err and err.message or config
    end
    assert.matches('%-%-set train.epochs must be a count .* got the text "three"', message("train.epochs", "three"))
    assert.matches("is wanted at: 1.2.3$", message("train.clip", "1.2.3"))
    assert.matches("is wanted at the end of: {1,$", message("seeds", "{1,"))
    assert.matches("data.size must be a list of 2 counts", message("data.size", "{150}"))
    assert.matches('post: entry 1: unknown value "medain"; did you mean "median"', message("post", "{'medain'}"))
    assert.matches('unknown value "blanced"; did you mean "balanced"', message("data.class_weights", "blanced"))
    assert.matches("only the declaration can give arms", message("arms", "{}"))
    assert.matches("network.width: a number is wanted, got the text", message("network.width", "wide"))
    assert.matches('unknown key "momentm"; did you mean "momentum"', message("train.optimiser.momentm", "0.9"))
    assert.equal(0.9, message("train.optimiser.momentum", "0.9").train.optimiser.momentum)
    assert.is_false(message("post", "false").post)
  end)
end)

describe("a declaration's file", function()
  local folder
  setup(function() folder = tiny.folder() end)
  teardown(function() tiny.drop(folder) end)

  local function loaded(text)
    local path = folder .. "/e.lua"
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
    local ok, err = pcall(mien.experiment.load, path)
    return not ok and tostring(err):gsub("^" .. folder:gsub("%p", "%%%0") .. "/", "") or nil
  end

  it("is named with the line where the key stands, even behind a tail call", function()
    local head = 'local mien = require "mien"\n-- sequnce\nreturn mien.experiment {\n  name = "x",\n'
    assert.matches('^e.lua:6: data: unknown key "sequnce"', loaded(head .. '  data = {\n    sequnce = 3 } }'))
    assert.matches("^e.lua:5: post: entry 1", loaded(head .. '  post = { "medain" } }'))
    assert.matches("^e.lua: arm b.data.size must", -- three lines have such a key
      loaded(head .. 'data = { size = {1, 1} },\narms = { { "a", data = { size = {2, 2} } },\n'
        .. '{ "b", data = { size = {3} } } } }'))
  end)
end)
