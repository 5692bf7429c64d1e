-- The wish to stop (Ctrl-C, SIGTERM, SIGHUP), for who honours it: saves what there is before the error goes on.
-- Not here: who raises the error (ops, loader, the hook of the executable), how long that may take (core/host/watch.h).
local C = require "mien.base.ffi"
local check = require "mien.base.check"

local interrupt = {}

--- True for the error that a wish to stop raises.
function interrupt.is(err)
  return check.is_error(err) and err.code == "interrupted"
end

--- From here on nothing is broken off any more; the next signal ends the process at once.
function interrupt.honour()
  C.mien_interrupt_clear()
  local ok, host = pcall(require, "mien.host") -- a plain luajit has none
  if ok then host.interrupt_honour() end
end

--- Raises the error when somebody wishes to stop.
function interrupt.poll()
  if C.mien_interrupt_requested() then check.raise("interrupted", "interrupted") end
end

--- Waits; a wish to stop ends it.
function interrupt.sleep(seconds)
  local till = C.mien_time_monotonic() + seconds
  repeat
    C.mien_time_sleep(math.max(0, math.min(0.1, till - C.mien_time_monotonic())))
    interrupt.poll()
  until C.mien_time_monotonic() >= till
end

return interrupt
