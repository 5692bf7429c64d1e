-- What tests/bench/gpu_report.lua makes of the figures of a GPU: goals, reasons for what is missing, the loss curve.
-- Not here: the figures (tests/bench/gpu.sh --cpu runs all of it).
local json = require "cjson"

local folder

local function write(name, content)
  local file = assert(io.open(folder .. "/" .. name, "w"))
  file:write(type(content) == "table" and json.encode(content) or content)
  file:close()
end

--- The report as a table, and its Markdown.
local function report(flag)
  local pipe = io.popen(("LUA_PATH='%s' luajit tests/bench/gpu_report.lua '%s' '%s' %s 2>&1"):format(package.path,
    folder, folder, flag or ""))
  local text = pipe:read "*a"
  pipe:close()
  local file = assert(io.open(folder .. (flag and "/gpu-dry-run.json" or "/gpu.json")), text)
  local found = json.decode(file:read "*a")
  file:close()
  return found, text
end

local function side(who, mode, ms, peak)
  return { who = who, mode = mode, median = ms, p10 = ms, p90 = ms, medians = { ms }, steps = 9, peak = peak }
end

local function part(case, ...)
  return { title = case, case = case, frames = 300, rounds = 1, sides = { ... },
    sizes = { batch = 2, steps = 150, size = 150, width = 64, hidden = 256, inputs = 2048 } }
end

local function curves(level)
  local losses = {}
  for i = 1, 40 do losses[i] = level - i / 100 end
  return losses
end

describe("the report on a GPU", function()
  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder) == 0)
    write("train.json", part("train", side("mien", "eager bf16", 17, 7e9), side("mien", "graphed bf16", 16, 6e9),
      side("PyTorch", "eager bf16", 28, 1e10), side("PyTorch", "compiled graphed bf16", 19)))
    write("infer.json", part("infer", side("mien", "eager bf16", 3.75)))
    write("lstm.reason", "stopped after 50 s\n")
    write("tests.tap", "1..4\nok 1 - a\nnot ok 2 - cuda f32 relu\nok 3 - c # SKIP c\nok 4 - d\n")
    write("tests.status", "1")
  end)
  after_each(function() os.execute("rm -r " .. folder) end)

  it("says of each goal whether it is met, missed or not measured", function()
    local found, text = report()
    local goals = found.goals
    assert.is_true(goals[1].met) -- 28 / 16
    assert.near(1.75, goals[1].found, 1e-9)
    assert.is_false(goals[2].met) -- 19 / 16
    assert.is_nil(goals[3].met)
    assert.is_true(goals[4].met) -- 300 frames in 3.75 ms
    assert.is_true(goals[5].met) -- 0.6
    assert.truthy(text:find("not measured: our side was not timed", 1, true))
    assert.truthy(text:find("Left out: stopped after 50 s", 1, true))
  end)

  it("counts tests and names those that failed", function()
    local found = report()
    assert.same({ 2, 1, 1 }, { found.tests.passed, found.tests.failed, found.tests.skipped })
    assert.truthy(found.tests.failures[1]:find("cuda f32 relu", 1, true))
  end)

  it("takes our loss curve for one of PyTorch's only within their range and its margin", function()
    local peers = { curves(1), curves(0.9), curves(0.95) }
    write("curve.json", { ours = { curves(1.04), curves(1.04), curves(1.04) }, peers = peers, again = { same = true } })
    assert.is_true(report().curve.within)
    write("curve.json", { ours = { curves(1.06), curves(1.06), curves(1.06) }, peers = peers, again = { same = false } })
    local found, text = report()
    assert.is_false(found.curve.within)
    assert.truthy(text:find("**other bits**", 1, true))
  end)

  it("calls no goal met in a dry run", function()
    local found, text = report "--cpu"
    assert.is_nil(found.goals[1].met)
    assert.equal("cpu dry run", found.kind)
    assert.truthy(text:find("no result", 1, true))
  end)
end)
