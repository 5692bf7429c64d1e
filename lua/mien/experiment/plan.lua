-- Everything that running a declaration means: the runs of an experiment and of those that make its weights, in
-- order, each that is not done yet and that no other process has.
-- Not here: which experiments these are (experiment/tree.lua), what of them can be run (able.lua), their runs (runs.lua),
-- what becomes of one (execute.lua), what is printed at the end (report.lua).
local C = require "mien.base.ffi"
local able = require "mien.experiment.able"
local check = require "mien.base.check"
local execute = require "mien.experiment.execute"
local home = require "mien.base.home"
local interrupt = require "mien.base.interrupt"
local known = require "mien.experiment.known"
local network_of = require "mien.experiment.network"
local runs = require "mien.experiment.runs"
local start_of = require "mien.experiment.start"
local tree_of = require("mien.experiment.tree").of

local plan = { tree = tree_of }

--- Leaves an arm out of its experiment: said, and kept as an event.
local function leave_out(node, arm, context)
  node.left_out = node.left_out or {}
  node.left_out[arm.name] = arm.absent
  local text = ("%s, %s: left out: %s"):format(node.name, arm.name, arm.absent)
  context.say(text)
  context.db:queue("INSERT INTO event (time, kind, text) VALUES (?, 'left out', ?)", C.mien_time_now(), text)
end

--- Raises the reason when no arm of the root can be run.
local function require_an_arm(root)
  for _, arm in ipairs(root.chosen) do
    if not arm.absent then return end
  end
  check.raise("io", "%s%s", #root.chosen > 1 and "no arm of " .. root.name .. " can be run; of the first: " or "",
    root.chosen[1].absent)
end

--- Whether what a run starts from is there: true, nil while it is being made, or false and the prerequisite that failed.
local function ready(r)
  for _, required in ipairs(r.arm.after) do
    local first = required.runs[1]
    if first and first.status == "failed" then return false, required end
    if first and not first.status then return nil, required end
  end
  return true
end

local function tell_trained(node, context)
  if node == context.root or node.told or not context.shown then return end
  local finished = false
  for _, r in ipairs(node.runs) do
    if not r.status then return end
    finished = finished or r.status == "finished"
  end
  node.told = true
  if finished then context.shown(node) end
end

--- Goes over all runs once and does those that are free; returns whether any was done, and whether some of them wait for
-- weights that another process makes.
local function pass(tree, context)
  local done, waits = false, false
  for _, node in ipairs(tree.nodes) do
    for _, r in ipairs((not context.only or node == context.root) and node.runs or {}) do
      if not r.status and not r.arm.absent then
        local there, required = true, nil
        if not context.only then there, required = ready(r) end
        if there == false then
          r.arm.absent = ("%s, which makes its weights, failed"):format(required.name)
          node.absent = node.absent or r.exports and r.arm.absent or nil
          if node == context.root then leave_out(node, r.arm, context) end
        elseif there == nil then
          waits = true
        else
          local status = execute(r, context)
          r.busy = status == "busy"
          if not r.busy then r.status, done = status, true end
        end
      end
      if r.arm.absent and r.exports then r.status = "failed" end
    end
    if node.runs then tell_trained(node, context) end
  end
  return done, waits
end

local POLL = 2 -- seconds between two looks at what another process does

--- Does all runs that are free. Runs of the root that other processes have are left to them; weights that they make are
-- waited for, after everything else.
local function run_all(tree, context)
  repeat
    local done, waits = pass(tree, context)
    if waits and not done then
      if not context.waited then context.say "waiting for weights that another process is making" end
      context.waited = true
      interrupt.sleep(POLL)
    end
  until not waits
end

--- Runs by status: finished, skipped, failed, busy of the root, its arms left out, and failed ones of prerequisites.
local function count(tree)
  local counts = { finished = 0, skipped = 0, scored = 0, untrained = 0, failed = 0, busy = 0, left_out = 0,
    failed_before = 0 }
  for _, node in ipairs(tree.nodes) do
    for _, r in ipairs(node.runs or {}) do
      local status = r.status or r.busy and "busy"
      if node == tree.root and status then
        counts[status] = counts[status] + (r.arm.absent and 0 or 1)
      elseif status == "failed" and not r.arm.absent then
        counts.failed_before = counts.failed_before + 1
      end
    end
  end
  for _ in pairs(tree.root.left_out or {}) do counts.left_out = counts.left_out + 1 end
  return counts
end

--- What both running and looking begin with: devices, and what cannot be run.
local function open(declared, options, look)
  local tree = tree_of(declared, options)
  able.settle_devices(tree)
  able.find_absent(tree, look)
  if not look then require_an_arm(tree.root) end
  able.mark_wanted(tree.root)
  return tree
