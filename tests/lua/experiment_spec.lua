-- Declarations: keys checked before anything runs, --set, hashes; and whole small experiments.
-- Not here: the loop (train_spec.lua), killed processes (tests/e2e/resume_spec.lua).
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local plan = require "mien.experiment.plan"
local schema = require "mien.experiment.schema"
local literal = require "mien.base.literal"

local function fails(pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.matches(pattern, tostring(err))
end

describe("literals", function()
  it("come back as they were, and equal values give equal texts", function()
    local value = { 1, "a\n\"b\"\\", { x = 1e-5, ["a b"] = 0.1, [-3] = true }, -math.huge, 1 / 3 }
    local text = literal.encode(value)
    assert.same(value, literal.decode(text))
    assert.equal(text, literal.encode(literal.decode(text)))
    assert.equal(literal.encode { a = 1, b = 2 }, literal.encode { b = 2, a = 1 })
  end)

  it("run no code", function()
    for _, text in ipairs { "os.exit()", "{1,2", "1 2", "{a=}", "{[nan]=1}", "'x", "nope", "" } do
      fails("is wanted", literal.decode, text)
    end
    fails("function cannot be written", literal.encode, { print })
  end)

  it("are a value or an error for any text", function()
    assert.is_true(assert(loadfile "tests/fuzz/literal.lua")()(3000, 5) > 100)
    local itself = {}
    itself[1] = itself
    fails("deeper than 100", literal.encode, itself)
    fails("at most 100 deep is wanted", literal.decode, ("{"):rep(1e5))
    local deep = ("{"):rep(100) .. ("}"):rep(100)
    assert.equal(deep, (literal.encode(literal.decode(deep)):gsub(" ", "")))
  end)
end)

describe("a declaration", function()
  it("names the nearest key for a misspelt one, wherever it stands", function()
    for path, wrong in pairs {
      ['key "dta"; did you mean "data"'] = { dta = {} },
      ['data: unknown key "sequense"; did you mean "sequence"'] = { data = { sequense = 1 } },
      ['data.augment: unknown key "corp"; did you mean "crop"'] = { data = { augment = { corp = true } } },
      ['profiles.demo.train: unknown key "epoch"; did you mean "epochs"'] =
        { profiles = { demo = { train = { epoch = 1 } } } },
      ['arm a: unknown key "strt"; did you mean "start"'] = { arms = { { "a", strt = 1 } } },
      ['profiles.demo.network: unknown key "wdth"; did you mean "width"'] =
        { network = { width = 1 }, profiles = { demo = { network = { wdth = 2 } } } },
      ["seeds must be a list"] = { seeds = 3 },
      ["data.batch must be a count"] = { data = { batch = 1.5 } },
    } do
      wrong.name = "x"
      fails(path, mien.experiment, wrong)
    end
    fails("name is missing", mien.experiment, {})
  end)

  it("has names that stay below the home folder", function()
    for name, wording in pairs { ["../../outside/x"] = "holds a /", ["a\0b"] = "control character", [""] = "empty",
      ["."] = "no name",
      [".."] = "no name", ["/etc/x"] = "holds a /", ["a/b"] = "holds a /", ["a\nb"] = "control character",
      [("x"):rep(129)] = "longer than 128 bytes" } do
      fails("the experiment's name .*" .. wording, mien.experiment, { name = name })
      fails("the name of entry 1 .*" .. wording, mien.experiment, { name = "x", arms = { { name } } })
      fails("the profile's name .*" .. wording, mien.experiment, { name = "x", profiles = { [name] = {} } })
    end
    fails("entry 2 must begin with its name", mien.experiment, { name = "x", arms = { { "a" }, {} } })
    fails("profiles must be a table .*got { {} }", mien.experiment, { name = "x", profiles = { {} } })
    for _, name in ipairs { "Müller's \"réseau\" 顔", "-rf", "a b", "50%", "..x", "a.b", ("x"):rep(128) } do
      assert.equal(name, mien.experiment { name = name, arms = { { name } }, profiles = { [name] = {} } }.name)
    end
  end)

  it("takes lists of the numbers that the key wants", function()
    for path, wrong in pairs {
      ['seeds must be a list of whole numbers of 0 or more .*got { "a" }'] = { seeds = { "a" } },
      ["seeds must .*got { 1.5 }"] = { seeds = { 1.5 } },
      ["seeds must .*got { %-1 }"] = { seeds = { -1 } },
      ["saturation must be a list of 2 numbers of at least 0 .*got { 2 }"] = { data = { augment = { saturation = { 2 } } } },
      ["split: the shares must be 1 together, got 5"] = { data = { split = { 2, 3 } } },
      ["split must be a list of 2 or 3 numbers above 0 .*got { nan, 0.2 }"] = { data = { split = { 0 / 0, .2 } } },
      ["split: the shares must be 1 together, got 0.9"] = { data = { split = { .6, .3 } } },
      ["mean must be a list of 3 numbers %(per channel%), got { 0 }"] = { data = { scale = { mean = { 0 } } } },
      ["sd must .*got { 1, 0, 1 }"] = { data = { scale = { mean = { 0, 0, 0 }, sd = { 1, 0, 1 } } } },
      ["size must be a list of 2 counts up to 32767 .*got { 3.5, 3.5 }"] = { data = { size = { 3.5, 3.5 } } },
      ["size must .*got { 1, 32768 }"] = { data = { size = { 1, 32768 } } },
      ["profiles.demo.data.resize must .*got { 0, 9 }"] = { profiles = { demo = { data = { resize = { 0, 9 } } } } },
    } do
      wrong.name = "x"
      fails(path, mien.experiment, wrong)
    end
    fails("seeds must .*got { 1.5 }", function() schema.set(schema.resolve { name = "x" }, "seeds", "{1.5}") end)
  end)

  it("has a value for every key, and its profile changes only what it says", function()
    local declaration = { name = "x", network = { width = 64, hidden = 256 },
      train = { optimiser = { "adam", lr = 4e-5 } }, profiles = {
        demo = { network = { width = 16 }, train = { optimiser = { lr = 1e-3 } } },
        other = { train = { optimiser = { "sgd", lr = 0.1 } } } } }
    local config, profile = schema.resolve(declaration, nil)
    assert.equal("demo", profile)
    assert.same({ width = 16, hidden = 256 }, config.network)
    assert.same({ "adam", lr = 1e-3 }, config.train.optimiser)
    assert.equal(20, config.train.stop.patience)
    assert.same({ 150, 150 }, config.data.size)
    assert.same({ "adam", lr = 4e-5 }, schema.resolve(declaration, "default").train.optimiser)
    assert.same({ "sgd", lr = 0.1 }, schema.resolve(declaration, "other").train.optimiser)
    fails('unknown profile "dmo"; did you mean "demo"', schema.resolve, declaration, "dmo")
  end)

  local function set(key, text)
    local config = schema.resolve { name = "x", network = { width = 64 }, data = { augment = { crop = true } } }
    schema.set(config, key, text)
    return config
  end

  it("takes --set only for known keys, with the type that the key has", function()
    assert.equal(1e-4, set("train.optimiser.lr", "1e-4").train.optimiser.lr)
    assert.equal(8, set("network.width", "8").network.width)
    assert.same({ 96, 96 }, set("data.size", "{96, 96}").data.size)
    assert.same({ crop = true, flip = true }, set("data.augment.flip", "true").data.augment)
    assert.is_false(set("data.augment", "false").data.augment)
    assert.equal("a b.h5", set("data", "a b.h5").data.corpus)
    fails('unknown key "epoch"; did you mean "epochs"', set, "train.epoch", "3")
    fails('unknown key "wdth"', set, "network.wdth", "3")
    assert.equal(3e-3, set("train.lr", "3e-3").train.optimiser.lr)
    fails('unknown key "lr"; did you mean train.optimiser.lr', set, "network.lr", "3")
    fails("did you mean data.batch or evaluate.batch", set, "batch", "3")
    fails("must be a count", set, "train.epochs", "1.5")
    fails("must be a list", set, "data.size", "96")
    fails("a number is wanted", set, "network.width", "'wide'")
    fails("only the declaration", set, "model", "x")
    fails("set one of its keys: .*train.epochs", set, "train", "1")
  end)

  it("is hashed by what decides its numbers", function()
    local function model(n)
      return n
    end
    local function commented(n) -- a comment and blanks change nothing
      return   n -- at all
    end
    local function other(n)
      return n, n
    end
    local function text(change)
      local config = schema.resolve { name = "x", network = { width = 64 }, model = model }
      change(config)
      return schema.text(config, { corpus = "c" })
    end
    local base = text(function() end)
    assert.equal(base, text(function(c) c.seeds = { 1, 2 } end))
    assert.equal(base, text(function(c) c.data.workers = 4 end))
    assert.equal(base, text(function(c) c.data.corpus = "elsewhere.h5" end))
    assert.equal(base, text(function(c) c.model = commented end))
    assert.equal(base, text(function(c) c.device = "cpu" end))
    assert.not_equal(base, text(function(c) c.precision = "bf16" end))
    assert.is_nil(base:find "precision") -- runs from before there was such a key are still the same
    assert.not_equal(base, text(function(c) c.train.optimiser.lr = 1e-3 end))
    assert.not_equal(base, text(function(c) c.network.width = 32 end))
    assert.not_equal(base, text(function(c) c.model = other end))
  end)
end)

describe("an experiment", function()
  local folder, db
  setup(function() folder = tiny.folder() end)
  teardown(function() tiny.drop(folder) end)
  before_each(function() db = mien.results.open(folder .. "/results.db") end)
  after_each(function() db:close() end)

  local home = require "mien.base.home"
  local old = home.folder
  setup(function() home.folder = folder end)
  teardown(function() home.folder = old end)

  it("trains, post-processes and stores every arm, and does nothing the second time", function()
    local corpus = tiny.corpus(folder .. "/c.h5", "continuous")
    local e = mien.experiment(tiny.declaration(corpus,
      { arms = { { "xavier" }, { "he", start = mien.init.he() } }, seeds = { 1, 2 } }))
    assert.equal(0, e:run { db = db, quiet = true })
    assert.equal(4, db:value "SELECT count(*) FROM run WHERE status = 'finished' AND procedural = 1")
    assert.equal(4 * 2 * 2 * 2, db:value "SELECT count(*) FROM score")
    assert.equal(4 * 2 * 4, db:value "SELECT count(*) FROM post_step")
    assert.equal(0, db:value "SELECT count(*) FROM post_step WHERE kept = 1 AND ccc_after <= ccc_before")
    assert.is_true(db:value "SELECT count(*) FROM post_trial" > 4 * 2 * 8)
    local rows = db:rows "SELECT * FROM table5"
    assert.same({ "xavier", "he" }, { rows[1].strategy, rows[2].strategy })
    assert.equal(2, rows[1].seeds)
    assert.matches("not RECOLA", rows[1].corpus)
    assert.is_nil(rows[1].paper_arousal)
    assert.equal(1, db:value "SELECT min(times_faster) FROM convergence")
    local artifact = db:row "SELECT * FROM artifact WHERE kind = 'predictions' LIMIT 1"
    assert.equal(artifact.sha256, require("mien.base.sha256").file(folder .. "/" .. artifact.path))
    local before = db:value "SELECT count(*) FROM metric"
    assert.equal(0, e:run { db = db, quiet = true })
    assert.equal(before, db:value "SELECT count(*) FROM metric")
    assert.equal(4, db:value "SELECT count(*) FROM attempt")
  end)

  it("scores the stored predictions as the database says", function()
    local row = db:row [[SELECT r.folder, s.ccc, s.target FROM run r JOIN score s ON s.run = r.id
      WHERE s.split = 'test' AND s.stage = 'post' AND s.target = 'valence' LIMIT 1]]
    local h5 = require("mien.data.file").open(folder .. "/" .. row.folder .. "/predictions.h5")
    local post, gold = h5:read "test/post", h5:read "test/gold"
    assert.near(row.ccc, mien.metric.ccc(post:select(2, 2), gold:select(2, 2)), 1e-12)
    h5:close()
  end)

  it("fails a run whose loss is no number, goes on with the others, and retries only when asked", function()
    local corpus, bad = folder .. "/c.h5", true
    local over = { name = "nan", arms = { { "good" }, { "bad" } } }
    local declaration = tiny.declaration(corpus, over)
    local calls = 0
    declaration.arms[2].train = { loss = function(output, labels)
      calls = calls + 1
      local loss = mien.loss.ccc(output, labels)
      if not bad or calls < 5 then return loss end
      local huge = loss * 1e38 * 1e38
      return huge - huge
    end }
    local e = mien.experiment(declaration)
    assert.equal(1, e:run { db = db, quiet = true })
    local row = db:row "SELECT * FROM run WHERE arm = 'bad'"
    assert.equal("failed", row.status)
    assert.matches("loss is NaN at epoch 1, step 5", row.stop_reason)
    assert.equal("finished", db:value "SELECT status FROM run WHERE arm = 'good'")
    assert.equal(1, e:run { db = db, quiet = true })
    assert.equal(5, calls)
    bad = false
    assert.equal(0, e:run { db = db, quiet = true, retry = true })
    assert.equal("finished", db:value "SELECT status FROM run WHERE arm = 'bad'")
  end)

  it("says what a network, a loss or a model must return", function()
    local corpus = folder .. "/c.h5"
    local function run(name, over)
      return function()
        over.name = name
        mien.experiment(tiny.declaration(corpus, over)):run { db = db, quiet = true }
      end
    end
    local square = { loss = function(output) return (output * output):sum() end, epochs = 1 }
    local once = mien.nn.define "once" -- answers once for a window
    function once:forward(x)
      local y = self.inner(x)
      return y:narrow(2, 1, 1)
    end
    local whole = tiny.declaration(corpus).model
    local function short(network, c)
      local self = once.create {}
      self:add("inner", whole(network, c))
      return self
    end
    fails("output is %[%d,1,2%] for frames %[%d,%d+,3,%d+,%d+%]; wanted is %[%d,%d+,2%]: a row of 2 %(arousal, valence%)",
      run("short", { model = short, train = square }))
    fails("what the loss returns must be a tensor, got nil",
      run("lossless", { train = { loss = function() end, epochs = 1 } }))
    fails("`model` must return a network .* it returns nil", run("nothing", { model = function() end }))
    local mute = mien.nn.define "mute"
    function mute.forward() end
    local function silent(network, c)
      local self = mute.create {}
      self:add("inner", whole(network, c))
      return self
    end
    fails("what the network returns must be a tensor, got nil", run("mute", { model = silent, train = square }))
  end)

  it("tells categories apart and keeps the table of re-sampled frames", function()
    local corpus = tiny.corpus(folder .. "/m.h5", "multilabel", 8)
    local e = mien.experiment(tiny.declaration(corpus, {
      name = "emotions", post = false,
      data = { corpus = corpus, sequence = 8, batch = 2, size = { 16, 16 }, resize = { 20, 20 },
        augment = { crop = true }, split = { 0.75, 0.25 }, class_weights = "balanced",
        resample = { minority = { "surprise" }, max_neutral = 1, quota = "balanced" } },
      train = { loss = "sigmoid_cross_entropy", optimiser = { "adam", lr = 1e-2 }, epochs = 2,
        stop = { watch = "validation/average_precision", patience = 2 } },
    }))
    assert.equal(0, e:run { db = db, quiet = true })
    local rows = db:rows "SELECT * FROM class_score WHERE split = 'devel' ORDER BY class_order"
    assert.same({ "neutral", "happy", "surprise" }, { rows[1].class, rows[2].class, rows[3].class })
    table.sort(rows, function(a, b) return a.positives > b.positives end)
    local most = rows[1].positives / rows[1].frames
    assert.near(2 * most / (1 + most), rows[1].baseline_f1, 1e-12)
    assert.same({ 0, 0 }, { rows[2].baseline_f1, rows[3].baseline_f1 })
    assert.equal(most, rows[1].baseline_precision)
    local sampled = db:row "SELECT * FROM table4 WHERE emotion = 'surprise'"
    assert.is_true(sampled.training_frames > sampled.training_before)
    assert.is_true(sampled.validation_frames > 0)
    local row = db:row "SELECT * FROM sampling WHERE run = (SELECT max(run) FROM class_count)"
    assert.equal(5 * 6 + row.drawn, row.windows) -- five of six to train on, the corpus's own two to test on
    assert.same({ 5, 5 * 45, 1, "balanced", 0, 5 * 4 },
      { row.recordings, row.candidates, row.stride, row.quota, row.short_recordings, row.tail_frames })
    assert.is_true(row.eligible > 0 and row.drawn > 0)
    assert.matches("re%-sampling: %d+ of 225 windows, at any frame, are eligible",
      db:value "SELECT text FROM event WHERE kind = 'sampling' ORDER BY id DESC LIMIT 1")
  end)

  it("says how many recordings are too short for a window, and refuses to call re-sampled what is not", function()
    local corpus = tiny.corpus(folder .. "/short.h5", "multilabel", 8, { 52, 7, 52, 52, 3, 52 })
    local function declare(name, resample, sequence, loss)
      return mien.experiment(tiny.declaration(corpus, { name = name, post = false,
        data = { corpus = corpus, sequence = sequence, batch = 1, size = { 20, 20 }, resample = resample },
        train = { loss = loss or "sigmoid_cross_entropy", optimiser = { "adam", lr = 1e-2 }, epochs = 1,
          stop = { watch = "validation/average_precision", patience = 2 } } }))
    end
    local function row_of(name)
      return db:row([[SELECT s.*, (SELECT text FROM event WHERE run = r.id AND kind = 'sampling') AS text FROM sampling s
        JOIN run r ON r.id = s.run JOIN experiment e ON e.id = r.experiment WHERE e.name = ?]], name)
    end
    assert.equal(0, declare("shorter", false, 8):run { db = db, quiet = true })
    local row = row_of "shorter"
    assert.same({ 4, 2, 10, 1, 2 * 4, 14 }, { row.recordings, row.short_recordings, row.short_frames, row.padded,
      row.tail_frames, row.windows })
    assert.matches("2 of 4 training recordings are shorter than a window of 8 frames %(10 frames%) and are filled up",
      row.text)
    local frames = db:value [[SELECT sum(frames) FROM class_count c JOIN run r ON r.id = c.run JOIN experiment e
      ON e.id = r.experiment WHERE e.name = 'shorter' AND c.split = 'train' AND class IN ('neutral', 'happy')]]
    assert.is_true(frames <= 12 * 8 + 10)
    -- a loss of one's own knows no filling
    assert.equal(0, declare("left", false, 8, function(output, labels)
      return mien.loss.sigmoid_cross_entropy(output, labels)
    end):run { db = db, quiet = true })
    row = row_of "left"
    assert.same({ 2, 0, 12 }, { row.short_recordings, row.padded, row.windows })
    assert.matches("and are left out: train.loss is a function", row.text)
    local e = declare("vain", { minority = { "happy" }, max_neutral = 0 }, 50)
    fails("none of the 8 windows of 50 frames .* may be drawn again: each that holds a rare emotion has 0", e.run, e,
      { db = db, quiet = true })
    assert.equal(0, db:value [[SELECT count(*) FROM class_count c JOIN run r ON r.id = c.run JOIN experiment e
      ON e.id = r.experiment WHERE e.name = 'vain']])
  end)

  it("runs a prerequisite when its weights are missing or stale, and hands --set on to it", function()
    local corpus = folder .. "/c.h5"
    local function write(name, text)
      local file = assert(io.open(folder .. "/" .. name, "w"))
      file:write((text:gsub("CORPUS", corpus)))
      file:close()
    end
    write("first.lua", [[local tiny, mien = require "tests.lua.tiny", require "mien"
      return mien.experiment(tiny.declaration("CORPUS", { name = "first", weights = "weights/$profile/first.h5",
        post = false, train = { epochs = 1 } }))]])
    write("second.lua", [[local tiny, mien = require "tests.lua.tiny", require "mien"
      return mien.experiment(tiny.declaration("CORPUS", { name = "second", prerequisites = { "first.lua" },
        start = mien.init.from "weights/$profile/first.h5", train = { epochs = 1 } }))]])
    local e = mien.experiment.load(folder .. "/second.lua")
    local function runs(name)
      return db:value("SELECT count(*) FROM run r JOIN experiment e ON e.id = r.experiment WHERE e.name = ?", name)
    end
    local function attempts()
      return db:value "SELECT count(*) FROM attempt"
    end
    fails('did you mean "epochs"', e.run, e, { db = db, quiet = true, sets = { { "first.train.epoch", "2" } } })
    assert.equal(0, runs "second")
    e:run { db = db, quiet = true }
    assert.same({ 1, 1 }, { runs "first", runs "second" })
    local meta = mien.checkpoint.read_meta(folder .. "/weights/default/first.h5")
    assert.equal("first", meta.experiment)
    e:run { db = db, quiet = true, sets = { { "first.train.optimiser.lr", "0.001" } } }
    assert.same({ 2, 2 }, { runs "first", runs "second" }) -- another start is another run
    local done = attempts()
    os.remove(folder .. "/weights/default/first.h5")
    e:run { db = db, quiet = true } -- back to the first: its weights are written again, nothing is trained
    assert.equal(done, attempts())
    assert.equal(meta.config_hash, mien.checkpoint.read_meta(folder .. "/weights/default/first.h5").config_hash)
  end)

  it("gives weights from another corpus another name, and starts from those", function()
    local e = mien.experiment.load(folder .. "/second.lua")
    local other = tiny.corpus(folder .. "/other.h5", "class", 5)
    local own = folder .. "/weights/default/first.h5"
    local before = mien.checkpoint.read_meta(own)
    local sets = { { "first.data", other }, { "first.train.loss", "softmax_cross_entropy" },
      { "first.train.stop.watch", "validation/accuracy" } }
    e:run { db = db, quiet = true, sets = sets }
    assert.same(before, mien.checkpoint.read_meta(own))
    local meta = mien.checkpoint.read_meta(folder .. "/weights/default/first-other.h5")
    assert.same({ "neutral", "happy", "surprise" }, meta.outputs)
    assert.same({ "class", 8, 25 }, { meta.label_kind, meta.sequence, meta.fps })
    assert.matches("first%-other", db:value [[SELECT value FROM param p JOIN run r ON r.id = p.run
      WHERE p.key = 'start' ORDER BY r.id DESC LIMIT 1]])
    local done = db:value "SELECT count(*) FROM attempt"
    e:run { db = db, quiet = true, sets = sets }
    e:run { db = db, quiet = true }
    assert.equal(done, db:value "SELECT count(*) FROM attempt")
  end)

  it("changes what it says of single pictures when the corpus holds such, but not what --set says", function()
    local writer = mien.data.writer(folder .. "/stills.h5", { name = "stills", height = 8, width = 8, fps = 0,
      label_kind = "class", label_names = { "a", "b" } })
    writer:recording { name = "r", subject = "s", partition = "train", frames = mien.zeros { 4, 8, 8, 3, dtype = "u8" },
      labels = mien.ones { 4, dtype = "i32" } }
    writer:finish()
    local pictures = { data = { sequence = 1, batch = 64 } }
    local function data_of(corpus, sets)
      local e = mien.experiment(tiny.declaration(corpus, { pictures = pictures }))
      return plan.tree(e, { sets = sets }).root.config.data
    end
    assert.equal(8, data_of(folder .. "/c.h5").sequence)
    local data = data_of(folder .. "/stills.h5", { { "data.batch", "16" } })
    assert.same({ 1, 16 }, { data.sequence, data.batch })
    fails('pictures.data: unknown key "sequense"', mien.experiment, { name = "x", pictures = { data = { sequense = 1 } } })
  end)

  it("takes a corpus whose faces were cut anew for another one, though its labels are the old", function()
    local identity = require("mien.experiment.input").identity
    local function of(pixel)
      local path = folder .. "/cut.h5"
      local w = mien.data.writer(path, { name = "cut", height = 2, width = 2, fps = 25, label_kind = "continuous",
        label_names = { "arousal" } })
      for i = 1, 3 do
        w:recording { name = "r" .. i, subject = "s" .. i, partition = "train", labels = mien.zeros { 5, 1 },
          frames = mien.full({ 5, 2, 2, 3 }, i == 2 and pixel or 0, { dtype = "u8" }) }
      end
      w:finish()
      local c = mien.data.open(path)
      local id = identity(c)
      c:close()
      return id
    end
    assert.equal(of(7), of(7))
    assert.not_equal(of(7), of(8))
  end)

  it("says which file is wanted and what makes it when a corpus is missing", function()
    local e = mien.experiment(tiny.declaration("absent.h5", { name = "none",
      data = { corpus = "absent.h5", script = "datasets/recola.lua" } }))
    fails("no corpus .*absent.h5.*HDF5 corpus.*datasets/recola.lua.*none.data=FILE", e.run, e,
      { db = db, quiet = true })
  end)

  it("takes device and precision for all that it needs, and other ones for one of them", function()
    local e = mien.experiment.load(folder .. "/second.lua")
    local tree = plan.tree(e, { device = "cpu", precision = "bf16", sets = { { "first.precision", "f32" } } })
    local function found(node) return node.config.device .. " " .. node.config.precision end
    assert.same({ "cpu bf16", "cpu f32" }, { found(tree.root), found(tree.nodes[1]) })
    fails('precision: unknown value "bf61"; did you mean "bf16"', plan.tree, e, { precision = "bf61" })
    fails('arm a.precision: unknown value "half"', mien.experiment, { name = "x", arms = { { "a", precision = "half" } } })
    fails("device must be one of auto, cpu, cuda", mien.experiment, { name = "x", device = 1 })
  end)

  it("shows its keys without running", function()
    local e = mien.experiment(tiny.declaration("absent.h5"))
    local tree = plan.tree(e, { sets = { { "train.epochs", "7" } } })
    assert.equal(7, tree.root.config.train.epochs)
  end)
end)
