-- What a network says of the faces in a video: its weights, how its input was made, faces to windows to numbers.
-- Not here: finding and following faces (data/face.lua), CSV and plot (cli/predict.lua).
local ffi = require "ffi"
local check = require "mien.base.check"
local data = require "mien.data"
local file = require "mien.data.file"
local literal = require "mien.base.literal"
local post = require "mien.affect.post"
local precision = require "mien.device.precision"
local square_of = require("mien.data.box").square
local evaluate = require "mien.train.evaluate"
local loader = require "mien.data.loader"
local no_grad = require("mien.tensor.grad").no_grad
local scope = require "mien.tensor.scope"
local tensor = require "mien.tensor"

local predict = {}

-- ---- what the weights say ----------------------------------------------------------------------------

-- What one must know, beside the network, to give it what its validation gave it and to read what it says.
local NEEDED = { "image_size", "resize", "scale_mean", "scale_sd", "sequence", "fps", "label_kind" }

--- The chains of post-processing that a weights file holds: a list of { target =, chain = }, in the order of outputs; nil
-- when it has none.
function predict.chains(meta, path)
  if not meta.post then return nil end
  local ok, list = pcall(function()
    local list = literal.decode(meta.post, "post")
    for _, one in ipairs(list) do
      one.chain = post.from_table(one.chain)
      if type(one.target) ~= "string" or (tonumber(one.chain.fps) or 0) <= 0 then error "no chain" end
    end
    return list
  end)
  if not ok then check.raise("format", "%s: its post-processing (post) cannot be read: %s", path, tostring(list)) end
  return list
end

--- A copy of the network in 8-bit numbers, calibrated on frames of a corpus as its validation made them.
local function quantised(network, path)
  local corpus = data.open(path)
  local ok, fast = pcall(require("mien.nn").quantise, network.model, { corpus = corpus, frames = 256,
    size = network.size, resize = network.resize, scale = network.scale })
  corpus:close()
  if not ok then error(fast, 0) end
  if corpus.procedural and network.meta.procedural ~= 1 then
    table.insert(network.notes, ("8-bit numbers were calibrated on drawn pictures (the procedural corpus %s), the "
      .. "weights have seen real ones: take a corpus of faces like the video's"):format(corpus.name))
  end
  return fast
end

--- The network of a weights file, in test mode, the file's meta, and what it needs to know: size, resize, face (sides of
-- the input, of what that is cut out of, and of faces as they come from a picture), sequence, fps, scale, outputs, kind of
-- labels; notes. options: { meta = what the file does not say (docs/weights.md), device = "auto", precision = "f32",
-- int8 = path of a corpus to calibrate with (see nn.quantise) }. A file that leaves out what must be known is an error.
function predict.network(path, options)
  options = options or {}
  local checks = require "mien.checkpoint.check"
  local how, said = require("mien.weights").apart(options.meta) -- how a file of another program is taken, and what it lacks
  local meta = checks.join(require("mien.weights").meta(path, how), said, path)
  if meta.int8_ranges and (options.int8 or options.precision) then
    check.raise("argument", "%s holds a network in 8-bit whole numbers already: leave out --int8 and --precision", path)
  end
  require("mien.models.from_weights").need(meta, path, NEEDED)
  local size, resize = meta.image_size, meta.resize
  if resize[1] < size[1] or resize[2] < size[2] then
    check.raise("format", "%s: image_size is %dx%d, which cannot be cut out of the resize of %dx%d", path, size[1], size[2],
      resize[1], resize[2])
  end
  local network = { meta = meta, size = size, resize = resize, face = meta.face_size or resize, sequence = meta.sequence,
    fps = meta.fps, scale = { mean = meta.scale_mean, sd = meta.scale_sd }, grey = meta.grey == 1, notes = {},
    kind = meta.label_kind, chains = predict.chains(meta, path) }
  network.model, network.outputs, network.meta = require("mien.models.from_weights").load(path, options.meta)
  precision.place(network.model, options.device or "auto", options.precision)
  if options.int8 then network.model = quantised(network, options.int8) end
  network.procedural = meta.procedural == 1 and (meta.corpus or "of no name") or nil
  if network.procedural then
    network.notes[#network.notes + 1] = ("these weights have seen drawn pictures alone (the procedural corpus %s): what "
      .. "they say about real ones means nothing"):format(network.procedural)
  end
  return network
end

