-- What becomes of one wanted run: it is there, goes on, is scored as is wanted now, is trained, or is another process's.
-- Not here: all of them (experiment/plan.lua), what results.db has of it (known.lua), training and scoring (run.lua).
local able = require "mien.experiment.able"
local check = require "mien.base.check"
local home = require "mien.base.home"
local known = require "mien.experiment.known"
local one = require "mien.experiment.run"
local process = require "mien.results.process"
local results_run = require "mien.results.run"
local schema = require "mien.experiment.schema"

local THERE = [[SELECT r.status FROM run r JOIN experiment e ON e.id = r.experiment WHERE e.name = ? AND r.config_hash = ?
  AND r.status = 'finished']]

local function label_of(r)
  local several = #r.node.arms * #r.node.config.seeds > 1
  return several and ("%s, %s, seed %d"):format(r.node.name, r.arm.name, r.seed) or r.node.name
end

--- The folder of a new run: one that was made longer keeps the folder of its first configuration.
local function folder_of(r, db)
  local stem = ("runs/%s/%s/%s-%d-%s"):format(r.node.name, r.node.profile, r.arm.name, r.seed, r.hash:sub(1, 8))
  local path, n = home.short(home.path(stem)), 1
  while db:value("SELECT 1 FROM run WHERE folder = ? AND config_hash <> ?", path, r.hash) do
    n = n + 1
    path = home.short(home.path(stem .. "-" .. n))
  end
  return path
end

--- Whether a finished run's best weights are still to be put where others start from them.
local function is_stale(r)
  local meta = r.exports and able.weights_meta(r.node)
  return r.exports and r.node.weights and (not meta or meta.config_hash ~= r.hash)
end

--- Takes a run for this process: true, nil, and what there is to say about how it goes on; false and what there is to
-- say when another one has it.
local function claim(run, position, where)
  local ok, problem, changed = xpcall(run.claim, check.trace, run, position, where)
  if ok then return true, nil, changed end
  if not (check.is_error(problem) and problem.code == "busy") then check.rethrow(problem) end
  return false, problem.message
end

--- Says something about a run once, in every call for it.
local function say_once(r, context, text)
  if r.told ~= text then context.say(("%s: %s"):format(label_of(r), text)) end
  r.told = text
end

--- Raises the error of a run that would go on and was begun under other code: that would mix two trainings.
local function refuse_code(r, about)
  check.raise("argument", "%s was begun under other code: %s. --again trains it anew as the code is now, "
    .. "--go-on goes on with it all the same; or put the code back", label_of(r), about)
end

--- What is to be said where a run would go on under another mien than that which began it, else nil.
local function other_mien(before)
  local now = process.commit(home.folder)
  return before and now and before ~= now and ("mien was %s, is %s"):format(before, now) or nil
end

--- Finds the wanted run in results.db, under whatever configuration it may go on; false when another process has that.
local function settle(r, context)
  local found = known.find(context.db, r)
  if not found or found.how == "same" then return true end
  local goes_on = found.how ~= "early" and found.how ~= "other"
  if found.busy and (goes_on or found.how == "early") then
    say_once(r, context, "left to another process: it has this run, which differs: " .. found.about)
    return false
  end
  if goes_on and (context.only or context.again and r.node == context.root) then return true end -- as it is not there
  local mien = goes_on and other_mien(found.mien)
  if (found.how == "code" or mien) and not context.go_on then
    refuse_code(r, found.how == "code" and found.about .. (mien and "; " .. mien or "") or mien)
  end
  if found.how == "other" then
    if not context.only then
      say_once(r, context, ("trained anew, as this is another run than that which is there (%s): %s%s"):format(found.status,
        found.about, found.gone and "; it would go on if its last state, last.h5, were there" or ""))
    end
    return true
  end
  known.take(context.db, r, found)
  if found.how == "code" then say_once(r, context, "goes on under other code, as --go-on wants: " .. found.about) end
  return true
end

