-- Whole steps as one launch: run as usual at first, then recorded by the GPU once and replayed from there on.
-- Not here: what a step is (train/captured.lua), recording (core/run/capture.h).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local rng = require "mien.tensor.rng"
local scope = require "mien.tensor.scope"
local tensor = require "mien.tensor"

local WARM = 2  -- runs before a recording: they load code, choose engines and bring the memory that a step needs
local TRIES = 5 -- recordings of a step that still wants more memory
local KEPT = 8  -- captures that are kept: they share their memory

local DEFAULT = "dropout's default stream"

local step = {}
step.__index = step

--- What dropout draws from where it was given nothing, unless it is among the rngs.
local function default_stream(self)
  local stream = rng.default "dropout"
  for name, given in pairs(self.rngs) do
    if name ~= DEFAULT and rawequal(given, stream) then return nil end
  end
  return stream
end

-- ---- one kind of step --------------------------------------------------------------------------

--- What a recording holds for: the inputs' shapes, what else the host has decided.
local function kind_of(self, inputs)
  local words = {}
  for i, t in ipairs(inputs) do words[i] = t.dtype .. "[" .. table.concat(t.shape, ",") .. "]" end
  for _, optimiser in ipairs(self.optimisers) do words[#words + 1] = optimiser:settings() end
  for name, stream in pairs(self.rngs) do
    words[#words + 1] = ("%s=%s/%s"):format(name, tostring(stream.seed), tostring(stream.stream))
  end
  words[#words + 1] = self.key and self.key()
  return table.concat(words, " ")
end

--- The inputs' places in the GPU's memory, which never move.
local function places_for(inputs)
  local places = {}
  for i, t in ipairs(inputs) do
    places[i] = scope.keep(tensor.zeros(t.shape, { dtype = t.dtype, device = "cuda" }))
  end
  return places
end

local function forget_capture(entry)
  if not entry.handle then return end
  C.mien_capture_free(ffi.gc(entry.handle, nil))
  entry.handle, entry.outputs, entry.made = nil, nil, nil
end

local function drop(entry)
  forget_capture(entry)
  for _, t in ipairs(entry.places) do t:free() end
end

--- The entry of a kind, the one used last in front; the one that was not used for longest goes, and so does one that
-- recorded a tensor which has been freed or moved since.
function step:entry(inputs)
  local key, found = kind_of(self, inputs), nil
  for i, entry in ipairs(self.entries) do
    if entry.key == key then found = table.remove(self.entries, i) break end
  end
  if found and found.outputs and C.mien_capture_stale(found.handle) then
    drop(found)
    found = nil
  end
  local entry = found or { key = key, runs = 0, tries = 0, places = places_for(inputs) }
  if not (found or self.eager) then
    local beside = self.entries[1] and self.entries[1].handle
    entry.handle = ffi.gc(check.pointer(C.mien_capture_new(beside)), C.mien_capture_free)
  end
  table.insert(self.entries, 1, entry)
  if #self.entries > KEPT then drop(table.remove(self.entries)) end
  return entry
end

-- ---- running, recording, replaying -------------------------------------------------------------

--- Calls the step with memory that the capture will use, so nothing of the last time may stay in other hands.
local function visit(self, entry, recording)
  for _, t in ipairs(entry.made or {}) do t:free() end
  entry.made, self.recording = nil, recording
  local results = { pcall(function()
    check.status(C.mien_capture_enter(entry.handle, recording))
    return scope.run(self.fn, unpack(entry.places))
  end) }
  self.recording = false
  return results
end

--- The step as usual.
local function run(self, entry)
  if self.eager then return scope.run(self.fn, unpack(entry.places)) end
  local results = visit(self, entry, false)
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

--- Tells the recorded dropouts where their streams stand.
local function feed_draws(self, entry)
  for name, stream in pairs(self.rngs) do
    check.status(C.mien_capture_draws(entry.handle, tonumber(stream.seed), tonumber(stream.stream % 2 ^ 32),
      tonumber(stream.counter - entry.before.draws[name])))
  end
end

--- Why what was recorded cannot be replayed, or nil.
local function failure(self, entry, results)
  local ok = results[1] and C.mien_capture_leave(entry.handle, true) == C.MIEN_OK
  if ok then
    feed_draws(self, entry)
    if C.mien_capture_strays(entry.handle) > 0 then
      return "it draws from a random stream that is not among its rngs"
    end
    return C.mien_capture_stale(entry.handle) and "it frees a tensor that was there before it" or nil
  end
  if results[1] then return ffi.string(C.mien_error_last().message) end
  C.mien_capture_leave(entry.handle, false)
  if check.is_error(results[2]) and results[2].code == "interrupted" then check.rethrow(results[2]) end
  return check.is_error(results[2]) and results[2].message or tostring(results[2])
end

--- Records the step. Returns nil, or why it cannot be; then nothing has happened.
local function record(self, entry)
  local before = counts_of(self)
  entry.before = before
  local results = visit(self, entry, true)
  entry.drawn = counts_of(self).draws
  set_counts(self, before)
  local ok, problem = pcall(failure, self, entry, results)
  if not ok then check.rethrow(problem) end
  if not problem then entry.outputs = scope.keep { unpack(results, 2) } end
  return problem
end

--- Does the recorded step with the numbers of this one.
local function replay(self, entry)
  if self.launching then self.launching() end
  feed_draws(self, entry)
  for name, stream in pairs(self.rngs) do
    stream.counter = stream.counter + (entry.drawn[name] - entry.before.draws[name])
  end
  for _, optimiser in ipairs(self.optimisers) do optimiser:feed(entry.handle) end
  check.status(C.mien_capture_replay(entry.handle))
  return unpack(entry.outputs)
end

--- A step that still wants memory gets it by running once more as usual; any other reason is final.
local function give_up(self, entry, problem)
  entry.tries = entry.tries + 1
  entry.runs = WARM - 1
  if entry.tries < TRIES and problem:find("wants more memory", 1, true) then return end
  self.eager = true
  for _, one in ipairs(self.entries) do forget_capture(one) end
  self.say("every step is launched op by op: " .. problem)
end

--- Runs the step on copies of the inputs, which may lie on any device; the outputs are good until the next call.
function step:__call(...)
  local inputs = { ... }
  self.rngs[DEFAULT] = default_stream(self)
  local entry = self:entry(inputs)
  for i, t in ipairs(inputs) do check.status(C.mien_tensor_copy(entry.places[i], t)) end
  if self.prepare then self.prepare() end
  if entry.outputs then return replay(self, entry) end
  if self.eager or entry.runs < WARM then return run(self, entry) end
  local problem = record(self, entry)
  if not problem then return replay(self, entry) end
  give_up(self, entry, problem)
  return run(self, entry)
end

--- Replays so far, of all captures that are kept; for tests and reports.
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

local known = { "function!", optimisers = "table", rngs = "table", prepare = "function", launching = "function",
  key = "function", say = "function" }

--- A step that a GPU does as one launch: mien.capture{ fn, optimisers = { opt }, rngs = { dropout = stream },
-- key = function() -> text, prepare = function called before each step, launching = function called before each replay,
-- say = function(text) }. fn(inputs...) must do the same each time for inputs of the same shapes, settings of the
-- optimisers, frozen parameters and `key` (a text of what else it looks at). It may not ask the GPU for a number
-- (:item(), :totable(), printing) or draw from other streams than rngs and dropout's default one, and what it keeps
-- beyond the step must be there before. It returns tensors. The third call of a kind is recorded, from then on it is
-- replayed, with the same bits. What cannot be recorded is said once and runs op by op.
return function(options)
  check.keys(options, known, "capture")
  local rngs = {}
  for name, stream in pairs(options.rngs or {}) do rngs[name] = stream end
  return setmetatable({ fn = options[1], optimisers = options.optimisers or {}, rngs = rngs,
    key = options.key, prepare = options.prepare, launching = options.launching, recording = false,
    say = options.say or function(text) io.stderr:write("mien: ", text, "\n") end, entries = {}, eager = false }, step)
end
