-- Traces of raters as annotation programs write them: CARMA, DARMA, PAGAN and NOVA's continuous scheme; and from their
-- events to even rows. Not here: intervals (intervals.lua), own CSVs (traces.lua).
local ffi = require "ffi"
local csv = require "mien.data.csv"
local intervals = require "reading.intervals"
local traces = require "reading.traces"

local rated = {}

-- A trace: { media = name, rater =, target = name or nil, path =, { time, value } ..., missing = how many had no value,
-- way = "hold" (a value stays until the next one), "ends" (it covers the time before it) or "line", low =, high = }.

local function lines_of(path)
  local list = {}
  for line in (csv.text(path) .. "\n"):gmatch "([^\n]*)\n" do list[#list + 1] = line:gsub("\r$", "") end
  return list
end

--- A file's name without folders and ending.
local function own_name(path) return (path:match("[^/]*$"):gsub("%.[^.]*$", "")) end

--- Fields of a line without quotes around them.
local function fields(line)
  local list = {}
  for word in (line .. ","):gmatch '%s*"?([^,"]*)"?%s*,' do list[#list + 1] = word:match "^%s*(.-)%s*$" end
  return list
end

--- CARMA or DARMA: lines "Key,value", the header "Second,...", "%%%%%%", then rows. CARMA's one column is the value; DARMA's
-- are named as the user named its axes. Times are the ends of the bins.
function rated.girard(path, found)
  local said, head, rows, list = {}, nil, nil, lines_of(path)
  for i, line in ipairs(list) do
    local words = fields(line)
    if words[1] == "Second" then head, rows = words, i + 1 break end
    said[words[1] or ""] = words[2]
  end
  if not head then
    found:add(path, 1, "no line begins with Second: the end of a crashed session? save it anew in the program")
    return {}
  end
  local size, low, high = tonumber(said.Magnitude or ""), tonumber(said["Minimum Value"] or ""),
    tonumber(said["Maximum Value"] or "")
  if size then low, high = -size, size end
  if not low or not high or high <= low then
    found:add(path, 1, "neither Minimum Value and Maximum Value nor Magnitude says the range of the values")
    return {}
  end
  local columns, result = {}, {}
  for k = 2, #head do
    if head[k] ~= "" and head[k] ~= "Button" then
      columns[#columns + 1] = k
      result[#result + 1] = { media = intervals.base(said["Multimedia File"] or ""), path = path, way = "ends", low = low,
        high = high,
        rater = own_name(path), target = size and head[k] or nil, missing = 0 }
    end
  end
  local last = -math.huge
  for i = rows, #list do
    local words = fields(list[i])
    local time = tonumber(words[1] or "")
    if list[i]:find "%S" and not (words[1] or ""):find "^%%%%" then
      if not time then
        found:add(path, i, "'%s' is no time", words[1] or "")
      elseif time <= last then
        found:add(path, i, "time %g s after %g s: times must rise", time, last)
      else
        last = time
        for k, column in ipairs(columns) do
          local word, trace = words[column] or "", result[k]
          local value, problem = traces.number(word)
          if word == "" or word:lower() == "nan" then
            trace.missing = trace.missing + 1
          elseif not value then
            found:add(path, i, "%s: %s", head[column], problem)
          elseif value < low or value > high then
            found:add(path, i, "%s: %g lies beyond [%g, %g]", head[column], value, low, high)
          else
            trace[#trace + 1] = { time, value }
          end
        end
      end
    end
  end
  return result
end

local ESCAPES = { amp = "&", lt = "<", gt = ">", quot = '"', apos = "'", ["#39"] = "'" }

--- PAGAN: rows only where the value changes, milliseconds, whole numbers without bounds; several raters and sessions in one
-- file. column: that names the video. Each trace is brought to its own range, and has `turned`, how many of its rows came
-- after later ones.
function rated.pagan(path, column, found)
  local rows, header, bad = csv.read(path, { "VideoTime", "Value" })
  for _, row in ipairs(bad) do found:add(path, row.line, "%s", traces.field_problem(row.problem)) end
  local known = {}
  for _, name in ipairs(header) do known[name] = true end
  local by, list = {}, {}
  for _, row in ipairs(rows) do
    local media = known[column] and row[column]:gsub("&(#?%w+);", ESCAPES) or own_name(path)
    local rater = ("%s %s"):format(known.Participant and row.Participant or "rater", known.SessionID and row.SessionID or "")
    local key = media .. "\0" .. rater
    if not by[key] then
      by[key] = { media = media, rater = rater, path = path, way = "hold", low = math.huge, high = -math.huge, missing = 0 }
      list[#list + 1] = by[key]
    end
    local trace, ms, value = by[key], traces.number(row.VideoTime), traces.number(row.Value)
    local last = trace[#trace]
    if not ms or ms < 0 or not value then
      found:add(path, row.line, "VideoTime '%s' and Value '%s' are no time and value", row.VideoTime, row.Value)
    else
      if last and ms / 1000 < last[1] then trace.turned = (trace.turned or 0) + 1 end
      trace[#trace + 1] = { ms / 1000, value, traces.number(row.Timestamp or "") or 0, #trace }
      trace.low, trace.high = math.min(trace.low, value), math.max(trace.high, value)
    end
  end
  for _, trace in ipairs(list) do -- the program writes rows as they come in, which is not always their order
    table.sort(trace, function(a, b)
      for k = 1, 4 do
        if k ~= 2 and a[k] ~= b[k] then return a[k] < b[k] end
      end
    end)
  end
  return list
end

--- NOVA's continuous scheme: a line "score;confidence" for each 1 / rate s, or f32 pairs in binary form. NaN: no value.
function rated.nova(path, about, found)
  local trace = { rater = about.annotator, target = about.scheme, path = path, way = "hold", low = about.low,
    high = about.high,
    missing = 0 }
  if not about.rate or about.rate <= 0 or not about.low or not about.high or about.high <= about.low then
    found:add(path, about.line, "the scheme %s does not say sr, min and max", about.scheme)
    return {}
  end
  local text = csv.text(path .. "~")
  local function add(i, value)
    if not value or value ~= value then trace.missing = trace.missing + 1
    elseif value < about.low or value > about.high then
      found:add(path .. "~", i, "%g lies beyond the scheme's [%g, %g]", value, about.low, about.high)
    else trace[#trace + 1] = { (i - 1) / about.rate, value } end
  end
  if about.binary then
    local pair = ffi.new "float[2]"
    for at = 0, math.floor(#text / 8) - 1 do
      ffi.copy(pair, text:sub(at * 8 + 1, at * 8 + 8), 8)
      add(at + 1, pair[0])
    end
    if #text % 8 ~= 0 then found:add(path .. "~", 1, "%d bytes are no pairs of f32", #text) end
  else
    for i, line in ipairs(lines_of(path .. "~")) do
      local word = line:match "^([^;]*)"
      local value = tonumber((word:gsub(",", ".")))
      if line:find "%S" then
        if not value and word:lower() ~= "nan" then found:add(path .. "~", i, "'%s' is no score", word) else add(i, value) end
      end
    end
  end
  return { trace }
end

-- ---- even rows -----------------------------------------------------------------------------------------

--- Values of a trace at (i - 1) / rate s, i = 1 .. n, brought from its range to [-1, 1].
function rated.sampled(trace, rate, n)
  local list, at, count = {}, 1, #trace
  local half, middle = (trace.high - trace.low) / 2, (trace.high + trace.low) / 2
  for i = 1, n do
    local t = (i - 1) / rate
    while at < count and (trace.way == "ends" and trace[at][1] < t - 1e-9 or trace.way == "hold"
      and trace[at + 1][1] <= t + 1e-9) do
      at = at + 1
    end
    list[i] = half > 0 and (trace[at][2] - middle) / half or 0
  end
  return list
end

--- Rows that all of these traces have, at `rate`: up to the end of the shortest, but of those that tell only changes.
function rated.length(list, rate)
  local stop, longest = math.huge, 0
  for _, trace in ipairs(list) do
    local last = trace[#trace] and trace[#trace][1] or 0
    if trace.way ~= "hold" then stop = math.min(stop, last) end
    longest = math.max(longest, last)
  end
  if stop == math.huge then stop = longest end
  return math.floor(stop * rate + 1e-6) + 1
end

return rated