--- Applies the chains that the weights hold to the rows of every face, at the rate of `fps` frames a second that they have;
-- returns texts about what was done. Windows and delays were fitted in frames of another rate: seconds stay.
function predict.post(network, rows, fps)
  local by_face, said = {}, {}
  local parts = {}
  for _, row in ipairs(rows) do
    if row.lost then -- what comes after it is a sequence of its own
      by_face[row.face] = nil
    else
      if not by_face[row.face] then
        by_face[row.face] = {}
        parts[#parts + 1] = by_face[row.face]
      end
      table.insert(by_face[row.face], row)
    end
  end
  for k, name in ipairs(network.outputs) do
    local chain
    for _, one in ipairs(network.chains) do chain = one.target == name and one.chain or chain end
    if not chain then
      said[#said + 1] = name .. ": no post-processing was fitted for it; it is as the network says it"
    else
      chain = chain:at(fps)
      local columns = {}
      for i, part in ipairs(parts) do
        columns[i] = {}
        for t, row in ipairs(part) do columns[i][t] = row.values[k] end
      end
      for i, column in ipairs(chain:apply(columns)) do
        for t, value in ipairs(column) do parts[i][t].values[k] = value end
      end
      said[#said + 1] = ("%s: post-processed, %s"):format(name, chain:describe())
    end
  end
  return said
end

-- ---- prediction ----------------------------------------------------------------------------------------

local STILLS = 32 -- faces in a batch, for a network that was trained on single pictures

--- Logits to probabilities, in place, where the labels were emotions.
local function to_probabilities(kind, row)
  if kind == "multilabel" then
    for k = 1, #row do row[k] = 1 / (1 + math.exp(-row[k])) end
  elseif kind == "class" then
    local most, sum = math.max(unpack(row)), 0
    for k = 1, #row do
      row[k] = math.exp(row[k] - most)
      sum = sum + row[k]
    end
    for k = 1, #row do row[k] = row[k] / sum end
  end
end

--- Crops u8 [h,w,3] as one tensor [N,h,w,3].
local function stack(network, crops)
  local h, w = network.face[1], network.face[2]
  local frames = file.array("u8", { #crops, h, w, 3 })
  local bytes = h * w * 3
  for i, crop in ipairs(crops) do
    if network.grey then data.image.grey(crop) end
    ffi.copy(frames:data() + (i - 1) * bytes, crop:data(), bytes)
  end
  return frames
end

--- Crops as the network's input f32 [N,3,height,width], as the validation of its training would make them.
local function render(network, crops)
  return loader.render(stack(network, crops), { size = network.size, resize = network.resize, scale = network.scale,
    device = network.model.device })
end

--- What a network says of n frames, as a list of lists.
local function rows_of(network, y, frames)
  local values, rows, outputs = evaluate.outputs(y, frames, network.outputs), {}, #network.outputs
  for t = 1, frames.shape[1] * frames.shape[2] do
    rows[t] = {}
    for k = 1, outputs do rows[t][k] = values[(t - 1) * outputs + k - 1] end
    to_probabilities(network.kind, rows[t])
  end
  return rows
end

--- Predictions of a list of crops u8 [h,w,3] of network.face in order: list of lists of outputs.
function predict.window(network, crops)
  return scope.run(function()
    local n, h, w = #crops, network.size[1], network.size[2]
    local x = render(network, crops):reshape(network.sequence == 1 and { n, 1, 3, h, w } or { 1, n, 3, h, w })
    local y = no_grad(function() return (network.model(network.model:place(x, true))) end)
    return rows_of(network, y, x)
  end)
end

local function free(rows)
  for _, row in ipairs(rows) do
    if row.crop then row.crop:free() end
    row.crop = nil
  end
end

-- A sequence of faces in windows as validation lays them (evaluate.predict): whole ones one after the other, and a last
-- one that ends with the sequence and reaches back into the window before; a sequence shorter than a window is one by
-- itself. Where windows are long and the network looks at each frame by itself first (models.recurrent), it does so a few
-- frames at a time: no frame is looked at twice, and no window of pictures is kept.
local windows = {}
windows.__index = windows

local LOOK = 16 -- frames that are looked at in one go
local LONG = 64 -- a window of more frames; shorter ones give validation's bits, longer ones its numbers within rounding

local function new_windows(network)
  return setmetatable({ network = network, length = network.sequence == 1 and STILLS or network.sequence, rows = {},
    by_frame = network.sequence > LONG and network.model.features_of ~= nil, last = {}, looked = 0, parts = {} }, windows)
end

--- Features [n,F] of the rows that were not looked at yet.
function windows:look()
  local crops = {}
  for i = self.looked + 1, #self.rows do crops[#crops + 1] = self.rows[i].crop end
  if #crops == 0 then return end
  local model = self.network.model
  self.parts[#self.parts + 1] = scope.run(function()
    return no_grad(function() return model:features_of(model:place(render(self.network, crops), true)) end)
  end)
  free(self.rows)
  self.looked = #self.rows
end

--- Features of the window in one tensor [n,F].
function windows:joined()
  self:look()
  local all = #self.parts == 1 and self.parts[1] or tensor.cat(self.parts, 1)
  if #self.parts > 1 then
    for _, part in ipairs(self.parts) do part:free() end
  end
  self.parts, self.looked = {}, 0
  return all
end

--- Gives rows their values; `before` frames of the window before lead up to them.
function windows:ask(before)
  local network, rows = self.network, self.rows
  local said
  if self.by_frame then
    local features = self:joined()
    said = scope.run(function()
      local all = features
      if before > 0 then all = tensor.cat({ self.kept:narrow(1, self.kept.shape[1] - before + 1, before), features }, 1) end
      local n = all.shape[1]
      local y = no_grad(function() return (network.model:over_time(all:reshape { 1, n, -1 })) end)
      return rows_of(network, y, { shape = { 1, n } })
    end)
    if self.kept then self.kept:free() end
    self.kept = features
  else
    local crops = {}
    for i = #self.last - before + 1, #self.last do crops[#crops + 1] = self.last[i].crop end
    for _, row in ipairs(rows) do crops[#crops + 1] = row.crop end
    said = predict.window(network, crops)
  end
  for i, row in ipairs(rows) do row.values = said[before + i] end
  free(self.last)
  self.last, self.rows = rows, {}
end

function windows:add(row)
  self.rows[#self.rows + 1] = row
  if self.by_frame and #self.rows - self.looked == LOOK then self:look() end
  if #self.rows == self.length then self:ask(0) end
end

--- What is left at the end; keep = false: nothing is wanted any more.
function windows:finish(keep)
  local n = #self.rows
  if keep and n > 0 then
    self:ask(self.network.sequence > 1 and math.max(0, #self.last - n) or 0)
  end
  free(self.last)
  free(self.rows)
  if self.kept then self.kept:free() end
  for _, part in ipairs(self.parts) do part:free() end
end

--- Outputs for every face in every frame of a video, which is read once: predict.video(path, network, { every = n, box,
-- each, and what face.options names }) -> rows { frame, time, face, box, detected, confidence, lost, values } in the order of
-- frames and faces, and what data.faces gives. A face has a row for each frame from its first to its last; where it was lost,
-- the row has neither box nor values.
function predict.video(path, network, options)
  local every, rows, buffers = options.every or 1, {}, {}
  local turns = 1
  local function visit(track, n, image, seen)
    if (n - 1) % every ~= 0 then return end
    local buffer = buffers[track]
    if not buffer then
      if not options.every and network.fps > 0 and seen.fps > 0 then
        turns = math.max(1, math.floor(seen.fps / network.fps + 0.5))
      end
      buffer = { all = {} }
      -- every turns-th face belongs to one sequence, so that the network sees the frame rate that it knows
      for turn = 1, turns do buffer[turn] = new_windows(network) end
      buffers[track] = buffer
    end
    local box = track.boxes[n]
    local row = { frame = n, time = seen.times[n], box = box, detected = not track.filled[n] and not options.box,
      confidence = track.confidence[n] or 0, lost = false, crop = data.image.crop(image, square_of(box), network.face) }
    table.insert(buffer.all, row)
    buffer[(#buffer.all - 1) % turns + 1]:add(row)
  end
  local function ended(track)
    local buffer = buffers[track]
    buffers[track] = nil
    if not buffer then return end
    for turn = 1, #buffer do buffer[turn]:finish(track.kept) end
    if not track.kept then return end
    for _, row in ipairs(buffer.all) do
      row.track = track
      rows[#rows + 1] = row
    end
  end
  local takes = require("mien.data.face").pick(options)
  takes.box, takes.each, takes.visit, takes.ended = options.box, options.each, visit, ended
  local faces = data.faces(path, takes)
  for _, row in ipairs(rows) do row.face, row.track = (row.track.whole or row.track).id, nil end
  for _, track in ipairs(faces.tracks) do
    for n in pairs(track.lost) do
      if (n - 1) % every == 0 then
        rows[#rows + 1] = { frame = n, time = faces.times[n], face = track.id, detected = false, confidence = 0, lost = true }
      end
    end
  end
  table.sort(rows, function(a, b)
    if a.frame ~= b.frame then return a.frame < b.frame end
    return a.face < b.face
  end)
  return rows, faces
end

return predict
