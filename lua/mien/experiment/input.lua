-- What networks of an experiment are given: its corpus, found, generated or asked for; partitions; batches of it.
-- Not here: the file itself (data/corpus.lua), the generator (datasets/procedural).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local data = require "mien.data"
local doubles = require "mien.base.doubles"
local evaluate = require "mien.train.evaluate"
local folders = require "mien.base.folders"
local generate = require "mien.experiment.generate"
local home = require "mien.base.home"
local sha256 = require "mien.base.sha256"
local rng = require "mien.tensor.rng"
local lfs = require "lfs"

local input = {}

-- ---- finding it --------------------------------------------------------------------------------

--- What is to be said when a configuration's corpus is not there and no recipe says how to make it; else nil.
function input.missing(config)
  local path = home.find(config.data.corpus)
  if config.data.generate or lfs.attributes(path) then return nil end
  local lines = { ("there is no corpus %s"):format(home.short(path)),
    "wanted: an HDF5 corpus: frames u8 [N,H,W,3], labels [N,K], recording, subject, time and partition [N]" }
  if config.data.script ~= "" then
    lines[#lines + 1] = ("make it from its owners' files: ./mien %s"):format(config.data.script)
  end
  lines[#lines + 1] = ("or name another one: --set %s.data=FILE"):format(config.name)
  return table.concat(lines, "\n  ")
end

--- Opens the corpus of a configuration that is there.
function input.look(config)
  return data.open(home.find(config.data.corpus))
end

--- Opens the corpus of a configuration. Where the profile says how, one that is missing, or procedural but of
-- another recipe, is generated; any other file is left alone.
function input.open(config, say)
  local d = config.data
  local path = home.find(d.corpus)
  local there = lfs.attributes(path) ~= nil
  local lacks = input.missing(config)
  if lacks then check.raise("io", "%s", lacks) end
  local opened = there and data.open(path)
  if not d.generate or opened and not opened.procedural then return opened end
  if opened then opened:close() end
  if not there then path = home.path(d.corpus) end
  folders.make_for(path)
  local started = C.mien_time_monotonic()
  if generate.make(path, d.generate, function()
    say(("%s: waiting for another process that makes %s"):format(config.name, home.short(path)))
  end) then
    say(("%s: generated the procedural corpus %s in %.0f s"):format(config.name, home.short(path),
      C.mien_time_monotonic() - started))
  end
  return data.open(path)
end

--- Whether a corpus file holds single pictures: they have no time.
function input.of_pictures(path)
  local c = data.open(path)
  local still = c.fps == 0
  c:close()
  return still
end

local LOOKED_AT = 64 -- recordings of which a frame is compared: HDF5 reads 32 frames for each

--- A hash of the middle frames of recordings that lie evenly in the corpus: faces that were cut anew have the old
-- labels.
local function pictures_of(c)
  local hashes, n = {}, math.min(LOOKED_AT, #c.recordings)
  for i = 1, n do
    local r = c.recordings[math.floor((i - 0.5) * #c.recordings / n) + 1]
    local frame = c:pixels(r.first + math.floor(r.count / 2), 1)
    hashes[i] = sha256.text(ffi.string(frame:data(), frame:count()))
    frame:free()
  end
  return sha256.text(table.concat(hashes))
end

--- What makes two corpora the same: their labels, recordings, some frames and what they say of themselves.
function input.identity(c)
  local labels = c.file:read "labels"
  local values, n = doubles.from(labels)
  labels:free()
  local parts = { c.name, c.label_kind, tostring(c.procedural), tostring(c.source) .. (c.grey and " grey" or ""),
    c.frames, c.height, c.width,
    table.concat(c.label_names, ","), sha256.text(ffi.string(values, n * 8)) }
  if not c.procedural then parts[#parts + 1] = pictures_of(c) end -- a rendered one's source says all
  for _, r in ipairs(c.recordings) do parts[#parts + 1] = ("%s/%s/%s"):format(r.name, r.subject, r.partition) end
  for i, part in ipairs(parts) do parts[i] = tostring(part) end
  return sha256.text(table.concat(parts, "\n"))
end

-- ---- partitions --------------------------------------------------------------------------------

--- Lists of recordings { train, devel, test }: the corpus's own, or split by participant (always the same split), where
-- a test partition of the corpus's own stays what it is, unless folds divide all of it.
function input.partitions(config, c)
  local parts = { train = c:partition "train", devel = c:partition "devel", test = c:partition "test" }
  local wanted = config.data.split
  if wanted and wanted[1] == nil then
    parts = data.split_folds(c, { folds = wanted.folds, fold = wanted.fold, rng = rng.stream(0, "split") })
  elseif wanted then
    local shares, own = data.split_subjects(c, { rng = rng.stream(0, "split"), unpack(wanted) })
    parts = { train = shares[1], devel = shares[2] or {}, test = shares[3] or own }
  end
  for _, name in ipairs { "train", "devel" } do
    if #parts[name] == 0 then
      check.raise("format", "%s: the %s partition is empty; set data.split to split it by participant",
        home.short(c.path), name)
    end
  end
  return parts
end

-- ---- training windows --------------------------------------------------------------------------

--- What the training windows make of recordings: a row for the table `sampling`. padded: short ones are filled up.
local function account(c, train, sequence, windows, padded)
  local row = { recordings = #train, windows = windows, short_recordings = 0, short_frames = 0, tail_frames = 0,
    padded = padded and 1 or 0 }
  for _, recording in ipairs(train) do
    if recording.count < sequence then
      row.short_recordings, row.short_frames = row.short_recordings + 1, row.short_frames + recording.count
    else
      row.tail_frames = row.tail_frames + recording.count % sequence
    end
  end
  if row.short_recordings > 0 then
    row.text = ("%s: %d of %d training recordings are shorter than a window of %d frames (%d frames) and are %s"):format(
      home.short(c.path), row.short_recordings, row.recordings, sequence, row.short_frames, padded
      and "filled up; the loss leaves the filling out" or "left out: train.loss is a function, which knows no filling")
  end
  return row
end

--- The windows of which at most the share `most` of the frames has no face, and a text on what there was; the text is nil
-- where every frame has one, or the corpus does not tell.
local function with_faces(c, starts, sequence, most)
  if not c:has "face" then return starts end
  local kept, frames, without, lost = { sequence = starts.sequence, lengths = starts.lengths }, 0, 0, 0
  for _, first in ipairs(starts) do
    local count = starts.lengths and starts.lengths[first] or sequence
    local faces, seen = c:faces(first, count), 0
    local values = faces:data()
    for i = 0, count - 1 do seen = seen + (values[i] ~= 0 and 1 or 0) end
    faces:free()
    frames, without = frames + count, without + count - seen
    if count - seen <= most * count then kept[#kept + 1] = first else lost = lost + 1 end
  end
  if without == 0 then return starts end
  return kept, ("%s: %d of %d frames in training windows show no face (face = 0); %s"):format(home.short(c.path), without,
    frames,
    lost > 0 and ("%d of %d windows have more of them than data.max_missing = %g and are left out"):format(lost, #starts,
      most)
    or "all windows are used (data.max_missing)")
end

--- Training windows, re-sampled where asked; a row for the table `sampling`, whose `text` says what is worth saying; and
-- the table shaped like Table 4, or nil.
function input.windows(config, c, parts, seed)
  local starts, row, table4 = input.all_windows(config, c, parts, seed)
  local kept, text = with_faces(c, starts, config.data.sequence, config.data.max_missing)
  if #kept == 0 then check.raise("argument", "%s; none is left", text) end
  if text then row.text = row.text and row.text .. "; " .. text or text end
  row.windows = #kept
  return kept, row, table4
end

--- The same, whether their frames have a face or not.
function input.all_windows(config, c, parts, seed)
  local d = config.data
  local padded = type(config.train.loss) ~= "function"
  local starts = c:windows { recordings = parts.train, sequence = d.sequence, short = padded }
  local row = account(c, parts.train, d.sequence, #starts, padded)
  if #starts == 0 then
    check.raise("argument", "%s: none of the %d training recordings is as long as a window (data.sequence = %d frames)",
      home.short(c.path), row.short_recordings, d.sequence)
  end
  if not d.resample then return starts, row end
  local options = d.resample == true and {} or d.resample
  local sampled, table4 = data.resample { corpus = c, starts = starts, sequence = d.sequence,
    rng = rng.stream(seed, "resample"), recordings = parts.train, stride = options.stride, minority = options.minority,
    max_neutral = options.max_neutral, quota = options.quota, limit = options.limit }
  for _, key in ipairs { "windows", "candidates", "eligible", "drawn", "stride", "quota" } do row[key] = table4[key] end
  row.short = table.concat(table4.short, ", ")
  row.text = (row.text and row.text .. "; " or "") .. require("mien.data.resample").describe(table4)
  return sampled, row, table4
end

--- Frames per class in the training windows, with `frames` of all of them, and in the devel recordings.
function input.counts(config, c, starts, parts)
  local train, frames = data.class_counts(c, starts, { sequence = config.data.sequence })
  train.frames = frames
  local devel = {}
  for k = 1, #c.label_names do devel[k] = 0 end
  for _, recording in ipairs(parts.devel) do
    local one = data.class_counts(c, { recording.first }, { sequence = recording.count })
    for k = 1, #devel do devel[k] = devel[k] + one[k] end
  end
  return train, devel
end

--- Resizing for a loader: what the declaration says, else to the network's size when the corpus has another.
function input.resize(d, c)
  if d.resize then return d.resize end
  if c.height ~= d.size[1] or c.width ~= d.size[2] then return d.size end
  return nil
end

--- A factory of loaders for training: factory(epoch, first_step).
function input.batches(config, c, starts, seed, scale)
  local d = config.data
  return function(epoch, first_step)
    local order = {}
    for i = 1, #starts do order[i] = starts[i] end
    rng.stream(seed, "shuffle " .. epoch):shuffle(order)
    for i = d.windows and d.windows + 1 or math.huge, #order do order[i] = nil end
    return data.loader {
      corpus = c, starts = order, lengths = starts.lengths, sequence = d.sequence, batch = d.batch, size = d.size,
      resize = input.resize(d, c),
      augment = d.augment or nil, scale = scale, seed = seed, epoch = epoch, first_step = first_step,
      workers = d.workers, device = config.device,
    }
  end
end

--- Predictions for whole recordings.
function input.predict(config, c, recordings, model, scale, beat)
  local d = config.data
  return evaluate.predict {
    model = model, corpus = c, recordings = recordings, sequence = d.sequence, batch = config.evaluate.batch,
    size = d.size, resize = input.resize(d, c), scale = scale, workers = d.workers, beat = beat,
  }
end

return input
