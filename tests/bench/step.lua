-- Times ResNet-50 + LSTM steps beside PyTorch's, round by round in alternation, and prints the ratios.
-- Not here: what PyTorch runs (peer.py); the findings (docs/performance.md).
--   ./mien tests/bench/step.lua [--pairs 9] [--python python3] [train infer demo lstm]
-- Without PyTorch only ours is timed. Both sides idle while the other runs; ratios mean more than times.
local mien = require "mien"
local C = require "mien.ffi"

-- ---- our side ----------------------------------------------------------------------------------------

local function network(width)
  return mien.models.recurrent {
    features = mien.models.resnet50 { width = width }, hidden = 256, layers = 2,
    outputs = { "arousal", "valence" },
  }
end

local function training(width, steps, size)
  local model = network(width)
  local optimiser = mien.optim.adam(model:parameters(), { lr = 4e-5 })
  local frames, target = mien.randn { 2, steps, 3, size, size }, mien.randn { 2, steps, 2 }
  return function()
    mien.scope(function()
      optimiser:zero_grad()
      mien.loss.ccc((model(frames)), target):backward()
      optimiser:step()
    end)
  end
end

local function inference(width, steps, size)
  local model = network(width):train(false)
  model.features = model.features:fused()
  local frames = mien.randn { 2, steps, 3, size, size }
  return function()
    mien.scope(function() mien.no_grad(model, frames) end)
  end
end

local function lstm()
  local layer = mien.nn.lstm { 2048, 256, layers = 2 }
  local x = mien.randn({ 2, 150, 2048 }):requires_grad_()
  return function()
    mien.scope(function() layer(x):sum():backward() end)
  end
end

local cases = {
  { "train", "train step, ResNet-50 + LSTM, 16 frames of 150x150, f32", function() return training(64, 8, 150) end,
    peers = { "nchw", "channels_last", "tuned" } },
  { "infer", "inference, the same", function() return inference(64, 8, 150) end,
    peers = { "nchw", "channels_last", "tuned" } },
  { "demo", "train step, width 16, 60 frames of 48x48", function() return training(16, 30, 48) end,
    peers = { "nchw", "channels_last", "tuned" } },
  { "lstm", "LSTM 2 x 256 on [2,150,2048], forward and backward", lstm, peers = { "nchw" } },
}

-- ---- the peer ----------------------------------------------------------------------------------------

local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- A Python process that takes a line and answers one; nil when it has no PyTorch.
local function peer(python, tuned)
  local fifo = os.tmpname()
  os.remove(fifo)
  if os.execute("mkfifo " .. quote(fifo)) ~= 0 then return nil end
  -- tuned: what users who know glibc set: keep freed pages, and use huge ones
  local settings = tuned and "env GLIBC_TUNABLES=glibc.malloc.trim_threshold=1099511627776:" ..
    "glibc.malloc.mmap_threshold=33554432:glibc.malloc.hugetlb=1 " or ""
  local command = ("%s%s %s < %s 2>/dev/null || echo; rm -f %s"):format(settings, quote(python),
    quote(here .. "peer.py"), quote(fifo), quote(fifo))
  local answers = assert(io.popen(command, "r"))
  local questions = assert(io.open(fifo, "w"))
  questions:setvbuf "line"
  local version = answers:read "*l"
  if not version or version == "" then
    questions:close()
    answers:close()
    return nil
  end
  return {
    version = version,
    ask = function(line)
      questions:write(line, "\n")
      return assert(answers:read "*l", "the peer stopped")
    end,
    close = function()
      questions:write "quit\n" -- peers started later hold this pipe open as well
      questions:close()
      answers:close()
    end,
  }
end

-- ---- rounds ------------------------------------------------------------------------------------------

local function seconds(fn)
  local start = C.mien_time_monotonic()
  fn()
  return C.mien_time_monotonic() - start
end

local function median(list)
  local sorted = { unpack(list) }
  table.sort(sorted)
  local n = #sorted
  return n % 2 == 1 and sorted[(n + 1) / 2] or (sorted[n / 2] + sorted[n / 2 + 1]) / 2
end

local function compare(case, options)
  local name, title, make = unpack(case)
  local step, peers = make(), {}
  for _, mode in ipairs(case.peers) do
    local p = options.python and peer(options.python, mode == "tuned")
    if p then
      p.mode, p.times, p.ratios = mode, {}, {}
      p.ask(name .. " " .. mode)
      peers[#peers + 1] = p
    end
  end
  for _ = 1, 3 do step() end
  local times = {}
  for round = 1, options.pairs do
    times[round] = seconds(step)
    for _, p in ipairs(peers) do
      p.times[round] = assert(tonumber((p.ask "go")))
      p.ratios[round] = p.times[round] / times[round]
    end
  end
  print(("%-6s %s"):format(name, title))
  print(("  %-22s %9.1f ms"):format("mien", 1e3 * median(times)))
  for _, p in ipairs(peers) do
    print(("  %-22s %9.1f ms   %.2f x"):format("PyTorch " .. p.mode, 1e3 * median(p.times), median(p.ratios)))
    p.close()
  end
  collectgarbage()
end

-- ---- arguments ---------------------------------------------------------------------------------------

local function parse(args)
  local options, wanted, any = { pairs = 9, python = "python3" }, {}, false
  local i = 1
  while args[i] do
    if args[i] == "--pairs" then
      options.pairs, i = assert(tonumber(args[i + 1]), "--pairs takes a number"), i + 1
    elseif args[i] == "--python" then
      options.python, i = assert(args[i + 1], "--python takes a program"), i + 1
    else
      wanted[args[i]], any = true, true
    end
    i = i + 1
  end
  for _, case in ipairs(cases) do
    options[case[1]] = wanted[case[1]] or not any
    wanted[case[1]] = nil
  end
  if next(wanted) then error("no such case: " .. next(wanted), 0) end
  return options
end

local options = parse { ... }
io.stdout:setvbuf "line"
local probe = peer(options.python)
print(mien.backend.describe())
if probe then
  print(("PyTorch %s; ratios: PyTorch's time over ours, medians of %d pairs"):format(
    probe.version:gsub(" ", ", ", 1) .. " threads", options.pairs))
  probe.close()
else
  print(("no PyTorch behind %q: only ours is timed (--python names another)"):format(options.python))
  options.python = nil
end
for _, case in ipairs(cases) do
  if options[case[1]] then compare(case, options) end
end
