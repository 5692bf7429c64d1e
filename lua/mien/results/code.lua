-- What a function does, in texts that can be compared: its source, what it takes from outside, the modules behind it.
-- Not here: reading sources (results/source.lua), what of it makes a run (experiment/schema.lua).
local bit = require "bit"
local check = require "mien.base.check"
local read = require "mien.base.read"
local sha256 = require "mien.base.sha256"
local source = require "mien.results.source"
local util = require "jit.util"

local code = {}

-- ---- one function ------------------------------------------------------------------------------

--- The lines of a function where its text is known: in a file, or kept by Lua itself; else nil.
local function lines_of(info)
  local path = info.source:match "^@(.*)"
  local text = path and read(path) or not path and info.source:sub(1, 1) ~= "=" and info.source
  if not text then return nil end
  local lines, number = {}, 0
  for line in (text .. "\n"):gmatch "(.-)\n" do
    number = number + 1
    if number >= info.linedefined and number <= info.lastlinedefined then lines[#lines + 1] = line end
  end
  return lines[1] and table.concat(lines, "\n") or nil
end

local sources = setmetatable({}, { __mode = "k" }) -- the file may change while what was read from it runs

--- The source of a function in one line, without comments; of one that was typed in, a hash of what it compiled to.
function code.source(fn)
  if not sources[fn] then
    local text = lines_of(debug.getinfo(fn, "S"))
    local ok, dumped = pcall(string.dump, fn, true)
    sources[fn] = text and source.of_function(text) or "function without source " .. sha256.text(ok and dumped or "")
  end
  return sources[fn]
end

local GLOBAL = bit.band(util.funcbc(loadstring "return x", 1), 0xff) -- the instruction that reads a global

--- Adds the names of the globals that a function reads, and those inside it.
local function add_globals(fn, names)
  for pc = 1, math.huge do
    local instruction = util.funcbc(fn, pc)
    if not instruction then break end
    if bit.band(instruction, 0xff) == GLOBAL then names[util.funck(fn, -bit.rshift(instruction, 16) - 1)] = true end
  end
  for i = -1, -math.huge, -1 do
    local constant = util.funck(fn, i)
    if constant == nil then return end
    if type(constant) == "proto" then add_globals(constant, names) end
  end
end

-- ---- what it takes from outside ----------------------------------------------------------------

--- The name of a function of mien: an op's, or its own in its module, as its file would tell one from another only.
local function name_in_mien(fn, info)
  local module = info.source:match "lua/mien/(.*)%.lua$" or info.source
  local name = "mien." .. module:gsub("/init$", ""):gsub("/", ".")
  for _, of in ipairs { "mien.tensor.op", name } do
    local loaded = package.loaded[of]
    for key, value in pairs(type(loaded) == "table" and loaded or {}) do
      if value == fn then return of .. "." .. tostring(key) end
    end
  end
  return name
end

local function name_of_module(value)
  local found
  for name, loaded in pairs(package.loaded) do
    if rawequal(loaded, value) and (not found or name < found) then found = name end
  end
  return found
end

local OF_LUA = {}
for _, name in ipairs { "_G", "string", "table", "math", "io", "os", "debug", "coroutine", "package", "bit", "jit", "ffi" } do
  OF_LUA[name] = true
end

local visit

local function visit_function(path, fn, out, seen)
  local info = debug.getinfo(fn, "S")
  if info.what == "C" then return end -- of Lua itself: the source says which
  if check.is_mien(info.source) then
    out[path] = name_in_mien(fn, info)
    return
  end
  out[path] = code.source(fn)
  for i = 1, math.huge do
    local name, value = debug.getupvalue(fn, i)
    if not name then break end
    visit(path .. "." .. name, value, out, seen)
  end
  local names = {}
  add_globals(fn, names)
  local globals = debug.getfenv(fn)
  for name in pairs(names) do visit(path .. "." .. name, globals[name], out, seen) end
end

function visit(path, value, out, seen)
  local kind = type(value)
  if kind == "number" or kind == "string" or kind == "boolean" then
    out[path] = value
  elseif kind == "function" or kind == "table" then
    local module = kind == "table" and name_of_module(value)
    if module then
      if not OF_LUA[module] then out[path] = "module " .. module end
    elseif seen[value] then
      if seen[value] ~= path then out[path] = "as " .. seen[value] end
    else
      seen[value] = path
      if kind == "function" then return visit_function(path, value, out, seen) end
      if getmetatable(value) then return end -- a tensor, a layer: what made it counts
      local keys = {}
      for key in pairs(value) do
        if type(key) == "string" or type(key) == "number" then keys[#keys + 1] = key end
      end
      table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
      for _, key in ipairs(keys) do visit(path .. "." .. tostring(key), value[key], out, seen) end
    end
  end
end

local known = setmetatable({}, { __mode = "k" }) -- as it was when it was asked for first: a function may keep count

--- All that a function takes from outside itself, recursively: path -> number, text or source; `path` is its own.
-- Upvalues and globals count: numbers, texts, tables of such, functions. Of mien itself names count.
function code.of(fn, path)
  if not known[fn] then
    local out = {}
    visit("", fn, out, {})
    known[fn] = out
  end
  local out = {}
  for key, value in pairs(known[fn]) do
    if key ~= "" then out[path .. key] = value end
  end
  return out
end

-- ---- the modules behind it ---------------------------------------------------------------------

--- The files that a file asks for by name, and those that they ask for, but mien's own: name -> { path =, text = }.
-- hidden: files that ask for what only running them would tell.
function code.files(path, list, hidden)
  list, hidden = list or {}, hidden or {}
  local text = read(path)
  if not text then return list, hidden end
  local required, some_hidden = source.required(text)
  if some_hidden then hidden[#hidden + 1] = path end
  for _, one in ipairs(required) do
    local name = one[2]
    local found = one[1] == "require" and package.searchpath(name, package.path) or one[1] ~= "require" and name
    if found and not list[name] and not check.is_mien("@" .. found) and found:find "%.lua$" then
      local inside = read(found)
      if inside then
        list[name] = { path = found, text = inside }
        code.files(found, list, hidden)
      end
    end
  end
  return list, hidden
end

return code
