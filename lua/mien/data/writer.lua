-- Writes a corpus, recording by recording; the file appears under its name when finish() has succeeded.
-- Not here: where frames and labels come from (datasets/).
local check = require "mien.base.check"
local file = require "mien.data.file"
local index = require "mien.base.index"

local writer = {}
writer.__index = writer

local partition_number = { train = 0, devel = 1, test = 2 }

--- Starts a corpus: writer(path, { name =, height =, width =, fps =, label_kind = "continuous"|"multilabel"|
-- "class", label_names = {...}, sequence = 150, procedural = false, grey = false, source = "where it comes from",
-- label_range = {-1, 1} }). label_range bounds continuous labels; the loader holds to it.
function writer.new(path, options)
  check.keys(options, { name = "string!", height = "count!", width = "count!", fps = "number!", label_kind = "string!",
    label_names = "table!", sequence = "count", procedural = "boolean", grey = "boolean",
    source = "string", label_range = "table" },
    "data.writer")
  check.one_of(options.label_kind, { "continuous", "multilabel", "class" }, "data.writer: label_kind")
  if not (options.fps >= 0 and options.fps < math.huge) then
    check.raise("argument", "data.writer: fps is %g, but must be above 0, or 0 for pictures", options.fps)
  end
  if #options.label_names == 0 then check.raise("argument", "data.writer: label_names is empty") end
  for _, name in ipairs(options.label_names) do
    if name:find "\n" then check.raise("argument", "data.writer: a label name holds a line break") end
  end
  local h5 = file.create(path)
  local h, w, k = options.height, options.width, #options.label_names
  local range = options.label_range or (options.label_kind == "continuous" and { -1, 1 } or { 0, 1 })
  h5:set("mien_format", "corpus")
  h5:set("version", 1)
  h5:set("name", options.name)
  h5:set("fps", options.fps)
  h5:set("procedural", options.procedural or false)
  if options.grey then h5:set("grey", true) end
  h5:set("source", options.source or "")
  h5:set("label_kind", options.label_kind)
  h5:set("label_names", options.label_names)
  if options.label_kind ~= "class" then
    h5:set("label_low", range[1])
    h5:set("label_high", range[2])
  end
  local chunk = math.min(options.sequence or 32, 32)
  h5:dataset("frames", "u8", { 0, h, w, 3 }, { chunk, h, w, 3 })
  if options.label_kind == "class" then
    h5:dataset("labels", "i32", { 0 })
  else
    h5:dataset("labels", "f32", { 0, k })
  end
  h5:dataset("recording", "i32", { 0 })
  h5:dataset("subject", "i32", { 0 })
  h5:dataset("time", "f64", { 0 })
  h5:dataset("partition", "u8", { 0 })
  return setmetatable({
    h5 = h5, path = path, options = options, range = range, frames = 0, recordings = {}, known = {}, subjects = {},
    subject_number = {},
  }, writer)
end

local function expect(t, dtype, shape, what)
  local given = t.dtype .. "[" .. table.concat(t.shape, ",") .. "]"
  local wanted = dtype .. "[" .. table.concat(shape, ",") .. "]"
  if given ~= wanted then check.raise("shape", "data.writer: %s is %s, wanted %s", what, given, wanted) end
end

--- Labels as the file holds them. Those that no loader would take are refused, with the frame's number (from 1 in its
-- recording).
local function stored_labels(self, name, labels, n)
  local values, names = labels:to(labels.dtype), self.options.label_names -- a plain contiguous copy
  local data, k = values:data(), #names
  if self.options.label_kind == "class" then
    index.classes_to_c(data, n, k, ("data.writer: recording %s, frame"):format(name))
  else
    for i = 0, n * k - 1 do
      if not (data[i] >= self.range[1] and data[i] <= self.range[2]) then
        check.raise("argument", "data.writer: recording %s, frame %d: %s is %g, labels lie in [%g, %g]", name,
          math.floor(i / k) + 1, names[i % k + 1], data[i], self.range[1], self.range[2])
      end
    end
  end
  return values
end

local function column(self, name, dtype, n, value)
  local t = file.array(dtype, { n })
  local data = t:data()
  for i = 0, n - 1 do data[i] = type(value) == "number" and value or value(i) end
  self.h5:append(name, t)
  t:free()
end

local optional_kinds = { traces = "f32", votes = "u8", face = "u8" }

--- Datasets that only some corpora hold are made by the first recording that has them.
local function optional(self, name, t, n)
  local first = #self.recordings == 0
  if not first and (t ~= nil) ~= (self["with_" .. name] == true) then
    check.raise("argument", "data.writer: every recording has %s, or none has", name)
  end
  if t == nil then return end
  if #t ~= n then check.raise("shape", "data.writer: %d frames but %d rows of %s", n, #t, name) end
  if first then
    local shape = t.shape
    shape[1] = 0
    self.h5:dataset(name, optional_kinds[name], shape)
    self["with_" .. name] = true
  end
