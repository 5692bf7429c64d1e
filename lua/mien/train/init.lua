-- The training loop: epochs, validation, early stopping, checkpoints, resuming to the same bits.
-- Not here: batches (data/loader.lua), updates (optim/init.lua), which runs there are (experiment/).
local C = require "mien.base.ffi"
local captured = require "mien.train.captured"
local check = require "mien.base.check"
local checkpoint_state = require "mien.checkpoint.state"
local code = require "mien.results.code"
local notices = require "mien.base.notices"
local interrupt = require "mien.base.interrupt"
local precision = require "mien.device.precision"
local progress = require "mien.train.progress"
local scope = require "mien.tensor.scope"
local snapshot = require "mien.train.snapshot"
local step = require "mien.train.step"
local stop = require "mien.train.stop"

local train = { stop = stop, state = checkpoint_state }

local SAVE_SECONDS = 30 -- between checkpoints inside an epoch ...
local SAVE_SHARE = 20   -- ... and at least this many times what one takes

-- ---- one training ------------------------------------------------------------------------------

local fit = {}
fit.__index = fit

local KEYS = {
  model = "table!", loss = "function!", optimiser = "table!", train = "function!", validate = "function!",
  epochs = "count!", stop = "table!", clip = "number", run = "table", checkpoint = "string", meta = "table", rngs = "table",
  label = "string", quiet = "boolean", out = "any", save_seconds = "number", device = "string", precision = "string",
  graph = "boolean", conditions = "table",
}

--- Files of the checkpoint folder.
function fit:path(name)
  return self.folder and self.folder .. "/" .. name
end

function fit:finite()
  local finite = require("ffi").new "bool[1]"
  for _, entry in ipairs(self.model:state()) do
    check.status(C.mien_tensor_is_finite(entry[2], finite))
    if not finite[0] then return false, entry[1] end
  end
  return true
end

--- Writes the checkpoint; false when there is a reason not to and the last one stays: spoilt weights, or a results.db
-- that another program holds, as no checkpoint may be ahead of what is stored.
function fit:save()
  if not self.folder or not self:finite() then return false end
  local started = C.mien_time_monotonic()
  if self.run then
    self.run:require_own()
    if not self.run.db:sync() then
      self.saved = C.mien_time_monotonic()
      return false
    end
    self.at.run = self.run.identity
  end
  local scaler = self.work.scaler
  self.at.stop, self.at.scaler = self.stop:state(), scaler and scaler:state()
  checkpoint_state.save(self:path "last.h5",
    { model = self.model, optimiser = self.optimiser, rngs = self.rngs, position = self.at })
  self.saved = C.mien_time_monotonic()
  self.save_cost = self.saved - started
  return true
end

--- Why training ends after the epochs that are done, or nil.
function fit:ended()
  return self.stop:done() and ("no better %s for %d epochs"):format(self.stop.watch, self.stop.patience)
    or self.at.epochs_done >= self.epochs and "all epochs done" or nil
end

