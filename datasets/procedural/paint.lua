-- Soft-edged shapes on a float picture: ellipses, rings, curved bands, eyes, mouths, polygons.
-- Not here: what a face or an object is made of (face.lua, objects.lua).
--
-- Each shape walks its bounding box and covers a pixel by its signed distance to the edge, so that a fifth of
-- a pixel of movement shows. Coordinates are pixels, the centre of the first one at 0.5; `c`, `s` are cosine and
-- sine of the rotation; colours are 0 to 1. No powers: pow differs between interpreter and compiler.
local ffi = require "ffi"

local floor, ceil, sqrt, abs, max, min = math.floor, math.ceil, math.sqrt, math.abs, math.max, math.min
local floats = ffi.typeof "float[?]"

local paint = {}

--- A picture of size x size pixels in three planes.
function paint.canvas(size)
  local n = size * size
  return { size = size, r = floats(n), g = floats(n), b = floats(n) }
end

local function box(size, x, y, reach_x, reach_y)
  return max(0, floor(x - reach_x)), min(size - 1, ceil(x + reach_x)),
    max(0, floor(y - reach_y)), min(size - 1, ceil(y + reach_y))
end

local function mix(canvas, i, a, r, g, b)
  canvas.r[i] = canvas.r[i] + a * (r - canvas.r[i])
  canvas.g[i] = canvas.g[i] + a * (g - canvas.g[i])
  canvas.b[i] = canvas.b[i] + a * (b - canvas.b[i])
end

--- Share of a pixel inside an edge at signed distance d, for an edge `soft` pixels wide.
local function cover(d, soft)
  local a = 0.5 - d / soft
  return a < 0 and 0 or a > 1 and 1 or a
end

--- An ellipse; with `ring` > 0 only an outline of that half-width.
function paint.ellipse(canvas, x, y, rx, ry, c, s, r, g, b, alpha, soft, ring)
  local size, reach = canvas.size, max(rx, ry) + soft + (ring or 0)
  local x0, x1, y0, y1 = box(size, x, y, reach, reach)
  local ix, iy, width = 1 / rx, 1 / ry, ring or 0
  for py = y0, y1 do
    for px = x0, x1 do
      local dx, dy = px + 0.5 - x, py + 0.5 - y
      local u, v = (c * dx + s * dy) * ix, (c * dy - s * dx) * iy
      local f, slope = sqrt(u * u + v * v), sqrt(u * u * ix * ix + v * v * iy * iy)
      local d = f * (f - 1) / (slope + 1e-9) -- distance to first order
      if width > 0 then d = abs(d) - width end
      local a = alpha * cover(d, soft)
      if a > 0 then mix(canvas, py * size + px, a, r, g, b) end
    end
  end
end

--- The part of an ellipse above a line: v < level + slant u + bend u^2, u and v in its radii. A hairline.
function paint.cap(canvas, x, y, rx, ry, c, s, level, slant, bend, r, g, b, soft)
  local size, reach = canvas.size, max(rx, ry) + soft
  local x0, x1, y0, y1 = box(size, x, y, reach, reach)
  local ix, iy = 1 / rx, 1 / ry
  for py = y0, y1 do
    for px = x0, x1 do
      local dx, dy = px + 0.5 - x, py + 0.5 - y
      local u, v = (c * dx + s * dy) * ix, (c * dy - s * dx) * iy
      local f, slope = sqrt(u * u + v * v), sqrt(u * u * ix * ix + v * v * iy * iy)
      local line = (v - level - slant * u - bend * u * u) * ry
      local a = cover(max(f * (f - 1) / (slope + 1e-9), line), soft)
      if a > 0 then mix(canvas, py * size + px, a, r, g, b) end
    end
  end
end

