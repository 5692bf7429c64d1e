-- Everything that running a declaration means: the runs of an experiment and of those that make its weights, in
-- order, each that is not done yet and that no other process has.
-- Not here: which experiments these are (experiment/tree.lua), one run (experiment/run.lua), what is printed at the end
-- (experiment/report.lua).
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local corpus_of = require "mien.experiment.corpus"
local device = require "mien.device"
local evaluate = require "mien.train.evaluate"
local home = require "mien.base.home"
local interrupt = require "mien.base.interrupt"
local network_of = require "mien.experiment.network"
local one = require "mien.experiment.run"
local precision = require "mien.device.precision"
local results_run = require "mien.results.run"
local schema = require "mien.experiment.schema"
local start_of = require "mien.experiment.start"
local tree_of = require("mien.experiment.tree").of
local lfs = require "lfs"

local plan = { tree = tree_of }

-- ---- what can be run at all --------------------------------------------------------------------

--- Chooses the device of each arm and checks its precision there, before anything runs.
local function settle_devices(tree)
  for _, node in ipairs(tree.nodes) do
    node.config.device = device.choose(node.config.device)
    for _, arm in ipairs(node.chosen) do
      arm.config.device = device.choose(arm.config.device)
      precision.require(arm.config.precision, arm.config.device)
    end
  end
end

local function weights_path(node)
  return home.path(node.weights)
end

--- What a node's weights file says of itself; nil when there is none.
local function weights_meta(node)
  local path = node.weights and weights_path(node)
  return path and lfs.attributes(path) and require("mien.checkpoint").read_meta(path) or nil
end

--- Where an arm's start lies: among what its prerequisite makes, else wherever it is found.
local function start_path(arm, moved)
  if not arm.wants then return nil end
  return arm.needs and weights_path(arm.needs) or home.find(moved[arm.wants] or arm.wants)
end

--- Why the start of an arm cannot be had, or what must run before it cannot run; nil when all is well.
local function why_absent(arm, moved)
  local path = start_path(arm, moved)
  for _, required in ipairs(arm.after) do
    if required.absent and not required.as_is then
      return required == arm.needs
        and ("there is no weights file %s, and %s, which makes it, cannot run: %s"):format(home.short(path), required.name,
          required.absent)
        or ("its prerequisite %s cannot run: %s"):format(required.name, required.absent)
    end
  end
  if path and not arm.needs and not lfs.attributes(path) then
    return ("there is no weights file %s, and none of the prerequisites makes it"):format(home.short(path))
  end
end

--- Finds out, without opening a corpus or training, what of the tree cannot be run: sets `absent`, the reason, of arms
-- whose start cannot be had and of prerequisites; and `as_is` of nodes whose weights are there and are used as they
-- are: those that no experiment made, and those whose maker cannot run here. Without the root's own corpus nothing can be
-- run: an error, unless one only looks.
local function find_absent(tree, look)
  for _, node in ipairs(tree.nodes) do
    local meta = node ~= tree.root and weights_meta(node) or nil
    node.as_is = meta ~= nil and meta.config_hash == nil
    if not node.as_is then
      for _, arm in ipairs(node.chosen) do
        local lacks = corpus_of.missing(arm.config)
        if lacks and node == tree.root and not look then check.raise("io", "%s", lacks) end
        arm.absent = lacks or why_absent(arm, tree.moved)
      end
      -- what others start from is made by the first arm
      node.absent = node.chosen[1].absent
      if node.absent and meta then node.as_is = true end
    end
  end
end

--- Marks what the arms that can run need, and what that needs.
local function mark_wanted(node)
  if node.wanted then return end
  node.wanted = true
  if node.as_is then return end
  for _, arm in ipairs(node.chosen) do
    if not arm.absent then
      for _, required in ipairs(arm.after) do mark_wanted(required) end
    end
  end
end

-- ---- runs --------------------------------------------------------------------------------------

