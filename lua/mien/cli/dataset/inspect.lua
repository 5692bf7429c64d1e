-- What is wrong with a corpus file: persons in two partitions, times, labels, raters, recordings that are copies.
-- Not here: the owners' files (datasets/reading/inspection.lua), damage to the file itself (core/data/hdf5_vet.c).
local check = require "mien.base.check"
local corpus = require "mien.data.corpus"
local sha256 = require "mien.base.sha256"
local status_line = require "mien.base.status_line"

local PIECE = 256  -- frames in memory
local COPIED = 0.5 -- share of a recording's different frames that makes it a copy

local function persons(c, add)
  local home = {}
  for _, recording in ipairs(c.recordings) do
    local first = home[recording.subject]
    if first and first.partition ~= recording.partition then
      add("%s: person %s is in %s (%s) and in %s", recording.name, recording.subject, first.partition, first.name,
        recording.partition)
    end
    home[recording.subject] = first or recording
  end
  for _, part in ipairs { "train", "devel" } do
    if #c:partition(part) == 0 then add("there is no recording in %s: nothing can be trained with this", part) end
  end
end

--- Times must rise; where most rows are one step apart, a wider gap is a row that is missing.
local function times(c, recording, add)
  if c.fps == 0 or not c:has "time" then return end
  local t, n, twice, back, gaps = c:times(recording.first, recording.count):to "f64", recording.count, 0, 0, 0
  local values, steps, first = t:data(), {}, nil
  for i = 1, n - 1 do steps[i] = values[i] - values[i - 1] end
  local sorted = { unpack(steps, 1, math.min(#steps, 4000)) }
  table.sort(sorted)
  local middle = sorted[math.ceil(#sorted / 2)] or 0
  for i, step in ipairs(steps) do
    local wrong = true
    if step == 0 then twice = twice + 1 elseif step < 0 or step ~= step then back = back + 1
    elseif step > 1.5 * middle + 1e-3 then gaps = gaps + 1 else wrong = false end
    first = first or wrong and i + 1
  end
  if first then
    add("%s: row %d (%g s): %d times stand twice, %d go back, %d gaps wider than 1.5 steps of %.3g s", recording.name, first,
      values[first - 1], twice, back, gaps, middle)
  end
  t:free()
end

local function labels(c, recording, low, high, add)
  local t, k = c:labels(recording.first, recording.count), #c.label_names
  local classes = c.label_kind == "class"
  local values, wrong, first = t:data(), 0, nil
  for i = 0, t:count() - 1 do
    local value = tonumber(values[i])
    local fits = value == value and (classes and value >= 1 and value <= k
      or not classes and value >= low and value <= high)
    if not fits then wrong, first = wrong + 1, first or i end
  end
  if first then
    local width = classes and 1 or k
    add("%s: row %d: %s is %g; %d values lie beyond [%g, %g]", recording.name, math.floor(first / width) + 1,
      classes and "the class" or c.label_names[first % width + 1], tonumber(values[first]), wrong,
      classes and 1 or low, classes and k or high)
  end
  t:free()
end

--- Raters whose values end before the recording does, or who say nothing.
local function raters(c, recording, low, high, add)
  local t = c:traces(recording.first, recording.count):to "f64"
  local n, r, k = unpack(t.shape)
  local values = t:data()
  for rater = 1, r do
    for target = 1, k do
      local last, beyond = 0, 0
      for row = 1, n do
        local value = values[((row - 1) * r + rater - 1) * k + target - 1]
        if value == value then last = row end
        if value < low or value > high then beyond = beyond + 1 end
      end
      local who = ("%s: rater %d, %s"):format(recording.name, rater, c.label_names[target] or target)
      if last == 0 then add("%s: no value", who) elseif last < n then
        add("%s: values end at row %d of %d", who, last, n)
      end
      if beyond > 0 then add("%s: %d values lie beyond [%g, %g]", who, beyond, low, high) end
    end
  end
  t:free()
end

--- Hashes of a recording's different frames, as keys.
local function frame_hashes(c, recording)
  local hashes = {}
  local bytes = c.height * c.width * 3
  for first = 1, recording.count, PIECE do
    local n = math.min(PIECE, recording.count - first + 1)
    local pixels = c:pixels(recording.first + first - 1, n)
    local data = pixels:data()
    for i = 0, n - 1 do
      hashes[sha256.bytes(data + i * bytes, bytes)] = true
    end
    pixels:free()
  end
  return hashes
end

--- A recording of which most frames stand in an earlier one is a copy of it, whatever its name. Frames that many
-- recordings share (black ones) are compared like any other: half of all different frames decide.
local function copies(c, add)
  local owner = {}
  for number, recording in ipairs(c.recordings) do
    status_line.show(("%d of %d: %s"):format(number, #c.recordings, recording.name))
    local different, shared = 0, {}
    for hash in pairs(frame_hashes(c, recording)) do
      different = different + 1
      local other = owner[hash]
      if other then shared[other] = (shared[other] or 0) + 1 else owner[hash] = recording end
    end
    for other, n in pairs(shared) do
      if n > COPIED * different then
        add("%s (%s, %s): %d of its %d different frames are those of %s (%s, %s): a copy", recording.name,
          recording.subject, recording.partition, n, different, other.name, other.subject, other.partition)
      end
    end
  end
end

--- All that is wrong with the corpus at a path, as lines.
return function(path)
  local problems = {}
  local function add(fmt, ...) problems[#problems + 1] = path .. ": " .. fmt:format(...) end
  local ok, c = pcall(corpus.open, path)
  if not ok then
    if not check.is_error(c) or c.code == "interrupted" then error(c, 0) end
    return { (c.message:find(path, 1, true) and "" or path .. ": ") .. c.message }
  end
  local low, high = c.file:number "label_low" or -1, c.file:number "label_high" or 1
  persons(c, add)
  for _, recording in ipairs(c.recordings) do
    times(c, recording, add)
    labels(c, recording, low, high, add)
    if c:has "traces" then raters(c, recording, -math.huge, math.huge, add) end
  end
  copies(c, add)
  status_line.clear()
  c:close()
  return problems
end
