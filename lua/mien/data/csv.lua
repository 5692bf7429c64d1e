-- Reads CSV as programs write it: quoted fields, CRLF, BOM, blanks around names, comma or semicolon.
-- Not here: what the columns mean.
local check = require "mien.base.check"

local csv = {}

--- Splits one record that begins at byte `at`; returns its fields and the byte after it; nil and a message for a
-- quote that never ends.
local function record(text, at, separator)
  local fields = {}
  while true do
    local value
    if text:sub(at, at) == '"' then
      local parts, from = {}, at + 1
      while true do
        local quote = text:find('"', from, true)
        if not quote then return nil, "a quote that does not end" end
        parts[#parts + 1] = text:sub(from, quote - 1)
        if text:sub(quote + 1, quote + 1) ~= '"' then
          at = quote + 1
          break
        end
        parts[#parts + 1] = '"'
        from = quote + 2
      end
      value = table.concat(parts)
      local stop = text:find("[" .. separator .. "\r\n]", at) or #text + 1
      if text:sub(at, stop - 1):find "%S" then return nil, "text after a quoted field" end
      at = stop
    else
      local stop = text:find("[" .. separator .. "\r\n]", at) or #text + 1
      value = text:sub(at, stop - 1):match "^%s*(.-)%s*$"
      at = stop
    end
    fields[#fields + 1] = value
    local ending = text:sub(at, at)
    if ending ~= separator then
      if text:sub(at, at + 1) == "\r\n" then at = at + 1 end
      return fields, at + 1
    end
    at = at + 1
  end
end

--- A file's whole text, without a byte order mark.
function csv.text(path)
  local file, problem = io.open(path, "rb")
  if not file then check.raise("io", "cannot read %s", problem) end
  local text = file:read "*a"
  file:close()
  if not text then check.raise("io", "%s cannot be read; is it a folder?", path) end
  return text:sub(1, 3) == "\239\187\191" and text:sub(4) or text
end

--- The records of `text` from byte `at` in line `line` on: rows = list of { line = number, [column name] = text }.
-- header: the columns' names; those in `wanted` must be there (letters' case ignored, and so given back). Empty lines
-- are passed over. Rows with another number of fields come in the second result: list of { line =, problem = }.
function csv.rows(path, text, at, line, separator, header, wanted)
  local known = {}
  for i, name in ipairs(header) do known[name:lower()] = i end
  for _, name in ipairs(wanted or {}) do
    local i = known[name:lower()]
    if not i then
      check.raise("format", "%s has no column '%s'; its header is: %s", path, name, table.concat(header, ", "))
    end
    header[i] = name
  end
  local rows, bad = {}, {}
  while at <= #text do
    local fields, after = record(text, at, separator)
    if not fields then
      bad[#bad + 1] = { line = line, problem = after }
      after = (text:find("\n", at, true) or #text) + 1
    elseif #fields == #header then
      local row = { line = line }
      for i, name in ipairs(header) do row[name] = fields[i] end
      rows[#rows + 1] = row
    elseif #fields > 1 or fields[1] ~= "" then
      bad[#bad + 1] = { line = line, problem = ("%d fields, the header has %d"):format(#fields, #header) }
    end
    local _, breaks = text:sub(at, after - 1):gsub("\n", "")
    line = line + breaks
    at = after
  end
  return rows, bad
end

--- Reads a CSV file with a header: its rows, the list of column names, and the bad rows; see csv.rows.
function csv.read(path, wanted)
  local text = csv.text(path)
  local first = text:match "^[^\r\n]*"
  local separator = (first:find(";", 1, true) and not first:find(",", 1, true)) and ";" or ","
  local header, at = record(text, 1, separator)
  if not header or first == "" then check.raise("format", "%s: line 1 is no header of columns", path) end
  local rows, bad = csv.rows(path, text, at, 2, separator, header, wanted)
  return rows, header, bad
end

--- The names of a text with commas, without the blanks around them: "calm, happy" -> { "calm", "happy" }.
function csv.names(text)
  local list = {}
  for name in text:gmatch "[^,]+" do list[#list + 1] = name:match "^%s*(.-)%s*$" end
  return list
end

return csv