--- Opens the corpora of a node's arms: one for all, unless an arm names its own. Without `say` nothing is generated, and
-- false says that something would have to be.
local function open_corpora(node, arms, say)
  if #arms == 0 then return false end
  local opened, recipes = {}, {}
  for _, arm in ipairs(arms) do
    local d = arm.config.data
    local path, recipe = home.find(d.corpus), select(2, schema.value(arm.config, "data.generate"))
    if recipes[path] and recipes[path] ~= recipe then
      check.raise("argument", "%s, arm %s: data.generate differs from that of another arm, data.corpus is the same file, %s",
        node.name, arm.name, d.corpus)
    end
    recipes[path] = recipe
    if not opened[path] then
      if not say and not lfs.attributes(path) then return false end
      opened[path] = say and corpus_of.open(arm.config, say) or corpus_of.look(arm.config)
    end
    arm.corpus = opened[path]
    if arm.corpus.label_kind ~= arms[1].corpus.label_kind then
      check.raise("argument", "%s: arm %s has %s labels, arm %s has %s ones: they cannot be compared", node.name, arm.name,
        arm.corpus.label_kind, arms[1].name, arms[1].corpus.label_kind)
    end
  end
  node.corpus = arms[1].corpus
  return true
end

-- The labels that a loss compares with.
local LABELS = { ccc = { continuous = true, multilabel = true }, mse = { continuous = true, multilabel = true },
  sigmoid_cross_entropy = { multilabel = true }, softmax_cross_entropy = { class = true } }

--- Checks what only the corpus can tell of a configuration: losses, metrics and names of classes.
local function check_with_corpus(node, arm)
  local c, d, names = arm.corpus, arm.config.data, {}
  local where = ("%s, %s: "):format(node.name, arm.name)
  local of = (" of %s"):format(home.short(c.path))
  local loss = arm.config.train.loss
  if LABELS[loss] and not LABELS[loss][c.label_kind] then
    check.raise("argument", '%strain.loss "%s" does not go with the %s labels%s', where, loss, c.label_kind, of)
  end
  if arm.config.post and c.label_kind == "continuous" and c.fps == 0 then
    check.raise("argument", "%spost-processing counts in seconds, and %s are pictures without time (its fps is 0): give "
      .. "post = false", where, home.short(c.path))
  end
  if d.resample and c.label_kind == "continuous" then
    check.raise("argument", "%sdata.resample draws rare categories again; the labels%s are continuous", where, of)
  end
  if type(d.resample) == "table" then
    local known = {}
    for _, name in ipairs(c.label_names) do known[name:lower()] = true end
    local function emotion(name, key)
      if not known[name:lower()] then check.unknown(where .. "data.resample." .. key, "emotion", name, c.label_names) end
    end
    local quota = d.resample.quota
    for _, name in ipairs(d.resample.minority or {}) do emotion(name, "minority") end
    for name in pairs(type(quota) == "table" and quota or {}) do emotion(name, "quota") end
  end
  for i, name in ipairs(evaluate.metrics(c.label_kind, c.label_names)) do names[i] = "validation/" .. name end
  check.one_of(arm.config.train.stop.watch, names, where .. "train.stop.watch, with the labels" .. of)
end

--- The identity of a corpus, "absent" for one that is not there.
local function corpus_identity(known, arm)
  local path = arm.config.data.corpus
  if not known[path] then
    local c = arm.corpus or lfs.attributes(home.find(path)) and corpus_of.look(arm.config)
    known[path] = c and corpus_of.identity(c) or "absent"
    if c and c ~= arm.corpus then c:close() end
  end
  return known[path]
end

--- Where the arm starts and what makes that start the same; made: weights path -> hash of the run that makes it.
local function settle_start(arm, made, moved)
  local path = start_path(arm, moved)
  arm.start = start_of.resolve(arm.initialiser, path)
  if arm.absent then
    arm.identity = "absent"
  else
    local there, hash = path and lfs.attributes(path), arm.needs and made[arm.needs.weights]
    -- an arm that is not wanted now counts by what its weights say of themselves
    if arm.maker and not arm.needs and there then hash = require("mien.checkpoint").read_meta(path).config_hash end
    arm.identity = path and not hash and not there and "absent" or start_of.identity(arm.start, hash)
  end
end

