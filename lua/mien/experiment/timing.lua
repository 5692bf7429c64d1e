-- Training steps of an experiment's first arm with the clock on; nothing is stored.
-- Not here: what is counted (device/profile.lua), real runs (experiment/run.lua).
local C = require "mien.base.ffi"
local corpus_of = require "mien.experiment.input"
local init = require "mien.nn.initialisers"
local one = require "mien.experiment.run"
local optim = require "mien.optim"
local profile = require "mien.device.profile"
local schema = require "mien.experiment.schema"
local train_step = require "mien.train.step"

local WARM_UP = 2 -- steps before the clock starts: kernels are built and pages touched in them

--- Profiles `steps` training steps (an epoch at most) of the experiment's first arm and first seed.
-- options: { profile = "demo", sets = { { "train.epochs", "3" } }, device = "auto", precision = "f32",
-- steps = 10, say = function(text) }.
-- Weights start at random: speed does not depend on them, and a prerequisite need not have run.
-- Returns the rows of mien.profile, with `steps`, `waited` (seconds for the loader) and `frames`.
return function(experiment, options)
  local config = schema.merge(require("mien.experiment.plan").tree(experiment, options).root.arms[1].config, {})
  config.start = init.xavier()
  local seed = config.seeds[1]
  local c = corpus_of.open(config, options.say or function() end)
  local parts = corpus_of.partitions(config, c)
  local starts = corpus_of.windows(config, c, parts, seed)
  local counts = c.label_kind ~= "continuous" and corpus_of.counts(config, c, starts, parts) or nil
  local model = one.build({ config = config, corpus = c, start = config.start }, seed):train(true)
  local work = train_step.new { model = model, loss = one.loss(config, counts, model, starts.lengths ~= nil),
    clip = config.train.clip or nil,
    optimiser = optim.from_table(config.train.optimiser, model:parameters()) }
  local frames_seen = 0
  local function step(frames, labels)
    work:gradients(frames, labels)
    work:update()
    frames_seen = frames_seen + frames:size(1) * frames:size(2)
    labels:free()
  end

  local scale = { mean = { 0, 0, 0 }, sd = { 1, 1, 1 } }
  local batches = corpus_of.batches(config, c, starts, seed, config.data.scale or scale)
  local epoch, loader = 1, batches(1, 0)
  local function next_batch()
    local frames, labels = loader:next()
    if not frames then
      loader:close()
      epoch = epoch + 1
      loader = batches(epoch, 0)
      frames, labels = loader:next()
    end
    return frames, labels
  end
  local function run(n)
    for _ = 1, n do
      local frames, labels = next_batch()
      step(frames, labels)
      frames:free()
    end
  end
  run(WARM_UP)
  frames_seen = 0
  local n = math.min(options.steps or 10, loader.steps)
  local waited = 0
  local timed_next = next_batch
  next_batch = function()
    local started = C.mien_time_monotonic()
    local frames, labels = timed_next()
    waited = waited + C.mien_time_monotonic() - started
    return frames, labels
  end
  local rows = profile.run(run, n)
  rows.steps, rows.waited, rows.frames = n, waited, frames_seen
  loader:close()
  c:close()
  return rows
end
