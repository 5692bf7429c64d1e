-- Where this workbench keeps its files: the folder of results.db, runs/, weights/, corpora/, experiments/.
-- Not here: what is kept there, and the place of Lua's own files (package.path).
local lfs = require "lfs"

local home = {}

local function is_folder(path)
  return lfs.attributes(path, "mode") == "directory"
end

--- MIEN_HOME, else the folder that holds mien's sources when it holds experiments, else the working folder.
local function find()
  local named = os.getenv "MIEN_HOME"
  if named and named ~= "" then return named end
  local ok, host = pcall(require, "mien.host")
  local root = ok and host.root or debug.getinfo(1, "S").source:match "^@(.*)/lua/mien/home%.lua$"
  if root and is_folder(root .. "/experiments") then return (root:gsub("/build/%.%.$", "")) end
  return "."
end

home.folder = find()

--- A path of the workbench: relative ones start at the home folder.
function home.path(path)
  if path:sub(1, 1) == "/" or home.folder == "." then return path end
  return home.folder .. "/" .. path
end

--- The file that a person named on the command line: seen from where they are, else from home.
function home.find(path)
  if path:sub(1, 1) == "/" or lfs.attributes(path) then return path end
  local inside = home.path(path)
  return lfs.attributes(inside) and inside or path
end

--- A path as people want to read it: without the home folder in front.
function home.short(path)
  local prefix = home.folder .. "/"
  return path:sub(1, #prefix) == prefix and path:sub(#prefix + 1) or path
end

return home
