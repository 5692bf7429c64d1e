-- One line on the terminal that is written over while something takes long; nothing where stderr is no terminal.
-- Not here: the lines of a training, which stay (train/progress.lua).
local C = require "mien.base.ffi"

local status_line = {}

local REDRAW = 0.2 -- seconds
local drawn = -math.huge

--- Shows a text in place of the one before; often called, it is drawn five times a second. last: drawn in any case.
function status_line.show(text, last)
  local now = C.mien_time_monotonic()
  if not last and now - drawn < REDRAW or not C.mien_terminal(2) then return end
  drawn = now
  io.stderr:write("\r\27[K", text, "\r")
  io.stderr:flush()
end

--- Takes the line away.
function status_line.clear()
  if drawn == -math.huge then return end
  drawn = -math.huge
  io.stderr:write "\r\27[K"
  io.stderr:flush()
end

return status_line
