-- Everything that running a declaration means: prerequisites first, then each arm and seed that is not done yet.
-- Not here: one run (experiment/run.lua), what is printed at the end (experiment/report.lua).
local check = require "mien.check"
local corpus_of = require "mien.experiment.corpus"
local device = require "mien.device"
local home = require "mien.home"
local interrupt = require "mien.interrupt"
local one = require "mien.experiment.run"
local precision = require "mien.precision"
local results_run = require "mien.results.run"
local schema = require "mien.experiment.schema"
local start_of = require "mien.experiment.start"
local lfs = require "lfs"

local plan = {}

-- ---- the tree of experiments -------------------------------------------------------------------

--- Loads the prerequisites of a declaration, and theirs; name -> node { declaration, requires }.
local function load_tree(declared, nodes, path)
  local declaration = declared.declaration
  if path[declaration.name] then
    check.raise("argument", "%s is its own prerequisite", declaration.name)
  end
  path[declaration.name] = true
  local node = nodes[declaration.name]
  if not node then
    node = { declaration = declaration, file = declared.file, requires = {}, sets = {} }
    nodes[declaration.name] = node
    for i, file in ipairs(declaration.prerequisites or {}) do
      local required = require("mien.experiment").load(home.find(file))
      node.requires[i] = load_tree(required, nodes, path)
    end
  end
  path[declaration.name] = nil
  return node
end

