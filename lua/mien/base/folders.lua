-- The folder of a path, made when it is not there.
-- Not here: which paths there are (base/home.lua).
local C = require "mien.base.ffi"
local check = require "mien.base.check"

local folders = {}

--- Makes the folder in which a file is to be written, with its parents; returns the path.
function folders.make_for(path)
  local folder = path:match "^(.+)/[^/]*$"
  if folder then check.status(C.mien_folder_make(folder)) end
  return path
end

return folders
