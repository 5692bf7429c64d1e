-- Memory and time of a training step of the paper's network with Adam, for each choice of what is kept for backward.
-- Not here: other programs beside it (step.lua), the step itself (ours.lua).
local check = require "mien.base.check"

package.path = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "") .. "?.lua;" .. package.path
local side = require "side"

local USAGE = [[
mien tests/bench/memory.lua [--frames N] [--settings LIST] [--precision LIST] [--steps N]

Trains ResNet-50 + LSTM on two sequences of 150x150 pictures. Each row has a process of its own, one after the
other: RSS is the highest ever of a process.

  --frames N        of both sequences together (300)
  --settings LIST   of keep,default,blocks (default,blocks): batch norm's outputs kept or made again in backward;
                    blocks: the inside of each block made again
  --precision LIST  of f32,bf16 (f32)
  --steps N         timed ones, after one that is not (3)
]]

local function words(list) return list:gmatch "[^,]+" end

local options = { frames = 300, steps = 3, settings = "default,blocks", precision = "f32" }
for i = 1, #arg, 2 do
  local key = arg[i]:match "^%-%-(%l+)$"
  if not options[key] or not arg[i + 1] then error(USAGE, 0) end
  options[key] = tonumber(arg[i + 1]) or arg[i + 1]
end

--- Median seconds of a step, then the highest bytes in tensors and of the process.
local function measure(precision, setting)
  local ours, times = side.ours(), {}
  local _, problem = ours.ask(("make full %s %s %d"):format(precision, setting, options.frames))
  if problem then error(("%s %s: %s"):format(precision, setting, problem), 0) end
  for i = 1, options.steps do times[i] = ours.number "go" end
  table.sort(times)
  local tensors, resident = ours.number "tensors", ours.number "memory"
  ours.close()
  return times[math.ceil(options.steps / 2)], tensors / 2 ^ 30, resident / 2 ^ 30
end

io.stdout:setvbuf "line"
print(("%-9s %-8s %6s %9s %12s %8s"):format("precision", "setting", "frames", "s a step", "tensors, GiB", "RSS, GiB"))
for precision in words(options.precision) do
  for setting in words(options.settings) do
    check.one_of(setting, { "keep", "default", "blocks" }, "--settings")
    print(("%-9s %-8s %6d %9.2f %12.2f %8.2f"):format(precision, setting, options.frames, measure(precision, setting)))
  end
end