--- Gives each node its own --set pairs: "realeyes.data=FILE" goes to realeyes, "train.epochs=3" to the root. What
-- is wanted of all of them comes first.
local function deal_sets(root, nodes, sets, of_all)
  for key, value in pairs(of_all) do
    for _, node in pairs(nodes) do node.sets[#node.sets + 1] = { key, value } end
  end
  for _, set in ipairs(sets) do
    local first, rest = set[1]:match "^([^%.]+)%.(.+)$"
    local node = first and nodes[first]
    if node then
      node.sets[#node.sets + 1] = { rest, set[2] }
    else
      root.sets[#root.sets + 1] = set
    end
  end
end

--- Whether --set names the node's key.
local function was_set(node, ...)
  for _, set in ipairs(node.sets) do
    for _, key in ipairs { ... } do
      if set[1] == key then return true end
    end
  end
  return false
end

local function apply_sets(node, config)
  for _, set in ipairs(node.sets) do schema.set(config, set[1], set[2]) end
  return config
end

--- A node's configuration: declaration, profile, what it says of single pictures if the corpus holds such, --set.
-- Weights from another corpus than the declared one get a name of their own: realeyes.h5 -> realeyes-faces8.h5.
local function configure(node, profile)
  local base
  base, node.profile = schema.resolve(node.declaration, profile)
  local config = apply_sets(node, schema.merge(base, {}))
  local path = config.data.corpus and home.find(start_of.path(config.data.corpus, node.profile))
  if config.pictures and path and lfs.attributes(path) and corpus_of.of_pictures(path) then
    config = apply_sets(node, schema.of_pictures(base))
  end
  if path then config.data.corpus = start_of.path(config.data.corpus, node.profile) end
  if config.weights and was_set(node, "data", "data.corpus") and not was_set(node, "weights") then
    local stem = config.data.corpus:match "([^/]*)$":gsub("%.%w+$", "")
    config.weights = config.weights:gsub("%.h5$", "") .. "-" .. stem .. ".h5"
  end
  return config, base.weights
end

--- Configurations of all nodes, so that a misspelt key anywhere is found before anything runs. Returns where the
-- weights lie that the declarations name: declared path -> path.
local function resolve(nodes, profile)
  local moved = {}
  for _, node in pairs(nodes) do
    local own = profile
    -- a prerequisite without this profile is run with its own default
    if node ~= nodes.root and profile ~= "paper" and not (node.declaration.profiles or {})[profile] then own = nil end
    local declared
    node.config, declared = configure(node, own)
    if declared and node.config.weights then
      moved[start_of.path(declared, node.profile)] = start_of.path(node.config.weights, node.profile)
    end
    if type(node.config.model) ~= "function" then
      check.raise("argument", "%s: model = function(network, corpus) ... end is missing", node.declaration.name)
    end
    if #node.config.seeds == 0 then check.raise("argument", "%s: seeds is empty", node.declaration.name) end
  end
  return moved
end

--- { root =, nodes = } of an experiment with its profile, --set pairs ({ key, text }), device and precision.
function plan.tree(declared, options)
  local nodes = {}
  local root = load_tree(declared, nodes, {})
  deal_sets(root, nodes, options.sets or {}, { device = options.device, precision = options.precision })
  nodes.root = root
  if options.profile then schema.resolve(root.declaration, options.profile) end -- says when there is no such profile
  local moved = resolve(nodes, options.profile)
  nodes.root = nil
  return { root = root, nodes = nodes, moved = moved }
end

--- Chooses the device of each node and arm and checks its precision there, before anything runs.
local function settle(nodes)
  for _, node in pairs(nodes) do
    local config = node.config
    config.device = device.choose(config.device)
    precision.require(config.precision, config.device)
    for _, arm in ipairs(config.arms or {}) do
      arm.device = device.choose(arm.device or config.device)
      precision.require(arm.precision or config.precision, arm.device)
    end
  end
end

-- ---- runs --------------------------------------------------------------------------------------

local function arms_of(config)
  return config.arms or { { config.name, start = config.start } }
end

--- All runs of a node, seeds outside and arms inside, so that comparisons fill evenly.
local function runs_of(node, made, moved)
  local config, list, identities = node.config, {}, {}
  local corpus_id = corpus_of.identity(node.corpus)
  local arms = {}
  for order, arm in ipairs(arms_of(config)) do
    local over = {}
    for k, value in pairs(arm) do
      if k ~= 1 then over[k] = value end
    end
    local own = schema.merge(config, over)
    own.start = start_of.resolve(arm.start or config.start, node.profile, moved)
    arms[order] = { name = arm[1], config = own, start = own.start,
      identity = start_of.identity(own.start, made) }
    identities[order] = arm[1] .. ": " .. arms[order].identity
  end
  local whole = schema.text(config, { corpus = corpus_id, profile = node.profile, arms = identities })
  local variant = results_run.hash(whole):sub(1, 8)
  for _, seed in ipairs(config.seeds) do
    for order, arm in ipairs(arms) do
      list[#list + 1] = {
        arm = arm.name, order = order, seed = seed, config = arm.config, start = arm.start, variant = variant,
        text = schema.text(arm.config, { corpus = corpus_id, profile = node.profile, arm = arm.name, seed = seed,
          start = arm.identity }),
      }
    end
  end
  return list, variant
end

local function folder_of(node, r, hash)
  return home.path(("runs/%s/%s/%s-%d-%s"):format(node.config.name, node.profile, r.arm, r.seed, hash:sub(1, 8)))
end

--- A prerequisite that another process is at work on is waited for; a run of the experiment itself is not done twice.
local function wait_for_other(node, run, label, context)
  if node == context.root then return end
  local said
  while true do
    local other = run:taken()
    if not other then return end
    if not said then
      context.say(("%s: process %s is at work on it; waiting"):format(label, other))
      said = true
    end
    interrupt.sleep(1)
  end
end

--- Does one run unless it is done; returns its status.
local function execute(node, r, context)
  local config = r.config
  local several = #arms_of(node.config) * #node.config.seeds > 1
  local label = several and ("%s, %s, seed %d"):format(config.name, r.arm, r.seed) or config.name
  local run = context.db:run {
    experiment = config.name, profile = node.profile, variant = r.variant, arm = r.arm, arm_order = r.order,
    seed = r.seed, config = r.text, corpus = node.corpus.name, procedural = node.corpus.procedural,
    folder = home.short(folder_of(node, r, results_run.hash(r.text))),
  }
  local what = {
    config = config, corpus = node.corpus, parts = node.parts, start = r.start, arm = r.arm, seed = r.seed, run = run,
    folder = folder_of(node, r, run.hash), profile = node.profile, label = label, say = context.say,
    quiet = context.quiet,
    exports = r.order == 1 and r.seed == node.config.seeds[1],
  }
  wait_for_other(node, run, label, context)
  if run.row.status == "finished" then
    os.remove(what.folder .. "/last.h5") -- left when a kill came after the end
    if not (what.exports and node.stale) or one.export_again(what) then
      context.say(("%s: finished already (best %s %.3f at epoch %d); nothing to do"):format(label,
        config.train.stop.watch, run.row.best_value or 0 / 0, run.row.best_epoch or 0))
      return "skipped"
    end
    context.say(("%s: its weights are gone; it is trained again"):format(label))
    run:clear()
  elseif run.row.status == "failed" and not context.retry then
    context.say(("%s: failed (%s); --retry runs it again"):format(label, run.row.stop_reason or "?"))
    return "failed"
  end
  local again = run.row.status == "failed"
  local state = require "mien.train.state"
  local position = not again and state.advise(what.folder .. "/last.h5", state.position) or nil
  run:claim(position and { epoch = position.epoch, step = position.step }, config.device)
  if again then
    run:clear()
    os.remove(what.folder .. "/last.h5")
  end
  if position then
    context.say(("%s: goes on at epoch %d, step %d"):format(label, position.epoch, position.epoch_step))
  end
  local ok, status, line = xpcall(one.train, check.trace, what)
  if not ok then
    local reason = tostring(status)
    if interrupt.is(status) then
      interrupt.honour() -- else the run could not be told that it was interrupted
      reason = "interrupted"
    end
    pcall(run.interrupt, run, reason)
    check.rethrow(status)
  end
  context.say(status == "failed" and ("%s: failed: %s; the last good checkpoint stays"):format(label, line) or line)
  return status
end

--- The weights file of a node: its path, and what it says of itself (nil when it is missing).
local function weights_of(node)
  local path = home.path(start_of.path(node.config.weights, node.profile))
  return path, lfs.attributes(path) and require("mien.checkpoint").read_meta(path) or nil
end

--- Weights that no experiment made, such as imported ones, are used as they are.
local function brought_along(node)
  if not node.config.weights then return false end
  local _, meta = weights_of(node)
  return meta ~= nil and meta.config_hash == nil
end

--- Runs what a node needs, then the node; returns counts by status.
local function visit(node, context, counts)
  if node.visited then return end
  node.visited = true
  if node ~= context.root and brought_along(node) then
    context.say(("%s: %s was not made by an experiment; it is used as it is"):format(node.config.name,
      home.short((weights_of(node)))))
    return
  end
  for _, required in ipairs(node.requires) do
    visit(required, context, {})
    if required.failed then
      check.raise("argument", "%s needs the weights of %s, which failed", node.config.name, required.config.name)
    end
  end
  local about = node.config.about ~= "" and node.config.about or nil
  context.db:experiment(node.config.name, { about = about, file = node.file and home.short(node.file) })
  node.corpus = corpus_of.open(node.config, context.say)
  node.parts = corpus_of.partitions(node.config, node.corpus)
  local list, variant = runs_of(node, context.made, context.moved)
  node.variant = variant
  if node.config.weights then
    local path, meta = weights_of(node)
    local hash = results_run.hash(list[1].text)
    node.stale = not meta or meta.config_hash ~= hash
    context.made[path] = hash
  end
  for _, r in ipairs(list) do
    local status = execute(node, r, context)
    counts[status] = (counts[status] or 0) + 1
    if status == "failed" then node.failed = true end
  end
  if node ~= context.root and (counts.finished or 0) > 0 and context.shown then context.shown(node) end
  node.corpus:close()
end

--- Runs all. options: { db, sets, profile, device, precision, retry, say, quiet, shown = called with each trained
-- prerequisite }.
-- Returns the tree's root and counts of its runs by status.
function plan.run(declared, options)
  local tree = plan.tree(declared, options)
  settle(tree.nodes)
  local context = { db = options.db, retry = options.retry, say = options.say, made = {}, moved = tree.moved,
    root = tree.root, shown = options.shown, quiet = options.quiet }
  local counts = {}
  visit(tree.root, context, counts)
  return tree.root, counts
end

return plan
