-- Experiments: `return mien.experiment{ name = ..., data = ..., model = ..., train = ... }`.
-- Not here: the keys (experiment/schema.lua), running (experiment/plan.lua), printing (experiment/report.lua).
local check = require "mien.check"
local home = require "mien.home"
local schema = require "mien.experiment.schema"

local experiment = {}

local class = {}
class.__index = class

function class:__tostring()
  return ("experiment %s%s"):format(self.name, self.about and ": " .. self.about or "")
end

--- Runs everything that is not finished yet and prints what came out.
-- options: { profile = "demo", sets = { { "train.epochs", "3" } }, device = "auto", precision = "f32", retry = false,
-- db = results, quiet = false }; device and precision are those of all experiments that it needs, too.
-- Returns the number of failed runs.
function class:run(options)
  options = check.keys(options or {}, { profile = "string", sets = "table", retry = "boolean", db = "table",
    quiet = "boolean", device = "string", precision = "string" }, "experiment:run")
  local db = options.db or require("mien.results").open()
  local function say(text)
    if options.quiet then return end
    io.stdout:write(text, "\n")
    io.stdout:flush()
  end
  local report = require "mien.experiment.report"
  local ok, root, counts = xpcall(require("mien.experiment.plan").run, check.trace, self, {
    db = db, sets = options.sets, profile = options.profile, device = options.device, precision = options.precision,
    retry = options.retry, say = say, quiet = options.quiet,
    shown = not options.quiet and function(node) report.classes(db, node) end or nil,
  })
  if ok and not options.quiet then report.print(db, root, counts) end
  if not options.db then db:close() end
  if not ok then check.rethrow(root) end
  return counts.failed or 0
end

--- True for declarations.
function experiment.is(value)
  return getmetatable(value) == class
end

--- The declaration that a file returns.
function experiment.load(path)
  local chunk, problem = loadfile(path)
  if not chunk then check.raise("io", "experiment: %s", problem) end
  local declared = chunk()
  if not experiment.is(declared) then
    check.raise("argument", "%s must return mien.experiment{ ... }, it returns %s", path, check.describe(declared))
  end
  declared.file = path
  return declared
end

return setmetatable(experiment, {
  __call = function(_, declaration)
    check.type(declaration, "table", "mien.experiment")
    schema.check(declaration)
    if declaration.name == nil then check.raise("argument", "mien.experiment: name is missing") end
    home.name(declaration.name, "the experiment's name")
    return setmetatable({ declaration = declaration, name = declaration.name, about = declaration.about }, class)
  end,
})
