-- ResNet-50's weights from a file into a network, beside the libraries of their forms; each time in a process of its own, in
-- alternation. Not here: the other programs' side (weights_peer.py), whether the numbers are right (tests/golden).
local mien = require "mien"
local C = require "mien.base.ffi"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
package.path = here .. "?.lua;" .. package.path
local rounds = require "rounds"
local usage = require("mien.cli").usage

local USAGE = [[
mien tests/bench/weights.lua --python PYTHON [--pairs N] [--folder DIR]

Times loading 98 MB of ResNet-50's weights into a network that is there, and how much memory the process took more at its
peak, in parts of the file: PyTorch's zip file beside torch.load and load_state_dict, safetensors beside its library and
load_state_dict, and with --tensorflow a checkpoint beside TensorFlow's reader, which fills no network.

  --python PYTHON      one that has torch, torchvision and safetensors
  --tensorflow PYTHON  one that has tensorflow
  --pairs N            rounds (5)
  --folder DIR         where the files lie or are written to, about 300 MB (a new one, removed at the end)
]]

local options = { pairs = "5" }
local KNOWN = { ["--python"] = "python", ["--tensorflow"] = "tensorflow", ["--pairs"] = "pairs", ["--folder"] = "folder",
  ["--one"] = "one" }
for i = 1, #arg, 2 do
  if arg[i] == "--help" then
    io.write(USAGE)
    return
  end
  local name = KNOWN[arg[i]] or usage("weights.lua: there is no option %s; --help lists them", arg[i])
  options[name] = arg[i + 1] or usage("weights.lua: %s needs a value", arg[i])
end

--- Largest resident memory of this process so far, in bytes; asked for before and after.
local function peak()
  for line in io.lines "/proc/self/status" do
    local kilobytes = line:match "^VmHWM:%s+(%d+)"
    if kilobytes then return tonumber(kilobytes) * 1024 end
  end
end

if options.one then -- a process of its own
  local strides = options.one:find "%.index$" and "slim" or "torchvision"
  local model = mien.models.resnet50 { strides = strides }
  collectgarbage()
  local before, started = peak(), C.mien_time_monotonic()
  mien.scope(function()
    model:load(mien.weights.load(options.one).tensors, { prefix = "features" })
  end)
  print(C.mien_time_monotonic() - started, peak() - before)
  return
end

if not options.python then usage "weights.lua wants --python" end
local folder = options.folder
if not folder then
  folder = os.tmpname()
  os.remove(folder)
end
assert(os.execute(("mkdir -p '%s'"):format(folder)) == 0)

local function numbers(command)
  local pipe = assert(io.popen(command .. " 2>/dev/null"))
  local line = pipe:read "*l"
  pipe:close()
  local seconds, bytes = (line or ""):match "^(%S+)%s+(%S+)$"
  if not tonumber(seconds) then error(("%s: answered %s"):format(command, line or "nothing"), 0) end
  return tonumber(seconds), tonumber(bytes)
end

local executable = os.getenv "MIEN" or "build/mien"
local FILE = 102.5e6 -- bytes
print(("%-12s %8s %8s %7s %14s %14s"):format("", "ours, s", "theirs", "ratio", "ours, of file", "theirs"))
for _, form in ipairs { "pth", "safetensors", "index" } do
  local python = form == "index" and options.tensorflow or form ~= "index" and options.python
  if python then
    local path = ("%s/resnet50.%s"):format(folder, form)
    local peer = ("'%s' '%sweights_peer.py' '%s'"):format(python, here, path)
    assert(os.execute(peer .. " write >/dev/null 2>&1") == 0, "weights_peer.py could not write " .. path)
    local mine, theirs, room, their_room = {}, {}, {}, {}
    for i = 1, tonumber(options.pairs) do
      mine[i], room[i] = numbers(("'%s' '%sweights.lua' --one '%s'"):format(executable, here, path))
      theirs[i], their_room[i] = numbers(peer .. " read")
    end
    print(("%-12s %8.3f %8.3f %7.2f %14.2f %14.2f"):format(form, rounds.summary(mine)[1], rounds.summary(theirs)[1],
      rounds.summary(rounds.ratios(theirs, mine))[1], rounds.summary(room)[1] / FILE, rounds.summary(their_room)[1] / FILE))
  end
end
if not options.folder then os.execute(("rm -rf '%s'"):format(folder)) end
