-- `mien weights`: what files of weights hold, in whatever form, and from one form to another.
-- Not here: the forms (weights/reading, weights/writing), networks as graphs (cli/export.lua).
local checkpoint = require "mien.checkpoint"
local cli = require "mien.cli"
local forms = require "mien.weights.forms"
local home = require "mien.base.home"
local literal = require "mien.base.literal"
local naming = require "mien.weights.naming"
local scope = require "mien.tensor.scope"
local weights = require "mien.weights"

local command = { summary = "weights of any origin: mien weights show FILE | convert IN OUT | diff A B | maps" }

local USAGE = [[
mien weights show FILE [--map M] [--prefix P]
mien weights convert IN OUT [options]               OUT: .h5 (mien's own), .safetensors, .pt or .pth
mien weights convert NAME=IN NAME=IN ... OUT.h5     several files in one, each below its name
mien weights diff A B [options]
mien weights maps

Reads PyTorch (.pt, .pth, .tar: zip and the older form, TorchScript), safetensors, Keras (.h5, .keras), TensorFlow checkpoints
(.index, and version 1), ONNX, NumPy (.npy, .npz), MATLAB (.mat), Torch7 (.t7), HDF5 and mien's own. No file is ever executed.

  show      form, network, scaling; each tensor's name, shape, type and sum, and its name in mien
  diff      in what two files differ, by mien's names; exit code 1 if they do
  maps      the name maps that mien has

  --map M          a name map (`mien weights maps`), a Lua file with one, or none; the one that fits when left out
  --prefix P       where in the file the network lies; found by itself when left out
  --only PATTERN   only tensors whose name in mien has this Lua pattern in it
  --scale S        how pixels were scaled for these weights: torchvision, caffe, slim, vggface, affwildnet, pixels
  --channels bgr   the network saw blue first: its first convolution is turned
  --set KEY=VALUE  what the file does not say of itself (docs/weights.md), such as outputs=valence,arousal
]]

local VALUED = { map = true, prefix = true, only = true, scale = true, channels = true, set = true }

--- Words and options of a command line; options.set is a list.
local function parse(what, args, least, most)
  local words, options, i = {}, { set = {} }, 1
  while i <= #args do
    local name, value = args[i]:match "^%-%-([^=]+)=?(.*)$"
    if name and not VALUED[name] then
      local known = {}
      for key in pairs(VALUED) do known["--" .. key] = true end
      cli.unknown("mien weights " .. what, "option", args[i], known)
    elseif name then
      if value == "" then
        i = i + 1
        value = args[i] or cli.usage("mien weights %s: --%s needs a value", what, name)
      end
      if name == "set" then table.insert(options.set, value) else options[name] = value end
    else
      words[#words + 1] = args[i]
    end
    i = i + 1
  end
  if #words < least or #words > most then
    cli.usage("mien weights %s takes %s, not %d", what, least == most and least == 1 and "one file"
      or least == most and least .. " files" or least .. " files or more", #words)
  end
  return words, options
end

--- A file under mien's names, with what was said on the command line.
local function load(path, options)
  local how = {}
  for key in pairs(VALUED) do if key ~= "set" then how[key] = options[key] end end
  local said = checkpoint.meta(options.set)
  how.model, how.outputs = said.model, said.outputs
  local file = weights.load(home.find(path), how)
  said.model, said.outputs = nil, nil
  file.meta = require("mien.checkpoint.check").join(file.meta, said, path)
  return file
end

local verbs = {}

-- ---- show ----------------------------------------------------------------------------------------------

local function sum_of(entry)
  if not entry.dtype then return "?" end
  return scope.run(function()
    local t = entry.read()
    return ("%.6g"):format(t:count() > 0 and t:summary() * t:count() or 0) -- its mean is taken in f64
  end)
end

--- What the weights say of how they are used, or that they do not.
local function scaling_of(meta)
  local mean, sd = meta.scale_mean, meta.scale_sd
  if not mean then return "not said (--scale, or data.scale of the experiment)" end
  return ("input = (pixel / 255 - %s) / %s"):format(literal.encode(mean), literal.encode(sd))
end

function verbs.show(args)
  local words, options = parse("show", args, 1, 1)
  local path = home.find(words[1])
  local opened = weights.open(path)
  local file = scope.run(function()
    local f = load(words[1], options)
    f.tensors = nil
    return f
  end, nil)
  local list, cut = naming.inside(opened.entries, options.prefix, path)
  local map, count = not opened.own and naming.map(list, options.map, path) or nil, 0
  local inside, rows = {}, { { "name", "shape", "type", "sum", map and "in mien" or nil } }
  for _, one in ipairs(list) do inside[one.entry] = one.name end
  for _, entry in ipairs(opened.entries) do
    local n = 1
    for _, size in ipairs(entry.shape) do n = n * size end
    count = count + n
    local name, ours = inside[entry], nil
    if map and name then
      local targets, why = naming.rename(map, name)
      if name:find "num_batches_tracked$" then targets, why = nil, "counters of batch norm" end
      if targets then
        local names = {}
        for i, target in ipairs(targets) do
          names[i] = target.name .. (target.change and " (" .. target.change .. ")" or "")
        end
        ours = table.concat(names, ", ")
      else
        ours = "- " .. (why == "unknown" and "not understood" or why)
      end
    elseif map then
      ours = "- outside of the network"
    end
    rows[#rows + 1] = { entry.name, "[" .. table.concat(entry.shape, ",") .. "]", entry.dtype or entry.stored,
      sum_of(entry), ours }
  end
  print(("%s: %s, %d tensors, %.0f numbers%s"):format(home.short(path), opened.format, #opened.entries, count,
    cut ~= "" and "; the network lies below " .. cut or ""))
  if map then print("names:   " .. map.about) end
  print("network: " .. (file.meta.model and literal.encode(file.meta.model) or "not known from its names"))
  print("scaling: " .. scaling_of(file.meta))
  for _, note in ipairs(opened.notes) do print("note:    " .. note) end
  local keys = {}
  for key in pairs(opened.texts) do keys[#keys + 1] = key end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local text = opened.texts[key]:gsub("%c", " ")
    print(("says:    %s = %s"):format(key, #text > 100 and text:sub(1, 97) .. "..." or text))
  end
  print ""
  local width = {}
  for _, row in ipairs(rows) do
    for i = 1, 4 do width[i] = math.max(width[i] or 0, #row[i]) end
  end
  for _, row in ipairs(rows) do
    print((("%-" .. width[1] .. "s  %-" .. width[2] .. "s  %-" .. width[3] .. "s  %" .. width[4] .. "s  %s")
      :format(row[1], row[2], row[3], row[4], row[5] or ""):gsub("%s+$", "")))
  end
  return 0
end

-- ---- convert -------------------------------------------------------------------------------------------

local function told(file, path)
  for _, line in ipairs(weights.told(file)) do print(home.short(path) .. ": " .. line) end
end

function verbs.convert(args)
  local words, options = parse("convert", args, 2, 100)
  local out = table.remove(words)
  local form = forms.form(out)
  if form == "onnx" then cli.usage "mien weights convert writes tensors alone; a graph is written by mien export" end
  scope.run(function()
    local tensors, meta = {}, {}
    for _, word in ipairs(words) do
      local name, path = word:match "^([%w_]+)=(.+)$"
      if not name and #words > 1 then
        cli.usage("mien weights convert: %s: of several files each wants a name, as NAME=FILE", word)
      end
      local file = load(path or word, options)
      told(file, path or word)
      for _, entry in ipairs(file.tensors) do
        tensors[#tensors + 1] = { name and name .. "." .. entry[1] or entry[1], entry[2] }
      end
      meta = name and {} or file.meta
    end
    if form == "mien" then
      checkpoint.save_weights(out, tensors, meta)
    else
      forms.write(form, out, tensors, meta)
      if form == "torch" and next(meta) then
        print "a state_dict has no place for what the weights say of themselves: left out"
      end
    end
    print(("%s: %d tensors"):format(home.short(out), #tensors))
  end)
  return 0
end

-- ---- diff ----------------------------------------------------------------------------------------------

function verbs.diff(args)
  local words, options = parse("diff", args, 2, 2)
  local different = 0
  local function say(fmt, ...)
    different = different + 1
    print(fmt:format(...))
  end
  scope.run(function()
    local a, b = load(words[1], options), load(words[2], options)
    local by_name, equal = {}, 0
    for _, entry in ipairs(b.tensors) do by_name[entry[1]] = entry[2] end
    for _, entry in ipairs(a.tensors) do
      local name, x, y = entry[1], entry[2], by_name[entry[1]]
      by_name[name] = nil
      if not y then say("%s: only in %s", name, words[1])
      elseif table.concat(x.shape, ",") ~= table.concat(y.shape, ",") then
        say("%s: [%s] and [%s]", name, table.concat(x.shape, ","), table.concat(y.shape, ","))
      else
        local most = x:count() > 0 and (x - y):abs():max():item() or 0
        if most == 0 then equal = equal + 1
        else say("%s: largest difference %.3g, largest number %.3g", name, most, x:abs():max():item()) end
      end
    end
    for _, entry in ipairs(b.tensors) do
      if by_name[entry[1]] then say("%s: only in %s", entry[1], words[2]) end
    end
    for _, key in ipairs { "model", "scale_mean", "scale_sd", "outputs" } do
      local one, other = a.meta[key] and literal.encode(a.meta[key]), b.meta[key] and literal.encode(b.meta[key])
      if one ~= other then say("%s: %s and %s", key, one or "not said", other or "not said") end
    end
    print(("%d tensors are equal"):format(equal))
  end)
  return different > 0 and 1 or 0
end

function verbs.maps(args)
  parse("maps", args, 0, 0)
  local names = {}
  for name in pairs(naming.maps()) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do print(("%-20s %s"):format(name, naming.maps()[name].about)) end
  return 0
end

function command.run(args)
  local verb = args[1]
  if not verb or verb == "--help" or verb == "-h" or verb == "help" then
    io.stdout:write(USAGE)
    return verb and 0 or 2
  end
  if not verbs[verb] then cli.unknown("mien weights", "command", verb, verbs) end
  return verbs[verb] { unpack(args, 2) }
end

command.usage = USAGE

return command
