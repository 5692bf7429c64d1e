-- `mien profile FILE`: where the time of a script, or of an experiment's training steps, goes.
-- Not here: the figures and their table (device/profile.lua).
local check = require "mien.base.check"
local cli = require "mien.cli"
local home = require "mien.base.home"

local command = { summary = "per op: calls, time, GFLOP/s, bytes, implementation: mien profile FILE [ARGS]" }

local USAGE = [[
mien profile FILE [--steps N] [--profile NAME] [--device NAME] [--precision NAME] [--set KEY=VALUE ...] [ARGS ...]

Runs training steps of the first arm of an experiment, or a script with its arguments, and prints for every op and
implementation, forward and backward ('): calls, milliseconds, share, GFLOP/s, bytes moved. What lies outside the
ops, and the wait for the loader, stand below. A naive loop of the vendor's library is an error (exit code 1).

  --steps N          training steps of an experiment (10, an epoch at most)
  --profile NAME     of the declaration, as for mien run
  --device NAME      auto, cpu or cuda, as for mien run
  --precision NAME   f32, tf32, bf16 or fp16, as for mien run
  --set KEY=VALUE    changes a key, as for mien run
]]

--- Leading options; what follows the file is a script's own unless the file is an experiment.
local function parse(args)
  local options, rest, file, i = { sets = {} }, {}, nil, 1
  local function value(word)
    i = i + 1
    return args[i] or cli.usage("mien profile: %s needs a value", word)
  end
  while i <= #args do
    local word = args[i]
    if word == "--help" or word == "-h" then
      options.help = true
    elseif word == "--steps" then
      local text = value(word)
      options.steps = tonumber(text)
      if not options.steps or options.steps < 1 or options.steps % 1 ~= 0 then
        cli.usage("mien profile: --steps wants a number of steps, got %s", text)
      end
    elseif word == "--profile" or word == "--device" or word == "--precision" then
      options[word:sub(3)] = value(word)
    elseif word == "--set" then
      local text = value(word)
      local key, setting = text:match "^([^=]+)=(.*)$"
      if not key then cli.usage("mien profile: --set wants KEY=VALUE, got %s", text) end
      options.sets[#options.sets + 1] = { key, setting }
    elseif not file and word:sub(1, 1) == "-" then
      cli.usage("mien profile: there is no option %s", word)
    elseif not file then
      file = word
    else
      rest[#rest + 1] = word
    end
    i = i + 1
  end
  return file, cli.placement("mien profile", options), rest
end

function command.run(args)
  local file, options, rest = parse(args)
  if options.help or not file then
    io.stdout:write(USAGE)
    return options.help and 0 or 2
  end
  local path = home.find(file)
  local chunk, problem = loadfile(path)
  if not chunk then check.raise("io", "mien profile: %s", problem) end
  local result
  rest[0] = file
  _G.arg = rest
  local rows = require("mien.device.profile").run(function() result = chunk(unpack(rest)) end)
  local experiment = require "mien.experiment"
  if experiment.is(result) then
    options.say = function(text) io.stderr:write(text, "\n") end
    rows = require "mien.experiment.timing"(result, options)
    print(("%s, first arm: %d steps, %d frames, %.1f frames/s"):format(result.name, rows.steps, rows.frames,
      rows.frames / rows.wall))
  elseif options.steps or options.profile or options.device or options.precision or #options.sets > 0 then
    cli.usage("mien profile: --steps, --profile, --device, --precision and --set are for experiments; %s is a script",
      file)
  end
  print(tostring(rows))
  return rows.errors > 0 and 1 or 0
end

return command