end

local function close_corpora(tree)
  for _, node in ipairs(tree.nodes) do
    for _, arm in ipairs(node.chosen) do
      if arm.corpus and not arm.corpus.closed then
        arm.corpus:close()
        arm.corpus.closed = true -- arms share it
      end
    end
  end
end

--- Leaves out arms of the root whose start from somebody's file does not fit their network, before anything is trained.
local function try_starts(node, context)
  local tried = {}
  for _, r in ipairs(node.runs) do
    local arm = r.arm
    if arm.start.path and not arm.needs and not arm.maker and not r.status and not arm.absent and not tried[arm] then
      tried[arm] = true
      local problem = start_of.try(arm)
      if problem then
        arm.absent = problem
        leave_out(node, arm, context)
      end
    end
  end
end

--- Lists the runs of all that is wanted, first of the prerequisites.
local function prepare_all(tree, context)
  local made = {}
  for _, node in ipairs(tree.nodes) do
    if node.wanted then
      if node.as_is then
        context.say(("%s: %s is used as it is: %s"):format(node.name, home.short(able.weights_path(node)),
          node.absent and "what makes it cannot run here" or "no experiment made it"))
      else
        runs.require_one_file(context.db, node)
        local about = node.config.about ~= "" and node.config.about or nil
        context.db:experiment(node.name, { about = about, file = node.file and home.short(node.file) })
        for _, text in ipairs(network_of.unread(node)) do context.say(text) end
      end
      if not runs.prepare(node, made, tree.moved, not context.only and context.say or nil) and context.only then
        check.raise("io", "%s: its corpus is not there, so none of its runs can be told; mien run makes it", node.name)
      end
      if node == tree.root and not context.only and node.runs then try_starts(node, context) end
    end
  end
end

--- Whether any run came to its end, now or earlier.
local function any_done(tree)
  for _, node in ipairs(tree.nodes) do
    for _, r in ipairs(node.runs or {}) do
      if r.status == "finished" or r.status == "skipped" or r.status == "scored" then return true end
    end
  end
  return false
end

--- Runs all. options: { db, sets, profile, arms, device, precision, retry, again, go_on, only = "post" or "score", say,
-- quiet, shown = called with each trained prerequisite }; see experiment:run. An error in one run is that run's own, and the
-- next one begins; it is raised at the end when none of them came to its end.
-- Returns the tree's root and counts of its runs by status.
function plan.run(declared, options)
  local tree = open(declared, options)
  local context = { db = options.db, retry = options.retry, again = options.again, go_on = options.go_on,
    only = options.only, say = options.say, root = tree.root, shown = options.shown, quiet = options.quiet }
  for _, note in ipairs(tree.notes) do context.say(note) end
  for _, arm in ipairs(tree.root.chosen) do
    if arm.absent then leave_out(tree.root, arm, context) end
  end
  prepare_all(tree, context)
  require_an_arm(tree.root)
  run_all(tree, context)
  close_corpora(tree)
  if context.problem and not any_done(tree) then check.rethrow(context.problem) end
  require_an_arm(tree.root)
  local counts = count(tree)
  if counts.busy > 0 then
    context.say(("%s: %d of %d runs are left to other processes; what they find is here when this is run again"):format(
      tree.root.name, counts.busy, #tree.root.runs))
  end
  return tree.root, counts
end

--- What a call with these options would do, without doing it: the tree, and of the root's runs, where they can be told
-- before a corpus is made, the list of { arm =, seed =, status = } (status of the run in results.db, "new" without
-- one), else nil.
function plan.outline(declared, options)
  local tree = open(declared, options, true)
  local made, told = {}, true
  for _, node in ipairs(tree.nodes) do
    if node.wanted then told = told and runs.prepare(node, made, tree.moved, nil) end
  end
  close_corpora(tree)
  if not told then return tree, nil end
  local list = {}
  for i, r in ipairs(tree.root.runs) do
    local found = options.db and known.find(options.db, r)
    local status = found and (found.how == "same" or found.how == "early")
      and options.db:value("SELECT status FROM run WHERE id = ?", found.id)
    if found and not status then
      status = found.how == "longer" and ("%s, goes on: %s"):format(found.status, found.about)
        or found.how == "code" and "begun under other code: " .. found.about
        or ("new; there is one (%s) that differs: %s"):format(found.status, found.about)
    end
    list[i] = { arm = r.arm.name, seed = r.seed, status = status or "new" }
  end
  return tree, list
end

return plan
