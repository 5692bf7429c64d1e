-- From what is felt to what the face does: affect or an emotion gives action units, a person tempers them.
-- Not here: how feelings move in time (motion.lua), how the units are drawn (face.lua).
--
-- Units follow the Facial Action Coding System (Ekman & Friesen 1978): inner = AU1, outer = AU2, lower = AU4,
-- lid = AU5 (negative: drooping), cheek = AU6, tighten = AU7, nose = AU9, lip_raise = AU10, smile = AU12,
-- down = AU15, pucker = AU18, stretch = AU20, press = AU24, part = AU25, jaw = AU26. 1 is a full one.
local expression = {}

local max, min = math.max, math.min

expression.units = {
  "inner", "outer", "lower", "lid", "cheek", "tighten", "nose", "lip_raise", "smile", "down", "pucker", "stretch",
  "press", "part", "jaw", "one_sided", "tilt",
}

--- In the order of the labels; other is what no name fits: three different things.
expression.emotions = { "neutral", "happy", "surprise", "disgust", "contempt", "confusion", "empathy", "other" }

--- What each emotion does at its apex. one_sided: how much of smile and brow stays on one side of the face;
-- tilt: of the head, in radians.
expression.prototypes = {
  neutral = { {} },
  happy = { { cheek = 0.8, smile = 1, part = 0.6 }, { cheek = 0.9, smile = 1, part = 1, jaw = 0.35 } },
  surprise = { { inner = 1, outer = 1, lid = 0.9, part = 0.5, jaw = 0.75 }, { inner = 0.9, outer = 0.9, lid = 1 } },
  disgust = { { lower = 0.6, tighten = 0.6, nose = 1, lip_raise = 1, down = 0.35 } },
  contempt = { { smile = 0.75, one_sided = 1, tighten = 0.35, press = 0.4, tilt = 0.06 } },
  confusion = { { lower = 0.85, tighten = 0.5, press = 0.4, tilt = 0.12 },
    { lower = 0.5, outer = 0.7, one_sided = 0.9, pucker = 0.3, tilt = -0.12 } },
  empathy = { { inner = 1, lower = 0.35, down = 0.55, lid = -0.25, tilt = 0.1 } },
  other = { { lower = 0.9, lid = 0.4, press = 1, nose = 0.2 }, { lid = -0.75, down = 0.3, jaw = 0.1 },
    { pucker = 1, outer = 0.3 }, { stretch = 1, part = 0.5, inner = 0.4 } },
}

--- Every unit at 0.
function expression.none()
  local units = {}
  for _, name in ipairs(expression.units) do units[name] = 0 end
  return units
end

--- Adds `share` of prototype p to units.
function expression.add(units, p, share)
  for name, value in pairs(p) do units[name] = units[name] + share * value end
end

--- Units of arousal and valence in [-1, 1]: valence pulls the corners of the mouth and the brows, arousal opens
-- eyes and mouth and raises the brows; together they make delight, distress, calm and gloom.
function expression.of_affect(arousal, valence)
  local units = expression.none()
  local good, bad, up, down = max(0, valence), max(0, -valence), max(0, arousal), max(0, -arousal)
  units.smile = 1.15 * good
  units.cheek = 0.8 * good * (0.6 + 0.4 * up)
  units.lower = 0.85 * bad
  units.down = 0.8 * bad * (1 - 0.3 * up)
  units.nose = 0.45 * bad * up
  units.stretch = 0.5 * bad * up
  units.inner = 0.55 * up + 0.35 * bad * down
  units.outer = 0.6 * up * (1 - 0.4 * bad)
  units.lid = 0.8 * up - 0.8 * down
  units.part = 0.8 * up + 0.3 * good
  units.jaw = 0.55 * up
  return units
end

local function clamp(x, low, high)
  return x < low and low or x > high and high or x
end

--- What the face is drawn from: units tempered by the person's gain and resting face, with what moves besides
-- (motion.lua): moving = { blink (1 closed), talk (mouth), brow, side (+1 or -1 for one-sided units), gaze_x, gaze_y }.
function expression.temper(units, person, moving)
  local gain, rest = person.gain, person.rest
  local left = moving.side > 0 and 1 - units.one_sided or 1
  local right = moving.side > 0 and 1 or 1 - units.one_sided
  local smile, outer = gain.mouth * units.smile, gain.brow * units.outer
  local lids = gain.eyes * units.lid + rest.lids
  local open = (1 + 0.75 * max(0, lids) + 0.9 * min(0, lids)) * (1 - 0.4 * units.tighten) * (1 - 0.3 * units.cheek)
    * (1 - moving.blink)
  return {
    inner_raise = clamp(gain.brow * units.inner + rest.inner_raise + moving.brow, -0.4, 1.3),
    outer_left = clamp(outer * left + rest.outer_raise + moving.brow, -0.4, 1.3),
    outer_right = clamp(outer * right + rest.outer_raise + moving.brow, -0.4, 1.3),
    lower = clamp(gain.brow * units.lower + rest.lower, -0.3, 1.3),
    open_left = clamp(open, 0.02, 1.7), open_right = clamp(open, 0.02, 1.7),
    cheek = clamp(gain.mouth * units.cheek, 0, 1.2), nose = clamp(gain.mouth * units.nose, 0, 1.2),
    smile_left = clamp(smile * left + rest.corner, -0.4, 1.4),
    smile_right = clamp(smile * right + rest.corner, -0.4, 1.4),
    down = clamp(gain.mouth * units.down, 0, 1.3), lip_raise = clamp(gain.mouth * units.lip_raise, 0, 1.2),
    stretch = clamp(gain.mouth * units.stretch, 0, 1.2), pucker = clamp(gain.mouth * units.pucker, 0, 1.2),
    press = clamp(gain.mouth * units.press, 0, 1), part = clamp(units.part, 0, 1.2),
    jaw = clamp(gain.jaw * units.jaw + moving.talk, 0, 1.2),
    gaze_x = moving.gaze_x, gaze_y = moving.gaze_y,
  }
end

return expression
