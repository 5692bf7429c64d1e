-- Which run a declaration means: what of its code counts, what goes on, what is scored again, what the messages say.
-- Not here: arms and prerequisites (arms_spec.lua), the numbers of an experiment (experiment_spec.lua).
local mien = require "mien"
local check = require "mien.base.check"
local ffi = require "ffi"
local C = require "mien.base.ffi"
local home = require "mien.base.home"
local plan = require "mien.experiment.plan"
local schema = require "mien.experiment.schema"
local tiny = require "tests.lua.tiny"

local function put(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

describe("a run", function()
  local folder, db, said
  local old, old_path = home.folder, package.path
  setup(function()
    folder = tiny.folder()
    home.folder = folder
    package.path = folder .. "/?.lua;" .. package.path
    tiny.corpus(folder .. "/c.h5", "continuous", 6)
  end)
  teardown(function()
    home.folder, package.path = old, old_path
    tiny.drop(folder)
  end)
  before_each(function()
    db, said = mien.results.open(folder .. "/results.db"), {}
  end)
  after_each(function() db:close() end)

  --- Runs a declaration; returns its counts, and the error when there is one.
  local function run(e, options)
    said, options = {}, options or {}
    options.db, options.quiet = db, true
    options.say = function(text) said[#said + 1] = text end
    local ok, root, counts = pcall(plan.run, e, options)
    return ok and counts or nil, not ok and tostring(root) or root
  end

  local function heard(text)
    for _, one in ipairs(said) do
      if one:find(text, 1, true) then return one end
    end
    error("nobody said " .. text .. " but:\n" .. table.concat(said, "\n"))
  end

  local BODY = [[
    local mien, tiny = require "mien", require "tests.lua.tiny"
    local net = require "%s_net"
    local KERNEL = 4
    local function features(width) return tiny.features(width) end
    return mien.experiment(tiny.declaration("c.h5", { name = "%s", train = { epochs = 1 },
      model = function(network, c)
        local _ = KERNEL
        return mien.models.recurrent { features = features(network.width), hidden = net.hidden, layers = 1,
          outputs = c.label_names }
      end }))]]

  --- A declaration in a file of that name, with a module; `changes`: { pattern, replacement } pairs of its text.
  local function declared(name, changes, net)
    local text = BODY:format(name, name)
    for _, change in ipairs(changes or {}) do
      local n
      text, n = text:gsub(change[1], change[2])
      assert.equal(1, n)
    end
    put(("%s/%s.lua"):format(folder, name), text)
    put(("%s/%s_net.lua"):format(folder, name), net or "return { hidden = 8 } -- of the LSTM")
    package.loaded[name .. "_net"] = nil
    return mien.experiment.load(("%s/%s.lua"):format(folder, name))
  end

  it("is taken while nothing changes that its training depends on, and what changed is said", function()
    assert.equal(1, run(declared "same").finished)
    local counts = run(declared("same", { { "local KERNEL", "\n-- how wide\nlocal   KERNEL" } }))
    assert.equal(1, counts.skipped)
    assert.is_nil(heard "finished already":find "changed")
    counts = run(declared("same", { { 'train = {', 'about = "why", train = {' } }))
    assert.equal(1, counts.skipped)
    assert.matches('same.lua: .* is now ".*about = "why"', heard "it does not depend on what has changed")
    assert.equal(2, db:value [[SELECT count(*) FROM run_source s JOIN run r ON r.id = s.run
      JOIN experiment e ON e.id = r.experiment WHERE e.name = 'same' AND s.name IN ('', 'same_net')]])
    assert.equal(BODY:format("same", "same"), db:value [[SELECT t.text FROM run_source s JOIN source t USING (sha256)
      WHERE s.path = 'same.lua']])
  end)

  it("is another when a number, a function or a module behind its model is, and what changed is said", function()
    assert.equal(1, run(declared "other").finished)
    assert.equal(1, run(declared("other", { { "KERNEL = 4", "KERNEL = 5" } })).finished)
    heard "model.KERNEL was 4, is 5"
    local wider = { { "return tiny.features%(width%)", "return tiny.features(width * 1)" } }
    assert.equal(1, run(declared("other", wider)).finished)
    assert.matches('model.features: ".*%(width%).*" is now ".*width %* 1', heard "model.features")
    assert.equal(1, run(declared("other", nil, "return { hidden = 7 }")).finished)
    assert.matches('other_net: ".*hidden = 8.*" is now ".*hidden = 7', heard "other_net")
    assert.equal(1, run(declared("other", nil, "return { hidden = 7 } -- a word")).skipped)
    assert.equal(4, db:value "SELECT count(*) FROM run r JOIN experiment e ON e.id = r.experiment WHERE e.name = 'other'")
  end)

  --- A training that is interrupted after its first epoch.
  local function cut(name)
    local e = declared(name, { { "epochs = 1", "epochs = 3" } })
    local validate = require("mien.train").fit
    require("mien.train").fit = function(options)
      local inner = options.validate
      options.validate = function(epoch)
        if epoch == 2 then C.mien_interrupt_request() end
        return inner(epoch)
      end
      return validate(options)
    end
    local counts, problem = run(e)
    require("mien.train").fit = validate
    C.mien_interrupt_clear()
    assert.is_nil(counts)
    assert.matches("interrupted", problem)
  end

  it("that was interrupted goes on under other code only when that is wanted", function()
    cut "begun"
    local changed = { { "epochs = 1", "epochs = 3" }, { "KERNEL = 4", "KERNEL = 5" } }
    local counts, problem = run(declared("begun", changed))
    assert.is_nil(counts)
    assert.matches("begun under other code: model.KERNEL was 4, is 5", problem, 1, true)
    assert.matches("--again trains it anew .*--go%-on goes on", problem)
    counts, problem = run(declared("begun", changed), { go_on = true })
    assert.truthy(counts, problem)
    assert.equal(1, counts.finished)
    heard "goes on at epoch"
    assert.matches("model.KERNEL was 4, is 5", db:value "SELECT text FROM event WHERE kind = 'code'", 1, true)
    cut "anew"
    counts = run(declared("anew", changed), { again = true })
    assert.equal(1, counts.finished)
    assert.same({ 2, 1 }, { db:value [[SELECT count(*) FROM run r JOIN experiment e ON e.id = r.experiment
      WHERE e.name = 'anew']], db:value [[SELECT min(a.epoch) FROM attempt a JOIN run r ON r.id = a.run
      WHERE r.status = 'finished']] })
  end)

  it("goes on under another mien only when that is wanted", function()
    cut "commit"
    local process = require "mien.results.process"
    local commit = process.commit
    process.commit = function() return "abcdef123456" end
    db:exec "UPDATE run SET code_version = 'fedcba654321' WHERE status = 'interrupted'"
    local counts, problem = run(declared("commit", { { "epochs = 1", "epochs = 3" } }))
    assert.is_nil(counts)
    assert.matches("mien was fedcba654321, is abcdef123456", problem, 1, true)
    counts = run(declared("commit", { { "epochs = 1", "epochs = 3" } }), { go_on = true })
    process.commit = commit
    assert.equal(1, counts.finished)
  end)

  it("is trained anew with --again", function()
    local e = declared "again"
    run(e)
    local first = db:row "SELECT id, best_value FROM run ORDER BY id DESC LIMIT 1"
    assert.equal(1, run(e, { again = true }).finished)
    heard "trained anew, as --again wants"
    assert.same(first, db:row "SELECT id, best_value FROM run ORDER BY id DESC LIMIT 1")
    assert.equal(2, db:value("SELECT count(*) FROM attempt WHERE run = ?", first.id))
  end)

  -- ---- random streams --------------------------------------------------------------------------

  --- A declaration whose network adds noise of the default stream in training.
  local function noisy(name, over)
    local noise = mien.nn.define("noise_" .. name)
    function noise:forward(x)
      local y = self.inner:forward(x)
      if not self.training then return y end
      return y + mien.randn { y:size(1), y:size(2), y:size(3) } * 0.05
    end
    over = over or {}
    over.name = name
    over.model = function(network, c)
      local self = noise.create {}
      self:add("inner", mien.models.recurrent { features = tiny.features(network.width), hidden = network.hidden,
        layers = 1, outputs = c.label_names })
      return self
    end
    return mien.experiment(tiny.declaration(folder .. "/c.h5", over))
  end

  local function metrics(name, seed)
    local list = {}
    for i, row in ipairs(db:rows([[SELECT m.key, m.step, printf('%.17g', m.value) AS value FROM metric m
        JOIN run r ON r.id = m.run JOIN experiment e ON e.id = r.experiment
        WHERE e.name = ? AND r.seed = ? AND m.key NOT LIKE 'time/%' ORDER BY m.key, m.step]], name, seed)) do
      list[i] = ("%s %d %s"):format(row.key, row.step, row.value)
    end
    assert.is_true(#list > 10)
    return table.concat(list, "\n")
  end

  it("draws its noise from its own seed, whatever ran before it in this process", function()
    assert.equal(2, run(noisy("both", { seeds = { 1, 2 } })).finished)
    mien.rng.seed(99)
    local before = mien.randn({ 1 }):item()
    mien.rng.seed(99)
    assert.equal(1, run(noisy("one", { seeds = { 2 } })).finished)
    assert.equal(metrics("both", 2), metrics("one", 2))
    assert.not_equal(metrics("both", 1), metrics("both", 2))
    assert.equal(before, mien.randn({ 1 }):item()) -- and leaves the user's own as it was
  end)

  it("that draws noise is resumed to the same bits", function()
    assert.equal(1, run(noisy("whole", { seeds = { 3 } })).finished)
    local draws, noise = 0, mien.randn
    local function stop(...)
      draws = draws + 1
      if draws == 4 then C.mien_interrupt_request() end
      return noise(...)
    end
    rawset(mien, "randn", stop)
    local counts, problem = run(noisy("parts", { seeds = { 3 } }))
    rawset(mien, "randn", noise)
    C.mien_interrupt_clear()
    assert.is_nil(counts)
    assert.matches("stopped on request", problem)
    mien.rng.seed(5)
    for _ = 1, 3 do mien.randn { 7 } end
    assert.equal(1, run(noisy("parts", { seeds = { 3 } })).finished)
    assert.equal(metrics("whole", 3), metrics("parts", 3))
  end)

  -- ---- more epochs -----------------------------------------------------------------------------

  local function simple(name, epochs, over)
    over = over or {}
    over.name = name
    over.train = { optimiser = { "adam", lr = 1e-2 }, epochs = epochs, stop = { patience = over.patience or 9 } }
    over.patience = nil
    return mien.experiment(tiny.declaration(folder .. "/c.h5", over))
  end

  local function scores(name)
    return mien.results.text.csv(db:rows([[SELECT s.target, s.split, s.stage, printf('%.17g', s.ccc)
      FROM comparison_run c JOIN score s ON s.scoring = c.scoring JOIN current u USING (experiment, profile, variant)
      WHERE c.experiment = ? ORDER BY 1, 2, 3]], name))
  end

  it("goes on to more epochs with the bits of one that never stopped", function()
    assert.equal(1, run(simple("at_once", 5)).finished)
    assert.equal(1, run(simple("in_two", 2)).finished)
    local id = db:value "SELECT max(id) FROM run"
    -- killed between finding the run and going on
    local claim = require("mien.results.run").claim
    require("mien.results.run").claim = function() error "killed" end
    assert.is_nil(run(simple("in_two", 5)))
    require("mien.results.run").claim = claim
    assert.equal(1, run(simple("in_two", 5)).finished)
    heard "goes on at epoch 3"
    assert.equal(1, db:value "SELECT count(*) FROM comparison_run WHERE experiment = 'in_two'")
    assert.equal(id, db:value "SELECT max(id) FROM run") -- it is the same run
    assert.matches("epochs is now 5, it was 2", db:value "SELECT text FROM event WHERE kind = 'continued'", 1, true)
    assert.equal(metrics("at_once", 1), metrics("in_two", 1))
    assert.equal(scores "at_once", scores "in_two")
    local function best(name)
      return mien.checkpoint.digest(home.path(db:value([[SELECT a.path FROM artifact a JOIN run r ON r.id = a.run
        JOIN experiment e ON e.id = r.experiment WHERE e.name = ? AND a.path LIKE '%best.h5']], name)))
    end
    assert.equal(best "at_once", best "in_two")
    assert.equal(1, run(simple("in_two", 5)).skipped)
    assert.equal(1, run(simple("in_two", 7), { again = true }).finished) -- by itself
    assert.equal(2, db:value "SELECT count(*) FROM run r JOIN experiment e ON e.id = r.experiment WHERE e.name = 'in_two'")
  end)

  it("goes on with more patience, and is trained by itself where it would have ended sooner", function()
    local function falling(patience, epochs) -- a loss that does not learn: the first epoch stays the best
      return simple("patient", epochs or 6, { patience = patience, train = nil,
        evaluate = { batch = 4 } })
    end
    assert.equal(1, run(falling(1)).finished)
    local first = db:row "SELECT * FROM run ORDER BY id DESC LIMIT 1"
    assert.equal(1, run(falling(5)).finished)
    local longer = db:row "SELECT * FROM run ORDER BY id DESC LIMIT 1"
    assert.equal(first.id, longer.id)
    assert.is_true(longer.epochs >= first.epochs)
    assert.equal(1, run(falling(1)).finished)
    heard "train.stop.patience was 5, is 1"
    local shorter = db:row "SELECT * FROM run ORDER BY id DESC LIMIT 1"
    assert.not_equal(first.id, shorter.id)
    assert.not_equal(longer.folder, shorter.folder)
    assert.same({ first.epochs, first.best_value }, { shorter.epochs, shorter.best_value })
    assert.equal(1, run(falling(5)).skipped)
  end)

  it("is trained from its first epoch when its last state is gone, and that is said", function()
    run(simple("gone", 1))
    os.remove(home.path(db:value "SELECT folder FROM run ORDER BY id DESC LIMIT 1") .. "/last.h5")
    assert.equal(1, run(simple("gone", 2)).finished)
    heard "it would go on if its last state, last.h5, were there"
    assert.equal(2, db:value "SELECT count(*) FROM run r JOIN experiment e ON e.id = r.experiment WHERE e.name = 'gone'")
  end)

  -- ---- scoring ---------------------------------------------------------------------------------

  it("is scored another way without training, and both ways stay", function()
    assert.equal(1, run(simple("ways", 1)).finished)
    local first, weights = scores "ways", db:value "SELECT max(id) FROM attempt"
    assert.equal(1, run(simple("ways", 1, { post = { "centre" } })).scored)
    heard "scored anew from its predictions"
    assert.equal(weights, db:value "SELECT max(id) FROM attempt")
    local second = scores "ways"
    assert.not_equal(first, second)
    assert.equal(1, run(simple("ways", 1)).scored) -- its files follow
    assert.equal(first, scores "ways")
    assert.equal(1, run(simple("ways", 1)).skipped)
    assert.same({ 2, 1 }, { db:value [[SELECT count(*) FROM scoring s JOIN run r ON r.id = s.run
      JOIN experiment e ON e.id = r.experiment WHERE e.name = 'ways']], db:value [[SELECT count(*) FROM run r
      JOIN experiment e ON e.id = r.experiment WHERE e.name = 'ways']] })
    assert.equal(2, db:value "SELECT count(DISTINCT variant) FROM table5 WHERE experiment = 'ways'")
    assert.equal(1, run(simple("ways", 1), { only = "score" }).scored) -- its weights say the same again
    heard "with predictions made anew"
    assert.equal(first, scores "ways")
    assert.equal(1, run(simple("ways", 1, { evaluate = { bn = "batch" } }), { only = "post" }).scored)
    heard "with predictions made anew (evaluate.* is another)"
    assert.not_equal(first, scores "ways")
    assert.equal(1, run(simple("ways", 2), { only = "post" }).untrained)
    heard "is not trained yet"
  end)

  it("keeps the fitted chain with its weights, at its frame rate", function()
    run(simple("chains", 2))
    local path = home.path(db:value [[SELECT a.path FROM artifact a JOIN run r ON r.id = a.run
      JOIN experiment e ON e.id = r.experiment WHERE e.name = 'chains' AND a.path LIKE '%best.h5']])
    local list = require("mien.train.predict").chains(mien.checkpoint.read_meta(path), path)
    assert.same({ "arousal", "valence" }, { list[1].target, list[2].target })
    assert.equal(25, list[1].chain.fps)
    assert.equal(4, #list[1].chain.steps)
    local text = mien.checkpoint.read_meta(path).post
    run(simple("chains", 2, { post = false }))
    assert.is_nil(mien.checkpoint.read_meta(path).post)
    run(simple("chains", 2))
    assert.equal(text, mien.checkpoint.read_meta(path).post)
  end)

  -- ---- names and files -------------------------------------------------------------------------

  it("is of one file: another of the same name is an error, a moved one is not", function()
    run(declared "named")
    put(folder .. "/copy.lua", BODY:format("named", "named"))
    assert.equal(1, run(mien.experiment.load(folder .. "/copy.lua")).skipped) -- equal contents
    put(folder .. "/second.lua", (BODY:format("named", "named"):gsub("epochs = 1", "epochs = 2")))
    local counts, problem = run(mien.experiment.load(folder .. "/second.lua"))
    assert.is_nil(counts)
    assert.matches('copy.lua and second.lua both declare an experiment "named"', problem, 1, true)
    assert.matches("give one of them another name", problem)
    os.remove(folder .. "/copy.lua")
    assert.equal(1, run(mien.experiment.load(folder .. "/second.lua")).finished)
  end)

  it("has prerequisites of one name in one file only", function()
    local text = [[local tiny = require "tests.lua.tiny"
      return require("mien").experiment(tiny.declaration("c.h5", { name = "%s", train = { epochs = %d },
        prerequisites = { %s } }))]]
    put(folder .. "/pre_a.lua", text:format("pre", 1, ""))
    put(folder .. "/pre_b.lua", text:format("pre", 2, ""))
    put(folder .. "/root.lua", text:format("root", 1, '"pre_a.lua", "pre_b.lua"'))
    local counts, problem = run(mien.experiment.load(folder .. "/root.lua"))
    assert.is_nil(counts)
    assert.matches('pre_a.lua and .*pre_b.lua both declare an experiment "pre": give one of them another name', problem)
  end)

  it("is looked for without running, and what differs is told", function()
    local function status(e)
      local _, list = plan.outline(e, { db = db })
      return list[1].status
    end
    local e = simple("looked", 1)
    assert.equal("new", status(e))
    run(e)
    assert.equal("finished", status(e))
    assert.equal("finished", status(simple("looked", 1, { post = false })))
    assert.equal("finished, goes on: train.epochs was 1, is 4", status(simple("looked", 4)))
    assert.equal("new; there is one (finished) that differs: network.hidden was 8, is 6",
      status(simple("looked", 1, { network = { width = 8, hidden = 6 } })))
    assert.equal(1, db:value "SELECT count(*) FROM run r JOIN experiment e ON e.id = r.experiment WHERE e.name = 'looked'")
  end)

  -- ---- files of an earlier mien ----------------------------------------------------------------

  --- results.db as version 6 had it, with what `fill` puts there.
  local function version_6(path, fill)
    local raw = check.pointer(C.mien_db_open(path, false))
    for version = 1, 6 do
      local pipe = io.popen(("cat core/store/schema/%03d_*.sql"):format(version))
      check.status(C.mien_db_exec(raw, pipe:read "*a"))
      pipe:close()
    end
    check.status(C.mien_db_exec(raw, "PRAGMA user_version = 6;" .. fill))
    C.mien_db_close(ffi.gc(raw, nil))
  end

  it("of an earlier mien is the same run where nothing that was recorded has changed", function()
    local e = simple("earlier", 1)
    run(e)
    local row = db:row [[SELECT r.*, e.id AS number FROM run r JOIN experiment e ON e.id = r.experiment
      WHERE e.name = 'earlier']]
    -- as version 6 wrote it: scoring inside, lines of sources, nothing of the code behind
    local literal = require "mien.base.literal"
    local config, whole = literal.decode(row.config), schema.resolve(e.declaration)
    config.code, config.evaluate, config.post, config.post_options = nil, whole.evaluate, whole.post, whole.post_options
    config.model = config.model:gsub(" return", "\nreturn", 1)
    local text = literal.encode(config):gsub("'", "''")
    local path = folder .. "/six.db"
    version_6(path, ([[INSERT INTO experiment VALUES (1, 'earlier', NULL, NULL, 5);
      INSERT INTO run (id, experiment, variant, arm, arm_order, seed, config_hash, config, status, epochs, best_epoch,
        best_value, corpus, created, folder) VALUES (1, 1, 'v', 'earlier', 1, 1, 'x', '%s', 'finished', 1, 1, 0.5, 'c', 5,
        '%s');
      INSERT INTO score VALUES (1, 'arousal', 'test', 'post', 0.4, 0.4, 0.1, 0.4, 9);
      INSERT INTO post_step VALUES (1, 'arousal', 1, 'median', 1, 3, 0.1, 0.2);]]):format(text, row.folder))
    db:close()
    db = mien.results.open(path)
    assert.equal("ok", db:value "PRAGMA integrity_check")
    assert.equal(0, #db:rows "PRAGMA foreign_key_check")
    assert.equal(0.4, db:value "SELECT arousal FROM table5")
    assert.equal(1, run(e).skipped)
    assert.equal(1, db:value "SELECT count(*) FROM run")
    assert.equal(0.4, db:value "SELECT arousal FROM table5 JOIN current USING (experiment, profile, variant)")
    assert.equal(1, run(simple("earlier", 1, { network = { width = 6, hidden = 8 } })).finished)
    heard "network.width was 8, is 6"
  end)
end)
