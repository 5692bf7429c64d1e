-- What a user should know once and is no error (a slower path, a cache that cannot be kept), wherever it was noticed.
-- Not here: who notes it (C.mien_notice), errors (check.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"

local notices = {}

local function on_stderr(text) io.stderr:write("mien: ", text, "\n") end

--- Shows every notice that was not shown yet: by say(text), else, also where that is not true, on stderr.
function notices.tell(say)
  local buffer = ffi.new "char[640]"
  while C.mien_notice_take(buffer, 640) do
    local text = ffi.string(buffer)
    if not (say and say(text)) then on_stderr(text) end
  end
end

return notices
