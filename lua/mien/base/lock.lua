-- Locks on files: what one process at a time does.
-- Not here: how they are held (core/store/lock.c).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"

local lock = {}
lock.__index = lock

local busy = ffi.new "bool[1]"

--- Takes the lock of a file, which is made; nil and "busy" when somebody has it, nil and the error of the code
-- "unsupported" where the file system has no locks. A process that ends, however it ends, gives its locks back.
function lock.take(path)
  local pointer = C.mien_lock_take(path, busy)
  if pointer ~= nil then return setmetatable({ pointer = ffi.gc(pointer, C.mien_lock_release) }, lock) end
  if busy[0] then return nil, "busy" end
  local _, problem = pcall(check.last)
  if problem.code ~= "unsupported" then error(problem, 0) end
  return nil, problem
end

--- Gives it back and removes the file; again is allowed.
function lock:release()
  if self.pointer then C.mien_lock_release(ffi.gc(self.pointer, nil)) end
  self.pointer = nil
end

return lock
