-- Memory and time of a training step of ResNet-50 + LSTM with Adam: everything kept, batch norm's outputs made
-- again (the default), the inside of blocks made again. Not here: other programs (step.lua).
--   ./mien tests/bench/memory.lua [--frames 300] [--modes keep,default,blocks] [--steps 3]
-- Each mode has a process of its own, one after the other: the kernel's figure of RSS is the highest ever.
local lfs = require "lfs"
local mien = require "mien"
local C = require "mien.ffi"

local MODES = { "keep", "default", "blocks" }

-- ---- one mode: in a process of its own -------------------------------------------------------------

--- A figure of the kernel's about this process, in MiB.
local function status(name)
  for line in io.lines "/proc/self/status" do
    local kilobytes = line:match("^" .. name .. ":%s+(%d+) kB")
    if kilobytes then return tonumber(kilobytes) / 1024 end
  end
end

local function seconds_of(fn)
  local started = C.mien_time_monotonic()
  fn()
  return C.mien_time_monotonic() - started
end

--- Prints one line: median seconds of a step, then MiB: highest in tensors, idle in the pool, highest RSS.
local function measure(mode, frames, steps)
  C.mien_tape_keep_all(mode == "keep")
  local model = mien.models.recurrent {
    features = mien.models.resnet50 { recompute = mode == "blocks" and "blocks" or nil },
    hidden = 256, layers = 2, outputs = { "arousal", "valence" },
  }
  local optimiser = mien.optim.adam(model:parameters(), { lr = 4e-5 })
  local input, target = mien.randn { 2, frames / 2, 3, 150, 150 }, mien.randn { 2, frames / 2, 2 }
  local times = {}
  for i = 0, steps do -- step 0 builds the kernels and meets new pages
    times[i] = seconds_of(function()
      mien.scope(function()
        optimiser:zero_grad()
        mien.loss.ccc((model(input)), target):backward()
        optimiser:step()
      end)
    end)
  end
  table.sort(times)
  local memory = mien.memory()
  print(times[math.floor((steps + 1) / 2)], memory.peak / 2 ^ 20, memory.pooled / 2 ^ 20, status "VmHWM")
end

-- ---- all modes -------------------------------------------------------------------------------------

local function run(mode, options)
  local script = debug.getinfo(1, "S").source:sub(2)
  local child = assert(io.popen(("'%s' '%s' --frames %d --steps %d --child %s"):format(
    lfs.symlinkattributes("/proc/self/exe", "target"), script, options.frames, options.steps, mode)))
  local line = child:read "*l"
  child:close()
  local figures = {}
  for word in (line or ""):gmatch "%S+" do figures[#figures + 1] = tonumber(word) end
  if #figures ~= 4 then error(("%s: the process did not finish; is there memory enough?"):format(mode), 0) end
  return figures
end

local options = { frames = 300, steps = 3, modes = table.concat(MODES, ","), child = "" }
for i = 1, #arg, 2 do
  local key = arg[i]:match "^%-%-(%l+)$"
  if options[key] == nil or not arg[i + 1] then error("no such option, or no value: " .. arg[i], 0) end
  options[key] = tonumber(arg[i + 1]) or arg[i + 1]
end
if options.child ~= "" then return measure(options.child, options.frames, options.steps) end

io.stdout:setvbuf "line"
print(("%-8s %7s %10s %13s %15s %9s"):format("mode", "frames", "s a step", "tensors, MiB", "idle pool, MiB", "RSS, MiB"))
for mode in options.modes:gmatch "[^,]+" do
  mien.check.one_of(mode, MODES, "--modes")
  print(("%-8s %7d %10.2f %13.0f %15.0f %9.0f"):format(mode, options.frames, unpack(run(mode, options))))
end
