-- Draws one frame of a face: the head, and its features as the action units pull them.
-- Not here: the shapes (paint.lua), room and light (camera.lua), people (person.lua), which expression
-- (expression.lua).
local camera = require "procedural.camera"
local paint = require "procedural.paint"

local sin, cos, max, min = math.sin, math.cos, math.max, math.min

local face = {}

-- ---- the head --------------------------------------------------------------------------------------------

--- Where a point of the face, (x, y) in half-heights and z towards the camera, is seen: pixels.
local function place(view, x, y, z)
  local u = x * view.cos_yaw + z * view.sin_yaw
  local v = y * view.cos_pitch + z * view.sin_pitch
  return view.x + view.scale * (view.c * u - view.s * v), view.y + view.scale * (view.s * u + view.c * v)
end

local function view_of(size, scene, pose)
  local yaw = max(-0.6, min(0.6, scene.yaw + pose.yaw)) -- beyond that the flat features would leave the head
  local pitch, roll = max(-0.4, min(0.4, scene.pitch + pose.pitch)), scene.roll + pose.roll
  return {
    scale = scene.scale * size * (1 + pose.zoom), c = cos(roll), s = sin(roll),
    x = (0.5 + scene.x + pose.x) * size, y = (0.5 + scene.y + pose.y) * size,
    cos_yaw = cos(yaw), sin_yaw = sin(yaw), cos_pitch = cos(pitch), sin_pitch = sin(pitch),
  }
end

local function head(canvas, p, view, au)
  local S, c, s = view.scale, view.c, view.s
  local hair, skin = p.hair, p.skin
  local wide = p.face_width * S
  local x, y
  if not p.bald then
    x, y = place(view, 0, p.hair_long and 0.2 or -0.2, -0.3)
    paint.ellipse(canvas, x, y, wide * (p.hair_long and 1.2 or 1.08), (p.hair_long and 1.25 or 0.86) * S, c, s,
      hair[1] * 0.75, hair[2] * 0.75, hair[3] * 0.75, 1, 1.5)
  end
  x, y = place(view, 0, 1.0, -0.35)
  paint.ellipse(canvas, x, y, 0.44 * S, 0.5 * S, c, s, skin[1] * 0.72, skin[2] * 0.67, skin[3] * 0.65, 1, 1.5)
  x, y = place(view, 0, 1.78, -0.3)
  paint.ellipse(canvas, x, y, 1.35 * S, 0.75 * S, 1, 0, p.cloth[1], p.cloth[2], p.cloth[3], 1, 1.5)
  for side = -1, 1, 2 do
    x, y = place(view, side * p.face_width * 1.0, -0.02, -0.1)
    paint.ellipse(canvas, x, y, 0.11 * S, 0.19 * S, c, s, skin[1] * 0.86, skin[2] * 0.8, skin[3] * 0.78, 1, 1)
  end
  -- The skull, then the jaw, which an open mouth pulls down.
  x, y = place(view, 0, -0.14, 0)
  paint.ellipse(canvas, x, y, wide, 0.83 * S, c, s, skin[1], skin[2], skin[3], 1, 1)
  x, y = place(view, 0, 0.24 + 0.05 * au.jaw, 0.04)
  paint.ellipse(canvas, x, y, wide * p.jaw, (0.74 + 0.07 * au.jaw) * S, c, s, skin[1], skin[2], skin[3], 1, 1)
  if p.beard then
    local b = p.beard
    x, y = place(view, 0, 0.60 + 0.08 * au.jaw, 0.1)
    paint.ellipse(canvas, x, y, wide * p.jaw * 0.80, (0.40 + 0.04 * au.jaw) * S, c, s, hair[1], hair[2], hair[3],
      b, 0.22 * S)
  end
  if p.moustache then
    x, y = place(view, 0, p.mouth_y - 0.12, 0.5)
    paint.band(canvas, x, y, 0.17 * S, c, s, 0, 0, -0.03 * S, 0.035 * S, 0.035 * S, hair[1], hair[2], hair[3],
      0.8, 1.5)
  end
  if not p.bald then
    x, y = place(view, 0, -0.18 - 0.3 * p.hair_top, 0)
    paint.cap(canvas, x, y, wide * 1.04, (0.84 + 0.3 * p.hair_top) * S, c, s, -0.78 + p.fringe, p.fringe_side,
      0.55, hair[1], hair[2], hair[3], 1.5)
  end
end

-- ---- features --------------------------------------------------------------------------------------------

