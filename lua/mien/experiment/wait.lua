-- Waits for what another process is about to do.
-- Not here: what that is (experiment/plan.lua, experiment/generate.lua).
local ffi = require "ffi"
local C = require "mien.ffi"
local check = require "mien.check"

ffi.cdef "int usleep(unsigned int microseconds);"

local STEP = 0.05 -- seconds after which a wish to stop is heard

--- Returns after so many seconds; an interrupt is an error.
return function(seconds)
  local ends = C.mien_time_monotonic() + seconds
  while C.mien_time_monotonic() < ends do
    ffi.C.usleep(STEP * 1e6)
    if C.mien_interrupt_requested() then check.raise("interrupted", "interrupted") end
  end
end
