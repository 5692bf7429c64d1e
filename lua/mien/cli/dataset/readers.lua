-- The readers of corpora: the files in datasets/, found and loaded by name.
-- Not here: what they declare (datasets/reading/command.lua).
local check = require "mien.base.check"
local home = require "mien.base.home"
local lfs = require "lfs"

local readers = {}

local function folder()
  local path = (home.root or ".") .. "/datasets"
  if lfs.attributes(path, "mode") ~= "directory" then
    check.raise("io", "the readers of corpora are missing: there is no folder %s", path)
  end
  return path
end

--- Names of all readers, sorted.
function readers.names()
  local names = {}
  for entry in lfs.dir(folder()) do names[#names + 1] = entry:match "^(%l[%w_]*)%.lua$" end
  table.sort(names)
  return names
end

--- What datasets/reading/command.lua gives.
function readers.command()
  local path = folder() .. "/?.lua"
  if not package.path:find(path, 1, true) then package.path = path .. ";" .. package.path end
  return require "reading.command"
end

--- The module of a reader: by name, or somebody's own by its path (own.lua).
function readers.load(name)
  readers.command()
  local path = name:find "%.lua$" and home.find(name) or ("%s/%s.lua"):format(folder(), name)
  if not lfs.attributes(path) then check.unknown("mien dataset", "corpus", name, readers.names()) end
  local chunk, problem = loadfile(path)
  if not chunk then check.raise("argument", "%s", problem) end
  local reader = chunk()
  if type(reader) ~= "table" or not reader.wants then
    check.raise("argument", "%s declares no corpus (reading.command: declare)", name)
  end
  return reader
end

return readers
