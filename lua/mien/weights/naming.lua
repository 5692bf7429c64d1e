-- From the names of a foreign file to mien's: which part of a checkpoint is the network, which map of weights/maps fits,
-- what its rules make of each tensor. Not here: reading (weights/reading), what a change does (weights/changes.lua).
local check = require "mien.base.check"
local lfs = require "lfs"

local naming = {}

-- ---- the network in a checkpoint ------------------------------------------------------------------------

-- Where frameworks and authors keep a network among optimisers and counters, and what wraps its names.
local INSIDE = { "state_dict", "model_state_dict", "shared_layers", "model", "net", "network", "module", "weights" }
local WRAPS = { "module", "model", "video_model" }

local function below(entries, prefix)
  local list = {}
  for _, entry in ipairs(entries) do
    if entry.name:sub(1, #prefix + 1) == prefix .. "." or entry.name:sub(1, #prefix + 1) == prefix .. "/" then
      list[#list + 1] = { name = entry.name:sub(#prefix + 2), entry = entry }
    end
  end
  return list
end

--- The entries of the network as { name, entry }, and the prefix that was cut off ("" for none). given: the user's.
function naming.inside(entries, given, path)
  local list, cut = {}, ""
  for i, entry in ipairs(entries) do list[i] = { name = entry.name, entry = entry } end
  if given and given ~= "" then
    list = below(entries, given:gsub("[%./]$", ""))
    if #list == 0 then check.raise("argument", "%s: no tensor lies below the prefix %s", path, given) end
    return list, given
  end
  for _, word in ipairs(INSIDE) do
    local part = below(entries, word)
    if #part > 0 then
      list, cut = part, word .. "."
      break
    end
  end
  for _, word in ipairs(WRAPS) do -- what all names have in common
    local count = 0
    for _, one in ipairs(list) do
      if one.name:sub(1, #word + 1):match("^" .. word .. "[%./]$") then count = count + 1 end
    end
    if #list > 0 and count == #list then
      cut = cut .. list[1].name:sub(1, #word + 1)
      for _, one in ipairs(list) do one.name = one.name:sub(#word + 2) end
    end
  end
  return list, cut
end

-- ---- maps ----------------------------------------------------------------------------------------------

local folder = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/maps"

--- All maps that mien has, by name: tables as weights/maps/torchvision_resnet.lua explains them.
function naming.maps()
  local found = {}
  for file in lfs.dir(folder) do
    local name = file:match "^([%w_]+)%.lua$"
    if name then found[name] = require("mien.weights.maps." .. name) end
  end
  return found
end

local known = { sign = "table!", rules = "table!", model = "table", cell = "table", epsilon = "number", about = "string!" }

--- A map by name, from a Lua file of the user's, or a table.
local function map_of(given)
  if type(given) == "table" then return check.keys(given, known, "weights: map"), "your own" end
  local maps = naming.maps()
  if maps[given] then return maps[given], given end
  if given:find "%.lua$" then
    local ok, map = pcall(dofile, given)
    if not ok then check.raise("argument", "weights: the map %s: %s", given, tostring(map)) end
    return check.keys(check.type(map, "table", "weights: what the map " .. given .. " gives"), known, "weights: map"), given
  end
  check.unknown("weights", "map", given, maps)
end

local function fits(map, list)
  for _, pattern in ipairs(map.sign) do
    local found = false
    for _, one in ipairs(list) do
      if one.name:find(pattern) then
        found = true
        break
      end
    end
    if not found then return false end
  end
  return true
end

--- The map for these names and its name: the given one ("none": names stay), or the only one whose signs are all there;
-- nil for names that no map knows.
function naming.map(list, given, path)
  if given == "none" then return nil end
  if given then return map_of(given) end
  local good = {}
  for name, map in pairs(naming.maps()) do
    if fits(map, list) then good[#good + 1] = name end
  end
  table.sort(good)
  if #good > 1 then
    check.raise("argument", "%s: the maps %s fit its names; say one as map = ...", path, table.concat(good, " and "))
  end
  return good[1] and naming.maps()[good[1]], good[1]
end

--- A replacement with %1 ... and {%1-1}, {%1+1} of a whole number.
local function filled(template, captures)
  local text = template:gsub("{%%(%d)([+-]%d+)}", function(i, step)
    return ("%d"):format(tonumber(captures[tonumber(i)]) + tonumber(step))
  end)
  return (text:gsub("%%(%d)", function(i) return captures[tonumber(i)] end))
end

--- What a map makes of a name: list of { name =, change = ... } (several where one tensor holds several), or nil and why it
-- is left out. A name that no rule knows is left out, too: second result "unknown".
function naming.rename(map, name)
  for _, rule in ipairs(map.rules) do
    local captures = { name:match(rule[1]) }
    if captures[1] then
      if rule.leave then return nil, rule.leave end
      local list = {}
      for i, to in ipairs(type(rule[2]) == "table" and rule[2] or { rule }) do
        local target = type(rule[2]) == "table" and to[1] or rule[2]
        list[i] = setmetatable({ name = filled(target, captures) }, { __index = to })
      end
      return list
    end
  end
  return nil, "unknown"
end

return naming
