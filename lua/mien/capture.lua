-- Whole steps as one launch: run as usual at first, then recorded by the GPU once and replayed from there on.
-- Not here: what a step is (train/captured.lua), recording (core/backend/capture.h).
local ffi = require "ffi"
local C = require "mien.ffi"
local check = require "mien.check"
local scope = require "mien.scope"
local tensor = require "mien.tensor"

local WARM = 2  -- runs before a recording: they load code, choose engines and bring the memory that a step needs
local TRIES = 3 -- recordings of a step that still wants more memory
local KEPT = 2  -- shapes of inputs whose captures are kept

local step = {}
step.__index = step

-- ---- one shape of inputs -----------------------------------------------------------------------

local function shape_of(inputs)
  local words = {}
  for i, t in ipairs(inputs) do words[i] = t.dtype .. "[" .. table.concat(t:size(), ",") .. "]" end
  return table.concat(words, " ")
end

--- The inputs' places in the GPU's memory, which never move.
local function places_for(inputs)
  local places = {}
  for i, t in ipairs(inputs) do
    places[i] = scope.keep(tensor.zeros(t:size(), { dtype = t.dtype, device = "cuda" }))
  end
  return places
end

local function drop(entry)
  if not entry.handle then return end
  C.mien_capture_free(ffi.gc(entry.handle, nil))
  entry.handle, entry.outputs = nil, nil
end

--- The entry of a shape, the one used last in front; the one that was not used for longest goes.
function step:entry(inputs)
  local key = shape_of(inputs)
  for i, entry in ipairs(self.entries) do
    if entry.key == key then
      table.insert(self.entries, 1, table.remove(self.entries, i))
      return entry
    end
  end
  local entry = { key = key, runs = 0, tries = 0, places = places_for(inputs) }
  if not self.eager then
    entry.handle = ffi.gc(check.pointer(C.mien_capture_new()), C.mien_capture_free)
  end
  table.insert(self.entries, 1, entry)
  if #self.entries > KEPT then drop(table.remove(self.entries)) end
  return entry
end

-- ---- running, recording, replaying -------------------------------------------------------------

--- The step as usual; with memory that the capture will use, so nothing of it may stay in other hands.
local function run(self, entry)
  if self.eager then return scope.run(self.fn, unpack(entry.places)) end
  for _, t in ipairs(entry.made or {}) do t:free() end
  check.status(C.mien_capture_enter(entry.handle, false))
  local results = { pcall(scope.run, self.fn, unpack(entry.places)) }
  check.status(C.mien_capture_leave(entry.handle, false))
  if not results[1] then check.rethrow(results[2]) end
  entry.runs = entry.runs + 1
  entry.made = { unpack(results, 2) }
  return unpack(results, 2)
end

--- What the host counts: steps of optimisers, draws of random streams.
local function counts_of(self)
  local counts = { steps = {}, draws = {} }
  for i, optimiser in ipairs(self.optimisers) do counts.steps[i] = optimiser.steps end
  for name, stream in pairs(self.rngs) do counts.draws[name] = stream.counter end
  return counts
end

local function set_counts(self, counts)
  for i, optimiser in ipairs(self.optimisers) do optimiser.steps = counts.steps[i] end
  for name, stream in pairs(self.rngs) do stream.counter = counts.draws[name] end
end

local function failure(entry, results)
  local ok = results[1] and C.mien_capture_leave(entry.handle, true) == C.MIEN_OK
  if ok then return nil end
  if results[1] then return ffi.string(C.mien_error_last().message) end
  C.mien_capture_leave(entry.handle, false)
  if check.is_error(results[2]) and results[2].code == "interrupted" then check.rethrow(results[2]) end
  return check.is_error(results[2]) and results[2].message or tostring(results[2])
end

--- Records the step. Returns nil, or why it cannot be; then nothing has happened.
local function record(self, entry)
  local before = counts_of(self)
  for _, t in ipairs(entry.made or {}) do t:free() end
  entry.made = nil
  check.status(C.mien_capture_enter(entry.handle, true))
  local results = { pcall(scope.run, self.fn, unpack(entry.places)) }
  local ok, problem = pcall(failure, entry, results)
  if ok and not problem then
    entry.outputs, entry.before = scope.keep { unpack(results, 2) }, before
    entry.drawn = counts_of(self).draws
    return nil
  end
  set_counts(self, before)
  if not ok then check.rethrow(problem) end
  return problem
end

--- The numbers of this step to where the recorded one reads them.
local function feed(self, entry)
  for name, stream in pairs(self.rngs) do
    local first = entry.before.draws[name]
    check.status(C.mien_capture_draws(entry.handle, tonumber(stream.seed), tonumber(stream.stream % 2 ^ 32),
      tonumber(stream.counter - first)))
    stream.counter = stream.counter + (entry.drawn[name] - first)
  end
  for _, optimiser in ipairs(self.optimisers) do optimiser:feed(entry.handle) end
end

local function replay(entry)
  check.status(C.mien_capture_replay(entry.handle))
  return unpack(entry.outputs)
end

--- A step that still wants memory gets it by running once more as usual; any other reason is final.
local function give_up(self, entry, problem)
  entry.tries = entry.tries + 1
  entry.runs = WARM - 1
  if entry.tries < TRIES and problem:find("wants more memory", 1, true) then return end
  self.eager = true
  for _, one in ipairs(self.entries) do drop(one) end
  self.say("every step is launched op by op: " .. problem)
end

--- Runs the step on copies of the inputs, which may lie on any device; the outputs are good until the next call.
function step:__call(...)
  local inputs = { ... }
  local entry = self:entry(inputs)
  for i, t in ipairs(inputs) do check.status(C.mien_tensor_copy(entry.places[i], t)) end
  if self.prepare then self.prepare() end
  if entry.outputs then
    feed(self, entry)
    return replay(entry)
  end
  if self.eager or entry.runs < WARM then return run(self, entry) end
  local problem = record(self, entry)
  if not problem then return replay(entry) end
  give_up(self, entry, problem)
  return run(self, entry)
end

--- Replays so far, of all shapes that are kept; for tests and reports.
function step:replays()
  local n = 0
  for _, entry in ipairs(self.entries) do
    if entry.handle then n = n + tonumber(C.mien_capture_replays(entry.handle)) end
  end
  return n
end

--- Gives the memory of all captures back.
function step:close()
  for _, entry in ipairs(self.entries) do drop(entry) end
  self.entries, self.eager = {}, true
end

local known = { "function!", optimisers = "table", rngs = "table", prepare = "function", say = "function" }

--- A step that a GPU does as one launch: mien.capture{ fn, optimisers = { opt }, rngs = { dropout = stream },
-- prepare = function called before each step, say = function(text) }. fn(inputs...) must do the same with inputs of
-- the same shapes each time, ask the GPU for no number (:item(), :totable(), printing), and draw from no other
-- streams; it returns tensors. The third call with a shape is recorded, from then on it is replayed, with the same
-- bits. What cannot be recorded is said once and runs op by op.
return function(options)
  check.keys(options, known, "capture")
  return setmetatable({ fn = options[1], optimisers = options.optimisers or {}, rngs = options.rngs or {},
    prepare = options.prepare, say = options.say or function(text) io.stderr:write("mien: ", text, "\n") end,
    entries = {}, eager = false }, step)
end
