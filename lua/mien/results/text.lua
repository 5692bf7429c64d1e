-- Rows as aligned text, CSV and JSON.
-- Not here: asking the database for them (results/init.lua).
local ffi = require "ffi"
local literal = require "mien.base.literal"

local text = {}

local NULL = "-"

--- Characters of a UTF-8 text.
local function width(s)
  return #s:gsub("[\128-\191]", "")
end

local blob = {}
blob.__index = blob

--- Whole in CSV and JSON, as SQLite writes it.
function blob:__tostring()
  return "x'" .. self.bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end) .. "'"
end

--- Bytes that are no text: they never go to a terminal as they are.
function text.blob(bytes) return setmetatable({ bytes = bytes }, blob) end

local function is_number(value) return type(value) == "number" or ffi.istype("int64_t", value) end

--- A value as a person reads it: six digits are enough for a table, CSV and JSON keep all.
local function short(value)
  if value == nil then return NULL end
  if getmetatable(value) == blob then
    local n, first = #value.bytes, tostring(text.blob(value.bytes:sub(1, 16)))
    return n <= 16 and first or ("%s... (%d bytes)"):format(first:sub(1, -2), n)
  end
  if type(value) == "cdata" then return (tostring(value):gsub("LL$", "")) end
  if type(value) ~= "number" then
    return (tostring(value):gsub("[\r\n]+", " "):gsub("%c", function(c) return ("\\x%02x"):format(c:byte()) end))
  end
  if value % 1 == 0 and math.abs(value) < 1e15 then return ("%d"):format(value) end
  if math.abs(value) >= 1e6 and math.abs(value) < 1e15 then return ("%.1f"):format(value) end
  return ("%.6g"):format(value)
end

--- A number with all its digits, no more than it needs.
local function exact(value)
  if type(value) == "cdata" then return (tostring(value):gsub("LL$", "")) end
  return literal.number(value)
end

--- The first n characters of a UTF-8 text, the last of them an ellipsis where more follows.
local function cut(s, n)
  if width(s) <= n then return s end
  local kept = 0
  for at in s:gmatch "()[^\128-\191]" do
    kept = kept + 1
    if kept == n then return s:sub(1, at - 1) .. "…" end
  end
end

local NARROWEST = 8 -- a column that is cut keeps this many characters

--- Narrows the widest columns of texts until the line fits; numbers stay whole.
local function fit(widths, numeric, total)
  local line = 2 * (#widths - 1)
  for c = 1, #widths do
    if not numeric[c] then widths[c] = math.min(widths[c], math.max(total, NARROWEST)) end
    line = line + widths[c]
  end
  while line > total do
    local widest
    for c = 1, #widths do
      if not numeric[c] and widths[c] > NARROWEST and (not widest or widths[c] > widths[widest]) then widest = c end
    end
    if not widest then return end
    widths[widest], line = widths[widest] - 1, line - 1
  end
end

--- Aligned columns under their names: numbers to the right, texts to the left, "-" for NULL.
-- rows: list of tables by column name; columns: their order (rows.columns when left out); total: characters of a line,
-- where long texts are to be cut (they end in an ellipsis then).
function text.table(rows, columns, total)
  columns = columns or rows.columns
  local cells, widths, numeric = {}, {}, {}
  for c, name in ipairs(columns) do
    widths[c], numeric[c] = width(name), false
    for _, row in ipairs(rows) do
      if is_number(row[name]) then numeric[c] = true end
    end
  end
  for r, row in ipairs(rows) do
    cells[r] = {}
    for c, name in ipairs(columns) do
      cells[r][c] = short(row[name])
      widths[c] = math.max(widths[c], width(cells[r][c]))
    end
  end
  if total then fit(widths, numeric, total) end
  local function line(values)
    local parts = {}
    for c = 1, #columns do
      local value = cut(values[c], widths[c])
      local pad = (" "):rep(widths[c] - width(value))
      parts[c] = numeric[c] and pad .. value or value .. pad
    end
    return (table.concat(parts, "  "):gsub("%s+$", ""))
  end
  local rule = {}
  for c = 1, #columns do rule[c] = ("-"):rep(widths[c]) end
  local lines = { line(columns), table.concat(rule, "  ") }
  for r = 1, #rows do lines[#lines + 1] = line(cells[r]) end
  return table.concat(lines, "\n")
end

--- Comma-separated values with a header (RFC 4180); NULL is an empty field.
function text.csv(rows, columns)
  columns = columns or rows.columns
  local function field(value)
    if value == nil then return "" end
    local s = is_number(value) and exact(value) or tostring(value)
    return s:find '[",\r\n]' and '"' .. s:gsub('"', '""') .. '"' or s
  end
  local lines = {}
  local function add(values)
    local parts = {}
    for c, name in ipairs(columns) do parts[c] = field(values[name]) end
    lines[#lines + 1] = table.concat(parts, ",")
  end
  local header = {}
  for _, name in ipairs(columns) do header[name] = name end
  add(header)
  for _, row in ipairs(rows) do add(row) end
  return table.concat(lines, "\n")
end

--- A JSON list of objects, keys in the order of the columns.
function text.json(rows, columns)
  columns = columns or rows.columns
  local cjson = require "cjson"
  local objects = {}
  for r, row in ipairs(rows) do
    local parts = {}
    for c, name in ipairs(columns) do
      local value = row[name]
      local finite = type(value) ~= "number" or (value == value and math.abs(value) < math.huge)
      local written = value == nil and "null" or is_number(value) and finite and exact(value)
        or cjson.encode(tostring(value))
      parts[c] = cjson.encode(name) .. ": " .. written
    end
    objects[r] = "  {" .. table.concat(parts, ", ") .. "}"
  end
  return #objects == 0 and "[]" or "[\n" .. table.concat(objects, ",\n") .. "\n]"
end

return text