--- Compares what this training is asked with what the checkpoint was trained with. More epochs or more patience go on
-- from it; anything else would be neither the one training nor the other.
function fit:compare()
  local before, differs, names = self.at.settings or self.settings, {}, {} -- an earlier mien's file says nothing
  for _, settings in ipairs { before, self.settings } do
    for name in pairs(settings) do names[name] = true end
  end
  for name in pairs(names) do
    local now, value = self.settings[name], before[name]
    if name == "epochs" or name == "patience" then
      if name == "patience" and now < value or name == "epochs" and now < self.at.epochs_done then
        differs[#differs + 1] = ("%s is %g, it was trained with %g (%d epochs are done)"):format(name, now, value,
          self.at.epochs_done)
      elseif now ~= value then
        self:say(("%s is now %g, it was %g: the training goes on from epoch %d"):format(name, now, value,
          self.at.epoch), "continued")
      end
    elseif now ~= value then
      differs[#differs + 1] = ("%s is %s, it was trained with %s"):format(name, tostring(now), tostring(value))
    end
  end
  table.sort(differs)
  if #differs > 0 then
    check.raise("argument", "%s is of another training: %s; give it back what it had, or name another folder, or delete "
      .. "last.h5 to begin anew", self:path "last.h5", table.concat(differs, "; "))
  end
  self.at.settings = self.settings
end

function fit:resume()
  if not self.folder or not require("lfs").attributes(self:path "last.h5") then return end
  self.at = checkpoint_state.advise(self:path "last.h5", function(path)
    if self.run then self.run:require_rows_of(checkpoint_state.position(path), path) end
    return checkpoint_state.load(path, { model = self.model, optimiser = self.optimiser, rngs = self.rngs })
  end)
  self:compare()
  self.stop:set_state(self.at.stop)
  self.at.done = self:ended() -- more epochs or more patience than before go on
  local scaler = self.work.scaler
  if scaler and self.at.scaler then scaler:set_state(self.at.scaler) end
end

function fit:metric(key, value)
  if self.run then self.run:metric(key, value, { step = self.at.step, epoch = self.at.epoch }) end
end

--- Something that a user should know once; kind: that of the run's event.
function fit:say(text, kind)
  if self.run then self.run:event(kind or "graph", text) end
  self.display:say(text)
end

--- What was noticed below training since the last call; a quiet training leaves it to stderr.
function fit:tell_notices()
  notices.tell(function(text)
    self:say(text, "notice")
    return not self.quiet
  end)
end

--- Lets the GPU record the steps, where that is possible.
function fit:capture()
  local reason = captured.refuses(self.work)
  if reason then return self:say("train.graph is left aside: " .. reason) end
  self.captured = captured.new { work = self.work, before = self.before, rngs = self.rngs,
    phase = function(name) self.phase = name end, say = function(text) self:say("train.graph: " .. text) end }
end

--- One step; returns the loss, or nil and what went wrong with it.
function fit:step(frames, labels)
  local at = self.at
  self.before:take(self.captured ~= nil)
  local value, norm
  if self.captured then
    value, norm = self.captured:run(frames, labels)
  else
    self.phase = "computing"
    value = self.work:gradients(frames, labels)
  end
  if value ~= value or math.abs(value) == math.huge then
    local what = value == value and "infinite" or "NaN"
    local why = self.work.scaler and "; fp16 ends at 65504, bf16 does not" or ""
    return nil, ("loss is %s at epoch %d, step %d%s"):format(what, at.epoch, at.step + 1, why)
  end
  if not self.captured then
    interrupt.poll()
    self.phase = "updating"
    norm = self.work:update()
  end
  self:tell_notices()
  at.step, at.epoch_step = at.step + 1, at.epoch_step + 1
  at.loss_sum, at.loss_n = at.loss_sum + value, at.loss_n + 1
  self.phase = "between"
  self:metric("train/loss", value)
  if norm then self:metric("train/gradient_norm", norm) end
  return value
end

--- The steps of an epoch that are left; returns nil, or why training must end.
function fit:steps()
  local at, frames_done = self.at, 0
  local started = C.mien_time_monotonic()
  local last = started
  self.model:train(true)
  local loader = self.train(at.epoch, at.epoch_step)
  local steps = loader.steps
  if steps == 0 then check.raise("argument", "training: not one whole batch in the training windows") end
  local ok, problem = pcall(function()
    for frames, labels in loader:batches() do
      local size = frames.shape
      local value, problem = self:step(frames, labels)
      labels:free()
      if not value then return problem end
      frames_done = frames_done + size[1] * size[2]
      local time = C.mien_time_monotonic()
      self.rate = frames_done / math.max(time - started, 1e-9)
      if self.run then self.run:beat(size[1] * size[2], time - last) end
      last = time
      self.display:step { epoch = at.epoch, step = at.epoch_step, steps = steps, loss = at.loss_sum / at.loss_n,
        rate = self.rate, best = self.stop.best, best_epoch = self.stop.best_epoch, watch = self.stop.watch }
      if time - self.saved > math.max(self.save_seconds, SAVE_SHARE * self.save_cost) then self:save() end
      interrupt.poll()
    end
  end)
  if ok and loader.waited then self:metric("time/loader_wait", loader:waited()) end
  loader:close()
  if not ok then check.rethrow(problem) end
  if frames_done > 0 then
    self:metric("time/epoch_seconds", C.mien_time_monotonic() - started)
    self:metric("time/frames_per_second", self.rate)
  end
  return problem
end

--- The weights of this epoch as the best so far: in the folder, or in memory where there is none.
function fit:keep_best()
  if self.folder then
    if self.run then self.run:require_own() end
    local meta = { epoch = self.at.epoch }
    for key, given in pairs(self.meta or {}) do meta[key] = given end
    require("mien.checkpoint").save_weights(self:path "best.h5", self.model, meta)
    self.at.best_digest = require("mien.checkpoint").digest(self:path "best.h5")
    return
  end
  self.best = self.best or {}
  for i, entry in ipairs(self.model:state()) do
    if self.best[i] then self.best[i][2]:copy_(entry[2])
    else self.best[i] = { entry[1], scope.keep(entry[2]:clone()) } end
  end
end

--- Validation, early stopping, checkpoint; returns why training ends, or nil.
function fit:finish_epoch()
  local at = self.at
  self.model:train(false)
  local metrics = scope.run(self.validate, at.epoch)
  local value = metrics[self.stop.watch]
  if value == nil then check.unknown("train: stop.watch", "metric", self.stop.watch, metrics) end
  if self.stop:update(at.epoch, value) then self:keep_best() end
  local keys = {}
  for key in pairs(metrics) do keys[#keys + 1] = key end
  table.sort(keys)
  for _, key in ipairs(keys) do self:metric(key, metrics[key]) end
  local loss = at.loss_sum / at.loss_n
  self:metric("train/epoch_loss", loss)
  local scaler = self.work.scaler
  if scaler then
    self:metric("train/loss_scale", scaler.scale)
    self:metric("train/skipped_steps", scaler.skipped) -- since the first epoch
  end
  self.display:epoch { epoch = at.epoch, loss = loss, rate = self.rate or 0, value = value, best = self.stop.best,
    best_epoch = self.stop.best_epoch, watch = self.stop.watch }
  at.epochs_done = at.epoch
  local reason = self:ended()
  if reason then at.done = reason end
  at.epoch, at.epoch_step, at.loss_sum, at.loss_n = at.epoch + 1, 0, 0, 0
  self.phase = "between"
  if self.run then
    self.run:progress { epochs = at.epochs_done, best_epoch = self.stop.best and self.stop.best_epoch or nil,
      best_value = self.stop.best }
  end
  self:save()
  return reason
end

--- After Ctrl-C: the checkpoint holds the last whole step.
function fit:keep_interrupted()
  local at = self.at
  interrupt.honour()
  if self.phase == "updating" then return end -- half an update: the checkpoint before it is the truth
  if self.phase ~= "between" then self.before:restore() end
  if self.phase == "validating" then self.stop:set_state(self.stop_before) end
  local saved = self:save()
  local text = not self.folder and "interrupted at epoch %d, step %d"
    or saved and "interrupted at epoch %d, step %d; run it again to go on from here"
    or "interrupted at epoch %d, step %d; no checkpoint could be made, run it again to go on from the last one"
  self.display:say(text:format(at.epoch, at.epoch_step))
end

function fit:loop()
  local at = self.at
  while not at.done do
    local problem = self:steps()
    if problem then return "failed", problem end
    -- an interrupted validation is done again from its beginning; nothing of the epoch is trained twice
    self.before:take()
    self.stop_before = self.stop:state()
    self.phase = "validating"
    self:finish_epoch()
    interrupt.poll()
  end
  return "finished", at.done
end

--- Puts the weights of the best epoch back into the model.
function fit:restore_best()
  if not self.stop.best then return end
  local wanted = self.at.best_digest
  if wanted and require("mien.checkpoint").digest(self:path "best.h5") ~= wanted then
    check.raise("format", "%s holds other weights than this training wrote (their digest is not %s): put those back, or "
      .. "delete last.h5 beside it to train again from the first epoch", self:path "best.h5", wanted)
  end
  scope.run(function()
    self.model:load(self.best or require("mien.checkpoint").load_weights(self:path "best.h5").tensors)
  end)
  for _, entry in ipairs(self.best or {}) do entry[2]:free() end
end

--- What a training is asked, as a checkpoint keeps it: the numbers of its steps and the end depend on these.
local function settings_of(options)
  local settings = { epochs = options.epochs, watch = options.stop.watch, higher = options.stop.higher ~= false,
    patience = options.stop.patience or math.huge, clip = options.clip or 0, precision = options.precision,
    optimiser = options.optimiser:describe(), loss = code.source(options.loss) }
  for name, value in pairs(options.conditions or {}) do settings[name] = value end
  return settings
end

--- Trains until the epochs are done or early stopping ends it, and leaves the best weights in the model.
-- train.fit{ model =, loss = function(output, labels) -> scalar, optimiser =,
--   train = function(epoch, first_step) -> loader, validate = function(epoch) -> { ["validation/ccc"] = ... },
--   epochs = 300, stop = { watch = "validation/ccc", patience = 20, higher = true }, clip = largest gradient norm,
--   run = of results, checkpoint = folder, rngs = { dropout = stream }, label = shown in front, quiet = true,
--   meta = what the file of the best weights says of them, conditions = { name = text or number of what else the numbers
--   depend on },
--   device = "auto"|"cpu"|"cuda" (where the model is, when left out), precision = "f32"|"tf32"|"bf16"|"fp16" (of the
--   model, when left out), graph = true: on a GPU each step is one launch, with the same bits (mien.capture) }
-- Model and optimiser are brought to the device; files hold f32 of any device alike. fp16 scales the loss
-- (optim.scaler) and leaves out steps whose gradients are not finite: metrics train/loss_scale, train/skipped_steps.
-- With a checkpoint folder a training that was killed or interrupted goes on where it was, to the same bits, and a finished
-- one with more epochs or more patience goes on as if it had not ended; other options than the checkpoint's are an error.
-- Returns { status = "finished"|"failed", reason =, epochs =, best =, best_epoch =, steps = }; a failed one met
-- a loss that is no number: the last good checkpoint stays. Ctrl-C saves, then raises the error "interrupted".
function train.fit(options)
  check.keys(options, KEYS, "train.fit")
  options.optimiser:to(precision.place(options.model, options.device, options.precision).device)
  local self = setmetatable({
    model = options.model, optimiser = options.optimiser, train = options.train, work = step.new(options),
    validate = options.validate, epochs = options.epochs, meta = options.meta, run = options.run,
    folder = options.checkpoint, rngs = options.rngs or {}, stop = stop.new(options.stop),
    save_seconds = options.save_seconds or SAVE_SECONDS, save_cost = 0, saved = C.mien_time_monotonic(),
    phase = "between", quiet = options.quiet,
    at = { epoch = 1, epoch_step = 0, step = 0, loss_sum = 0, loss_n = 0, epochs_done = 0 },
    settings = settings_of(options),
  }, fit)
  self.at.settings = self.settings
  local sink = options.quiet and { write = function() end, flush = function() end } or options.out
  self.display = progress.new { label = options.label, epochs = options.epochs, out = sink }
  if self.folder then check.status(C.mien_folder_make(self.folder)) end
  self.before = snapshot.new(options.model, self.rngs)
  if options.graph then self:capture() end
  self:resume()
  self.display:start(self.at.epochs_done)
  local ok, status, reason = xpcall(self.loop, check.trace, self)
  if self.captured then self.captured:close() end
  if not ok and check.is_error(status) and status.code == "numeric" then
    reason = ("%s, at epoch %d, step %d"):format(status.message, self.at.epoch, self.at.step + 1)
    status = "failed"
  elseif not ok then
    if interrupt.is(status) then self:keep_interrupted() end
    check.rethrow(status)
  end
  self.display:close()
  if status == "finished" then self:restore_best() end
  return { status = status, reason = reason, epochs = self.at.epochs_done, best = self.stop.best,
    best_epoch = self.stop.best and self.stop.best_epoch or nil, steps = self.at.step }
end

return train
