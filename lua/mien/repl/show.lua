-- A value as text for the prompt: bounded in depth, entries and width, so that nothing floods it.
-- Not here: tensors, which print themselves (lua/mien/base/print.lua).
local show = {}

local root = debug.getinfo(1, "S").source:match "^@(.*/)lua/mien/repl/show%.lua$" or ""

local DEPTH, ENTRIES, WIDTH, TEXT = 3, 20, 96, 2000

local function by_kind_and_name(a, b)
  local ta, tb = type(a), type(b)
  if ta ~= tb then return ta < tb end
  if ta == "number" or ta == "string" then return a < b end
  return tostring(a) < tostring(b)
end

local function quote(text)
  local cut = #text > TEXT and text:sub(1, TEXT) or text
  cut = ("%q"):format(cut):gsub("\\\n", "\\n"):gsub("\\0", "\\0"):gsub("\r", "\\r")
  return #text > TEXT and cut .. (" ... (%d bytes)"):format(#text) or cut
end

local function describe_function(f)
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return "function (C)" end
  local file = info.source:gsub("^[@=]", "")
  if file:sub(1, #root) == root then file = file:sub(#root + 1) end
  return ("function (%s:%d)"):format(file, info.linedefined)
end

local function key_text(key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" then return key .. " = " end
  return "[" .. (type(key) == "string" and quote(key) or tostring(key)) .. "] = "
end

local format

local function format_table(value, depth, open)
  if open[value] then return "{ ... (itself) }" end
  if next(value) == nil then return "{}" end
  if depth >= DEPTH then return "{ ... }" end
  open[value] = true
  local parts, length = {}, #value
  for i = 1, math.min(length, ENTRIES) do parts[i] = format(value[i], depth + 1, open) end
  local keys = {}
  for key in next, value do
    local in_list = type(key) == "number" and key % 1 == 0 and key >= 1 and key <= length
    if not in_list then keys[#keys + 1] = key end
  end
  table.sort(keys, by_kind_and_name)
  local shown, total = #parts, length + #keys
  for _, key in ipairs(keys) do
    if shown >= ENTRIES then break end
    shown = shown + 1
    parts[#parts + 1] = key_text(key) .. format(rawget(value, key), depth + 1, open)
  end
  if total > shown then parts[#parts + 1] = ("... (%d of %d shown)"):format(shown, total) end
  open[value] = nil
  local line = "{ " .. table.concat(parts, ", ") .. " }"
  if #line + 2 * depth <= WIDTH and not line:find "\n" then return line end
  local indent = ("  "):rep(depth + 1)
  return "{\n" .. indent .. table.concat(parts, ",\n" .. indent) .. "\n" .. ("  "):rep(depth) .. "}"
end

function format(value, depth, open)
  local kind = type(value)
  if kind == "string" then return quote(value) end
  if kind == "function" then return describe_function(value) end
  if kind ~= "table" then return tostring(value) end
  local meta = getmetatable(value)
  if type(meta) == "table" and rawget(meta, "__tostring") then
    local ok, text = pcall(tostring, value)
    return ok and text or "(a value whose __tostring fails)"
  end
  return format_table(value, depth, open)
end

--- The value as text; several lines when it is large.
function show.value(value)
  return format(value, 0, {})
end

return show
