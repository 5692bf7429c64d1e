-- The searches of post-processing beside bottleneck and SciPy, round by round in alternation.
-- Not here: the other programs' side (post_peer.py), how many combinations there are (docs/performance.md).
local ffi = require "ffi"
local mien = require "mien"
local C = require "mien.base.ffi"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
package.path = here .. "?.lua;" .. package.path
local rounds = require "rounds"
local side = require "side"
local usage = require("mien.cli").usage

local USAGE = [[
mien tests/bench/post.lua [--python PYTHON] [--pairs N] [--recordings N] [--frames N]

Times medians of every window from 1 to 501 frames, and the whole of post.joint with delays from 0 to 250 frames,
beside bottleneck and SciPy, after a look whether all find the same scores.

  --python PYTHON  one that has NumPy, SciPy and bottleneck (without it only ours is timed)
  --pairs N        rounds (3)
  --recordings N   (15)
  --frames N       of each (7500)
]]

local options = { pairs = 3, recordings = 15, frames = 7500 }
for i = 1, #arg, 2 do
  local name = arg[i]:match "^%-%-(%l+)$" or arg[i]
  if arg[i] == "--help" or arg[i] == "-h" then
    io.write(USAGE)
    return
  end
  if name ~= "python" and not options[name] then usage("post.lua: there is no option %s; --help lists them", arg[i]) end
  local value = arg[i + 1] or usage("post.lua: %s needs a value", arg[i])
  if options[name] and not value:match "^[1-9]%d*$" then usage("post.lua: %s wants a number, got %s", arg[i], value) end
  options[name] = options[name] and tonumber(value) or value
end

local WINDOW = 501

--- A slow signal, and predictions of it that come early, squeezed and noisy; all recordings in one buffer.
local function made_up()
  local total = options.recordings * options.frames
  local source, x, y = mien.rng.stream(1, "post"), ffi.new("double[?]", total), ffi.new("double[?]", total)
  for r = 0, options.recordings - 1 do
    local first, slope, level = r * options.frames, 0, 0
    for t = first, first + options.frames - 1 do
      slope = 0.98 * slope + 0.02 * source:normal()
      level = 0.995 * level + slope
      y[t] = 0.3 * level
    end
    for t = first, first + options.frames - 1 do
      x[t] = 0.4 * y[math.min(t + 20, first + options.frames - 1)] + 0.3 + 0.15 * source:normal()
    end
  end
  return x, y, total
end

local x, y, total = made_up()
local lengths = ffi.new("int64_t[?]", options.recordings, options.frames)
local predictions, gold, frames = {}, {}, {}
for r = 1, options.recordings do
  local first = (r - 1) * options.frames
  predictions[r], gold[r], frames[r] = x + first, y + first, options.frames
end
local scores = ffi.new("double[?]", (WINDOW + 1) / 2)

local ours = {
  medians = function()
    mien.check.status(C.mien_search_median(x, y, lengths, options.recordings, WINDOW, scores))
  end,
  joint = function()
    mien.post.joint(predictions, gold, { lengths = frames, fps = 25, max_median = 20, max_shift = 10 })
  end,
}

local function peer()
  if not options.python then return nil end
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(ffi.string(x, 8 * total), ffi.string(y, 8 * total))
  file:close()
  local self = side.start("", { options.python, here .. "post_peer.py", path, tostring(options.recordings) })
  local versions, problem = self.read()
  os.remove(path)
  if not versions then usage("post.lua: %s: %s", options.python, problem) end
  print(versions)
  ours.medians()
  for _, window in ipairs { 1, 31, WINDOW } do
    local difference = math.abs(self.number("score " .. window) - scores[(window - 1) / 2])
    local same = difference < 1e-9
    if not same then error(("window %d: the scores differ by %g"):format(window, difference), 0) end
  end
  return self
end

local cases = { -- what runs, and beside which of the other programs
  { "medians", "bottleneck" }, { "medians", "scipy" }, { "joint", "scipy" },
}
local other = peer()
print(("%-9s %-11s %9s %9s %9s"):format("", "beside", "ours, s", "theirs, s", "ratio"))
for _, case in ipairs(cases) do
  local what, program = unpack(case)
  local mine, theirs = {}, {}
  for i = 1, options.pairs do
    local started = C.mien_time_monotonic()
    ours[what]()
    mine[i] = C.mien_time_monotonic() - started
    theirs[i] = other and other.number(what .. " " .. program)
  end
  local text = ("%-9s %-11s %9.3f"):format(what, other and program or "", rounds.summary(mine)[1])
  if other then
    text = text .. (" %9.3f %9.1f"):format(rounds.summary(theirs)[1], rounds.summary(rounds.ratios(theirs, mine))[1])
  end
  print(text)
end
if other then other.close() end
