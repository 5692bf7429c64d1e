-- Boosting of rare emotions by drawing whole windows again (the paper, section 4.2).
-- Not here: weights of the loss (split.lua), the split that must come before (split.lua).
local check = require "mien.base.check"
local split = require "mien.data.split"

local resample = { quotas = { "paper", "balanced" } }

--- The paper's frames per emotion before (Table 3) and after (Table 4, training) re-sampling.
resample.paper = {
  before = { happy = 60179, surprise = 15786, confusion = 56683, disgust = 10065, contempt = 8581, empathy = 10173 },
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

--- Draws windows again until the minority emotions have the frames that `quota` asks for:
-- { corpus =, starts = training windows, sequence = (starts.sequence), minority = { names } (the paper's
--   six, or all but the most frequent one where the corpus has other emotions),
--   max_neutral = 0, quota = "paper" (each emotion grows by Table 4 / Table 3; the default where the names are
--   the paper's) | "balanced" (up to the most frequent class) | { name = factor }, rng =, limit = windows drawn at
--   most (4 for each given one) }.
-- A window is eligible when it holds a frame of a minority emotion and at most the share max_neutral of neutral
-- frames. Emotions that lack more frames are drawn more often; within an emotion all its eligible windows alike,
-- with replacement. Returns the given windows followed by the drawn ones, and the counts for a table shaped
-- like Table 4: list of { emotion =, before =, after =, target = }, with fields windows, eligible, drawn, quota
-- and short (names of emotions that stay below their target).
function resample.draw(options)
  check.keys(options, { corpus = "table!", starts = "table!", sequence = "count", minority = "table",
    max_neutral = "number", quota = "string|table", rng = "cdata!", limit = "integer" }, "data.resample")
  local corpus, starts, rng = options.corpus, options.starts, options.rng
  local sequence = options.sequence or starts.sequence
  if not sequence then check.raise("argument", "data.resample: sequence is missing") end
  local max_neutral = options.max_neutral or 0

  local before = split.class_counts(corpus, starts, { sequence = sequence })
  local classes, neutral = find_minority(corpus, options.minority, before)
  local eligible, pools = 0, {} -- class -> eligible windows that hold it
  for _, c in ipairs(classes) do pools[c] = {} end
  for _, start in ipairs(starts) do
    local window = split.window_counts(corpus, start, sequence)
    if not neutral or window[neutral] / sequence <= max_neutral then
      window.start = start
      local rare = false
      for _, c in ipairs(classes) do
        if window[c] > 0 then
          rare = true
          pools[c][#pools[c] + 1] = window
        end
      end
      if rare then eligible = eligible + 1 end
    end
  end

  local targets, quota = find_targets(corpus, classes, options.quota, before)
  local now, result, limit = {}, { sequence = sequence }, options.limit or 4 * #starts
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

  local table4 = { windows = #result, eligible = eligible, drawn = #result - #starts,
    quota = type(quota) == "string" and quota or "given", short = {} }
  for c, name in ipairs(corpus.label_names) do
    table4[c] = { emotion = name, before = before[c], after = now[c], target = targets[c] }
    if targets[c] and now[c] < targets[c] then table4.short[#table4.short + 1] = name end
  end
  return result, table4
end

return resample
