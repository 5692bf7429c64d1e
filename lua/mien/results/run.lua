-- One run in results.db: which it is, taking it, how it ends.
-- Not here: what it reports (results/reporting.lua), how rows are written (results/init.lua), training (mien.train).
local C = require "mien.base.ffi"
local backend = require "mien.device.backend"
local check = require "mien.base.check"
local home = require "mien.base.home"
local lock = require "mien.base.lock"
local meter = require "mien.results.meter"
local process = require "mien.results.process"
local reporting = require "mien.results.reporting"
local sha256 = require "mien.base.sha256"

local run = {}
run.__index = run
for name, method in pairs(reporting.methods) do run[name] = method end

local HEARTBEAT = 5      -- seconds between two signs of life
local SILENT = 120       -- seconds after which a process of another host counts as gone

local function now() return C.mien_time_now() end

-- ---- which run ---------------------------------------------------------------------------------

local KEYS = {
  experiment = "string!", profile = "string", variant = "string!", arm = "string!", arm_order = "count",
  seed = "integer!", config = "string!", corpus = "string", procedural = "boolean", folder = "string",
  formerly = "string",
}

local NUMBERS = { "id", "seed", "arm_order", "epochs", "best_epoch", "best_value", "heartbeat", "created", "finished" }

--- The row, when its numbers are numbers: SQLite stores a text in any column, and the file may be anybody's.
local function sound(db, row)
  for _, name in ipairs(NUMBERS) do
    if row[name] ~= nil and type(row[name]) ~= "number" then
      check.raise("format", "%s: run %s: %s is %s, where a number is wanted; something else than mien has written there",
        home.short(db.path), tostring(row.id), name, check.describe(row[name]))
    end
  end
  return row
end

local FIND = "SELECT * FROM run WHERE experiment = ? AND config_hash = ?"

--- Gives the comparisons that a run is in, and all their runs, the new name of their profile.
local function rename_profile(db, id, old, new)
  local its = "(SELECT variant FROM comparison WHERE profile = ? AND run = ?)"
  db:write("UPDATE run SET profile = ? WHERE id IN (SELECT run FROM comparison WHERE profile = ? AND variant IN " .. its
    .. ")", new, old, old, id)
  db:write("UPDATE OR REPLACE comparison SET profile = ? WHERE profile = ? AND variant IN " .. its, new, old, old, id)
end

--- Finds the run of this experiment and configuration (arm and seed are part of `config`), or makes it. A run
-- that is there already joins the comparison (variant) that was asked for last. formerly: what the profile was called.
function run.open(db, what)
  check.keys(what, KEYS, "results: run")
  local experiment = db:experiment(what.experiment).id
  local hash = sha256.text(what.config)
  local there = what.formerly and db:row(FIND, experiment, hash)
  if there and there.profile == what.formerly then
    db:transaction(rename_profile, db, there.id, what.formerly, what.profile)
  end
  db:write([[INSERT INTO run (experiment, profile, variant, arm, arm_order, seed, config_hash, config,
      corpus, procedural, folder, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (experiment, config_hash) DO UPDATE SET profile = excluded.profile, arm_order = excluded.arm_order,
      variant = excluded.variant]],
    experiment, what.profile or "default", what.variant, what.arm, what.arm_order or 1, what.seed, hash,
    what.config, what.corpus, what.procedural or false, what.folder, now())
  local row = sound(db, db:row(FIND, experiment, hash))
  return setmetatable({ db = db, id = row.id, row = row, hash = hash, beaten = 0,
    profile = what.profile or "default", variant = what.variant,
    -- what its checkpoints carry: no other run of this or of another results.db has it
    identity = ("%d of %.6f"):format(row.id, row.created) }, run)
end

--- Gives a run another configuration, which it is of from now on: `config` is the text, `event` says why. inherit: starts
-- that name this run by its old hash mean it still, as its weights are the same; else it is to go on, and leaves the
-- comparisons that asked for what it was.
function run.rename(db, id, config, event, inherit)
  db:transaction(function()
    local old, new = db:value("SELECT config_hash FROM run WHERE id = ?", id), sha256.text(config)
    db:write("UPDATE run SET config = ?, config_hash = ? WHERE id = ?", config, new, id)
    if inherit then
      db:write("UPDATE run SET config = replace(config, ?, ?) WHERE instr(config, ?)", old, new, old)
    else
      db:write("DELETE FROM comparison WHERE run = ?", id)
      db:write("UPDATE run SET status = 'interrupted', stop_reason = 'to go on' WHERE id = ? AND status = 'finished'", id)
    end
    if event then
      db:write("INSERT INTO event (run, time, kind, text) VALUES (?, ?, ?, ?)", id, now(), event.kind, event.text)
    end
  end)
end

--- The row as it stands now.
function run:look()
  self.row = sound(self.db, self.db:row("SELECT * FROM run WHERE id = ?", self.id))
  return self.row
end

-- ---- taking it ---------------------------------------------------------------------------------

-- Locks of the runs that this process works on, by the path of their files.
local held = {}

--- Takes the lock of the run's folder: true, false when another process has it, nil where there are no locks (or no
-- folder), and what there is to say about that.
local function take_lock(self)
  if not self.row.folder then return nil end
  local folder = home.path(self.row.folder)
  local path = folder .. "/lock"
  if held[path] then return true end
  check.status(C.mien_folder_make(folder))
  local taken, problem = lock.take(path)
  if taken then
    held[path], self.lock = taken, path
    return true
  end
  if problem == "busy" then return false end
  return nil, ("%s; who works on a run is told by signs of life alone"):format(problem.message)
