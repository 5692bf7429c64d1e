-- What an attempt uses: frames and seconds of training, energy where the kernel tells, the largest memory.
-- Not here: storing it (results/run.lua), what it comes to per run (view `cost`).
local read = require "mien.base.read"
local lfs = require "lfs"

local meter = {}
meter.__index = meter

--- The energy counters of the processors' packages (RAPL, of Intel and AMD) that may be read: a list of { path, range
-- in microjoules at which it begins anew }, nil when one may not (most systems let only root read them).
local function packages(folder)
  if lfs.attributes(folder, "mode") ~= "directory" then return nil end
  local list = {}
  for entry in lfs.dir(folder) do
    if entry:match "^intel%-rapl:%d+$" then
      local at = folder .. "/" .. entry .. "/"
      local range = tonumber(read(at .. "max_energy_range_uj"))
      if not (range and tonumber(read(at .. "energy_uj"))) then return nil end
      list[#list + 1] = { path = at .. "energy_uj", range = range }
    end
  end
  return #list > 0 and list or nil
end

--- Adds what the counters gained since the last look; they begin anew after some minutes, so look often.
local function look(self)
  for _, package in ipairs(self.packages or {}) do
    local now = tonumber(read(package.path))
    if not now then
      self.packages, self.joules = nil, nil
      return
    end
    local gained = now - (package.last or now)
    if gained < 0 then gained = gained + package.range end
    package.last, self.joules = now, self.joules + gained / 1e6
  end
end

--- Begins to measure. folders: of the kernel's power counters and of this process, for tests.
function meter.start(folders)
  folders = folders or { power = "/sys/class/powercap", process = "/proc/self" }
  local self = setmetatable({ frames = 0, seconds = 0, packages = packages(folders.power), process = folders.process },
    meter)
  if self.packages then self.joules = 0 end
  look(self)
  -- the largest memory counts from now on, not from an earlier run of this process
  local clear = io.open(self.process .. "/clear_refs", "w")
  self.remembers = clear and clear:write "5" and clear:close() or false
  return self
end

--- Frames that were trained on, and the seconds that took.
function meter:add(frames, seconds)
  self.frames, self.seconds = self.frames + frames, self.seconds + seconds
end

--- What was used until now: { frames, seconds, joules, memory in bytes }; joules and memory are nil where the kernel
-- does not tell.
function meter:used()
  look(self)
  local peak = self.remembers and (read(self.process .. "/status") or ""):match "VmHWM:%s*(%d+) kB"
  return { frames = self.frames, seconds = self.seconds, joules = self.joules, memory = peak and tonumber(peak) * 1024 }
end

return meter
