-- Two processes that run one experiment share its runs, each of which is done once.
-- Not here: killed processes (resume_spec.lua).
local mien = require "mien"
local tiny = require "tests.lua.tiny"

local MIEN = os.getenv "MIEN" or "build/mien"

describe("an experiment in two terminals", function()
  local folder
  setup(function() folder = tiny.folder() end)
  teardown(function() tiny.drop(folder) end)

  local function make_home(name, files)
    local home = folder .. "/" .. name
    require("lfs").mkdir(home)
    tiny.corpus(home .. "/c.h5", "continuous", 6)
    for file, keys in pairs(files) do
      local handle = assert(io.open(home .. "/" .. file, "w"))
      handle:write('local tiny, mien = require "tests.lua.tiny", require "mien"\nrequire "tests.e2e.moment"\n',
        'return mien.experiment(tiny.declaration("c.h5", ', keys, "))")
      handle:close()
    end
    os.execute(("mkfifo '%s/go'"):format(home))
    return home
  end

  --- Starts a process in its home, with `environment`; its lines and exit code come from the pipe.
  local function start(home, command, environment)
    return io.popen(("cd '%s' && { MIEN_HOME='%s' %s %s; echo \"exit $?\"; } 2>&1"):format(home, home, environment or "",
      command))
  end

  --- Starts a run that stays at a moment (moment.lua) until go() is called; returns its pipe and go.
  local function start_held(home, moment)
    local pipe = start(home, ("'%s' run main.lua < go"):format(MIEN),
      ("MOMENT='%s' DO='print \"held\" io.flush() io.read()'"):format(moment))
    local gate = io.open(home .. "/go", "w")
    return pipe, function() -- a line: another process may have inherited the gate, which then stays open
      gate:write "\n"
      gate:close()
    end
  end

  --- Reads lines up to one that holds `word`, or all; returns them as one text.
  local function read(pipe, word)
    local lines = {}
    for line in pipe:lines() do
      lines[#lines + 1] = line
      if word and line:find(word, 1, true) then break end
    end
    return table.concat(lines, "\n")
  end

  local function finished(home)
    local db = mien.results.open(home .. "/results.db", { read_only = true })
    local rows = db:rows [[SELECT r.arm, r.status, count(a.id) AS attempts, count(DISTINCT a.owner) AS owners
      FROM run r JOIN attempt a ON a.run = r.id GROUP BY r.id ORDER BY r.id]]
    local owners = db:value "SELECT count(DISTINCT owner) FROM attempt"
    db:close()
    for i, row in ipairs(rows) do rows[i] = ("%s %s %d"):format(row.arm, row.status, row.attempts) end
    rows.columns = nil
    return rows, owners
  end

  it("takes the next free run in the second, which ends when none is free", function()
    local home = make_home("two", { ["main.lua"] = [[{ name = "main", train = { epochs = 3 },
      arms = { { "a" }, { "b" }, { "c" } } }]] })
    local first, go = start_held(home, "beat 3")
    local held = read(first, "held")
    local text = read(start(home, ("'%s' run main.lua"):format(MIEN)))
    go()
    local rest = read(first)
    assert.matches("held", held)
    assert.matches("main, a, seed 1: left to another process: run 1 %(a, seed 1%) is being run by process %d+ on ", text)
    assert.matches("1 of 3 runs are left to other processes", text)
    assert.matches("exit 3$", text)
    assert.matches("b, seed 1: finished already.*c, seed 1: finished already", rest)
    assert.matches("exit 0$", rest)
    local rows, owners = finished(home)
    assert.same({ "a finished 1", "b finished 1", "c finished 1" }, rows)
    assert.equal(2, owners)
  end)

  it("waits for weights that the other one makes, after what needs none of them", function()
    local home = make_home("weights", {
      ["base.lua"] = [[{ name = "base", weights = "weights/$profile/base.h5", post = false, train = { epochs = 3 } }]],
      ["main.lua"] = [[{ name = "main", train = { epochs = 1 }, prerequisites = { "base.lua" }, arms = { { "random" },
        { "base", start = mien.init.from "weights/$profile/base.h5" } } }]] })
    local first, go = start_held(home, "beat 3")
    local held = read(first, "held")
    local second = start(home, ("'%s' run main.lua"):format(MIEN))
    local text = read(second, "waiting for weights")
    local rows = finished(home)
    go()
    local rest, more = read(first), read(second)
    assert.matches("held", held)
    assert.matches("waiting for weights that another process is making", text)
    assert.same({ "base running 1", "random finished 1" }, rows)
    local done = finished(home)
    table.sort(done)
    assert.same({ "base finished 1", "base finished 1", "random finished 1" }, done)
    assert.matches("exit [03]$", rest) -- whoever comes second to the last arm leaves it
    assert.matches("exit [03]$", more)
  end)

  it("makes a corpus once", function()
    local home = make_home("corpus", { ["main.lua"] = [[{ name = "main", train = { epochs = 1 }, data = { corpus = "made.h5",
      generate = { kind = "recola", profile = "tiny", size = 20 }, sequence = 8, batch = 2, size = { 20, 20 } } }]] })
    -- somebody else is at it
    local other = start(home, ([['%s' -e 'local held = assert(require("mien.base.lock").take "made.h5.lock")
      print "held" io.flush() io.read() held:release()' < go]]):format(MIEN))
    local gate = io.open(home .. "/go", "w")
    local held = read(other, "held")
    local second = start(home, ("'%s' run main.lua"):format(MIEN))
    local text = read(second, "waiting for another process that makes made.h5")
    local there = require("lfs").attributes(home .. "/made.h5")
    gate:write "\n"
    gate:close()
    local rest = read(second)
    read(other)
    assert.matches("held", held)
    assert.matches("waiting for another process", text)
    assert.is_nil(there)
    assert.matches("exit 0$", rest)
    assert.is_nil(require("lfs").attributes(home .. "/made.h5.lock"))
  end)
end)
