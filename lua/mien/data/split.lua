-- Splits by participant, counts and weights of classes.
-- Not here: re-sampling (resample.lua).
local check = require "mien.base.check"
local renamed = require "mien.base.renamed"

local split = {}

--- Of n things the number of the last one that belongs to the first `sum` of `total` shares: rounded, and from `least`
-- to `most`, so that no part is empty.
function split.cut(n, sum, total, least, most)
  return math.max(least, math.min(math.floor(n * sum / total + 0.5), most))
end

--- Partitions of n participants for cross-validation: of `folds` parts (all of them equal, or larger by one), number
-- `fold` is "test", the next one (after the last: the first) "devel", all others "train". folds = "loso": leave one
-- subject out, one participant a part. what: begins errors. A list of n names of partitions.
function split.folds(n, folds, fold, what)
  local k = folds == "loso" and n or tonumber(folds)
  if not k or k % 1 ~= 0 or k < 3 then
    check.raise("argument", "%s: %s; wanted are 3 parts at least, or loso, for %d participants", what, tostring(folds), n)
  elseif k > n then
    check.raise("argument", "%s: %d participants cannot be divided into %d parts", what, n, k)
  elseif type(fold) ~= "number" or fold % 1 ~= 0 or fold < 1 or fold > k then
    check.raise("argument", "%s: fold %s; wanted is one from 1 to %d", what, tostring(fold), k)
  end
  local names = {}
  for i = 1, n do
    local part = math.floor((i - 1) * k / n) + 1
    names[i] = part == fold and "test" or part == fold % k + 1 and "devel" or "train"
  end
  return names
end

