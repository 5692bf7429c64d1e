-- Corpora: HDF5 files with frames, labels, and who and what they belong to.
-- Not here: writing one (writer.lua), batches (loader.lua).
local check = require "mien.base.check"
local file = require "mien.data.file"
local index = require "mien.base.index"

local corpus = {}
local methods = {}
corpus.__index = methods

local partitions = { [0] = "train", "devel", "test" }

--- Runs of frames of one recording, in the order of the file.
local function find_recordings(self)
  local h5, path, n = self.file, self.path, self.frames
  local function column(name) -- whatever whole numbers the file holds: NumPy writes i64
    local kind, shape = h5:info(name)
    if #shape ~= 1 or not kind:find "^[iu]" then
      check.raise("format", "%s: '%s' must be a column of whole numbers, it is %s[%s]", path, name, kind,
        table.concat(shape, ","))
    end
    local stored = h5:read(name)
    if #stored ~= n then check.raise("format", "%s: %d frames but %d rows in '%s'", path, n, #stored, name) end
    return stored:to "i32"
  end
  local recording, subject, partition = column "recording", column "subject", column "partition"
  local names, subjects = h5:list("recording_names", "recording") or {}, h5:list("subject_names", "subject") or {}
  local r, s, p = recording:data(), subject:data(), partition:data()
  local list, seen, i = {}, {}, 0
  while i < n do
    local id, first = r[i], i
    if seen[id] then check.raise("format", "%s: recording %d is in two pieces (frame %d)", path, id, i + 1) end
    seen[id] = true
    local who, part = s[i], partitions[p[i]]
    if not part then check.raise("format", "%s: partition %d of frame %d is unknown", path, p[i], i + 1) end
    while i < n and r[i] == id do
      if s[i] ~= who or partitions[p[i]] ~= part then
        check.raise("format", "%s: frame %d has another subject or partition than the rest of its recording", path, i + 1)
      end
      i = i + 1
    end
    list[#list + 1] = {
      name = names[id + 1] or tostring(id), subject = subjects[who + 1] or tostring(who),
      partition = part, first = index.from_c(first), count = i - first,
    }
  end
  recording:free() subject:free() partition:free()
  return list
end