local function eyes(canvas, p, view, au)
  local S, skin, brow = view.scale, p.skin, p.brow
  local iris = { iris = p.iris, white = 0.92, iris_radius = 0.075 * S, lash = 0.3 + 0.012 * S,
    gaze_x = au.gaze_x * 0.05 * S, gaze_y = au.gaze_y * 0.025 * S }
  for side = -1, 1, 2 do
    local left = side < 0
    local near = view.cos_yaw - side * view.sin_yaw * 0.55 -- the far eye looks narrower
    local x, y = place(view, side * p.eye_x, p.eye_y, 0.55)
    paint.ellipse(canvas, x, y - 0.03 * S, 0.24 * S, 0.15 * S, view.c, view.s, skin[1] * 0.62, skin[2] * 0.52,
      skin[3] * 0.5, 0.22 + 0.12 * max(0, au.lower), 0.14 * S)
    local open = left and au.open_left or au.open_right
    local slant = side * p.eye_slant
    local c, s = cos(slant), sin(slant)
    c, s = view.c * c - view.s * s, view.s * c + view.c * s
    paint.eye(canvas, x, y, p.eye_half * S * near, c, s, p.eye_up * S * open,
      p.eye_low * S * min(open, 1.2) * (1 - 0.65 * au.cheek), iris)
    -- Brows: u runs left to right, so inner and outer ends change sides.
    local outer_raise = left and au.outer_left or au.outer_right
    local inner = (-0.17 * au.inner_raise + 0.15 * au.lower) * S
    local outer = (-0.16 * outer_raise + 0.05 * au.lower + 0.02) * S
    x, y = place(view, side * (p.eye_x + 0.01 - 0.045 * max(0, au.lower)), p.brow_y, 0.6)
    local thick = p.brow_thick * S
    paint.band(canvas, x, y, p.brow_half * S * near, view.c, view.s, left and outer or inner,
      left and inner or outer, p.brow_bend * S * (1 - 0.5 * max(0, au.lower)), left and thick * 0.6 or thick,
      left and thick or thick * 0.6, brow[1], brow[2], brow[3], 0.95, 1.1)
    -- Cheeks: the fold beside the nose deepens, the bag below the eye rises.
    local fold = 0.1 + 0.35 * max(left and au.smile_left or au.smile_right, 0) + 0.35 * au.nose
    x, y = place(view, side * 0.27, 0.28 - 0.04 * au.nose, 0.5)
    paint.band(canvas, x, y, 0.11 * S, 0.5, side * 0.87, 0, 0, -side * 0.03 * S, 0.015 * S, 0.02 * S,
      skin[1] * 0.6, skin[2] * 0.47, skin[3] * 0.45, max(0, min(0.6, fold)), 0.09 * S)
    x, y = place(view, side * 0.36, 0.07, 0.5)
    paint.band(canvas, x, y, 0.13 * S, view.c, view.s, 0, 0, 0.05 * S, 0.015 * S, 0.015 * S, skin[1] * 0.6,
      skin[2] * 0.47, skin[3] * 0.45, 0.08 + 0.4 * au.cheek, 0.06 * S)
  end
  if not p.glasses then return end
  local g = p.glasses
  for side = -1, 1, 2 do
    local x, y = place(view, side * p.eye_x, p.eye_y + 0.02, 0.65)
    paint.ellipse(canvas, x, y, 0.25 * S, 0.19 * S, view.c, view.s, g, g, g, 0.85, 1, 0.45)
  end
  local x, y = place(view, 0, p.eye_y - 0.02, 0.7)
  paint.band(canvas, x, y, 0.08 * S, view.c, view.s, 0, 0, -0.02 * S, 0.4, 0.4, g, g, g, 0.85, 1)
end

