-- Memory and time of a training step of ResNet-50 + LSTM: everything kept, batch norm's outputs made again
-- (the default), the inside of blocks made again. Not here: other programs (step.lua).
--   ./mien tests/bench/memory.lua [--frames 16] [--modes keep,default,blocks] [--pairs 3]
-- Peak RSS is a process's highest ever: name one mode a run to read it.
local mien = require "mien"
local C = require "mien.ffi"

local options = { frames = 16, pairs = 3, modes = "keep,default,blocks" }
for i = 1, #arg, 2 do
  local key = arg[i]:match "^%-%-(%l+)$"
  if not options[key] or not arg[i + 1] then error("no such option, or no value: " .. arg[i], 0) end
  options[key] = tonumber(arg[i + 1]) or arg[i + 1]
end

--- A figure of the kernel's about this process, in MiB.
local function status(name)
  for line in io.lines "/proc/self/status" do
    local kilobytes = line:match("^" .. name .. ":%s+(%d+) kB")
    if kilobytes then return tonumber(kilobytes) / 1024 end
  end
end

local model = mien.models.recurrent {
  features = mien.models.resnet50(), hidden = 256, layers = 2, outputs = { "arousal", "valence" },
}
local optimiser = mien.optim.adam(model:parameters(), { lr = 4e-5 })
local frames, target = mien.randn { 2, options.frames / 2, 3, 150, 150 }, mien.randn { 2, options.frames / 2, 2 }

local function step(mode)
  C.mien_tape_keep_all(mode == "keep")
  model.features:recompute(mode == "blocks" and "blocks" or "none")
  optimiser:zero_grad()
  C.mien_memory_reset_peak(C.MIEN_DEVICE_CPU)
  local started = C.mien_time_monotonic()
  mien.scope(function()
    mien.loss.ccc((model(frames)), target):backward()
    optimiser:step()
  end)
  return C.mien_time_monotonic() - started, mien.memory().peak / 2 ^ 20
end

local modes, times, peaks = {}, {}, {}
for mode in options.modes:gmatch "[^,]+" do
  mien.check.one_of(mode, { "keep", "default", "blocks" }, "--modes")
  modes[#modes + 1], times[mode] = mode, {}
  step(mode)
end
for round = 1, options.pairs do
  for _, mode in ipairs(modes) do times[mode][round], peaks[mode] = step(mode) end
end
print(("%-8s %8s %12s %14s %12s"):format("mode", "frames", "ms a step", "tensors, MiB", "RSS, MiB"))
for _, mode in ipairs(modes) do
  table.sort(times[mode])
  print(("%-8s %8d %12.0f %14.0f %12.0f"):format(mode, options.frames,
    1e3 * times[mode][math.floor((options.pairs + 1) / 2)], peaks[mode], status "VmHWM"))
end
