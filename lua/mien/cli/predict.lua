-- `mien predict VIDEO --weights W.h5`: emotions of every face in every frame, as CSV and a plot.
-- Not here: finding and following faces (data/face.lua), the network (models/from_weights.lua).
local check = require "mien.check"
local data = require "mien.data"
local file = require "mien.data.file"
local scope = require "mien.scope"

local command = { summary = "read emotion from a video: mien predict VIDEO --weights W.h5 [--box x,y,w,h]" }

command.usage = [[
mien predict VIDEO --weights W.h5 [--box x,y,w,h] [--out FILE.csv] [--plot FILE.svg] [--every n]

Writes frame,time,face,x,y,w,h,detected and one column for each output, a row for each frame and face. Frames count
from 0, time is the frame's own in seconds, the box is in pixels; detected is 0 where the box was carried over from
frames nearby. Emotions are given as probabilities.

  --weights FILE   of a network with a head, as `mien run` writes them
  --box x,y,w,h    one face at this place in all frames; nothing is searched
  --out FILE       the CSV (the video's name with .csv, in this folder)
  --plot FILE      .svg, .png or .pdf (the CSV's name with .svg); none for no plot
  --every n        only each n-th frame (else all frames; a network that was trained at another frame rate sees them
                   at that rate, in interleaved turns)
  --size n         side of the faces in pixels, where the weights do not say
  --cascade FILE   another face detector of OpenCV
]]

local TAKES = { ["--weights"] = "weights", ["--box"] = "box", ["--out"] = "out", ["--plot"] = "plot",
  ["--every"] = "every", ["--size"] = "size", ["--cascade"] = "cascade" }

local function parse(args)
  local options, i = {}, 1
  while i <= #args do
    local word, value = args[i], nil
    local name, given = word:match "^(%-%-[%w-]+)=(.*)$"
    if name and TAKES[name] then word, value = name, given end
    if word == "--help" or word == "-h" then
      options.help = true
    elseif TAKES[word] then
      if not value then
        i = i + 1
        value = args[i] or check.raise("usage", "mien predict: %s needs a value", word)
      end
      options[TAKES[word]] = value
    elseif word:sub(1, 2) == "--" then
      check.unknown("mien predict", "option", word, TAKES)
    elseif options.video then
      check.raise("usage", "mien predict takes one video, got %s and %s", options.video, word)
    else
      options.video = word
    end
    i = i + 1
  end
  if options.help then return options end
  if not options.video then check.raise("usage", "mien predict: name a video") end
  if not options.weights then check.raise("usage", "mien predict: name the weights with --weights") end
  for _, key in ipairs { "every", "size" } do
    if options[key] then
      local n = tonumber(options[key])
      if not n or n < 1 or n % 1 ~= 0 then
        check.raise("usage", "mien predict: --%s %s is no count", key, options[key])
      end
      options[key] = n
    end
  end
  if options.box then
    local box = {}
    for number in (options.box .. ","):gmatch "%s*([^,]*)," do box[#box + 1] = tonumber(number) end
    if #box ~= 4 or box[3] <= 0 or box[4] <= 0 then
      check.raise("usage", "mien predict: --box %s is not x,y,w,h in pixels", options.box)
    end
    options.box = box
  end
  return options
end

-- ---- what the weights say ----------------------------------------------------------------------------

local function numbers(value)
  if type(value) == "number" then return { value, value, value } end
  if type(value) == "string" then
    local list = {}
    for number in value:gmatch "[^,%s]+" do list[#list + 1] = tonumber(number) end
    return list
  end
  return value
end

local signed = { arousal = true, valence = true, liking = true, dominance = true }

local function open_network(options)
  local checkpoint = require "mien.checkpoint"
  local meta = checkpoint.read_meta(options.weights)
  local size = numbers(meta.image_size)
  size = size and { size[1], size[2] or size[1] } or { options.size or 150, options.size or 150 }
  local network = { size = size, sequence = tonumber(meta.sequence) or 150, fps = tonumber(meta.fps) or 0,
    mean = numbers(meta.scale_mean) or { 0, 0, 0 }, sd = numbers(meta.scale_sd) or { 1, 1, 1 }, notes = {} }
  if not meta.image_size and not options.size then
    network.notes[1] = "the weights do not say the size of their faces: 150 pixels (--size)"
  end
  if not meta.scale_mean then
    network.notes[#network.notes + 1] = "the weights do not say how their input was scaled: pixels/255"
  end
  network.model, network.outputs = require("mien.models.from_weights").load(options.weights, size[1])
  network.logistic = false
  for _, name in ipairs(network.outputs) do network.logistic = network.logistic or not signed[name] end
  return network
end

-- ---- prediction ----------------------------------------------------------------------------------------

--- Predictions of a list of crops u8 [h,w,3] in order: list of lists of outputs.
local function predict_window(network, crops)
  return scope.run(function()
    local n, h, w = #crops, network.size[1], network.size[2]
    local x = file.array("f32", { 1, n, 3, h, w })
    local out, area = x:data(), h * w
    for t, crop in ipairs(crops) do
      local pixels = crop:data()
      for c = 0, 2 do
        local gain, bias = 1 / (255 * network.sd[c + 1]), -network.mean[c + 1] / network.sd[c + 1]
        local plane = out + ((t - 1) * 3 + c) * area
        for i = 0, area - 1 do plane[i] = pixels[3 * i + c] * gain + bias end
      end
    end
    local y = require("mien.tensor.grad").no_grad(function() return (network.model(x)) end)
    local rows = y:totable()[1]
    if network.logistic then
      for _, row in ipairs(rows) do
        for k = 1, #row do row[k] = 1 / (1 + math.exp(-row[k])) end
      end
    end
    return rows
  end)
end

--- A face's crops come in frame by frame; a full buffer gives its predictions. `turns`: every turns-th crop
-- belongs to one sequence, so that the network sees the frame rate that it knows.
local function flush(network, waiting, turns, rows)
  for turn = 1, turns do
    local crops, at = {}, {}
    for i = turn, #waiting, turns do crops[#crops + 1], at[#at + 1] = waiting[i].crop, waiting[i].row end
    if #crops > 0 then
      for t, values in ipairs(predict_window(network, crops)) do at[t].values = values end
    end
  end
  for i, entry in ipairs(waiting) do
    entry.crop:free()
    rows[#rows + 1] = entry.row
    waiting[i] = nil
  end
end

local function predict(network, faces, options, each)
  local every = options.every or 1
  local turns = 1
  if not options.every and network.fps > 0 and faces.fps > 0 then
    turns = math.max(1, math.floor(faces.fps / network.fps + 0.5))
  end
  local rows, waiting = {}, {}
  for t = 1, #faces.tracks do waiting[t] = {} end
  local video = data.video(options.video)
  local n = 0
  for frame in video:frames() do
    n = n + 1
    for t, track in ipairs(faces.tracks) do
      local box = track.boxes[n]
      if box and n >= track.first and n <= track.last and (n - 1) % every == 0 then
        local side = math.max(box[3], box[4]) -- a square around the same centre: faces keep their shape
        local square = { box[1] + (box[3] - side) / 2, box[2] + (box[4] - side) / 2, side, side }
        table.insert(waiting[t], { crop = data.image.crop(frame, square, network.size[1], network.size[2]),
          row = { frame = n - 1, time = faces.times[n], face = track.id, box = box,
            detected = not track.filled[n] and not options.box } })
        if #waiting[t] == network.sequence * turns then flush(network, waiting[t], turns, rows) end
      end
    end
    if each then each(n) end
    if n == #faces.times then break end -- what follows in a damaged file is its error
  end
  video:close()
  for t = 1, #faces.tracks do flush(network, waiting[t], turns, rows) end
  table.sort(rows, function(a, b)
    if a.frame ~= b.frame then return a.frame < b.frame end
    return a.face < b.face
  end)
  return rows
end

-- ---- output --------------------------------------------------------------------------------------------

local function write_csv(path, rows, outputs)
  local partial = path .. ".partial"
  local out, problem = io.open(partial, "w")
  if not out then check.raise("io", "cannot write %s", problem) end
  local ok = out:write("frame,time,face,x,y,w,h,detected,", table.concat(outputs, ","), "\n")
  for _, row in ipairs(rows) do
    local values = {}
    for k, value in ipairs(row.values) do values[k] = ("%.6f"):format(value) end
    local b = row.box
    ok = ok and out:write(("%d,%.6f,%d,%.1f,%.1f,%.1f,%.1f,%d,%s\n"):format(row.frame, row.time, row.face, b[1], b[2],
      b[3], b[4], row.detected and 1 or 0, table.concat(values, ",")))
  end
  ok = out:close() and ok
  if not ok then
    os.remove(partial)
    check.raise("io", "%s cannot be written; is the disk full?", path)
  end
  local renamed, why = os.rename(partial, path)
  if not renamed then check.raise("io", "cannot write %s", why) end
end

local function draw(path, rows, outputs, faces, title)
  local lines = {}
  for _, track in ipairs(faces.tracks) do
    for k, name in ipairs(outputs) do
      local x, y = {}, {}
      for _, row in ipairs(rows) do
        if row.face == track.id then x[#x + 1], y[#y + 1] = row.time, row.values[k] end
      end
      local label = #faces.tracks > 1 and ("%s, face %d"):format(name, track.id) or name
      if #x > 1 then lines[#lines + 1] = { x = x, y = y, label = label } end
    end
  end
  if #lines == 0 then return false end
  lines.title, lines.xlabel, lines.ylabel, lines.file = title, "time (s)", "prediction", path
  require("mien.plot").lines(lines)
  return true
end

function command.run(args)
  local options = parse(args)
  if options.help then
    io.stdout:write(command.usage)
    return 0
  end
  local network = open_network(options)
  local name = options.video:match "([^/]*)$"
  local out = options.out or (name:gsub("%.%w+$", "") .. ".csv")
  local faces = data.faces(options.video, { box = options.box, cascade = options.cascade })
  if #faces.tracks == 0 then
    check.raise("argument", "%s: no face was found in %d frames; name its place with --box x,y,w,h", options.video,
      #faces.times)
  end
  local rows = predict(network, faces, options)
  write_csv(out, rows, network.outputs)

  local covered, missing = {}, 0
  for _, track in ipairs(faces.tracks) do
    for n = track.first, track.last do covered[n] = true end
  end
  for n = 1, #faces.times do
    if not covered[n] then missing = missing + 1 end
  end
  print(("%s: %d frames of %dx%d, %.3f frames/s"):format(name, #faces.times, faces.width, faces.height, faces.fps))
  print(("%d face%s, %d frames without a face"):format(#faces.tracks, #faces.tracks == 1 and "" or "s", missing))
  for _, note in ipairs(network.notes) do print("note: " .. note) end
  print(("%s: %d rows of %s"):format(out, #rows, table.concat(network.outputs, ", ")))
  local plot = options.plot or out:gsub("%.%w+$", "") .. ".svg"
  if plot ~= "none" then
    local ok, result = pcall(draw, plot, rows, network.outputs, faces, name)
    if ok and result then
      print(plot)
    elseif not ok and options.plot then
      error(result, 0)
    elseif not ok then
      print("no plot: " .. tostring(result))
    end
  end
  if faces.error then
    io.stderr:write("mien: ", tostring(faces.error), "\n")
    return 1
  end
  return 0
end

return command
