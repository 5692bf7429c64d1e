-- Who has a run, and what becomes of it: locks of other programs, owners that change, checkpoints and rows, arms that end
-- with an error.
-- Not here: the values that are stored (results_spec.lua), killed processes (tests/e2e).
local mien = require "mien"
local backend = require "mien.device.backend"
local check = require "mien.base.check"
local expect = require "tests.lua.expect"
local home = require "mien.base.home"
local process = require "mien.results.process"
local tiny = require "tests.lua.tiny"
local ffi = require "ffi"

describe("a run", function()
  local folder, db, other, before

  before_each(function()
    folder, before = tiny.folder(), home.folder
    home.folder = folder
    tiny.corpus(folder .. "/c.h5", "continuous", 6)
    db, other = mien.results.open(folder .. "/results.db"), mien.results.open(folder .. "/results.db")
    db.wait = 0.05
  end)
  after_each(function()
    db:close()
    other:close()
    home.folder = before
    tiny.drop(folder)
  end)

  local function new_run(given)
    return (given or db):run { experiment = "e", variant = "v", arm = "a", seed = 1, config = "c", folder = "runs/e" }
  end

  --- Calls fn with what goes to stderr kept aside; `seen` is called with each text. Returns them all.
  local function with_stderr(fn, seen)
    local texts, stderr = {}, io.stderr
    rawset(io, "stderr", { write = function(_, ...)
      texts[#texts + 1] = table.concat { ... }
      if seen then seen(texts[#texts]) end
    end })
    local ok, problem = pcall(fn)
    rawset(io, "stderr", stderr)
    assert(ok, tostring(problem))
    return table.concat(texts)
  end

  --- A declaration that trains for some epochs; `at` = { [step] = function } is called before the loss of that step.
  local function declared(at, over)
    local steps = 0
    setmetatable(at, {}) -- what it holds is no part of the code: the same run goes on with another
    local declaration = tiny.declaration("c.h5", { train = { epochs = 4, optimiser = { "adam", lr = 1e-3 },
      stop = { patience = 9 }, loss = function(output, labels)
        steps = steps + 1
        if at[steps] then at[steps]() end
        return mien.loss.ccc(output, labels)
      end } })
    for key, value in pairs(over or {}) do declaration[key] = value end
    return mien.experiment(declaration)
  end

  local function stop() check.raise("interrupted", "interrupted") end

  -- ---- another program's lock ------------------------------------------------------------------

  it("goes on while another program holds results.db, says so once, and stores all rows afterwards", function()
    local last = folder .. "/runs/tiny/default"
    local seen
    local experiment = declared {
      [5] = function() other:exec "BEGIN IMMEDIATE" end,
      [30] = function()
        for name in require("lfs").dir(last) do
          if name:find "^xavier" then seen = require("lfs").attributes(last .. "/" .. name .. "/last.h5") end
        end
        other:exec "ROLLBACK"
      end,
    }
    local said = with_stderr(function() assert.equal(0, experiment:run { db = db, quiet = true }) end)
    assert.is_nil(seen) -- two epochs were done, and no checkpoint went ahead of what is stored
    assert.matches("results.db is locked by another program", said)
    assert.equal(1, select(2, said:gsub("is locked", "")))
    assert.equal("finished", db:value "SELECT status FROM run")
    assert.equal(48, db:value "SELECT count(*) FROM metric WHERE key = 'train/loss'")
  end)

  it("waits with what must be stored until another program lets go", function()
    local run = new_run()
    run:claim()
    other:exec "BEGIN IMMEDIATE"
    run.beaten = -math.huge
    run:beat() -- does not wait
    local said = with_stderr(function() run:finish() end, function() other:exec "ROLLBACK" end)
    assert.matches("locked", said)
    assert.equal("finished", run:look().status)
  end)

  it("that is interrupted waits ten seconds at most", function()
    local run = new_run()
    run:claim()
    other:exec "BEGIN IMMEDIATE"
    require("mien.base.ffi").mien_db_wait(db.pointer, 0)
    expect.failure(function() run:interrupt() end, "another process, which did not let go in time")
    other:exec "ROLLBACK"
    assert.equal("running", run:look().status)
  end)

  -- ---- checkpoints -----------------------------------------------------------------------------

  --- Counts what is written to write-ahead logs and not synced yet, through SQLite's own table of file functions.
  local function watch_logs()
    ffi.cdef [[
      typedef struct spec_io { int version; void *close, *read, *write, *truncate, *sync; } spec_io;
      typedef struct spec_file { const spec_io *methods; } spec_file;
      typedef struct spec_vfs { int version, size, longest; struct spec_vfs *next; const char *name; void *data;
        int (*open)(struct spec_vfs *, const char *, spec_file *, int, int *); } spec_vfs;
      spec_vfs *sqlite3_vfs_find(const char *);
    ]]
    local sqlite, unsynced = ffi.load "libsqlite3.so.0", { writes = 0, syncs = 0 }
    local vfs = sqlite.sqlite3_vfs_find(nil)
    local original, kept = vfs.open, {}
    local open = ffi.cast("int (*)(spec_vfs *, const char *, spec_file *, int, int *)", function(v, name, file, flags, out)
      local rc = original(v, name, file, flags, out)
      if rc == 0 and bit.band(flags, 0x80000) ~= 0 then -- a log
        local bytes = ffi.new "uint8_t[256]"
        ffi.copy(bytes, file.methods, 19 * 8)
        local methods = ffi.cast("spec_io *", bytes)
        local write = ffi.cast("int (*)(spec_file *, const void *, int, int64_t)", methods.write)
        local sync = ffi.cast("int (*)(spec_file *, int)", methods.sync)
        local on_write = ffi.cast("int (*)(spec_file *, const void *, int, int64_t)", function(f, data, n, at)
          unsynced.writes = unsynced.writes + 1
          return write(f, data, n, at)
        end)
        local on_sync = ffi.cast("int (*)(spec_file *, int)", function(f, how)
          unsynced.writes, unsynced.syncs = 0, unsynced.syncs + 1
          return sync(f, how)
        end)
        methods.write, methods.sync = ffi.cast("void *", on_write), ffi.cast("void *", on_sync)
        kept[#kept + 1] = { bytes, on_write, on_sync }
        file.methods = methods
      end
      return rc
    end)
    vfs.open = open
    return unsynced, function() vfs.open = original end
  end

  it("has all its rows on disk before its checkpoint is put in place", function()
    jit.off() -- compiled code may not be called back
    jit.flush()
    local unsynced, unwatch = watch_logs()
    local watched = mien.results.open(folder .. "/watched.db")
    unwatch()
    local state, seen = require "mien.checkpoint.state", {}
    local save = state.save
    state.save = function(...)
      seen[#seen + 1] = unsynced.writes
      return save(...)
    end
    local ok, problem = pcall(function() declared({}):run { db = watched, quiet = true } end)
    state.save = save
    watched:close()
    jit.on()
    assert(ok, tostring(problem))
    assert.same({ 0, 0, 0, 0 }, seen)
    assert.is_true(unsynced.syncs >= 4)
  end)

  it("is not trained on from the checkpoint of another results.db", function()
    pcall(function() declared({ [30] = stop }):run { db = db, quiet = true } end)
    assert.equal("interrupted", db:value "SELECT status FROM run")
    local second = mien.results.open(folder .. "/second.db")
    expect.failure(function() declared({}):run { db = second, quiet = true } end, "last.h5 is the checkpoint of another run",
      "second.db", "give that results.db")
    assert.equal(0, second:value "SELECT count(*) FROM metric")
    second:close()
    assert.equal(0, declared({}):run { db = db, quiet = true })
    assert.equal(48, db:value "SELECT count(*) FROM metric WHERE key = 'train/loss'")
  end)

  it("begins again when rows of its first steps are lost, and says so", function()
    pcall(function() declared({ [30] = stop }):run { db = db, quiet = true } end)
    db:exec "DELETE FROM metric WHERE step > 10 AND step < 15"
    assert.equal(0, declared({}):run { db = db, quiet = true })
    assert.equal(48, db:value "SELECT count(*) FROM metric WHERE key = 'train/loss'")
    assert.matches("of the 2%d steps before the checkpoint, .*results.db has 2%d",
      db:value "SELECT text FROM event WHERE kind = 'rows lost'")
  end)

  -- ---- owners ----------------------------------------------------------------------------------

  it("writes nothing any more when another process has taken it over", function()
    local run = new_run()
    run:claim()
    other:write("UPDATE run SET owner = 'elsewhere:7:7:1'")
    run:metric("train/loss", 1, { step = 1, epoch = 1 })
    expect.failure(function() db:flush() end, "run 1 (a, seed 1) is no longer this process's", "process 7 on elsewhere",
      "nothing more of it is written")
    expect.failure(function() run:finish() end, "no longer this process's")
    db:flush()
    assert.same({ "running", "elsewhere:7:7:1", 0 }, { db:value "SELECT status FROM run", db:value "SELECT owner FROM run",
      db:value "SELECT count(*) FROM metric" })
  end)

  it("that another process has taken over is left to that, with its checkpoint", function()
    local experiment = declared({ [30] = function() other:write "UPDATE run SET owner = 'elsewhere:7:7:1'" end },
      { arms = { { "a" }, { "b" } } })
    local failed, left = experiment:run { db = db, quiet = true }
    assert.same({ 0, 1 }, { failed, left })
    assert.same({ "running", "finished" }, { db:value "SELECT status FROM run WHERE arm = 'a'",
      db:value "SELECT status FROM run WHERE arm = 'b'" })
  end)

  it("is its holder's as long as that lives, however long it is silent", function()
    local lock = require "mien.base.lock"
    local run = new_run()
    require("lfs").mkdir(folder .. "/runs")
    require("lfs").mkdir(folder .. "/runs/e")
    local held = lock.take(folder .. "/runs/e/lock")
    for _, owner in ipairs { "elsewhere:7:7:1", process.host .. ":7:7:1", process.host .. ":7:7" } do
      db:write("UPDATE run SET owner = ?, status = 'running', heartbeat = 1", owner)
      expect.failure(function() run:claim() end, "is being run by process 7 on ")
    end
    held:release()
    assert.equal(process.name, run:claim().owner)
    assert.is_nil(lock.take(folder .. "/runs/e/lock"))
    run:finish()
    assert.is_nil(require("lfs").attributes(folder .. "/runs/e/lock"))
  end)

  it("of a container that is gone is free at once, of another host after its silence", function()
    local run = new_run()
    local function claim(owner)
      db:write("UPDATE run SET owner = ?, status = 'running', heartbeat = ?", owner, require("mien.base.ffi").mien_time_now())
      local ok = pcall(run.claim, run)
      if ok then run:interrupt() end
      return ok
    end
    assert.is_true(claim(process.host .. ":7:7:1"))
    assert.is_false(claim "elsewhere:7:7:1")
    assert.is_false(claim(process.host .. ":1:" .. process.start_of(1) .. ":" .. process.space)) -- it lives, without lock
  end)

  it("goes by signs of life, and says so, where there are no locks", function()
    local lock = require "mien.base.lock"
    local take = lock.take
    lock.take = function() return nil, check.error("unsupported", "runs/e/lock: its file system has no locks") end
    local run = new_run()
    local ok, problem = pcall(function()
      db:write("UPDATE run SET owner = ?, status = 'running', heartbeat = ?", process.host .. ":7:7:1",
        require("mien.base.ffi").mien_time_now())
      assert.is_false((pcall(run.claim, run)))
      db:write "UPDATE run SET heartbeat = heartbeat - 1000"
      run:claim()
    end)
    lock.take = take
    assert(ok, tostring(problem))
    assert.matches("has no locks; who works on a run is told by signs of life alone",
      db:value "SELECT text FROM event WHERE kind = 'no lock'")
    run:finish()
  end)

  it("says once that it goes on with another number of threads", function()
    local run, threads = new_run(), backend.threads()
    run:claim()
    run:interrupt()
    backend.threads(threads + 1)
    local _, told = run:claim { epoch = 2, step = 5 }
    run:interrupt()
    local _, again = run:claim { epoch = 2, step = 6 }
    run:interrupt()
    backend.threads(threads)
    assert.matches(("threads %d %%(before: %d%%)"):format(threads + 1, threads), told)
    assert.matches("last bits", told)
    assert.is_nil(again)
    assert.equal(told, db:value "SELECT text FROM event WHERE kind = 'other machine'")
  end)

  -- ---- arms that end with an error -------------------------------------------------------------

  it("is refused before it is trained where post-processing has no seconds to count in", function()
    local writer = mien.data.writer(folder .. "/still.h5", { name = "still", height = 20, width = 20, fps = 0,
      label_kind = "continuous", label_names = { "arousal", "valence" }, sequence = 8 })
    for i, partition in ipairs { "train", "train", "devel" } do
      writer:recording { name = "r" .. i, subject = "s" .. i, partition = partition,
        frames = mien.zeros({ 16, 20, 20, 3 }, { dtype = "u8" }), labels = mien.zeros { 16, 2 } }
    end
    writer:finish()
    local trained = false
    local declaration = tiny.declaration("still.h5", { train = { epochs = 1, loss = function(output, labels)
      trained = true
      return mien.loss.ccc(output, labels)
    end } })
    expect.failure(function() mien.experiment(declaration):run { db = db, quiet = true } end, "tiny, tiny: post-processing",
      "still.h5 are pictures without time", "post = false")
    assert.is_false(trained)
  end)

  it("that cannot be scored is failed, and the next one runs", function()
    local experiment = mien.experiment(tiny.declaration("c.h5", { post = false,
      train = { optimiser = { "adam", lr = 1e-3 }, epochs = 2, stop = { patience = 9 } },
      arms = { { "wild", train = { optimiser = { "adam", lr = 1e30 } } }, { "tame" } } }))
    assert.equal(1, experiment:run { db = db, quiet = true })
    assert.same({ "failed", "finished" }, { db:value "SELECT status FROM run WHERE arm = 'wild'",
      db:value "SELECT status FROM run WHERE arm = 'tame'" })
    assert.matches("NaN", db:value "SELECT stop_reason FROM run WHERE arm = 'wild'")
    assert.equal(1, experiment:run { db = db, quiet = true }) -- it is not trained again
    assert.equal(1, db:value "SELECT count(*) FROM attempt JOIN run ON run.id = run WHERE arm = 'wild'")
  end)

  it("that ends with an error is failed, the next one runs, and --retry goes on from its checkpoint", function()
    local broken = true
    local experiment = declared({}, { arms = { { "bad" }, { "good" } } })
    local score = require "mien.experiment.score"
    local all = score.all
    score.all = function(what)
      if broken and what.run.row.arm == "bad" then error "no room" end
      return all(what)
    end
    local failed = experiment:run { db = db, quiet = true }
    local steps = db:value "SELECT count(*) FROM metric WHERE key = 'train/loss'"
    broken = false
    local retried = experiment:run { db = db, quiet = true, retry = true }
    score.all = all
    assert.same({ 1, 0, 96 }, { failed, retried, steps })
    assert.matches("no room", db:value "SELECT reason FROM attempt WHERE reason LIKE '%room%'")
    assert.matches("no room.*stack traceback", db:value "SELECT text FROM event WHERE kind = 'error'")
    assert.equal("finished", db:value "SELECT status FROM run WHERE arm = 'bad'")
    assert.same({ 1, 5 }, { db:value "SELECT min(epoch) FROM attempt", db:value "SELECT max(epoch) FROM attempt" })
  end)

  it("whose checkpoint is damaged stays as it is, and the next one runs", function()
    pcall(function() declared({ [30] = stop }, { arms = { { "a" }, { "b" } } }):run { db = db, quiet = true } end)
    local path = folder .. "/" .. db:value "SELECT folder FROM run" .. "/last.h5"
    local file = assert(io.open(path, "w"))
    file:write "damaged"
    file:close()
    assert.equal(1, (declared({}, { arms = { { "a" }, { "b" } } }):run { db = db, quiet = true }))
    assert.same({ "interrupted", "finished" }, { db:value "SELECT status FROM run WHERE arm = 'a'",
      db:value "SELECT status FROM run WHERE arm = 'b'" })
  end)
end)
