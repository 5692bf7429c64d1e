-- Ratings and gold standards in the forms of their owners: text files to checked numbers.
-- Not here: videos (faces.lua), partitions (partitions.lua), raters to a gold standard (mien.data.gold).
local lfs = require "lfs"
local arff = require "reading.arff"
local check = require "mien.base.check"
local csv = require "mien.data.csv"

local ratings = {}

--- What is wrong with a corpus is said at once: found:add(path, line, problem, ...), found:raise().
function ratings.problems()
  local found = { list = {} }
  function found:add(path, line, fmt, ...)
    self.list[#self.list + 1] = ("%s:%d: " .. fmt):format(path, line, ...)
  end
  function found:raise()
    local n = #self.list
    if n == 0 then return end
    if ratings.instead then -- `mien dataset check` takes the lines, and goes on
      for _, line in ipairs(self.list) do ratings.instead(line) end
      self.list = {}
      return
    end
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

--- A number in [-1, 1]; what is wrong with any other is noted, and 0 stands for it.
local function bounded(text, what, path, line, found)
  local value = number(text)
  if not value then
    found:add(path, line, "%s: '%s' is no value", what, text)
  elseif value < -1 or value > 1 then
    found:add(path, line, "%s: %g lies beyond [-1, 1]", what, value)
  end
  return value or 0
end

--- A table of times and values, whose form `form` reads ({ read = function(path, wanted) }): rows { time =, line =,
-- name =, values in the order of `columns` }; a row without a time is left out. what: of the values, for messages.
local function timed(form, path, time, columns, what, found, name)
  local records, _, bad = form.read(path, { time, name or time, unpack(columns) })
  for _, row in ipairs(bad) do found:add(path, row.line, "%s", row.problem) end
  local rows = { path = path }
  for _, record in ipairs(records) do
    local row = { time = number(record[time]), line = record.line, name = name and record[name] }
    for k, column in ipairs(columns) do
      row[k] = bounded(record[column], what .. column, path, row.line, found)
    end
    if row.time then rows[#rows + 1] = row else found:add(path, row.line, "'%s' is no time", record[time]) end
  end
  if #records == 0 then found:add(path, 1, "no rows after the header") end
  return rows
end

--- Times must run evenly: a row that is missing or doubled would shift all labels behind it. The row at t = 0, which no
-- frame meets, goes to rows.zero. rows: { path =, { time =, line = } ... }; tolerance: half a step.
local function even(rows, step, found)
  local first = rows[1] and rows[1].time
  if not first then return end
  local offset
  if math.abs(first) < step / 2 then
    offset = 0
  elseif math.abs(first - step) < step / 2 then
    offset = 1
  else
    return found:add(rows.path, rows[1].line, "the first time is %g s; 0 or %g were expected", first, step)
  end
  for i, row in ipairs(rows) do
    local expected = (i - 1 + offset) * step
    if math.abs(row.time - expected) >= step / 2 then
      return found:add(rows.path, row.line, "time %g s where %g were expected: a row is missing or stands twice", row.time,
        expected)
    end
  end
  if offset == 0 then rows.zero = table.remove(rows, 1) end
end

local RECOLA = { "FM1", "FM2", "FM3", "FF1", "FF2", "FF3" }

--- The raters' traces of one recording and dimension: a CSV with `time` and a column for each rater. Gives rows
-- of ratings, one for each frame from t = step on. raters: list of column names; left out: RECOLA's six.
function ratings.raters(path, raters, step, found)
  local ok, rows = pcall(timed, csv, path, "time", raters or RECOLA, "rater ", found)
  if not ok then
    if not check.is_error(rows) or rows.code ~= "format" then error(rows, 0) end
    found:add(path, 1, "%s (--raters names those to use)", rows.message)
    return {}
  end
  even(rows, step, found)
  return rows
end

--- Seconds between the first two rows of the first list that has two; nil and a problem where times do not grow.
local function step_of(lists, path, found)
  for _, rows in ipairs(lists) do
    local step = rows[2] and rows[2].time - rows[1].time
    -- times are rounded; rates are 25 or 10 Hz
    if step and step > 0 then return math.floor(step * 1000 + 0.5) / 1000 end
  end
  found:add(path, 2, "the first two times do not grow: no frame rate")
end

--- AVEC 2018 and 2019: CSV name;timestamp;arousal;valence, names in quotes of either kind. Lists of rows by name.
local function gold_of_table(path, names, found)
  local by_name, order = {}, {}
  for _, row in ipairs(timed(csv, path, "timestamp", names, "", found, "name")) do
    local name = row.name:gsub("^(['\"])(.*)%1$", "%2")
    if not by_name[name] then
      by_name[name] = { path = path }
      order[#order + 1] = by_name[name]
    end
    table.insert(by_name[name], row)
  end
  return by_name, order
end

--- Rows of one dimension each become rows of all: they must have the same times.
local function join(dimensions, found)
  local rows = dimensions[1]
  for k = 2, #dimensions do
    local others = dimensions[k]
    if #others ~= #rows then
      found:add(others.path, 1, "%d rows, but %s has %d", #others, rows.path, #rows)
      break
    end
    for i, row in ipairs(rows) do
      if math.abs(others[i].time - row.time) > 1e-3 then
        found:add(others.path, others[i].line, "time %g s where %s has %g", others[i].time, rows.path, row.time)
        break
      end
      row[k] = others[i][1]
    end
  end
  return rows
end

--- AVEC 2015 and 2016: DIMENSION/RECORDING.arff with Instance_name, frameTime, GoldStandard. Lists of rows by name;
-- recordings that have not all dimensions are left out.
local function gold_of_folder(folder, names, found)
  local dimensions, by_name, order = {}, {}, {}
  for k, dimension in ipairs(names) do
    local inside = folder .. "/" .. dimension
    if lfs.attributes(inside, "mode") ~= "directory" then
      check.raise("io", "there is no folder %s; a gold standard in ARFF is a folder that holds arousal and valence",
        inside)
    end
    for entry in lfs.dir(inside) do
      local name = entry:match "^(.+)%.arff$"
      if name then
        dimensions[name] = dimensions[name] or {}
        dimensions[name][k] = timed(arff, inside .. "/" .. entry, "frameTime", { "GoldStandard" }, "", found)
      end
    end
  end
  for name, lists in pairs(dimensions) do
    if lists[1] and #lists == #names then
      by_name[name] = join(lists, found)
      order[#order + 1] = by_name[name]
    end
  end
  if #order == 0 then
    check.raise("io", "%s: no recording has %s (NAME.arff in each)", folder, table.concat(names, " and "))
  end
  table.sort(order, function(a, b) return a.path < b.path end)
  return by_name, order
end

--- A gold standard as AVEC hands it out: a CSV of all recordings (2018, 2019), or a folder with an ARFF file for each
-- dimension and recording (2015, 2016). Gives rows by recording's name, { [1] = arousal, [2] = valence }, the row at
-- t = 0 dropped, and the step in seconds.
function ratings.gold(path, names, found)
  local read = lfs.attributes(path, "mode") == "directory" and gold_of_folder or gold_of_table
  local by_name, order = read(path, names, found)
  local step = step_of(order, path, found)
  for _, rows in ipairs(step and order or {}) do even(rows, step, found) end
  return by_name, step or 1
end

--- One value a line, one line a frame, no header (Aff-Wild). Blank lines at the end are passed over.
function ratings.values(path, found)
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
function ratings.unscale(lists, found)
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

return ratings