local function middle(canvas, p, view, au, light)
  local S, skin, c, s = view.scale, p.skin, view.c, view.s
  local dr, dg, db = skin[1] * 0.55, skin[2] * 0.42, skin[3] * 0.4
  local x, y
  local raised = max(0, 0.5 * au.inner_raise + 0.25 * (au.outer_left + au.outer_right))
  for k = 0, 1 do -- lines of the raised forehead
    x, y = place(view, 0, -0.58 - 0.11 * k, 0.6)
    paint.band(canvas, x, y, 0.3 * S, c, s, 0, 0, -0.03 * S, 0.008 * S, 0.008 * S, dr, dg, db,
      min(0.6, 0.5 * raised), 0.05 * S)
  end
  for side = -1, 1, 2 do -- furrows between lowered brows
    x, y = place(view, side * 0.05, p.brow_y + 0.04, 0.7)
    paint.band(canvas, x, y, 0.07 * S, -s, c, 0, 0, 0, 0.012 * S, 0.012 * S, dr, dg, db,
      min(0.8, 0.7 * max(0, au.lower)), 0.06 * S)
  end
  -- The nose: a shadow on the side away from the light, wings, nostrils, wrinkles on its bridge.
  local dark = light[1] > 0 and -1 or 1
  local lift = -0.05 * au.nose
  x, y = place(view, dark * 0.075, p.nose_y - 0.18, 0.8)
  paint.band(canvas, x, y, 0.2 * S, -s, c, 0, -dark * 0.03 * S, 0, 0.015 * S, 0.035 * S, dr, dg, db, 0.35,
    0.09 * S)
  for side = -1, 1, 2 do
    x, y = place(view, side * p.nose_half * 0.85, p.nose_y + lift, 0.75)
    paint.ellipse(canvas, x, y, 0.05 * S, 0.06 * S, c, s, dr, dg, db, 0.3 + 0.2 * au.nose, 0.06 * S)
    x, y = place(view, side * p.nose_half * 0.45, p.nose_y + 0.05 + lift, 0.8)
    paint.ellipse(canvas, x, y, 0.035 * S * (1 + 0.3 * au.nose), 0.022 * S, c, s, 0.2, 0.1, 0.09, 0.75, 1)
  end
  for k = 0, 2 do
    x, y = place(view, 0, -0.14 + 0.06 * k, 0.75)
    paint.band(canvas, x, y, 0.07 * S, c, s, 0, 0, -0.02 * S, 0.006 * S, 0.006 * S, dr, dg, db, 0.75 * au.nose,
      0.04 * S)
  end
end

local function mouth(canvas, p, view, au)
  local S = view.scale
  local smile = 0.5 * (au.smile_left + au.smile_right)
  local half = p.mouth_half * (1 + 0.3 * max(0, smile) + 0.28 * au.stretch - 0.18 * au.jaw - 0.3 * au.pucker)
  local press = 1 - 0.75 * au.press
  local x, y = place(view, 0, p.mouth_y + 0.05 * au.jaw - 0.03 * au.lip_raise - 0.03 * au.press, 0.6)
  local left = (-0.17 * au.smile_left + 0.15 * au.down) * S
  local right = (-0.17 * au.smile_right + 0.15 * au.down) * S
  local open = 0.30 * max(0, au.jaw) + 0.06 * au.part
  local up, low = (0.35 * open + 0.06 * au.lip_raise) * S, 0.65 * open * S
  y = y - 0.2 * (left + right) -- the middle gives way as the corners go
  paint.mouth(canvas, x, y, half * S * view.cos_yaw, view.c, view.s, left, right, up, low, {
    lip = p.lip, upper = p.lip_upper * S * press * (1 - 0.25 * max(0, smile)) + 0.01,
    lower = p.lip_lower * S * press * (1 - 0.2 * max(0, smile)) + 0.01,
    teeth = (0.02 + 0.09 * max(0, smile) + 0.07 * au.lip_raise) * S, seam = 0.85,
  })
  if au.pucker > 0.05 or au.down > 0.05 then -- the chin's shadow
    x, y = place(view, 0, p.mouth_y + 0.2, 0.55)
    paint.ellipse(canvas, x, y, 0.15 * S, 0.04 * S, view.c, view.s, p.skin[1] * 0.6, p.skin[2] * 0.48,
      p.skin[3] * 0.45, 0.4 * max(au.pucker, au.down), 0.08 * S)
  end
end

-- ---- the frame -------------------------------------------------------------------------------------------

--- Draws a frame into out (uint8_t *, size*size*3). pose: { x, y, zoom, yaw, pitch, roll, exposure } from
-- motion.lua; au: action units from expression.lua; grain_seed: an integer of this frame.
function face.draw(canvas, out, p, scene, pose, au, grain_seed)
  local view = view_of(canvas.size, scene, pose)
  camera.room(canvas, scene)
  head(canvas, p, view, au)
  middle(canvas, p, view, au, scene.light)
  mouth(canvas, p, view, au)
  eyes(canvas, p, view, au)
  view.rx, view.ry = view.scale * p.face_width * 1.12, view.scale * 1.1
  camera.expose(canvas, out, scene, view, pose.exposure, grain_seed)
end

return face
