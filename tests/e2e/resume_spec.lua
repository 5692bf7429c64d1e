-- A training that is killed at random moments and resumed ends with the same bits as one never killed.
-- Not here: Ctrl-C inside one process (tests/lua/train_spec.lua), two processes at once (sharing_spec.lua).
local mien = require "mien"
local tiny = require "tests.lua.tiny"

local MIEN = os.getenv "MIEN" or "build/mien"

describe("a killed experiment", function()
  local folder
  setup(function() folder = tiny.folder() end)
  teardown(function() tiny.drop(folder) end)

  --- The command that runs the experiment in its home; `when` is a moment (moment.lua) at which it does `what`.
  local function command(home, when, what)
    return ("cd '%s' && MIEN_HOME='%s' MOMENT='%s' DO='%s' '%s' run tiny.lua"):format(home, home, when or "",
      what or "", MIEN)
  end

  --- Runs it; returns the exit status as the shell has it (128 + signal) and the output.
  local function run(home, when, what)
    local status = os.execute(command(home, when, what) .. " > out 2>&1")
    local file = assert(io.open(home .. "/out"))
    local text = file:read "*a"
    file:close()
    return status / 256, text
  end

  local function make_home(name)
    local home = folder .. "/" .. name
    require("lfs").mkdir(home)
    tiny.corpus(home .. "/c.h5", "continuous", 6)
    local file = assert(io.open(home .. "/tiny.lua", "w"))
    file:write [[
      local tiny, mien = require "tests.lua.tiny", require "mien"
      require "tests.e2e.moment"
      return mien.experiment(tiny.declaration("c.h5", {
        train = { optimiser = { "adam", lr = 1e-3 }, epochs = 12, stop = { patience = 12 } },
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
      "SELECT * FROM recording_score ORDER BY run, split, stage, position, target",
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
          assert(require("mien.base.ffi").mien_tensor_read(t, values, n) == 0)
          parts[#parts + 1] = name .. " " .. require("mien.base.sha256").text(require("ffi").string(values, n * 8))
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
    local status, text = run(whole)
    assert.equal(0, status, text)
    local wanted = outcome(whole)

    -- Kind of moment, its largest number, and how many microseconds the kill may come after it: at once, so that
    -- there are kills on a machine of any speed, or wherever it is then: in a step, in a write, in the next run.
    -- Most kills come after the end of an epoch or more, so the bound on attempts is far above what is needed.
    local kills = { { "beat", 70, 0 }, { "save", 4, 2000 }, { "beat", 70, 20000 }, { "load", 1, 50000 } }
    local stream, at_once, attempts = mien.rng.stream(7, "kill"), 0, 0
    repeat
      attempts = attempts + 1
      local kind, most, late = unpack(kills[(attempts - 1) % #kills + 1])
      status, text = run(cut, kind .. " " .. 1 + stream:below(most), late == 0 and 'require("ffi").C.raise(9)' or
        ('require("ffi").C.ualarm(%d, 0)'):format(1 + stream:below(late)))
      assert.is_true(status == 0 or status == 128 + (late == 0 and 9 or 14), text)
      if status > 0 and late == 0 then at_once = at_once + 1 end
    until status == 0 or attempts == 60
    assert.equal(0, status, text)
    local got, all, killed = outcome(cut)
    assert.is_true(at_once > 0)
    assert.is_true(killed >= at_once, ("%d kills, %d of %d attempts killed"):format(at_once, killed, all))
    assert.is_true(wanted == got, "the outcome differs after " .. attempts - 1 .. " kills")
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

  it("is scored again by mien post and mien score, without training", function()
    local before, attempts = outcome(folder .. "/whole")
    local function mien_does(words)
      local pipe = io.popen(("cd '%s/whole' && MIEN_HOME=. '%s' %s 2>&1; echo status $?"):format(folder, MIEN, words))
      local text = pipe:read "*a"
      pipe:close()
      return text
    end
    assert.matches("xavier, seed 1: scored anew from its predictions.*status 0", mien_does "post tiny.lua")
    assert.matches("he, seed 1: scored anew with predictions made anew.*status 0", mien_does "score tiny.lua --arms he")
    local after, then_attempts = outcome(folder .. "/whole")
    assert.is_true(before == after, "the same scoring again is the same")
    assert.equal(attempts, then_attempts)
    assert.matches("tiny, he, seed 1: is not trained yet: mien run does that.*status 3",
      mien_does "post tiny.lua --set train.epochs=13 --arms he")
    assert.matches("unknown option %-%-again.*status 2", mien_does "post tiny.lua --again")
    assert.matches("mien score FILE.*status 2", mien_does "score")
  end)

  it("answers SQL as a table, CSV and JSON, and changes nothing", function()
    local function sql(words, input)
      local pipe = io.popen(("printf %%s '%s' | MIEN_HOME='%s/whole' '%s' sql %s 2>&1"):format(input or "", folder, MIEN,
        words))
      local text = pipe:read "*a"
      pipe:close()
      return text
    end
    assert.matches("experiment +profile +variant +strategy", sql '"select * from table5"')
    assert.equal("strategy,seeds\nxavier,1\nhe,1\n", sql '--csv "select strategy, seeds from table5"')
    assert.same({ { n = 2 } }, require("cjson").decode(sql '"select count(*) as n from run" --json'))
    assert.matches("may not be written", sql '"delete from run"')
    assert.matches("syntax error", sql '"selct 1"')
    assert.matches("convergence +view +epochs to the own best", sql "")
    assert.equal("n\n2\n", sql("--csv", "select count(*) as n from run"))
    assert.equal("n\n2\n", sql("- --csv", "select count(*) as n from run"))
    assert.equal("n,n_2\n1,2\n", sql '--csv "select 1 as n, 2 as n"')
    assert.matches("%.tables is a command of another shell", sql("", ".tables"))
    assert.equal("n\n2\n", sql '--csv "select count(*) as n from run"')
  end)

  it("answers SQL on a terminal in lines that fit, and whole when asked", function()
    local function on_terminal(words)
      local pipe = io.popen(([[MIEN_HOME='%s/whole' script -qec "stty cols 70; '%s' sql %s \"select config from run\""]]
        .. " /dev/null </dev/null"):format(folder, MIEN, words))
      local text = pipe:read "*a":gsub("\r", "")
      pipe:close()
      return text
    end
    local text = on_terminal ""
    assert.matches("\n{ code = [^\n]*…\n.*texts are cut at the end of the line; %-%-long shows all", text)
    for line in text:gmatch "[^\n]+" do assert.is_true(#line:gsub("[\128-\191]", "") <= 70, line) end
    assert.is_nil(on_terminal "--long":find("…", 1, true))
  end)

  it("keeps a checkpoint on Ctrl-C, exits with 130 and goes on from there", function()
    local home = make_home "interrupted"
    -- after a step, and in the middle of a validation: an epoch has 12 steps and 2 batches of validation
    for _, case in ipairs { { 38, 3, 10 }, { 17, 4, 12 } } do
      local beat, epoch, step = unpack(case)
      local status, text = run(home, "beat " .. beat, 'require("ffi").C.raise(2)')
      assert.equal(130, status, text)
      local place = ("at epoch %d, step %d"):format(epoch, step)
      assert.matches("interrupted " .. place, text)
      status, text = run(home, "beat 1", 'require("ffi").C.raise(9)')
      assert.equal(137, status, text)
      assert.matches("goes on " .. place, text)
    end
    local status, text = run(home)
    assert.equal(0, status, text)
    assert.equal((outcome(folder .. "/whole")), (outcome(home)))
  end)
end)
