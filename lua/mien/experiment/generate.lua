-- Calls the procedural generator for a corpus that a profile asks for.
-- Not here: rendering (datasets/procedural).
local check = require "mien.check"
local home = require "mien.home"

--- Makes the corpus at `path`, unless it is there from the same recipe; options are those of
-- datasets/procedural.lua. Returns whether it was made now.
return function(path, options, progress)
  local script = (home.root or ".") .. "/datasets/procedural.lua"
  local chunk, problem = loadfile(script)
  if not chunk then check.raise("io", "the procedural generator is missing: %s", problem) end
  local all = { path = path, progress = progress }
  for key, value in pairs(options) do all[key] = value end
  local _, made = chunk().make(all)
  return made
end
