-- Traces that people bring themselves: a CSV with a time and values, of one video or of all.
-- Not here: the owners' forms (ratings.lua), videos and who is in them (faces.lua, people.lua).
local check = require "mien.base.check"
local csv = require "mien.data.csv"
local people = require "reading.people"

local traces = {}

--- A finite number, or nil and what is wrong.
function traces.number(text)
  local value = tonumber(text)
  if value and value == value and math.abs(value) < math.huge and not text:find "[xX]" then return value end
  local whole, part = text:match "^([+-]?%d+),(%d+)$"
  if whole then return nil, ("'%s' has a decimal comma; wanted is %s.%s"):format(text, whole, part) end
  return nil, ("'%s' is no value"):format(text)
end

--- Rows with too many fields may come from commas in numbers.
function traces.field_problem(problem)
  local got, wanted = problem:match "^(%d+) fields, the header has (%d+)$"
  local many = got and tonumber(got) > tonumber(wanted)
  return problem .. (many and " (a decimal comma? wanted is 0.5, not 0,5)" or "")
end

local function add_row(list, row, o, found)
  local time, problem = traces.number(row[o.time])
  local last = list[#list]
  if not time then
    return found:add(list.path, row.line, "time: %s", problem)
  elseif time < 0 then
    return found:add(list.path, row.line, "time %g s lies before the video", time)
  elseif last and time == last.time then
    return found:add(list.path, row.line, "time %g s stands in line %d already", time, last.line)
  elseif last and time < last.time then
    return found:add(list.path, row.line, "time %g s comes after %g s: times must rise", time, last.time)
  end
  local values = { time = time, line = row.line }
  for k, target in ipairs(o.targets) do
    local value, wrong = traces.number(row[target])
    if not value then
      found:add(list.path, row.line, "%s: %s", target, wrong)
    elseif value < o.range[1] or value > o.range[2] then
      found:add(list.path, row.line, "%s: %g lies beyond [%g, %g]", target, value, o.range[1], o.range[2])
    end
    values[k] = value or 0
  end
  list[#list + 1] = values
end

--- Reads a CSV with columns time and the targets: rows by the video's name, { path =, step =, { time =, line =, values
-- } ... }; names in the order of the file; subjects by name where it has such a column. name: of the video whose traces
-- they are; nil: a column (o.column, or video, recording, name, file) says it.
-- o: time = column, targets = list, range = { low, high }, column. Problems go to found.
function traces.read(path, name, o, found)
  local ok, rows, header, bad = pcall(csv.read, path, { o.time, unpack(o.targets) })
  if not ok then
    if not check.is_error(rows) or rows.code ~= "format" then error(rows, 0) end
    found:add(path, 1, "%s (--time and --targets name those to use)", rows.message)
    return {}, {}, {}
  end
  for _, row in ipairs(bad) do found:add(path, row.line, "%s", traces.field_problem(row.problem)) end
  local column = not name and (o.column or people.column(header, people.video_columns))
  local subject = not name and people.column(header, people.subject_columns)
  if column == nil or column and not people.column(header, { column:lower() }) then
    found:add(path, 1, "no column %s says whose row it is (--column names it); its header is: %s",
      column or "video", table.concat(header, ", "))
    return {}, {}, {}
  end
  column = column and people.column(header, { column:lower() })
  local by_name, names, told = {}, {}, {}
  for _, row in ipairs(rows) do
    local own = name or people.stem(row[column])
    if own == "" then
      found:add(path, row.line, "no video is named")
    else
      if not by_name[own] then
        by_name[own], names[#names + 1] = { path = path }, own
        told[own] = subject and row[subject] or nil
      end
      if subject and told[own] ~= row[subject] then
        found:add(path, row.line, "%s is %s here, and %s above", own, row[subject], told[own])
      end
      add_row(by_name[own], row, o, found)
    end
  end
  if #rows == 0 and #bad == 0 then found:add(path, 1, "no rows after the header") end
  return by_name, names, told
end

--- Seconds between rows; a row that is missing is a problem, as sequences of the corpus would jump over it.
function traces.even(rows, found)
  local n = #rows
  if n < 2 then
    return found:add(rows.path, rows[1] and rows[1].line or 1, "%d row: no rate can be told", n)
  end
  local steps = {}
  for i = 2, n do steps[i - 1] = rows[i].time - rows[i - 1].time end
  table.sort(steps)
  local middle = steps[math.ceil(#steps / 2)]
  for i = 2, n do
    local step = rows[i].time - rows[i - 1].time
    if step < 0.5 * middle or step > 1.5 * middle then
      return found:add(rows.path, rows[i].line, "time %g s where about %g were expected: the rows are not even, or one is "
        .. "missing (--rate 25 draws even ones between them)", rows[i].time, rows[i - 1].time + middle)
    end
  end
  rows.step = (rows[n].time - rows[1].time) / (n - 1)
end

--- Rows at whole multiples of 1 / rate seconds, on straight lines between those that are there; and the longest gap
-- that was crossed, in seconds.
function traces.resample(rows, rate)
  local result, at, gap = { path = rows.path, step = 1 / rate }, 1, 0
  for i = math.ceil(rows[1].time * rate - 1e-6), math.floor(rows[#rows].time * rate + 1e-6) do
    local t = i / rate
    while at < #rows - 1 and rows[at + 1].time <= t do at = at + 1 end
    local from, to = rows[at], rows[at + 1] or rows[at]
    local span = to.time - from.time
    local share = span > 0 and math.max(0, math.min(1, (t - from.time) / span)) or 0
    local row = { time = t, line = from.line }
    for k = 1, #from do row[k] = from[k] + share * (to[k] - from[k]) end
    result[#result + 1], gap = row, math.max(gap, span)
  end
  return result, gap
end

return traces
