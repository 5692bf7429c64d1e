-- From rows of time and values, by video, to a corpus: one rate, each row with the frame that is shown at its time.
-- Not here: reading the rows (traces.lua, rated.lua, the readers in datasets/).
local assembly = require "reading.assembly"
local faces = require "reading.faces"
local people = require "reading.people"
local traces = require "reading.traces"

local timed = {}

local LATE = 0.5 -- seconds that a video's first frame may come after the first row without a word

--- All rows at one rate, that of the corpus; gives it in frames a second.
local function settle_rate(by_name, names, o, found)
  local first
  for _, name in ipairs(names) do
    local rows = by_name[name]
    if o.rate and #rows > 0 then
      local gap
      by_name[name], gap = traces.resample(rows, o.rate)
      if gap > 1 then o.note("%s: no row for %.2f s somewhere; values there lie on a straight line", name, gap) end
    else
      traces.even(rows, found)
      if rows.step and first and math.abs(rows.step - first.step) > 0.01 * first.step then
        found:add(rows.path, rows[2].line, "rows every %.4g s, but %s has them every %.4g s (--rate brings all to one)",
          rows.step, first.path, first.step)
      end
      first = first or rows.step and rows
    end
  end
  found:raise()
  return o.rate or math.floor(1000 / first.step + 0.5) / 1000
end

local function make_job(entry, video, rows, o)
  local times = {}
  for i, row in ipairs(rows) do times[i] = row.time end
  local job = { name = entry.name, subject = entry.subject, partition = entry.partition, video = video,
    boxes = rows.boxes or o.boxes and faces.given(o.boxes, entry.name), search = o, rows = #rows, traces = rows.traces,
    raters = rows.raters }
  function job.map(seen)
    local map = faces.shown(seen, times)
    if #map == 0 then
      return o.note("left out %s (%s): its rows begin at %g s, after the end of the video", entry.name, entry.partition,
        times[1])
    end
    if seen.times[1] > times[1] + LATE then
      o.note("%s: rows begin at %g s, the video's first frame is shown at %.3f s and stands for those before", entry.name,
        times[1], seen.times[1])
    end
    return map
  end
  function job.longer(seen, n) return seen.times[#seen.times] > times[n] + 2 * rows.step end
  function job.labels(row, k) return rows[row][k] end
  function job.time(row) return times[row] end
  return job
end

--- Writes the corpus. by_name: rows by the video's name, { path =, { time =, line =, values ... } ... } as traces.read gives
-- them, with optional fields of a list: boxes, held = { [row] = true } (rows that say face = 0), traces = function(row, k),
-- raters; names: of those with rows; o: the options of command.common, and targets, range, rate, name, source. What is
-- wrong with the rows goes to found.
function timed.write(by_name, names, o, found)
  local files, path_of = people.videos(o.videos)
  local fps = settle_rate(by_name, names, o, found)
  local jobs = {}
  for _, entry in ipairs(people.split(people.usable(names, files, path_of, o), o)) do
    jobs[#jobs + 1] = make_job(entry, path_of[entry.name], by_name[entry.name], o)
  end
  return assembly.write { out = o.out, size = o.size, name = o.name or o.out:match "([^/]*)$":gsub("%.%w+$", ""), fps = fps,
    names = o.targets, label_range = o.range, jobs = jobs, note = o.note,
    source = ("%s; faces of %d pixels"):format(o.source, o.size) }
end

return timed
