-- Ratings and gold standards in the forms of their owners: text files to checked numbers.
-- Not here: videos (faces.lua), partitions (split.lua), raters to a gold standard (mien.data.gold).
local check = require "mien.check"
local csv = require "mien.data.csv"

local annotations = {}

--- What is wrong with a corpus is said at once: found:add(path, line, problem, ...), found:raise().
function annotations.problems()
  local found = { list = {} }
  function found:add(path, line, fmt, ...)
    self.list[#self.list + 1] = ("%s:%d: " .. fmt):format(path, line, ...)
  end
  function found:raise()
    local n = #self.list
    if n == 0 then return end
    local text = table.concat(self.list, "\n  ", 1, math.min(n, 10))
    check.raise("format", "%d problem%s in the annotations:\n  %s%s", n, n == 1 and "" or "s", text,
      n > 10 and ("\n  and %d more"):format(n - 10) or "")
  end
  return found
end

--- A number; nil for anything else, NaN among it (written by Matlab and pandas where a rater is missing).
local function number(text)
  local value = tonumber(text)
  return value == value and value or nil
end

local function read(path, wanted, found)
  local rows, header, bad = csv.read(path, wanted)
  for _, row in ipairs(bad) do found:add(path, row.line, "%s", row.problem) end
  return rows, header
end

--- Times must run evenly: a row that is missing or doubled would shift all labels behind it. Drops the row at
-- t = 0, which no frame meets. rows: { time =, line = }; tolerance: half a step.
local function even(rows, step, path, found)
  local first = rows[1] and rows[1].time
  if not first then return end
  local offset
  if math.abs(first) < step / 2 then
    offset = 0
  elseif math.abs(first - step) < step / 2 then
    offset = 1
  else
    return found:add(path, rows[1].line, "the first time is %g s; 0 or %g were expected", first, step)
  end
  for i, row in ipairs(rows) do
    local expected = (i - 1 + offset) * step
    if math.abs(row.time - expected) >= step / 2 then
      return found:add(path, row.line, "time %g s where %g were expected: a row is missing or stands twice", row.time,
        expected)
    end
  end
  if offset == 0 then table.remove(rows, 1) end
end

local RECOLA = { "FM1", "FM2", "FM3", "FF1", "FF2", "FF3" }

--- The raters' traces of one recording and dimension: a CSV with `time` and a column for each rater. Gives rows
-- of ratings, one for each frame from t = step on. raters: list of column names; left out: RECOLA's six.
function annotations.raters(path, raters, step, found)
  raters = raters or RECOLA
  local wanted = { "time", unpack(raters) }
  local ok, result = pcall(read, path, wanted, found)
  if not ok then
    if not check.is_error(result) or result.code ~= "format" then error(result, 0) end
    found:add(path, 1, "%s (--raters names those to use)", result.message)
    return {}
  end
  local rows = {}
  for _, row in ipairs(result) do
    local ratings = { time = number(row.time), line = row.line }
    if not ratings.time then found:add(path, row.line, "'%s' is no time", row.time) end
    for r, name in ipairs(raters) do
      local value = number(row[name])
      if not value then
        found:add(path, row.line, "rater %s has no rating ('%s')", name, row[name])
      elseif value < -1 or value > 1 then
        found:add(path, row.line, "rater %s says %g, ratings lie in [-1, 1]", name, value)
      end
      ratings[r] = value or 0
    end
    if ratings.time then rows[#rows + 1] = ratings end
  end
  if #result == 0 then found:add(path, 1, "no ratings after the header") end
  even(rows, step, path, found)
  return rows
end

--- A gold standard as AVEC hands it out: CSV name;timestamp;arousal;valence, names in quotes of either kind.
-- Gives rows by recording's name, { [1] = arousal, [2] = valence }, the row at t = 0 dropped, and the step in s.
function annotations.gold(path, names, found)
  local rows = read(path, { "name", "timestamp", unpack(names) }, found)
  local by_name, step = {}, nil
  for _, row in ipairs(rows) do
    local name = row.name:gsub("^(['\"])(.*)%1$", "%2")
    local list = by_name[name] or {}
    by_name[name] = list
    local values = { time = number(row.timestamp), line = row.line }
    if not values.time then found:add(path, row.line, "'%s' is no time", row.timestamp) end
    for k, dimension in ipairs(names) do
      local value = number(row[dimension])
      if not value then
        found:add(path, row.line, "%s has no value ('%s')", dimension, row[dimension])
      elseif value < -1 or value > 1 then
        found:add(path, row.line, "%s is %g, labels lie in [-1, 1]", dimension, value)
      end
      values[k] = value or 0
    end
    if values.time then
      list[#list + 1] = values
      if not step and #list == 2 then step = values.time - list[1].time end
    end
  end
  if not step or step <= 0 then
    found:add(path, 2, "the first two times do not grow: no frame rate")
    return by_name, 1
  end
  step = math.floor(step * 1000 + 0.5) / 1000 -- times are rounded; rates are 25 or 10 Hz
  for _, list in pairs(by_name) do even(list, step, path, found) end
  return by_name, step
end

--- One value a line, one line a frame, no header (Aff-Wild). Blank lines at the end are passed over.
function annotations.values(path, found)
  local file, problem = io.open(path, "rb")
  if not file then check.raise("io", "cannot read %s", problem) end
  local text = file:read "*a":gsub("^\239\187\191", ""):gsub("%s*$", "")
  file:close()
  local values, line = {}, 0
  for word in (text .. "\n"):gmatch "([^\n]*)\n" do
    line = line + 1
    local value = number(word:match "^%s*(.-)%s*$")
    if not value then found:add(path, line, "'%s' is no value", word:match "^%s*(.-)%s*$") end
    values[line] = value or 0
  end
  return values
end

--- Brings lists of values to [-1, 1]: { path, values } each, in place. Some releases of Aff-Wild write whole
-- numbers to 1000: told by whole numbers beyond 1 in all files together, as a single video may hold none.
-- Gives the scale, 1 or 1000.
function annotations.unscale(lists, found)
  local whole, largest = true, 0
  for _, list in ipairs(lists) do
    for _, value in ipairs(list.values) do
      whole, largest = whole and value % 1 == 0, math.max(largest, math.abs(value))
    end
  end
  local scale = whole and largest > 1 and 1000 or 1
  for _, list in ipairs(lists) do
    for i, value in ipairs(list.values) do
      if math.abs(value) > scale then
        found:add(list.path, i, "%g lies beyond [-%d, %d]", value, scale, scale)
      end
      list.values[i] = value / scale
    end
  end
  return scale
end

return annotations