end

local function release_lock(self)
  if self.lock then
    held[self.lock]:release()
    held[self.lock], self.lock = nil, nil
  end
end

--- Is somebody else at work on it, as far as its row tells? Their name, or nil. locked: this process holds its lock.
function run.busy(row, locked)
  if row.status ~= "running" or not row.owner or row.owner == process.name then return nil end
  local alive, here = process.alive(row.owner)
  -- locks reach over containers, and not to all hosts
  if alive == nil then alive = not (here and locked) and (row.heartbeat or 0) > now() - SILENT end
  return alive and row.owner or nil
end

local function raise_lost(self)
  check.raise("busy", "run %d (%s, seed %d) is no longer this process's: %s; nothing more of it is written here", self.id,
    self.row.arm, self.row.seed, self.lost)
end

--- Raises an error of the code "busy" when another process has taken the run over from this one.
local function require_own(self)
  local owner = self.db:owner_of(self.id)
  if owner == process.name then return end
  self.lost = owner and ("process %s took it over"):format(process.shown(owner)) or "somebody has ended it"
  self.db:guard(self.id, nil)
  release_lock(self)
  raise_lost(self)
end

--- Raises an error when this process was told already that it has lost the run.
function run:require_kept()
  if self.lost then raise_lost(self) end
end

--- What may wait is queued, for as long as the run is this process's.
function run:queue(...)
  self:require_kept()
  self.db:queue(...)
end

--- Raises an error when the run has been taken over: call it before files of the run are written.
function run:require_own()
  if self.lost then raise_lost(self) end
  if self.meter then require_own(self) end
end

local COST = "UPDATE attempt SET frames = ?, train_seconds = ?, joules = ?, memory = ? WHERE run = ? AND ended IS NULL"

--- What this attempt has used so far.
local function store_cost(self)
  local used = self.meter:used()
  self.db:write(COST, used.frames, used.seconds, used.joules, used.memory, self.id)
end

--- The process that is at work on it ("17 on host"), nil when none is or it is this one; looks at the row anew.
function run:taken()
  local other = run.busy(self:look(), self.lock ~= nil)
  return other and process.shown(other)
end

--- Raises an error when a checkpoint is of another run: training on from it would make one run of the halves of two.
-- position: what the checkpoint says, { step =, run = identity }; path: where it lies.
function run:require_identity(position, path)
  if position.run and position.run ~= self.identity then
    check.raise("format", "%s is the checkpoint of another run, which is not in %s (its rows are in another results.db, or "
      .. "were deleted): give that results.db, or put the file elsewhere or delete it to train from the first epoch", path,
      home.short(self.db.path))
  end
end

--- What results.db lacks of the steps that a checkpoint is past (each has its loss), as a text; nil when it has all.
function run:lacks_rows_of(position)
  local rows = self.db:value("SELECT count(*) FROM metric WHERE run = ? AND key = 'train/loss' AND step <= ?", self.id,
    position.step)
  if rows == position.step then return nil end
  return ("of the %d steps before the checkpoint, %s has %d"):format(position.step, home.short(self.db.path), rows)
end

--- Raises an error when a training cannot go on from a checkpoint: it is of another run, or past what is stored.
function run:require_rows_of(position, path)
  self:require_identity(position, path)
  local lacks = self:lacks_rows_of(position)
  if lacks then check.raise("format", "%s is ahead of what is stored: %s", path, lacks) end
end

