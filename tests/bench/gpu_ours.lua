-- Our side of gpu.lua: the workbench's own models and training step on a GPU, one answer in JSON for each line.
-- Not here: what is compared and judged (gpu.lua, gpu_report.lua), PyTorch's side (gpu_peer.py).
--   { do = "make", case =, mode = "eager bf16", sizes = {...} }, { do = "go", count = } -> { ms = { ... }, peak = }
--   { do = "curve", seed =, folder =, shapes =, ... } -> { losses = }, { do = "repeat", ... } -> { same = }
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
package.path = here .. "?.lua;" .. package.path
local ffi = require "ffi"
local mien = require "mien"
local json = require "cjson"
local cases = require "cases"

local where = mien.device.choose(arg[1] or "cuda")
local precision = where == "cuda" and "bf16" or "f32" -- of the loss curve

-- ---- timing --------------------------------------------------------------------------------------------------

local step

local answer = {}

function answer.make(command)
  step = nil
  collectgarbage()
  local started = os.time()
  local setting, dtype = command.mode:match "^(%S+) (%S+)$"
  mien.device.autotune(where == "cuda" and os.getenv "BENCH_AUTOTUNE" ~= "no")
  mien.device.deterministic(false) -- as PyTorch runs
  if setting == "graphed" and not cases.has_graphs(where) then
    error("whole steps cannot be replayed as graphs here", 0)
  end
  local made = cases[command.case](command.sizes, { device = where, precision = dtype, graph = setting == "graphed" })
  for _ = 1, where == "cuda" and 5 or 1 do made() end
  step = made
  mien.device.synchronize()
  if setting ~= "graphed" then require("mien.tensor.scope").reset_peak(where) end
  return { seconds = os.time() - started }
end

function answer.go(command)
  step() -- clocks rise
  local ms = mien.device.time(where, command.count, step)
  for i = 1, #ms do ms[i] = 1e3 * ms[i] end
  local memory = mien.memory(where)
  return { ms = ms, peak = memory.peak, reserved = memory.live + memory.pooled }
end

-- ---- the loss curve --------------------------------------------------------------------------------------------

--- Fills tensors, one after the other, with the f32 numbers of a file.
local function read(path, tensors)
  local file = assert(io.open(path, "rb"))
  for _, t in ipairs(tensors) do
    local bytes = 4 * t:count()
    local text = file:read(bytes)
    if not text or #text ~= bytes then error(path .. " is too short", 0) end
    ffi.copy(t:data(), text, bytes)
  end
  if file:read(1) then error(path .. " is too long", 0) end
  file:close()
end

--- The net with the weights of a seed, and the batches, as the peer wrote them.
local function lesson(command)
  local s = command.sizes
  local model, weights = cases.network(s, { device = "cpu", precision = precision }), {}
  local parameters = model:parameters()
  if #parameters ~= #command.shapes then
    error(("we have %d parameters, the peer %d"):format(#parameters, #command.shapes), 0)
  end
  for i, entry in ipairs(parameters) do
    local ours, theirs = table.concat(entry.tensor.shape, ","), table.concat(command.shapes[i], ",")
    if ours ~= theirs then error(("%s is [%s] here, [%s] there"):format(entry.name, ours, theirs), 0) end
    weights[i] = entry.tensor
  end
  local batches = { frames = {}, target = {} }
  for i = 1, s.batches do
    batches.frames[i] = mien.empty { s.batch, s.steps, 3, s.size, s.size }
    batches.target[i] = mien.empty { s.batch, s.steps, 2 }
  end
  read(("%s/weights.%d.f32"):format(command.folder, command.seed), weights)
  read(command.folder .. "/frames.f32", batches.frames)
  read(command.folder .. "/target.f32", batches.target)
  return model, batches
end

--- Trains command.count steps; returns the losses and the model.
local function train(command, graph)
  local model, batches = lesson(command)
  local learn = cases.learning(model:to(where), { lr = command.lr, graph = graph })
  for i = 1, command.sizes.batches do
    batches.frames[i], batches.target[i] = batches.frames[i]:to(where), batches.target[i]:to(where)
  end
  local losses = {}
  for i = 1, command.count do
    local n = (i - 1) % command.sizes.batches + 1
    losses[i] = learn(batches.frames[n], batches.target[n]):item()
  end
  return losses, model
end

function answer.curve(command)
  return { losses = (train(command)) }
end

--- All parameters and running statistics as one string of bytes.
local function bits(model)
  local parts = {}
  for i, entry in ipairs(model:state()) do
    local t = entry.tensor:to "cpu"
    assert(t.dtype == "f32", entry.name .. " is not in f32")
    parts[i] = ffi.string(t:data(), 4 * t:count())
  end
  return table.concat(parts)
end

--- Is a training the same to the last bit when it is run again, and when its steps are replayed as a graph?
answer["repeat"] = function(command)
  mien.device.deterministic(true)
  local function run(graph)
    local losses, model = train(command, graph)
    return json.encode(losses) .. bits(model)
  end
  local first = run(false)
  local reply = { same = first == run(false) }
  if cases.has_graphs(where) then reply.graph_same = first == run(true) end
  return reply
end

-- ---- the line ----------------------------------------------------------------------------------------------

io.stdout:setvbuf "line"
local info = mien.device.info()
print(json.encode { device = where, backend = mien.backend.describe(where == "cuda" and "cuda" or nil),
  cudnn = info.cudnn, cublaslt = info.cublaslt, driver = info.driver, runtime = info.runtime, gpu = info.device })
for line in io.lines() do
  local command = json.decode(line)
  if command["do"] == "quit" then break end
  local ok, reply = pcall(answer[command["do"]], command)
  print(json.encode(ok and reply or { error = tostring(reply) }))
end
