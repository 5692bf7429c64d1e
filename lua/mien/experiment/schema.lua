-- Declarations completed with defaults, changed by profiles, arms and --set, and written as the text that is hashed.
-- Not here: which keys there are (experiment/keys.lua), checking them (experiment/checker.lua), what they do
-- (experiment/run.lua, input.lua).
local check = require "mien.base.check"
local checker = require "mien.experiment.checker"
local code = require "mien.results.code"
local hash = require("mien.base.sha256").text
local KEYS = require "mien.experiment.keys"
local kinds = require "mien.experiment.kinds"
local literal = require "mien.base.literal"
local read = require "mien.base.read"
local source = require "mien.results.source"

local schema = {}

-- Keys that do not change a training's numbers, or that stand in the run's own columns; what follows on the training
-- (scoring, see schema.scoring) can be done again. A run that was begun on one device may go on on another.
local NOT_HASHED = { about = true, seeds = true, arms = true, start = true, prerequisites = true, weights = true,
  profiles = true, pictures = true, name = true, model = true, device = true, post = true, post_options = true,
  evaluate = true }
-- Keys that came later count only when they are not what went without saying before.
local WITHOUT_SAYING = { precision = "f32" }
local WITHOUT_SAYING_DATA = { max_missing = 1 }
local NOT_HASHED_DATA = { script = true, workers = true, generate = true }

local is_list = kinds.is_list

-- ---- defaults and overrides --------------------------------------------------------------------

local function copy(value)
  if type(value) ~= "table" or getmetatable(value) then return value end -- initialisers stay what they are
  local out = {}
  for k, v in pairs(value) do out[k] = copy(v) end
  return out
end

--- `over` onto `base`: keyed tables join, lists and everything else replace, and so does a table with a name in
-- front that changes: { "sgd", lr = 0.1 } has nothing to do with { "adam", lr = 1e-4 }.
local function merge(base, over)
  if type(base) ~= "table" or type(over) ~= "table" or getmetatable(over) then return copy(over) end
  if is_list(over) and (next(over) ~= nil or is_list(base)) then return copy(over) end
  if over[1] ~= nil and over[1] ~= base[1] then return copy(over) end
  local out = copy(base)
  for k, v in pairs(over) do out[k] = merge(out[k], v) end
  return out
end
schema.merge = merge

local function defaults(specs)
  local out = {}
  for k, spec in pairs(specs) do
    if spec.leaf then out[k] = copy(spec.default) else out[k] = defaults(spec) end
  end
  return out
end

--- Names of the profiles of a declaration, in order: its own, and "default", the declaration as it stands.
function schema.profiles(declaration)
  local names = { "default" }
  for name in pairs(declaration.profiles or {}) do
    if name ~= "default" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- Every key with its value: defaults, the declaration, the profile (demo where there is one, when none is named).
function schema.resolve(declaration, profile)
  local config = merge(defaults(KEYS), declaration)
  profile = profile or (config.profiles.demo and "demo" or "default")
  local known = false
  for _, name in ipairs(schema.profiles(declaration)) do known = known or name == profile end
  if not known then check.unknown(config.name, "profile", profile, schema.profiles(declaration)) end
  if config.profiles[profile] then config = merge(config, config.profiles[profile]) end
  config.profiles = {}
  return config, profile
end

--- The configuration for a corpus of single pictures.
function schema.of_pictures(config)
  local out = merge(config, config.pictures)
  out.pictures = false
  return out
end

--- The keys that an arm changes: all of its table but the name in front.
function schema.of_arm(arm)
  local changes = {}
  for k, value in pairs(arm) do
    if k ~= 1 then changes[k] = value end
  end
  return changes
end

--- A configuration with an arm's changes. A corpus that the arm names is its own, and is never made anew by the recipe
-- of the others.
function schema.with_arm(config, changes)
  local out = merge(config, changes)
  if changes.data and changes.data.corpus and changes.data.generate == nil then out.data.generate = false end
  return out
end

--- Checks a declaration, each profile and each arm, alone and together, before anything runs or is opened.
function schema.check(declaration)
  checker.declaration(declaration)
  local function whole(config, path)
    checker.whole(config, path, true)
    for _, arm in ipairs(config.arms or {}) do
      checker.whole(schema.with_arm(config, schema.of_arm(arm)), path .. (path == "" and "" or ": ") .. "arm " .. arm[1],
        true)
    end
  end
  for _, name in ipairs(schema.profiles(declaration)) do
    local config = schema.resolve(declaration, name)
    local path = name == "default" and "" or "profiles." .. name
    whole(config, path)
    if config.pictures then whole(schema.of_pictures(config), path == "" and "pictures" or path .. ".pictures") end
  end
  return declaration
