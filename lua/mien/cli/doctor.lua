-- mien doctor: what this machine has, what is missing and what to do about it.
-- Not here: installing (the launcher) and testing (mien test).
local C = require "mien.base.ffi"
local cli = require "mien.cli"
local host = require "mien.host"
local lfs = require "lfs"

local function line(name, text) print(("%-12s %s"):format(name, text)) end

--- First line that a shell command prints; nil when it fails.
local function answer(command)
  local pipe = io.popen(command .. " 2>/dev/null", "r")
  local text = pipe:read "*l"
  pipe:close()
  return text
end

--- A figure in kB out of /proc/meminfo, as GiB.
local function memory(key)
  for text in io.lines "/proc/meminfo" do
    local kb = text:match("^" .. key .. ":%s*(%d+)")
    if kb then return tonumber(kb) / 2 ^ 20 end
  end
end

local function processor()
  for text in io.lines "/proc/cpuinfo" do
    local name = text:match "^model name%s*:%s*(.*)"
    if name then return name end
  end
  return jit.arch
end

local function try_module(name)
  local ok, message = pcall(require, name)
  return ok and "found" or "missing: " .. tostring(message):match "^[^\n]*"
end

--- What FFmpeg and OpenCV give lives in a library of its own; a call that must fail tells whether it opens.
local function video_part(call, packages)
  local handle = call()
  if handle ~= nil then return "found" end
  local last = C.mien_error_last()
  if last.code ~= C.MIEN_ERR_UNSUPPORTED then return "found" end
  return "missing: apt-get install " .. packages .. ", then remove the folder build"
end

--- The HDF5 corpora that experiments find.
local function corpora()
  local folder, found = require("mien.base.home").path "corpora", {}
  if lfs.attributes(folder, "mode") == "directory" then
    for name in lfs.dir(folder) do
      local size = name:find "%.h5$" and lfs.attributes(folder .. "/" .. name, "size")
      if size then found[#found + 1] = ("%s (%.0f MiB)"):format(name, size / 2 ^ 20) end
    end
  end
  table.sort(found)
  if #found > 0 then return table.concat(found, ", ") end
  return "none in " .. folder .. "; the demo makes its own: mien run experiments/initialisation.lua"
end

--- The GPU, its libraries, and what is missing.
local function gpu()
  local info = require("mien.device").info()
  if info.device then
    line("gpu", ("%s, compute capability %s, %.0f GiB"):format(info.device, info.arch, info.memory / 2 ^ 30))
  end
  if info.missing then line("gpu", "not used: " .. info.missing) end
  if not info.built then return end
  line("cuda", ("driver %s, built with %s"):format(info.driver or "none", info.runtime))
  for _, name in ipairs { "cudnn", "cublaslt", "nccl" } do
    line(name, (info[name] and ("%s in %s"):format(info[name], info[name .. "_path"]) or "missing")
      .. (name == "nccl" and " (only for several GPUs, which mien does not use)" or ""))
  end
end

--- What device = "auto" comes to, and the precisions that can be had.
local function placement()
  local device, precision = require "mien.device", require "mien.device.precision"
  local chosen = device.choose "auto"
  line("device", ('%s, where device = "auto"'):format(chosen))
  local cpu = require("mien.device.backend").describe()
  if not cpu then return end
  local slow = not (cpu:find "bf16" or cpu:find "AMX") and " (bf16 saves memory, its products are in f32)" or ""
  local parts = { "cpu: " .. table.concat(precision.on "cpu", ", ") .. slow }
  if chosen == "cuda" then parts[2] = "cuda: " .. table.concat(precision.on "cuda", ", ") end
  line("precision", table.concat(parts, "; "))
end

--- The CPU's backend and instruction set, and the switches that restrict them.
local function instructions()
  local backend = require "mien.device.backend"
  local isa, sets = backend.isa()
  line("backend", isa and backend.describe() or "not used: " .. sets)
  if isa then
    line("isa", isa .. (#sets > 1 and ("; MIEN_CPU_ISA chooses of %s"):format(table.concat(sets, ", ")) or ""))
  end
end

local function run(args)
  if #args > 0 then cli.usage("mien doctor takes no arguments, not %s", args[1]) end
  line("mien", host.version .. " in " .. host.root)
  line("luajit", jit.version .. (jit.status() and "" or " (compiler off)"))
  local release = answer ". /etc/os-release; echo $PRETTY_NAME" or "an unknown system"
  line("system", ("%s, %s, %s"):format(release, answer "uname -sr" or "?", processor()))
  instructions()
  line("threads", C.mien_threads())
  line("memory", ("%.1f GiB, %.1f GiB free"):format(memory "MemTotal", memory "MemAvailable"))
  line("video", video_part(function()
    return C.mien_video_open ""
  end, "libavformat-dev libavcodec-dev libswscale-dev"))
  line("faces", video_part(function()
    local detector = C.mien_face_detector_new("cascade", nil)
    C.mien_face_detector_close(detector)
    return detector
  end, "libopencv-objdetect-dev opencv-data"))
  gpu()
  placement()
  line("gnuplot", answer "gnuplot --version" or "missing: apt-get install gnuplot-nox")
  line("cjson", try_module "cjson")
  line("argparse", try_module "argparse")
  line("corpora", corpora())
  local database = require("mien.base.home").path "results.db"
  local size = lfs.attributes(database, "size")
  line("results", size and ("%s (%.1f MiB)"):format(database, size / 2 ^ 20) or "no " .. database .. " yet")
  return 0
end

return { summary = "what this machine has and what is missing", run = run }
