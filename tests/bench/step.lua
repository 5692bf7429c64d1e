-- Training steps, inference and the LSTM beside PyTorch, round by round in alternation: one table, rows in results.db.
-- Not here: what runs (ours.lua, peer.py), processes (side.lua), figures (rounds.lua), findings (docs/performance.md).
local mien = require "mien"
local C = require "mien.base.ffi"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
package.path = here .. "?.lua;" .. package.path
local rounds = require "rounds"
local side = require "side"

local USAGE = [[
mien tests/bench/step.lua [--python PYTHON] [--pairs N] [--full-pairs N] [--precision LIST] [--peers LIST]
                          [--settings LIST] [--isa SET] [--db FILE] [--markdown] [CASE ...]

Times mien and PyTorch in alternation, one round of each after the other, and stores the rows in results.db (table
benchmark, view benchmark_best). Without PyTorch only ours is timed.

  --python PYTHON   one that has PyTorch (python3)
  --pairs N         rounds (7)
  --full-pairs N    rounds of the case full, whose processes start anew each time (2)
  --precision LIST  of f32,bf16,int8 (all)
  --peers LIST      PyTorch's settings, of nchw,channels_last,tuned,compiled, and for inference onnxruntime,openvino
                    (all that the case knows, and that PYTHON has)
  --settings LIST   ours for the case full, of keep,default,blocks (default,blocks): batch norm's outputs kept or made
                    again in backward; blocks: the inside of each block made again
  --isa SET         both sides with avx512, avx2 or baseline at most (the best that the processor has)
  --db FILE         instead of results.db
  --markdown        the table in Markdown

]]

local kept = { "keep", "default", "blocks" }
local all = { "nchw", "channels_last", "tuned", "compiled" }
local runtimes = { "nchw", "channels_last", "tuned", "compiled", "onnxruntime", "openvino" }

local cases = {
  { "train", "training step, ResNet-50 + LSTM 2 x 256, 2 x 8 frames of 150x150", peers = all },
  { "infer", "inference, the same; int8 beside PyTorch in bf16", peers = runtimes, int8 = true },
  { "demo", "training step, width 16, 2 x 30 frames of 48x48", peers = all },
  { "lstm", "LSTM 2 x 256 on [2,150,2048], forward and backward", peers = { "nchw", "tuned" } },
  { "ops", "8000 small ops one by one: relu, sum of two, linear, 1x1 convolution", peers = { "nchw" } },
  { "attention", "attention of 8 heads, 150 frames, 64 features, forward and backward, 50 times", peers = { "nchw", "tuned" },
    only = "f32" },
  { "layernorm", "layer norm of 1200 rows of 512 from single ops, forward and backward, 50 times",
    peers = { "nchw", "tuned" }, only = "f32" },
  { "start", "a process starts and answers", peers = { "nchw" }, only = "f32" },
  -- both at once do not fit into 24 GiB: a process lives for one warm-up and one timed round
  { "full", "training step of the paper, 2 x 150 frames", peers = { "channels_last", "tuned" }, fresh = true,
    settings = kept },
}
local precisions = { "f32", "bf16", "int8" }
local names = {}
for i, case in ipairs(cases) do names[i] = case[1] end

-- ---- arguments -----------------------------------------------------------------------------------------------

local usage = require("mien.cli").usage

--- "a,b" as a set of known names.
local function set_of(text, known, what)
  local set = {}
  for name in (text .. ","):gmatch "([^,]*)," do
    local found
    for _, k in ipairs(known) do found = found or k == name end
    if not found then
      usage("step.lua: there is no %s %q; there are %s", what, name, table.concat(known, ", "))
    end
    set[name] = true
  end
  return set
end

local function count_of(text, word)
  local n = tonumber(text)
  if not n or n < 1 or n % 1 ~= 0 then usage("step.lua: %s wants a number of rounds, got %s", word, text) end
  return n
end

local function parse(args)
  local options = { settings = { default = true, blocks = true }, pairs = 7, full_pairs = 2, python = "python3", cases = {} }
  local take = {
    ["--python"] = function(text) options.python, options.named = text, true end,
    ["--pairs"] = function(text) options.pairs = count_of(text, "--pairs") end,
    ["--full-pairs"] = function(text) options.full_pairs = count_of(text, "--full-pairs") end,
    ["--precision"] = function(text) options.precisions = set_of(text, precisions, "precision") end,
    ["--peers"] = function(text) options.peers = set_of(text, runtimes, "peer") end,
    ["--settings"] = function(text) options.settings = set_of(text, kept, "setting") end,
    ["--isa"] = function(text)
      local _, sets = mien.backend.isa()
      options.isa = next(set_of(text, sets, "instruction set"))
    end,
    ["--db"] = function(text) options.db = text end,
  }
  local flags, i = { ["--markdown"] = "markdown", ["--help"] = "help", ["-h"] = "help" }, 1
  while args[i] do
    local word = args[i]
    if flags[word] then
      options[flags[word]] = true
    elseif take[word] then
      i = i + 1
      take[word](args[i] or usage("step.lua: %s needs a value", word))
    elseif word:sub(1, 1) == "-" then
      usage("step.lua: there is no option %s; --help lists them", word)
    else
      options.cases[next(set_of(word, names, "case"))] = true
    end
    i = i + 1
  end
  return options
end

-- ---- rounds --------------------------------------------------------------------------------------------------

local function say(...) io.stderr:write(string.format(...), "\n") end

