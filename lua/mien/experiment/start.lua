-- Where the weights of an arm begin, as a run sees it: the file, what makes it the same, how its input was scaled.
-- Not here: the initialisers (init.lua), which experiment makes a file (experiment/tree.lua).
local check = require "mien.base.check"
local code = require "mien.results.code"
local literal = require "mien.base.literal"
local sha256 = require "mien.base.sha256"

local start = {}

--- The start with the path where its file lies, where it has one.
function start.resolve(initialiser, path)
  if not initialiser then return require("mien.nn.initialisers").xavier() end
  if not path then return initialiser end
  return initialiser:at(path)
end

--- A declared path with the profile's name in it.
function start.path(path, profile)
  return (path:gsub("%$profile", profile))
end

--- What makes two starts the same: the initialiser (somebody's own by its code), or the hash of the run that makes the
-- file, or without one the file's contents.
function start.identity(initialiser, hash)
  if not initialiser.path then
    local apply = initialiser.apply
    if check.is_mien(debug.getinfo(apply, "S").source) then return initialiser:describe() end
    local text = code.source(apply) .. literal.encode(code.of(apply, "apply"))
    return ("%s, code %s"):format(initialiser:describe(), sha256.text(text):sub(1, 16))
  end
  return initialiser.transfer .. " " .. (hash or initialiser:identity())
end

local PIXELS = { mean = { 0, 0, 0 }, sd = { 1, 1, 1 } } -- pixels / 255

--- Scaling of the input: the declaration's, else the start's own, which must say it; without a file pixels / 255. The
-- second result is a note where the declaration's is not the start's.
function start.scale(config, initialiser)
  local declared, path = config.data.scale, initialiser.path
  if not path then return declared or PIXELS end
  local meta = initialiser:meta()
  local own = meta.scale_mean and meta.scale_sd and { mean = meta.scale_mean, sd = meta.scale_sd }
  if not own and not declared then
    check.raise("format", "%s does not say how its input was scaled (scale_mean, scale_sd): say it in data.scale; pixels / "
      .. "255 are { mean = { 0, 0, 0 }, sd = { 1, 1, 1 } }", path)
  end
  local note
  if own and declared and literal.encode(own) ~= literal.encode(declared) then
    note = ("data.scale is %s, but the weights of %s have seen pixels scaled by %s"):format(literal.encode(declared), path,
      literal.encode(own))
  end
  return declared or own, note
end

--- Starts an arm's network from its file and lets it go again; why it cannot be, or nil.
function start.try(arm)
  local ok, problem = pcall(require("mien.tensor.scope").run, function()
    local model = require("mien.experiment.network").build(arm.config, arm.corpus)
    arm.start:apply(model, require("mien.tensor.rng").stream(0, "init"))
  end)
  if ok then return nil end
  if not check.is_error(problem) or problem.code == "interrupted" then check.rethrow(problem) end
  return problem.message
end

return start