--- Opens a corpus for reading: fields path, name, frames, height, width, fps, label_kind, label_names,
-- procedural, source, split (the name of a published one, or nil), recordings (list of { name, subject, partition,
-- first, count }: its frames are first .. first + count - 1 of the corpus, whose first frame is 1).
function corpus.open(path)
  local h5 = file.open(path)
  local function wrong(fmt, ...)
    h5:close()
    check.raise("format", "%s: " .. fmt, path, ...)
  end
  local format, version = h5:text "mien_format", h5:number "version"
  if format ~= "corpus" then
    wrong("no corpus (mien_format is %s); datasets/ holds readers that make one",
      format and '"' .. format .. '"' or "absent")
  end
  if version ~= 1 then wrong("corpus version %s, this mien reads version 1", tostring(version)) end
  local self = setmetatable({ path = path, file = h5 }, corpus)
  local ok, err = pcall(function()
    local dtype, shape = h5:info "frames"
    if dtype ~= "u8" or #shape ~= 4 or shape[4] ~= 3 then wrong("frames must be u8 [N,H,W,3]") end
    self.frames, self.height, self.width = shape[1], shape[2], shape[3]
    if self.height * self.width * 3 >= 2 ^ 31 then
      wrong("frames of %dx%d, larger than 2 GiB each", self.height, self.width)
    end
    self.name = h5:text "name" or path
    self.source = h5:text "source"
    self.split = h5:text "split" -- whose partitions these are: "paper46"
    self.fps = h5:number "fps" or 0 -- 0: pictures
    if h5:text "fps" or not (self.fps >= 0 and self.fps < math.huge) then
      wrong("fps is %s, but must be a number above 0, or 0 for pictures", tostring(h5:text "fps" or self.fps))
    end
    self.procedural = h5:number "procedural" == 1
    self.grey = h5:number "grey" == 1 -- three equal channels
    self.label_kind = h5:text "label_kind"
    self.label_names = h5:list "label_names" or {}
    check.one_of(self.label_kind, { "continuous", "multilabel", "class" }, path .. ": label_kind")
    local kind, labels = h5:info "labels"
    local classes = self.label_kind == "class"
    if #labels ~= (classes and 1 or 2) or (kind == "i32") ~= classes or not (classes or kind:find "^f") then
      wrong("%s labels must be %s, these are %s[%s]", self.label_kind, classes and "i32 [N]" or "f32 [N,K]", kind,
        table.concat(labels, ","))
    end
    if labels[1] ~= self.frames then wrong("%d frames but %d labels", self.frames, labels[1]) end
    if not classes and labels[2] ~= #self.label_names then
      wrong("%d labels a frame but %d label names", labels[2], #self.label_names)
    end
    local low, high = h5:number "label_low" or -math.huge, h5:number "label_high" or math.huge
    if low ~= low or high ~= high or low > high then
      wrong("labels from %s to %s (label_low, label_high)", tostring(low), tostring(high))
    end
    self.recordings = find_recordings(self)
  end)
  if not ok then
    h5:close()
    error(err, 0)
  end
  return self
end

-- Each reads frames first .. first + count - 1 (the corpus's first frame is 1, as in recordings and windows; all that
-- follow without `count`).
local datasets = { pixels = "frames", traces = "traces", votes = "votes", times = "time", faces = "face" }
for method, dataset in pairs(datasets) do
  methods[method] = function(self, first, count) return self.file:read(dataset, first, count) end
end

--- Labels of frames: f32 [n,K], or i32 [n] for classes: 1 is the first of label_names (the file counts from 0).
function methods:labels(first, count)
  local labels = self.file:read("labels", first, count)
  if self.label_kind == "class" then index.classes_from_c(labels:data(), labels:count()) end
  return labels
end

--- True when the corpus holds "traces", "votes" or "face" (u8 [n]: 0 where no face was seen).
function methods:has(dataset)
  return self.file:has(dataset)
end

--- What the corpus's owners say of its persons: { [subject] = { gender = text, age = text } }, nil for what nobody says.
function methods:people()
  local known, columns = {}, {}
  for _, what in ipairs { "gender", "age" } do columns[what] = self.file:list("subject_" .. what, "subject") or {} end
  for i, subject in ipairs(self.file:list("subject_names", "subject") or {}) do
    known[subject] = {}
    for what, values in pairs(columns) do known[subject][what] = values[i] ~= "" and values[i] or nil end
  end
  return known
end

--- Recordings of a partition, in order.
function methods:partition(name)
  check.one_of(name, { "train", "devel", "test" }, "corpus:partition")
  local list = {}
  for _, recording in ipairs(self.recordings) do
    if recording.partition == name then list[#list + 1] = recording end
  end
  return list
end

--- First frames (the corpus's first is 1) of windows that never cross a recording.
-- { sequence = 150, partition = "train" or recordings = list (all when both are left out),
--   stride = sequence, tail = false }. What a recording has left beyond its last whole window is left out;
-- `tail` adds one more window that ends where the recording ends. Recordings shorter than a window give
-- none, and their number is the second result; with `short` they give one each, whose frames are in
-- starts.lengths[first], for data.loader to fill up.
function methods:windows(options)
  check.keys(options, { sequence = "count!", partition = "string", recordings = "table", stride = "count",
    tail = "boolean", short = "boolean" }, "corpus:windows")
  local list = options.recordings or options.partition and self:partition(options.partition) or self.recordings
  local sequence, stride = options.sequence, options.stride or options.sequence
  local starts, short = { sequence = sequence }, 0
  for _, recording in ipairs(list) do
    local last = recording.first + recording.count - sequence
    if last < recording.first then short = short + 1 end
    if last < recording.first and options.short then
      starts.lengths = starts.lengths or {}
      starts.lengths[recording.first], starts[#starts + 1] = recording.count, recording.first
    end
    local at = recording.first
    while at <= last do
      starts[#starts + 1] = at
      at = at + stride
    end
    if options.tail and last >= recording.first and starts[#starts] ~= last then starts[#starts + 1] = last end
  end
  return starts, short
end

--- Closes the file; again is allowed.
function methods:close()
  self.file:close()
end

function corpus:__tostring()
  local subjects, n = {}, 0
  for _, recording in ipairs(self.recordings) do
    if not subjects[recording.subject] then n = n + 1 end
    subjects[recording.subject] = true
  end
  return ("%s: %d frames of %dx%d, %d recordings, %d subjects, %s labels (%s)%s"):format(self.name, self.frames,
    self.height, self.width, #self.recordings, n, self.label_kind, table.concat(self.label_names, ", "),
    self.procedural and ", procedural" or "")
end

return corpus
