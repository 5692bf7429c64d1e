-- What a user should know once and is no error (a slower path, a cache that cannot be kept), wherever it was noticed.
-- Not here: who notes it (C.mien_notice), errors (check.lua).
local ffi = require "ffi"
local C = require "mien.ffi"

local notices = {}

local function on_stderr(text)
  io.stdout:flush()
  io.stderr:write("mien: ", text, "\n")
end

--- Hands every notice that was not shown yet to say(text), or writes it to stderr.
function notices.tell(say)
  local text = ffi.new "char[640]"
  while C.mien_notice_take(text, 640) do (say or on_stderr)(ffi.string(text)) end
end

return notices