end

--- A recording of which some columns were written and others not (a full disk) spoils the rows of all that follow.
local function check_whole(self)
  if not self.h5 then check.raise("argument", "data.writer: %s was finished or closed", self.path) end
  if self.torn then
    check.raise("argument", "data.writer: recording %s went into %s in part only; close it and begin again", self.torn,
      self.path)
  end
end

--- Appends frames u8 [n,H,W,3], a tensor or what a function writes in pieces.
local function append_frames(self, name, frames, n)
  if check.is_tensor(frames) then return self.h5:append("frames", frames) end
  local o, written = self.options, 0
  frames(function(piece)
    expect(piece, "u8", { #piece, o.height, o.width, 3 }, "frames of " .. name)
    self.h5:append("frames", piece)
    written = written + #piece
  end)
  if written ~= n then check.raise("shape", "data.writer: recording %s: %d frames but %d labels", name, written, n) end
end

--- Adds a recording: { name =, subject =, partition = "train"|"devel"|"test", frames = u8 [n,H,W,3],
-- labels = f32 [n,K] or i32 [n] for classes (1 is the first of label_names), traces = f32 [n,R,K], votes = u8 [n,C],
-- face = u8 [n] (0: no face was seen, the picture shows where it was before or after), time = f64 [n] in seconds (frames
-- before this one / fps when left out) }. frames may be a function(write) as well, which calls write with a few of them
-- at a time, as many as there are labels: a long video need not be in memory.
function writer:recording(options)
  check.keys(options, { name = "string!", subject = "string!", partition = "string!", frames = "tensor|function!",
    labels = "tensor!", traces = "tensor", votes = "tensor", face = "tensor", time = "tensor" }, "data.writer: recording")
  check_whole(self)
  local name, o = options.name, self.options
  check.one_of(options.partition, { "train", "devel", "test" }, "data.writer: partition")
  if self.known[name] then check.raise("argument", "data.writer: a second recording named %s", name) end
  if (name .. options.subject):find "\n" then check.raise("argument", "data.writer: a name holds a line break") end
  local frames = options.frames
  local n = (check.is_tensor(frames) and frames or options.labels):size(1)
  if n == 0 then check.raise("argument", "data.writer: recording %s has no frames", name) end
  if check.is_tensor(frames) then expect(frames, "u8", { n, o.height, o.width, 3 }, "frames of " .. name) end
  if o.label_kind == "class" then
    expect(options.labels, "i32", { n }, "labels of " .. name)
  else
    expect(options.labels, "f32", { n, #o.label_names }, "labels of " .. name)
  end
  if options.time then expect(options.time, "f64", { n }, "time of " .. name) end
  local labels = stored_labels(self, name, options.labels, n)
  optional(self, "traces", options.traces, n)
  optional(self, "votes", options.votes, n)
  if options.face then expect(options.face, "u8", { n }, "face of " .. name) end
  optional(self, "face", options.face, n)

  local number = self.subject_number[options.subject]
  if not number then
    number = #self.subjects
    self.subjects[number + 1], self.subject_number[options.subject] = options.subject, number
  end
  local h5 = self.h5
  self.torn = name
  append_frames(self, name, frames, n)
  h5:append("labels", labels)
  labels:free()
  if options.traces then h5:append("traces", options.traces) end
  if options.votes then h5:append("votes", options.votes) end
  if options.face then h5:append("face", options.face) end
  column(self, "recording", "i32", n, #self.recordings)
  column(self, "subject", "i32", n, number)
  column(self, "partition", "u8", n, partition_number[options.partition])
  if options.time then
    h5:append("time", options.time)
  else
    column(self, "time", "f64", n, function(i) return o.fps > 0 and i / o.fps or i end)
  end
  self.torn = nil
  self.known[name] = true
  self.recordings[#self.recordings + 1] = name
  self.frames = self.frames + n
end

--- Says which published split the partitions are; the paper's numbers stand beside its own split alone.
function writer:split(name)
  self.h5:set("split", check.type(name, "string", "data.writer: split"))
end

--- Puts the corpus on disk under its name.
function writer:finish()
  check_whole(self)
  if #self.recordings == 0 then check.raise("argument", "data.writer: %s has no recordings", self.path) end
  self.h5:set("recording_names", self.recordings, "recording")
  self.h5:set("subject_names", self.subjects, "subject")
  self.h5:finish()
  self.h5 = nil
end

--- Gives up: nothing stays on disk. After finish() it does nothing.
function writer:close()
  if self.h5 then self.h5:close() end
  self.h5 = nil
end

return writer
