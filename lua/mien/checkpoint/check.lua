-- What a weight file says about itself, checked like an option before anybody uses it; and its numbers.
-- Not here: reading and writing the file (checkpoint/), what the network is (models/from_weights.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"

local checks = {}

-- ---- kinds of values -----------------------------------------------------------------------------------

-- Each gives the value in the form in which it is used, or nil and what is wanted.

local function whole(least, most)
  return function(value)
    if type(value) == "number" and value % 1 == 0 and value >= least and value <= most then return value end
    return nil, ("a whole number from %d to %d"):format(least, most)
  end
end

local function between(least, most, wanted)
  return function(value)
    if type(value) == "number" and (value == 0 or value >= least and value <= most) then return value end
    return nil, wanted
  end
end

local function one_of(...)
  local known = { ... }
  return function(value)
    for _, one in ipairs(known) do
      if value == one then return value end
    end
    return nil, "one of " .. table.concat(known, ", ")
  end
end

local function words(value)
  if type(value) == "string" and #value <= 500 and not value:find "%c" then return value end
  return nil, "a text of one line"
end

--- A number, or as many as `counts` allows as a list or a text "1, 2, 3", each of them good.
local function numbers(counts, good, wanted)
  return function(value)
    local list = value
    if type(value) == "string" then
      list = {}
      for word in value:gmatch "[^,%s]+" do list[#list + 1] = tonumber(word) or word end
    elseif type(value) == "number" then
      list = { value }
    end
    if type(list) ~= "table" or not counts[#list] then return nil, wanted end
    for _, number in ipairs(list) do
      if type(number) ~= "number" or not good(number) then return nil, wanted end
    end
    return type(value) == "number" and value or list
  end
end

-- The largest side of a face: a window of 150 such faces has 30 GB as it is.
checks.SIDE = 4096

local function is_side(n) return n % 1 == 0 and n >= 1 and n <= checks.SIDE end
local function is_finite(n) return n - n == 0 end
local function is_positive(n) return is_finite(n) and n > 0 end

--- One number for all three channels becomes three.
local function channels(good, wanted)
  local take = numbers({ true, [3] = true }, good, wanted)
  return function(value)
    local list, problem = take(value)
    if type(list) == "number" then list = { list } end
    if list and #list == 1 then list = { list[1], list[1], list[1] } end
    return list, problem
  end
end

--- Names of outputs: they head columns, label lines and stand on the terminal.
local function names(value)
  local wanted = "a list of different names without control characters, of 1 to 200 bytes each"
  if type(value) == "string" then
    local list = {}
    for name in value:gmatch "[^\n]+" do list[#list + 1] = name end
    value = list
  end
  if type(value) ~= "table" or #value == 0 then return nil, wanted end
  local seen = {}
  for _, name in ipairs(value) do
    if type(name) ~= "string" or #name < 1 or #name > 200 or name:find "%c" or seen[name] then return nil, wanted end
    seen[name] = true
  end
  return value
end

--- Step and sign of each layer of a quantised network, one after the other.
local function ranges(value)
  local wanted = "a list of steps above 0, each with 0 or 1 after it"
  if type(value) ~= "table" or #value == 0 or #value % 2 == 1 then return nil, wanted end
  for i = 1, #value, 2 do
    local step, signed = value[i], value[i + 1]
    if type(step) ~= "number" or not is_positive(step) or signed ~= 0 and signed ~= 1 then return nil, wanted end
  end
  return value
end

-- ---- meta ----------------------------------------------------------------------------------------------

local pixels = numbers({ true, true }, is_side,
  ("one or two whole numbers from 1 to %d (height, width)"):format(checks.SIDE))

--- Height and width, also where one number stands for both.
local function sides(value)
  local list, wanted = pixels(value)
  if type(list) == "number" then list = { list } end
  return list and { list[1], list[2] or list[1] }, wanted
end

local function truth(value)
  if value == 0 or value == false then return false elseif value == 1 or value == true then return true end
  return nil, "0 or 1"
end

--- A list of `least` to `most` whole numbers; a number is a list of one.
local function counts(least, most, largest)
  local wanted = ("a list of %s whole numbers from 1 to %d"):format(least == most and least or
    ("%d to %d"):format(least, most), largest)
  return function(value)
    local list = type(value) == "number" and { value } or value
    if type(list) ~= "table" or #list < least or #list > most then return nil, wanted end
    for _, n in ipairs(list) do
      if type(n) ~= "number" or n % 1 ~= 0 or n < 1 or n > largest then return nil, wanted end
    end
    return list
  end
end

local share = between(0, 0.999, "a share from 0 to below 1")

-- Arguments of mien's own networks. Those of a network of another name are its maker's.
local ARGUMENTS = { width = whole(1, 65536), hidden = whole(1, 65536), layers = whole(1, 100), cell = one_of("lstm", "gru"),
  strides = one_of("torchvision", "slim", "caffe"), block = one_of("bottleneck", "basic"), reset_after = truth,
    dropout = share, size = whole(32, checks.SIDE),
  blocks = counts(4, 4, 1000), fully_connected = counts(0, 100, 65536) }
local OWN = { recurrent = true, framewise = true, resnet = true, resnet50 = true, resnet18 = true,
  resnet34 = true, resnet101 = true, vgg16 = true, affwildnet = true }

local function is_description(value)
  return type(value) == "table" and (type(value[1]) == "string" or value[1] == nil and next(value) ~= nil)
end

--- A network's description: a name, and arguments by name, of which `features` may be a description again.
local function description(value)
  local wanted = "a description of a network, such as { \"resnet\", width = 64 }"
  if type(value) == "string" then value = { value } end
  if type(value) ~= "table" then return nil, wanted end
  local good, known = {}, OWN[value[1]] or value[1] == nil and ARGUMENTS
  for key, one in pairs(value) do
    if key == 1 and not words(one) or key ~= 1 and (type(key) ~= "string" or not key:find "^[%a_][%w_]*$") then
      return nil, wanted
    end
    local take, taken, problem = known and ARGUMENTS[key], one, nil
    if key == "features" and type(one) == "string" and value[1] ~= "affwildnet" then one, taken = { one }, { one } end
    if key ~= 1 and is_description(one) then take = description end
    if take then taken, problem = take(one) end
    if problem then return nil, ("%s in %s"):format(problem, key) end
    good[key] = taken
  end
  return good
end

local KNOWN = {
  model = description, image_size = sides, resize = sides, face_size = sides,
  scale_mean = channels(is_finite, "one or three finite numbers"),
  scale_sd = channels(is_positive, "one or three finite numbers above 0"),
  sequence = whole(1, 100000),
  fps = between(0.01, 1000, "a rate from 0.01 to 1000 frames a second, or 0 (unknown)"),
  outputs = names,
  label_kind = one_of("continuous", "multilabel", "class"),
  grey = one_of(0, 1), procedural = one_of(0, 1),
  corpus = words,
  int8_ranges = ranges,
}

checks.KNOWN, checks.ARGUMENTS = KNOWN, ARGUMENTS

-- A list of texts, also where one looks like a number.
checks.TEXTS = { outputs = true }

--- A weight file's meta with what mien knows in the form in which it is used; an error names the file, what it says and
-- what is wanted. Keys that mien does not know are their writer's own. `code`: of the error ("format" for a file).
function checks.meta(meta, path, code)
  local good = {}
  for key, value in pairs(meta) do
    local take = KNOWN[key]
    local taken, wanted = value, nil
    if take then taken, wanted = take(value) end
    if wanted then
      local said = type(value) == "table" and value[1] and ("the list " .. checks.listed(value)) or check.describe(value)
      check.raise(code or "format", "%s: %s must be %s, it says %s", path, key, wanted, (said:gsub("%c", "?")))
    end
    good[key] = taken
  end
  return good
end

local EXAMPLES = { model = "recurrent", ["model.features"] = "resnet", outputs = "arousal,valence",
  image_size = "150", resize = "150", scale_mean = "0,0,0", scale_sd = "1,1,1", sequence = "150", fps = "25",
  label_kind = "continuous" }

--- The error for a file that does not say what one must know; keys: what it leaves out; network: attributes that stand
-- for "model" among them, "model.cell=gru" each.
function checks.lacks(path, keys, network)
  table.sort(keys)
  local sets = {}
  for _, key in ipairs(keys) do
    if key == "model" and network then
      for _, text in ipairs(network) do sets[#sets + 1] = "--set " .. text end
    else
      sets[#sets + 1] = ("--set %s=%s"):format(key, EXAMPLES[key] or "...")
    end
  end
  check.raise("format", "%s does not say %s; files of other programs and of an earlier mien do not, and shapes do not "
    .. "tell. They are explained in docs/weights.md; say them, in Lua as options of these names, to `mien predict`%s as %s",
    path,
    table.concat(keys, ", "), network and ", with one of what stands between |," or "", table.concat(sets, " "))
end

--- Those of the keys that a file's meta lacks.
function checks.missing(meta, keys)
  local lacks = {}
  for _, key in ipairs(keys) do
    if meta[key] == nil then lacks[#lacks + 1] = key end
  end
  return lacks
end

local function shown(value)
  if type(value) ~= "table" then return tostring(value) end
  return value[1] and checks.listed(value) or "none"
end
checks.shown = shown

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do
    if not same(value, b[key]) then return false end
  end
  return #a == #b
end

--- Adds what is given to what is said; a contradiction is an error.
local function add(said, given, path, prefix)
  for key, value in pairs(given) do
    local name = key == 1 and prefix:sub(1, -2) or prefix .. key
    if said[key] == nil then
      said[key] = value
    elseif is_description(value) and is_description(said[key]) and not checks.TEXTS[key] then
      add(said[key], value, path, name .. ".")
    elseif not same(value, said[key]) then
      check.raise("argument", "%s: %s is %s, but %s was given", path, name, shown(said[key]), shown(value))
    end
  end
end

local function copy(value)
  if type(value) ~= "table" then return value end
  local out = {}
  for key, one in pairs(value) do out[key] = copy(one) end
  return out
end

--- A file's meta with what somebody says of a file that is silent about it.
function checks.join(meta, given, path)
  local all = copy(meta)
  add(all, checks.meta(given or {}, "of " .. path, "argument"), path, "")
  return all
end

--- In what two descriptions of networks differ, as texts "strides: slim in FILE, torchvision here"; dropout does not
-- count, as it changes no tensor.
function checks.differences(theirs, ours, path, prefix, list)
  list, prefix = list or {}, prefix or ""
  local keys = {}
  for key in pairs(ours) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    local name = key == 1 and prefix .. "model" or prefix .. key
    if is_description(ours[key]) and not checks.TEXTS[key] then
      checks.differences(type(theirs[key]) == "table" and theirs[key] or {}, ours[key], path, name .. ".", list)
    elseif key ~= "dropout" and not same(ours[key], theirs[key]) then
      list[#list + 1] = theirs[key] == nil and ("%s: %s does not say it, %s here"):format(name, path, shown(ours[key]))
        or ("%s: %s in %s, %s here"):format(name, shown(theirs[key]), path, shown(ours[key]))
    end
  end
  return list
end

--- A list's first entries, for a message.
function checks.listed(list)
  local said = {}
  for i = 1, math.min(#list, 6) do said[i] = tostring(list[i]):sub(1, 40) end
  return table.concat(said, ", ") .. (#list > 6 and ", ..." or "")
end

-- ---- numbers -------------------------------------------------------------------------------------------

local finite = ffi.new "bool[1]"

--- An error for weights that hold NaN or Inf: nothing can come of them.
function checks.finite(tensors, path)
  for _, entry in ipairs(tensors) do
    check.status(C.mien_tensor_is_finite(entry[2], finite))
    if not finite[0] then
      check.raise("format", "%s: %s holds NaN or Inf: the training behind these weights diverged, or the file is "
        .. "damaged", path, entry[1])
    end
  end
end

return checks
