-- Marks of annotators (from here on it is this emotion) become votes a frame.
-- Not here: which emotion wins (mien.data.winner_takes_all), videos (faces.lua).
local csv = require "mien.data.csv"
local check = require "mien.base.check"
local people = require "reading.people"
local traces = require "reading.traces"

local marks = {}

local function add(list, row, number, o, found)
  local mark = { line = row.line, class = number[row.emotion:lower()] }
  local problem
  mark.start, problem = traces.number(row.start)
  if not mark.start then return found:add(o.path, row.line, "start: %s", problem) end
  if row["end"] and row["end"] ~= "" then
    mark.stop, problem = traces.number(row["end"])
    if not mark.stop then return found:add(o.path, row.line, "end: %s", problem) end
  end
  if not mark.class then
    local near = check.nearest(row.emotion, o.classes)
    return found:add(o.path, row.line, "unknown emotion '%s'%s; known: %s", row.emotion,
      near and (", did you mean '%s'?"):format(near) or "", table.concat(o.classes, ", "))
  elseif mark.start < 0 then
    return found:add(o.path, row.line, "start %g s lies before the video", mark.start)
  elseif mark.stop and mark.stop <= mark.start then
    return found:add(o.path, row.line, "a mark from %g to %g s holds for no time", mark.start, mark.stop)
  end
  list[#list + 1] = mark
end

--- Reads a CSV of video, annotator, emotion, start (seconds) and end, which may be left out or empty: marks by video's
-- name, { [annotator] = { { start =, stop =, class =, line = } ... in the order of time } }. A mark holds until its end or
-- the annotator's next one, whichever comes first; the last without an end holds to the end of the video. The second
-- result: list of the videos, { name =, line = }; the third: how many ends lay behind the next start.
-- o: path, classes = names.
function marks.read(o, found)
  local rows, header, bad = csv.read(o.path, { "video", "annotator", "emotion", "start" })
  local stop = people.column(header, { "end" })
  local number, by_video, named, lists, cut = {}, {}, {}, {}, 0
  for c, name in ipairs(o.classes) do number[name:lower()] = c end
  for _, row in ipairs(bad) do found:add(o.path, row.line, "%s", traces.field_problem(row.problem)) end
  for _, row in ipairs(rows) do
    local name = people.stem(row.video)
    row["end"] = stop and row[stop]
    if name == "" or row.annotator == "" then
      found:add(o.path, row.line, "no %s is named", name == "" and "video" or "annotator")
    else
      if not by_video[name] then
        by_video[name], named[#named + 1] = {}, { name = name, line = row.line }
      end
      local list = by_video[name][row.annotator]
      if not list then
        list = { annotator = row.annotator }
        by_video[name][row.annotator], lists[#lists + 1] = list, list
      end
      add(list, row, number, o, found)
    end
  end
  for _, list in ipairs(lists) do
    table.sort(list, function(a, b) return a.start < b.start or a.start == b.start and a.line < b.line end)
    for i, mark in ipairs(list) do
      local after = list[i + 1]
      if after and after.start == mark.start then
        found:add(o.path, after.line, "%s marks %g s a second time (line %d)", list.annotator, mark.start, mark.line)
      elseif after and (mark.stop or 0) > after.start then
        cut = cut + 1
      end
      mark.stop = math.min(mark.stop or math.huge, after and after.start or math.huge)
    end
  end
  return by_video, named, cut
end

--- Votes of one video's annotators at these rising times: a list of counts, one a class, for each time; and how many
-- annotators there are. unmarked: the class of an annotator where none of his marks holds; nil: no vote.
function marks.votes(annotators, times, classes, unmarked)
  local votes, raters = {}, 0
  for i = 1, #times do
    votes[i] = {}
    for c = 1, classes do votes[i][c] = 0 end
  end
  for _, list in pairs(annotators) do
    raters = raters + 1
    local at = 0
    for i, t in ipairs(times) do
      while list[at + 1] and list[at + 1].start <= t do at = at + 1 end
      local mark = list[at]
      local class = mark and t < mark.stop and mark.class or unmarked
      if class then votes[i][class] = votes[i][class] + 1 end
    end
  end
  return votes, raters
end

--- How many marks begin after this time.
function marks.after(annotators, time)
  local count = 0
  for _, list in pairs(annotators) do
    for _, mark in ipairs(list) do count = count + (mark.start > time and 1 or 0) end
  end
  return count
end

return marks