--- One fold of a cross-validation by participant: split_folds(corpus, { folds = 10 or "loso" (leave one subject out),
-- fold = 1, rng = stream }) -> { train =, devel =, test = }, lists of recordings for corpus:windows{ recordings = list }.
-- All recordings are divided, whatever their partition in the corpus; with the same stream every participant is tested
-- in one fold. devel is the part behind the one that is tested.
function split.folded(corpus, options)
  check.keys(options, { folds = "integer|string", fold = "integer", rng = "any" }, "data.split_folds")
  if not options.rng then
    check.raise("argument", 'data.split_folds needs a random stream: rng = mien.rng.stream(seed, "split")')
  end
  local known, subjects, home, parts = {}, {}, {}, { train = {}, devel = {}, test = {} }
  for _, recording in ipairs(corpus.recordings) do
    if not known[recording.subject] then subjects[#subjects + 1] = recording.subject end
    known[recording.subject] = true
  end
  table.sort(subjects) -- the order of the file must not matter
  options.rng:shuffle(subjects)
  for i, name in ipairs(split.folds(#subjects, options.folds, options.fold or 1, "data.split_folds: " .. corpus.path)) do
    home[subjects[i]] = name
  end
  for _, recording in ipairs(corpus.recordings) do table.insert(parts[home[recording.subject]], recording) end
  return parts
end

--- Splits recordings by participant: split_subjects(corpus, { 0.8, 0.2, rng = stream }) -> one list of recordings per
-- share, for corpus:windows{ recordings = list }. All recordings of a participant stay together; the shares are
-- of participants. The test partition that a corpus has of its own is nobody's share: its recordings are in no list, and
-- are the second result. `corpus` may be a list of recordings as well (corpus:partition "train"), which is split as it is.
function split.subjects(corpus, shares, old)
  if old ~= nil then renamed.form("data.split_subjects", old, "{ 0.8, 0.2, rng = stream }") end
  check.type(shares, "table", "data.split_subjects: shares")
  local rng = shares.rng
  if rng == nil then
    check.raise("argument", 'data.split_subjects needs a random stream: rng = mien.rng.stream(seed, "split")')
  end
  for key in pairs(shares) do
    if type(key) ~= "number" and key ~= "rng" then check.unknown("data.split_subjects", "key", key, { "rng" }) end
  end
  local recordings, test = corpus, {}
  if corpus.recordings then
    recordings = {}
    for _, recording in ipairs(corpus.recordings) do
      table.insert(recording.partition == "test" and test or recordings, recording)
    end
    if #test > 0 and #shares > 2 then
      check.raise("argument", "data.split_subjects: %s has %d test recordings of its own, so there is no third share to be "
        .. "drawn; give two, to train and to validate on", corpus.path, #test)
    end
  end
  local tested = {}
  for _, recording in ipairs(test) do tested[recording.subject] = true end
  local by_subject, subjects = {}, {}
  for _, recording in ipairs(recordings) do
    if tested[recording.subject] then
      check.raise("format", "data.split_subjects: %s: participant %s is in the test partition and elsewhere", corpus.path,
        recording.subject)
    end
    local list = by_subject[recording.subject]
    if not list then
      list = {}
      by_subject[recording.subject] = list
      subjects[#subjects + 1] = recording.subject
    end
    list[#list + 1] = recording
  end
  local total = 0
  for _, share in ipairs(shares) do
    if type(share) ~= "number" or not (share > 0 and share < math.huge) then
      check.raise("argument", "data.split_subjects: shares must be numbers above 0, got %s", check.describe(share))
    end
    total = total + share
  end
  if #subjects < #shares then
    check.raise("argument", "data.split_subjects: %d participants cannot be split in %d", #subjects, #shares)
  end
  table.sort(subjects) -- the order of the file must not matter
  rng:shuffle(subjects)
  local parts, sum, used = {}, 0, 0
  for i, share in ipairs(shares) do
    sum = sum + share
    -- every part gets one participant at least, whatever the rounding says
    local last = i == #shares and #subjects or split.cut(#subjects, sum, total, used + 1, #subjects - (#shares - i))
    local chosen = {}
    for j = used + 1, last do chosen[subjects[j]] = true end
    used = last
    parts[i] = {}
    for _, recording in ipairs(recordings) do -- in the order of the file
      if chosen[recording.subject] then parts[i][#parts[i] + 1] = recording end
    end
  end
  return parts, test
end

--- Frames per class in windows: class_counts(corpus, starts, { sequence = (starts.sequence) }) -> list in the order of
-- label_names, and the number of frames. A frame counts once for each of its labels; windows of starts.lengths have so
-- many. Without starts: all frames.
function split.class_counts(corpus, starts, options)
  if type(options) == "number" then
    renamed.form("data.class_counts", options, ("{ sequence = %d }"):format(options))
  end
  check.type(corpus, "table", "data.class_counts: corpus")
  if corpus.label_kind == "continuous" then
    check.raise("argument", "data.class_counts: %s has continuous labels", corpus.path)
  end
  local sequence = check.keys(options or {}, { sequence = "count" }, "data.class_counts").sequence
  sequence = sequence or starts and starts.sequence or corpus.frames
  local counts, frames = {}, 0
  for c = 1, #corpus.label_names do counts[c] = 0 end
  local cache = {} -- re-sampled windows come again and again
  for _, start in ipairs(starts or { 1 }) do
    local window, length = cache[start], starts and starts.lengths and starts.lengths[start] or sequence
    if not window then
      window = split.window_counts(corpus, start, length)
      cache[start] = window
    end
    for c = 1, #counts do counts[c] = counts[c] + window[c] end
    frames = frames + length
  end
  return counts, frames
end

--- Frames per class in one window.
function split.window_counts(corpus, start, sequence)
  local classes, counts = #corpus.label_names, {}
  for c = 1, classes do counts[c] = 0 end
  local labels = corpus:labels(start, sequence)
  local data = labels:data()
  if corpus.label_kind == "class" then
    for i = 0, sequence - 1 do counts[data[i]] = (counts[data[i]] or 0) + 1 end
  else
    for i = 0, sequence * classes - 1 do
      if data[i] > 0.5 then counts[i % classes + 1] = counts[i % classes + 1] + 1 end
    end
  end
  labels:free()
  return counts
end

--- Weights of classes from their frame counts: w_c = (N / C) / n_c, so that balanced classes weigh 1; 0 for a
-- class without frames. { raw = true }: the paper's plain reciprocals 1 / n_c. { frames = N }, as class_counts gives it:
-- where frames carry several labels it is less than the sum of the counts, which stands for it otherwise.
function split.class_weights(counts, options)
  options = options or {}
  check.keys(options, { raw = "boolean", frames = "number" }, "data.class_weights")
  local n, weights = options.frames, {}
  if not n then
    n = 0
    for _, count in ipairs(counts) do n = n + count end
  end
  for c, count in ipairs(counts) do
    weights[c] = count <= 0 and 0 or options.raw and 1 / count or n / #counts / count
  end
  return weights
end

return split
