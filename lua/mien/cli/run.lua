-- `mien run FILE`: runs an experiment's declaration, or what of it is not finished yet.
-- Not here: what running means (experiment/plan.lua).
local check = require "mien.base.check"
local cli = require "mien.cli"
local home = require "mien.base.home"

local command = { summary = "run an experiment: mien run FILE [--profile NAME] [--arms NAME,...] [--set KEY=VALUE ...]" }

local USAGE = [[
mien run FILE [--profile NAME] [--arms NAME,...] [--device NAME] [--precision NAME] [--set KEY=VALUE ...] [--retry]
              [--again] [--go-on] [--show] [--db FILE]

Runs every arm and seed of the experiment that is not finished yet, and first the experiments that make the
weights it starts from. What was interrupted or killed goes on where it was, and a finished run goes on to more epochs
or with more patience. Another post-processing or evaluation is made of what was trained (mien post, mien score). Called in
a second terminal, it takes the next run that no other process has, and ends when none is free.

  --profile NAME     a profile of the declaration; those here have demo (small, procedural corpora) and paper (the
                     paper's settings). When left out: demo where there is one, else default, the declaration as it
                     stands
  --arms NAME,...    these arms alone, and what they need
  --device NAME      cpu or cuda; auto (when left out) is a GPU when one can be used, else the CPU
  --precision NAME   of activations: f32 (when left out), tf32, bf16, fp16; like --device for the experiments
                     that come first, too
  --set KEY=VALUE    changes a key: train.epochs=5, seeds={1,2,3}, data=corpora/mine.h5;
                     realeyes.data=FILE sets a key of the prerequisite realeyes
  --retry            runs failed runs again: from their checkpoint after an error, else anew
  --again            trains all runs anew, also finished ones
  --go-on            goes on with runs that were begun and not finished under other code
  --show             prints all keys with their values, the arms and the runs, and runs nothing; mien help keys
                     explains the keys
  --db FILE          another database than results.db

Exit code: 0 when all is finished, 1 when a run failed, 3 when something was left: an arm whose weights cannot be had,
or a run that another process has.
]]

local TAKES_VALUE = { ["--profile"] = true, ["--arms"] = true, ["--set"] = true, ["--db"] = true, ["--device"] = true,
  ["--precision"] = true }
local SWITCHES = { ["--retry"] = "retry", ["--again"] = "again", ["--go-on"] = "go_on", ["--show"] = "show",
  ["--help"] = "help", ["-h"] = "help" }

local function flags_of(switches)
  local list = {}
  for _, known in ipairs { TAKES_VALUE, switches } do
    for word in pairs(known) do list[#list + 1] = word end
  end
  return list
end

--- File and options of a command line; `name` is the command's, switches those that it knows.
local function parse(args, name, switches)
  local options, file, i = { sets = {} }, nil, 1
  while i <= #args do
    local word, value = args[i], nil
    local key, given = word:match "^(%-%-[%w-]+)=(.*)$"
    if key and TAKES_VALUE[key] then word, value = key, given end
    if TAKES_VALUE[word] and not value then
      i = i + 1
      value = args[i] or check.raise("usage", "%s: %s needs a value", name, word)
    end
    if word == "--set" then
      local set, text = value:match "^([^=]+)=(.*)$"
      if not set then check.raise("usage", "%s: --set wants KEY=VALUE, got %s", name, value) end
      options.sets[#options.sets + 1] = { set, text }
    elseif word == "--arms" then
      options.arms = options.arms or {}
      options.arms[#options.arms + 1] = value
    elseif TAKES_VALUE[word] then
      options[word:sub(3)] = value
    elseif switches[word] then
      options[switches[word]] = true
    elseif word:sub(1, 1) == "-" then
      cli.unknown(name, "option", word, flags_of(switches))
    elseif file then
      check.raise("usage", "%s: one experiment at a time; %s and %s were named", name, file, word)
    else
      file = word
    end
    i = i + 1
  end
  return file, cli.placement(name, options)
end

--- results.db for looking, or nil when there is none yet.
local function existing(path)
  path = path or home.path "results.db"
  return require("lfs").attributes(path) and require("mien.results").open(path, { read_only = true }) or nil
end

local function show(experiment, options)
  local schema = require "mien.experiment.schema"
  options.db = existing(options.db)
  local tree, runs = require("mien.experiment.plan").outline(experiment, options)
  local root = tree.root
  print(("%s, profile %s"):format(root.name, root.profile))
  for _, pair in ipairs(schema.flat(root.config)) do print(("%-28s %s"):format(pair[1], tostring(pair[2]))) end
  local function some(n, noun) return ("%d %s%s"):format(n, noun, n == 1 and "" or "s") end
  print(("\n%s, %s: %s"):format(some(#root.chosen, "arm"), some(#root.config.seeds, "seed"),
    some(#root.chosen * #root.config.seeds, "run")))
  for _, arm in ipairs(root.chosen) do
    local words = { arm.absent and "left out: " .. arm.absent:match "^[^\n]*" or nil }
    for _, pair in ipairs(schema.flat(arm.changes)) do words[#words + 1] = ("%s = %s"):format(pair[1], tostring(pair[2])) end
    if arm.initialiser then words[#words + 1] = "start " .. arm.initialiser:describe() end
    for _, r in ipairs(runs or {}) do
      if r.arm == arm.name then words[#words + 1] = ("seed %d %s"):format(r.seed, r.status) end
    end
    print(("  %-26s %s"):format(arm.name, table.concat(words, "; ")))
  end
  if not runs then print "which of them are finished can be told when the corpus is made: it is part of what a run is" end
  for i = 1, #tree.nodes - 1 do
    local node = tree.nodes[i]
    if node.wanted then
      print(("  first: %s, profile %s%s"):format(node.name, node.profile, node.as_is and " (its weights as they are)" or ""))
    end
  end
  for _, note in ipairs(tree.notes) do print(note) end
  return 0
end

local ENOUGH = 4096 -- MiB

--- oneDNN ends the process without a word where memory for the code that it makes is refused, which no one can catch.
local function warn_of_limit()
  local limits = io.open "/proc/self/limits"
  local bytes = limits and limits:read("*a"):match "Max address space%s+(%d+)"
  if limits then limits:close() end
  if bytes and bytes / 2 ^ 20 < ENOUGH then
    io.stderr:write(("mien: the address space is limited to %.0f MiB (ulimit -v): where that is too little the process may "
      .. "end without a word; a limit of the control group (systemd-run -p MemoryMax=) does not do that\n"):format(
      bytes / 2 ^ 20))
  end
end

--- Runs an experiment, or scores its finished runs (only = "post", "score"), and gives the exit code.
local function run(file, options, only)
  local experiment = require("mien.experiment").load(home.find(file))
  if options.show then return show(experiment, options) end
  local db = require("mien.results").open(options.db)
  local ok, failed, left = xpcall(experiment.run, check.trace, experiment,
    { db = db, sets = options.sets, profile = options.profile, arms = options.arms, retry = options.retry,
      again = options.again, go_on = options.go_on, only = only, device = options.device, precision = options.precision })
  local closed, problem = pcall(db.close, db)
  if not ok then check.rethrow(failed) end
  if not closed then check.rethrow(problem) end
  return failed > 0 and 1 or left > 0 and 3 or 0
end

--- The commands that score what is trained: mien post, mien score.
function command.scoring(name, only, usage)
  return function(args)
    local file, options = parse(args, name, { ["--help"] = "help", ["-h"] = "help" })
    if options.help or not file then
      io.stdout:write(usage)
      return not options.help and 2 or 0
    end
    return run(file, options, only)
  end
end

function command.run(args)
  local file, options = parse(args, "mien run", SWITCHES)
  if options.help or not file then
    io.stdout:write(USAGE)
    return not options.help and 2 or 0
  end
  warn_of_limit()
  return run(file, options)
end

return command
