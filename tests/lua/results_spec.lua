-- results.db from Lua: values, batches, runs and who owns them, text forms.
-- Not here: SQLite's own errors (tests/c/test_store.c).
local mien = require "mien"
local expect = require "tests.lua.expect"
local tiny = require "tests.lua.tiny"
local process = require "mien.results.process"

describe("results", function()
  local folder, db

  before_each(function()
    folder = tiny.folder()
    db = mien.results.open(folder .. "/results.db")
  end)
  after_each(function()
    db:close()
    tiny.drop(folder)
  end)

  local function new_run(seed, variant)
    return db:run { experiment = "e", variant = variant or "v", arm = "a", seed = seed or 1,
      config = "c" .. (seed or 1), corpus = "recola", procedural = true }
  end

  it("stores a metric's NaN as NULL and marks it", function()
    local run = new_run()
    run:metric("loss", 0.5, { step = 1, epoch = 1 })
    run:metric("loss", 0 / 0, { step = 2, epoch = 1 })
    local rows = db:rows "SELECT value, is_nan FROM metric ORDER BY step"
    assert.same({ { value = 0.5, is_nan = 0 }, { is_nan = 1 } }, { rows[1], rows[2] })
    assert.equal(0.5, db:value "SELECT max FROM metric_summary")
  end)

  it("names a number of a run that somebody has made a text", function()
    new_run()
    for _, name in ipairs { "best_value", "best_epoch", "heartbeat" } do
      db:exec(("UPDATE run SET %s = 'soon'"):format(name))
      expect.failure(new_run, "results.db: run 1: " .. name .. ' is the text "soon"', "a number is wanted")
      db:exec(("UPDATE run SET %s = NULL"):format(name))
    end
    assert.equal(1, new_run().id)
  end)

  it("shows batched rows to every question asked through the same object", function()
    local run = new_run()
    for step = 1, 100 do run:metric("loss", step, { step = step, epoch = 1 }) end
    assert.equal(100, db:value "SELECT count(*) FROM metric")
  end)

  it("keeps numbers, texts and booleans of parameters apart", function()
    local run = new_run()
    run:param("lr", 4e-5)
    run:param("loss", "ccc")
    run:param("flip", true)
    assert.same({ "real", "text", "integer" }, {
      db:value "SELECT typeof(value) FROM param WHERE key = 'lr'",
      db:value "SELECT typeof(value) FROM param WHERE key = 'loss'",
      db:value "SELECT typeof(value) FROM param WHERE key = 'flip'",
    })
  end)

  it("names the nearest column when a score has a misspelt one", function()
    local run = new_run()
    local ok, err = pcall(run.score, run, { target = "arousal", split = "test", stge = "raw" })
    assert.is_false(ok)
    assert.matches('unknown key "stge"; did you mean "stage"', tostring(err))
  end)

  it("finds the same run for the same configuration, and moves it to the comparison asked for last", function()
    local first = new_run(1, "v")
    local again = new_run(1, "w")
    assert.equal(first.id, again.id)
    assert.equal("w", again.row.variant)
    assert.not_equal(first.id, new_run(2).id)
  end)

  it("names the best run of a comparison, also where a smaller score is better", function()
    for seed, rmse in ipairs { 0.3, 0.1, 0.2 } do
      local one = new_run(seed)
      one:param("train.stop.higher", false)
      one:progress { epochs = 1, best_epoch = 1, best_value = rmse }
      one:finish()
    end
    assert.equal(0.1, db:value "select best from best_run")
    db:exec "update param set value = 1"
    assert.equal(0.3, db:value "select best from best_run")
  end)

  it("refuses a run that a living process has, and takes over from a dead one", function()
    local run = new_run()
    run:claim()
    local function owned_by(name)
      db:write("UPDATE run SET owner = ?, status = 'running' WHERE id = ?", name, run.id)
      return pcall(run.claim, run)
    end
    local parent = io.open("/proc/1/stat"):read "*a"
    local start = parent:match "^.*%) (.*)$"
    local n, field = 2, nil
    for word in start:gmatch "%S+" do
      n = n + 1
      if n == 22 then field = word end
    end
    local ok, err = owned_by(process.host .. ":1:" .. field)
    assert.is_false(ok)
    assert.matches("is being run by process 1", tostring(err))
    assert.is_true(owned_by(process.host .. ":1:12345")) -- the number lives, but it is another process
    assert.is_true((owned_by "elsewhere:7:7") == false)  -- another host: a fresh heartbeat counts
    db:write("UPDATE run SET heartbeat = heartbeat - 1000 WHERE id = ?", run.id)
    assert.is_true(owned_by "elsewhere:7:7")
  end)

  it("records how a run ends, and each attempt", function()
    local run = new_run()
    run:claim()
    run:interrupt()
    run:claim { epoch = 3, step = 40 }
    run:finish "early stopping"
    assert.equal("finished", run:look().status)
    assert.equal("early stopping", run.row.stop_reason)
    local attempts = db:rows "SELECT reason, epoch, step FROM attempt ORDER BY id"
    assert.same({ reason = "interrupted", epoch = 1, step = 0 }, attempts[1])
    assert.same({ reason = "early stopping", epoch = 3, step = 40 }, attempts[2])
  end)

  it("knows whether a file is still the one that a run made", function()
    local run, path = new_run(), folder .. "/best.h5"
    local function put(text)
      local file = assert(io.open(path, "w"))
      file:write(text)
      file:close()
    end
    put "weights"
    assert.is_true(run:made(path)) -- nobody has taken its hash
    run:artifact(path, "weights")
    assert.is_true(run:made(path))
    put "Weights"
    assert.is_false(run:made(path))
  end)

  it("keeps what waits when the disk is full, and writes it when there is room again", function()
    local run = new_run()
    db:exec "PRAGMA max_page_count = 1"
    for step = 1, 3000 do run:metric("a key that fills pages " .. step, step, { step = step, epoch = 1 }) end
    local ok, err = pcall(db.flush, db)
    assert.is_false(ok)
    assert.matches("full", tostring(err))
    db:exec "PRAGMA max_page_count = 1000000"
    assert.equal(3000, db:value "SELECT count(*) FROM metric")
  end)

  it("stores the other rows when one is refused", function()
    local run = new_run()
    run:metric("loss", 1, { step = 1, epoch = 1 })
    run:score { target = "arousal", split = "validation", stage = "raw", ccc = 0.5 } -- it is called devel
    run:metric("loss", 2, { step = 2, epoch = 1 })
    expect.failure(function() db:flush() end, "refused the row", "split IN")
    assert.equal(2, db:value "select count(*) from metric")
    assert.equal(0, db:value "select count(*) from score")
  end)

  it("reads without changing, and says when there is nothing to read", function()
    new_run()
    db:flush()
    local reader = mien.results.open(folder .. "/results.db", { read_only = true })
    assert.equal(1, reader:value "SELECT count(*) FROM run")
    assert.is_false(pcall(reader.exec, reader, "DELETE FROM run"))
    reader:close()
    local ok, err = pcall(mien.results.open, folder .. "/absent.db", { read_only = true })
    assert.is_false(ok)
    assert.matches("absent.db", tostring(err))
  end)

  it("prints aligned tables, CSV and JSON", function()
    local rows = db:rows [[SELECT 'a "b", c' AS name, 0.1 AS x, NULL AS y UNION ALL SELECT 'é', -12, 7]]
    local text = mien.results.text
    assert.equal('name        x  y\n--------  ---  -\na "b", c  0.1  -\né         -12  7', text.table(rows))
    assert.equal('name,x,y\n"a ""b"", c",0.1,\né,-12,7', text.csv(rows))
    assert.same({ { name = 'a "b", c', x = 0.1, y = require("cjson").null }, { name = "é", x = -12, y = 7 } },
      require("cjson").decode(text.json(rows)))
    assert.equal(1 / 3, tonumber(text.csv(db:rows "SELECT 1.0 / 3 AS x"):match "\n(.*)"))
  end)

  it("stores comparisons with where they were measured, and shows the newest beside the peer's fastest setting", function()
    local function add(session, setting, ours, peer)
      db:benchmark { session = session, name = "train", precision = "f32", pairs = 7, ours = ours, peer = peer,
        peer_setting = setting, ratio = peer and peer / ours, gflop = 100, peak = 200 }
    end
    add("2026-01-01T00:00:00Z", "plain", 9, 1)
    add("2026-01-02T00:00:00Z", "plain", 1, 3)
    add("2026-01-02T00:00:00Z", "tuned", 1, 2)
    local rows = db:rows "SELECT * FROM benchmark_best"
    assert.equal(1, #rows)
    assert.same({ "tuned", 2, 1000, 2000, 50 },
      { rows[1].peer_setting, rows[1].ratio, rows[1].ms, rows[1].peer_ms, rows[1].percent })
    assert.matches("oneDNN", rows[1].library)
    assert.matches("^cpu", rows[1].machine)
    local ok, err = pcall(db.benchmark, db, { name = "train", precision = "f32", pairs = 7, ours = 1, sesion = "x" })
    assert.is_false(ok)
    assert.matches('did you mean "session"', tostring(err))
  end)
end)
