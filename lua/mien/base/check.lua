-- C statuses become Lua error objects here, and arguments are checked with messages that help.
-- Not here: the texts of C's errors (each op writes its own).
local ffi = require "ffi"
local C = require "mien.base.ffi"

local check = {}

-- ---- error objects ---------------------------------------------------------------------------

--- What mien raises: `code` ("shape", "io", ...), `message`, `at` (the caller's file:line outside mien), `from` (the
-- places outside mien that called that, innermost first), `inside` (the module that was being computed: "net.head (linear
-- 256, 2)"), `where` (file:line in C) and `cause` (what the library below said); all but code and message may be nil.
local error_class = {}
error_class.__index = error_class

function error_class:__tostring()
  local text = self.message
  if self.at then text = self.at .. ": " .. text end
  if self.inside then text = text .. "\n  in " .. self.inside end
  if self.cause then text = text .. "\n  cause: " .. self.cause end
  return text
end

local here = debug.getinfo(1, "S").source:gsub("base/check%.lua$", "") -- "@.../lua/mien/"
local readers = here:gsub("lua/mien/$", "datasets/")

--- Whether a function's source, as debug.getinfo gives it, is mien's own Lua.
function check.is_mien(source)
  return source:sub(1, #here) == here or source:sub(1, 6) == "=mien."
end

-- The function whose frames hold a module as their first local (nn/module.lua), and what names a list of modules, outermost
-- first.
local module_call, module_path

--- Tells how frames of modules look: call, the function that computes one (its first local is the module, and it is no
-- tail call), and path(modules), the name of the innermost of them.
function check.modules(call, path)
  module_call, module_path = call, path
end

--- What the stack says of an error: the places that are neither mien's own Lua, its readers of corpora nor C, as
-- "file:line", innermost first, and the name of the module that is being computed, or nil. A `forward` of somebody's own
-- that ends with a tail call has no frame any more: the line where it begins stands for it.
local function look(level)
  local places, modules, found = {}, {}, false
  for l = level + 1, level + 200 do
    local info = debug.getinfo(l, "Slf")
    if not info then break end
    if info.func == module_call then
      local _, m = debug.getlocal(l, 1)
      local forward = debug.getinfo(m.forward, "S")
      if not found and not check.is_mien(forward.source) then
        places[#places + 1] = forward.short_src .. ":" .. forward.linedefined
      end
      table.insert(modules, 1, m)
      found = false
    elseif info.currentline > 0 and not check.is_mien(info.source) and info.source:sub(1, #readers) ~= readers then
      places[#places + 1] = info.short_src .. ":" .. info.currentline
      found = true
    end
  end
  return places, #modules > 0 and module_path(modules) or nil
end

--- Makes an error object without raising it.
function check.error(code, message, where, cause)
  local places, inside = look(2)
  local at = table.remove(places, 1)
  local err = { code = code, message = message, where = where, cause = cause, at = at, from = places, inside = inside }
  return setmetatable(err, error_class)
end

--- True for what check raises.
function check.is_error(value)
  return getmetatable(value) == error_class
end

--- Raises an error object; `code` is a status name such as "argument", the rest goes to string.format.
function check.raise(code, fmt, ...)
  error(check.error(code, select("#", ...) > 0 and fmt:format(...) or fmt), 0)
end

-- ---- tracebacks ------------------------------------------------------------------------------

local traces = setmetatable({}, { __mode = "k" }) -- error object -> traceback
local last_text, last_trace, last_inside, passing  -- the same for the last error that was a text, and its module

--- The handler for xpcall where an error only passes through: keeps the traceback of where it began.
function check.trace(err)
  if err ~= nil and rawequal(err, passing) then return err end
  passing = nil
  local trace = debug.traceback("", 2)
  if type(err) == "table" then
    traces[err] = traces[err] or trace
  else
    last_text, last_trace = err, trace
    last_inside = select(2, look(2))
  end
  return err
end

--- Raises an error that went through check.trace again, its traceback unharmed.
function check.rethrow(err)
  passing = err
  error(err, 0)
end

--- The traceback of where an error began, as far as it passed through a scope; else nil.
function check.traceback(err)
  if type(err) == "table" then return traces[err] end
  return err ~= nil and err == last_text and last_trace or nil
end

--- The module in which an error that is no object of mien's began, as far as it passed through a scope; else nil.
function check.inside(err)
  return type(err) == "string" and err == last_text and last_inside or nil
end

-- ---- what C returned ---------------------------------------------------------------------------

--- Raises C's last error.
function check.last()
  local last = C.mien_error_last()
  local cause = ffi.string(last.cause)
  local where = last.file ~= nil and ffi.string(last.file) .. ":" .. last.line or nil
  error(check.error(ffi.string(C.mien_status_name(last.code)), ffi.string(last.message), where,
    cause ~= "" and cause or nil), 0)
end

--- Raises C's last error unless `code` is MIEN_OK.
function check.status(code)
  if code ~= 0 then check.last() end
end

--- Raises C's last error when `pointer` is NULL, else returns it.
function check.pointer(pointer)
  if pointer == nil then check.last() end
  return pointer
end

-- ---- names ---------------------------------------------------------------------------------------

--- How many letters two short texts differ in: left out, added, changed, or two that changed places; case ignored.
local function distance(a, b)
  a, b = a:lower(), b:lower()
  local rows = { [0] = {} }
  for j = 0, #b do rows[0][j] = j end
  for i = 1, #a do
    local row, above = { [0] = i }, rows[i - 1]
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      row[j] = math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], rows[i - 2][j - 2] + 1)
      end
    end
    rows[i] = row
  end
  return rows[#a][#b]
end

--- The name in `list` (an array, or the string keys of a table) nearest to `name`; nil when none is near: a third
-- of the letters of the longer one may be wrong, one in any case; and the beginning of a name, three letters at least,
-- is near it.
function check.nearest(name, list)
  local names = {}
  for key, value in pairs(list) do
    names[#names + 1] = type(key) == "string" and key or type(value) == "string" and value or nil
  end
  table.sort(names)
  local best, best_distance
  for _, candidate in ipairs(names) do
    local limit = math.min(#name - 1, math.max(1, math.floor(math.max(#name, #candidate) / 3)))
    local d = distance(name, candidate)
    if #name >= 3 and candidate:sub(1, #name) == name then d = math.min(d, limit) end
    if d <= limit and (not best or d < best_distance) then best, best_distance = candidate, d end
  end
  return best
end

--- Raises "what: unknown noun "name"; did you mean "nearest"?", or lists what there is.
function check.unknown(what, noun, name, list)
  local near = type(name) == "string" and check.nearest(name, list)
  local start = ('%s: unknown %s "%s"'):format(what, noun, tostring(name))
  if near then check.raise("argument", '%s; did you mean "%s"?', start, near) end
  local names = {}
  for key, value in pairs(list) do names[#names + 1] = tostring(type(key) == "string" and key or value) end
  table.sort(names)
  check.raise("argument", "%s; known: %s", start, table.concat(names, ", "))
end

-- ---- types ---------------------------------------------------------------------------------------

local function is_tensor(value)
  return type(value) == "cdata" and ffi.istype("mien_tensor", value)
end
check.is_tensor = is_tensor

--- "a number", "a tensor", "the text "x"": a value in an error message.
local function describe(value)
  if is_tensor(value) then return "a tensor" end
  if type(value) == "string" then
    return ('the text "%s"'):format(#value > 40 and value:sub(1, 37) .. "..." or value)
  end
  if type(value) == "number" or type(value) == "boolean" or value == nil then return tostring(value) end
  return "a " .. type(value)
end
check.describe = describe

local function matches(value, kind)
  if kind == "any" then return true end
  if kind == "tensor" then return is_tensor(value) end
  if kind == "integer" then return type(value) == "number" and value % 1 == 0 end
  if kind == "count" then return type(value) == "number" and value % 1 == 0 and value >= 1 end
  return type(value) == kind
end

local nouns = {
  any = "a value", tensor = "a tensor", integer = "an integer", count = "an integer of 1 or more",
  number = "a number", string = "a text", boolean = "true or false", table = "a table",
  ["function"] = "a function", cdata = "a C object",
}

--- Checks one value against "number", "tensor", "integer", "count" (an integer >= 1), or several joined
-- by "|"; returns it.
function check.type(value, kinds, what)
  for kind in kinds:gmatch "[^|]+" do
    if matches(value, kind) then return value end
  end
  local wanted = kinds:gsub("[^|]+", nouns):gsub("|", " or ")
  check.raise("argument", "%s must be %s, got %s", what, wanted, describe(value))
end

--- Checks a table of options: every key must be in `known`, with the type it says.
-- known: { key = true | "number" | "count|table" ... }; a trailing "!" means that the key must be there.
-- Positional entries are checked as known[1], known[2], ... An unknown key is an error that names the
-- nearest known one. Returns the table.
function check.keys(options, known, what)
  if type(options) ~= "table" then
    check.raise("argument", "%s takes a table, got %s", what, describe(options))
  end
  for key, value in pairs(options) do
    local kinds = known[key]
    if kinds == nil then
      if type(key) == "number" then
        check.raise("argument", "%s: too many values: nothing belongs at position %s", what, key)
      end
      local names = {} -- positions have none
      for name in pairs(known) do names[#names + 1] = type(name) == "string" and name or nil end
      check.unknown(what, "key", key, names)
    elseif type(kinds) == "string" then
      local name = type(key) == "number" and "value " .. key or key
      check.type(value, (kinds:gsub("!$", "")), what .. ": " .. name)
    end
  end
  for key, kinds in pairs(known) do
    if type(kinds) == "string" and kinds:sub(-1) == "!" and options[key] == nil then
      check.raise("argument", "%s: %s is missing", what, type(key) == "number" and "value " .. key or key)
    end
  end
  return options
end

--- Checks that `value` is one of the texts in the array `list`; returns it.
function check.one_of(value, list, what)
  for _, known in ipairs(list) do
    if value == known then return value end
  end
  local known = table.concat(list, ", ")
  if type(value) ~= "string" then
    check.raise("argument", "%s must be one of %s, got %s", what, known, describe(value))
  end
  local near = check.nearest(value, list)
  local guess = near and ('did you mean "%s"? '):format(near) or ""
  check.raise("argument", '%s: unknown value "%s"; %sknown: %s', what, value, guess, known)
end

return check
