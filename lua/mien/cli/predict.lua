-- `mien predict VIDEO --weights W.h5`: emotions of every face in every frame, as CSV and a plot.
-- Not here: finding and following faces (data/face.lua), the network at work (predict.lua).
local lfs = require "lfs"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local cli = require "mien.cli"
local face = require "mien.data.face"
local predict = require "mien.train.predict"
local status_line = require "mien.base.status_line"

local command = { summary = "read emotion from a video: mien predict VIDEO --weights W.h5 [--box x,y,w,h]" }

command.usage = [[
mien predict VIDEO --weights W.h5 [--box x,y,w,h] [--out FILE.csv] [--plot FILE.svg] [--every n] [--post]

Writes frame,time,face,x,y,w,h,detected,confidence,lost and one column for each output, a row for each frame and face.
Frames count from 0, time is the frame's own in seconds, the box is in pixels; detected is 0 where the box was carried
over from frames nearby, confidence is the detector's score, in its own unit. Where a face was away for longer, lost is
1 and neither box nor outputs are there. Emotions are given as probabilities.

A video that is damaged or breaks off gives the rows of what can be decoded; that is said, and the exit status is 1, as
where an output is no finite number.

  --weights FILE   of a network with a head, as `mien run` writes them
  --box x,y,w,h    one face at this place in all frames; nothing is searched
  --out FILE       the CSV (the video's name with .csv, in this folder);
                   /dev/stdout or a FIFO gets the rows alone, the words go to standard error
  --plot FILE      .svg, .png or .pdf (the CSV's name with .svg); none for no plot
  --every n        only each n-th frame (else all frames; a network that was trained at another frame rate sees them
                   at that rate, in interleaved turns)
  --device NAME    cpu or cuda; auto (when left out) is a GPU when one can be used, else the CPU
  --precision NAME f32, tf32, bf16 or fp16 (f32)
  --int8 CORPUS.h5 convolutions in 8-bit whole numbers, calibrated on 256 frames of this corpus (its faces must be like
                   the video's): 1.8 times as fast as bf16 on a CPU with VNNI
  --save FILE      with --int8: keeps that network as weights of their own, to be named with --weights from then on
  --post           applies the post-processing that `mien run` or `mien post` fitted and kept with the weights
  --set KEY=VALUE  what the weights do not say of themselves, such as image_size=96 or outputs=valence,arousal, and of
                   files of other programs scale=torchvision, map, prefix, channels (docs/weights.md); may come several times
]]

for _, word in ipairs(face.words) do
  local head = ("  --%s %s"):format(word[1]:gsub("_", "-"), word[3])
  command.usage = command.usage .. ("%-18s %s\n"):format(head, word[4])
end

local TAKES = { ["--weights"] = "weights", ["--box"] = "box", ["--out"] = "out", ["--plot"] = "plot",
  ["--every"] = "every", ["--set"] = "set", ["--device"] = "device",
  ["--precision"] = "precision", ["--int8"] = "int8", ["--save"] = "save" }

for _, word in ipairs(face.words) do TAKES["--" .. word[1]:gsub("_", "-")] = word[1] end

local KNOWN = { ["--post"] = true, ["--help"] = true }
for word in pairs(TAKES) do KNOWN[word] = true end

local function parse(args)
  local options, i = { sets = {} }, 1
  while i <= #args do
    local word, value = args[i], nil
    local name, given = word:match "^(%-%-[%w-]+)=(.*)$"
    if name and TAKES[name] then word, value = name, given end
    if word == "--help" or word == "-h" then
      options.help = true
    elseif word == "--post" then
      options.post = true
    elseif TAKES[word] then
      if not value then
        i = i + 1
        value = args[i] or check.raise("usage", "mien predict: %s needs a value", word)
      end
      if word == "--set" then
        table.insert(options.sets, value)
      else
        options[TAKES[word]] = value
      end
    elseif word:match "^%-%-size" then
      check.raise("usage", "mien predict: --size is --set image_size=N now, and --set resize=N says what that is cut out of")
    elseif word:match "^%-%-cascade" then
      check.raise("usage", "mien predict: --cascade FILE is --detector-weights FILE now")
    elseif word:sub(1, 2) == "--" then
      cli.unknown("mien predict", "option", word, KNOWN)
    elseif options.video then
      check.raise("usage", "mien predict takes one video, got %s and %s", options.video, word)
    else
      options.video = word
    end
    i = i + 1
  end
  if options.help then return options end
  if (options.video or "") == "" then check.raise("usage", "mien predict: name a video") end
  if not options.weights then check.raise("usage", "mien predict: name the weights with --weights") end
  if options.int8 and options.precision then
    check.raise("usage", "mien predict: --int8 is a precision of its own; leave out --precision")
  end
  if options.save and not options.int8 then
    check.raise("usage", "mien predict: --save keeps what --int8 CORPUS makes; name the corpus")
  end
  cli.placement("mien predict", options)
  options.faces = face.from_words(options, "mien predict")
  if options.box and next(options.faces) then
    check.raise("usage", "mien predict: with --box nothing is searched or followed: leave out --%s",
      (next(options.faces):gsub("_", "-")))
  end
  if options.every then
    local n = tonumber(options.every)
    if not n or n < 1 or n % 1 ~= 0 then
      check.raise("usage", "mien predict: --every %s is no count", options.every)
    end
    options.every = n
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

--- A device, a FIFO or an open descriptor: into it goes the CSV alone, no plot stands beside it, no words between rows.
local function is_stream(path)
  return (lfs.attributes(path, "mode") or "file") ~= "file" or path:find "^/dev/std" ~= nil
    or path:find "^/dev/fd/" ~= nil or path:find "^/proc/self/fd/" ~= nil
end

--- What would be found out only after the video was read.
local function check_places(out, plot)
  local folder = out:match "^(.*)/[^/]*$"
  if folder and lfs.attributes(folder == "" and "/" or folder, "mode") ~= "directory" then
    check.raise("io", "cannot write %s: there is no folder %s", out, folder)
  elseif lfs.attributes(out, "mode") == "directory" then
    check.raise("io", "cannot write %s: it is a folder", out)
  end
  if plot ~= "none" then require("mien.plot").terminal { file = plot } end
end

-- ---- output --------------------------------------------------------------------------------------------

local function counted(n, noun) return ("%d %s%s"):format(n, noun, n == 1 and "" or "s") end

--- A name as a field of CSV (RFC 4180).
local function field(name)
  return name:find '[,"]' and '"' .. name:gsub('"', '""') .. '"' or name
end

local function write_csv(path, rows, outputs)
  local heads = {}
  for k, name in ipairs(outputs) do heads[k] = field(name) end
  local lines = { "frame,time,face,x,y,w,h,detected,confidence,lost," .. table.concat(heads, ",") .. "\n" }
  for _, row in ipairs(rows) do
    local place, values, b = ",,,", {}, row.box
    if b then place = ("%.1f,%.1f,%.1f,%.1f"):format(b[1], b[2], b[3], b[4]) end
    for k = 1, #outputs do values[k] = row.values and ("%.6f"):format(row.values[k]) or "" end
    lines[#lines + 1] = ("%d,%.6f,%d,%s,%d,%.4g,%d,%s\n"):format(row.frame - 1, row.time, row.face, place,
      row.detected and 1 or 0, row.confidence, row.lost and 1 or 0, table.concat(values, ","))
  end
  local text = table.concat(lines)
  check.status(C.mien_file_write(path, text, #text))
end

--- Rows with an output that is no finite number.
local function not_finite(rows)
  local n = 0
  for _, row in ipairs(rows) do
    local bad = false
    for _, value in ipairs(row.values or {}) do bad = bad or value - value ~= 0 end
    if bad then n = n + 1 end
  end
  return n
end

--- A panel for each face, a line for each output.
local function draw(path, rows, network, faces, title)
  local panels = {}
  for _, track in ipairs(faces.tracks) do
    local panel, x = {}, {}
    for k, name in ipairs(network.outputs) do panel[k] = { x = x, y = {}, label = name } end
    for _, row in ipairs(rows) do
      if row.face == track.id then
        x[#x + 1] = row.time
        for k in ipairs(network.outputs) do panel[k].y[#x] = row.values and row.values[k] or 0 / 0 end -- NaN: a gap
      end
    end
    panel.title = #faces.tracks > 1 and ("%s, face %d"):format(title, track.id) or title
    if #x > 0 then panels[#panels + 1] = panel end
  end
  panels.xlabel, panels.file, panels.xrange = "time (s)", path, { 0, faces.times[#faces.times] }
  panels.ylabel = network.kind == "continuous" and "prediction" or "probability"
  if network.kind ~= "continuous" then panels.yrange = { 0, 1 } end
  return require("mien.plot").panels(panels)
end

function command.run(args)
  local options = parse(args)
  if options.help then
    io.stdout:write(command.usage)
    return 0
  end
  local name = options.video:match "([^/]*)$"
  local out = options.out or (name:gsub("%.%w+$", "") .. ".csv")
  local streamed = is_stream(out)
  local plot = options.plot or (streamed and name or out):gsub("%.%w+$", "") .. ".svg"
  local function say(...) (streamed and io.stderr or io.stdout):write(table.concat({ ... }), "\n") end
  check_places(out, plot)
  local network = predict.network(options.weights, { meta = require("mien.checkpoint").meta(options.sets),
    device = options.device, precision = options.precision, int8 = options.int8 })
  if options.post and not network.chains then
    check.raise("argument", "%s holds no post-processing, so --post has nothing to apply: `mien run` keeps it with the "
      .. "weights of an experiment whose declaration has `post` (mien post FILE fits it for those that are trained)",
      options.weights)
  end
  if options.save then
    require("mien.checkpoint").save_weights(options.save, network.model, network.meta)
    say(options.save, ": the network in 8-bit whole numbers")
  end
  local asked = options.faces
  asked.every, asked.box = options.every, options.box
  asked.each = function(_, time) status_line.show(("%s: %.1f s"):format(name, time)) end
  local ok, rows, faces = xpcall(predict.video, check.trace, options.video, network, asked)
  status_line.clear()
  if not ok then check.rethrow(rows) end
  local said = {}
  if options.post then
    said = predict.post(network, rows, faces.fps > 0 and faces.fps / (options.every or 1) or network.fps)
  elseif network.chains then
    said = { "the weights hold a post-processing, which --post applies" }
  end
  if #faces.tracks == 0 then
    check.raise("argument", "%s: no face was found in %s%s; name its place with --box x,y,w,h", options.video,
      counted(#faces.times, "frame"), #faces.left_out > 0 and "; " .. face.left_out(faces) or "")
  end
  write_csv(out, rows, network.outputs)

  local covered, missing = {}, 0
  for _, track in ipairs(faces.tracks) do
    for n = track.first, track.last do covered[n] = covered[n] or not track.lost[n] end
  end
  for n = 1, #faces.times do
    if not covered[n] then missing = missing + 1 end
  end
  say(("%s: %s of %dx%d, %.3f frames/s"):format(name, counted(#faces.times, "frame"), faces.width, faces.height,
    faces.fps))
  say(("%s, %s without a face"):format(counted(#faces.tracks, "face"), counted(missing, "frame")))
  local parts = 0
  for _, track in ipairs(faces.tracks) do parts = parts + (track.parts or 1) - 1 end
  if parts > 0 then say(("note: a face came back at its place %s"):format(counted(parts, "time"))) end
  if #faces.cuts > 0 then
    local at = {}
    for i = 1, math.min(#faces.cuts, 5) do at[i] = faces.cuts[i] - 1 end
    say(("note: the camera cut %s, before frame %s%s"):format(counted(#faces.cuts, "time"), table.concat(at, ", "),
      #faces.cuts > 5 and ", ..." or ""))
  end
  if #faces.left_out > 0 then say("note: ", face.left_out(faces)) end
  if faces.resized > 0 then
    say(("note: %s had another size, brought to this one"):format(counted(faces.resized, "frame")))
  end
  for _, note in ipairs(network.notes) do say("note: ", note) end
  for _, text in ipairs(said) do say("note: ", text) end
  say(("%s: %s of %s"):format(out, counted(#rows, "row"), table.concat(network.outputs, ", ")))
  local wrong = not_finite(rows)
  if wrong > 0 then
    io.stderr:write(("mien: %s: in %d of %s an output is no finite number: these weights say nothing about such "
      .. "pictures\n"):format(out, wrong, counted(#rows, "row")))
  end
  if plot ~= "none" then
    local drawn, result = pcall(draw, plot, rows, network, faces,
      network.procedural and name .. " (weights of a procedural corpus)" or name)
    if drawn then
      say(plot)
    elseif options.plot then
      error(result, 0)
    else
      say("no plot: ", tostring(result))
    end
  end
  if faces.error then
    io.stderr:write("mien: ", tostring(faces.error), "\n")
    return 1
  end
  return wrong > 0 and 1 or 0
end

return command
