-- What a run reports into results.db: numbers, parameters, scores, sources, files, events.
-- Not here: whose the run is, and how it ends (results/run.lua, which takes these methods over).
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local home = require "mien.base.home"
local sha256 = require "mien.base.sha256"

local methods = {}
local reporting = { methods = methods }

reporting.scored_tables = { "post_trial", "post_step", "score", "recording_score", "class_score", "confusion" }

local function now() return C.mien_time_now() end

--- A number at a moment of the training; at: { step =, epoch = }. NaN is stored as NULL and marked.
function methods:metric(key, value, at)
  local nan = value ~= value
  self:queue([[INSERT OR REPLACE INTO metric (run, key, step, epoch, value, is_nan, time)
    VALUES (?, ?, ?, ?, ?, ?, ?)]], self.id, key, at.step, at.epoch, not nan and value or nil, nan, now())
end

--- A parameter: a number, a text, a boolean, or nil.
function methods:param(key, value)
  self:queue("INSERT OR REPLACE INTO param VALUES (?, ?, ?)", self.id, key, value)
end

--- The id of a way of scoring, made when it is new, and the comparison refers to it.
local function scoring_of(self, settings)
  self.db:write("INSERT OR IGNORE INTO scoring (run, settings, created) VALUES (?, ?, ?)", self.id, settings, now())
  local id = self.db:value("SELECT id FROM scoring WHERE run = ? AND settings = ?", self.id, settings)
  self.db:write("UPDATE comparison SET scoring = ? WHERE profile = ? AND variant = ? AND run = ?", id, self.profile,
    self.variant, self.id)
  return id
end

--- Named values go to columns of the same name; an unknown name is an error. Scores belong to a scoring: that which
-- run:scored is at, else one without settings.
local function reporter(name, columns)
  local known, marks, scores = {}, { "?", "?" }, false
  for _, scored in ipairs(reporting.scored_tables) do scores = scores or scored == name end
  for i, key in ipairs(columns) do known[key], marks[i + 1] = true, "?" end
  if scores then marks[#marks + 1] = "?" end
  local sql = ("INSERT OR REPLACE INTO %s (run, %s%s) VALUES (%s)"):format(name, table.concat(columns, ", "),
    scores and ", scoring" or "", table.concat(marks, ", ", 1, #columns + (scores and 2 or 1)))
  return function(self, values)
    check.keys(values, known, "results: " .. name)
    local row = {}
    for i, key in ipairs(columns) do row[i] = values[key] end
    if scores then
      self.scoring = self.scoring or scoring_of(self, "")
      row[#columns + 1] = self.scoring
    end
    self:queue(sql, self.id, unpack(row, 1, #columns + (scores and 1 or 0)))
  end
end

methods.score = reporter("score", { "target", "split", "stage", "ccc", "pcc", "rmse", "ccc_recordings", "frames" })
methods.post_trial = reporter("post_trial", { "target", "position", "step", "value", "ccc" })
methods.post_step = reporter("post_step",
  { "target", "position", "step", "kept", "value", "ccc_before", "ccc_after" })
methods.recording_score = reporter("recording_score", { "split", "stage", "position", "recording", "subject", "target",
  "ccc", "pearson", "rmse", "frames" })
methods.class_score = reporter("class_score", { "split", "class_order", "class", "positives", "frames", "f1",
  "average_precision", "baseline_f1", "baseline_precision", "true_positives", "false_positives", "false_negatives",
  "true_negatives" })
methods.confusion = reporter("confusion", { "split", "gold_order", "gold", "said_order", "said", "frames" })
methods.class_count = reporter("class_count", { "split", "stage", "class_order", "class", "frames", "target" })
methods.sampling = reporter("sampling", { "recordings", "windows", "short_recordings", "short_frames", "padded",
  "tail_frames", "candidates", "eligible", "drawn", "stride", "quota", "short" })

--- All scores of one scoring at once: `report` calls run:score, run:post_step ... and either all of it is stored, in
-- place of what was there, or nothing is. settings: the text that tells it from other scorings of this run.
function methods:scored(report, settings)
  self:require_kept()
  self.db:flush()
  self.db:transaction(function()
    self.scoring = scoring_of(self, settings or "")
    self.db:write("UPDATE scoring SET created = ? WHERE id = ?", now(), self.scoring)
    for _, name in ipairs(reporting.scored_tables) do
      self.db:write("DELETE FROM " .. name .. " WHERE scoring = ?", self.scoring)
    end
    report()
  end)
end

--- Whether the run was scored so the last time, so that its files (predictions, the chain with its weights) say the same;
-- then its comparison shows those scores.
function methods:is_scored(settings)
  local last = self.db:value("SELECT settings FROM scoring WHERE run = ? ORDER BY created DESC, id DESC LIMIT 1", self.id)
  if last ~= settings then return false end
  self.scoring = scoring_of(self, settings)
  return true
end

--- Keeps the sources that it was made with: name -> { path =, text = }.
function methods:sources(files)
  self.db:flush()
  self.db:transaction(function()
    self.db:write("DELETE FROM run_source WHERE run = ?", self.id)
    for name, file in pairs(files) do
      local digest = sha256.text(file.text)
      self.db:write("INSERT OR IGNORE INTO source VALUES (?, ?)", digest, file.text)
      self.db:write("INSERT INTO run_source VALUES (?, ?, ?, ?)", self.id, name, home.short(file.path), digest)
    end
  end)
end

--- A file that the run made; its hash and size are taken now.
function methods:artifact(path, kind)
  local hash, size = sha256.file(path), require("lfs").attributes(path, "size")
  self:queue("INSERT OR REPLACE INTO artifact VALUES (?, ?, ?, ?, ?, ?)", self.id, kind or "file",
    home.short(path), hash, size, now())
end

--- Whether a file is still the one that the run made; true as well where nobody took its hash.
function methods:made(path)
  local row = self.db:row("SELECT sha256 FROM artifact WHERE run = ? AND path = ?", self.id, home.short(path))
  return not row or row.sha256 == sha256.file(path), row and row.sha256
end

--- Something worth telling that is no number.
function methods:event(kind, text)
  self:queue("INSERT INTO event (run, time, kind, text) VALUES (?, ?, ?, ?)", self.id, now(), kind, text)
end

--- Where the training stands: { epochs =, best_epoch =, best_value = }.
function methods:progress(at)
  check.keys(at, { epochs = "integer", best_epoch = "integer", best_value = "number" }, "results: progress")
  self:queue("UPDATE run SET epochs = ?, best_epoch = ?, best_value = ? WHERE id = ?", at.epochs,
    at.best_epoch, at.best_value, self.id)
end

--- Whether it failed by an error, not by what its training came to.
function methods:stopped_by_error()
  return self.db:value("SELECT kind FROM event WHERE run = ? AND kind IN ('failed', 'error') ORDER BY id DESC LIMIT 1",
    self.id) == "error"
end

return reporting
