-- Calls the procedural generator for a corpus that a profile asks for.
-- Not here: rendering (datasets/procedural).
local check = require "mien.base.check"
local home = require "mien.base.home"

local generate = {}

local function generator()
  local script = (home.root or ".") .. "/datasets/procedural.lua"
  local chunk, problem = loadfile(script)
  if not chunk then check.raise("io", "the procedural generator is missing: %s", problem) end
  return chunk()
end

local function with(options, more)
  for key, value in pairs(options) do more[key] = value end
  return more
end

--- Raises what is wrong with the options, which are those of datasets/procedural.lua; `what` names them.
function generate.check(options, what)
  generator().settle(with(options, { out = "" }), what)
end

--- Makes the corpus at `path`, unless it is there from the same recipe. Returns whether it was made now. One process
-- makes it while others that want it wait; `waiting` is called once when there is one to wait for.
function generate.make(path, options, waiting)
  return generator().make(with(options, { out = path, waiting = waiting })).made
end

return generate
