-- What surrounds the subject: the room behind it, the light on it, the sensor.
-- Not here: the subject (face.lua, objects.lua), how a scene is chosen (person.lua).
local noise = require "procedural.noise"
local paint = require "procedural.paint"

local cos, sin, sqrt, max, min, floor = math.cos, math.sin, math.sqrt, math.max, math.min, math.floor

local camera = {}

-- ---- the room --------------------------------------------------------------------------------------------

--- Fills the picture with the scene's room.
function camera.room(canvas, scene)
  local size, near, far = canvas.size, scene.near, scene.far
  local ax, ay = cos(scene.angle), sin(scene.angle)
  local plain, texture = scene.kind == "plain", scene.kind == "texture"
  local seed, fine = scene.seed, scene.grain
  for py = 0, size - 1 do
    for px = 0, size - 1 do
      local x, y = (px + 0.5) / size - 0.5, (py + 0.5) / size - 0.5
      local t = plain and 0.3 or min(1, max(0, 0.5 + ax * x + ay * y))
      if texture then t = min(1, max(0, t + (noise.value(x / fine, y / fine, seed) - 0.5) * 1.4)) end
      local i = py * size + px
      canvas.r[i] = near[1] + t * (far[1] - near[1])
      canvas.g[i] = near[2] + t * (far[2] - near[2])
      canvas.b[i] = near[3] + t * (far[3] - near[3])
    end
  end
  if scene.kind ~= "blobs" then return end
  for k = 1, 7 do -- out-of-focus things
    local h = noise.scramble(seed + k * 7919)
    local function share(shift) return floor(h / 2 ^ shift) % 64 / 64 end
    paint.ellipse(canvas, share(0) * size, share(6) * size, (0.06 + 0.2 * share(12)) * size,
      (0.06 + 0.2 * share(18)) * size, 1, 0, share(3), share(9), share(15), 0.7, 0.08 * size)
  end
end

-- ---- light and sensor ------------------------------------------------------------------------------------

--- Lights the picture, adds noise, writes u8 [size, size, 3] at `out`. body: the round thing that the light
-- models, an ellipse { x, y, rx, ry, c, s } in pixels; exposure drifts with mean 0 and sd 1.
function camera.expose(canvas, out, scene, body, exposure, grain_seed)
  local size = canvas.size
  local lx, ly, lz = scene.light[1], scene.light[2], scene.light[3]
  local ambient, diffuse, sd = scene.ambient, scene.diffuse, scene.noise
  local gain = 1 + scene.flicker * exposure
  local tr, tg, tb = scene.tint[1] * gain, scene.tint[2] * gain, scene.tint[3] * gain
  local ix, iy, bx, by, c, s = 1 / body.rx, 1 / body.ry, body.x, body.y, body.c, body.s
  local r, g, b, n = canvas.r, canvas.g, canvas.b, size * size
  for py = 0, size - 1 do
    for px = 0, size - 1 do
      local dx, dy = px + 0.5 - bx, py + 0.5 - by
      local u, v = (c * dx + s * dy) * ix, (c * dy - s * dx) * iy
      local q = u * u + v * v
      local around = 0.55 + 0.3 * max(-1, min(1, lx * u + ly * v)) -- far from it
      local shade = around
      if q < 1 then
        local lit = max(0, lx * u + ly * v + lz * sqrt(1 - q)) * 1.15
        local edge = min(1, (1 - q) * 4)
        shade = around + edge * (lit - around)
      end
      local k = ambient + diffuse * shade
      local i = py * size + px
      local j = 3 * i
      local cr = 255 * (r[i] * k * tr + sd * noise.grain(i, grain_seed)) + 0.5
      local cg = 255 * (g[i] * k * tg + sd * noise.grain(i + n, grain_seed)) + 0.5
      local cb = 255 * (b[i] * k * tb + sd * noise.grain(i + 2 * n, grain_seed)) + 0.5
      out[j] = cr < 0 and 0 or cr > 255 and 255 or cr
      out[j + 1] = cg < 0 and 0 or cg > 255 and 255 or cg
      out[j + 2] = cb < 0 and 0 or cb > 255 and 255 or cb
    end
  end
end

return camera
