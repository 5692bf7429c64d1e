-- What the loader costs a training step: CPU time of its threads, and the step with it beside one without.
-- Not here: what the step costs by itself (step.lua).
local mien = require "mien"
local C = require "mien.base.ffi"
local lfs = require "lfs"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
package.path = here .. "?.lua;" .. package.path
local rounds = require "rounds"
local usage = require("mien.cli").usage

local USAGE = [[
mien tests/bench/loader.lua [--pairs N] [--stored PIXELS] [--sequence N] [--precision f32|bf16] [--db FILE]

Trains ResNet-50 + LSTM at the paper's settings (resize to 170x170, random crop to 150x150, brightness, saturation,
mirrored) from a made-up corpus, in alternation with steps on one batch that stays the same.

  --pairs N         rounds (7)
  --stored PIXELS   size of stored frames (150, what the tracker writes)
  --sequence N      frames in each of the 2 windows of a batch (16; the paper: 150)
  --precision NAME  of the step (f32)
  --db FILE         instead of results.db
]]

local function parse(args)
  local options, i = { pairs = 7, stored = 150, sequence = 16, precision = "f32" }, 1
  while args[i] do
    local word, value = args[i], args[i + 1]
    local name = word:match "^%-%-(.*)$"
    if word == "--help" or word == "-h" then
      options.help = true
    elseif name ~= "db" and options[name or ""] == nil then
      usage("loader.lua: there is no option %s; --help lists them", word)
    elseif not value then
      usage("loader.lua: %s needs a value", word)
    else
      local n = tonumber(value)
      if type(options[name]) == "number" and not (n and n >= 1 and n % 1 == 0) then
        usage("loader.lua: %s wants a number, got %s", word, value)
      end
      options[name], i = n or value, i + 1
    end
    i = i + 1
  end
  if options.precision ~= "f32" and options.precision ~= "bf16" then
    usage("loader.lua: --precision is f32 or bf16, not %s", options.precision)
  end
  return options
end

--- Frames with the structure of pictures (their bytes do not repeat), in windows as the paper's.
local function write_corpus(path, options, windows)
  local size, n = options.stored, options.sequence * windows
  local writer = mien.data.writer(path, { name = "made up", height = size, width = size, fps = 25,
    label_kind = "continuous", label_names = { "arousal", "valence" }, sequence = options.sequence,
    procedural = true, source = "tests/bench/loader.lua" })
  local frames = mien.rand({ n, size, size, 3 }) * 255
  writer:recording { name = "1", subject = "1", partition = "train", frames = frames:to "u8",
    labels = mien.zeros { n, 2 } }
  writer:finish()
end

--- Nanoseconds on a processor of each thread of this process, by its number.
local function threads()
  local list = {}
  for id in lfs.dir "/proc/self/task" do
    local file = id:match "^%d+$" and io.open("/proc/self/task/" .. id .. "/schedstat")
    if file then
      list[id] = tonumber(file:read "*a":match "^%d+")
      file:close()
    end
  end
  return list
end

local function measure(options, path)
  local corpus = mien.data.open(path)
  local model = mien.models.recurrent { features = mien.models.resnet50(), hidden = 256, layers = 2,
    outputs = { "arousal", "valence" } }:precision_(options.precision)
  local optimiser = mien.optim.adam(model:parameters(), { lr = 4e-5 })
  local function step(frames, labels)
    mien.scope(function()
      optimiser:zero_grad()
      mien.loss.ccc((model(model:place(frames, true))), labels):backward()
      optimiser:step()
    end)
  end
  local starts = {}
  for i = 0, 2 * (options.pairs + 3) - 1 do starts[i + 1] = (i % 4) * options.sequence + 1 end
  local constant = mien.rand { 2, options.sequence, 3, 150, 150 }
  local labels = mien.randn { 2, options.sequence, 2 }
  step(constant, labels) -- the pools and the kernels' threads are there before the loader's
  local before = threads()
  local loader = mien.data.loader { corpus = corpus, starts = starts, sequence = options.sequence, batch = 2,
    size = { 150, 150 }, resize = { 170, 170 }, seed = 1,
    augment = { crop = true, brightness = 32, saturation = { 0.5, 1.5 }, flip = true } }
  local own = {}
  for id in pairs(threads()) do
    if not before[id] then own[#own + 1] = id end
  end
  local function burnt()
    local now, sum = threads(), 0
    for _, id in ipairs(own) do sum = sum + now[id] end
    return sum * 1e-9
  end
  local figures = { with = {}, without = {}, cpu = {} }
  local batches = loader:batches()
  for round = -1, options.pairs do
    local used, start = burnt(), C.mien_time_monotonic()
    local frames, targets = batches() -- the worker fills the next batch while this one is trained on
    step(frames, targets)
    local after = C.mien_time_monotonic()
    local cpu = burnt() - used
    local again = C.mien_time_monotonic()
    step(constant, labels)
    if round > 0 then
      figures.with[round], figures.cpu[round] = after - start, cpu
      figures.without[round] = C.mien_time_monotonic() - again
    end
  end
  figures.waited = loader:waited()
  loader:close()
  corpus:close()
  return figures
end

local options = parse { ... }
if options.help then return io.write(USAGE) end
local path = os.tmpname()
write_corpus(path, options, 4)
local ok, figures = pcall(measure, options, path)
os.remove(path)
if not ok then mien.check.rethrow(figures) end

local share = {}
for i, cpu in ipairs(figures.cpu) do share[i] = cpu / mien.backend.threads() / figures.without[i] end
local frames = 2 * options.sequence
local cpu, middle = rounds.summary(figures.cpu), rounds.summary(share)
local note = ("%d frames from %dx%d: %.3f ms of CPU a frame, %.2f %% of the step's (p10 %.2f, p90 %.2f)"):format(frames,
  options.stored, options.stored, 1e3 * cpu[1] / frames, 1e2 * middle[1], 1e2 * middle[2], 1e2 * middle[3])
local rows = rounds.rows({ name = "loader", precision = options.precision, setting = "default", times = figures.with,
  peers = { { setting = "same batch", times = figures.without } }, note = note },
  require("mien.results.benchmark").utc(), "mien")
local db = mien.results.open(options.db)
rounds.store(db, rows)
db:close()
print(rounds.table(rows, false))
print(note)
print(("waited for the loader: %.1f ms in all"):format(1e3 * figures.waited))
