-- `mien export RUN --to onnx`: a trained network for where mien is not.
-- Not here: the forms (weights/writing).
local check = require "mien.base.check"
local checkpoint = require "mien.checkpoint"
local cli = require "mien.cli"
local home = require "mien.base.home"
local scope = require "mien.tensor.scope"

local command = { summary = "a trained network for other programs: mien export RUN --to onnx|safetensors|torch" }

command.usage = [[
mien export RUN|WEIGHTS --to onnx|safetensors|torch [--out FILE] [--fold] [--set KEY=VALUE ...] [--db FILE]

RUN is the number of a run in results.db, whose best weights are taken, WEIGHTS a file of weights with a whole network.

  onnx         the graph (opset 17): input "frames", [batch,time,3,height,width] for a recurrent network, else
               [batch,3,height,width], of any number and size, scaled as the file's mien.scale_mean and mien.scale_sd say;
               output "outputs"
  safetensors  tensors with torchvision's and PyTorch's names, and what the weights say of themselves
  torch        the same tensors as a state_dict (.pt), without the texts

  --out FILE       where to (the name of the weights with .onnx, .safetensors or .pt, in this folder)
  --fold           onnx: batch norm becomes part of the convolutions
  --set KEY=VALUE  what the weights do not say of themselves (docs/weights.md)
  --db FILE        results.db of the run
]]

local ENDINGS = { onnx = ".onnx", safetensors = ".safetensors", torch = ".pt" }
local VALUED = { to = true, out = true, set = true, db = true }

local function parse(args)
  local options, i = { set = {} }, 1
  while i <= #args do
    local word = args[i]
    local name, value = word:match "^%-%-([^=]+)=?(.*)$"
    if name == "fold" or name == "help" then
      options[name] = true
    elseif name and not VALUED[name] then
      cli.unknown("mien export", "option", word, { "--to", "--out", "--set", "--db", "--fold", "--help" })
    elseif name then
      if value == "" then
        i = i + 1
        value = args[i] or cli.usage("mien export: --%s needs a value", name)
      end
      if name == "set" then table.insert(options.set, value) else options[name] = value end
    elseif options.what then
      cli.usage("mien export takes one run or file, not %s and %s", options.what, word)
    else
      options.what = word
    end
    i = i + 1
  end
  return options
end

--- The weights file of a run by its number, or the file itself.
local function weights_of(options)
  local id = options.what:match "^%d+$"
  if not id then return home.find(options.what) end
  local db = require("mien.results").open(options.db, { read_only = true })
  local row = db:row("SELECT path FROM artifact WHERE run = ? AND kind = 'weights'", tonumber(id))
  db:close()
  if not row then
    check.raise("argument", "run %s has no weights in results.db: it did not end, or there is no such run", id)
  end
  return home.find(row.path)
end

function command.run(args)
  local options = parse(args)
  if options.help then
    io.stdout:write(command.usage)
    return 0
  end
  if not options.what then cli.usage "mien export wants the number of a run, or a file of weights" end
  if not options.to then cli.usage "mien export wants --to onnx, safetensors or torch" end
  if not ENDINGS[options.to] then cli.unknown("mien export", "form", options.to, ENDINGS) end
  if options.fold and options.to ~= "onnx" then cli.usage "mien export: --fold is for --to onnx" end
  local path = weights_of(options)
  local out = options.out or (path:match "([^/]+)%.[^./]*$" or path:match "[^/]+$") .. ENDINGS[options.to]
  scope.run(function()
    local model, outputs, meta = require("mien.models.from_weights").load(path, checkpoint.meta(options.set))
    if meta.int8_ranges then
      check.raise("unsupported", "%s is quantised; export the weights that it was made from", path)
    end
    meta.outputs = outputs
    print(("%s: %s"):format(home.short(out), require("mien.weights").save(out, model, { form = options.to, meta = meta,
      fold = options.fold })))
  end)
  return 0
end

return command