end

--- Raises the error of a key that there is not: it names the keys elsewhere that end in the same word (batch is said
-- for data.batch), else the nearest one here.
local function no_such_key(config, path, word, known)
  local same = {}
  for _, pair in ipairs(schema.flat(config)) do
    if pair[1]:match "[^%.]+$" == word then same[#same + 1] = pair[1] end
  end
  if #same > 0 then
    check.raise("argument", "--set %s: unknown key \"%s\"; did you mean %s?", path, word, table.concat(same, " or "))
  end
  check.unknown("--set " .. path, "key", word, known)
end

--- The spec of a dotted key, and the table and last key where its value stands.
local function locate(config, path)
  local specs, at, spec, last = KEYS, config, nil, nil
  local free = false -- below a table whose keys the declaration itself names
  local words = {}
  for word in path:gmatch "[^%.]+" do words[#words + 1] = word end
  for i, word in ipairs(words) do
    local k = tonumber(word) or word
    local known = not free and specs or spec.options and i == #words and spec.options(at) or at
    if known == nil or known[k] == nil then
      local prefix = table.concat(words, ".", 1, i - 1)
      no_such_key(config, path, word, prefix == "" and KEYS or known or {})
    end
    spec = not free and specs[k] or spec
    if i == #words then
      last = k
    else
      if type(at[k]) ~= "table" then at[k] = {} end
      at = at[k]
      if not free then
        free = spec.leaf and spec.fields == "own"
        specs = not spec.leaf and spec or type(spec.fields) == "table" and spec.fields or nil
      end
    end
  end
  return spec, at, last, free
end

local LITERAL = { ["true"] = true, ["false"] = false, ["nil"] = true, inf = true, nan = true }

local function takes(spec, value)
  for _, kind in ipairs(spec.kinds) do
    if kind.fits(value) then return true end
  end
  return false
end

--- The value that a text means for a key: words need no quotes where a text is wanted.
local function typed(spec, old, text, path, free)
  local name = "--set " .. path
  local wants_text = free and type(old) == "string" or not free and takes(spec, text)
  if wants_text and not text:find "^[{\"']" and not (not free and (text == "true" and takes(spec, true)
    or text == "false" and takes(spec, false))) then
    if not free then checker.value(spec, text, name) end
    return text
  end
  local word = text:match "^[%a_][%w_]*$"
  local value
  if word and LITERAL[word] == nil then value = word else value = literal.decode(text, name) end
  if not free then
    checker.value(spec, value, name)
  elseif old ~= nil and type(value) ~= type(old) then
    check.raise("argument", "%s: a %s is wanted, got %s", name, type(old), check.describe(value))
  end
  return value
end

--- Puts a start from a file in place of a declared one: `start=FILE`, or `arms.NAME.start=FILE` for one arm. text: the path,
-- or a table for mien.init.from, { "resnet50.pth", scale = "torchvision" }. True when `path` means that.
local function set_start(config, path, text)
  local name = path:match "^arms%.(.+)%.start$"
  if path ~= "start" and not name then return false end
  local given = text:find "^%s*{" and literal.decode(text, "--set " .. path) or text
  local start, own, names = require("mien.nn.initialisers").from(given), 0, {}
  for i, arm in ipairs(config.arms or {}) do
    names[i], own = arm[1], own + (arm.start and 1 or 0)
    if arm[1] == name then
      start.instead = (arm.start or config.start or {}).path
      arm.start = start
      return true
    end
  end
  if name then check.unknown("--set " .. path, "arm", name, names) end
  if own > 0 then
    check.raise("argument", "--set start: %d of the arms have a start of their own; say of which: --set arms.%s.start=%s",
      own, names[1], text)
  end
  start.instead = (config.start or {}).path
  config.start = start
  return true
end

local GIVEN_IN_LUA = { model = "a function", arms = "arms", profiles = "profiles",
  pictures = "changes for single pictures" }

--- The dotted key that a short form means: data is data.corpus, train.lr is train.optimiser.lr.
function schema.full(path)
  return path == "data" and "data.corpus" or path == "train.lr" and "train.optimiser.lr" or path
end

--- Sets a known key from text: schema.set(config, "train.epochs", "30"). Two short forms: `data=FILE` means data.corpus,
-- `train.lr=1e-4` means train.optimiser.lr. A start is a file of weights of any form: start=FILE, arms.NAME.start=FILE.
function schema.set(config, path, text)
  path = schema.full(path)
  if set_start(config, path, text) then return end
  local spec, at, last, free = locate(config, path)
  if not spec.leaf then
    local names = {}
    for name in pairs(spec) do names[#names + 1] = path .. "." .. name end
    table.sort(names)
    check.raise("argument", "--set %s: set one of its keys: %s", path, table.concat(names, ", "))
  end
  local top = path:match "^[^%.]+"
  if GIVEN_IN_LUA[top] then
    check.raise("argument", "--set %s: only the declaration can give %s", path, GIVEN_IN_LUA[top])
  end
  at[last] = typed(spec, at[last], text, path, free)
  if path == "data.corpus" then config.data.generate = false end -- somebody's own file is never made anew
end

--- The value of a dotted key of a configuration, and its text, by which two can be compared.
function schema.value(config, path)
  local at = config
  for word in schema.full(path):gmatch "[^%.]+" do at = type(at) == "table" and at[tonumber(word) or word] or nil end
  local ok, text = pcall(literal.encode, at)
  return at, ok and text or tostring(at)
end

-- ---- the text that is hashed -------------------------------------------------------------------

--- A value with sources in place of functions; adds what the functions take from outside to `outside`, by path.
local function plain(value, path, outside)
  if type(value) == "function" then
    for name, what in pairs(code.of(value, path)) do outside[name] = what end
    return code.source(value)
  end
  if type(value) ~= "table" then return value end
  local out = {}
  for k, v in pairs(value) do out[k] = plain(v, path .. "." .. tostring(k), outside) end
  return out
end

--- The functions of a configuration, which are code that a run depends on.
local function functions(value, list)
  if type(value) == "function" then list[#list + 1] = value end
  if type(value) == "table" and not getmetatable(value) then
    for k, v in pairs(value) do
      if not (k == "arms" or k == "profiles" or k == "pictures") then functions(v, list) end
    end
  end
  return list
end

--- The files that a configuration's code lies in and asks for, but mien's own: name -> { path =, text = }; and those in
-- which some names cannot be read. file: the declaration's, which stands under "" there.
function schema.files(config, file)
  local list, hidden, own = {}, {}, {}
  for _, fn in ipairs(functions(config, {})) do
    local path = debug.getinfo(fn, "S").source:match "^@(.*)"
    if path and not check.is_mien("@" .. path) then own[path] = true end
  end
  if file then own[file] = true end
  for path in pairs(own) do code.files(path, list, hidden) end
  local text = file and read(file)
  if text then list[""] = { path = file, text = text } end
  return list, hidden
end

--- What decides the numbers of a training, as one text: equal texts mean equal runs. files: of its code, as
-- schema.files gives them; they count, but for the declaration itself, of which the keys and functions do.
function schema.text(config, identities, files)
  local outside = {}
  local kept = { model = config.model and plain(config.model, "model", outside), identities = identities }
  for k, value in pairs(config) do
    if not NOT_HASHED[k] and WITHOUT_SAYING[k] ~= value then kept[k] = plain(value, k, outside) end
  end
  for name, one in pairs(files or {}) do
    if name ~= "" then outside["require " .. name] = hash(source.normal(one.text)):sub(1, 16) end
  end
  kept.code = next(outside) and outside or nil
  kept.data = copy(kept.data)
  for k in pairs(NOT_HASHED_DATA) do kept.data[k] = nil end
  for k, value in pairs(WITHOUT_SAYING_DATA) do
    if kept.data[k] == value then kept.data[k] = nil end
  end
  kept.train = copy(kept.train)
  kept.train.recompute, kept.train.graph = nil, nil -- the bits are the same
  kept.data.corpus = nil -- what the file holds counts, not where it lies: see identities
  return literal.encode(kept, "configuration")
end

--- What is done with a trained network, as one text: how it predicts, and what becomes of the predictions.
function schema.scoring(config)
  local bn = config.evaluate.bn
  return literal.encode({
    evaluate = { bn = bn, batch = bn ~= "running" and config.evaluate.batch or nil }, -- else each window is by itself
    post = config.post, post_options = config.post and config.post_options or nil,
  }, "scoring")
end

--- Every leaf as "key", value pairs, for the table `param` and for showing.
function schema.flat(config)
  local out = {}
  local function walk(value, path)
    if type(value) == "table" and (path == "" or next(value) ~= nil and not is_list(value)) then
      for k, v in pairs(value) do walk(v, path == "" and tostring(k) or path .. "." .. tostring(k)) end
    elseif type(value) ~= "function" then
      out[#out + 1] = { path, type(value) == "table" and literal.encode(value) or value }
    end
  end
  local shown = {}
  for k, v in pairs(config) do
    if k ~= "profiles" and k ~= "arms" and k ~= "start" and k ~= "model" and k ~= "prerequisites"
      and k ~= "pictures" then shown[k] = v end
  end
  walk(shown, "")
  table.sort(out, function(a, b) return a[1] < b[1] end)
  return out
end

return schema
