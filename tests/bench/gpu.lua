-- One part of the comparison on a GPU, both sides in alternation, or the loss curve; writes FOLDER/PART.json.
-- Not here: the sides (gpu_ours.lua, gpu_peer.py), what it comes to (gpu_report.lua), the order of parts (gpu.sh).
--   mien tests/bench/gpu.lua PART FOLDER --limit SECONDS --python PYTHON --scratch FOLDER [--cpu]
--   mien tests/bench/gpu.lua sizes PART [--cpu]        what PyTorch compiles beforehand
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
package.path = here .. "?.lua;" .. package.path
local mien = require "mien"
local C = require "mien.base.ffi"
local json = require "cjson"
local rounds = require "rounds"
local side = require "side"

local ROUNDS, ROUND_SECONDS = 12, 0.3 -- at most; of each side in a round
local MOST, LEAST = 60, 3             -- steps of a round

local full = { batch = 2, steps = 150, size = 150, width = 64, hidden = 256, inputs = 2048 }
local small = { batch = 2, steps = 3, size = 32, width = 4, hidden = 256, inputs = 64 }

local function with(base, changes)
  local copy = {}
  for key, value in pairs(base) do copy[key] = value end
  for key, value in pairs(changes) do copy[key] = value end
  return copy
end

-- mode: how, then the precision; "compiled" waits for what gpu.sh compiled before
local parts = {
  train = { case = "train", title = "training step, ResNet-50 + LSTM, bf16",
    ours = { "eager bf16", "graphed bf16" },
    peers = { "eager bf16", "graphed bf16", "compiled bf16", "compiled graphed bf16" } },
  train_fp16 = { case = "train", title = "training step, fp16 with loss scaling",
    ours = { "eager fp16", "graphed fp16" }, peers = { "eager fp16", "graphed fp16" } },
  train_tf32 = { case = "train", title = "training step, f32 in TF32",
    ours = { "eager tf32", "graphed tf32" }, peers = { "eager tf32" } },
  lstm = { case = "lstm", title = "LSTM of two layers, forward and backward",
    ours = { "eager bf16", "graphed bf16" }, peers = { "eager amp", "graphed amp", "graphed half" } },
  infer = { case = "infer", title = "inference, batch norms folded, bf16",
    ours = { "eager bf16", "graphed bf16" },
    peers = { "eager bf16", "folded bf16", "folded graphed bf16", "folded compiled graphed bf16" } },
  infer_large = { case = "infer", title = "inference, 8 sequences at once, bf16", sizes = { batch = 8 },
    ours = { "eager bf16", "graphed bf16" }, peers = { "folded bf16", "folded graphed bf16" } },
}

-- ---- arguments -----------------------------------------------------------------------------------------------

