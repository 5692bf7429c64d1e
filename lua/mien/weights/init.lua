-- Weights of other programs: what a file holds, and its tensors under mien's names.
-- Not here: mien's own form (checkpoint/), copying into a network (nn/loading.lua), writing other forms (weights/writing).
local bytes = require "mien.weights.bytes"
local changes = require "mien.weights.changes"
local check = require "mien.base.check"
local checks = require "mien.checkpoint.check"
local checkpoint = require "mien.checkpoint"
local forms = require "mien.weights.forms"
local lfs = require "lfs"
local literal = require "mien.base.literal"
local naming = require "mien.weights.naming"
local shapes_of = require "mien.weights.shapes"
local scaling = require "mien.weights.scaling"
local sha256 = require "mien.base.sha256"

local weights = {}

-- ---- what a file holds ---------------------------------------------------------------------------------

-- Each module: { name, is = function(head, file) -> bool, open = function(file) -> { entries, notes, texts, files } }.
local READERS = { "hdf5", "torch", "keras", "numpy", "safetensors", "matlab", "tensorflow", "onnx_tensors", "torch7" }

local HEAD = 4096 -- bytes by which a form is known

local function reader_of(file)
  local head = file:head(HEAD)
  if #head == 0 then file:wrong "an empty file" end
  for _, name in ipairs(READERS) do
    local reader = require("mien.weights.reading." .. name)
    if reader.is(head, file) then return reader end
  end
  local names = {}
  for i, name in ipairs(READERS) do names[i] = require("mien.weights.reading." .. name).name end
  file:wrong("none of the forms of weights that are read (%s)", table.concat(names, ", "))
end

