-- The command line: which command, script or prompt is meant, and how errors reach the user.
-- Not here: what a command does (cli/<command>.lua: { summary =, run = function(args) -> exit code }).
local check = require "mien.base.check"
local host = require "mien.host"
local renamed = require "mien.base.renamed"
local lfs = require "lfs"

local cli = {}

local folder = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"

--- All commands: name -> { summary, run }.
function cli.commands()
  local found = {}
  for file in lfs.dir(folder) do
    local name = file:match "^(%l[%w_]*)%.lua$"
    if name and name ~= "init" then
      local command = require("mien.cli." .. name)
      if command.summary then found[name] = command end
    end
  end
  return found
end

--- Raises what ends in exit code 2: the command line was not understood.
function cli.usage(fmt, ...)
  local err = check.error("usage", fmt:format(...) .. "\n`mien help` lists the commands")
  err.at = nil -- the place is the command line
  error(err, 0)
end

--- The same for a word that is not known; it names the nearest one: cli.unknown("mien run", "option", word, list).
function cli.unknown(what, noun, word, list)
  local near = check.nearest(word, list)
  cli.usage("%s: unknown %s %s%s", what, noun, word, near and "; did you mean " .. near .. "?" or "")
end

--- Checks --device and --precision of a command; returns its options.
function cli.placement(what, options)
  for name, known in pairs { device = require("mien.device").names, precision = require("mien.device.precision").names } do
    local value = options[name]
    local found = value == nil
    for _, word in ipairs(known) do found = found or word == value end
    if not found then cli.usage("%s: --%s takes %s, not %s", what, name, table.concat(known, ", "), value) end
  end
  return options
end

-- ---- errors ------------------------------------------------------------------------------------

--- The frames of a traceback that belong to the user's way, not to the command line or C.
local function frames(trace)
  local kept = {}
  for line in trace:gmatch "[^\n]+" do
    if line:find "^%s" and not line:find "%[C%]" and not line:find(folder, 1, true) then
      kept[#kept + 1] = "  " .. line:gsub("^%s+", ""):gsub("^" .. host.root:gsub("%p", "%%%0") .. "/", "")
    end
  end
  return kept
end

local tracing = os.getenv "MIEN_TRACE" ~= nil -- or --trace

--- Prints an error with what helps to act on it; returns the exit code. mien's own errors say what is wrong by
-- themselves; where they began is shown when MIEN_TRACE is set or --trace given, and for errors of Lua always.
local function report(err, trace)
  -- A signal also breaks off reading from a pipe or file, with a message of its own.
  local broken_off = host.interrupt_signal() > 0 and tostring(err):find("Interrupted system call", 1, true)
  if broken_off or (check.is_error(err) and err.code == "interrupted") then
    io.stderr:write("mien: interrupted\n")
    local signal = host.interrupt_signal()
    return 128 + (signal > 0 and signal or 2)
  end
  io.stderr:write("mien: ", tostring(err), "\n")
  local hint = renamed.hint(err)
  if hint then io.stderr:write("  ", hint, "\n") end
  if check.inside(err) then io.stderr:write("  in ", check.inside(err), "\n") end
  if check.is_error(err) and err.code == "usage" then return 2 end
  if check.is_error(err) and not tracing then
    for _, place in ipairs(err.from or {}) do io.stderr:write("  called from ", place, "\n") end
    return 1
  end
  if check.is_error(err) and err.where then io.stderr:write("  noticed at ", err.where, "\n") end
  -- out of memory there is no room for a traceback either
  for _, line in ipairs(frames(check.traceback(err) or trace or "")) do io.stderr:write(line, "\n") end
  return 1
end

--- Calls run(...) and gives its exit code; an error is printed and gives 1, 2 or 128 + signal.
function cli.guard(run, ...)
  local trace
  local ok, result = xpcall(run, function(err)
    trace = debug.traceback("", 2)
    return check.trace(err)
  end, ...)
  if ok then return type(result) == "number" and result or 0 end
  return report(result, trace)
end

-- ---- scripts and commands --------------------------------------------------------------------------

local function run_chunk(chunk, message, args)
  if not chunk then check.raise("argument", "%s", message) end
  _G.arg = args
  local code = chunk(unpack(args))
  local experiment = package.loaded["mien.experiment"]
  if experiment and experiment.is(code) then
    cli.usage("%s declares an experiment and does nothing by itself: mien run %s", args[0], args[0])
  end
  return type(code) == "number" and code or 0
end

--- The words after the first `n`, with [0] = name.
local function rest(args, n, name)
  local words = { [0] = name }
  for i = n + 1, #args do words[#words + 1] = args[i] end
  return words
end

local function dispatch(args)
  local first = args[1]
  if first == "--trace" then
    tracing = true
    args = rest(args, 1)
    first = args[1]
  end
  if not first then
    require("mien.help").commands = cli.commands
    return require("mien.repl").run()
  end
  if first == "--help" or first == "-h" then first = "help" end
  if first == "--version" or first == "-v" then
    print("mien " .. host.version)
    return 0
  elseif first == "-e" then
    if not args[2] then cli.usage "-e needs the Lua code to run" end
    local chunk, message = loadstring(args[2], "=(command line)")
    return run_chunk(chunk, message, rest(args, 2, "-e"))
  elseif first:find "%.lua$" then
    local path = require("mien.base.home").find(first) -- a script of datasets/, from anywhere
    if not lfs.attributes(path) then check.raise("io", "there is no script %s", first) end
    local chunk, message = loadfile(path)
    return run_chunk(chunk, message, rest(args, 1, first))
  elseif first:find "^%-" then
    cli.unknown("mien", "option", first, { "--help", "--version", "--trace" })
  end
  if not (first:find "^%l[%w_]*$" and package.searchpath("mien.cli." .. first, package.path)) then
    cli.unknown("mien", "command", first, cli.commands())
  end
  return require("mien.cli." .. first).run(rest(args, 1, first))
end

--- Runs a command line and returns the exit code of the process.
function cli.main(args)
  host.on_interrupt(function() check.raise("interrupted", "interrupted") end)
  local code = cli.guard(dispatch, args)
  if package.loaded["mien.base.ffi"] then -- commands without it start faster
    -- flushed for a notice alone: an error of the last write is for the executable to tell
    require("mien.base.notices").tell(function() io.stdout:flush() end)
  end
  return code
end

return cli
