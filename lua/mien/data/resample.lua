-- Boosting of rare emotions by drawing whole windows again (the paper, section 4.2).
-- Not here: weights of the loss (split.lua), the split that must come before (split.lua).
local check = require "mien.base.check"
local split = require "mien.data.split"

local resample = { quotas = { "paper", "balanced" } }

--- The paper's frames per emotion before re-sampling (Table 3 without Table 4's validation column: what is left to train
-- on) and after it (Table 4, training).
resample.paper = {
  before = { happy = 60179 - 9494, surprise = 15786 - 1518, confusion = 56683 - 9377, disgust = 10065 - 346,
    contempt = 8581 - 569, empathy = 10173 - 745 },
  after = { happy = 298222, surprise = 237041, confusion = 265495, disgust = 32044, contempt = 18537, empathy = 21444 },
}

--- The emotions that are boosted when nobody says which: the paper's six where the corpus has them all, or knows
-- beside neutral no others; else all but the most frequent one.
local function default_minority(corpus, counts)
  local six, strange, most = {}, false, 1
  for c, name in ipairs(corpus.label_names) do
    if resample.paper.before[name:lower()] then
      six[#six + 1] = name
    elseif name:lower() ~= "neutral" then
      strange = true
    end
    if counts[c] > counts[most] then most = c end
  end
  if #six == 6 or #six > 0 and not strange then return six end
  local rare = {}
  for c, name in ipairs(corpus.label_names) do
    if c ~= most then rare[#rare + 1] = name end
  end
  return rare
end

--- Position of each minority emotion in label_names, and that of neutral.
local function find_minority(corpus, given, counts)
  local number = {}
  for c, name in ipairs(corpus.label_names) do number[name:lower()] = c end
  given = given or default_minority(corpus, counts)
  local classes = {}
  for i, name in ipairs(given) do
    classes[i] = number[tostring(name):lower()] or check.unknown("data.resample", "emotion", name, corpus.label_names)
  end
  if #classes == 0 then
    check.raise("argument", "data.resample: name the rare emotions in `minority`; %s has %s", corpus.path,
      table.concat(corpus.label_names, ", "))
  end
  return classes, number.neutral
end

--- Wanted frames per minority class.
local function find_targets(corpus, classes, quota, counts)
  local paper = true
  for _, c in ipairs(classes) do paper = paper and resample.paper.before[corpus.label_names[c]:lower()] ~= nil end
  quota = quota or (paper and "paper" or "balanced")
  local targets, largest = {}, 0
  for _, count in ipairs(counts) do largest = math.max(largest, count) end
  if type(quota) == "string" then check.one_of(quota, resample.quotas, "data.resample: quota") end
  if quota == "paper" and not paper then
    check.raise("argument",
      'data.resample: quota "paper" knows happy, surprise, confusion, disgust, contempt and empathy')
  end
  for _, c in ipairs(classes) do
    local name = corpus.label_names[c]
    if quota == "balanced" then
      targets[c] = largest
    elseif quota == "paper" then
      targets[c] = counts[c] * resample.paper.after[name:lower()] / resample.paper.before[name:lower()]
    else
      targets[c] = counts[c] * check.type(quota[name], "number", "data.resample: quota of " .. name)
    end
  end
  return targets, quota
end

-- ---- which windows may be drawn ---------------------------------------------------------------------------

--- Frames per class of each window of `sequence` frames that begins at a `stride`-th frame of a recording:
-- visit(start, counts, frames), where the counts are the visitor's until it returns.
local function each_window(corpus, recording, sequence, stride, visit)
  sequence = math.min(sequence, recording.count)
  local last = recording.count - sequence
  local labels, classes, counts = corpus:labels(recording.first, recording.count), #corpus.label_names, {}
  local values, single = labels:data(), corpus.label_kind == "class"
  for c = 1, classes do counts[c] = 0 end
  local function add(frame, n)
    if single then
      counts[values[frame]] = counts[values[frame]] + n
    else
      for c = 0, classes - 1 do
        if values[frame * classes + c] > 0.5 then counts[c + 1] = counts[c + 1] + n end
      end
    end
  end
  for frame = 0, sequence - 1 do add(frame, 1) end
  for at = 0, last do
    if at > 0 then
      add(at - 1, -1)
      add(at + sequence - 1, 1)
    end
    if at % stride == 0 then visit(recording.first + at, counts, sequence) end
  end
  labels:free()
end

--- Windows that hold a minority emotion and at most the share max_neutral of neutral frames: lists by class, each window
-- with its counts and `start`; how many there are, of how many, and the smallest share of neutral ones among all that
-- hold a minority emotion (nil: none does).
local function find_eligible(options, classes, neutral, sequence)
  local pools, eligible, candidates, least, lengths = {}, 0, 0, nil, options.starts.lengths or {}
  for _, c in ipairs(classes) do pools[c] = {} end
  local function judge(start, counts, frames)
    candidates = candidates + 1
    local rare = false
    for _, c in ipairs(classes) do rare = rare or counts[c] > 0 end
    if not rare then return end
    local share = neutral and counts[neutral] / frames or 0
    least = math.min(least or share, share)
    if share > (options.max_neutral or 0) then return end
    local window = { unpack(counts) }
    window.start = start
    for _, c in ipairs(classes) do
      if counts[c] > 0 then pools[c][#pools[c] + 1] = window end
    end
    eligible = eligible + 1
  end
  if options.recordings then
    for _, recording in ipairs(options.recordings) do
      if recording.count >= sequence or lengths[recording.first] then
        each_window(options.corpus, recording, sequence, options.stride or 1, judge)
      end
    end
  else
    for _, start in ipairs(options.starts) do
      local frames = lengths[start] or sequence
      judge(start, split.window_counts(options.corpus, start, frames), frames)
    end
  end
  return pools, eligible, candidates, least
end

local function refuse(options, classes, sequence, candidates, least)
  local names = {}
  for i, c in ipairs(classes) do names[i] = options.corpus.label_names[c] end
  check.raise("argument", "data.resample: none of the %d windows of %d frames in %s may be drawn again: %s; the rare "
    .. "emotions are %s", candidates, sequence, options.corpus.path, least
    and ("each that holds a rare emotion has %.3g or more of neutral frames, and max_neutral is %g"):format(least,
      options.max_neutral or 0) or "none holds a rare emotion", table.concat(names, ", "))
end

-- ---- drawing -----------------------------------------------------------------------------------------------

--- Draws windows again until the minority emotions have the frames that `quota` asks for:
-- { corpus =, starts = training windows, sequence = (starts.sequence), recordings = list, stride = 1 (windows may begin at
--   every stride-th frame of these; the sequence is the grid of the training windows. Without recordings the given windows
--   alone are drawn), minority = { names } (the paper's six, or all but the most frequent one where the corpus has other
--   emotions), max_neutral = 0, quota = "paper" (each emotion grows by Table 4 / Table 3 without validation; the default
--   where the names are the paper's) | "balanced" (up to the most frequent class) | { name = factor }, rng =,
--   limit = windows drawn at most (4 for each given one) }.
-- A window is eligible when it holds a frame of a minority emotion and at most the share max_neutral of neutral
-- frames; it is an error when none is. Emotions that lack more frames are drawn more often; within an emotion all its
-- eligible windows alike, with replacement. Returns the given windows followed by the drawn ones, and the counts for a
-- table shaped like Table 4: list of { emotion =, before =, after =, target = }, with fields windows, candidates, eligible,
-- drawn, stride (0: the given windows), quota and short (names of emotions that stay below their target).
function resample.draw(options)
  check.keys(options, { corpus = "table!", starts = "table!", sequence = "count", recordings = "table", stride = "count",
    minority = "table", max_neutral = "number", quota = "string|table", rng = "cdata!", limit = "integer" },
    "data.resample")
  local corpus, starts, rng = options.corpus, options.starts, options.rng
  local sequence = options.sequence or starts.sequence
  if not sequence then check.raise("argument", "data.resample: sequence is missing") end
  if options.stride and not options.recordings then
    check.raise("argument", "data.resample: stride needs the recordings in which windows may begin")
  end

  local before = split.class_counts(corpus, starts, { sequence = sequence })
  local classes, neutral = find_minority(corpus, options.minority, before)
  local targets, quota = find_targets(corpus, classes, options.quota, before)
  local pools, eligible, candidates, least = find_eligible(options, classes, neutral, sequence)
  if eligible == 0 then refuse(options, classes, sequence, candidates, least) end
  local now, result, limit = {}, { sequence = sequence, lengths = starts.lengths }, options.limit or 4 * #starts
  for c, count in ipairs(before) do now[c] = count end
  for i, start in ipairs(starts) do result[i] = start end
  while #result - #starts < limit do
    local lacking = 0
    for _, c in ipairs(classes) do
      if #pools[c] > 0 then lacking = lacking + math.max(0, targets[c] - now[c]) end
    end
    if lacking <= 0 then break end
    local at, chosen = rng:uniform() * lacking, nil
    for _, c in ipairs(classes) do
      local gap = #pools[c] > 0 and math.max(0, targets[c] - now[c]) or 0
      if gap > 0 then chosen = c end
      at = at - gap
      if chosen == c and at < 0 then break end
    end
    local window = pools[chosen][rng:below(#pools[chosen]) + 1]
    result[#result + 1] = window.start
    for c = 1, #now do now[c] = now[c] + window[c] end
  end

  local table4 = { windows = #result, candidates = candidates, eligible = eligible, drawn = #result - #starts,
    stride = options.recordings and (options.stride or 1) or 0,
    quota = type(quota) == "string" and quota or "given", short = {} }
  for c, name in ipairs(corpus.label_names) do
    table4[c] = { emotion = name, before = before[c], after = now[c], target = targets[c] }
    if targets[c] and now[c] < targets[c] then table4.short[#table4.short + 1] = name end
  end
  return result, table4
end

--- What was drawn, in words.
function resample.describe(table4)
  local short = {}
  for _, row in ipairs(table4) do
    if row.target and row.after < row.target then
      short[#short + 1] = ("%s %d of %.0f"):format(row.emotion, row.after, row.target)
    end
  end
  local begin = table4.stride == 0 and "of the training windows" or table4.stride == 1 and "windows, at any frame,"
    or ("windows, at every %d frames,"):format(table4.stride)
  return ("re-sampling: %d of %d %s are eligible, %d were drawn (quota %s)%s"):format(table4.eligible, table4.candidates,
    begin, table4.drawn, table4.quota, #short > 0 and "; short of frames: " .. table.concat(short, ", ") or "")
end

return resample
