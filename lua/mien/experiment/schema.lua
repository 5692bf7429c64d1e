-- Declarations checked, completed with defaults, changed by --set, and written as the text that is hashed.
-- Not here: which keys there are (experiment/keys.lua), what they do (experiment/run.lua, corpus.lua).
local check = require "mien.check"
local home = require "mien.home"
local KEYS = require "mien.experiment.keys"
local literal = require "mien.literal"

local schema = {}

-- Keys that do not change a run's numbers, or that stand in the run's own columns. A run that was begun on one
-- device may go on on another.
local NOT_HASHED = { about = true, seeds = true, arms = true, start = true, prerequisites = true, weights = true,
  profiles = true, pictures = true, name = true, model = true, device = true }
-- Keys that came later count only when they are not what went without saying before.
local WITHOUT_SAYING = { precision = "f32" }
local NOT_HASHED_DATA = { script = true, workers = true, generate = true }

-- ---- checking ----------------------------------------------------------------------------------

local function is_list(value)
  if type(value) ~= "table" then return false end
  for k in pairs(value) do
    if type(k) ~= "number" then return false end
  end
  return true
end

--- A list of numbers as the key says: { n = how many, low =, high =, whole =, sum = }.
local function check_numbers(wanted, list, path)
  local low, high, sum = wanted.low or -math.huge, wanted.high or math.huge, 0
  local function fail(got)
    check.raise("argument", "%s must hold %s%snumbers from %g to %g%s, got %s", path, wanted.n and wanted.n .. " " or "",
      wanted.whole and "whole " or "", low, high, wanted.sum and (", %g together"):format(wanted.sum) or "", got)
  end
  if wanted.n and #list ~= wanted.n then fail(("%d values"):format(#list)) end
  for i = 1, #list do
    local value = list[i]
    local fits = type(value) == "number" and value >= low and value <= high and not (wanted.whole and value % 1 ~= 0)
    if not fits then fail(check.describe(value)) end
    sum = sum + value
  end
  if wanted.sum and math.abs(sum - wanted.sum) > 1e-6 then fail(("%g together"):format(sum)) end
end

local function check_value(spec, value, path)
  if spec.words then return check.one_of(value, spec.words, path) end
  for kind in spec.types:gmatch "[^|]+" do
    local fits
    if kind == "list" then
      fits = is_list(value)
    elseif kind == "count" then
      fits = type(value) == "number" and value % 1 == 0 and value >= 1
    else
      fits = type(value) == kind
    end
    if fits then
      if spec.numbers and type(value) == "table" then check_numbers(spec.numbers, value, path) end
      return
    end
  end
  check.raise("argument", "%s must be a %s (%s), got %s", path, (spec.types:gsub("|", " or a ")), spec.about,
    check.describe(value))
end

--- Raises an error for any key that there is not; it names the nearest one.
local function check_tree(specs, tbl, path)
  for k, value in pairs(tbl) do
    local spec = specs[k]
    local here = path == "" and tostring(k) or path .. "." .. tostring(k)
    if not spec then
      check.unknown(path == "" and "the declaration" or path, "key", tostring(k), specs)
    elseif spec.leaf then
      check_value(spec, value, here)
      if type(spec.fields) == "table" and type(value) == "table" then check_tree(spec.fields, value, here) end
    else
      check.type(value, "table", here)
      check_tree(spec, value, here)
    end
  end
end

--- Checks the keys of a declaration, of each profile and of each arm, before anything runs.
function schema.check(declaration)
  check_tree(KEYS, declaration, "")
  local function check_network(network, path)
    for k in pairs(network or {}) do
      if (declaration.network or {})[k] == nil then
        check.unknown(path .. ".network", "key", tostring(k), declaration.network or {})
      end
    end
  end
  local check_changes
  function check_changes(changes, path)
    check.type(changes, "table", path)
    check_tree(KEYS, changes, path)
    check_network(changes.network, path)
    if changes.pictures then check_changes(changes.pictures, path .. ".pictures") end
  end
  if declaration.pictures then check_changes(declaration.pictures, "pictures") end
  for name, profile in pairs(declaration.profiles or {}) do
    home.name(name, "the profile's name")
    check_changes(profile, "profiles." .. name)
  end
  for i, arm in ipairs(declaration.arms or {}) do
    check.type(arm, "table", ("arms: entry %d"):format(i))
    home.name(arm[1], ("arms: the name of entry %d"):format(i))
    local rest = {}
    for k, value in pairs(arm) do
      if k ~= 1 then rest[k] = value end
    end
    check_tree(KEYS, rest, ("arm %s"):format(arm[1]))
    check_network(rest.network, ("arm %s"):format(arm[1]))
  end
  return declaration
