-- A training that is killed at random moments and resumed ends with the same bits as one never killed.
-- Not here: Ctrl-C inside one process (tests/lua/train_spec.lua).
local mien = require "mien"
local tiny = require "tests.lua.tiny"

local MIEN = os.getenv "MIEN" or "build/mien"

describe("a killed experiment", function()
  local folder
  setup(function() folder = tiny.folder() end)
  teardown(function() tiny.drop(folder) end)

  --- Runs the experiment in a home of its own; a limit in seconds ends it with SIGKILL. Returns the exit status
  -- and the output.
  local function run(home, limit, more)
    local out = home .. "/out"
    local command = ("cd '%s' && MIEN_HOME='%s' %s '%s' run tiny.lua %s > out 2>&1"):format(home, home,
      limit and ("timeout -s KILL %.3f"):format(limit) or "", MIEN, more or "")
    local status = os.execute(command)
    local file = assert(io.open(out))
    local text = file:read "*a"
    file:close()
    return status, text
  end

  local function make_home(name)
    local home = folder .. "/" .. name
    require("lfs").mkdir(home)
    tiny.corpus(home .. "/c.h5", "continuous", 6)
    local file = assert(io.open(home .. "/tiny.lua", "w"))
    file:write [[
      local tiny, mien = require "tests.lua.tiny", require "mien"
      return mien.experiment(tiny.declaration("c.h5", {
        train = { optimiser = { "adam", lr = 1e-3 }, epochs = 25, stop = { patience = 25 } },
        arms = { { "xavier" }, { "he", start = mien.init.he() } },
      }))
    ]]
    file:close()
    return home
  end

  --- Everything that must not depend on kills: metrics, scores, post-processing, the weights' and predictions'
  -- bits. Times and attempts may differ.
  local function outcome(home)
    local db = mien.results.open(home .. "/results.db", { read_only = true })
    local parts = {}
    for _, query in ipairs {
      "SELECT arm, status, stop_reason, epochs, best_epoch, best_value FROM run ORDER BY id",
      "SELECT run, key, step, epoch, value, is_nan FROM metric WHERE key NOT LIKE 'time/%' ORDER BY run, key, step",
      "SELECT * FROM metric_summary WHERE key NOT LIKE 'time/%' ORDER BY run, key",
      "SELECT * FROM score ORDER BY run, target, split, stage",
      "SELECT * FROM post_step ORDER BY run, target, position",
      "SELECT * FROM post_trial ORDER BY run, target, position, value",
      "SELECT run, kind, path FROM artifact ORDER BY run, path",
    } do
      parts[#parts + 1] = mien.results.text.csv(db:rows(query))
    end
    for _, row in ipairs(db:rows "SELECT path FROM artifact ORDER BY run, path") do
      local h5 = require("mien.data.file").open(home .. "/" .. row.path)
      for _, name in ipairs(h5:names()) do
        if name:sub(-1) ~= "/" then
          local t = h5:read(name)
          local n = t:count()
          local values = require("ffi").new("double[?]", n)
          assert(require("mien.ffi").mien_tensor_read(t, values, n) == 0)
          parts[#parts + 1] = name .. " " .. require("mien.results.run").hash(require("ffi").string(values, n * 8))
        end
      end
      h5:close()
    end
    local attempts = db:value "SELECT count(*) FROM attempt"
    local killed = db:value "SELECT count(*) FROM attempt WHERE reason = 'killed'"
    db:close()
    return table.concat(parts, "\n"), attempts, killed
  end

  it("is resumed to the same weights, metrics and scores", function()
    local whole, cut = make_home "whole", make_home "cut"
    local clock = require "mien.ffi"
    local started = clock.mien_time_monotonic()
    local status, text = run(whole)
    local seconds = clock.mien_time_monotonic() - started
    assert.equal(0, status, text)
    local wanted = outcome(whole)

    local stream, kills = mien.rng.stream(os.time(), "kill"), 0
    for _ = 1, 60 do
      status, text = run(cut, seconds * (0.15 + 0.4 * stream:uniform()))
      if status == 0 then break end
      kills = kills + 1
    end
    assert.equal(0, status, text)
    local got, attempts, killed = outcome(cut)
    assert.is_true(kills > 0)
    assert.is_true(killed > 0, ("%d kills, %d attempts"):format(kills, attempts))
    assert.is_true(wanted == got, "the outcome differs after " .. kills .. " kills")
  end)

  it("is left alone once it is finished, and says so", function()
    local home = folder .. "/whole"
    local before = outcome(home)
    local status, text = run(home)
    assert.equal(0, status)
    assert.matches("finished already", text)
    assert.matches("all 2 runs were finished already; nothing was done", text)
    assert.equal(before, (outcome(home)))
  end)

  it("answers SQL as a table, CSV and JSON, and changes nothing", function()
    local function sql(words)
      local pipe = io.popen(("MIEN_HOME='%s/whole' '%s' sql %s 2>&1"):format(folder, MIEN, words))
      local text = pipe:read "*a"
      pipe:close()
      return text
    end
    assert.matches("experiment +profile +variant +strategy", sql '"select * from table5"')
    assert.equal("strategy,seeds\nxavier,1\nhe,1\n", sql '--csv "select strategy, seeds from table5"')
    assert.same({ { n = 2 } }, require("cjson").decode(sql '"select count(*) as n from run" --json'))
    assert.matches("may not be written", sql '"delete from run"')
    assert.matches("syntax error", sql '"selct 1"')
    assert.matches("convergence", sql "")
    assert.equal("n\n2\n", sql '--csv "select count(*) as n from run"')
  end)

  it("is refused to a second process while the first works on it", function()
    local home = make_home "busy"
    os.execute(("cd '%s' && (MIEN_HOME='%s' '%s' run tiny.lua > first 2>&1 & echo $! > pid)"):format(home, home, MIEN))
    local status, text
    for _ = 1, 200 do
      local ok, db = pcall(mien.results.open, home .. "/results.db", { read_only = true })
      local at_work = ok and (pcall(db.value, db, "SELECT 1 FROM run")) and db:value "SELECT status FROM run" == "running"
      if ok then db:close() end
      if at_work then
        status, text = run(home)
        break
      end
      os.execute "sleep 0.05"
    end
    os.execute(("kill -INT $(cat '%s/pid') 2>/dev/null"):format(home))
    assert.not_equal(0, status, text)
    assert.matches("is being run by process", text)
  end)

  it("keeps a checkpoint on Ctrl-C, exits with 130 and goes on from there", function()
    local home = make_home "interrupted"
    local command = "cd '%s' && MIEN_HOME='%s' timeout --preserve-status -s INT %f '%s' run tiny.lua > out 2>&1"
    local status = 0
    for _, seconds in ipairs { 1.5, 0.8, 0.4 } do
      status = os.execute(command:format(home, home, seconds, MIEN))
      if status ~= 0 then break end
      os.execute(("rm -rf '%s/results.db'* '%s/runs'"):format(home, home))
    end
    assert.equal(130, math.floor(status / 256))
    local file = io.open(home .. "/out")
    local text = file:read "*a"
    file:close()
    assert.matches("interrupted", text)
    local ok
    ok, text = run(home)
    assert.equal(0, ok, text)
    assert.equal((outcome(folder .. "/whole")), (outcome(home)))
  end)
end)