--- A side that is ready for the case; nil after saying why not.
local function ready(process, problem, words)
  if process then
    local ok
    ok, problem = process.ask("make " .. words)
    if ok then return process end
    process.close()
  end
  say("  without %s: %s", words, problem)
end

local function opened(case, precision, setting, options, peer_setting)
  local words = ("%s %s %s"):format(case[1], precision, peer_setting or setting)
  if peer_setting then
    local process, problem = side.peer(options.python, peer_setting)
    return ready(process, problem, words)
  end
  return ready(side.ours(), nil, words)
end

--- The processes live through all rounds.
local function together(case, result, options)
  local ours = opened(case, result.precision, result.setting, options)
  if not ours then return false end
  for _, peer in ipairs(result.peers) do
    peer.process = opened(case, result.precision, nil, options, peer.setting)
  end
  for round = 1, options.pairs do
    result.times[round] = ours.number "go"
    for _, peer in ipairs(result.peers) do
      if peer.process then peer.times[round] = peer.process.number "go" end
    end
    result.peaks[round] = result.probe and result.probe.number "go"
  end
  result.work, result.memory = ours.number "work", ours.number "memory"
  ours.close()
  for _, peer in ipairs(result.peers) do
    if peer.process then
      peer.memory = peer.process.number "memory"
      peer.process.close()
    end
  end
  return true
end

--- Each round in a process of its own, one after the other.
local function apart(case, result, options)
  local function once(peer)
    local process = opened(case, result.precision, result.setting, options, peer and peer.setting)
    if not process then return false end
    local entry = peer or result
    entry.times[#entry.times + 1] = process.number "go"
    entry.memory = math.max(entry.memory or 0, process.number "memory")
    if not peer and not result.work then result.work = process.number "work" end
    process.close()
    return true
  end
  for _ = 1, options.full_pairs do
    if not once(nil) then return false end
    for _, peer in ipairs(result.peers) do
      if not peer.failed then peer.failed = not once(peer) end
    end
    for _ = 1, result.probe and 7 or 0 do result.peaks[#result.peaks + 1] = result.probe.number "go" end
  end
  return true
end

--- How long it takes until a new process answers; a round of the case `start`.
local function start(_, result, options)
  local function once(entry, open)
    local began = C.mien_time_monotonic()
    local process = assert(open())
    entry.memory = process.number "memory"
    entry.times[#entry.times + 1] = C.mien_time_monotonic() - began
    process.close()
  end
  for _ = 1, options.pairs do
    once(result, side.ours)
    for _, peer in ipairs(result.peers) do
      once(peer, function() return side.peer(options.python, peer.setting) end)
    end
  end
  return true
end

local function measure(case, precision, setting, options, probe)
  local result = { name = case[1], precision = precision, setting = setting, times = {}, peaks = {}, peers = {},
    probe = probe, note = options.isa and "both sides restricted to " .. options.isa }
  -- what PyTorch needs does not change with what we keep: it runs beside the default alone
  for _, name in ipairs(options.python and setting == "default" and case.peers or {}) do
    if not options.peers or options.peers[name] then
      result.peers[#result.peers + 1] = { setting = name, times = {} }
    end
  end
  local run = case[1] == "start" and start or case.fresh and apart or together
  if not run(case, result, options) then return nil end
  if probe and #result.peaks > 0 then result.peak = probe.work / math.min(unpack(result.peaks)) end
  for i = #result.peers, 1, -1 do
    if #result.peers[i].times == 0 then table.remove(result.peers, i) end
  end
  return result
end

--- Every case runs in every float, but those of one only; what runs in whole numbers says so.
local function runs_in(case, precision)
  if precision == "int8" then return case.int8 end
  return (case.only or precision) == precision
end

-- ---- all of it -----------------------------------------------------------------------------------------------

local options = parse { ... }
if options.help then
  io.write(USAGE)
  for _, case in ipairs(cases) do print(("  %-9s %s"):format(case[1], case[2])) end
  return
end

side.isa = options.isa
local first, problem = side.peer(options.python, "nchw")
local version
if first then
  version = "PyTorch " .. first.version
  say("%s, %s threads", version, first.threads)
  first.close()
elseif options.named then
  usage("step.lua: %s has no PyTorch (%s); --python wants one that has", options.python, problem)
else
  say("no PyTorch behind python3: only ours is timed (--python names another)")
  options.python = nil
end
say("%s%s", mien.backend.describe(), options.isa and "; both sides restricted to " .. options.isa or "")

local db = mien.results.open(options.db)
local session, shown = require("mien.results.benchmark").utc(), {}
for _, precision in ipairs(precisions) do
  if not options.precisions or options.precisions[precision] then
    local probe = ready(side.ours(), nil, ("peak %s default"):format(precision))
    if probe then probe.work = probe.number "work" end
    for _, case in ipairs(cases) do
      if (not next(options.cases) or options.cases[case[1]]) and runs_in(case, precision) then
        for _, setting in ipairs(case.settings or { "default" }) do
          if options.settings[setting] or not case.settings then
            say("%s %s%s", case[1], precision, setting == "default" and "" or " " .. setting)
            local result = measure(case, precision, setting, options, probe)
            local rows = result and rounds.rows(result, session, version) or {}
            rounds.store(db, rows)
            for _, row in ipairs(rows) do shown[#shown + 1] = row end
          end
        end
      end
    end
    if probe then probe.close() end
  end
end
db:close()
print(rounds.table(shown, options.markdown))