--- What is another than in the attempt before, which changes the last bits of a training that goes on from there: a
-- list of texts.
local function differences(last, device, library)
  local list = {}
  local function compare(what, before, after)
    if before and after and before ~= after then list[#list + 1] = ("%s %s (before: %s)"):format(what, after, before) end
  end
  compare("threads", last.threads and tonumber(last.threads), backend.threads())
  compare("device", last.device, device)
  compare("library", last.library, library)
  return list
end

--- Takes the run for this process; an error of the code "busy" when another living process has it, or has finished it.
-- position: { epoch =, step = } from which it goes on; device: "cpu" (when left out) or "cuda". Returns the row and,
-- when it goes on with other threads, another device or library than before, a text that says so.
function run:claim(position, device)
  position = position or { epoch = 1, step = 0 }
  self.lost = nil
  self.db:guard(self.id, nil)
  self.db:flush()
  local locked, unlocked = take_lock(self)
  local shown, library = process.device(device), backend.describe(device ~= "cpu" and device or nil)
  local changed
  local ok, problem = pcall(self.db.transaction, self.db, function()
    local known = self.row.status
    local other = self:taken()
    local row = self.row
    if locked == false then other = other or row.owner and process.shown(row.owner) or "another one" end
    if other then
      check.raise("busy", "run %d (%s, seed %d) is being run by process %s", self.id, row.arm, row.seed, other)
    elseif row.status == "finished" and known ~= "finished" then
      check.raise("busy", "run %d (%s, seed %d) has just been finished by another process", self.id, row.arm, row.seed)
    end
    local last = position.step > 0 and self.db:row("SELECT * FROM attempt WHERE run = ? ORDER BY id DESC LIMIT 1", self.id)
    local list = last and differences(last, shown, library) or {}
    changed = #list > 0 and ("goes on with %s: its numbers are right, but their last bits are no longer those of a run "
      .. "that was never interrupted"):format(table.concat(list, ", ")) or nil
    self.db:write([[UPDATE attempt SET ended = coalesce(?, started), reason = 'killed'
      WHERE run = ? AND ended IS NULL]], row.heartbeat, self.id)
    self.db:write([[UPDATE run SET status = 'running', owner = ?, heartbeat = ?, stop_reason = NULL, host = ?,
      device = ?, code_version = ?, finished = NULL WHERE id = ?]], process.name, now(), process.host,
      shown, process.commit(home.folder), self.id)
    self.db:write([[INSERT INTO attempt (run, owner, started, epoch, step, host, device, library, threads)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)]], self.id, process.name, now(), position.epoch, position.step, process.host,
      shown, library, backend.threads())
    self.meter = meter.start()
    store_cost(self)
  end)
  if not ok then
    release_lock(self)
    check.rethrow(problem)
  end
  self.db:guard(self.id, function() require_own(self) end)
  if unlocked then self:event("no lock", unlocked) end
  if changed then self:event("other machine", changed) end
  self.beaten = C.mien_time_monotonic()
  return self:look(), changed
end


--- The scores of all scorings and what they were made with: they are of weights that are trained on.
local function forget_scores(self)
  for _, name in ipairs(reporting.scored_tables) do self.db:write("DELETE FROM " .. name .. " WHERE run = ?", self.id) end
  self.db:write("DELETE FROM scoring WHERE run = ?", self.id)
  self.scoring = nil
end

--- Forgets the scores.
function run:unscore()
  self.db:flush()
  self.db:transaction(forget_scores, self)
end

--- Forgets everything it reported: it starts again from nothing.
function run:clear()
  self.db:flush()
  self.db:transaction(function()
    for _, name in ipairs { "metric", "metric_summary", "class_count", "sampling", "artifact", "run_source" } do
      self.db:write("DELETE FROM " .. name .. " WHERE run = ?", self.id)
    end
    forget_scores(self)
    self.db:write("UPDATE run SET epochs = NULL, best_epoch = NULL, best_value = NULL WHERE id = ?", self.id)
  end)
end

--- A sign of life, at most every five seconds; call it as often as you like. frames: trained on since the last call,
-- and the seconds that took.
function run:beat(frames, seconds)
  if frames and self.meter then self.meter:add(frames, seconds) end
  local time = C.mien_time_monotonic()
  if time - self.beaten < HEARTBEAT then return end
  self.beaten = time
  local used = self.meter and self.meter:used()
  self:queue("UPDATE run SET heartbeat = ? WHERE id = ?", now(), self.id)
  if used then self:queue(COST, used.frames, used.seconds, used.joules, used.memory, self.id) end
end

-- ---- how it ends -------------------------------------------------------------------------------

local function close(self, status, reason)
  if self.lost then raise_lost(self) end
  self.db:flush()
  self.db:transaction(function()
    if self.meter then store_cost(self) end -- nobody has to claim what is written by hand
    self.db:write("UPDATE run SET status = ?, stop_reason = ?, owner = NULL, heartbeat = ?, finished = ? WHERE id = ?",
      status, reason, now(), status == "finished" and now() or nil, self.id)
    self.row.status = status
    self.db:write("UPDATE attempt SET ended = ?, reason = ? WHERE run = ? AND ended IS NULL", now(), reason, self.id)
  end)
  self.db:guard(self.id, nil)
  release_lock(self)
end

--- It came to its end: "early stopping", "all epochs" ...
function run:finish(reason) close(self, "finished", reason or "finished") end
--- It cannot go on: NaN, an error.
function run:fail(reason) close(self, "failed", reason) end
--- Somebody stopped it; it can be resumed. They wait: a lock of another program is not waited for.
function run:interrupt(reason)
  local before = self.db.hasty
  self.db.hasty = true
  local ok, problem = pcall(close, self, "interrupted", reason or "interrupted")
  self.db.hasty = before
  release_lock(self) -- its row then tells of a process that is gone
  if not ok then check.rethrow(problem) end
end

return run
