-- What results.db answers: columns that keep apart, comparisons, parameters, convergence, costs, and the cookbook of
-- docs/results.md. Not here: writing and owning runs (results_spec.lua), what a real training stores (experiment_spec.lua).
local mien = require "mien"
local expect = require "tests.lua.expect"
local tiny = require "tests.lua.tiny"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local ffi = require "ffi"

describe("results.db", function()
  local folder, db, made

  before_each(function()
    folder = tiny.folder()
    db, made = mien.results.open(folder .. "/results.db"), 0
  end)
  after_each(function()
    db:close()
    tiny.drop(folder)
  end)

  --- A finished run: { arm =, seed =, variant =, experiment =, params = {}, curve = validation scores by epoch,
  -- scores = { target = test ccc } }.
  local function add(what)
    made = made + 1
    local run = db:run { experiment = what.experiment or "e", variant = what.variant or "v", arm = what.arm or "a",
      arm_order = what.order, seed = what.seed or 1, config = "c" .. made, corpus = what.corpus or "faces" }
    for key, value in pairs(what.params or {}) do run:param(key, value) end
    local best, at
    for epoch, value in ipairs(what.curve or {}) do
      run:metric("validation/ccc", value, { step = epoch, epoch = epoch })
      if not best or value > best then best, at = value, epoch end
    end
    run:progress { epochs = #(what.curve or {}), best_epoch = at, best_value = best }
    for target, ccc in pairs(what.scores or {}) do
      run:score { target = target, split = "test", stage = "post", ccc = ccc }
      run:score { target = target, split = "devel", stage = "post", ccc = ccc + 0.1 }
      run:score { target = target, split = "test", stage = "raw", ccc = ccc - 0.1 }
    end
    if what.unfinished then run:interrupt() else run:finish() end
    return run
  end

  -- ---- values that keep apart ------------------------------------------------------------------

  it("numbers columns of one name, and takes no name that is there already", function()
    local rows = db:rows "SELECT 1 AS n, 2 AS n, 3 AS n_2, 4 AS n, 5 AS x"
    assert.same({ "n", "n_3", "n_2", "n_4", "x" }, rows.columns)
    assert.same({ n = 1, n_3 = 2, n_2 = 3, n_4 = 4, x = 5 }, rows[1])
    local two = db:rows "SELECT 1 AS n, 2 AS n"
    assert.equal("n  n_2\n-  ---\n1    2", mien.results.text.table(two))
    assert.equal("n,n_2\n1,2", mien.results.text.csv(two))
    assert.same({ { n = 1, n_2 = 2 } }, require("cjson").decode(mien.results.text.json(two)))
  end)

  it("keeps every digit of whole numbers beyond 2^53", function()
    local rows = db:rows "SELECT 9007199254740993 AS a, -9223372036854775808 AS b, 9007199254740992 AS c"
    assert.equal("number", type(rows[1].c))
    assert.is_true(rows[1].a == 9007199254740993LL)
    assert.equal("a,b,c\n9007199254740993,-9223372036854775808,9007199254740992", mien.results.text.csv(rows))
    assert.matches('"a": 9007199254740993,', mien.results.text.json(rows), nil, true)
    assert.matches("9007199254740993  %-9223372036854775808", (mien.results.text.table(rows)))
    assert.equal(1, db:value("SELECT ? = 9007199254740993", rows[1].a))
  end)

  it("shows blobs as hexadecimal digits and control characters by their codes", function()
    local rows = db:rows "SELECT x'001b5b33316d' AS b, zeroblob(100) AS z, char(27) || '[31m' AS t"
    assert.equal("\0\27[31m", rows[1].b.bytes)
    local shown = mien.results.text.table(rows)
    assert.is_nil(shown:find "[%z\27]")
    assert.matches("x'001b5b33316d'  x'0+%.%.%. %(100 bytes%)  \\x1b%[31m", shown)
    assert.equal("x'" .. ("00"):rep(100) .. "'", mien.results.text.csv(db:rows "SELECT zeroblob(100) AS z"):match "\n(.*)")
  end)

  it("cuts the widest texts to a line, and no number", function()
    local rows = db:rows [[SELECT 'é' || hex(zeroblob(100)) AS wide, 'short' AS name, 0.123456 AS x,
      printf('%.*c', 30, 'y') AS y]]
    local line = mien.results.text.table(rows, nil, 60):match "([^\n]*)$"
    assert.equal(60, #line:gsub("[\128-\191]", ""))
    assert.matches("^é0+…  short  0%.123456  y+…$", line)
    assert.equal(mien.results.text.table(rows), mien.results.text.table(rows, nil, 1000))
    local narrow = mien.results.text.table(rows, nil, 5):match "([^\n]*)$" -- nothing is left to cut
    assert.equal("é000000…  short  0.123456  yyyyyyy…", narrow)
  end)

  -- ---- comparisons -----------------------------------------------------------------------------

  it("leaves a run in the comparisons that asked for it before", function()
    for order, arm in ipairs { "a", "b", "c" } do add { arm = arm, order = order, scores = { arousal = 0.1 * order } } end
    for n, arm in ipairs { "c", "b" } do -- two of the three, the other way round
      db:run { experiment = "e", variant = "w", arm = arm, arm_order = n, seed = 1, config = "c" .. (4 - n) }
    end
    assert.same({ "a", "b", "c" }, { db:value "SELECT group_concat(strategy) FROM table5 WHERE variant = 'v'"
      :match "(%a),(%a),(%a)" })
    assert.equal("c,b", db:value "SELECT group_concat(strategy) FROM table5 WHERE variant = 'w'")
    assert.same({ variant = "w", arms = 2, runs = 2, finished = 2 },
      db:row "SELECT variant, arms, runs, finished FROM current")
    db:run { experiment = "e", variant = "v", arm = "a", arm_order = 1, seed = 1, config = "c1" }
    assert.equal("v", db:value "SELECT variant FROM current")
    assert.equal(3, db:value "SELECT count(*) FROM run")
    db:exec "UPDATE run SET profile = 'quick', variant = 'v' WHERE arm = 'a'" -- of another profile, too
    assert.same({ 3, 1 }, { db:value "SELECT count(*) FROM table5 WHERE variant = 'v' AND profile = 'default'",
      db:value "SELECT count(*) FROM table5 WHERE variant = 'v' AND profile = 'quick'" })
  end)

  it("has one run of each arm and seed in a comparison: the one that was asked for last", function()
    add { arm = "a", scores = { arousal = 0.1 } }
    add { arm = "a", scores = { arousal = 0.3 } } -- the arm's own keys are others now
    add { arm = "a", seed = 2, scores = { arousal = 0.5 } }
    assert.same({ seeds = 2, arousal = 0.4 }, db:row "SELECT seeds, arousal FROM table5")
    db:run { experiment = "e", variant = "v", arm = "a", seed = 1, config = "c1" }
    assert.same({ seeds = 2, arousal = 0.3 }, db:row "SELECT seeds, arousal FROM table5")
    assert.equal(3, db:value "SELECT count(*) FROM run_wide")
  end)

  it("shows the same comparison under the newest variant alone", function()
    add { variant = "old", scores = { arousal = 0.1 } }
    add { variant = "new", scores = { arousal = 0.2 } }
    add { variant = "x", experiment = "other", scores = { arousal = 0.3 } }
    assert.equal("0.2,0.3", db:value [[SELECT group_concat(arousal)
      FROM table5 JOIN current USING (experiment, profile, variant)]])
  end)

  -- ---- parameters ------------------------------------------------------------------------------

  it("shows tables that are switched on beside those that are off", function()
    add { arm = "plain", params = { ["data.augment"] = false, ["train.epochs"] = 3 } }
    add { arm = "crops", params = { ["data.augment.crop"] = true, ["train.epochs"] = 3 } }
    local rows = db:rows "SELECT key, arm, value FROM param_diff ORDER BY key, arm DESC"
    assert.same({ { key = "data.augment", arm = "plain", value = 0 }, { key = "data.augment", arm = "crops", value = 1 },
      { key = "data.augment.crop", arm = "plain", value = 0 }, { key = "data.augment.crop", arm = "crops", value = 1 } },
      { rows[1], rows[2], rows[3], rows[4] })
    assert.equal(4, #rows)
  end)

  it("tells a key that a run went without, and what differs only between comparisons", function()
    add { arm = "a", params = { ["data.augment.crop"] = true, lr = 1 } }
    add { arm = "b", params = { ["data.augment.crop"] = true, ["data.augment.flip"] = true, lr = 1 } }
    add { variant = "w", params = { ["data.augment.crop"] = true, lr = 2 }, unfinished = true }
    local rows = db:rows "SELECT key, variant, within, status, value FROM param_diff WHERE key <> 'lr' ORDER BY run"
    assert.same({ { key = "data.augment.flip", variant = "v", within = 1, status = "finished" },
      { key = "data.augment.flip", variant = "v", within = 1, status = "finished", value = 1 },
      { key = "data.augment.flip", variant = "w", within = 0, status = "interrupted" } }, { rows[1], rows[2], rows[3] })
    assert.equal("0", db:value "SELECT group_concat(DISTINCT within) FROM param_diff WHERE key = 'lr'")
  end)

  -- ---- targets of any name ---------------------------------------------------------------------

  it("shows targets of any name", function()
    for seed = 1, 3 do add { seed = seed, scores = { arousal = 0.1 * seed, liking = 0.3 - 0.1 * seed } } end
    local row = db:row [[SELECT seeds, arousal, arousal_sd, arousal_devel, valence, others ->> '$.liking.test' AS liking,
      others ->> '$.liking.test_sd' AS sd, others ->> '$.liking.devel' AS devel FROM table5]]
    assert.same({ seeds = 3, arousal = 0.2, arousal_sd = 0.1, arousal_devel = 0.3, liking = 0.1, sd = 0.1, devel = 0.2 },
      row)
    assert.equal("arousal,liking", db:value "SELECT group_concat(target) FROM table5_long")
    expect.near(-0.1, db:value "SELECT others ->> '$.liking.test_raw' FROM run_wide WHERE seed = 3")
    expect.near(0.2, db:value "SELECT test FROM run_target WHERE seed = 1 AND target = 'liking'")
    add { seed = 4, scores = { ['a "b\\'] = 0.5, c = 0.25 } } -- any name at all
    local others = require("cjson").decode(db:value "SELECT others FROM run_wide WHERE seed = 4")
    assert.same({ 0.5, 0.25 }, { others['a "b\\'].test, others.c.test })
    db:exec "DELETE FROM score WHERE target <> 'arousal'"
    assert.is_nil(db:value "SELECT others FROM table5")
    assert.is_nil(db:value "SELECT others FROM run_wide")
  end)

  -- ---- convergence -----------------------------------------------------------------------------

  it("calls no arm faster that did not learn what the slowest did", function()
    add { arm = "slow", order = 1, curve = { 0.1, 0.5, 0.79, 0.8 } }
    add { arm = "quick", order = 2, curve = { 0.4, 0.77, 0.5, 0.5 } }
    add { arm = "never", order = 3, curve = { 0.24, 0.2, 0.2, 0.2 } }
    local rows = db:rows "SELECT * FROM convergence"
    assert.same({ 4, 2, 1 }, { rows[1].epochs_to_best, rows[2].epochs_to_best, rows[3].epochs_to_best })
    assert.same({ 0.76, 1, 3, 1 }, { rows[1].level, rows[1].times_faster, rows[1].epochs_to_level,
      rows[1].times_faster_to_level })
    assert.same({ 2, 2, 1.5 }, { rows[2].times_faster, rows[2].epochs_to_level, rows[2].times_faster_to_level })
    assert.same({ reached = 0, best = 0.24 }, { reached = rows[3].reached, best = rows[3].best,
      faster = rows[3].times_faster, to_level = rows[3].epochs_to_level, there = rows[3].times_faster_to_level })
  end)

  it("has no ratio for an arm of which one seed does not come to the level", function()
    for seed, top in ipairs { 0.8, 0.7 } do add { arm = "slow", order = 1, seed = seed, curve = { 0.1, 0.2, top } } end
    for seed, top in ipairs { 0.9, 0.6 } do add { arm = "quick", order = 2, seed = seed, curve = { top, 0, 0 } } end
    local rows = db:rows "SELECT * FROM convergence"
    assert.same({ 0.665, 2, 3 }, { rows[1].level, rows[1].reached, rows[1].epochs_to_level })
    assert.equal(1, rows[2].reached)
    assert.is_nil(rows[2].times_faster)
    assert.is_nil(rows[2].epochs_to_level)
  end)

  it("measures by a smaller score where smaller is better", function()
    local function rmse(arm, order, curve)
      local run = add { arm = arm, order = order, curve = {}, params = { ["train.stop.higher"] = false,
        ["train.stop.watch"] = "validation/rmse" } }
      for epoch, value in ipairs(curve) do run:metric("validation/rmse", value, { step = epoch, epoch = epoch }) end
      local best = math.min(unpack(curve))
      for epoch, value in ipairs(curve) do
        if value == best then run:progress { epochs = #curve, best_epoch = epoch, best_value = best } end
      end
    end
    rmse("slow", 1, { 0.5, 0.3, 0.2 })
    rmse("quick", 2, { 0.205, 0.2, 0.3 })
    rmse("never", 3, { 0.4, 0.5, 0.5 })
    local rows = db:rows "SELECT level, reached, epochs_to_level, times_faster FROM convergence"
    assert.same({ { level = 0.21, reached = 1, epochs_to_level = 3, times_faster = 1 },
      { level = 0.21, reached = 1, epochs_to_level = 1, times_faster = 1.5 }, { level = 0.21, reached = 0 } },
      { rows[1], rows[2], rows[3] })
  end)

  it("compares any two arms at a level that both came to", function()
    add { arm = "slow", order = 1, curve = { 0.1, 0.5, 0.79, 0.8 } }
    add { arm = "quick", order = 2, curve = { 0.4, 0.77, 0.5, 0.5 } }
    add { arm = "weak", order = 3, curve = { 0.1, 0.2, 0.2, 0.4 } }
    local function pair(arm, other)
      return db:row("SELECT level, epochs, other_epochs, times_faster FROM convergence_pair WHERE arm = ? AND other = ?",
        arm, other)
    end
    assert.same({ level = 0.732, epochs = 2, other_epochs = 3, times_faster = 1.5 }, pair("quick", "slow"))
    assert.same({ level = 0.38, epochs = 1, other_epochs = 4, times_faster = 4 }, pair("quick", "weak"))
    assert.same({ level = 0.38, epochs = 4, other_epochs = 2, times_faster = 0.5 }, pair("weak", "slow"))
    assert.equal(6, db:value "SELECT count(*) FROM convergence_pair")
  end)

  -- ---- categories ------------------------------------------------------------------------------

  it("keeps the class scores of arms apart", function()
    for arm, scores in pairs { weak = { 0.1, 0.14 }, strong = { 0.9, 0.904 } } do
      for seed, f1 in ipairs(scores) do
        local run = add { arm = arm, seed = seed }
        run:class_score { split = "devel", class_order = 1, class = "happy", positives = 50, f1 = f1, true_positives = 20 }
        run:confusion { split = "devel", gold_order = 1, gold = "happy", said_order = 1, said = "happy", frames = 30 }
        run:confusion { split = "devel", gold_order = 1, gold = "happy", said_order = 2, said = "sad", frames = 10 }
      end
    end
    local rows = db:rows [[SELECT arm, round(f1, 3) AS f1, round(f1_sd, 4) AS sd, seeds, true_positives
      FROM class_mean_std ORDER BY arm]]
    assert.same({ { arm = "strong", f1 = 0.902, sd = 0.0028, seeds = 2, true_positives = 40 },
      { arm = "weak", f1 = 0.12, sd = 0.0283, seeds = 2, true_positives = 40 } }, { rows[1], rows[2] })
    assert.same({ frames = 20, share = 0.25 },
      db:row "SELECT frames, share FROM confusion_share WHERE arm = 'weak' AND said = 'sad'")
  end)

  it("stores all scores of a run or none", function()
    local run = add { scores = { arousal = 0.5 } }
    local function report(ccc, problem)
      run:scored(function()
        run:score { target = "arousal", split = "test", stage = "post", ccc = ccc }
        run:recording_score { split = "test", stage = "post", position = 1, recording = "r", target = "arousal", ccc = ccc }
        if problem then error "the disk went away" end
      end)
    end
    report(0.6)
    report(0.7)
    assert.same({ n = 1, ccc = 0.7 }, db:row "SELECT count(*) AS n, sum(ccc) AS ccc FROM recording_score")
    assert.equal(1, db:value "SELECT count(*) FROM score")
    assert.is_false(pcall(report, 0.8, true))
    assert.equal(0.7, db:value "SELECT ccc FROM recordings")
    run:metric("loss", 1, { step = 1, epoch = 1 }) -- what comes later is written as ever
    assert.equal(1, db:value "SELECT count(*) FROM metric WHERE key = 'loss'")
  end)

  -- ---- cost ------------------------------------------------------------------------------------

  it("adds up what the attempts of a run used, and says unknown where a part is", function()
    local run = add {}
    for _ = 1, 2 do
      run:claim()
      run:beat(600, 2)
      run:beat(300, 1)
      run:interrupt()
    end
    local cost = db:row "SELECT * FROM cost"
    assert.same({ 2, 1800, 300 }, { cost.attempts, cost.frames, cost.frames_per_second })
    assert.equal(mien.backend.threads(), cost.threads)
    assert.equal(mien.backend.describe(), cost.library)
    assert.matches("^cpu", cost.device)
    if ffi.os == "Linux" and io.open("/proc/self/clear_refs", "w") then assert.is_true(cost.peak_memory > 2 ^ 20) end
    run:claim() -- and is killed before its first sign of life: its zeros are no unknowns
    run:claim()
    run:interrupt()
    cost = db:row "SELECT * FROM cost"
    assert.same({ 4, 1800 }, { cost.attempts, cost.frames })
    db:exec "UPDATE attempt SET frames = NULL, threads = 7 WHERE id = 1"
    cost = db:row "SELECT * FROM cost"
    assert.is_nil(cost.frames)
    assert.equal(("7,%d"):format(mien.backend.threads()), cost.threads)
  end)

  it("reads the kernel's energy counters, which begin anew, and has none where they may not be read", function()
    local meter = require "mien.results.meter"
    local function put(name, text)
      check.status(C.mien_folder_make((folder .. "/power/" .. name):match "^(.*)/"))
      local file = assert(io.open(folder .. "/power/" .. name, "w"))
      file:write(text, "\n")
      file:close()
    end
    for package = 0, 1 do
      put(("intel-rapl:%d/max_energy_range_uj"):format(package), "5000000")
      put(("intel-rapl:%d/energy_uj"):format(package), "1000000")
    end
    put("intel-rapl:0:0/energy_uj", "77") -- a part of package 0 counts only once
    local folders = { power = folder .. "/power", process = folder }
    local one = meter.start(folders)
    put("intel-rapl:0/energy_uj", "3500000")
    assert.equal(2.5, one:used().joules)
    put("intel-rapl:0/energy_uj", "500000")
    put("intel-rapl:1/energy_uj", "1250000")
    assert.equal(4.75, one:used().joules)
    assert.is_nil(one:used().memory) -- that folder is no process
    os.remove(folder .. "/power/intel-rapl:1/energy_uj")
    assert.is_nil(one:used().joules)
    assert.is_nil(meter.start(folders):used().joules)
    assert.is_nil(meter.start({ power = folder .. "/nowhere", process = folder }):used().joules)
  end)

  -- ---- files that are there already ------------------------------------------------------------

  it("takes over a file of an earlier version with all that is in it", function()
    local path = folder .. "/old.db"
    local old = check.pointer(C.mien_db_open(path, false))
    for version = 1, 5 do
      local pipe = io.popen(("cat core/store/schema/%03d_*.sql"):format(version))
      check.status(C.mien_db_exec(old, pipe:read "*a"))
      pipe:close()
    end
    check.status(C.mien_db_exec(old, [[
      PRAGMA user_version = 5;
      INSERT INTO experiment VALUES (1, 'e', 'e.lua', NULL, 5);
      INSERT INTO run (id, experiment, variant, arm, arm_order, seed, config_hash, config, status, corpus, created,
        best_epoch, best_value) VALUES
        (1, 1, 'v', 'a', 2, 1, 'x', '', 'finished', 'faces', 5, 3, 0.5),
        (2, 1, 'v', 'b', 1, 1, 'y', '', 'finished', 'faces', 6, 1, 0.1);
      INSERT INTO param VALUES (1, 'data.augment', 0), (2, 'data.augment.crop', 1);
      INSERT INTO attempt (run, owner, started, ended, epoch, step) VALUES (1, 'h:1:1', 5, 9, 1, 0);
      INSERT INTO metric VALUES (1, 'validation/ccc', 3, 3, 0.5, 0, 7);
      INSERT INTO score VALUES (1, 'arousal', 'test', 'post', 0.4, 0.4, 0.1, 0.4, 9);
      INSERT INTO class_score (run, split, class_order, class, f1) VALUES (1, 'devel', 1, 'happy', 0.7);]]))
    C.mien_db_close(ffi.gc(old, nil))
    local new = mien.results.open(path)
    local newest = 0
    for name in require("lfs").dir "core/store/schema" do newest = newest + (name:match "%.sql$" and 1 or 0) end
    assert.equal(newest, new:value "PRAGMA user_version")
    assert.equal(0.4, new:value "SELECT arousal FROM table5 WHERE strategy = 'a'")
    assert.equal("b,a", new:value "SELECT group_concat(strategy) FROM convergence")
    assert.equal("v", new:value "SELECT variant FROM current")
    assert.equal(4, new:value "SELECT count(*) FROM param_diff")
    assert.same({ seconds = 4, attempts = 1 }, new:row "SELECT seconds, attempts, frames, joules, threads FROM cost")
    assert.equal(0.7, new:value "SELECT f1 FROM class_mean_std")
    assert.equal("ok", new:value "PRAGMA integrity_check")
    assert.equal(0, #new:rows "PRAGMA foreign_key_check")
    new:close()
    local again = mien.results.open(path) -- nothing is done twice
    assert.equal(2, again:value "SELECT count(*) FROM comparison")
    again:close()
  end)

  -- ---- docs/results.md -------------------------------------------------------------------------

  local function document()
    local file = assert(io.open "docs/results.md")
    local text = file:read "*a"
    file:close()
    return text
  end

  it("is described in docs/results.md, every table, view and column, in the words of the table `about`", function()
    local told, n = {}, 0
    for name, columns, text in document():gmatch "\n| `([%w_]+)` | ([^|]+) | ([^\n]+) |" do
      n = n + 1
      told[name] = { columns = columns, text = text }
    end
    local there = db:rows [[SELECT name FROM sqlite_master WHERE type IN ('table', 'view')
      AND name NOT LIKE 'sqlite_%' ORDER BY name]]
    assert.equal(#there, n)
    for _, row in ipairs(there) do
      local columns = {}
      for i, column in ipairs(db:rows("SELECT name FROM pragma_table_xinfo(?) ORDER BY cid", row.name)) do
        columns[i] = column.name
      end
      assert.is_truthy(told[row.name], "docs/results.md lacks " .. row.name)
      assert.equal(table.concat(columns, ", "), told[row.name].columns, row.name)
      assert.equal(db:value("SELECT text FROM about WHERE name = ?", row.name), told[row.name].text)
    end
    -- every program can read every view, also one that does not trust the file
    db:exec "PRAGMA trusted_schema = OFF"
    for _, row in ipairs(there) do db:rows(('SELECT * FROM "%s"'):format(row.name)) end
    assert.equal(0, db:value "SELECT count(*) FROM sqlite_master WHERE sql LIKE '%stdev(%' OR sql LIKE '%median(%'")
  end)

  --- The queries of the cookbook by their headings.
  local function recipes()
    local list = {}
    for heading, sql in document():gmatch "\n%*%*([^\n]-)%*%*[^\n]*\n+```sql\n(.-)```" do
      list[#list + 1] = { heading, sql }
    end
    return list
  end

  it("answers the queries of the cookbook", function()
    for order, cell in ipairs { "gru", "lstm" } do
      for seed = 1, 3 do
        local gain = 0.1 * order + 0.01 * seed
        local run = add { experiment = "context", arm = cell, order = order, seed = seed,
          params = { ["network.cell"] = cell, ["train.optimiser.lr"] = 1e-3 * order },
          curve = { 0.2, 0.3 + gain, 0.5 + gain }, scores = { arousal = 0.5 + gain, valence = 0.4 + gain } }
        for epoch = 1, 3 do run:metric("train/epoch_loss", 1 / epoch, { step = epoch, epoch = epoch }) end
        for r = 1, 3 do
          run:recording_score { split = "test", stage = "post", position = r, recording = "r" .. r, subject = "s" .. r,
            target = "arousal", ccc = gain + 0.1 * r }
        end
        run:post_step { target = "arousal", position = 1, step = "median", kept = true, value = 3, ccc_before = 0.5,
          ccc_after = 0.5 + gain }
        run:class_score { split = "devel", class_order = 1, class = "happy", f1 = 0.5 + gain, positives = 9 }
        run:confusion { split = "devel", gold_order = 1, gold = "happy", said_order = 2, said = "sad", frames = 7 }
        run:sources { [""] = { path = "context.lua", text = "return 1" } }
        run:claim()
        run:beat(100, 1)
        run:finish()
      end
    end
    db:flush()
    local list = recipes()
    assert.equal(12, #list)
    for _, recipe in ipairs(list) do
      local ok, rows = pcall(db.rows, db, recipe[2])
      assert.is_true(ok, recipe[1] .. ": " .. tostring(rows))
      assert.is_true(#rows > 0, recipe[1] .. ": no row")
      for _, column in ipairs(rows.columns) do
        local some = false
        for _, row in ipairs(rows) do some = some or row[column] ~= nil end
        assert.is_true(some or column == "joules", recipe[1] .. ": nothing in " .. column)
      end
    end
    local by_heading = {}
    for _, recipe in ipairs(list) do by_heading[recipe[1]] = db:rows(recipe[2]) end
    local grid = by_heading["Mean and deviation by two parameters"]
    assert.same({ cell = "gru", lr = 1e-3, n = 3 }, { cell = grid[1].cell, lr = grid[1].lr, n = grid[1].n })
    expect.near(0.62, grid[1].ccc)
    expect.near(0.01, grid[1].sd)
    local paired = by_heading["Two arms, paired by seed"]
    expect.near(-0.1, paired[1].difference)
    local hard = by_heading["Which recordings are hard"]
    assert.equal("r1", hard[1].recording)
    local given = by_heading["Epochs to a score that you name"]
    assert.equal(2, given[1].epochs)
  end)
end)
