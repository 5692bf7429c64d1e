-- Calls the procedural generator for a corpus that a profile asks for.
-- Not here: rendering (datasets/procedural).
local home = require "mien.home"

--- Writes the corpus at `path`; options are those of datasets/procedural.lua.
return function(path, options)
  local generator = dofile(home.path "datasets/procedural.lua")
  return generator.make(path, options)
end
