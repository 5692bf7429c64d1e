-- The comparison with PyTorch, against a peer that answers as told: medians, rows, wrong command lines.
-- Not here: how fast anything is.
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local expect = require "expect"

local executable = os.getenv "MIEN" or "build/mien"

local function shell(arguments, script)
  local pipe = assert(io.popen(("'%s' tests/bench/%s.lua %s 2>&1 </dev/null; echo \"exit $?\""):format(executable,
    script or "step", arguments)))
  local output, code = pipe:read("*a"):match "^(.-)exit (%d+)\n$"
  pipe:close()
  return output, tonumber(code)
end

describe("tests/bench/rounds", function()
  local rounds = dofile "tests/bench/rounds.lua"

  it("sums rounds up as medians and deciles, linear between neighbours", function()
    assert.same({ 3, 1.4, 4.6 }, rounds.summary { 5, 1, 4, 2, 3 })
    assert.equal(1.5, rounds.quantile({ 2, 1 }, 0.5))
    assert.is_nil(rounds.summary {})
  end)

  it("takes the ratio of each pair, not of the medians, and marks the fastest setting of the peer", function()
    local rows = rounds.rows({ name = "train", precision = "f32", setting = "default", times = { 1, 2, 4 },
      work = 10, peak = 20, peers = { { setting = "a", times = { 4, 4, 4 } }, { setting = "b", times = { 1, 6, 2 } } },
    }, "now", "PyTorch 9")
    assert.same({ 2, 1 }, { rows[1].ratio, rows[2].ratio })
    assert.same({ nil, true }, { rows[1].best, rows[2].best })
    local text = rounds.table(rows, true)
    assert.matches("| b %* |", text)
    assert.matches("| 25 |", text) -- percent of peak: 10 GFLOP in 2 s of 20 GFLOP/s
  end)
end)

describe("tests/bench/step.lua", function()
  local folder
  before_each(function() folder = tiny.folder() end)
  after_each(function() tiny.drop(folder) end)

  local function fake(body)
    local path = folder .. "/python"
    local file = assert(io.open(path, "w"))
    file:write("#!/bin/bash\n", body, "\n")
    file:close()
    assert(os.execute("chmod +x " .. path) == 0)
    return path
  end

  it("stores a row per setting of the peer, and goes on without one that fails", function()
    local python = fake [[echo 9.9 2; while read -r word case precision setting; do case $word$setting in
      maketuned) echo "error no tuning here";; make*) echo ready;; go) echo 100.0;; memory) echo 1073741824;;
      quit) exit;; esac; done]]
    local output, code = shell(("--python %s --pairs 2 --precision f32 --db %s/r.db lstm"):format(python, folder))
    assert.equal(0, code)
    assert.matches("without lstm f32 tuned: no tuning here", output)
    assert.matches("lstm +f32 .* nchw %*", output)
    local db = mien.results.open(folder .. "/r.db")
    local rows = db:rows "SELECT * FROM benchmark"
    db:close()
    assert.equal(1, #rows)
    local row = rows[1]
    assert.same({ "lstm", "nchw", "PyTorch 9.9", 2, 100 },
      { row.name, row.peer_setting, row.peer_version, row.pairs, row.peer })
    expect.near(100 / row.ours, row.ratio, 0.5 * row.ratio)
    assert.is_true(row.percent > 0 and row.memory > 1e6)
  end)

  it("refuses what it does not know with exit code 2", function()
    for arguments, said in pairs { ["--pears 3"] = "no option %-%-pears", ["--pairs none"] = "number of rounds, got none",
      ["--precision f8"] = 'no precision "f8"; there are f32, bf16', ["trian"] = 'no case "trian"',
      ["--peers"] = "needs a value",
      ["--isa avx9"] = 'no instruction set "avx9"; there are [%w, ]*baseline',
      ["--python /bin/false lstm"] = "/bin/false has no PyTorch" } do
      local output, code = shell(arguments)
      assert.equal(2, code)
      assert.matches(said, output)
    end
  end)
end)

describe("tests/bench/post.lua", function()
  it("times ours alone without another program", function()
    local output, code = shell("--recordings 2 --frames 40 --pairs 1", "post")
    assert.equal(0, code)
    assert.matches("medians +%d+%.%d+\n", output)
    assert.matches("joint +%d+%.%d+\n", output)
  end)

  it("refuses what it does not know with exit code 2", function()
    for arguments, said in pairs { ["--pears 3"] = "no option %-%-pears", ["--frames none"] = "wants a number, got none",
      ["--pairs"] = "needs a value", ["--python /bin/false"] = "/bin/false: it stopped" } do
      local output, code = shell(arguments, "post")
      assert.equal(2, code)
      assert.matches(said, output)
    end
  end)
end)
