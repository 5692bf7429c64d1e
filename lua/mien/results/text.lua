-- Rows as aligned text, CSV and JSON.
-- Not here: asking the database for them (results/init.lua).
local text = {}

local NULL = "-"

--- Characters of a UTF-8 text.
local function width(s)
  return #s:gsub("[\128-\191]", "")
end

--- A value as a person reads it: six digits are enough for a table, CSV and JSON keep all.
local function short(value)
  if value == nil then return NULL end
  if type(value) ~= "number" then return (tostring(value):gsub("[\r\n]+", " ")) end
  if value % 1 == 0 and math.abs(value) < 1e15 then return ("%d"):format(value) end
  if math.abs(value) >= 1e6 and math.abs(value) < 1e15 then return ("%.1f"):format(value) end
  return ("%.6g"):format(value)
end

--- A number with all its digits, no more than it needs.
local function exact(value)
  for digits = 15, 17 do
    local s = ("%." .. digits .. "g"):format(value)
    if tonumber(s) == value then return s end
  end
  return tostring(value)
end

--- Aligned columns under their names: numbers to the right, texts to the left, "-" for NULL.
-- rows: list of tables by column name; columns: their order (rows.columns when left out).
function text.table(rows, columns)
  columns = columns or rows.columns
  local cells, widths, numeric = {}, {}, {}
  for c, name in ipairs(columns) do
    widths[c], numeric[c] = width(name), false
    for _, row in ipairs(rows) do
      if type(row[name]) == "number" then numeric[c] = true end
    end
  end
  for r, row in ipairs(rows) do
    cells[r] = {}
    for c, name in ipairs(columns) do
      cells[r][c] = short(row[name])
      widths[c] = math.max(widths[c], width(cells[r][c]))
    end
  end
  local function line(values)
    local parts = {}
    for c = 1, #columns do
      local pad = (" "):rep(widths[c] - width(values[c]))
      parts[c] = numeric[c] and pad .. values[c] or values[c] .. pad
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
    local s = type(value) == "number" and exact(value) or tostring(value)
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
      local written = value == nil and "null" or type(value) == "number" and finite and exact(value)
        or cjson.encode(tostring(value))
      parts[c] = cjson.encode(name) .. ": " .. written
    end
    objects[r] = "  {" .. table.concat(parts, ", ") .. "}"
  end
  return #objects == 0 and "[]" or "[\n" .. table.concat(objects, ",\n") .. "\n]"
end

return text
