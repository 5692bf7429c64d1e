-- What is in a corpus, as the paper's Tables 2 to 4 say it of RealEyes: persons, recordings, frames, labels, raters.
-- Not here: what is wrong with it (inspect.lua).
local agreement = require "mien.affect.agreement"
local metric = require "mien.affect.metric"
local text = require "mien.results.text"

local function mean_sd(values)
  local n, sum, squares = #values, 0, 0
  for _, value in ipairs(values) do sum = sum + value end
  local mean = sum / n
  for _, value in ipairs(values) do squares = squares + (value - mean) ^ 2 end
  return mean, n > 1 and math.sqrt(squares / (n - 1)) or 0
end

local function spread(values)
  if #values == 0 then return "-" end
  return ("%.4g (%.3g)"):format(mean_sd(values))
end

--- The different texts of a list, sorted.
local function distinct(list)
  local seen, different = {}, {}
  for _, word in ipairs(list) do
    if not seen[word] then different[#different + 1] = word end
    seen[word] = true
  end
  table.sort(different)
  return different
end

-- ---- persons, recordings, frames (Table 2) -------------------------------------------------------

--- Rows { quantity, train, devel, test, all } of recordings of each partition.
local function by_partition(c)
  local about, parts = c:people(), {}
  for _, part in ipairs { "train", "devel", "test", "all" } do
    parts[part] = { subjects = {}, genders = {}, ages = {}, recordings = 0, frames = 0, lengths = {}, persons = 0,
      sizes = {} }
  end
  local sizes = c.file:list("recording_sizes", "recording") or {}
  for i, recording in ipairs(c.recordings) do
    for _, part in ipairs { recording.partition, "all" } do
      local p, who = parts[part], recording.subject
      if sizes[i] then p.sizes[sizes[i]] = (p.sizes[sizes[i]] or 0) + 1 end
      p.recordings, p.frames = p.recordings + 1, p.frames + recording.count
      p.lengths[p.recordings] = recording.count
      if not p.subjects[who] then
        local person = about[who] or {}
        p.subjects[who], p.persons = true, p.persons + 1
        local gender = person.gender or "?"
        p.genders[gender] = (p.genders[gender] or 0) + 1
        p.ages[#p.ages + 1] = tonumber(person.age)
      end
    end
  end
  local whole = c.file:list "persons" -- a corpus of pictures packs persons into groups
  if whole then
    parts.all.persons = 0
    for i, part in ipairs { "train", "devel", "test" } do
      parts[part].persons = tonumber(whole[i]) or 0
      parts.all.persons = parts.all.persons + parts[part].persons
    end
  end
  return parts
end

local function table2(c)
  local parts, rows = by_partition(c), { columns = { "", "train", "devel", "test", "all" } }
  local function row(name, value)
    rows[#rows + 1] = { name, value(parts.train), value(parts.devel), value(parts.test), value(parts.all) }
  end
  row("persons", function(p) return p.persons end)
  local genders = {}
  for gender in pairs(parts.all.genders) do genders[#genders + 1] = gender end
  table.sort(genders)
  if #genders > 1 or genders[1] ~= "?" then
    for _, gender in ipairs(genders) do
      row("  " .. (gender == "?" and "gender unknown" or gender), function(p) return p.genders[gender] or 0 end)
    end
  end
  if #parts.all.ages > 0 then row("  age, mean (sd)", function(p) return spread(p.ages) end) end
  row("recordings", function(p) return p.recordings end)
  row("frames", function(p) return p.frames end)
  row("frames a recording, mean (sd)", function(p) return spread(p.lengths) end)
  local sizes = c.file:list("recording_sizes", "recording")
  for _, size in ipairs(sizes and distinct(sizes) or {}) do
    row("  videos of " .. size, function(p) return p.sizes[size] or 0 end)
  end
  if c.fps > 0 then row("minutes", function(p) return ("%.1f"):format(p.frames / c.fps / 60) end) end
  return rows
end

-- ---- labels (Tables 3 and 4) ---------------------------------------------------------------------

--- Calls each(value, k) for every label of a recording.
local function each_label(c, recording, each)
  local labels, k = c:labels(recording.first, recording.count), #c.label_names
  local values = labels:data()
  if c.label_kind == "class" then
    for i = 0, recording.count - 1 do each(1, values[i]) end
  else
    for i = 0, recording.count * k - 1 do each(values[i], i % k + 1) end
  end
  labels:free()
end

local function emotions(c)
  local counts, rows = {}, { columns = { "frames with", "train", "devel", "test", "all" } }
  for k in ipairs(c.label_names) do counts[k] = { train = 0, devel = 0, test = 0 } end
  for _, recording in ipairs(c.recordings) do
    each_label(c, recording, function(value, k)
      if value > 0.5 then counts[k][recording.partition] = counts[k][recording.partition] + 1 end
    end)
  end
  for k, name in ipairs(c.label_names) do
    local n = counts[k]
    rows[k] = { name, n.train, n.devel, n.test, n.train + n.devel + n.test }
  end
  return rows
end

--- Mean (sd) [least, most] of each target by partition.
local function targets(c)
  local seen, rows = {}, { columns = { "mean (sd) [least, most]", "train", "devel", "test", "all" } }
  for k in ipairs(c.label_names) do
    seen[k] = {}
    for _, part in ipairs { "train", "devel", "test", "all" } do
      seen[k][part] = { n = 0, mean = 0, squares = 0, low = math.huge, high = -math.huge }
    end
  end
  for _, recording in ipairs(c.recordings) do
    each_label(c, recording, function(value, k)
      for _, part in ipairs { recording.partition, "all" } do
        local s = seen[k][part]
        s.n = s.n + 1
        local step = value - s.mean
        s.mean = s.mean + step / s.n
        s.squares = s.squares + step * (value - s.mean)
        s.low, s.high = math.min(s.low, value), math.max(s.high, value)
      end
    end)
  end
  for k, name in ipairs(c.label_names) do
    rows[k] = { name }
    for _, part in ipairs { "train", "devel", "test", "all" } do
      local s = seen[k][part]
      rows[k][#rows[k] + 1] = s.n == 0 and "-"
        or ("%.3f (%.3f) [%.2f, %.2f]"):format(s.mean, math.sqrt(s.squares / s.n), s.low, s.high)
    end
  end
  return rows
end

-- ---- raters --------------------------------------------------------------------------------------

--- One target of a recording's traces [n,R,K] as [n,R].
local function of_target(traces, k)
  local shape = traces.shape
  local column = traces:narrow(3, k, 1):reshape { shape[1], shape[2] }
  return column:to "f64"
end

--- Agreement of the raters of traces: means over recordings.
local function traced(c)
  local rows = { columns = { "raters' agreement, mean of recordings", "raters", "CCC", "Pearson", "Cronbach's alpha",
    "ICC(2,k)", "Krippendorff's alpha", "recordings" } }
  for k, name in ipairs(c.label_names) do
    local sums, raters = { {}, {}, {}, {}, {} }, nil
    for _, recording in ipairs(c.recordings) do
      if recording.count > 1 then
        local all = c:traces(recording.first, recording.count)
        local a = agreement.summary(of_target(all, k))
        all:free()
        raters = a.raters
        for i, value in ipairs { a.ccc, a.pearson, a.cronbach_alpha, a.icc["2,k"], a.krippendorff_alpha } do
          if value == value then table.insert(sums[i], value) end
        end
      end
    end
    rows[k] = { name, raters }
    for i = 1, 5 do rows[k][i + 2] = #sums[i] > 0 and ("%.3f"):format((mean_sd(sums[i]))) or "-" end
    rows[k][8] = #sums[1]
  end
  return rows
end

--- Agreement of votes [n,C]: Fleiss' kappa of the frames with the most usual number of votes, ties, frames without any.
local function voted(c)
  local by_number, ties, empty, frames = {}, 0, 0, 0
  for _, recording in ipairs(c.recordings) do
    local votes = c:votes(recording.first, recording.count):to "f64":totable()
    for _, row in ipairs(votes) do
      local n, most, winners = 0, 0, 0
      for _, count in ipairs(row) do n, most = n + count, math.max(most, count) end
      for _, count in ipairs(row) do winners = winners + (count == most and 1 or 0) end
      frames, ties, empty = frames + 1, ties + (n > 0 and winners > 1 and 1 or 0), empty + (n == 0 and 1 or 0)
      by_number[n] = by_number[n] or {}
      table.insert(by_number[n], row)
    end
  end
  local usual
  for n, rows in pairs(by_number) do
    if n > 1 and (not usual or #rows > #by_number[usual]) then usual = n end
  end
  return { columns = { "votes", "Fleiss' kappa", "of frames with", "frames", "ties", "without votes" },
    { "", usual and ("%.6f"):format(metric.fleiss_kappa(by_number[usual])) or "-",
      usual and usual .. " votes" or "-", usual and #by_number[usual] or 0,
      ("%d (%.2f %%)"):format(ties, 100 * ties / frames), empty } }
end

-- ---- the whole -----------------------------------------------------------------------------------

--- Rows of which 0 say that there is no face.
local function without_face(c)
  if not c:has "face" then return end
  local face, n = c.file:read "face":to "f64", 0
  local values = face:data()
  for i = 0, c.frames - 1 do n = n + (values[i] == 0 and 1 or 0) end
  face:free()
  return ("%d of %d frames (%.2f %%) have no face"):format(n, c.frames, 100 * n / c.frames)
end

--- Rows by position as rows by column's name, which text.table takes.
local function named(rows)
  local list = { columns = rows.columns }
  for r, row in ipairs(rows) do
    list[r] = {}
    for i, name in ipairs(rows.columns) do list[r][name] = row[i] end
  end
  return list
end

--- Prints it all.
return function(c)
  print(("%s: %dx%d, %s, %s labels%s%s"):format(c.name, c.width, c.height,
    c.fps > 0 and ("%g frames a second"):format(c.fps) or "single pictures", c.label_kind,
    c.split and ", split " .. c.split or "", c.procedural and ", procedural: rendered, not recorded" or ""))
  if c.source then print("from " .. c.source) end
  local faces = without_face(c)
  if faces then print(faces) end
  local tables = { table2(c), c.label_kind == "continuous" and targets(c) or emotions(c) }
  if c:has "traces" then tables[#tables + 1] = traced(c) end
  if c:has "votes" then tables[#tables + 1] = voted(c) end
  for _, rows in ipairs(tables) do print("\n" .. text.table(named(rows))) end
  local empty = {}
  for _, part in ipairs { "train", "devel", "test" } do empty[#empty + 1] = #c:partition(part) == 0 and part or nil end
  if #empty > 0 then print("\nnothing in " .. table.concat(empty, " and ")) end
end
