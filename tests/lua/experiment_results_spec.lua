-- What a trained experiment leaves in results.db and prints at its end: scores of recordings, confusions, costs, hashes
-- of functions, tables. Not here: the views themselves (results_views_spec.lua), training and resuming (train_spec.lua).
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local expect = require "tests.lua.expect"
local home = require "mien.base.home"

describe("a finished experiment", function()
  local folder, db, old
  setup(function()
    folder, old = tiny.folder(), home.folder
    home.folder = folder
  end)
  teardown(function()
    home.folder = old
    tiny.drop(folder)
  end)
  before_each(function() db = mien.results.open(folder .. "/results.db") end)
  after_each(function() db:close() end)

  local function corpus(kind, recordings)
    local path = ("%s/%s.h5"):format(folder, kind)
    return require("lfs").attributes(path) and path or tiny.corpus(path, kind, recordings)
  end

  --- Runs a declaration over a tiny corpus; what it printed.
  local function run(over, kind, recordings)
    local declaration = tiny.declaration(corpus(kind or "continuous", recordings), over)
    declaration.train.epochs = over.epochs or 1
    declaration.epochs = nil
    local out, real = {}, io.stdout
    local function write(self, ...)
      for i = 1, select("#", ...) do out[#out + 1] = (select(i, ...)) end
      return self
    end
    rawset(io, "stdout", { write = write, flush = function() end })
    local ok, failed = pcall(function() return mien.experiment(declaration):run { db = db } end)
    rawset(io, "stdout", real)
    assert.is_true(ok, tostring(failed))
    assert.equal(0, failed)
    return table.concat(out)
  end

  local classes = { loss = "softmax_cross_entropy", optimiser = { "adam", lr = 1e-2 },
    stop = { watch = "validation/accuracy", patience = 2 } }

  it("has the score of every recording, target and stage", function()
    run { name = "rec", arms = { { "a" }, { "b", start = mien.init.he() } } }
    -- four recordings: two to train on, one of devel, one of test
    assert.equal(2 * 2 * 2 * 2, db:value "SELECT count(*) FROM recordings WHERE experiment = 'rec'")
    assert.same({ recording = "r4", subject = "s4", frames = 52 }, db:row [[SELECT recording, subject, frames FROM recordings
      WHERE experiment = 'rec' AND arm = 'b' AND split = 'test' AND stage = 'post' AND target = 'valence']])
    for _, one in ipairs(db:rows [[SELECT s.*, r.folder FROM recording_score s JOIN run r ON r.id = s.run]]) do
      local h5 = require("mien.data.file").open(folder .. "/" .. one.folder .. "/predictions.h5")
      local said, gold = h5:read(one.split .. "/" .. one.stage), h5:read(one.split .. "/gold")
      local k = one.target == "arousal" and 1 or 2
      expect.near(mien.metric.ccc(said:select(2, k), gold:select(2, k)), one.ccc, 1e-12)
      expect.near(mien.metric.pearson(said:select(2, k), gold:select(2, k)), one.pearson, 1e-12)
      expect.near(mien.metric.rmse(said:select(2, k), gold:select(2, k)), one.rmse, 1e-12)
      h5:close()
    end
    -- one recording a split: its own score is the score
    assert.equal(0, db:value [[SELECT count(*) FROM recording_score o JOIN score s USING (run, split, stage, target)
      WHERE abs(o.ccc - s.ccc) > 1e-12 OR o.frames <> s.frames]])
  end)

  it("tells what it cost", function()
    local cost = db:row "SELECT * FROM cost WHERE experiment = 'rec' AND arm = 'a'"
    assert.equal(db:value [[SELECT count(*) FROM metric m JOIN run r ON r.id = m.run
      WHERE key = 'train/loss' AND r.id = ?]] and 2 * 6 * tiny.sequence, cost.frames)
    assert.is_true(cost.seconds > 0 and cost.frames_per_second > 0)
    assert.equal(mien.backend.threads(), cost.threads)
  end)

  it("keeps functions apart by their sources", function()
    local function one(output, labels) return mien.loss.mse(output, labels) end
    local function two(output, labels) return mien.loss.mse(output, labels) * 2 end
    run { name = "code", arms = { { "one", train = { loss = one } }, { "two", train = { loss = two } } } }
    local rows = db:rows "SELECT arm, value FROM param_diff WHERE experiment = 'code' AND key = 'train.loss' AND within"
    assert.equal(2, #rows)
    assert.matches("^function %x%x%x%x%x%x%x%x$", rows[1].value)
    assert.not_equal(rows[1].value, rows[2].value)
    assert.equal(0, db:value "SELECT count(*) FROM param_diff WHERE experiment = 'code' AND key = 'model'")
    run { name = "code", model = function(network, c)
      return mien.models.recurrent { features = tiny.features(network.width), hidden = 4, layers = 1,
        outputs = c.label_names }
    end }
    assert.equal(2, db:value "SELECT count(DISTINCT value) FROM param_diff WHERE experiment = 'code' AND key = 'model'")
  end)

  it("counts what each class was taken for", function()
    run({ name = "conf", train = classes, evaluate = { bn = "batch" } }, "class", 8)
    for split, n in pairs { devel = 2 * 52, test = 2 * 52 } do
      assert.equal(n, db:value("SELECT sum(frames) FROM confusion WHERE split = ?", split))
    end
    assert.equal(18, db:value "SELECT count(*) FROM confusion")
    local wrong = db:value [[SELECT count(*) FROM class_score s WHERE
      s.true_positives IS NOT (SELECT frames FROM confusion c WHERE c.run = s.run AND c.split = s.split
        AND gold_order = class_order AND said_order = class_order)
      OR s.true_positives + s.false_negatives IS NOT s.positives
      OR s.true_positives + s.false_positives IS NOT (SELECT sum(frames) FROM confusion c WHERE c.run = s.run
        AND c.split = s.split AND said_order = class_order)
      OR s.true_positives + s.false_positives + s.false_negatives + s.true_negatives IS NOT s.frames
      OR abs(s.f1 - 2.0 * s.true_positives / (2 * s.true_positives + s.false_positives + s.false_negatives)) > 1e-12]]
    assert.equal(0, wrong)
    expect.near(db:value [[SELECT m.last FROM metric_summary m JOIN run r ON r.id = m.run JOIN experiment e
      ON e.id = r.experiment WHERE e.name = 'conf' AND m.key = 'validation/accuracy']],
      db:value "SELECT sum(iif(gold = said, frames, 0)) * 1.0 / sum(frames) FROM confusion WHERE split = 'devel'", 1e-12)
  end)

  it("prints a table of its own name, each arm with deviation and number of seeds", function()
    local text = run { name = "mine", arms = { { "one" }, { "two", network = { hidden = 4 } } }, seeds = { 1, 2, 3 } }
    assert.matches("\nmine: CCC after post%-processing, test %(devel%), mean ±sd over seeds, on the procedural", text)
    assert.matches("\none +%-?%.%d+ ±%.%d+ %(%-?%.%d+ ±%.%d+%) +%-?%.%d+ ±%.%d+ %(%-?%.%d+ ±%.%d+%) +3\n", text)
    assert.matches("without and with post%-processing, mean ±sd over seeds", text)
    assert.matches("epochs to %-?%d%.%d%d%d +reached by", text)
    assert.is_nil(text:find "Table 5")
    local example = text:match 'for example:\n%./mien sql "(.-)"\n'
    assert.equal(2, #db:rows(example))
  end)

  it("is called Table 5 where its arms are the paper's, and shows no post-processing that there is not", function()
    local text = run { name = "again", post = false, arms = { { "random" }, { "realeyes", start = mien.init.he() } } }
    assert.matches("\nTable 5: CCC, test %(devel%), one seed, on", text)
    assert.is_nil(text:find "post%-processing")
    assert.matches("\nrandom +%-?%.%d+ %(%-?%.%d+%) +%-?%.%d+ %(%-?%.%d+%) +1\n", text)
  end)

  it("keeps the chains of arms apart whose names and seeds run together", function()
    local text = run { name = "keys", arms = { { "w6" }, { "w64", network = { hidden = 4 } } }, seeds = { 1, 41 } }
    local chains = text:match "Post%-processing fitted on devel.-\n(.-)\n\n"
    for _, arm in ipairs { "w6", "w64" } do
      for _, seed in ipairs { 1, 41 } do
        local _, n = chains:gsub(("\n%s +%d +"):format(arm, seed), "")
        assert.equal(2, n, ("%s, seed %d"):format(arm, seed))
      end
    end
  end)

  it("shows categories by arm", function()
    local text = run({ name = "arms", train = classes, arms = { { "wide" }, { "narrow", network = { width = 2 } } } },
      "class", 8)
    assert.matches("\narms: categories on held%-out frames, one seed", text)
    for _, class in ipairs { "neutral", "happy", "surprise" } do
      for _, arm in ipairs { "wide", "narrow" } do
        assert.matches(("\n%s +devel +%s +%%d+ "):format(class, arm), text)
      end
    end
    text = run({ name = "single", train = classes, seeds = { 1, 2 } }, "class", 8)
    assert.matches("\nclass +split +seeds +positives +F1 ", text)
    assert.matches("\nhappy +devel +2 +%d+ +%d%.%d%d%d ±%d%.%d%d%d", text)
  end)

  it("has the paper's row only where the corpus says that its split is the paper's", function()
    local writer = mien.data.writer(folder .. "/recola.h5", { name = "recola", height = 8, width = 8, fps = 25,
      label_kind = "continuous", label_names = { "arousal", "valence" } })
    for i, partition in ipairs { "train", "train", "devel", "test" } do
      local stream = mien.rng.stream(i, "made")
      local labels, frames = {}, mien.zeros { 20, 8, 8, 3, dtype = "u8" }
      local pixels = frames:data()
      for j = 0, frames:count() - 1 do pixels[j] = stream:below(256) end
      for j = 1, 20 do labels[j] = { math.sin(j + i), math.cos(j) } end
      writer:recording { name = "P" .. i, subject = "s" .. i, partition = partition, frames = frames,
        labels = mien.tensor(labels, { dtype = "f32" }) }
    end
    writer:split "paper46"
    writer:finish()
    local function declaration(name, data)
      return tiny.declaration(folder .. "/recola.h5", { name = name, arms = { { "random" } }, post = false,
        data = { corpus = folder .. "/recola.h5", sequence = 5, batch = 2, size = { 8, 8 }, split = data } })
    end
    for name, shares in pairs { papers = false, own = { 0.5, 0.5 } } do
      local d = declaration(name, shares)
      d.train.epochs = 1
      assert.equal(0, mien.experiment(d):run { db = db, quiet = true })
    end
    assert.equal(0.319, db:value "SELECT paper_test FROM table5_long WHERE experiment = 'papers' AND target = 'arousal'")
    assert.equal("paper46", db:value "SELECT value FROM run_param WHERE experiment = 'papers' AND key = 'corpus.split'")
    assert.is_nil(db:value "SELECT value FROM run_param WHERE experiment = 'own' AND key = 'corpus.split'")
  end)
end)
