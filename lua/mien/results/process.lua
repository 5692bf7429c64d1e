-- Which process works on a run, and whether it still lives.
-- Not here: taking a run over (results/run.lua).
local read = require "mien.base.read"
local lfs = require "lfs"

local process = {}

--- Start time of a process in clock ticks since boot: tells a process from a later one with its number.
function process.start_of(pid)
  local stat = read("/proc/" .. pid .. "/stat")
  local after = stat and stat:match "^.*%) (.*)$"
  if not after then return nil end
  local field = 2
  for word in after:gmatch "%S+" do
    field = field + 1
    if field == 3 and (word == "Z" or word == "X") then return nil end
    if field == 22 then return word end
  end
end

process.host = (read "/proc/sys/kernel/hostname" or "unknown"):gsub("%s+$", "")
process.pid = (read "/proc/self/stat" or "0"):match "^%d+"
-- containers may share the host's name, and count their processes apart
process.space = (lfs.symlinkattributes("/proc/self/ns/pid", "target") or ""):match "%d+" or "0"
process.name = ("%s:%s:%s:%s"):format(process.host, process.pid, process.start_of(process.pid) or 0, process.space)

--- The parts of a process's name: host, number, start time and number space (nil: an older mien did not note it).
local function parts(name)
  local host, pid, start, space = name:match "^(.*):(%d+):(%d+):(%d+)$"
  if not host then host, pid, start = name:match "^(.*):(%d+):(%d+)$" end
  return host, pid, start, space
end

--- Does the process of this name live? nil when it runs on another host, or in another container of this one, where
-- nobody here can look; the second result is true when that is on this host.
function process.alive(name)
  local host, pid, start, space = parts(name)
  if not host then return false end
  if host ~= process.host then return nil, false end
  if space and space ~= process.space then return nil, true end
  return process.start_of(pid) == start
end

--- A process's name for people: "17 on host".
function process.shown(name)
  local host, pid = parts(name)
  return ("%s on %s"):format(pid or "?", host or name)
end

--- The name of the processor, or of the GPU ("cuda"), for the record.
function process.device(where)
  if where == "cuda" then return ("cuda (%s)"):format(require("mien.device").info().device or "?") end
  local model = (read "/proc/cpuinfo" or ""):match "model name%s*:%s*([^\n]+)"
  return "cpu" .. (model and " (" .. model .. ")" or "")
end

--- The commit of the sources, from git's own files; nil outside a clone.
function process.commit(root)
  local pointer = read(root .. "/.git")
  local git = pointer and pointer:match "^gitdir: ([^\n]+)" or root .. "/.git"
  local head = read(git .. "/HEAD")
  local ref = head and head:match "^ref: ([^\n]+)"
  if not ref then return head and head:sub(1, 12) end
  local common = read(git .. "/commondir")
  local base = common and git .. "/" .. common:match "^[^\n]+" or git
  local hash = read(base .. "/" .. ref)
  if not hash then
    for line in (read(base .. "/packed-refs") or ""):gmatch "[^\n]+" do
      if line:sub(42) == ref then hash = line end
    end
  end
  return hash and hash:sub(1, 12)
end

return process
