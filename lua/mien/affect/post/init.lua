-- Post-processing of one dimension: median filter, centring, scaling, time shift, each kept only if it helps.
-- Not here: the steps (post/steps.lua), the exhaustive search (post/joint.lua), drawing and storing trials.
--
-- Fitted on the validation partition, applied unchanged to test. In the paper's order and greedy: a step is
-- kept when the CCC of all frames joined rises strictly; of equal candidates the smaller wins; filters and
-- shifts never cross recordings.
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local renamed = require "mien.base.renamed"
local doubles = require "mien.base.doubles"
local joint = require "mien.affect.post.joint"
local steps = require "mien.affect.post.steps"

local post = { steps = steps.names, methods = { "greedy", "joint" } }

-- ---- the chain -------------------------------------------------------------------------------------------

local chain = {}
chain.__index = chain

--- Applies the kept steps to a list of recordings. Tensors come back as f64 tensors, Lua arrays as Lua
-- arrays, double pointers (with `lengths`) as double arrays. The predictions given are not changed.
function chain:apply(predictions, lengths)
  local x = steps.join(predictions, lengths, "post: predictions")
  for _, s in ipairs(self.steps) do
    if s.kept then x = steps.apply(s.step, x, s.value, s.about) end
  end
  local out, at = {}, 0
  for i, recording in ipairs(predictions) do
    local n = tonumber(x.lengths[i - 1])
    if check.is_tensor(recording) then
      local copy = C.mien_tensor_to(recording, C.MIEN_F64, C.MIEN_DEVICE_CPU)
      out[i] = require "mien.tensor".wrap(check.pointer(copy))
      check.status(C.mien_tensor_write(out[i], x.data + at, n))
    elseif type(recording) == "table" then
      out[i] = doubles.list(x.data + at, n)
    else
      out[i] = doubles.new(n)
      ffi.copy(out[i], x.data + at, n * 8)
    end
    at = at + n
  end
  return out
end

--- Everything as plain tables and numbers, for files and databases; `post.from_table` reads it back.
function chain:totable()
  local out = { method = self.method, fps = self.fps, steps = {}, ccc_before = self.ccc_before,
    ccc_after = self.ccc_after }
  for i, s in ipairs(self.steps) do
    out.steps[i] = { step = s.step, kept = s.kept, value = s.value, about = s.about,
      ccc_before = s.ccc_before, ccc_after = s.ccc_after }
  end
  return out
end

--- The same chain for another frame rate: windows and delays keep their seconds, to the nearest (for a window odd) number
-- of frames.
function chain:at(fps)
  local copy = self:totable()
  for _, s in ipairs(copy.steps) do
    if s.value and s.step == "median" then s.value = 2 * math.floor((s.value - 1) / 2 * fps / self.fps + 0.5) + 1 end
    if s.value and s.step == "shift" then s.value = math.floor(s.value * fps / self.fps + 0.5) end
  end
  copy.fps = fps
  return setmetatable(copy, chain)
end

