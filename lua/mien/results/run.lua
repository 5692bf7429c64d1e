-- One run in results.db: taking it, what it reports, how it ends.
-- Not here: how rows are written (results/init.lua), training (mien.train).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local backend = require "mien.device.backend"
local check = require "mien.base.check"
local home = require "mien.base.home"
local meter = require "mien.results.meter"
local process = require "mien.results.process"

local run = {}
run.__index = run

local HEARTBEAT = 5      -- seconds between two signs of life
local SILENT = 120       -- seconds after which a process of another host counts as gone

local function now() return C.mien_time_now() end

-- ---- which run ---------------------------------------------------------------------------------

local KEYS = {
  experiment = "string!", profile = "string", variant = "string!", arm = "string!", arm_order = "count",
  seed = "integer!", config = "string!", corpus = "string", procedural = "boolean", folder = "string",
  formerly = "string",
}

--- sha256 of a text as 64 hex digits.
function run.hash(text)
  local out = ffi.new "char[65]"
  check.status(C.mien_text_sha256(text, #text, out))
  return ffi.string(out)
end

--- sha256 of a file as 64 hex digits.
function run.file_hash(path)
  local out = ffi.new "char[65]"
  check.status(C.mien_file_sha256(path, out))
  return ffi.string(out)
end

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
  local hash = run.hash(what.config)
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
  return setmetatable({ db = db, id = row.id, row = row, hash = hash, beaten = 0 }, run)
end

--- The row as it stands now.
function run:look()
  self.row = sound(self.db, self.db:row("SELECT * FROM run WHERE id = ?", self.id))
  return self.row
end

-- ---- taking it ---------------------------------------------------------------------------------

--- Is somebody else at work on it? Their name, or nil.
local function busy(row)
  if row.status ~= "running" or not row.owner or row.owner == process.name then return nil end
  local alive = process.alive(row.owner)
  if alive == nil then alive = (row.heartbeat or 0) > now() - SILENT end
  return alive and row.owner or nil
end

--- What this attempt has used so far.
local function store_cost(self)
  local used = self.meter:used()
  self.db:write([[UPDATE attempt SET frames = ?, train_seconds = ?, joules = ?, memory = ?
    WHERE run = ? AND ended IS NULL]], used.frames, used.seconds, used.joules, used.memory, self.id)
end

--- The process that is at work on it ("17 on host"), nil when none is or it is this one; looks at the row anew.
function run:taken()
  local other = busy(self:look())
  return other and ("%s on %s"):format(other:match ":(%d+):" or "?", other:match "^[^:]*")
end

--- Takes the run for this process; an error of the code "busy" when another living process has it, or has finished it.
-- position: { epoch =, step = } from which it goes on; device: "cpu" (when left out) or "cuda".
function run:claim(position, device)
  position = position or { epoch = 1, step = 0 }
  self.db:flush()
  self.db:transaction(function()
    local known = self.row.status
    local other, row = self:taken(), self.row
    if other then
      check.raise("busy", "run %d (%s, seed %d) is being run by process %s", self.id, row.arm, row.seed, other)
    elseif row.status == "finished" and known ~= "finished" then
      check.raise("busy", "run %d (%s, seed %d) has just been finished by another process", self.id, row.arm, row.seed)
    end
    self.db:write([[UPDATE attempt SET ended = coalesce(?, started), reason = 'killed'
      WHERE run = ? AND ended IS NULL]], row.heartbeat, self.id)
    self.db:write([[UPDATE run SET status = 'running', owner = ?, heartbeat = ?, stop_reason = NULL, host = ?,
      device = ?, code_version = ?, finished = NULL WHERE id = ?]], process.name, now(), process.host,
      process.device(device), process.commit(home.folder), self.id)
    self.db:write([[INSERT INTO attempt (run, owner, started, epoch, step, host, device, library, threads)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)]], self.id, process.name, now(), position.epoch, position.step, process.host,
      process.device(device), backend.describe(device ~= "cpu" and device or nil), backend.threads())
    self.meter = meter.start()
    store_cost(self)
  end)
  self.beaten = C.mien_time_monotonic()
  return self:look()
end

--- The scores and what they were made with.
local function forget_scores(self)
  for _, name in ipairs { "post_trial", "post_step", "score", "recording_score", "class_score", "confusion" } do
    self.db:write("DELETE FROM " .. name .. " WHERE run = ?", self.id)
  end
end

--- Forgets everything it reported: it starts again from nothing.
function run:clear()
  self.db:flush()
  self.db:transaction(function()
    for _, name in ipairs { "metric", "metric_summary", "class_count", "sampling", "artifact" } do
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
  self.db:write("UPDATE run SET heartbeat = ? WHERE id = ?", now(), self.id)
  if self.meter then store_cost(self) end
end

-- ---- what it reports ---------------------------------------------------------------------------

--- A number at a moment of the training; at: { step =, epoch = }. NaN is stored as NULL and marked.
function run:metric(key, value, at)
  local nan = value ~= value
  self.db:queue([[INSERT OR REPLACE INTO metric (run, key, step, epoch, value, is_nan, time)
    VALUES (?, ?, ?, ?, ?, ?, ?)]], self.id, key, at.step, at.epoch, not nan and value or nil, nan, now())
end

--- A parameter: a number, a text, a boolean, or nil.
function run:param(key, value)
  self.db:queue("INSERT OR REPLACE INTO param VALUES (?, ?, ?)", self.id, key, value)
end

--- Named values go to columns of the same name; an unknown name is an error.
local function reporter(name, columns)
  local known, marks = {}, { "?" }
  for i, key in ipairs(columns) do known[key], marks[i + 1] = true, "?" end
  local sql = ("INSERT OR REPLACE INTO %s (run, %s) VALUES (%s)"):format(name, table.concat(columns, ", "),
    table.concat(marks, ", "))
  return function(self, values)
    check.keys(values, known, "results: " .. name)
    local row = {}
    for i, key in ipairs(columns) do row[i] = values[key] end
    self.db:queue(sql, self.id, unpack(row, 1, #columns))
  end
end

run.score = reporter("score", { "target", "split", "stage", "ccc", "pcc", "rmse", "ccc_recordings", "frames" })
run.post_trial = reporter("post_trial", { "target", "position", "step", "value", "ccc" })
run.post_step = reporter("post_step",
  { "target", "position", "step", "kept", "value", "ccc_before", "ccc_after" })
run.recording_score = reporter("recording_score", { "split", "stage", "position", "recording", "subject", "target",
  "ccc", "pearson", "rmse", "frames" })
run.class_score = reporter("class_score", { "split", "class_order", "class", "positives", "frames", "f1",
  "average_precision", "baseline_f1", "baseline_precision", "true_positives", "false_positives", "false_negatives",
  "true_negatives" })
run.confusion = reporter("confusion", { "split", "gold_order", "gold", "said_order", "said", "frames" })
run.class_count = reporter("class_count", { "split", "stage", "class_order", "class", "frames", "target" })
run.sampling = reporter("sampling", { "recordings", "windows", "short_recordings", "short_frames", "padded", "tail_frames",
  "candidates", "eligible", "drawn", "stride", "quota", "short" })

--- All scores at once: `report` calls run:score, run:post_step ... and either all of it is stored, in place of what was
-- there, or nothing is.
function run:scored(report)
  self.db:flush()
  self.db:transaction(function()
    forget_scores(self)
    report()
  end)
end

--- A file that the run made; its hash and size are taken now.
function run:artifact(path, kind)
  local hash, size = run.file_hash(path), require("lfs").attributes(path, "size")
  self.db:queue("INSERT OR REPLACE INTO artifact VALUES (?, ?, ?, ?, ?, ?)", self.id, kind or "file",
    home.short(path), hash, size, now())
end

--- Raises an error when a file that the run made is no longer the one whose hash was taken.
function run:check_artifact(path)
  local row = self.db:row("SELECT sha256 FROM artifact WHERE run = ? AND path = ?", self.id, home.short(path))
  if row and row.sha256 ~= run.file_hash(path) then
    check.raise("format", "%s has changed since run %d wrote it (its sha256 was %s): put that file back, or delete it and "
      .. "the run is trained again", path, self.id, row.sha256)
  end
end

--- Something worth telling that is no number.
function run:event(kind, text)
  self.db:queue("INSERT INTO event (run, time, kind, text) VALUES (?, ?, ?, ?)", self.id, now(), kind, text)
end

--- Where the training stands: { epochs =, best_epoch =, best_value = }.
function run:progress(at)
  check.keys(at, { epochs = "integer", best_epoch = "integer", best_value = "number" }, "results: progress")
  self.db:queue("UPDATE run SET epochs = ?, best_epoch = ?, best_value = ? WHERE id = ?", at.epochs,
    at.best_epoch, at.best_value, self.id)
end

-- ---- how it ends -------------------------------------------------------------------------------

local function close(self, status, reason)
  self.db:flush()
  self.db:transaction(function()
    if self.meter then store_cost(self) end -- nobody has to claim what is written by hand
    self.db:write("UPDATE run SET status = ?, stop_reason = ?, owner = NULL, heartbeat = ?, finished = ? WHERE id = ?",
      status, reason, now(), status == "finished" and now() or nil, self.id)
    self.row.status = status
    self.db:write("UPDATE attempt SET ended = ?, reason = ? WHERE run = ? AND ended IS NULL", now(), reason, self.id)
  end)
end

--- It came to its end: "early stopping", "all epochs" ...
function run:finish(reason) close(self, "finished", reason or "finished") end
--- It cannot go on: NaN, an error.
function run:fail(reason) close(self, "failed", reason) end
--- Somebody stopped it; it can be resumed.
function run:interrupt(reason) close(self, "interrupted", reason or "interrupted") end

return run
