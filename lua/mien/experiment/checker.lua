-- Whether a declaration can be understood: every key known, every value of a kind that its key takes.
-- Not here: the keys (experiment/keys.lua), completing a declaration (experiment/schema.lua). Nothing is opened here.
local check = require "mien.base.check"
local home = require "mien.base.home"
local KEYS = require "mien.experiment.keys"
local kinds = require "mien.experiment.kinds"

local checker = {}

-- ---- keys that mean nothing in some places -----------------------------------------------------

local WHOLE = "%s: %s belongs to the whole experiment; put it beside `arms`"
local TOP = "%s: %s belongs to the declaration itself, not to a change of it"

--- Keys that an arm, a profile, or what is said of single pictures, cannot change -> the message.
local refused = {
  arm = { name = WHOLE, about = WHOLE, arms = WHOLE, profiles = WHOLE, pictures = WHOLE, prerequisites = WHOLE,
    weights = "%s: %s belongs to the whole experiment: the file gets the best weights of the first arm",
    seeds = "%s: %s belongs to the whole experiment: arms with other seeds could not be compared; for some arms alone: "
      .. "mien run FILE --arms NAME --set seeds={4}" },
  profile = { name = TOP, profiles = TOP },
  pictures = { name = TOP, profiles = TOP, pictures = TOP, arms = TOP, prerequisites = TOP, seeds = TOP },
}

-- ---- values ------------------------------------------------------------------------------------

--- Raises an error that knows of which key it speaks.
local function refuse(path, fmt, ...)
  local problem = check.error("argument", fmt:format(...))
  problem.key = path
  error(problem, 0)
end

--- Calls judge(...); what it raises gets to know of which key it speaks.
local function judged(path, judge, ...)
  local ok, problem = pcall(judge, ...)
  if ok then return end
  if check.is_error(problem) and not problem.key then
    problem.key, problem.at = path, check.error("argument", "").at -- not the place of a script that knows the options
  end
  error(problem, 0)
end

--- Raises what is wrong with the value of a key.
function checker.value(spec, value, path)
  for _, kind in ipairs(spec.kinds) do
    if kind.fits(value) then
      if kind.judge then judged(path, kind.judge, value, path) end
      if kind.fields then checker.keys(kind.fields, value, path) end
      return
    end
  end
  refuse(path, "%s must be %s (%s), got %s", path, kinds.nouns(spec.kinds), spec.about, kinds.show(value))
end

--- Raises what is wrong with a table of keys; `not_here`: keys that mean nothing in it.
function checker.keys(specs, tbl, path, not_here)
  for k, value in pairs(tbl) do
    local spec = specs[k]
    local here = path == "" and tostring(k) or path .. "." .. tostring(k)
    if not spec then
      judged(here, check.unknown, path == "" and "the declaration" or path, "key", tostring(k), specs)
    elseif not_here and not_here[k] then
      refuse(here, not_here[k], path, k)
    elseif spec.leaf then
      checker.value(spec, value, here)
    elseif type(value) ~= "table" then
      refuse(here, "%s must be a table of keys, got %s", here, kinds.show(value))
    else
      checker.keys(spec, value, here)
    end
  end
end

-- ---- the parts of a declaration ----------------------------------------------------------------

--- Keys of `network` in a change: those of the declaration, as `model` reads no others.
local function network(changes, known, path)
  for k in pairs(changes.network or {}) do
    if known[k] == nil then
      judged(path .. ".network." .. tostring(k), check.unknown, path .. ".network", "key", tostring(k), known)
    end
  end
end

local function changes(tbl, where, known, path)
  if type(tbl) ~= "table" then refuse(path, "%s must be a table of changed keys, got %s", path, kinds.show(tbl)) end
  checker.keys(KEYS, tbl, path, refused[where])
  network(tbl, known, path)
end

--- Raises what is wrong with a list of arms; known: the keys of the declaration's `network`.
function checker.arms(arms, known, path)
  local seen, prefix = {}, path == "" and "" or path .. ": "
  if #arms == 0 then refuse("arms", "%sarms is empty; leave it out for a single run", prefix) end
  for i, arm in ipairs(arms) do
    local name = type(arm) == "table" and arm[1]
    if type(name) ~= "string" then
      refuse("arms", '%sarms: entry %d must begin with its name, { "name", ... }, got %s', prefix, i, kinds.show(arm))
    end
    judged("arms", home.name, name, ("%sarms: the name of entry %d"):format(prefix, i))
    if seen[name] then refuse("arms", '%sarms: two of them are called "%s"; no table could tell them apart', prefix, name) end
    seen[name] = true
    local rest = {}
    for k, value in pairs(arm) do
      if k ~= 1 then rest[k] = value end
    end
    changes(rest, "arm", known, prefix .. "arm " .. name)
  end
end

--- Raises what is wrong with the text of a declaration: root, `pictures`, profiles and arms.
function checker.declaration(declaration)
  checker.keys(KEYS, declaration, "")
  local known = declaration.network or {}
  local function part(tbl, where, path)
    if path ~= "" then changes(tbl, where, known, path) end
    if tbl.arms then checker.arms(tbl.arms, known, path) end
    if tbl.pictures then changes(tbl.pictures, "pictures", known, (path == "" and "" or path .. ".") .. "pictures") end
  end
  part(declaration, "root", "")
  judged("name", home.name, declaration.name, "the experiment's name")
  for name, profile in pairs(declaration.profiles or {}) do
    judged("profiles", home.name, name, "the profile's name")
    part(profile, "profile", "profiles." .. name)
  end
end

-- ---- what only a whole configuration tells -----------------------------------------------------

local WEIGHED = { sigmoid_cross_entropy = true, softmax_cross_entropy = true }

--- Raises what is wrong between the keys of a completed configuration. path: "arm x" or the like, for the message;
-- unfinished: a profile or arm may still give what is missing.
function checker.whole(config, path, unfinished)
  path = path == "" and "" or path .. ": "
  local d, t = config.data, config.train
  local optimiser = t.optimiser
  if unfinished and optimiser.lr == nil then
    optimiser = { lr = 0 }
    for k, value in pairs(t.optimiser) do optimiser[k] = value end
  end
  judged("train.optimiser", require("mien.optim").check, optimiser, path .. "train.optimiser")
  if t.loss_scope ~= "batch" and t.loss ~= "ccc" then
    refuse("train.loss_scope", "%strain.loss_scope is of the loss ccc, train.loss is %s", path, check.describe(t.loss))
  end
  if d.class_weights and not WEIGHED[t.loss] then
    refuse("data.class_weights", "%sdata.class_weights weigh sigmoid_cross_entropy and softmax_cross_entropy, "
      .. "train.loss is %s", path, check.describe(t.loss))
  end
  if d.resize and (d.resize[1] < d.size[1] or d.resize[2] < d.size[2]) then
    refuse("data.resize", "%sdata.resize is %s: nothing of data.size, %s, can be cropped out of it", path,
      kinds.show(d.resize), kinds.show(d.size))
  end
  if config.post and config.post_options.method == "joint" then
    judged("post", require("mien.affect.post.steps").in_order, config.post, path .. "post with method joint")
  end
end

return checker
