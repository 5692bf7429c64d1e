-- What a network says of the faces in a video: its weights, how its input was made, faces to windows to numbers.
-- Not here: finding and following faces (data/face.lua), CSV and plot (cli/predict.lua).
local check = require "mien.base.check"
local data = require "mien.data"
local file = require "mien.data.file"
local literal = require "mien.base.literal"
local post = require "mien.affect.post"
local precision = require "mien.device.precision"
local square_of = require("mien.data.box").square
local evaluate = require "mien.train.evaluate"
local scope = require "mien.tensor.scope"

local predict = {}

-- ---- what the weights say ----------------------------------------------------------------------------

-- Outputs that are no probabilities, for weights that do not say what their labels are.
local DIMENSIONS = { arousal = true, valence = true, liking = true, dominance = true }

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

--- The network of a weights file, in test mode, the file's meta, and what it needs to know: size, sequence, fps, mean
-- and sd of the input, outputs, kind of labels; notes about what the file does not say. options: { size = of faces,
-- where the file is silent, device = "auto", precision = "f32", int8 = path of a corpus to calibrate with (see
-- nn.quantise) }.
function predict.network(path, options)
  options = options or {}
  local given, checkpoint = options.size, require "mien.checkpoint"
  local meta = checkpoint.read_meta(path)
  local size = meta.image_size or given or 150
  if type(size) == "number" then size = { size } end
  size = { size[1], size[2] or size[1] } -- height, width
  if meta.int8_ranges and (options.int8 or options.precision) then
    check.raise("argument", "%s holds a network in 8-bit whole numbers already: leave out --int8 and --precision", path)
  end
  local network = { meta = meta, size = size, sequence = meta.sequence or 150, fps = meta.fps or 0,
    mean = meta.scale_mean or { 0, 0, 0 }, sd = meta.scale_sd or { 1, 1, 1 },
    grey = meta.grey == 1, notes = {}, chains = predict.chains(meta, path) }
  if not meta.image_size and not given then
    network.notes[1] = "the weights do not say the size of their faces: 150 pixels (--size)"
  end
  if not meta.scale_mean then
    network.notes[#network.notes + 1] = "the weights do not say how their input was scaled: pixels/255"
  end
  network.model, network.outputs = require("mien.models.from_weights").load(path, { size = size[1] })
  precision.place(network.model, options.device or "auto", options.precision)
  if options.int8 then
    local corpus = data.open(options.int8)
    local ok, fast = pcall(require("mien.nn").quantise, network.model, { corpus = corpus, frames = 256,
      size = network.size, scale = { mean = network.mean, sd = network.sd } })
    corpus:close()
    if not ok then error(fast, 0) end
    if corpus.procedural and meta.procedural ~= 1 then
      table.insert(network.notes, ("8-bit numbers were calibrated on drawn pictures (the procedural corpus %s), the "
        .. "weights have seen real ones: take a corpus of faces like the video's"):format(corpus.name))
    end
    network.model = fast
  end
  network.kind = meta.label_kind
  if not network.kind then
    network.kind = "continuous"
    for _, name in ipairs(network.outputs) do
      if not DIMENSIONS[name] then network.kind = "multilabel" end
    end
  end
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
  local by_face, faces, said = {}, {}, {}
  for _, row in ipairs(rows) do
    if not by_face[row.face] then
      by_face[row.face], faces[#faces + 1] = {}, row.face
    end
    table.insert(by_face[row.face], row)
  end
  for k, name in ipairs(network.outputs) do
    local chain
    for _, one in ipairs(network.chains) do chain = one.target == name and one.chain or chain end
    if not chain then
      said[#said + 1] = name .. ": no post-processing was fitted for it; it is as the network says it"
    else
      chain = chain:at(fps)
      local columns = {}
      for i, face in ipairs(faces) do
        columns[i] = {}
        for t, row in ipairs(by_face[face]) do columns[i][t] = row.values[k] end
      end
      for i, column in ipairs(chain:apply(columns)) do
        for t, value in ipairs(column) do by_face[faces[i]][t].values[k] = value end
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

--- Predictions of a list of crops u8 [h,w,3] in order: list of lists of outputs.
function predict.window(network, crops)
  return scope.run(function()
    local n, h, w = #crops, network.size[1], network.size[2]
    local stills = network.sequence == 1
    local x = file.array("f32", stills and { n, 1, 3, h, w } or { 1, n, 3, h, w })
    local out, area = x:data(), h * w
    for t, crop in ipairs(crops) do
      local pixels = (network.grey and data.image.grey(crop) or crop):data()
      for c = 0, 2 do
        local gain, bias = 1 / (255 * network.sd[c + 1]), -network.mean[c + 1] / network.sd[c + 1]
        local plane = out + ((t - 1) * 3 + c) * area
        for i = 0, area - 1 do plane[i] = pixels[3 * i + c] * gain + bias end
      end
    end
    local y = require("mien.tensor.grad").no_grad(function() return (network.model(network.model:place(x, true))) end)
    local values, rows, outputs = evaluate.outputs(y, x, network.outputs), {}, #network.outputs
    for t = 1, n do
      rows[t] = {}
      for k = 1, outputs do rows[t][k] = values[(t - 1) * outputs + k - 1] end
      to_probabilities(network.kind, rows[t])
    end
    return rows
  end)
end

--- Gives a full buffer of a face's rows, each with its crop, to the network. `turns`: every turns-th crop belongs to
-- one sequence, so that the network sees the frame rate that it knows.
local function flush(network, buffer, turns)
  for turn = 1, math.min(turns, #buffer) do
    local crops, at = {}, {}
    for i = turn, #buffer, turns do crops[#crops + 1], at[#at + 1] = buffer[i].crop, buffer[i] end
    for t, values in ipairs(predict.window(network, crops)) do at[t].values = values end
  end
  for i, row in ipairs(buffer) do
    row.crop:free()
    row.crop, buffer[i] = nil, nil
  end
end

--- Outputs for every face in every frame of a video, which is read once: predict.video(path, network, { every = n, box,
-- cascade, each }) -> rows { frame, time, face, box, detected, values } in the order of frames and faces, and
-- what data.faces gives (it takes box, cascade and each, too).
function predict.video(path, network, options)
  local every, rows, buffers = options.every or 1, {}, {}
  local turns = 1
  local function visit(track, n, image, seen)
    if (n - 1) % every ~= 0 then return end
    if not options.every and network.fps > 0 and seen.fps > 0 then
      turns = math.max(1, math.floor(seen.fps / network.fps + 0.5))
    end
    local buffer = buffers[track] or { all = {} }
    buffers[track] = buffer
    local box = track.boxes[n]
    local row = { frame = n, time = seen.times[n], box = box, detected = not track.filled[n] and not options.box,
      crop = data.image.crop(image, square_of(box), network.size) }
    table.insert(buffer, row)
    table.insert(buffer.all, row)
    if #buffer == (network.sequence == 1 and STILLS or network.sequence) * turns then flush(network, buffer, turns) end
  end
  local function ended(track)
    local buffer = buffers[track]
    buffers[track] = nil
    if not buffer then return end
    if not track.kept then
      for _, row in ipairs(buffer) do row.crop:free() end
      return
    end
    flush(network, buffer, turns)
    for _, row in ipairs(buffer.all) do
      row.track = track
      rows[#rows + 1] = row
    end
  end
  local faces = data.faces(path, { box = options.box, cascade = options.cascade, each = options.each, visit = visit,
    ended = ended })
  for _, row in ipairs(rows) do row.face, row.track = row.track.id, nil end
  table.sort(rows, function(a, b)
    if a.frame ~= b.frame then return a.frame < b.frame end
    return a.face < b.face
  end)
  return rows, faces
end

return predict
