-- Completion of names at the prompt; it only looks into tables and never runs code.
-- Not here: keys and listing (core/host/edit.c).
local parts = require "mien.base.parts"
local lfs = require "lfs"

local complete = {}

local KEYWORDS = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if",
  "in", "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while" }
local SQL = { "select", "from", "where", "group by", "order by", "limit", "join", "left join", "on", "having",
  "distinct", "count(", "avg(", "min(", "max(" }

--- The tables in which a name of `value` is looked up: itself, then its chain of __index tables, or its class; and the
-- table of the fields that it computes.
local function places(value)
  local found = {}
  if type(value) == "cdata" then
    local ok, is_tensor = pcall(require("mien.base.check").is_tensor, value)
    if ok and is_tensor then
      local handle = require "mien.tensor.handle"
      return { handle.methods }, handle.fields
    end
    return found, {}
  end
  if type(value) == "string" then return { string }, {} end
  local computed = {}
  while type(value) == "table" and #found < 10 do
    found[#found + 1] = value
    local meta = debug.getmetatable(value)
    meta = type(meta) == "table" and meta or {}
    computed = rawget(meta, "fields") or computed
    value = rawget(meta, "class") or rawget(meta, "__index")
  end
  return found, computed
end

local function lookup(value, name)
  local found = places(value)
  for _, place in ipairs(found) do
    local field = rawget(place, name)
    if field ~= nil then return field end
  end
end

--- A part of mien by its name, when it is loaded: naming one that is not would run its file.
local function loaded(path)
  return package.loaded[parts.modules[path] or "mien." .. path]
end

--- Follows `a.b.c` from the environment; nil when a step is not there or would have to be computed.
local function resolve(env, path)
  local value, at
  for name in path:gmatch "[%a_][%w_]*" do
    if at == nil then
      value = rawget(env, name)
      if value == nil then value = rawget(_G, name) end
      if value == nil then value = name == "mien" and package.loaded.mien or loaded(name) end
    else
      local found = lookup(value, name)
      if found == nil and at == "mien" then found = loaded(name) end
      value = found
    end
    at = at and at .. "." .. name or name
    if value == nil then return nil end
  end
  return value
end

local function add_keys(names, value, only_functions)
  local found, computed = places(value)
  for name in next, only_functions and {} or computed do names[name] = true end
  for _, place in ipairs(found) do
    for key, field in next, place do
      local fits = not only_functions or type(field) == "function"
      if fits and type(key) == "string" and key:find "^[%a_][%w_]*$" then names[key] = true end
    end
  end
end

local function matching(names, prefix, before)
  local found = {}
  for name in pairs(names) do
    if name:sub(1, #prefix) == prefix and (prefix ~= "" or name:sub(1, 1) ~= "_") then
      found[#found + 1] = before .. name
    end
  end
  table.sort(found)
  return found
end

--- Files in the working folder that begin like the text in an open string.
local function paths(prefix)
  local folder, start = prefix:match "^(.*/)([^/]*)$"
  folder, start = folder or "", start or prefix
  local names = {}
  local ok, iterate, state = pcall(lfs.dir, folder == "" and "." or folder)
  if not ok then return {} end
  for name in iterate, state do
    if name:sub(1, 1) ~= "." and name:sub(1, #start) == start then
      local directory = lfs.attributes(folder .. name, "mode") == "directory"
      names[#names + 1] = folder .. name .. (directory and "/" or "")
    end
  end
  table.sort(names)
  return names
end

--- Candidates for the word before `cursor` (bytes), and the 1-based place where that word begins.
function complete.lua(env, line, cursor)
  local text = line:sub(1, cursor)
  local quoted = text:match "^[^\"']*[\"']([^\"']*)$"
  if quoted then return paths(quoted), cursor - #quoted + 1 end
  local word = text:match "[%a_][%w_%.:]*$" or ""
  local start = cursor - #word + 1
  local path, mark, prefix = word:match "^(.*)([%.:])([%w_]*)$"
  local names = {}
  if path then
    local value = resolve(env, path)
    if value == nil then return {}, start end
    add_keys(names, value, mark == ":")
    if path == "mien" then
      for _, name in ipairs(value.names()) do names[name] = true end
    end
    return matching(names, prefix, path .. mark), start
  end
  for _, name in ipairs(KEYWORDS) do names[name] = true end
  for _, name in ipairs(getmetatable(env).names) do names[name] = true end
  add_keys(names, _G)
  for name in next, env do names[name] = true end
  return matching(names, word, ""), start
end

--- The same for SQL: words of the language and the given names of tables and views.
function complete.sql(tables, line, cursor)
  local word = line:sub(1, cursor):match "[%a_][%w_]*$" or ""
  local names = {}
  for _, name in ipairs(SQL) do names[name] = true end
  for _, name in ipairs(tables) do names[name] = true end
  return matching(names, word, ""), cursor - #word + 1
end

return complete