local function parse(args)
  local options, words, i = { python = "python3", limit = 60 }, {}, 1
  while args[i] do
    if args[i] == "--cpu" then
      options.cpu = true
    elseif args[i] == "--python" or args[i] == "--limit" or args[i] == "--scratch" then
      options[args[i]:sub(3)], i = assert(args[i + 1], args[i] .. " needs a value"), i + 1
    else
      words[#words + 1] = args[i]
    end
    i = i + 1
  end
  options.part, options.folder = words[1], words[2]
  options.limit = assert(tonumber(options.limit), "--limit takes seconds")
  return options
end

local options = parse { ... }
local started = C.mien_time_monotonic()

local function left() return options.limit - (C.mien_time_monotonic() - started) end

local function sizes_of(part) return with(options.cpu and small or full, parts[part].sizes or {}) end

-- ---- sides ---------------------------------------------------------------------------------------------------

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

--- A process of a side that speaks JSON; it ends when the part's time is over, whatever it does.
local function open(who)
  local words = who == "mien" and { os.getenv "MIEN", here .. "gpu_ours.lua" } or { options.python, here .. "gpu_peer.py" }
  words[3] = options.cpu and "cpu" or "cuda"
  local process = side.start(("timeout -k 5 %d "):format(math.max(left(), 1)), words)
  function process.json(command)
    local line, problem
    if command then line, problem = process.ask(json.encode(command)) else line, problem = process.read() end
    if not line then return nil, problem end
    local ok, reply = pcall(json.decode, line)
    if not ok then return nil, "no JSON: " .. line:sub(1, 300) end
    if reply.error then return nil, reply.error end
    return reply
  end
  return process
end

--- Takes a side out of the comparison and keeps the reason.
local function drop(entry, problem)
  entry.error = problem
  if entry.process then entry.process.close() end
  entry.process = nil
end

--- Why a mode is not run at all; nil when it is.
local function reason_against(mode, case)
  if not mode:find "compiled" then return nil end
  local path = ("%s/compile.%s.reason"):format(options.folder, case)
  if exists(path) then return (io.open(path):read "*a":gsub("%s+$", "")) end
end

local function ask(entry, command)
  local reply, problem = entry.process.json(command)
  if not reply then drop(entry, problem) end
  return reply
end

-- ---- a comparison ------------------------------------------------------------------------------------------

local function clock()
  local pipe = io.popen "nvidia-smi --query-gpu=clocks.sm,temperature.gpu,power.draw --format=csv,noheader 2>/dev/null"
  local line = pipe:read "*l"
  pipe:close()
  return line
end

local function ready(part, sizes)
  local entries = {}
  for _, group in ipairs { { "mien", part.ours }, { "PyTorch", part.peers } } do
    for _, mode in ipairs(group[2]) do
      local entry = { who = group[1], mode = mode, ms = {}, error = reason_against(mode, part.case) }
      if not entry.error then entry.process = open(entry.who) end
      entries[#entries + 1] = entry
    end
  end
  for _, entry in ipairs(entries) do
    if entry.process then entry.about = ask(entry) end
  end
  for _, entry in ipairs(entries) do
    if entry.process then
      entry.made = ask(entry, { ["do"] = "make", case = part.case, mode = entry.mode, sizes = sizes,
        limit = math.max(left(), 1) })
    end
    local first = entry.process and ask(entry, { ["do"] = "go", count = LEAST })
    if first then
      local each = rounds.quantile(first.ms, 0.5) / 1e3
      entry.count = math.max(LEAST, math.min(MOST, math.floor(ROUND_SECONDS / each)))
    end
  end
  return entries
end

local function play(entry)
  local reply = ask(entry, { ["do"] = "go", count = entry.count })
  if not reply then return end
  for _, ms in ipairs(reply.ms) do entry.ms[#entry.ms + 1] = ms end
  entry.medians[#entry.medians + 1] = rounds.quantile(reply.ms, 0.5)
  entry.peak, entry.reserved = reply.peak, reply.reserved
end

--- Forwards and backwards in turn, so that a drift of the clocks meets everybody alike.
local function alternate(entries)
  local n, longest = 0, 0
  while n < (options.cpu and 2 or ROUNDS) and (n == 0 or left() > longest + 3) do
    local begun = C.mien_time_monotonic()
    n = n + 1
    for i = 1, #entries do
      local entry = entries[n % 2 == 1 and i or #entries + 1 - i]
      entry.medians = entry.medians or {}
      if entry.process then play(entry) end
    end
    longest = math.max(longest, C.mien_time_monotonic() - begun)
  end
  return n
end

local function compare(name)
  local part, sizes = parts[name], sizes_of(name)
  local before, entries = clock(), ready(part, sizes)
  local result = { title = part.title, case = part.case, sizes = sizes, frames = sizes.batch * sizes.steps, sides = {} }
  result.rounds = alternate(entries)
  result.clock = { before = before, after = clock() }
  for i, entry in ipairs(entries) do
    local summary = rounds.summary(entry.ms) or {}
    result.sides[i] = { who = entry.who, mode = entry.mode, error = entry.error, steps = #entry.ms, median = summary[1],
      p10 = summary[2], p90 = summary[3], medians = entry.medians, peak = entry.peak, reserved = entry.reserved,
      made = entry.made, about = entry.about }
    if entry.process then entry.process.close() end
  end
  return result
end

-- ---- the loss curve --------------------------------------------------------------------------------------------

local function curve()
  local sizes = options.cpu and with(small, { batches = 2 }) or with(full, { steps = 32, size = 96, batches = 8 })
  local command = { ["do"] = "curve", folder = options.scratch, sizes = sizes, lr = 1e-4,
    count = options.cpu and 6 or 200, limit = math.max(left(), 1) }
  local result = { sizes = sizes, lr = command.lr, ours = {}, peers = {} }
  local entries = { peers = { process = open "PyTorch" }, ours = { process = open "mien" } }
  ask(entries.peers)
  ask(entries.ours)
  for seed = 1, 3 do
    command.seed = seed
    for _, who in ipairs { "peers", "ours" } do
      local entry = entries[who]
      local reply = entry.process and ask(entry, command)
      if reply then result[who][seed] = reply.losses end
      if reply and reply.shapes then command.shapes = reply.shapes end
    end
  end
  command["do"], command.count, command.seed = "repeat", options.cpu and 2 or 20, 1
  result.error = entries.peers.error and "PyTorch: " .. entries.peers.error or entries.ours.error
  if entries.ours.process and command.shapes then
    result.again = ask(entries.ours, command) or { error = entries.ours.error }
  end
  for _, entry in pairs(entries) do
    if entry.process then entry.process.close() end
  end
  return result
end

-- ---- all of it -----------------------------------------------------------------------------------------------

if options.part == "sizes" then
  print(json.encode { sizes = sizes_of(options.folder) })
  return
end
if options.part ~= "curve" and not parts[options.part] then
  mien.check.unknown("gpu.lua", "part", options.part, parts)
end
local result = options.part == "curve" and curve() or compare(options.part)
result.seconds = C.mien_time_monotonic() - started
local file = assert(io.open(("%s/%s.json"):format(options.folder, options.part), "w"))
file:write(json.encode(result), "\n")
file:close()
