-- The runs of an experiment: its corpora opened and checked, and for each arm and seed what makes the run the same.
-- Not here: what can be run at all (experiment/able.lua), doing it (experiment/plan.lua).
local able = require "mien.experiment.able"
local check = require "mien.base.check"
local corpus_of = require "mien.experiment.input"
local evaluate = require "mien.train.evaluate"
local home = require "mien.base.home"
local read = require "mien.base.read"
local sha256 = require "mien.base.sha256"
local schema = require "mien.experiment.schema"
local start_of = require "mien.experiment.start"
local lfs = require "lfs"

local runs = {}

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
  local path = able.start_path(arm, moved)
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

--- A configuration's training and scoring as one text.
local function whole_text(config, identities, files)
  return schema.text(config, identities, files) .. " " .. schema.scoring(config)
end

--- What tells an arm from the others of a comparison: its start, the keys that it changes, its own corpus.
local function arm_identity(node, arm, corpora)
  local text = arm.name .. ": " .. arm.identity
  local own, common = whole_text(arm.config, {}, arm.files), whole_text(node.config, {}, arm.files)
  if own ~= common then text = text .. ", " .. sha256.text(own):sub(1, 8) end
  local corpus = corpus_identity(corpora, arm)
  if corpus ~= corpus_identity(corpora, node.arms[1]) then text = text .. ", on " .. corpus end
  return text
end

local function tell_once(node, say, text)
  node.told_once = node.told_once or {}
  if not node.told_once[text] then say(text) end
  node.told_once[text] = true
end

--- Raises an error when results.db has runs of this name from another file that is still there and is not the same: two
-- declarations of one name would take each other's runs.
function runs.require_one_file(db, node)
  if not node.file then return end
  local before = db:value("SELECT file FROM experiment WHERE name = ?", node.name)
  local old, new = before and home.find(before), home.short(node.file)
  if not before or before == new or not lfs.attributes(old) then return end
  if read(old) == read(node.file) then return end
  check.raise("argument", "%s and %s both declare an experiment \"%s\", and runs are kept under that name: give one of "
    .. "them another name, delete or move away %s if this file follows on it, or name another database (--db FILE)",
    before, new, node.name, before)
end

--- Opens what a node needs and lists its runs, seeds outside and arms inside, so that comparisons fill evenly. Without
-- `say` nothing is made, and false says that the runs cannot be told before something is.
function runs.prepare(node, made, moved, say)
  if node.as_is then
    local meta = able.weights_meta(node)
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
  local hidden
  for i, arm in ipairs(node.arms) do
    arm.files, hidden = schema.files(arm.config, node.file)
    for _, file in ipairs(say and hidden or {}) do
      tell_once(node, say, ("%s asks for modules by names that stand in no text (require(name)): whether they change, "
        .. "nobody sees"):format(home.short(file)))
    end
    settle_start(arm, made, moved)
    identities[i] = arm_identity(node, arm, corpora)
  end
  -- a declaration as it stands is hashed under the name that it had first, which runs in results.db may still have
  local profile = node.profile == "default" and "paper" or node.profile
  node.formerly = profile ~= node.profile and not (node.declaration.profiles or {}).paper and profile or nil
  node.variant = sha256.text(whole_text(node.config, { corpus = corpus_identity(corpora, node.arms[1]),
    profile = profile, arms = identities }, node.arms[1].files)):sub(1, 8)
  node.runs = {}
  for _, seed in ipairs(node.config.seeds) do
    for _, arm in ipairs(arms) do
      local text = schema.text(arm.config, { corpus = corpus_identity(corpora, arm), profile = profile, arm = arm.name,
        seed = seed, start = arm.identity }, arm.files)
      node.runs[#node.runs + 1] = { node = node, arm = arm, seed = seed, text = text, hash = sha256.text(text),
        exports = arm.order == 1 and seed == node.config.seeds[1] }
    end
  end
  if node.weights and node.runs[1] and node.runs[1].exports then
    made[node.weights] = node.runs[1].hash
  end
  return true
end

return runs