--- A band along a bent axis: u runs from -1 to 1 over `half` pixels each way, its middle at
-- v = v0 (1-u)/2 + v1 (1+u)/2 + bend (1-u^2), its half-width from t0 to t1, rounded off at the ends.
function paint.band(canvas, x, y, half, c, s, v0, v1, bend, t0, t1, r, g, b, alpha, soft)
  local size = canvas.size
  local reach = half + max(abs(v0), abs(v1)) + abs(bend) + max(t0, t1) + soft
  local x0, x1, y0, y1 = box(size, x, y, reach, reach)
  for py = y0, y1 do
    for px = x0, x1 do
      local dx, dy = px + 0.5 - x, py + 0.5 - y
      local along, v = c * dx + s * dy, c * dy - s * dx
      local u = along / half
      local k = u < -1 and -1 or u > 1 and 1 or u
      local over = along - k * half
      local off = v - (v0 * (1 - k) + v1 * (1 + k)) * 0.5 - bend * (1 - k * k)
      local d = sqrt(over * over + off * off) - (t0 * (1 - k) + t1 * (1 + k)) * 0.5
      local a = alpha * cover(d, soft)
      if a > 0 then mix(canvas, py * size + px, a, r, g, b) end
    end
  end
end

--- An open or closed eye: lids are parabolas `up` above and `low` below the axis (pixels at the middle).
-- eye: { iris = {r,g,b}, white, iris_radius, gaze_x, gaze_y (pixels), lash (half-width of the upper lid's line) }
function paint.eye(canvas, x, y, half, c, s, up, low, eye)
  local size, reach = canvas.size, half + 3
  local x0, x1, y0, y1 = box(size, x, y, reach, up + low + eye.lash + 3 + abs(s) * reach)
  local radius, gx, gy = eye.iris_radius, eye.gaze_x, eye.gaze_y
  local ir, ig, ib, white, lash = eye.iris[1], eye.iris[2], eye.iris[3], eye.white, eye.lash
  for py = y0, y1 do
    for px = x0, x1 do
      local dx, dy = px + 0.5 - x, py + 0.5 - y
      local along, v = c * dx + s * dy, c * dy - s * dx
      local u = along / half
      local arch = max(0, 1 - u * u)
      local above, below = v + up * arch, low * arch - v -- distances to the lids, positive inside
      local inside = cover(-min(above, below), 1) * cover(abs(along) - half, 1)
      local i = py * size + px
      if inside > 0 then
        local ex, ey = along - gx, v - gy
        local away = sqrt(ex * ex + ey * ey)
        local iris, pupil = cover(away - radius, 1), cover(away - 0.45 * radius, 1)
        local hx, hy = ex + 0.35 * radius, ey + 0.4 * radius
        local light = 0.8 * cover(sqrt(hx * hx + hy * hy) - 0.25 * radius, 1)
        local shade = white * (0.75 + 0.25 * cover(0.6 - above, 2)) -- the lid's shadow
        local r, g, b = shade + iris * (ir - shade), shade + iris * (ig - shade), shade + iris * (ib - shade)
        r, g, b = r + pupil * (0.04 - r), g + pupil * (0.04 - g), b + pupil * (0.05 - b)
        r, g, b = r + light * (1 - r), g + light * (1 - g), b + light * (1 - b)
        mix(canvas, i, inside, r, g, b)
      end
      local line = cover(abs(above) - lash, 1) * cover(abs(along) - half * 1.05, 1)
      if line > 0 then mix(canvas, i, 0.75 * line, 0.1, 0.07, 0.06) end
    end
  end
end

--- A mouth: corners at v = left, right (pixels, up is negative), lips that part by `up` and `low`.
-- mouth: { lip = {r,g,b}, upper, lower (thickness), teeth (pixels below the upper lip), seam (darkness) }
function paint.mouth(canvas, x, y, half, c, s, left, right, up, low, mouth)
  local size = canvas.size
  local tall = up + low + mouth.upper + mouth.lower + max(abs(left), abs(right)) + 3
  local reach = half + 3 + abs(s) * tall
  local x0, x1, y0, y1 = box(size, x, y, reach, tall + abs(s) * reach)
  local lr, lg, lb, upper, lower = mouth.lip[1], mouth.lip[2], mouth.lip[3], mouth.upper, mouth.lower
  local teeth, seam = mouth.teeth, mouth.seam
  for py = y0, y1 do
    for px = x0, x1 do
      local dx, dy = px + 0.5 - x, py + 0.5 - y
      local along, v = c * dx + s * dy, c * dy - s * dx
      local u = along / half
      if u > -1.3 and u < 1.3 then
        local bow = u * u
        local arch = max(0, 1 - bow)
        local corner = u < 0 and left or right
        local steep = 2 * corner * u / half
        v = (v - corner * bow) / sqrt(1 + steep * steep) -- across the bent line, not down the picture
        local dip = max(0, 1 - 9 * bow) * 0.3 -- Cupid's bow
        local inner_up, inner_low = -up * arch, low * arch
        local outer_up, outer_low = inner_up - upper * arch * (1 - dip), inner_low + lower * arch
        local ends = cover(abs(along) - half, 1)
        local lips = ends * cover(max(outer_up - v, v - outer_low), 1)
        local i = py * size + px
        if lips > 0 then
          local lit = v > 0 and 1.08 or 0.86 -- the lower lip faces the light
          mix(canvas, i, 0.9 * lips, lr * lit, lg * lit, lb * lit)
        end
        local gap = ends * cover(max(inner_up - v, v - inner_low), 1)
        if gap > 0 then
          local tooth = cover(v - inner_up - teeth, 1) * min(1, 0.7 * (inner_low - inner_up))
          mix(canvas, i, gap, 0.16 + 0.72 * tooth, 0.04 + 0.8 * tooth, 0.05 + 0.75 * tooth)
        end
        local line = seam * cover(abs(v - 0.5 * (inner_up + inner_low)) - 0.3 - 0.4 * (inner_low - inner_up), 1)
          * cover(abs(along) - half * 1.06, 1)
        if line > 0 then mix(canvas, i, line * max(0, 1 - 1.2 * gap), 0.22, 0.08, 0.08) end
      end
    end
  end
end

--- A closed polygon; points: { x1, y1, x2, y2, ... } in units of `scale` pixels around (x, y), rotated.
function paint.polygon(canvas, points, x, y, scale, c, s, r, g, b, alpha, soft)
  local size, n, reach = canvas.size, #points / 2, 0
  local qx, qy = ffi.new("double[?]", n), ffi.new("double[?]", n)
  for k = 0, n - 1 do
    local px, py = points[2 * k + 1] * scale, points[2 * k + 2] * scale
    qx[k], qy[k] = x + c * px - s * py, y + s * px + c * py
    reach = max(reach, sqrt(px * px + py * py))
  end
  local x0, x1, y0, y1 = box(size, x, y, reach + soft, reach + soft)
  for py = y0, y1 do
    for px = x0, x1 do
      local ax, ay = px + 0.5, py + 0.5
      local nearest, inside, j = 1e18, false, n - 1
      for k = 0, n - 1 do
        local ex, ey = qx[j] - qx[k], qy[j] - qy[k]
        local wx, wy = ax - qx[k], ay - qy[k]
        local t = (wx * ex + wy * ey) / (ex * ex + ey * ey)
        t = t < 0 and 0 or t > 1 and 1 or t
        local bx, by = wx - ex * t, wy - ey * t
        nearest = min(nearest, bx * bx + by * by)
        if (qy[k] > ay) ~= (qy[j] > ay) and ax < ex * (ay - qy[k]) / ey + qx[k] then inside = not inside end
        j = k
      end
      local d = sqrt(nearest)
      local a = alpha * cover(inside and -d or d, soft)
      if a > 0 then mix(canvas, py * size + px, a, r, g, b) end
    end
  end
end

return paint
