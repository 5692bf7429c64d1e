-- Which runs there are, what each of them gets, and what is left out: arms, starts, prerequisites, profiles.
-- Not here: checking a declaration (declaration_spec.lua), training (experiment_spec.lua).
local mien = require "mien"
local home = require "mien.base.home"
local plan = require "mien.experiment.plan"
local schema = require "mien.experiment.schema"
local tiny = require "tests.lua.tiny"

describe("arms", function()
  local folder, db, said
  local old = home.folder
  setup(function()
    folder = tiny.folder()
    home.folder = folder
    tiny.corpus(folder .. "/c.h5", "continuous")
  end)
  teardown(function()
    home.folder = old
    tiny.drop(folder)
  end)
  before_each(function()
    db, said = mien.results.open(folder .. "/results.db"), {}
  end)
  after_each(function() db:close() end)

  local function declare(name, over)
    over.name, over.train = name, over.train or { epochs = 1 }
    return mien.experiment(tiny.declaration(folder .. "/c.h5", over))
  end

  --- Runs it; returns the root node and the counts; what is said is in `said`.
  local function run(e, options)
    options = options or {}
    options.db, options.quiet = db, true
    options.say = function(text) said[#said + 1] = text end
    local ok, root, counts = pcall(plan.run, e, options)
    if not ok then error(tostring(root), 0) end
    return root, counts
  end

  local function fails(pattern, ...)
    local ok, err = pcall(run, ...)
    assert.is_false(ok)
    assert.matches(pattern, tostring(err))
  end

  local function heard(pattern)
    for _, text in ipairs(said) do
      if text:find(pattern) then return text end
    end
    return nil
  end

  local function runs_of(name)
    return db:rows([[SELECT r.* FROM run r JOIN experiment e ON e.id = r.experiment WHERE e.name = ?
      ORDER BY r.arm_order, r.seed]], name)
  end

  local function attempts()
    return db:value "SELECT count(*) FROM attempt"
  end

  local function write(name, text)
    local file = assert(io.open(folder .. "/" .. name, "w"))
    file:write('local tiny, mien = require "tests.lua.tiny", require "mien"\n',
      "return mien.experiment(tiny.declaration(CORPUS or '", folder, "/c.h5', ", text, "))")
    file:close()
    return name
  end

  -- ---- what an arm may have of its own -----------------------------------------------------------

  it("run on corpora of their own", function()
    local other = tiny.corpus(folder .. "/other.h5", "continuous", 8)
    local e = declare("own_corpus", { arms = { { "first" }, { "second", data = { corpus = other } } } })
    local root = run(e)
    assert.same({ folder .. "/c.h5", other }, { root.arms[1].corpus.path, root.arms[2].corpus.path })
    local rows = db:rows [[SELECT p.value FROM param p JOIN run r ON r.id = p.run JOIN experiment e ON e.id = r.experiment
      WHERE e.name = 'own_corpus' AND p.key = 'corpus.path' ORDER BY r.arm_order]]
    assert.same({ { value = "c.h5" }, { value = "other.h5" } }, { rows[1], rows[2] })
    local frames = db:rows [[SELECT DISTINCT r.arm, s.frames FROM score s JOIN run r ON r.id = s.run
      JOIN experiment e ON e.id = r.experiment WHERE e.name = 'own_corpus' AND s.split = 'devel' ORDER BY r.arm_order]]
    assert.same({ 52, 104 }, { frames[1].frames, frames[2].frames })
    -- the run on the first corpus is that of an experiment without the other arm
    local hash = runs_of("own_corpus")[1].config_hash
    local before = attempts()
    run(declare("own_corpus", { arms = { { "first" } } }))
    assert.equal(before, attempts())
    assert.equal(hash, runs_of("own_corpus")[1].config_hash)
  end)

  it("have splits of their own", function()
    tiny.corpus(folder .. "/eight.h5", "continuous", 8)
    local root = run(declare("own_split", { data = { corpus = folder .. "/eight.h5", sequence = 8, batch = 2,
      size = { 20, 20 } }, arms = { { "whole" }, { "halves", data = { split = { 0.5, 0.5 } } } } }))
    assert.same({ 4, 2, 2 }, { #root.arms[1].parts.train, #root.arms[1].parts.devel, #root.arms[1].parts.test })
    assert.same({ 3, 3, 2 }, { #root.arms[2].parts.train, #root.arms[2].parts.devel, #root.arms[2].parts.test })
  end)

  it("keep their own corpus when the others' recipe is another", function()
    local own = tiny.corpus(folder .. "/mine.h5", "continuous") -- procedural, too
    local before = require("mien.base.sha256").file(own)
    local e = declare("recipe", { data = { corpus = "made.h5", generate = { kind = "recola", profile = "tiny", size = 20 },
      sequence = 8, batch = 2, size = { 20, 20 } }, arms = { { "made" }, { "mine", data = { corpus = own } } } })
    run(e)
    assert.equal(before, require("mien.base.sha256").file(own))
    fails("data.generate differs from that of another arm", declare("recipe", { data = { corpus = "made.h5",
      generate = { kind = "recola", profile = "tiny", size = 20 }, sequence = 8, batch = 2, size = { 20, 20 } },
      arms = { { "made" }, { "again", data = { corpus = "made.h5", generate = { kind = "recola", profile = "tiny",
        size = 24 } } } } }))
  end)

  it("are refused where their labels cannot be compared", function()
    tiny.corpus(folder .. "/classes.h5", "class", 5)
    local before = attempts()
    fails("arm b has class labels, arm a has continuous ones", declare("kinds", { post = false, arms = { { "a" },
      { "b", data = { corpus = "classes.h5" }, train = { loss = "softmax_cross_entropy" } } } }))
    fails('train.stop.watch, with the labels of classes.h5: unknown value "validation/ccc"', declare("watch", {
      data = { corpus = "classes.h5", sequence = 8, batch = 2, size = { 20, 20 } },
      train = { loss = "softmax_cross_entropy" } }))
    fails('unknown value "validation/ccc_arosal"; did you mean "validation/ccc_arousal"', declare("watch", {
      train = { stop = { watch = "validation/ccc_arosal" } } }))
    fails('train.loss "ccc" does not go with the class labels of classes.h5', declare("watch", {
      data = { corpus = "classes.h5", sequence = 8, batch = 2, size = { 20, 20 } } }))
    local function resample(options)
      return declare("watch", { data = { corpus = "classes.h5", sequence = 8, batch = 2, size = { 20, 20 },
        resample = options }, train = { loss = "softmax_cross_entropy", stop = { watch = "validation/f1" } } })
    end
    fails('data.resample.minority: unknown emotion "hapy"; did you mean "happy"', resample { minority = { "hapy" } })
    fails('data.resample.quota: unknown emotion "hapy"', resample { quota = { hapy = 2 } })
    fails("data.resample draws rare categories again", declare("watch", { data = { corpus = "c.h5", sequence = 8, batch = 2,
      size = { 20, 20 }, resample = true } }))
    assert.equal(before, attempts())
  end)

  it("that change count as other ones: nothing is averaged over two configurations", function()
    run(declare("changed", { arms = { { "a" }, { "b", train = { optimiser = { lr = 1e-3 } } } } }))
    run(declare("changed", { arms = { { "a" }, { "b", train = { optimiser = { lr = 2e-3 } } } } }))
    assert.equal(3, #runs_of "changed")
    local most = db:value "SELECT max(seeds) FROM table5 WHERE experiment = 'changed'"
    assert.equal(1, most)
    local shown = db:rows [[SELECT variant, group_concat(strategy) AS arms FROM table5 WHERE experiment = 'changed'
      GROUP BY variant]]
    assert.same({ "a,b", "a,b" }, { shown[1].arms, shown[2].arms }) -- the arm that stayed as it was is in both
  end)

  it("say when they override what was set", function()
    local e = declare("override", { arms = { { "a" }, { "b", network = { width = 4 } } } })
    run(e, { sets = { { "network.width", "6" }, { "train.lr", "0.002" } } })
    assert.truthy(heard "override: network.width = 6 does not change b, where the arm itself says what it is")
    assert.falsy(heard "train.optimiser.lr")
  end)

  -- ---- the table `network` -----------------------------------------------------------------------

  it("get a network in which no key is read that there is not, and say which keys are never read", function()
    local function model(network, c)
      return mien.models.recurrent { features = tiny.features(network.width), hidden = network.hidden or 4, layers = 1,
        outputs = c.label_names }
    end
    local e = declare("typo", { network = { width = 4, hiden = 16 }, model = model })
    fails('arms_spec.lua:%d+: typo: network: unknown key "hidden"; did you mean "hiden"', e)
    assert.truthy(heard "typo: network.hiden changes nothing: `model` never reads it")
    assert.falsy(heard "network.width changes")
    local function all(network, c)
      local options = { outputs = c.label_names }
      for k, value in pairs(network) do options[k] = value end
      options.features = tiny.features(options.width)
      options.width = nil
      return mien.models.recurrent(options)
    end
    said = {}
    run(declare("all", { network = { width = 4, hidden = 4, layers = 1 }, model = all }))
    assert.falsy(heard "never reads")
    -- given on whole, mien itself asks for what may be left out
    run(declare("whole", { network = { features_width = 4, hidden = 4 }, model = function(network, c)
      local width = network.features_width
      network.features_width, network.outputs, network.features = nil, c.label_names, tiny.features(width)
      return mien.models.recurrent(network)
    end }))
  end)

  -- ---- which of them are run ---------------------------------------------------------------------

  it("are run alone by name, and stay in the comparison with the others", function()
    local e = declare("some", { seeds = { 1, 2 }, arms = { { "a" }, { "b, c" }, { "d", network = { width = 4 } } } })
    local root, counts = run(e, { arms = { "d, a" } })
    assert.same({ 4, "a", "d" }, { counts.finished, root.chosen[1].name, root.chosen[2].name })
    run(e, { arms = { "b, c" } })
    local rows = runs_of "some"
    assert.equal(6, #rows)
    for _, row in ipairs(rows) do assert.equal(rows[1].variant, row.variant) end
    local before = attempts()
    run(e)
    assert.equal(before, attempts())
    assert.equal(rows[1].variant, runs_of("some")[1].variant)
    run(e, { arms = { "d" } })
    assert.same({ variant = rows[1].variant, arms = 3, runs = 6 },
      db:row "SELECT variant, arms, runs FROM current WHERE experiment = 'some'")
    assert.equal(3, db:value "SELECT count(*) FROM table5 WHERE experiment = 'some'")
    fails('some: unknown arm "bb"', e, { arms = { "a,bb" } })
  end)

  it("whose weights are absent are left out, with a dash in the table", function()
    local e = declare("absent", { arms = { { "random" }, { "gone", start = mien.init.from "nowhere.h5" } } })
    local root, counts = run(e)
    assert.same({ 1, 1 }, { counts.finished, counts.left_out })
    assert.truthy(heard "absent, gone: left out: there is no weights file nowhere.h5, and none of the prerequisites makes it")
    local event = db:row "SELECT * FROM event WHERE kind = 'left out' ORDER BY id DESC"
    assert.matches("absent, gone: left out: .*nowhere.h5", event.text)
    assert.is_nil(event.run)
    local printed, write_to = {}, io.stdout
    rawset(io, "stdout", { flush = function() end,
      write = function(_, ...) printed[#printed + 1] = table.concat { ... } end })
    local ok, problem = pcall(require("mien.experiment.report").print, db, root, counts)
    rawset(io, "stdout", write_to)
    assert.is_true(ok, problem)
    assert.matches("\ngone +%- +%- +%-\n", table.concat(printed))
    assert.same({ 0, 1 }, { e:run { db = db, quiet = true } })
    fails("there is no weights file nowhere.h5", e, { arms = { "gone" } })
  end)

  local function prerequisites()
    write("base.lua", [[{ name = "base", weights = "weights/$profile/base.h5", post = false, train = { epochs = 1 },
      profiles = { small = { network = { width = 4 } } } }]])
    write("far.lua", [[{ name = "far", weights = "weights/$profile/far.h5", post = false, train = { epochs = 1 },
      prerequisites = { "base.lua" }, start = mien.init.from "weights/$profile/base.h5", profiles = { small = {} },
      data = { corpus = "far.h5", script = "datasets/far.lua", sequence = 8, batch = 2, size = { 20, 20 } } }]])
  end

  it("alone decide which prerequisites are run", function()
    prerequisites()
    local e = declare("starts", { prerequisites = { "base.lua", "far.lua" }, arms = { { "random" },
      { "base", start = mien.init.from "weights/$profile/base.h5" },
      { "far", start = mien.init.from "weights/$profile/far.h5" } } })
    run(e, { arms = { "random" } })
    assert.same({ 1, 0, 0 }, { #runs_of "starts", #runs_of "base", #runs_of "far" })
    -- the corpus of `far` is not here: the others run all the same, and it is said what would make its weights
    local _, counts = run(e)
    assert.same({ 1, 1, 1 }, { counts.finished, counts.skipped, counts.left_out })
    assert.same({ 2, 1, 0 }, { #runs_of "starts", #runs_of "base", #runs_of "far" })
    assert.truthy(heard("starts, far: left out: there is no weights file weights/default/far.h5, and far, which makes "
      .. "it, cannot run: there is no corpus far.h5.*%./mien datasets/far.lua"))
    fails("no weights file weights/default/far.h5", e, { arms = { "far" } })
    -- weights that were made elsewhere serve without the corpus, and make the same run
    tiny.corpus(folder .. "/far.h5", "continuous", 8)
    run(e)
    local hash = runs_of("starts")[3].config_hash
    os.remove(folder .. "/far.h5")
    said = {}
    run(e)
    assert.truthy(heard "far: weights/default/far.h5 is used as it is: what makes it cannot run here")
    assert.same({ 3, hash }, { #runs_of "starts", runs_of("starts")[3].config_hash })
  end)

  it("take another file as their start, and nothing is made for what it stands in for", function()
    prerequisites()
    local e = function(name)
      return declare(name, { prerequisites = { "base.lua" }, arms = { { "random" },
        { "base", start = mien.init.from "weights/$profile/elsewhere.h5" } } })
    end
    local made = #runs_of "base"
    local list = tiny.features(8):state()
    mien.checkpoint.save_weights(folder .. "/own.h5", list, { scale_mean = { 0.5, 0.5, 0.5 }, scale_sd = { 1, 1, 1 } })
    write("base.lua", [[{ name = "base", weights = "weights/$profile/elsewhere.h5", post = false, train = { epochs = 1 } }]])
    run(e "other_start", { sets = { { "arms.base.start", folder .. "/own.h5" } } })
    assert.equal(made, #runs_of "base")
    local id = runs_of("other_start")[2].id
    assert.equal("{ mean = { 0.5, 0.5, 0.5 }, sd = { 1, 1, 1 } }", db:value("SELECT value FROM param WHERE run = ? AND "
      .. "key = 'scale'", id))
    assert.matches("from own.h5", db:value("SELECT value FROM param WHERE run = ? AND key = 'start'", id))
    fails('unknown arm "bas"; did you mean "base"', e "other_start", { sets = { { "arms.bas.start", "x.h5" } } })
    fails("1 of the arms have a start of their own", e "other_start", { sets = { { "start", "x.h5" } } })
  end)

  it("are left out before anything is trained when their start's file is another network's", function()
    mien.checkpoint.save_weights(folder .. "/narrow.h5", tiny.features(4):state(), { scale_mean = { 0, 0, 0 },
      scale_sd = { 1, 1, 1 } })
    local e = declare("misfit", { arms = { { "narrow", start = mien.init.from(folder .. "/narrow.h5") }, { "random" } } })
    run(e)
    assert.matches("misfit, narrow: left out: .*shapes differ", said[1])
    assert.equal(1, #runs_of "misfit")
    fails("shapes differ", e, { arms = { "narrow" } })
  end)

  it("are left out when what makes their weights fails", function()
    write("bad.lua", [[{ name = "bad", weights = "weights/$profile/bad.h5", post = false, train = { epochs = 1,
      loss = function(o, l) return mien.loss.ccc(o, l) * 1e38 * 1e38 end } }]])
    local e = declare("after", { prerequisites = { "bad.lua" }, arms = { { "random" },
      { "bad", start = mien.init.from "weights/$profile/bad.h5" } } })
    local _, counts = run(e)
    assert.same({ 1, 0, 1, 1 }, { counts.finished, counts.failed, counts.left_out, counts.failed_before })
    assert.truthy(heard "after, bad: left out: bad, which makes its weights, failed")
    assert.same({ 1, 1 }, { e:run { db = db, quiet = true } })
  end)

  -- ---- profiles ----------------------------------------------------------------------------------

  it("need prerequisites with their profile, and say so before anything runs", function()
    prerequisites()
    local before = attempts()
    local function with(profile, path)
      return declare("profiled", { prerequisites = { "base.lua" }, start = mien.init.from(path),
        profiles = { [profile] = {} } })
    end
    fails('profiled: its prerequisite base has no profile "half" %(it has default, small%), so nothing makes '
      .. "weights/half/base.h5; give it one", with("half", "weights/$profile/base.h5"), { profile = "half" })
    assert.equal(before, attempts())
    -- weights of another profile do when they are named; so do those that lie there
    local tree = plan.tree(with("half", "weights/small/base.h5"), { profile = "half" })
    assert.same({ "small", "half" }, { tree.nodes[1].profile, tree.root.profile })
    require("lfs").mkdir(folder .. "/weights")
    require("lfs").mkdir(folder .. "/weights/half")
    mien.checkpoint.save_weights(folder .. "/weights/half/base.h5", tiny.features(8), {})
    assert.equal(1, #plan.tree(with("half", "weights/$profile/base.h5"), { profile = "half" }).nodes)
  end)

  it("without profiles are not called the paper's, and find the runs that once were", function()
    local e = declare("plain", {})
    run(e)
    local row = runs_of("plain")[1]
    assert.equal("default", row.profile)
    assert.matches("^runs/plain/default/plain%-1%-", row.folder)
    -- as an earlier version stored it
    db:exec(("UPDATE run SET profile = 'paper', folder = 'runs/plain/paper' WHERE id = %d"):format(row.id))
    db:exec(("UPDATE comparison SET profile = 'paper' WHERE run = %d"):format(row.id))
    os.rename(folder .. "/" .. row.folder, folder .. "/runs/plain/paper")
    local before = attempts()
    run(e)
    assert.equal(before, attempts())
    local now = runs_of("plain")[1]
    assert.same({ row.id, "default", "runs/plain/paper" }, { now.id, now.profile, now.folder })
    assert.equal("default", db:value("SELECT group_concat(profile) FROM comparison WHERE run = ?", row.id))
    fails('unknown profile "paper"; known: default', e, { profile = "paper" })
  end)

  it("take their comparison along when their profile is called otherwise", function()
    local arms = { { "a" }, { "b" } }
    run(declare("older", { arms = arms }))
    db:exec "UPDATE run SET profile = 'paper'; UPDATE comparison SET profile = 'paper'" -- of an earlier version
    run(declare("older", { arms = arms }), { arms = { "b" } })
    local function shown()
      return db:rows [[SELECT t.profile, t.strategy, r.profile AS run FROM table5 t JOIN run r ON r.arm = t.strategy
        JOIN experiment e ON e.id = r.experiment AND e.name = t.experiment WHERE e.name = 'older'
        ORDER BY t.profile, t.strategy]]
    end
    local default = { { profile = "default", strategy = "a", run = "default" },
      { profile = "default", strategy = "b", run = "default" }, columns = { "profile", "strategy", "run" } }
    assert.same(default, shown())
    assert.equal(0, db:value "SELECT count(*) FROM comparison_run WHERE experiment = 'older' AND profile = 'paper'")
    -- a file that has a profile of that name has both
    local named = declare("older", { arms = arms, profiles = { paper = {} } })
    run(named, { profile = "paper" })
    run(named, { profile = "default" })
    assert.same({ 2, 2, 2 }, { #runs_of "older", db:value [[SELECT count(*) FROM comparison_run WHERE experiment = 'older'
      AND profile = 'paper']], db:value [[SELECT count(*) FROM comparison_run WHERE experiment = 'older'
      AND profile = 'default']] })
  end)

  it("that another process has finished meanwhile are not run again", function()
    local e = declare("meanwhile", {})
    local open = db.run
    db.run = function(self, what) -- between the look at the run and taking it
      db.run = nil
      local seen, other = open(self, what), open(self, what)
      other:claim()
      other:scored(function() end, schema.scoring((schema.resolve(e.declaration))))
      other:finish "elsewhere"
      return seen
    end
    local _, counts = run(e)
    db.run = nil
    assert.same({ 1, 0, 0 }, { counts.skipped, counts.finished, counts.busy })
    assert.truthy(heard "meanwhile: finished already")
    assert.equal("elsewhere", runs_of("meanwhile")[1].stop_reason)
  end)

  it("are shown with their runs, and nothing is run", function()
    local e = declare("shown", { arms = { { "a" }, { "b" } }, seeds = { 1, 2 } })
    run(e, { arms = { "a" } })
    local before = attempts()
    local _, list = plan.outline(e, { db = db })
    local states = {}
    for i, r in ipairs(list) do states[i] = ("%s %d %s"):format(r.arm, r.seed, r.status) end
    assert.same({ "a 1 finished", "b 1 new", "a 2 finished", "b 2 new" }, states)
    assert.same({ before, 2 }, { attempts(), #runs_of "shown" })
    local far = declare("far", { data = { corpus = "gone.h5" } })
    assert.matches("there is no corpus gone.h5", plan.outline(far, {}).root.chosen[1].absent)
    local unmade = declare("unmade", { data = { corpus = "unmade.h5", generate = { kind = "recola", profile = "tiny" } } })
    assert.is_nil((select(2, plan.outline(unmade, {}))))
    assert.is_nil(require("lfs").attributes(folder .. "/unmade.h5"))
  end)
end)