--- What tells an arm from the others of a comparison: its start, the keys that it changes, its own corpus.
local function arm_identity(node, arm, corpora)
  local text = arm.name .. ": " .. arm.identity
  local own, common = schema.text(arm.config, {}), schema.text(node.config, {})
  if own ~= common then text = text .. ", " .. results_run.hash(own):sub(1, 8) end
  local corpus = corpus_identity(corpora, arm)
  if corpus ~= corpus_identity(corpora, node.arms[1]) then text = text .. ", on " .. corpus end
  return text
end

--- Opens what a node needs and lists its runs, seeds outside and arms inside, so that comparisons fill evenly. Without
-- `say` nothing is made, and false says that the runs cannot be told before something is.
local function prepare(node, made, moved, say)
  if node.as_is then
    local meta = weights_meta(node)
    made[node.weights] = meta.config_hash -- nil for a file that no experiment made: its contents count then
    node.runs = {}
    return true
  end
  local arms, corpora, identities = {}, {}, {}
  for _, arm in ipairs(node.chosen) do
    if not arm.absent then arms[#arms + 1] = arm end
  end
  if not open_corpora(node, arms, say) then return false end
  for _, arm in ipairs(arms) do
    check_with_corpus(node, arm)
    arm.parts = corpus_of.partitions(arm.config, arm.corpus)
  end
  for i, arm in ipairs(node.arms) do
    settle_start(arm, made, moved)
    identities[i] = arm_identity(node, arm, corpora)
  end
  -- a declaration as it stands is hashed under the name that it had first, which runs in results.db may still have
  local profile = node.profile == "default" and "paper" or node.profile
  node.formerly = profile ~= node.profile and not (node.declaration.profiles or {}).paper and profile or nil
  node.variant = results_run.hash(schema.text(node.config,
    { corpus = corpus_identity(corpora, node.arms[1]), profile = profile, arms = identities })):sub(1, 8)
  node.runs = {}
  for _, seed in ipairs(node.config.seeds) do
    for _, arm in ipairs(arms) do
      local text = schema.text(arm.config, { corpus = corpus_identity(corpora, arm), profile = profile, arm = arm.name,
        seed = seed, start = arm.identity })
      node.runs[#node.runs + 1] = { node = node, arm = arm, seed = seed, text = text, hash = results_run.hash(text),
        exports = arm.order == 1 and seed == node.config.seeds[1] }
    end
  end
  if node.weights and node.runs[1] and node.runs[1].exports then
    made[node.weights] = node.runs[1].hash
  end
  return true
end

-- ---- one of them -------------------------------------------------------------------------------

local function label_of(r)
  local several = #r.node.arms * #r.node.config.seeds > 1
  return several and ("%s, %s, seed %d"):format(r.node.name, r.arm.name, r.seed) or r.node.name
end

local function folder_of(r)
  return home.path(("runs/%s/%s/%s-%d-%s"):format(r.node.name, r.node.profile, r.arm.name, r.seed, r.hash:sub(1, 8)))
end

--- Whether a finished run's best weights are still to be put where others start from them.
local function is_stale(r)
  local meta = r.exports and weights_meta(r.node)
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

--- Does one run unless it is done; returns "finished", "skipped" (finished earlier), "failed" or "busy".
local function execute(r, context)
  local node, config, label = r.node, r.arm.config, label_of(r)
  local run = context.db:run {
    experiment = node.name, profile = node.profile, variant = node.variant, arm = r.arm.name, arm_order = r.arm.order,
    seed = r.seed, config = r.text, corpus = r.arm.corpus.name, procedural = r.arm.corpus.procedural,
    folder = home.short(folder_of(r)), formerly = node.formerly,
  }
  local what = {
    config = config, corpus = r.arm.corpus, parts = r.arm.parts, start = r.arm.start, arm = r.arm.name, seed = r.seed,
    run = run, folder = home.path(run.row.folder), profile = node.profile, weights = node.weights, label = label,
    say = context.say, quiet = context.quiet, exports = r.exports,
  }
  local lost = false
  if run.row.status == "finished" then
    os.remove(what.folder .. "/last.h5") -- left when a kill came after the end
    if not is_stale(r) or one.export_again(what) then
      context.say(("%s: finished already (best %s %.3f at epoch %d); nothing to do"):format(label,
        config.train.stop.watch, run.row.best_value or 0 / 0, run.row.best_epoch or 0))
      return "skipped"
    end
    lost = true
  elseif run.row.status == "failed" and not context.retry then
    context.say(("%s: failed (%s); --retry runs it again"):format(label, run.row.stop_reason or "?"))
    return "failed"
  end
  -- what failed with an error may be mended, and its training goes on; one that went astray begins anew
  local again = lost or run.row.status == "failed" and not run:stopped_by_error()
  local readable, position = xpcall(one.position, check.trace, what)
  if not readable then
    if not one.is_own(position) then check.rethrow(position) end
    context.say(("%s: left as it is: %s"):format(label, tostring(position)))
    context.problem = context.problem or position
    return "failed"
  end
  if again then position = nil end
  local mine, why, other = claim(run, position and { epoch = position.epoch, step = position.step }, config.device)
  if not mine and run:look().status == "finished" then return execute(r, context) end -- a moment ago
  if not mine then
    if not r.told then context.say(("%s: left to another process: %s"):format(label, why)) end
    r.told = true
    return "busy"
  end
  if lost then context.say(("%s: its weights are gone; it is trained again"):format(label)) end
  one.begin(what, position)
  if other then context.say(("%s: %s"):format(label, other)) end
  local status, line, problem = one.attempt(what)
  context.problem = context.problem or problem
  context.say(line)
  return status
end

-- ---- all of them -------------------------------------------------------------------------------

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
    for _, r in ipairs(node.runs or {}) do
      if not r.status and not r.arm.absent then
        local there, required = ready(r)
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
  local counts = { finished = 0, skipped = 0, failed = 0, busy = 0, left_out = 0, failed_before = 0 }
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
  settle_devices(tree)
  find_absent(tree, look)
  if not look then require_an_arm(tree.root) end
  mark_wanted(tree.root)
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

--- Whether any run came to its end, now or earlier.
local function any_done(tree)
  for _, node in ipairs(tree.nodes) do
    for _, r in ipairs(node.runs or {}) do
      if r.status == "finished" or r.status == "skipped" then return true end
    end
  end
  return false
end

--- Runs all. An error in one run is that run's own, and the next one begins; it is raised at the end when none of them
-- came to its end. options: { db, sets, profile, arms, device, precision, retry, say, quiet, shown = called with each trained
-- prerequisite }.
-- Returns the tree's root and counts of its runs by status.
function plan.run(declared, options)
  local tree = open(declared, options)
  local context = { db = options.db, retry = options.retry, say = options.say, root = tree.root,
    shown = options.shown, quiet = options.quiet }
  for _, note in ipairs(tree.notes) do context.say(note) end
  for _, arm in ipairs(tree.root.chosen) do
    if arm.absent then leave_out(tree.root, arm, context) end
  end
  local made = {}
  for _, node in ipairs(tree.nodes) do
    if node.wanted then
      if node.as_is then
        context.say(("%s: %s is used as it is: %s"):format(node.name, home.short(weights_path(node)),
          node.absent and "what makes it cannot run here" or "no experiment made it"))
      else
        local about = node.config.about ~= "" and node.config.about or nil
        context.db:experiment(node.name, { about = about, file = node.file and home.short(node.file) })
        for _, text in ipairs(network_of.unread(node)) do context.say(text) end
      end
      prepare(node, made, tree.moved, context.say)
    end
  end
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
    if node.wanted then told = told and prepare(node, made, tree.moved, nil) end
  end
  close_corpora(tree)
  if not told then return tree, nil end
  local list = {}
  for i, r in ipairs(tree.root.runs) do
    local status = options.db and options.db:value([[SELECT r.status FROM run r JOIN experiment e ON e.id = r.experiment
      WHERE e.name = ? AND r.config_hash = ?]], tree.root.name, r.hash)
    list[i] = { arm = r.arm.name, seed = r.seed, status = status or "new" }
  end
  return tree, list
end

return plan