--- What one run needs for training or scoring.
local function needs_of(r, run, context)
  return {
    config = r.arm.config, corpus = r.arm.corpus, parts = r.arm.parts, start = r.arm.start, arm = r.arm.name, seed = r.seed,
    run = run, folder = home.path(run.row.folder), files = r.arm.files, profile = r.node.profile, weights = r.node.weights,
    label = label_of(r), say = context.say, quiet = context.quiet, exports = r.exports,
  }
end

--- What there is to do for a finished run: nothing, scoring as is wanted now, or its weights put where others look.
-- Returns its status, or nil when its weights are gone and it must be trained again.
local function look_after(r, run, what, context)
  local config, scored = r.arm.config, run:is_scored(schema.scoring(r.arm.config))
  if context.only or not scored then
    local line, why = one.score(what, context.only == "score")
    if not line and context.only then
      context.say(("%s: cannot be scored: %s"):format(what.label, why))
      return "failed"
    elseif not line then
      return nil, why
    end
    context.say(line)
    if is_stale(r) then one.export_again(what) end
    return "scored"
  end
  if is_stale(r) and not one.export_again(what) then return nil, "its weights are gone" end
  local changed = known.changed(context.db, run.id, r.arm.files)
  context.say(("%s: finished already (best %s %.3f at epoch %d); nothing to do%s"):format(what.label,
    config.train.stop.watch, run.row.best_value or 0 / 0, run.row.best_epoch or 0,
    changed and ", as it does not depend on what has changed: " .. changed or ""))
  return "skipped"
end

--- Does one run unless it is done; returns "finished", "skipped" (finished earlier), "scored" (finished earlier), "failed",
-- "untrained" (when only scoring is wanted) or "busy".
local function execute(r, context)
  local node, config, label = r.node, r.arm.config, label_of(r)
  if not settle(r, context) then return "busy" end
  if context.only and not context.db:value(THERE, node.name, r.hash) then
    context.say(("%s: is not trained yet: mien run does that"):format(label))
    return "untrained"
  end
  local run = context.db:run {
    experiment = node.name, profile = node.profile, variant = node.variant, arm = r.arm.name, arm_order = r.arm.order,
    seed = r.seed, config = r.text, corpus = r.arm.corpus.name, procedural = r.arm.corpus.procedural,
    folder = folder_of(r, context.db), formerly = node.formerly,
  }
  local what = needs_of(r, run, context)
  local status, anew = run.row.status, nil
  if context.again and node == context.root and status ~= "new" then
    anew = "trained anew, as --again wants"
  elseif status == "finished" then
    local done, why = look_after(r, run, what, context)
    if done then return done end
    anew = "trained again: " .. why
  elseif status == "failed" then
    if not context.retry then
      context.say(("%s: failed (%s); --retry runs it again"):format(label, run.row.stop_reason or "?"))
      return "failed"
    end
    -- what failed with an error may be mended, and its training goes on; one that went astray begins anew
    if not run:stopped_by_error() then anew = "trained again" end
  end
  local position
  if not anew then
    local readable, found = xpcall(one.position, check.trace, what)
    if not readable then
      if not one.is_own(found) then check.rethrow(found) end
      context.say(("%s: left as it is: %s"):format(label, tostring(found)))
      context.problem = context.problem or found
      return "failed"
    end
    position = found
  end
  local mien = position and not results_run.busy(run.row) and other_mien(run.row.code_version)
  if mien and not context.go_on then refuse_code(r, mien) end
  if mien then run:event("code", "goes on under other code: " .. mien) end
  local mine, why, other = claim(run, position and { epoch = position.epoch, step = position.step }, config.device)
  if not mine and run:look().status == "finished" then return execute(r, context) end -- a moment ago
  if not mine then
    say_once(r, context, "left to another process: " .. why)
    return "busy"
  end
  if anew then context.say(("%s: %s"):format(label, anew)) end
  one.begin(what, position)
  if other then context.say(("%s: %s"):format(label, other)) end
  local ended, line, problem = one.attempt(what)
  context.problem = context.problem or problem
  context.say(line)
  return ended
end

return execute
