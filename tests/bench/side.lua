-- One side of a comparison: a process that takes a line and answers a line.
-- Not here: what the lines mean (ours.lua, peer.py), rounds and figures (rounds.lua).
local home = require "mien.base.home"

local side = {}

local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- Starts a program that answers lines: { program, argument ... }, behind words of the shell such as "env A=b ".
function side.start(before, words)
  local command = {}
  for i, word in ipairs(words) do command[i] = quote(word) end
  command = before .. table.concat(command, " ")
  local fifo = os.tmpname()
  os.remove(fifo)
  if os.execute("mkfifo " .. quote(fifo)) ~= 0 then error("cannot make the pipe " .. fifo, 0) end
  -- the echo ends a line that would never come; standard error is kept for what went wrong
  local log = fifo .. ".log"
  local answers = assert(io.popen(("%s < %s 2>%s || echo; rm -f %s"):format(command, quote(fifo), quote(log),
    quote(fifo)), "r"))
  local questions = assert(io.open(fifo, "w"))
  questions:setvbuf "line"
  local self = {}

  local function last_words()
    local file = io.open(log)
    local text = file and file:read "*a" or ""
    if file then file:close() end
    local line = text:gsub("%s+$", ""):match "[^\n]*$"
    return line == "" and "" or ": " .. line
  end

  --- One line; nil and the reason when the process could not answer.
  function self.read()
    local line = answers:read "*l"
    if not line or line == "" then return nil, "it stopped" .. last_words() end
    if line:sub(1, 6) == "error " then return nil, line:sub(7) end
    return line
  end

  --- The answer to a line.
  function self.ask(line)
    local ok, problem = questions:write(line, "\n")
    if not ok then return nil, problem end
    return self.read()
  end

  --- The answer as a number; stops when there is none.
  function self.number(line)
    local text, problem = self.ask(line)
    return tonumber(text) or error(("%s: %s"):format(line, problem or "answered " .. text), 0)
  end

  function self.close()
    pcall(questions.write, questions, "quit\n") -- sides started later hold this pipe open as well
    questions:close()
    answers:close()
    os.remove(log)
  end
  return self
end

--- Both sides restricted to an instruction set of MIEN_CPU_ISA, as words for env(1); nil: all that there is.
side.isa = nil
-- PyTorch's kernels, its oneDNN (and OpenVINO's) and its MKL; ONNX Runtime has no such switch.
local theirs = {
  avx512 = "ATEN_CPU_CAPABILITY=avx512",
  avx2 = "ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2_VNNI MKL_ENABLE_INSTRUCTIONS=AVX2",
  baseline = "ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2",
}

--- Our own process, through the launcher: what a user runs.
function side.ours()
  local launcher = os.getenv "MIEN" or (home.root or ".") .. "/mien"
  return side.start(side.isa and "env MIEN_CPU_ISA=" .. side.isa .. " " or "", { launcher, here .. "ours.lua" })
end

-- What users who know glibc and OpenMP set: keep freed pages, use huge ones, short spins. The plain settings run
-- with libgomp's own default, not with the launcher's.
local tuned = "env GLIBC_TUNABLES=glibc.malloc.trim_threshold=1099511627776:" ..
  "glibc.malloc.mmap_threshold=33554432:glibc.malloc.hugetlb=1 "
local plain = "env -u GOMP_SPINCOUNT "

--- PyTorch's process for a setting, with `version` and `threads`; nil and the reason when it has no PyTorch.
function side.peer(python, setting)
  local settings = (setting == "tuned" or setting == "compiled") and tuned or plain
  if side.isa then settings = settings .. theirs[side.isa] .. " " end
  local self = side.start(settings, { python, here .. "peer.py" })
  local line, problem = self.read()
  if not line then
    self.close()
    return nil, problem
  end
  self.version, self.threads = line:match "^(%S+) (%d+)"
  return self
end

return side