end

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

--- Every key with its value: defaults, the declaration, the profile.
function schema.resolve(declaration, profile)
  local config = merge(defaults(KEYS), declaration)
  local names = {}
  for name in pairs(config.profiles) do names[name] = true end
  names.paper = true -- the declaration as it stands
  profile = profile or (config.profiles.demo and "demo" or "paper")
  if not names[profile] then check.unknown(config.name, "profile", profile, names) end
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
    local known = free and at or specs
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

--- The value that a text means for a key of these types: words need no quotes where a text is wanted.
local function typed(spec, old, text, path, free)
  if not free and spec.words then return check.one_of(text, spec.words, "--set " .. path) end
  local kinds = free and type(old) or spec.types
  if kinds:find "string" and not text:find "^[{\"']" then
    if not (kinds:find "boolean" and (text == "true" or text == "false")) then return text end
  end
  local value = literal.decode(text, "--set " .. path)
  if free then
    if old ~= nil and type(value) ~= type(old) then
      check.raise("argument", "--set %s: %s is wanted, got %s", path, "a " .. type(old), check.describe(value))
    end
  else
    check_value(spec, value, "--set " .. path)
    if type(spec.fields) == "table" and type(value) == "table" then check_tree(spec.fields, value, path) end
  end
  return value
end

--- Sets a known key from text: schema.set(config, "train.epochs", "30"). Two short forms: `data=FILE` means data.corpus,
-- `train.lr=1e-4` means train.optimiser.lr.
function schema.set(config, path, text)
  if path == "data" then path = "data.corpus" end
  if path == "train.lr" then path = "train.optimiser.lr" end
  local spec, at, last, free = locate(config, path)
  if not spec.leaf then
    local names = {}
    for name in pairs(spec) do names[#names + 1] = path .. "." .. name end
    table.sort(names)
    check.raise("argument", "--set %s: set one of its keys: %s", path, table.concat(names, ", "))
  end
  if not free and spec.types:find "function" and not spec.types:find "string" then
    check.raise("argument", "--set %s: only the declaration can give a function", path)
  end
  at[last] = typed(spec, at[last], text, path, free)
  if path == "data.corpus" then config.data.generate = false end -- somebody's own file is never made anew
end

-- ---- the text that is hashed -------------------------------------------------------------------

--- The source lines of a function without comments: the model belongs to the configuration.
local function source_of(fn)
  local info = debug.getinfo(fn, "S")
  local file = info.source:match "^@(.*)"
  if not file then return info.short_src end
  local handle = io.open(file, "r")
  if not handle then return file end
  local lines, number = {}, 0
  for line in handle:lines() do
    number = number + 1
    if number >= info.linedefined and number <= info.lastlinedefined then
      lines[#lines + 1] = line:gsub("%-%-.*$", ""):gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
    end
  end
  handle:close()
  lines[1] = lines[1] and lines[1]:gsub("^.-function%s*[%w_.:]*", "function") -- under which name does not matter
  return table.concat(lines, "\n")
end

local function plain(value)
  if type(value) == "function" then return source_of(value) end
  if type(value) ~= "table" then return value end
  local out = {}
  for k, v in pairs(value) do out[k] = plain(v) end
  return out
end

--- What decides the numbers of a run, as one text: equal texts mean equal runs.
function schema.text(config, identities)
  local kept = { model = config.model and source_of(config.model), identities = identities }
  for k, value in pairs(config) do
    if not NOT_HASHED[k] and WITHOUT_SAYING[k] ~= value then kept[k] = plain(value) end
  end
  kept.data = copy(kept.data)
  for k in pairs(NOT_HASHED_DATA) do kept.data[k] = nil end
  kept.train = copy(kept.train)
  kept.train.recompute, kept.train.graph = nil, nil -- the bits are the same
  kept.data.corpus = nil -- what the file holds counts, not where it lies: see identities
  return literal.encode(kept, "configuration")
end

--- Every leaf as "key", value pairs, for the table `param` and for showing.
function schema.flat(config)
  local out = {}
  local function walk(value, path)
    if type(value) == "table" and next(value) ~= nil and not is_list(value) then
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
