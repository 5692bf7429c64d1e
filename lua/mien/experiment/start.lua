-- Where the weights of an arm begin, as a run sees it: the file, who makes it, and how its input was scaled.
-- Not here: the initialisers (init.lua), running what makes a file (experiment/plan.lua).
local check = require "mien.check"
local home = require "mien.home"
local results_run = require "mien.results.run"
local lfs = require "lfs"

local start = {}

--- The start with its path resolved: $profile stands for the profile's name; `moved` says where prerequisites have
-- put weights that the declaration knows under another name.
function start.resolve(initialiser, profile, moved)
  if not initialiser then return require("mien.init").xavier() end
  if type(initialiser.apply) ~= "function" then
    check.raise("argument", "start: mien.init.xavier(), mien.init.from \"weights.h5\" ... is wanted, got %s",
      check.describe(initialiser))
  end
  if not initialiser.path then return initialiser end
  local path = start.path(initialiser.path, profile)
  path = home.find(moved and moved[path] or path)
  return require("mien.init").from { path, transfer = initialiser.transfer }
end

--- A declared path with the profile's name in it.
function start.path(path, profile)
  return (path:gsub("%$profile", profile))
end

--- What makes two starts the same: the initialiser, or the run that made the file (made: path -> hash), or the
-- file's contents.
function start.identity(initialiser, made)
  if not initialiser.path then return initialiser:describe() end
  local hash = made[initialiser.path]
  if not hash then
    if not lfs.attributes(initialiser.path) then
      check.raise("io", "there is no weights file %s, and none of the prerequisites makes it",
        home.short(initialiser.path))
    end
    hash = results_run.file_hash(initialiser.path)
  end
  return initialiser.transfer .. " " .. hash
end

--- Scaling of the input: the declaration's, else the start's own, else pixels / 255.
function start.scale(config, initialiser)
  if config.data.scale then return config.data.scale end
  if initialiser.path then
    local meta = initialiser:meta()
    if meta.scale_mean and meta.scale_sd then return { mean = meta.scale_mean, sd = meta.scale_sd } end
  end
  return { mean = { 0, 0, 0 }, sd = { 1, 1, 1 } }
end

return start
