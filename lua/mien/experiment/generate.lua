-- Calls the procedural generator for a corpus that a profile asks for.
-- Not here: rendering (datasets/procedural).
local check = require "mien.check"
local home = require "mien.home"
local lfs = require "lfs"

local generate = {}

local function generator()
  local script = (home.root or ".") .. "/datasets/procedural.lua"
  local chunk, problem = loadfile(script)
  if not chunk then check.raise("io", "the procedural generator is missing: %s", problem) end
  return chunk()
end

local function with_path(options, path, progress)
  local all = { path = path, progress = progress }
  for key, value in pairs(options) do all[key] = value end
  return all
end

--- Raises what is wrong with the options, which are those of datasets/procedural.lua; `what` names them.
function generate.check(options, what)
  generator().check(with_path(options, ""), what)
end

--- Makes the corpus at `path`, unless it is there from the same recipe. Returns whether it was made now. One process
-- makes it while others that want it wait; `waiting` is called once when there is one to wait for.
function generate.make(path, options, waiting)
  local lock = path .. ".lock"
  local file, problem = io.open(lock, "w")
  if not file then check.raise("io", "cannot make %s: %s", path, problem) end
  local told = false
  while not lfs.lock(file, "w") do -- a process that ends, however it ends, gives the lock back
    if not told then waiting() end
    told = true
    require "mien.experiment.wait"(0.2)
  end
  local ok, _, made = xpcall(generator().make, check.trace, with_path(options, path))
  os.remove(lock)
  file:close()
  if not ok then check.rethrow(_) end
  return made
end

return generate
