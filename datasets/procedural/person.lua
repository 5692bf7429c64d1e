-- Who is in front of the camera, and where: a person's features and resting face, a scene's light and room.
-- Not here: how they are drawn (face.lua), how they move (motion.lua).
local person = {}

local function between(rng, low, high)
  return low + (high - low) * rng:uniform()
end

local function pick(rng, list)
  return list[rng:below(#list) + 1]
end

--- a + t (b - a) of two colours.
local function blend(a, b, t)
  return { a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2]), a[3] + t * (b[3] - a[3]) }
end

local skins = { -- light to dark
  { 0.96, 0.82, 0.74 }, { 0.90, 0.73, 0.62 }, { 0.80, 0.61, 0.48 }, { 0.66, 0.47, 0.35 },
  { 0.46, 0.31, 0.23 },
}
local hairs = {
  { 0.10, 0.08, 0.07 }, { 0.20, 0.13, 0.09 }, { 0.36, 0.23, 0.13 }, { 0.72, 0.56, 0.32 },
  { 0.55, 0.25, 0.13 }, { 0.62, 0.61, 0.60 },
}
local irises = { { 0.22, 0.13, 0.08 }, { 0.35, 0.23, 0.12 }, { 0.28, 0.42, 0.55 }, { 0.30, 0.42, 0.28 } }

--- A person. Lengths are in half-heights of the face, y downwards. `gain` is how strongly this person shows
-- an expression, `rest` what the face does without one: both make a stranger's face hard to read.
function person.new(rng)
  local at = rng:uniform() * (#skins - 1)
  local i = math.min(math.floor(at) + 1, #skins - 1)
  local skin = blend(skins[i], skins[i + 1], at - i + 1)
  local hair = pick(rng, hairs)
  local p = {
    skin = skin, hair = hair,
    lip = blend(skin, { 0.66, 0.22, 0.24 }, between(rng, 0.35, 0.7)),
    brow = blend(skin, { hair[1] * 0.7, hair[2] * 0.7, hair[3] * 0.7 }, between(rng, 0.65, 0.95)),
    iris = pick(rng, irises),
    face_width = between(rng, 0.70, 0.84), jaw = between(rng, 0.82, 1.0), -- width of the lower half
    eye_x = between(rng, 0.31, 0.37), eye_y = between(rng, -0.20, -0.12),
    eye_half = between(rng, 0.145, 0.185),
    eye_up = between(rng, 0.070, 0.095), eye_low = between(rng, 0.042, 0.058),
    eye_slant = between(rng, -0.10, 0.12), brow_half = between(rng, 0.17, 0.22),
    brow_y = between(rng, -0.43, -0.37), brow_thick = between(rng, 0.018, 0.042),
    brow_bend = between(rng, -0.05, -0.01),
    nose_y = between(rng, 0.14, 0.22), nose_half = between(rng, 0.09, 0.14),
    mouth_y = between(rng, 0.47, 0.55), mouth_half = between(rng, 0.22, 0.29),
    lip_upper = between(rng, 0.035, 0.06), lip_lower = between(rng, 0.05, 0.085),
    hair_top = between(rng, 0.12, 0.3), hair_long = rng:uniform() < 0.4, bald = rng:uniform() < 0.1,
    fringe = between(rng, 0.0, 0.3), fringe_side = between(rng, -0.25, 0.25),
    glasses = rng:uniform() < 0.25 and between(rng, 0.05, 0.35) or nil, -- lightness of the frame
    beard = rng:uniform() < 0.3 and between(rng, 0.25, 0.75) or nil,
    moustache = rng:uniform() < 0.12,
    cloth = { rng:uniform() * 0.8, rng:uniform() * 0.8, rng:uniform() * 0.8 },
    gain = {}, rest = {},
  }
  if p.hair_long then p.beard, p.moustache = nil, false end
  for _, unit in ipairs { "brow", "eyes", "mouth", "jaw" } do p.gain[unit] = between(rng, 0.65, 1.2) end
  p.rest = {
    inner_raise = between(rng, -0.15, 0.2), outer_raise = between(rng, -0.15, 0.2),
    lower = between(rng, -0.1, 0.2),
    corner = between(rng, -0.22, 0.22), lids = between(rng, -0.15, 0.2),
  }
  return p
end

--- A colour as rooms have them: more or less grey.
local function wall(rng)
  local grey, vivid = between(rng, 0.15, 0.85), between(rng, 0, 0.35)
  return { grey + vivid * (rng:uniform() - 0.5), grey + vivid * (rng:uniform() - 0.5),
    grey + vivid * (rng:uniform() - 0.5) }
end

--- A scene: room, light, camera. hard: 0 a desk with a webcam, 1 anywhere.
function person.scene(rng, hard)
  local angle = between(rng, -1, 1) * (0.6 + 0.9 * hard)
  local up = between(rng, -0.9, 0.1 + 0.4 * hard)
  local x, y, z = math.sin(angle), up, math.cos(angle) * 0.9 + 0.25
  local length = math.sqrt(x * x + y * y + z * z)
  local warm = between(rng, -0.08, 0.08) * (0.5 + hard)
  local diffuse = between(rng, 0.25, 0.45 + 0.35 * hard)
  return {
    kind = pick(rng, hard > 0.5 and { "plain", "gradient", "texture", "texture", "blobs", "blobs" }
      or { "plain", "gradient", "texture" }),
    near = wall(rng), far = wall(rng),
    angle = rng:uniform() * 2 * math.pi, grain = between(rng, 0.12, 0.5), seed = rng:below(2 ^ 31),
    light = { x / length, y / length, z / length }, diffuse = diffuse,
    ambient = 1.02 - diffuse * between(rng, 0.6, 0.95) - 0.15 * hard * rng:uniform(),
    tint = { 1 + warm, 1, 1 - warm },
    flicker = hard * between(rng, 0, 0.06), -- exposure that follows the scene
    noise = between(rng, 0.008, 0.02 + 0.025 * hard),
    scale = between(rng, 0.50, 0.55) * (1 - 0.14 * hard * rng:uniform()), -- half-height, of the picture's
    x = between(rng, -0.03, 0.03) * (1 + hard), y = between(rng, -0.01, 0.03) * (1 + hard),
    yaw = between(rng, -0.12, 0.12) * (1 + 2 * hard), pitch = between(rng, -0.08, 0.08) * (1 + hard),
    roll = between(rng, -0.06, 0.06) * (1 + 2 * hard),
  }
end

return person
