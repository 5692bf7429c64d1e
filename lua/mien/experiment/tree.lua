-- An experiment with those that make its weights: which of them are needed, in which profile, with which keys.
-- Not here: running them (experiment/plan.lua), the keys (experiment/schema.lua).
local check = require "mien.base.check"
local checker = require "mien.experiment.checker"
local corpus_of = require "mien.experiment.input"
local home = require "mien.base.home"
local read = require "mien.base.read"
local schema = require "mien.experiment.schema"
local start_of = require "mien.experiment.start"
local lfs = require "lfs"

local tree = {}

-- ---- who needs whom ----------------------------------------------------------------------------

--- Loads the prerequisites of a declaration, and theirs; name -> node { declaration, requires }.
local function load_tree(declared, nodes, path)
  local declaration = declared.declaration
  if path[declaration.name] then
    check.raise("argument", "%s is its own prerequisite", declaration.name)
  end
  path[declaration.name] = true
  local node = nodes[declaration.name]
  if node and node.file and declared.file and node.file ~= declared.file and read(node.file) ~= read(declared.file) then
    check.raise("argument", "%s and %s both declare an experiment \"%s\": give one of them another name", node.file,
      declared.file, declaration.name)
  end
  if not node then
    node = { name = declaration.name, declaration = declaration, file = declared.file, requires = {}, sets = {} }
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
    for _, node in pairs(nodes) do node.sets[#node.sets + 1] = { key, value, of_all = true } end
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

-- ---- configurations ----------------------------------------------------------------------------

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

--- A configuration of a node, with an arm's changes: declaration and profile (`base`), what they say of single pictures
-- if the corpus holds such, --set, the arm.
local function configure(node, base, changes, path)
  local function with(from)
    local config = schema.with_arm(apply_sets(node, schema.merge(from, {})), changes)
    checker.whole(config, path)
    return config
  end
  local config = with(base)
  local declared = config.data.corpus
  if not declared then return config end
  local file = home.find(start_of.path(declared, node.profile))
  if config.pictures and lfs.attributes(file) and corpus_of.of_pictures(file) then
    config = with(schema.of_pictures(base))
  end
  config.data.corpus = start_of.path(config.data.corpus, node.profile)
  return config
end

--- Says which keys that were set change nothing, as all or some arms give them themselves.
local function tell_overridden(node, notes)
  for _, set in ipairs(node.sets) do
    local _, wanted = schema.value(node.config, set[1])
    local names = {}
    for _, arm in ipairs(node.arms) do
      if select(2, schema.value(arm.config, set[1])) ~= wanted then names[#names + 1] = arm.name end
    end
    if #names > 0 then
      notes[#notes + 1] = ("%s: %s = %s does not change %s, where the arm itself says what it is"):format(node.name,
        schema.full(set[1]), set[2], table.concat(names, ", "))
    end
  end
end

--- The arms of a node, each with its configuration; the node itself is the only one where none are declared.
local function arms_of(node, base)
  local list = {}
  for order, arm in ipairs(node.config.arms or { { node.name } }) do
    local changes = schema.of_arm(arm)
    local path = node.config.arms and ("%s, arm %s"):format(node.name, arm[1]) or node.name
    local config = next(changes) and configure(node, base, changes, path) or node.config
    local start = changes.start or config.start
    list[order] = { name = arm[1], order = order, config = config, initialiser = start, changes = changes, after = {},
      wants = start and start.path and start_of.path(start.path, node.profile) or nil,
      instead = start and start.instead and start_of.path(start.instead, node.profile) or nil }
    if type(config.model) ~= "function" then
      check.raise("argument", "%s: model = function(network, corpus) ... end is missing", path)
    end
    if not config.data.corpus then check.raise("argument", "%s: data.corpus is missing", path) end
  end
  return list
end

--- Gives a node its configuration and arms. Weights from another corpus than the declared one get a name of their own:
-- realeyes.h5 -> realeyes-faces8.h5; `moved` keeps where the declared path leads.
local function settle(node, profile, moved, notes)
  local base
  base, node.profile = schema.resolve(node.declaration, profile)
  node.config = configure(node, base, {}, node.name)
  local config = node.config
  if config.arms then checker.arms(config.arms, node.declaration.network or {}, node.name) end
  if config.weights then
    if was_set(node, "data", "data.corpus") and not was_set(node, "weights") then
      local stem = config.data.corpus:match "([^/]*)$":gsub("%.%w+$", "")
      config.weights = config.weights:gsub("%.h5$", "") .. "-" .. stem .. ".h5"
    end
    node.weights = start_of.path(config.weights, node.profile)
    if base.weights then moved[start_of.path(base.weights, node.profile)] = node.weights end
  end
  node.arms = arms_of(node, base)
  tell_overridden(node, notes)
end

-- ---- which arms, which prerequisites, which profiles -------------------------------------------

--- The arms of these names, in the order of the declaration; texts may hold several names, with commas between.
local function choose(node, names)
  if not names then return node.arms end
  local known, chosen, list = {}, {}, {}
  for i, arm in ipairs(node.arms) do known[i] = arm.name end
  local function take(name)
    for _, arm in ipairs(node.arms) do
      if arm.name == name then
        chosen[name] = true
        return true
      end
    end
  end
  for _, text in ipairs(names) do
    if not take(text) then -- a name may hold a comma itself
      for name in text:gmatch "[^,]+" do
        name = name:match "^%s*(.-)%s*$"
        if not take(name) then check.unknown(node.name, "arm", name, known) end
      end
    end
  end
  for _, arm in ipairs(node.arms) do
    if chosen[arm.name] then list[#list + 1] = arm end
  end
  if #list == 0 then check.raise("argument", "%s: no arm was named; there are %s", node.name, table.concat(known, ", ")) end
  return list
end

--- What the profile of a declaration makes: the path of its weights, or nil.
local function weights_in(declaration, profile)
  local weights = schema.resolve(declaration, profile).weights
  return weights and start_of.path(weights, profile) or nil
end

local function has(list, value)
  for _, element in ipairs(list) do
    if element == value then return true end
  end
  return false
end

--- The profile in which a prerequisite makes weights that the node's arms start from: the node's own where it can be.
-- Without one, weights of that name that lie there already will do; else it is an error.
local function profile_for(required, node)
  local declaration, wanted = required.declaration, {}
  for _, arm in ipairs(node.arms) do
    if arm.wants then wanted[arm.wants] = true end
  end
  local names = schema.profiles(declaration)
  local same = has(names, node.profile)
  if same and wanted[weights_in(declaration, node.profile)] then return node.profile end
  for _, name in ipairs(names) do
    if wanted[weights_in(declaration, name)] then return name end
  end
  if same then return node.profile end
  local declared = schema.resolve(declaration, "default").weights
  local path = declared and start_of.path(declared, node.profile)
  if path and wanted[path] and lfs.attributes(home.find(path)) then return nil end
  check.raise("argument", '%s: its prerequisite %s has no profile "%s" (it has %s)%s; give it one (profiles = { %s = {} '
    .. "...), or start from weights that another profile of it makes", node.name, required.name, node.profile,
    table.concat(names, ", "), path and ", so nothing makes " .. path or "", node.profile)
end

--- Whether a prerequisite makes the weights of this path in some profile, or would make them in the node's.
local function makes(required, path, node)
  if not path then return false end
  for _, name in ipairs(schema.profiles(required.declaration)) do
    if weights_in(required.declaration, name) == path then return true end
  end
  local declared = schema.resolve(required.declaration, "default").weights
  return declared and start_of.path(declared, node.profile) == path
end

--- Settles what the chosen arms of a node need, and what that needs; leaves it out of node.requires where nothing is
-- needed of it.
local function settle_required(node, moved, notes, order)
  local needed = {}
  for _, required in ipairs(node.requires) do
    local for_chosen, for_any = false, false
    for _, arm in ipairs(node.arms) do
      if makes(required, arm.wants, node) then
        arm.maker, for_any = required, true
        for_chosen = for_chosen or has(node.chosen, arm)
      end
      for_any = for_any or makes(required, arm.instead, node) -- --set names another file: nothing is made for it
    end
    -- one that no start names makes something else that the model reads
    local profile = (for_chosen or not for_any) and profile_for(required, node) or nil
    if profile and required.profile and required.profile ~= profile then
      check.raise("argument", "%s is needed in two profiles, %s and %s; one run makes one of them", required.name,
        required.profile, profile)
    end
    if profile then
      if not required.profile then
        settle(required, profile, moved, notes)
        required.chosen = required.arms
        settle_required(required, moved, notes, order)
      end
      needed[#needed + 1] = required
      for _, arm in ipairs(node.arms) do
        if arm.maker == required then arm.needs = required end
        if arm.maker == required or not for_any then arm.after[#arm.after + 1] = required end
      end
    end
  end
  node.requires = needed
  order[#order + 1] = node
end

--- { root =, nodes = what is needed, in the order of running, moved = declared path -> path, notes = texts to be said }
-- of an experiment.
-- options: { profile =, sets = { { key, text } }, arms = names of those that are wanted, device =, precision = }
function tree.of(declared, options)
  local nodes, moved, notes, order = {}, {}, {}, {}
  local root = load_tree(declared, nodes, {})
  deal_sets(root, nodes, options.sets or {}, { device = options.device, precision = options.precision })
  settle(root, options.profile, moved, notes)
  root.chosen = choose(root, options.arms)
  if root.weights and root.chosen[1] ~= root.arms[1] then
    notes[#notes + 1] = ("%s: %s is not written: it gets the best weights of the arm %s"):format(root.name, root.weights,
      root.arms[1].name)
  end
  settle_required(root, moved, notes, order)
  for _, node in pairs(nodes) do
    if not node.profile then
      for _, set in ipairs(node.sets) do
        if not set.of_all then
          notes[#notes + 1] = ("%s is not needed here: %s = %s changes nothing"):format(node.name, set[1], set[2])
        end
      end
    end
  end
  return { root = root, nodes = order, moved = moved, notes = notes }
end

return tree
