-- One run in results.db: taking it, what it reports, how it ends.
-- Not here: how rows are written (results/init.lua), training (mien.train).
local ffi = require "ffi"
local C = require "mien.ffi"
local check = require "mien.check"
local home = require "mien.home"
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

local FIND = "SELECT * FROM run WHERE experiment = ? AND config_hash = ?"

--- Finds the run of this experiment and configuration (arm and seed are part of `config`), or makes it. A run
-- that is there already joins the comparison (variant) that was asked for last.
function run.open(db, what)
  check.keys(what, KEYS, "results: run")
  local experiment = db:experiment(what.experiment).id
  local hash = run.hash(what.config)
  db:write([[INSERT INTO run (experiment, profile, variant, arm, arm_order, seed, config_hash, config,
      corpus, procedural, folder, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (experiment, config_hash) DO UPDATE SET profile = excluded.profile, arm_order = excluded.arm_order,
      variant = excluded.variant]],
    experiment, what.profile or "default", what.variant, what.arm, what.arm_order or 1, what.seed, hash,
    what.config, what.corpus, what.procedural or false, what.folder, now())
  local row = db:row(FIND, experiment, hash)
  return setmetatable({ db = db, id = row.id, row = row, hash = hash, beaten = 0 }, run)
end

--- The row as it stands now.
function run:look()
  self.row = self.db:row("SELECT * FROM run WHERE id = ?", self.id)
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

--- Takes the run for this process; an error of the code "busy" when another living process has it, or has finished it.
-- position: { epoch =, step = } from which it goes on; device: "cpu" (when left out) or "cuda".
function run:claim(position, device)
  position = position or { epoch = 1, step = 0 }
  self.db:flush()
  self.db:transaction(function()
    local row = self.db:row("SELECT * FROM run WHERE id = ?", self.id)
    local other = busy(row)
    if other then
      check.raise("busy", "run %d (%s, seed %d) is being run by process %s on %s",
        self.id, row.arm, row.seed, other:match ":(%d+):" or "?", other:match "^[^:]*")
    elseif row.status == "finished" and self.row.status ~= "finished" then
      check.raise("busy", "run %d (%s, seed %d) has just been finished by another process", self.id, row.arm, row.seed)
    end
    self.db:write([[UPDATE attempt SET ended = coalesce(?, started), reason = 'killed'
      WHERE run = ? AND ended IS NULL]], row.heartbeat, self.id)
    self.db:write([[UPDATE run SET status = 'running', owner = ?, heartbeat = ?, stop_reason = NULL, host = ?,
      device = ?, code_version = ?, finished = NULL WHERE id = ?]], process.name, now(), process.host,
      process.device(device), process.commit(home.folder), self.id)
    self.db:write("INSERT INTO attempt (run, owner, started, epoch, step) VALUES (?, ?, ?, ?, ?)",
      self.id, process.name, now(), position.epoch, position.step)
  end)
  self.beaten = C.mien_time_monotonic()
  return self:look()
end

--- Forgets everything it reported: it starts again from nothing.
function run:clear()
  self.db:flush()
  self.db:transaction(function()
    for _, name in ipairs { "metric", "metric_summary", "post_trial", "post_step", "score", "class_score",
      "class_count", "artifact" } do
      self.db:write("DELETE FROM " .. name .. " WHERE run = ?", self.id)
    end
    self.db:write("UPDATE run SET epochs = NULL, best_epoch = NULL, best_value = NULL WHERE id = ?", self.id)
  end)
end

--- A sign of life, at most every five seconds; call it as often as you like.
function run:beat()
  local time = C.mien_time_monotonic()
  if time - self.beaten < HEARTBEAT then return end
  self.beaten = time
  self.db:write("UPDATE run SET heartbeat = ? WHERE id = ?", now(), self.id)
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
run.class_score = reporter("class_score", { "split", "class_order", "class", "positives", "frames", "f1",
  "average_precision", "baseline_f1", "baseline_precision" })
run.class_count = reporter("class_count", { "split", "stage", "class_order", "class", "frames" })

--- A file that the run made; its hash and size are taken now.
function run:artifact(path, kind)
  local hash, size = run.file_hash(path), require("lfs").attributes(path, "size")
  self.db:queue("INSERT OR REPLACE INTO artifact VALUES (?, ?, ?, ?, ?, ?)", self.id, kind or "file",
    home.short(path), hash, size, now())
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
    self.db:write("UPDATE run SET status = ?, stop_reason = ?, owner = NULL, heartbeat = ?, finished = ? WHERE id = ?",
      status, reason, now(), status == "finished" and now() or nil, self.id)
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
