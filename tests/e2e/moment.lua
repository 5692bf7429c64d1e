-- Does something at a chosen moment of a run: MOMENT="beat 17" DO="Lua code" in the environment of `mien run`.
-- Moments are counted, never timed: load (1), beat (a batch is done), save (a checkpoint is about to be written).
-- Not here: which moments are worth it (resume_spec.lua).
local run = require "mien.results.run"
local state = require "mien.checkpoint.state"

require("ffi").cdef "int raise(int signal); unsigned ualarm(unsigned microseconds, unsigned again);"

local kind, left = (os.getenv "MOMENT" or ""):match "^(%a+) (%d+)$"

local function reach(name)
  if name ~= kind then return end
  left = left - 1
  if left == 0 then assert(loadstring(os.getenv "DO"))() end
end

--- Calls of owner[name] count as moments before they happen.
local function count(kind_of, owner, name)
  local original = owner[name]
  owner[name] = function(...)
    reach(kind_of)
    return original(...)
  end
end

count("beat", run, "beat")
count("save", state, "save")
reach "load"
