-- Labels stay with their frames: videos whose every frame shows its number, imported with traces, have the right number at
-- every row, for constant and variable rates, frames that are missing, late beginnings and rates that the file says wrongly.
-- Not here: how a container's clock is read (tests/c/test_video.c).
local mien = require "mien"
local numbered = require "tests.lua.numbered_video"
local tiny = require "tests.lua.tiny"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local videos = dofile(here .. "../../datasets/videos.lua")
local recola = dofile(here .. "../../datasets/recola.lua")

local function every(step, n, first)
  local times = {}
  for i = 1, n do times[i] = math.floor((first or 0) + (i - 1) * step + 0.5) end
  return times
end

local function without(times, from, to)
  local kept = {}
  for i, ms in ipairs(times) do
    if i < from or i > to then kept[#kept + 1] = ms end
  end
  return kept
end

--- Times that come and go, as a camera in the dark has them.
local function wandering(n)
  local times, at, state = {}, 0, 7
  for i = 1, n do
    times[i] = at
    state = state * 16807 % 2147483647
    at = at + 20 + state % 60
  end
  return times
end

local CASES = {
  { "constant rate", every(40, 100) }, { "30 a second in whole milliseconds", every(1000 / 30, 120) },
  { "variable rate", wandering(90) }, { "frames missing", without(every(40, 110), 30, 52) },
  { "a file that does not begin at 0", every(40, 90, 500) }, { "a rate that the file says wrongly", every(40, 90),
    { duration = 1 } },
  { "a rate twice as high in the middle", (function()
    local times = every(40, 40)
    for _, ms in ipairs(every(20, 60, 1600)) do times[#times + 1] = ms end
    return times
  end)() },
}

--- Which frame is shown at a time, on the clock that begins with the file: the last one that has begun.
local function shown(times, ms)
  local frame = 1
  for i, begun in ipairs(times) do
    if begun - times[1] <= ms + 1 then frame = i end
  end
  return frame
end

describe("labels", function()
  local folder
  before_each(function()
    folder = tiny.folder()
    for _, name in ipairs { "videos", "traces", "boxes" } do assert(require("lfs").mkdir(folder .. "/" .. name)) end
  end)
  after_each(function() tiny.drop(folder) end)

  --- A box that is the whole picture, in every frame.
  local function boxes(name, frames)
    local file = assert(io.open(("%s/boxes/%s.csv"):format(folder, name), "w"))
    file:write "frame,x,y,w,h\n"
    for i = 0, frames - 1 do file:write(("%d,0,0,%d,%d\n"):format(i, numbered.side, numbered.side)) end
    file:close()
  end

  for _, case in ipairs(CASES) do
    local what, times, options = unpack(case)
    it("meet the frame that is shown at their time: " .. what, function()
      for k, name in ipairs { "one", "two" } do
        numbered.write(("%s/videos/%s.mkv"):format(folder, name), times, options)
        boxes(name, #times)
        local file = assert(io.open(("%s/traces/%s.csv"):format(folder, name), "w"))
        file:write "time,arousal\n"
        for i = 0, math.floor((times[#times] - times[1]) / 100) do file:write(("%.3f,%g\n"):format(i / 10,
          (i % 50) / 50 / k)) end
        file:close()
      end
      local result = videos.make { from = folder, boxes = folder .. "/boxes", targets = { "arousal" }, out = folder
        .. "/c.h5",
        size = numbered.side }
      assert.equal(2, result.recordings)
      local c = mien.data.open(folder .. "/c.h5")
      for k, r in ipairs(c.recordings) do
        assert.equal(math.floor((times[#times] - times[1]) / 100) + 1, r.count)
        local labels, stamps = c:labels(r.first, r.count):totable(), c:times(r.first, r.count):totable()
        for row = 1, r.count do
          local pixels = c:pixels(r.first + row - 1, 1):reshape { numbered.side, numbered.side, 3 }
          assert.equal(shown(times, (row - 1) * 100), numbered.read(pixels), ("%s, row %d"):format(r.name, row))
          assert.is_near(((row - 1) % 50) / 50 / k, labels[row][1], 1e-6)
          assert.is_near((row - 1) / 10, stamps[row], 1e-9)
        end
      end
      c:close()
    end)
  end

  it("of RECOLA's form meet the frame at each 40 ms, also where the video has another rate", function()
    local rows = { "time;FM1;FM2;FM3;FF1;FF2;FF3" }
    for i = 0, 60 do rows[#rows + 1] = ("%.2f"):format(i / 25) .. (";%g"):format(i / 100):rep(6) end
    local times = every(1000 / 30, 90)
    for _, name in ipairs { "P16", "P17" } do
      for _, target in ipairs { "arousal", "valence" } do
        local at = ("%s/RECOLA-Annotation/emotional_behaviour/%s"):format(folder, target)
        os.execute(("mkdir -p '%s'"):format(at))
        local file = assert(io.open(("%s/%s.csv"):format(at, name), "w"))
        file:write(table.concat(rows, "\n"), "\n")
        file:close()
      end
      os.execute(("mkdir -p '%s/RECOLA-Video-recordings'"):format(folder))
      numbered.write(("%s/RECOLA-Video-recordings/%s.mkv"):format(folder, name), times)
      boxes(name, #times)
    end
    local result = recola.make { from = folder, split = "paper46", boxes = folder .. "/boxes", out = folder .. "/r.h5",
      size = numbered.side }
    assert.equal(2, result.recordings)
    local c = mien.data.open(folder .. "/r.h5")
    for _, r in ipairs(c.recordings) do
      assert.equal(60, r.count)
      for row = 1, r.count do
        local pixels = c:pixels(r.first + row - 1, 1):reshape { numbered.side, numbered.side, 3 }
        assert.equal(shown(times, row * 40), numbered.read(pixels), ("%s, row %d"):format(r.name, row))
      end
    end
    c:close()
  end)
end)
