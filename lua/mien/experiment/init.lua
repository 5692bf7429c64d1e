-- Experiments: `return mien.experiment{ name = ..., data = ..., model = ..., train = ... }`.
-- Not here: the keys (experiment/keys.lua), checking them (experiment/checker.lua), running (experiment/plan.lua),
-- printing (experiment/report.lua).
local check = require "mien.base.check"
local schema = require "mien.experiment.schema"

local experiment = {}

local class = {}
class.__index = class

function class:__tostring()
  return ("experiment %s%s"):format(self.name, self.about and ": " .. self.about or "")
end

--- Runs everything that is not finished yet and prints what came out.
-- options: { profile = "demo", arms = { "lstm" }, sets = { { "train.epochs", "3" } }, device = "auto", precision = "f32",
-- retry = false (failed runs are run again), again = false (all runs are trained anew), go_on = false (runs that were begun
-- under other code go on), only = "post" (finished runs are post-processed and scored from their predictions, nothing is
-- trained) or "score" (they predict anew before), db = results, quiet = false }; device and precision are those of all
-- experiments that it needs, too.
-- Runs that another process has are left to it, and arms whose weights cannot be had are left out.
-- Returns the number of failed runs, and the number of what was left.
function class:run(options)
  options = check.keys(options or {}, { profile = "string", arms = "table", sets = "table", retry = "boolean",
    again = "boolean", go_on = "boolean", only = "string", db = "table", quiet = "boolean", device = "string",
    precision = "string" }, "experiment:run")
  if options.only then check.one_of(options.only, { "post", "score" }, "experiment:run: only") end
  local db = options.db or require("mien.results").open()
  local function say(text)
    if options.quiet then return end
    io.stdout:write(text, "\n")
    io.stdout:flush()
  end
  local report = require "mien.experiment.report"
  local ok, root, counts = xpcall(require("mien.experiment.plan").run, check.trace, self, {
    db = db, sets = options.sets, profile = options.profile, arms = options.arms,
    device = options.device, precision = options.precision,
    retry = options.retry, again = options.again, go_on = options.go_on, only = options.only,
    say = say, quiet = options.quiet,
    shown = not options.quiet and function(node) report.classes(db, node) end or nil,
  })
  if ok and not options.quiet then report.print(db, root, counts) end
  if not options.db then db:close() end
  if not ok then check.rethrow(root) end
  return counts.failed + counts.failed_before, counts.busy + counts.left_out + counts.untrained
end

--- True for declarations.
function experiment.is(value)
  return getmetatable(value) == class
end

--- The place of a key in a file, "file:line", or "file" where the line cannot be told: the key is given in none or in
-- several.
local function place_of(path, key)
  local word, found, number = key:match "([%w_]+)[^%w_]*$", nil, 0
  for line in io.lines(path) do
    number = number + 1
    if word and line:gsub("%-%-.*$", ""):find("%f[%w_]" .. word .. "%f[^%w_]") then
      if found then return path end
      found = number
    end
  end
  return found and path .. ":" .. found or path
end

--- The declaration that a file returns.
function experiment.load(path)
  local chunk, problem = loadfile(path)
  if not chunk then check.raise("io", "experiment: %s", problem) end
  local ok, declared = xpcall(chunk, check.trace)
  if not ok then
    if check.is_error(declared) and declared.key then declared.at = place_of(path, declared.key) end
    check.rethrow(declared)
  end
  if not experiment.is(declared) then
    check.raise("argument", "%s must return mien.experiment{ ... }, it returns %s", path, check.describe(declared))
  end
  declared.file = path
  return declared
end

return setmetatable(experiment, {
  __call = function(_, declaration)
    check.type(declaration, "table", "mien.experiment")
    if not declaration.name then check.raise("argument", "mien.experiment: name is missing") end
    schema.check(declaration)
    return setmetatable({ declaration = declaration, name = declaration.name, about = declaration.about }, class)
  end,
})
