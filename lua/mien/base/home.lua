-- Where this workbench keeps its files: the folder of results.db, runs/, weights/, corpora/, experiments/.
-- Not here: what is kept there, and the place of Lua's own files (package.path).
local lfs = require "lfs"

local home = {}

local function is_folder(path)
  return lfs.attributes(path, "mode") == "directory"
end

--- The folder with mien's own sources (experiments/, datasets/); nil when only Lua was installed.
local function find_root()
  local ok, host = pcall(require, "mien.host")
  local root = ok and host.root or debug.getinfo(1, "S").source:match "^@(.*)/lua/mien/base/home%.lua$"
  return root and is_folder(root .. "/experiments") and (root:gsub("/[^/]+/%.%.$", "")) or nil
end

--- MIEN_HOME, else the folder of the sources, else the working folder.
local function find()
  local named = os.getenv "MIEN_HOME"
  if named and named ~= "" then return named end
  return home.root or "."
end

home.root = find_root()
home.folder = find()

local LONGEST = 128 -- bytes: what is added to a name (seed, hash, .partial) fits into a file's 255

--- Checks a name that becomes part of a path below the home folder (of an experiment, arm, profile), so that it stays
-- there and names one thing; returns it. `what` says whose name it is.
function home.name(name, what)
  local wrong = type(name) ~= "string" and "no text"
    or name == "" and "empty"
    or #name > LONGEST and ("longer than %d bytes"):format(LONGEST)
    or name:find "[%c]" and "holds a control character"
    or name:find "/" and "holds a /"
    or name:find "^%.+$" and "no name of a file"
  if wrong then
    local shown = type(name) == "string" and ('"%s"'):format((name:sub(1, 40):gsub("%c", "?"))) or tostring(name)
    require("mien.base.check").raise("argument", "%s %s: %s; it becomes the name of a folder", what, shown, wrong)
  end
  return name
end

--- A path of the workbench: relative ones start at the home folder.
function home.path(path)
  if path:sub(1, 1) == "/" or home.folder == "." then return path end
  return home.folder .. "/" .. path
end

--- A file that somebody named: seen from the working folder, else from home, else among mien's sources.
function home.find(path)
  if path:sub(1, 1) == "/" or lfs.attributes(path) then return path end
  local inside = home.path(path)
  if lfs.attributes(inside) then return inside end
  local own = home.root and home.root .. "/" .. path
  return own and lfs.attributes(own) and own or path
end

--- A path as people want to read it: without the home folder in front.
function home.short(path)
  local prefix = home.folder .. "/"
  return path:sub(1, #prefix) == prefix and path:sub(#prefix + 1) or path
end

return home
