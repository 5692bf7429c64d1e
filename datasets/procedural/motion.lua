-- How things move: affect that drifts, episodes of emotion, heads, blinks, gaze and speech.
-- Not here: what a feeling does to the face (expression.lua), what raters make of it (annotate.lua).
local motion = {}

local max, min, exp, sqrt, sin, pi = math.max, math.min, math.exp, math.sqrt, math.sin, math.pi

-- ---- drifting --------------------------------------------------------------------------------------------

--- n values of a smooth process about 0: an Ornstein-Uhlenbeck process smoothed by another, scaled to standard
-- deviation sd. seconds: how long it takes to forget; it starts in its stationary state.
function motion.drift(rng, n, fps, seconds, sd)
  local keep = exp(-2 / (seconds * fps)) -- two equal filters in a row
  local spread = sqrt(1 - keep * keep)
  local scale = sd / sqrt((1 - keep) / (1 + keep) * (1 + 2 * keep * keep / (1 - keep * keep)))
  local x, y, out = rng:normal(), 0, {}
  for t = 1 - math.ceil(4 * seconds * fps), n do
    x = keep * x + spread * rng:normal()
    y = keep * y + (1 - keep) * x
    if t >= 1 then out[t] = y * scale end
  end
  return out
end

--- Arousal and valence of one recording: drifts about the recording's own level, with some moments in which
-- something happens, kept inside (-1, 1). Returns two arrays.
function motion.affect(rng, n, fps)
  local function level() return 0.15 * rng:normal() end
  local arousal, valence = motion.drift(rng, n, fps, 5, 0.38), motion.drift(rng, n, fps, 7, 0.40)
  local shared = motion.drift(rng, n, fps, 6, 0.15)
  local a0, v0 = level() - 0.02, level() + 0.08
  local function bound(x) -- close to the identity inside, never beyond 1
    local e = exp(2 * x)
    return (e - 1) / (e + 1)
  end
  for t = 1, n do
    arousal[t] = bound(a0 + arousal[t] + shared[t])
    valence[t] = bound(v0 + valence[t] + 0.5 * shared[t])
  end
  return arousal, valence
end

-- ---- episodes --------------------------------------------------------------------------------------------

local function smooth(x)
  x = min(1, max(0, x))
  return x * x * (3 - 2 * x)
end

--- Strength of an episode at time t (seconds): onset, apex, offset.
function motion.envelope(episode, t)
  return episode.strength * smooth((t - episode.start) / episode.onset)
    * (1 - smooth((t - episode.stop) / episode.offset))
end

--- Episodes of emotion that fill about `share` of `seconds`, with neutral between them.
-- weights: { name = weight }, names: their order. Each { emotion, also (a second one, or nil), start, stop,
-- onset, offset, strength, variant (in [0, 1)), side }; stop is where it begins to fade.
function motion.episodes(rng, seconds, share, names, weights)
  local total = 0
  for _, name in ipairs(names) do total = total + weights[name] end
  local function draw()
    local u = rng:uniform() * total
    for _, name in ipairs(names) do
      u = u - weights[name]
      if u < 0 then return name end
    end
    return names[#names]
  end
  local list, mean = {}, 5.5 -- seconds that an episode shows, fading included
  local gap = mean * (1 - share) / share
  local t = -rng:uniform() * gap
  while true do
    t = t - math.log(1 - rng:uniform()) * (gap - 0.8) + 0.8
    if t > seconds - 0.5 then return list end
    if t > 0 then
      local e = {
        emotion = draw(), start = t, onset = 0.25 + 0.5 * rng:uniform(), offset = 0.5 + 0.8 * rng:uniform(),
        strength = 0.55 + 0.5 * rng:uniform(), variant = rng:uniform(), side = rng:below(2) * 2 - 1,
      }
      local long = rng:uniform() -- most are short, some last
      e.stop = t + e.onset + 1.2 + 9 * long * long
      if rng:uniform() < 0.12 then
        e.also = draw()
        if e.also == e.emotion then e.also = nil end
      end
      list[#list + 1] = e
      t = e.stop + e.offset
    end
  end
end

-- ---- head, eyes, speech ----------------------------------------------------------------------------------

--- Blinks: closed shares [0, 1] of n frames, about `rate` a minute.
local function blinks(rng, n, fps, rate)
  local out = {}
  for t = 1, n do out[t] = 0 end
  local at = -math.log(1 - rng:uniform()) * 60 / rate
  while at * fps < n do
    local first, last = math.floor((at - 0.1) * fps), math.ceil((at + 0.16) * fps)
    for t = max(1, first), min(n, last) do
      local away = math.abs(t / fps - at - 0.03) / 0.16
      out[t] = max(out[t], min(1, 1.6 * max(0, 1 - away)))
    end
    at = at + 0.4 - math.log(1 - rng:uniform()) * 60 / rate
  end
  return out
end

--- Everything that moves whatever is felt. hard: 0 in front of a desk, 1 anywhere.
-- Returns frame(t, stir): pose and moving of frame t (1-based), stir in [0, 1] being arousal that makes head and
-- mouth busier.
function motion.body(rng, n, fps, hard)
  local function drift(seconds, sd) return motion.drift(rng, n, fps, seconds, sd) end
  local yaw, pitch, roll = drift(3, 0.11 + 0.13 * hard), drift(3, 0.07 + 0.06 * hard), drift(4, 0.045 + 0.05 * hard)
  local x, y, zoom = drift(4, 0.012 + 0.012 * hard), drift(4, 0.010 + 0.010 * hard), drift(6, 0.02 + 0.03 * hard)
  local nod, gaze_x, gaze_y = drift(0.5, 0.05), drift(0.8, 0.6), drift(0.8, 0.5)
  local brow, exposure, speaks = drift(0.6, 0.08), drift(5, 1), drift(2.5, 1)
  local closed = blinks(rng, n, fps, 14 + 8 * rng:uniform())
  local pace, phase = 3.5 + rng:uniform(), rng:uniform() * 2 * pi
  local chatty = 0.2 + 0.4 * rng:uniform()
  return function(t, stir)
    local voice = max(0, speaks[t] - 0.6 + chatty) * (0.5 + 0.5 * sin(phase + 2 * pi * pace * t / fps))
    return {
      yaw = yaw[t], pitch = pitch[t] + nod[t] * (0.3 + stir), roll = roll[t], x = x[t], y = y[t], zoom = zoom[t],
      exposure = exposure[t],
    }, {
      blink = closed[t], talk = min(0.45, 0.22 * voice * (0.6 + stir)), brow = brow[t], side = 1,
      gaze_x = max(-1.5, min(1.5, gaze_x[t])), gaze_y = max(-1.5, min(1.5, gaze_y[t])),
    }
  end
end

return motion
