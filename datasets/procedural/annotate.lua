-- What people make of what they see: raters who trace affect late and askew, annotators who mark starts.
-- Not here: the gold standard and winner-takes-all, which are mien.data's.
local expression = require "procedural.expression"
local motion = require "procedural.motion"

local annotate = {}

local max, min, floor, exp = math.max, math.min, math.floor, math.exp

-- ---- continuous traces -----------------------------------------------------------------------------------

--- `count` raters: seconds of reaction delay, bias, scale, noise. The same people rate a whole corpus.
function annotate.raters(rng, count)
  local list = {}
  for r = 1, count do
    list[r] = {
      delay = 1.4 + 2.2 * rng:uniform(), bias = { 0.12 * rng:normal(), 0.12 * rng:normal() },
      scale = 0.65 + 0.6 * rng:uniform(), noise = 0.05 + 0.07 * rng:uniform(), slow = 0.3 + 0.5 * rng:uniform(),
    }
  end
  return list
end

--- A rater's trace of `felt` (n values): what was there `delay` seconds ago, followed with inertia, scaled, moved
-- and wavering; in [-1, 1]. Before the delay has passed the first value is all there is.
function annotate.trace(rng, rater, dimension, felt, fps)
  local n = #felt
  local waver, late = motion.drift(rng, n, fps, 3, rater.noise), motion.drift(rng, n, fps, 20, 0.25)
  local bias = rater.bias[dimension] + 0.04 * rng:normal()
  local keep, hand, out = exp(-1 / (rater.slow * fps)), felt[1], {}
  for t = 1, n do
    local at = max(1, min(n, t - max(0, rater.delay - rater.slow + late[t]) * fps))
    local low = floor(at)
    local seen = felt[low] + (at - low) * (felt[min(n, low + 1)] - felt[low])
    hand = keep * hand + (1 - keep) * seen
    out[t] = max(-1, min(1, rater.scale * hand + bias + waver[t]))
  end
  return out
end

-- ---- marked states ---------------------------------------------------------------------------------------

--- What an emotion is taken for when it is taken for another.
local mistaken = {
  happy = { "other", "empathy" }, surprise = { "confusion", "happy" }, disgust = { "contempt", "confusion" },
  contempt = { "happy", "disgust" }, confusion = { "other", "disgust" }, empathy = { "confusion", "neutral" },
  other = { "confusion", "neutral" },
}

--- `count` annotators: seconds until they mark a start, how often they overlook or mistake an emotion.
function annotate.annotators(rng, count)
  local list = {}
  for a = 1, count do
    list[a] = { delay = 0.15 + 0.6 * rng:uniform(), misses = 0.04 + 0.16 * rng:uniform(),
      mistakes = 0.03 + 0.09 * rng:uniform() }
  end
  return list
end

--- One annotator's states: { { start (seconds), emotion }, ... }; each mark holds until the next, and neutral is
-- marked like any other state.
local function marks(rng, annotator, episodes)
  local list = { { 0, "neutral" } }
  local function late() return annotator.delay * (0.6 - math.log(1 - rng:uniform()) * 0.4) end
  for _, e in ipairs(episodes) do
    local overlooked = rng:uniform() < annotator.misses * (2.2 - 1.4 * e.strength)
    local emotion = e.also and rng:uniform() < 0.5 and e.also or e.emotion
    local wrong = mistaken[emotion]
    if rng:uniform() < annotator.mistakes then emotion = wrong[rng:below(#wrong) + 1] end
    local start, stop = e.start + 0.35 * e.onset + late(), e.stop + 0.4 * e.offset + late()
    if not overlooked and stop > start then
      list[#list + 1] = { start, emotion }
      list[#list + 1] = { stop, "neutral" }
    end
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

--- Votes of n frames: counts[frame][emotion's number], frames and emotions from 1. All annotators vote on every
-- frame.
function annotate.votes(rng, annotators, episodes, n, fps)
  local number, counts = {}, {}
  for k, name in ipairs(expression.emotions) do number[name] = k end
  for t = 1, n do
    counts[t] = {}
    for k = 1, #expression.emotions do counts[t][k] = 0 end
  end
  for _, annotator in ipairs(annotators) do
    local list, at = marks(rng, annotator, episodes), 1
    for t = 1, n do
      while list[at + 1] and list[at + 1][1] <= (t - 1) / fps do at = at + 1 end
      local k = number[list[at][2]]
      counts[t][k] = counts[t][k] + 1
    end
  end
  return counts
end

return annotate
