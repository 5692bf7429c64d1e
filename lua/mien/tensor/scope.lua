-- Lets go of tensors: scopes that free what was made inside, and the valve that pushes the collector.
-- Not here: the storage pool (core/tensor), a single tensor's free (tensor/init.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"

local scope = {}

local current -- the innermost open scope: { n =, outer =, [1 .. n] = handles }
local kept = setmetatable({}, { __mode = "k" }) -- handles that scopes leave alone

-- ---- the valve ---------------------------------------------------------------------------------

local STEP = 256 * 2 ^ 20 -- a full collection when live bytes grew by this much ...
local GROWTH = 1.4        -- ... and by this factor since the last one
local LOOK = 16 * 2 ^ 20  -- live bytes are looked up once per so many bytes made
local fresh, limit = 0, STEP

local stats = ffi.new "mien_memory_stats"

--- Bytes of tensors, wherever they are: LuaJIT sees no more than a few of each.
local function live_bytes()
  C.mien_memory(C.MIEN_DEVICE_CPU, stats)
  local live = tonumber(stats.live_bytes)
  C.mien_memory(C.MIEN_DEVICE_CUDA, stats)
  return live + tonumber(stats.live_bytes)
end

local function look()
  fresh = 0
  if live_bytes() < limit then return end
  collectgarbage()
  local live = live_bytes()
  limit = math.max(live + STEP, live * GROWTH)
end

--- Every new handle of `bytes` bytes passes here: it joins the open scope and counts for the valve.
function scope.add(handle, bytes)
  if current then
    local n = current.n + 1
    current.n, current[n] = n, handle
  end
  fresh = fresh + bytes
  if fresh > LOOK then look() end
end

-- ---- scopes ------------------------------------------------------------------------------------

local mark

--- Marks what a function of somebody's own holds on to: tensors, lists of them, functions.
local function mark_upvalues(leaving, fn)
  local info = debug.getinfo(fn, "S")
  if info.what == "C" or check.is_mien(info.source) then return end
  for i = 1, math.huge do
    local name, value = debug.getupvalue(fn, i)
    if not name then return end
    local foreign = type(value) == "table" and (getmetatable(value) ~= nil or value == package.loaded or value == _G)
    if not foreign then mark(leaving, value) end
  end
end

--- Marks the tensors among the values, in tables and in functions among them, as ones that leave the scope.
function mark(leaving, value)
  if type(value) == "function" and not leaving[value] then
    leaving[value] = true
    mark_upvalues(leaving, value)
  elseif type(value) == "cdata" then
    leaving[value] = true
  elseif type(value) == "table" and not leaving[value] then
    leaving[value] = true
    for _, inner in pairs(value) do mark(leaving, inner) end
  end
end

local function close(this, ok, ...)
  current = this.outer
  local leaving = {}
  if ok then
    for i = 1, select("#", ...) do mark(leaving, (select(i, ...))) end
  end
  for i = 1, this.n do
    local handle = this[i]
    if leaving[handle] then
      scope.add(handle, 0)
    elseif not kept[handle] then
      C.mien_tensor_free(handle)
    end
  end
  if not ok then check.rethrow((...)) end
  return ...
end

--- Runs `fn(...)` and then frees every tensor made inside, also when it fails.
-- What survives: tensors that fn returns (also inside returned tables, and those that returned functions use), tensors
-- given to mien.keep, and parameters of modules. Returns what fn returns. A coroutine must leave its scopes before it
-- yields: who goes on meanwhile would make tensors in them.
--   local loss = mien.scope(function() return criterion(model(x), y) end)
function scope.run(fn, ...)
  if fn == nil then check.raise("argument", "scope: the function to run is missing") end
  local thread = coroutine.running()
  if current and current.thread ~= thread and current.thread and coroutine.status(current.thread) == "suspended" then
    current = current.outer -- what it made stays its own
    check.raise("argument", "scope: a coroutine has yielded inside a scope, which must end before that: tensors made now "
      .. "would be freed with it")
  end
  local this = { n = 0, outer = current, thread = thread }
  current = this
  return close(this, xpcall(fn, check.trace, ...))
end

--- Keeps a tensor (or all tensors of a table) beyond every open scope; returns it.
function scope.keep(value)
  if type(value) == "table" then
    local all = {}
    mark(all, value)
    for inner in pairs(all) do
      if type(inner) == "cdata" then kept[inner] = true end
    end
  elseif type(value) == "cdata" then
    kept[value] = true
  end
  return value
end

local function device_of(name, what)
  name = check.one_of(name or "cpu", { "cpu", "cuda" }, what .. ": device")
  return name == "cpu" and C.MIEN_DEVICE_CPU or C.MIEN_DEVICE_CUDA
end

local memory_class = {
  __tostring = function(m)
    local text = require("mien.base.print").bytes
    return ("live %s in %d tensors, pooled %s, peak %s")
      :format(text(m.live), m.tensors, text(m.pooled), text(m.peak))
  end,
}

--- Bytes of tensors on a device ("cpu" when left out): `live`, `pooled` (kept for the next step), `peak`
-- (highest live since the last reset) and `tensors` (live storages). Printed as one line.
function scope.memory(device)
  C.mien_memory(device_of(device, "memory"), stats)
  return setmetatable({
    live = tonumber(stats.live_bytes), pooled = tonumber(stats.pooled_bytes),
    peak = tonumber(stats.peak_bytes), tensors = tonumber(stats.live_storages),
  }, memory_class)
end

--- Starts the peak of mien.memory afresh.
function scope.reset_peak(device)
  C.mien_memory_reset_peak(device_of(device, "reset_peak"))
end

return scope