--- fn(...); its error names the file, whoever raises it: a zip file's member, a copy aside, the C core.
local function naming_file(path, name, fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then return result end
  if check.is_error(result) and not result.message:find(path, 1, true) then
    result.message = ("%s: %s%s"):format(path, name and name .. ": " or "", result.message)
  end
  check.rethrow(result)
end

--- Opens a file of any form: { path, format, entries, notes, texts, files }. entries: list of { name, shape, dtype (nil:
-- one that no tensor of mien has), stored = its name there, read = function() -> tensor }; texts: what the file says of
-- itself, by key; files: all that belong to it. Nothing of a file is executed.
function weights.open(path)
  check.type(path, "string", "weights: path")
  -- TensorFlow's checkpoints are named by what their files begin with
  local prefix = path:match "^(.*)%.data%-%d+%-of%-%d+$" or path
  if not lfs.attributes(path) and lfs.attributes(prefix .. ".index") or prefix ~= path then path = prefix .. ".index" end
  local file = bytes.open(path)
  local reader = naming_file(path, nil, reader_of, file)
  local opened = naming_file(path, nil, reader.open, file)
  opened.path, opened.format = path, opened.format or reader.name
  opened.notes, opened.texts, opened.files = opened.notes or {}, opened.texts or {}, opened.files or { path }
  if #opened.entries == 0 then file:wrong("a %s file without a tensor", opened.format) end
  local seen = {}
  for _, entry in ipairs(opened.entries) do
    if seen[entry.name] then file:wrong("two tensors are named %s", entry.name) end
    seen[entry.name] = true
    local read = entry.read
    entry.read = function() return naming_file(path, entry.name, read, entry.name) end
  end
  return opened
end

-- ---- under mien's names --------------------------------------------------------------------------------

local known = { map = "string|table", prefix = "string", only = "string", scale = "string|table", channels = "string",
  model = "table|string", outputs = "table" }

--- The tensor of the pieces that rules made of one name: those with a `part` lie below each other.
local function joined(pieces, name, path)
  if #pieces == 1 then return pieces[1].tensor end
  table.sort(pieces, function(a, b) return (a.rule.part or 0) < (b.rule.part or 0) end)
  local list = {}
  for i, piece in ipairs(pieces) do
    list[i] = piece.tensor
    if piece.rule.part ~= i then
      check.raise("format", "%s: %s and %s both become %s", path, pieces[1].from, pieces[2].from, name)
    end
  end
  return require("mien.tensor").cat(list, 1)
end

--- The tensor of an entry as f32.
local function numbers(entry, path)
  if not entry.dtype then
    check.raise("unsupported", "%s: %s has elements of type %s, which no tensor of mien has", path, entry.name, entry.stored)
  end
  local t = entry.read()
  return t.dtype == "f32" and t or t:to "f32"
end

--- All that the rules make of the entries: list of { name, tensor } in the file's order, and a report.
local function renamed(list, map, path)
  local order, pieces, report = {}, {}, { taken = 0, changed = {}, left = {}, unknown = {} }
  for _, one in ipairs(list) do
    local targets, why
    if one.name:find "num_batches_tracked$" then why = "counters of batch norm"
    elseif map then targets, why = naming.rename(map, one.name)
    else targets = { { name = one.name } } end
    if not targets then
      if why == "unknown" then report.unknown[#report.unknown + 1] = one.name
      else report.left[why] = (report.left[why] or 0) + 1 end
    else
      report.taken = report.taken + 1
      for _, rule in ipairs(targets) do changes.check(rule, one.entry.shape, path .. ": " .. one.name) end
      local t = numbers(one.entry, path)
      for _, rule in ipairs(targets) do
        if not pieces[rule.name] then
          pieces[rule.name] = {}
          order[#order + 1] = rule.name
        end
        if rule.change then report.changed[rule.change] = (report.changed[rule.change] or 0) + 1 end
        table.insert(pieces[rule.name], { tensor = changes.apply(t, rule, path .. ": " .. one.name), rule = rule,
          from = one.name })
      end
    end
  end
  local tensors = {}
  for i, name in ipairs(order) do tensors[i] = { name, joined(pieces[name], name, path) } end
  return tensors, report
end

--- mien's batch norm has epsilon 1e-5; another one goes into the variances, which gives the same outputs.
local function with_epsilon(tensors, epsilon)
  for _, entry in ipairs(tensors) do
    if entry[1]:find "%.running_var$" then entry[2] = entry[2] + (epsilon - 1e-5) end
  end
end

--- Biases of convolutions that batch norm follows: out of its means, which gives the same outputs.
local function without_biases(tensors, report)
  local by_name, kept = {}, {}
  for _, entry in ipairs(tensors) do by_name[entry[1]] = entry end
  for _, entry in ipairs(tensors) do
    local before, at = entry[1]:match "^(features%..-)conv(%d)%.bias$"
    local downsample = entry[1]:match "^(features%..-downsample%.)0%.bias$"
    local norm = before and by_name[before .. "bn" .. at .. ".running_mean"]
      or downsample and by_name[downsample .. "1.running_mean"]
    if norm then
      norm[2] = norm[2] - entry[2]
      report.changed["bias into batch norm"] = (report.changed["bias into batch norm"] or 0) + 1
    else
      kept[#kept + 1] = entry
    end
  end
  return kept
end

--- What the network is, as far as names, shapes and the map tell.
local function description(tensors, map)
  local shapes = shapes_of.shapes(tensors)
  local below = shapes["features.conv1.weight"] or shapes["features.features.0.weight"]
  local extractor = shapes_of.extractor(shapes, below and "features." or "")
  if not extractor then return nil end
  for key, value in pairs(map and map.model or {}) do extractor[key] = value end
  if extractor[1] == "resnet" and not extractor.strides then return nil end
  if extractor[1] == "vgg16" then extractor.dropout = 0.5 end
  local context = shapes_of.context(shapes)
  if context and shapes["head.weight"] and below then
    local model = { "recurrent", features = extractor }
    for key, value in pairs(context) do model[key] = value end
    if context.cell == "gru" then model.reset_after = map and map.cell and map.cell.reset_after end
    if context.cell == "gru" and model.reset_after == nil then return nil end
    return model
  end
  return below and shapes["head.weight"] and { "framewise", features = extractor } or extractor
end

--- What a file that mien wrote in another form says of itself: texts "mien.KEY" with literals.
local function said_by(texts, path)
  local meta = {}
  for key, value in pairs(texts) do
    local name = key:match "^mien%.([%w_]+)$"
    if name then meta[name] = literal.decode(value, ("%s: %s"):format(path, key)) end
  end
  return meta
end

--- One bias for an LSTM of PyTorch, which has two that it adds.
local function one_bias(tensors)
  local by_name, kept = {}, {}
  for _, entry in ipairs(tensors) do by_name[entry[1]] = entry[2] end
  for _, entry in ipairs(tensors) do
    local kind, layer = entry[1]:match "^context%.bias_([ih]h)_(l%d+)$"
    local state = kind and by_name["context.weight_hh_" .. layer]
    if not state or state:size(1) ~= 4 * state:size(2) then
      kept[#kept + 1] = entry
    elseif kind == "ih" then
      local other = by_name["context.bias_hh_" .. layer]
      kept[#kept + 1] = { "context.bias_" .. layer, other and entry[2] + other or entry[2] }
    end
  end
  return kept
end

--- The tensors whose name has the pattern in it; all without one.
local function only(tensors, pattern, path)
  if not pattern then return tensors end
  local kept = {}
  for _, entry in ipairs(tensors) do
    local ok, found = pcall(string.find, entry[1], pattern)
    if not ok then check.raise("argument", "%s: only = %q is no Lua pattern: %s", path, pattern, tostring(found)) end
    if found then kept[#kept + 1] = entry end
  end
  if #kept == 0 then check.raise("argument", "%s: no name fits only = %q, e.g. %s", path, pattern, tensors[1][1]) end
  return kept
end

--- Of a network's description what still holds when only these of its tensors are taken.
local function part_of(model, tensors)
  local shapes = shapes_of.shapes(tensors)
  if model and model.features and not shapes["head.weight"] then model = model.features end
  local features = model and model.features or model
  if features and features[1] == "vgg16" and not shapes["features.classifier.0.weight"] then
    features.size, features.fully_connected = nil, nil -- the fully connected layers' alone
  end
  return model
end

--- The tensors of a file of any form under mien's names: { tensors = list of { name, tensor }, meta, format, map, prefix,
-- report }. Options: prefix = where in the file the network lies (found by itself: state_dict, model, module. ...); map =
-- the name of a map (`mien weights maps`), a Lua file or table of one, or "none"; by itself the one that fits; only = a
-- pattern of mien's names: the others are left; scale = how pixels were scaled for these weights, by name
-- ("torchvision", "caffe", "slim", "vggface", "affwildnet", "pixels") or { mean =, sd = }; channels = "bgr" where the
-- network saw blue first; model, outputs: what the file does not say. report: { taken, changed = counts, left = counts by
-- reason, unknown = names that no rule knows }. A file of mien's says all that itself.
function weights.load(path, options)
  options = check.keys(options or {}, known, "weights.load")
  local opened = weights.open(path)
  if opened.own then
    for _, key in ipairs { "map", "prefix", "channels", "scale" } do
      if options[key] then check.raise("argument", "%s is a file of mien's own, which takes no %s", path, key) end
    end
    local file = checkpoint.load_weights(path)
    file.report = { taken = #file.tensors, changed = {}, left = {}, unknown = {} }
    file.tensors = only(file.tensors, options.only, path)
    if options.only then file.meta.model = part_of(file.meta.model, file.tensors) end
    file.meta = checks.join(file.meta, { model = options.model, outputs = options.outputs }, path)
    file.format = "mien"
    return file
  end
  local list, prefix = naming.inside(opened.entries, options.prefix, path)
  local map, name = naming.map(list, options.map, path)
  local tensors, report = renamed(list, map, path)
  report.outside = #opened.entries - #list
  if #tensors == 0 then check.raise("format", "%s: no name of its %d tensors is one of the map %s", path, #list, name) end
  tensors = one_bias(without_biases(tensors, report))
  if map and map.epsilon then with_epsilon(tensors, map.epsilon) end
  local told = description(tensors, map)
  tensors = only(tensors, options.only, path)
  local meta = said_by(opened.texts, path)
  meta.model = meta.model or told
  if options.only then meta.model = part_of(meta.model, tensors) end
  if options.scale then scaling.say(meta, options.scale, path) end
  if options.channels then scaling.turn_channels(tensors, options.channels, path) end
  meta = checks.join(checks.meta(meta, path), { model = options.model, outputs = options.outputs }, path)
  return { tensors = tensors, meta = meta, format = opened.format, map = name, prefix = prefix, report = report,
    notes = opened.notes }
end

--- Writes a network for other programs: weights.save("net.onnx", model, { meta =, fold = }); the name's ending (.onnx,
-- .safetensors, .pt), or `form`, says how. ONNX: the graph, see writing/to_onnx.lua; the others: its tensors with
-- torchvision's and PyTorch's names. meta: what the file says of itself (docs/weights.md). Returns a line on what it is.
function weights.save(path, model, options)
  options = check.keys(options or {}, { form = "string", meta = "table", fold = "boolean" }, "weights.save")
  local form = options.form or forms.form(path)
  local own = { model = rawget(model, "architecture"), outputs = rawget(model, "outputs") }
  local meta = checks.join(own, options.meta or {}, path)
  if form == "onnx" then
    local features = meta.model and meta.model.features
    local size = type(features) == "table" and features.size or meta.model and meta.model.size
    local count = require "mien.weights.writing.to_onnx"(path, model, { fold = options.fold, texts = forms.texts(meta),
      size = size and { size, size } or nil })
    return ("%d operators, opset 17"):format(count)
  end
  if options.fold then check.raise("argument", "weights.save: fold is for .onnx") end
  forms.write(form, path, model:state(), meta)
  return ("%d tensors"):format(#forms.names(model:state(), meta.model))
end

--- What a file says of its weights (weights.load's meta): mien's own without reading them.
function weights.meta(path, options)
  if bytes.open(path):head(8) == "\x89HDF\r\n\x1a\n" and require("mien.weights.reading.hdf5").datasets(path).own then
    local given = options or {}
    return checks.join(checkpoint.read_meta(path), { model = given.model, outputs = given.outputs }, path)
  end
  return require("mien.tensor.scope").run(function() return weights.load(path, options).meta end)
end

-- Options of weights.load that decide numbers; model and outputs are compared alone.
local DECIDING = { "map", "prefix", "only", "scale", "channels" }

--- Takes the options of weights.load that say how a foreign file is read out of a table: { map, prefix, ... }, the rest.
function weights.apart(options)
  local own, rest = {}, {}
  for key, value in pairs(options or {}) do rest[key] = value end
  for _, key in ipairs(DECIDING) do own[key], rest[key] = rest[key], nil end
  return own, rest
end

--- What decides what weights.load gives: the bytes of all files, and the options with what they name.
function weights.identity(path, options)
  local parts = {}
  for i, file in ipairs(weights.open(path).files) do parts[i] = sha256.file(file) end
  local own = weights.apart(options)
  if type(own.map) == "string" and own.map:find "%.lua$" then own.map = sha256.file(own.map) end
  if next(own) then parts[#parts + 1] = literal.encode(own) end
  return #parts == 1 and parts[1] or sha256.text(table.concat(parts, "\n"))
end

--- Lines on what was taken from a file and what was not.
function weights.told(file)
  local lines = {}
  local function add(fmt, ...) lines[#lines + 1] = fmt:format(...) end
  local r = file.report
  local parts = {}
  for change, n in pairs(r.changed) do parts[#parts + 1] = ("%d %s"):format(n, change) end
  table.sort(parts)
  add("%s%s: %d tensors%s%s", file.format, file.map and ", map " .. file.map or "", #file.tensors,
    file.prefix and file.prefix ~= "" and (" below " .. file.prefix) or "",
    #parts > 0 and (" (reordered: %s)"):format(table.concat(parts, ", ")) or "")
  local left = {}
  for why, n in pairs(r.left) do left[#left + 1] = ("%d %s"):format(n, why) end
  if r.outside and r.outside > 0 then left[#left + 1] = ("%d outside of the network"):format(r.outside) end
  table.sort(left)
  if #left > 0 then add("left out: %s", table.concat(left, ", ")) end
  if #r.unknown > 0 then
    add("not understood: %d (%s%s)", #r.unknown, table.concat(r.unknown, ", ", 1, math.min(3, #r.unknown)),
      #r.unknown > 3 and " ..." or "")
  end
  for _, note in ipairs(file.notes or {}) do add("%s", note) end
  return lines
end

return weights
