-- What the parts of gpu.sh came to: one JSON and one table in Markdown, with the goals met, missed or not measured.
-- Not here: measuring (gpu.lua), the order of parts (gpu.sh).
--   mien tests/bench/gpu_report.lua WORK OUT [--cpu]     reads WORK/*.json, *.reason, tests.tap, machine.txt
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
package.path = here .. "?.lua;" .. package.path
local json = require "cjson"
local rounds = require "rounds"

local work, out, dry = arg[1], arg[2], arg[3] == "--cpu"
local order = { "train", "train_fp16", "train_tf32", "lstm", "infer", "infer_large" }

-- ---- what the parts wrote --------------------------------------------------------------------------------------

local function content(name)
  local file = io.open(work .. "/" .. name)
  local text = file and file:read "*a"
  if file then file:close() end
  return text
end

--- A part's result; one that did not finish is { error = why }.
local function part(name)
  local text = content(name .. ".json")
  if text then return json.decode(text) end
  return { error = (content(name .. ".reason") or "it was not run"):gsub("%s+$", "") }
end

--- "key: value" lines.
local function machine()
  local found = {}
  for key, value in (content "machine.txt" or ""):gmatch "([^\n:]+): ([^\n]*)" do found[key] = value end
  return found
end

--- Counts of a TAP log, and what failed.
local function tests()
  local text = content "tests.tap"
  if not text then return { error = "they were not run" } end
  local found = { passed = 0, failed = 0, skipped = 0, failures = {}, status = tonumber(content "tests.status") }
  for line in text:gmatch "[^\n]+" do
    if line:find "ok .*# SKIP" then
      found.skipped = found.skipped + 1
    elseif line:find "^ok " then
      found.passed = found.passed + 1
    elseif line:find "^not ok " then
      found.failed = found.failed + 1
      found.failures[#found.failures + 1] = line
    end
  end
  if #found.failures == 0 then found.failures = nil end
  if found.status == 124 or found.status == 137 then found.error = "they ran past their time" end
  return found
end

-- ---- the loss curve --------------------------------------------------------------------------------------------

local WINDOW = 20 -- steps that are averaged

--- Means over windows of steps of the mean over seeds, and the range of the seeds' own means.
local function windows(curves)
  local list = {}
  for first = 1, #curves[1], WINDOW do
    local low, high, sum = math.huge, -math.huge, 0
    for _, losses in ipairs(curves) do
      local mean, n = 0, math.min(WINDOW, #losses - first + 1)
      for i = first, first + n - 1 do mean = mean + losses[i] / n end
      low, high, sum = math.min(low, mean), math.max(high, mean), sum + mean / #curves
    end
    list[#list + 1] = { low = low, high = high, mean = sum }
  end
  return list
end

--- Our mean over the seeds must lie in the range of PyTorch's seeds, widened by half of it to both sides, at least by
-- 0.02: a mean of three draws from the same distribution does.
local function judge(curve)
  if curve.error or #curve.ours < 3 or #curve.peers < 3 then
    curve.error = curve.error or "not all seeds were trained"
    return
  end
  local ours, theirs = windows(curve.ours), windows(curve.peers)
  curve.windows, curve.within = {}, true
  for i, range in ipairs(theirs) do
    local margin = math.max(0.02, 0.5 * (range.high - range.low))
    local inside = ours[i].mean >= range.low - margin and ours[i].mean <= range.high + margin
    curve.windows[i] = { ours = ours[i].mean, low = range.low, high = range.high, margin = margin, inside = inside }
    curve.within = curve.within and inside
  end
end

-- ---- goals -----------------------------------------------------------------------------------------------------

--- The fastest side of some parts whose mode matches; nil when none was timed.
local function best(parts, names, who, pattern)
  local found
  for _, name in ipairs(names) do
    for _, side in ipairs(parts[name].sides or {}) do
      local fits = side.who == who and side.median and side.mode:find(pattern or "")
      if fits and (not found or side.median < found.median) then found = side end
    end
  end
  return found
end

local function ratio_goal(name, wanted, theirs, ours, what)
  local goal = { name = name, wanted = wanted, unit = "x" }
  if not (ours and theirs) then
    goal.why = ours and "PyTorch's side was not timed" or "our side was not timed"
    return goal
  end
  goal.found = what(theirs) / what(ours)
  goal.of = ("mien %s, PyTorch %s"):format(ours.mode, theirs.mode)
  return goal
end

local function median(side) return side.median end
local function peak(side) return side.peak or 0 / 0 end

local function goals_of(parts)
  local half = { "train", "train_fp16" }
  local ours = best(parts, half, "mien")
  local goals = {
    ratio_goal("training step, eager AMP's time over ours", 1.6, best(parts, half, "PyTorch", "^eager"), ours, median),
    ratio_goal("training step, the best PyTorch's time over ours", 1.25, best(parts, half, "PyTorch"), ours, median),
    ratio_goal("LSTM alone, graphed cuDNN's time over ours", 2, best(parts, { "lstm" }, "PyTorch", "^graphed"),
      best(parts, { "lstm" }, "mien"), median),
  }
  local fast = best(parts, { "infer" }, "mien")
  goals[4] = { name = "inference in bf16", wanted = 75000, unit = "frames/s", why = "our side was not timed" }
  if fast then
    goals[4].found, goals[4].of, goals[4].why = 1e3 * parts.infer.frames / fast.median, "mien " .. fast.mode, nil
  end
  local bf16 = best(parts, { "train" }, "mien")
  local memory = ratio_goal("peak memory of a training step, ours over eager AMP's", 0.75,
    bf16, best(parts, { "train" }, "PyTorch", "^eager"), peak)
  memory.least = true
  goals[5] = memory
  for _, goal in ipairs(goals) do
    if goal.found ~= goal.found then goal.found, goal.why = nil, "no figures of memory" end
    if goal.found and not dry then
      if goal.least then goal.met = goal.found <= goal.wanted else goal.met = goal.found >= goal.wanted end
    end
  end
  return goals
end

-- ---- the table -----------------------------------------------------------------------------------------------

local lines = {}
local function add(text, ...) lines[#lines + 1] = select("#", ...) > 0 and text:format(...) or text end
local function row(...) add("| " .. table.concat({ ... }, " | ") .. " |") end
local function cell(text) return (tostring(text):gsub("%s+", " "):gsub("|", "/"):sub(1, 160)) end
local function gib(bytes) return bytes and ("%.2f"):format(bytes / 2 ^ 30) or "" end

local function verdict(goal)
  if goal.met ~= nil then return goal.met and "met" or "**missed**" end
  return dry and "cpu dry run" or "not measured: " .. (goal.why or "")
end

local function show_goals(goals)
  add "\n## Goals\n"
  row("goal", "wanted", "found", "", "of")
  row("---", "---", "---", "---", "---")
  for _, goal in ipairs(goals) do
    local form = goal.unit == "x" and "%.2f" or "%.0f"
    row(goal.name, (goal.least and "<= " or ">= ") .. form:format(goal.wanted) .. " " .. goal.unit,
      goal.found and form:format(goal.found) or "", verdict(goal), goal.of or "")
  end
end

local function show_part(name, result)
  add("\n## %s\n", result.title or name)
  if not result.sides then return add("Left out: %s", cell(result.error)) end
  local s = result.sizes
  local shape = result.case == "lstm" and ("[%d,%d,%d], %d units"):format(s.batch, s.steps, s.inputs, s.hidden)
    or ("%d x %d frames of %dx%d, width %d, LSTM 2x%d"):format(s.batch, s.steps, s.size, s.size, s.width, s.hidden)
  add("%s; %d rounds in alternation, medians with p10 and p90 over all steps.\n", shape, result.rounds)
  row("side", "mode", "ms", "p10 - p90", "frames/s", "PyTorch / best of ours", "peak GiB", "held GiB", "steps")
  row("---", "---", "---", "---", "---", "---", "---", "---", "---")
  local ours = best({ it = result }, { "it" }, "mien")
  for _, side in ipairs(result.sides) do
    if side.median then
      local versus = side.who ~= "mien" and ours
        and ("%.2f"):format(rounds.quantile(rounds.ratios(side.medians, ours.medians), 0.5)) or ""
      row(side.who, side.mode, ("%.3f"):format(side.median), ("%.3f - %.3f"):format(side.p10, side.p90),
        ("%.0f"):format(1e3 * result.frames / side.median), versus, gib(side.peak), gib(side.reserved), side.steps)
    else
      row(side.who, side.mode, "left out", cell(side.error), "", "", "", "", side.steps)
    end
  end
end

local function show_curve(curve)
  add "\n## Loss curve and repeatability\n"
  if curve.windows then
    add("%d steps, three seeds each: the mean of ours %s the range of PyTorch's seeds, widened by half "
      .. "(at least 0.02).\n", #curve.ours[1], curve.within and "stays within" or "**leaves**")
    row("steps", "ours", "PyTorch's seeds", "margin", "")
    row("---", "---", "---", "---", "---")
    for i, w in ipairs(curve.windows) do
      row(("%d - %d"):format((i - 1) * WINDOW + 1, math.min(i * WINDOW, #curve.ours[1])), ("%.4f"):format(w.ours),
        ("%.4f - %.4f"):format(w.low, w.high), ("%.4f"):format(w.margin), w.inside and "" or "**outside**")
    end
  else
    add("Loss curve: left out: %s", cell(curve.error))
  end
  local again = curve.again
  if not again or again.error then return add("\nRepeatability: left out: %s", cell(again and again.error or curve.error)) end
  add("\nThe same training run twice: %s.", again.same and "the same bits" or "**other bits**")
  if again.graph_same == nil then return add "Replayed as a graph: left out: this build has no graphs." end
  add("Replayed as a graph: %s.", again.graph_same and "the same bits as step by step" or "**other bits**")
end

local function show_tests(found)
  add "\n## Tests\n"
  if found.error then add("The tests on the GPU: %s.", found.error) end
  if not found.passed then return end
  add("%d passed, %d failed, %d skipped, exit status %s.", found.passed, found.failed, found.skipped,
    tostring(found.status))
  for _, line in ipairs(found.failures or {}) do add("- %s", cell(line)) end
end

-- ---- all of it -----------------------------------------------------------------------------------------------

local report = { kind = dry and "cpu dry run" or "gpu", date = os.date "!%Y-%m-%dT%H:%M:%SZ", machine = machine(),
  tests = tests(), tuning = content "tune.reason" or "done", curve = part "curve", parts = {} }
judge(report.curve)
for _, name in ipairs(order) do report.parts[name] = part(name) end
report.goals = goals_of(report.parts)

add(dry and "# cpu dry run: a check of the script, no result" or "# Beside PyTorch on a GPU")
add("\n%s\n", report.date)
local keys = {}
for key in pairs(report.machine) do keys[#keys + 1] = key end
table.sort(keys)
for _, key in ipairs(keys) do add("- %s: %s", key, report.machine[key]) end
add("- engines timed beforehand: %s", cell(report.tuning))
show_goals(report.goals)
for _, name in ipairs(order) do show_part(name, report.parts[name]) end
show_curve(report.curve)
show_tests(report.tests)

local stem = out .. (dry and "/gpu-dry-run" or "/gpu")
for suffix, text in pairs { [".json"] = json.encode(report), [".md"] = table.concat(lines, "\n") } do
  local file = assert(io.open(stem .. suffix, "w"))
  file:write(text, "\n")
  file:close()
end
print(table.concat(lines, "\n"))
