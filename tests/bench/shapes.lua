-- ResNet-50 + LSTM at many sizes, and VGG-16, beside PyTorch in alternation: is any shape slower than it?
-- Not here: the cases of step.lua; what runs (ours.lua, peer.py).
--   mien tests/bench/shapes.lua [--python PYTHON] [--pairs 3] [--peers compiled,tuned] [--isa avx2] [PATTERN ...]
-- A shape is KIND:NET:SIZE:FRAMES (infer:64:150:16); a PATTERN of Lua chooses some. One row each: ours, PyTorch's fastest
-- of the settings by its median, the ratio of the pairs, GF/s of ours.
local mien = require "mien"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
package.path = here .. "?.lua;" .. package.path
local rounds = require "rounds"
local side = require "side"

local parser = require "argparse"("shapes.lua", "ResNet-50 + LSTM at many sizes, and VGG-16, beside PyTorch.")
parser:option("--python", "one that has PyTorch"):default "python3"
parser:option("--pairs", "rounds of each shape (3)"):default "3":convert(tonumber)
parser:option("--peers", "PyTorch's settings, with commas"):default "tuned"
parser:option("--isa", "both sides with this instruction set at most")
parser:option("--db", "instead of results.db")
parser:argument("patterns", "of shapes"):args "*"
local options = parser:parse { ... }
side.isa = options.isa

local shapes = {}
for _, kind in ipairs { "infer", "train" } do
  for _, size in ipairs { 96, 112, 150, 224 } do
    for _, frames in ipairs { 1, 4, 16, 64 } do
      for _, net in ipairs { "16", "32", "64" } do
        shapes[#shapes + 1] = ("%s:%s:%d:%d"):format(kind, net, size, frames)
      end
    end
  end
  for _, frames in ipairs { 1, 16 } do shapes[#shapes + 1] = ("%s:vgg16:96:%d"):format(kind, frames) end
end

local function wanted(shape)
  for _, pattern in ipairs(options.patterns) do
    if shape:find(pattern) then return true end
  end
  return #options.patterns == 0
end

--- One shape: rows of the table `benchmark`; none when our side or all of theirs fail, which is said.
local function measure(shape, session)
  local result = { name = shape, precision = "f32", setting = "default", times = {}, peers = {} }
  local ours = side.ours()
  assert(ours.ask(("make %s f32 default"):format(shape)))
  local version
  for setting in options.peers:gmatch "[^,]+" do
    local process, problem = side.peer(options.python, setting)
    local made = process and { process.ask(("make %s f32 %s"):format(shape, setting)) }
    if made and made[1] then
      version = "PyTorch " .. process.version
      result.peers[#result.peers + 1] = { setting = setting, times = {}, process = process }
    else
      io.stderr:write(("  %s without %s: %s\n"):format(shape, setting, problem or made[2]))
      if process then process.close() end
    end
  end
  for round = 1, options.pairs do
    result.times[round] = ours.number "go"
    for _, peer in ipairs(result.peers) do peer.times[round] = peer.process.number "go" end
  end
  result.work = ours.number "work"
  ours.close()
  for _, peer in ipairs(result.peers) do peer.process.close() end
  return rounds.rows(result, session, version)
end

local db = mien.results.open(options.db)
local session = require("mien.results.benchmark").utc()
print(("%-20s %10s %7s  %-10s %10s  %s"):format("shape", "mien, ms", "GF/s", "peer", "its ms", "ratio (p10-p90)"))
for _, shape in ipairs(shapes) do
  if wanted(shape) then
    local rows = measure(shape, session)
    rounds.store(db, rows)
    for _, row in ipairs(rows) do
      if row.best or not row.peer then
        print(("%-20s %10.2f %7.1f  %-10s %10s  %s"):format(shape, row.ours * 1e3, row.gflop / row.ours,
          row.peer_setting or "-", row.peer and ("%.2f"):format(row.peer * 1e3) or "-",
          row.ratio and ("%.2f (%.2f-%.2f)"):format(row.ratio, row.ratio_p10, row.ratio_p90) or "-"))
      end
    end
  end
end
db:close()