--- The steps that are kept, in one line.
function chain:describe()
  local words = {}
  for _, s in ipairs(self.steps) do
    if s.kept and (s.step == "median" or s.step == "shift") then
      words[#words + 1] = ("%s %d frames (%.2f s)"):format(s.step, s.value, s.value / self.fps)
    elseif s.kept then
      words[#words + 1] = ("%s %g"):format(s.step, s.value)
    end
  end
  return words[1] and table.concat(words, ", ") or "no step was kept"
end

local function number_text(value)
  return value == value and ("%.4f"):format(value) or "undefined"
end

--- One line a step: what was tried, what it gave, whether it stays.
function chain:__tostring()
  local lines = {}
  for i, s in ipairs(self.steps) do
    local value = s.value and ("%g"):format(s.value) or "-"
    if s.value and (s.step == "median" or s.step == "shift") then
      value = ("%d frames (%.2f s)"):format(s.value, s.value / self.fps)
    end
    lines[i] = ("%-7s %-7s %-22s CCC %s -> %s"):format(s.step, s.kept and "kept" or "dropped", value,
      number_text(s.ccc_before), number_text(s.ccc_after))
  end
  return table.concat(lines, "\n")
end

--- A chain from what `totable` gave.
function post.from_table(tbl)
  for i, s in ipairs(check.type(tbl, "table", "post.from_table").steps or {}) do
    check.one_of(s.step, post.steps, ("post.from_table: step %d"):format(i))
    if s.kept then check.type(s.value, "number", ("post.from_table: value of step %d"):format(i)) end
  end
  local copy = chain.totable(tbl)
  return setmetatable(copy, chain)
end

-- ---- fitting ---------------------------------------------------------------------------------------------

--- What post.fit and post.joint share: recordings, steps, and the largest odd window and delay in frames.
local function prepare(predictions, gold, options, what)
  if gold == nil and type(predictions) == "table" and predictions.predictions then
    renamed.form(what, predictions, what .. "(predictions, gold, { fps = 25 })")
  end
  check.type(predictions, "table", what .. ": predictions")
  check.type(gold, "table", what .. ": gold")
  options = check.keys(options or {}, { lengths = "table", steps = "table", fps = "number", max_median = "number",
    max_shift = "number" }, what)
  local fps = options.fps or 25
  local median, shift = options.max_median or 20, options.max_shift or 10
  if not (fps > 0 and median >= 0 and shift >= 0) then
    check.raise("argument", "%s: fps must be above 0, max_median and max_shift at least 0 seconds", what)
  end
  local names = options.steps or steps.names
  for _, name in ipairs(names) do check.one_of(name, steps.names, what .. ": step") end
  local x = steps.join(predictions, options.lengths, what .. ": predictions")
  local y = steps.join(gold, options.lengths, what .. ": gold")
  steps.same_lengths(x, y)
  return x, y, names, {
    fps = fps,
    max_median = 2 * math.floor(median * fps / 2 + 1e-9) + 1,
    max_shift = math.floor(shift * fps + 1e-9),
  }
end

--- An undefined CCC (both sides constant and equal) is worse than any.
local function better(after, before)
  return after == after and (before ~= before or after > before)
end

local function greedy(x, y, names, limits)
  local records, before = {}, steps.moments(x, y):ccc()
  for i, name in ipairs(names) do
    local record, changed = steps.try(name, x, y, steps.find(name, x, y, limits))
    record.kept = better(record.ccc_after, record.ccc_before)
    if record.kept then x = changed end
    records[i] = record
  end
  return setmetatable({
    method = "greedy", fps = limits.fps, steps = records, ccc_before = before,
    ccc_after = steps.moments(x, y):ccc(),
  }, chain)
end

--- Fits the greedy chain of the paper for one dimension.
-- post.fit({ rec1, ... }, { gold1, ... }, { fps = 25, max_median = 20, max_shift = 10 })
-- predictions, gold: one entry a recording (Lua arrays, tensors, or double pointers with `lengths`); steps:
-- which and in which order (post.steps); max_median, max_shift in seconds (the widest median reaches max_median / 2
-- to either side of its frame: 501 frames for 20 s at 25 a second). The chain has `.steps`, a list of
-- { step, kept, value (frames, offset or factor), about (of scale), ccc_before, ccc_after (of the best
-- candidate, kept or not), trials = {{value, ccc}, ...} }, and `.ccc_before`, `.ccc_after`.
function post.fit(predictions, gold, options)
  return greedy(prepare(predictions, gold, options, "post.fit"))
end

--- Fits by exhaustive search over all combinations, and says how much the greedy chain missed.
-- Takes what post.fit takes, with steps in the paper's order. The chain has `.greedy` (that chain) and
-- `.missed` (CCC, >= 0) beside what post.fit gives; a step's ccc_before and ccc_after follow the chosen one.
function post.joint(predictions, gold, options)
  local x, y, names, limits = prepare(predictions, gold, options, "post.joint")
  local by_greed = greedy(x, y, names, limits)
  local records, after = joint(x, y, names, limits)
  if not better(after, by_greed.ccc_after) then records, after = by_greed.steps, by_greed.ccc_after end
  return setmetatable({
    method = "joint", fps = limits.fps, steps = records, ccc_before = by_greed.ccc_before, ccc_after = after,
    greedy = by_greed, missed = after == after and after - by_greed.ccc_after or 0,
  }, chain)
end

return post
