-- Pictures of twelve kinds of things in rooms, none of them a face: the corpus shaped like ImageNet.
-- Not here: the shapes (paint.lua), rooms and light (camera.lua, person.lua).
local camera = require "procedural.camera"
local paint = require "procedural.paint"
local person = require "procedural.person"

local sin, cos, pi = math.sin, math.cos, math.pi

local objects = {}

objects.names = {
  "ball", "box", "star", "ring", "cross", "tree", "house", "car", "fish", "flower", "stripes", "checks",
}

--- A star-like polygon: `points` tips at radius 1, inner corners at `inner`.
local function star(points, inner)
  local list = {}
  for k = 0, 2 * points - 1 do
    local r, a = k % 2 == 0 and 1 or inner, pi * k / points - pi / 2
    list[#list + 1], list[#list + 2] = r * cos(a), r * sin(a)
  end
  return list
end

local shapes = {
  star = star(5, 0.42),
  square = { -0.8, -0.8, 0.8, -0.8, 0.8, 0.8, -0.8, 0.8 },
  side = { 0.8, -0.8, 1.15, -1.05, 1.15, 0.55, 0.8, 0.8 },
  top = { -0.8, -0.8, -0.45, -1.05, 1.15, -1.05, 0.8, -0.8 },
  cross = { -0.3, -1, 0.3, -1, 0.3, -0.3, 1, -0.3, 1, 0.3, 0.3, 0.3, 0.3, 1, -0.3, 1, -0.3, 0.3, -1, 0.3, -1, -0.3,
    -0.3, -0.3 },
  trunk = { -0.12, 0.2, 0.12, 0.2, 0.16, 1, -0.16, 1 },
  wall = { -0.75, -0.1, 0.75, -0.1, 0.75, 0.9, -0.75, 0.9 },
  roof = { -0.95, -0.1, 0, -0.95, 0.95, -0.1 },
  door = { -0.18, 0.3, 0.18, 0.3, 0.18, 0.9, -0.18, 0.9 },
  chassis = { -1, 0.05, 1, 0.05, 1, 0.42, -1, 0.42 },
  cabin = { -0.6, 0.05, -0.35, -0.42, 0.35, -0.42, 0.65, 0.05 },
  tail = { 0.55, 0, 1.05, -0.45, 1.05, 0.45 },
}

--- Each draws one thing with `d`: { canvas, x, y, scale (half-size in pixels), c, s, first, second (colours),
-- part(shape, colour), disc(x, y, rx, ry, colour) in units of scale, rng }.
local draw = {}

function draw.ball(d)
  d.disc(0, 0, 0.9, 0.9, d.first)
  d.disc(-0.1, -0.1, 0.9, 0.28, d.second)
end

function draw.box(d)
  d.part(shapes.square, d.first)
  d.part(shapes.side, { d.first[1] * 0.6, d.first[2] * 0.6, d.first[3] * 0.6 })
  d.part(shapes.top, { d.first[1] * 0.8 + 0.2, d.first[2] * 0.8 + 0.2, d.first[3] * 0.8 + 0.2 })
end

function draw.star(d) d.part(shapes.star, d.first) end
function draw.cross(d) d.part(shapes.cross, d.first) end

function draw.ring(d)
  d.disc(0, 0, 0.72, 0.72, d.first, 0.16 + 0.1 * d.rng:uniform())
end

function draw.tree(d)
  d.part(shapes.trunk, { 0.35, 0.24, 0.16 })
  local green = { 0.15 + 0.2 * d.rng:uniform(), 0.35 + 0.3 * d.rng:uniform(), 0.15 }
  d.disc(-0.3, -0.05, 0.42, 0.38, green)
  d.disc(0.3, -0.05, 0.42, 0.38, green)
  d.disc(0, -0.45, 0.5, 0.5, green)
end

function draw.house(d)
  d.part(shapes.wall, d.first)
  d.part(shapes.roof, d.second)
  d.part(shapes.door, { d.second[1] * 0.5, d.second[2] * 0.5, d.second[3] * 0.5 })
end

function draw.car(d)
  d.part(shapes.cabin, d.second)
  d.part(shapes.chassis, d.first)
  for side = -1, 1, 2 do
    d.disc(side * 0.55, 0.45, 0.24, 0.24, { 0.1, 0.1, 0.1 })
    d.disc(side * 0.55, 0.45, 0.1, 0.1, { 0.7, 0.7, 0.7 })
  end
end

function draw.fish(d)
  d.part(shapes.tail, d.second)
  d.disc(-0.15, 0, 0.75, 0.42, d.first)
  d.disc(-0.58, -0.08, 0.09, 0.09, { 0.05, 0.05, 0.05 })
end

function draw.flower(d)
  local petals = 5 + d.rng:below(3)
  for k = 1, petals do
    local a = 2 * pi * k / petals
    d.disc(0.58 * cos(a), 0.58 * sin(a), 0.34, 0.34, d.first)
  end
  d.disc(0, 0, 0.34, 0.34, d.second)
end

function draw.stripes(d)
  local n = 3 + d.rng:below(3)
  for k = -n, n do
    local y = k / n * 1.3
    d.part({ -1.6, y - 0.3 / n, 1.6, y - 0.3 / n, 1.6, y + 0.3 / n, -1.6, y + 0.3 / n }, d.first)
  end
end

function draw.checks(d)
  local n = 2 + d.rng:below(2)
  local step = 1.1 / n
  for i = -n, n do
    for j = -n, n do
      if (i + j) % 2 == 0 then
        local x, y, h = i * step, j * step, step / 2
        d.part({ x - h, y - h, x + h, y - h, x + h, y + h, x - h, y + h }, d.first)
      end
    end
  end
end

local function colour(rng)
  return { 0.1 + 0.85 * rng:uniform(), 0.1 + 0.85 * rng:uniform(), 0.1 + 0.85 * rng:uniform() }
end

--- Draws a picture of class `name` into out (uint8_t *, size*size*3), all else drawn from rng.
function objects.draw(canvas, out, name, rng)
  local size, scene, turn = canvas.size, person.scene(rng, 1), (rng:uniform() - 0.5) * 1.2
  local upright = name == "tree" or name == "house" or name == "car"
  if upright then turn = turn * 0.25 end
  local scale = size * (0.2 + 0.16 * rng:uniform())
  local x, y = size * (0.38 + 0.24 * rng:uniform()), size * (0.38 + 0.24 * rng:uniform())
  local c, s = cos(turn), sin(turn)
  camera.room(canvas, scene)
  draw[name] {
    first = colour(rng), second = colour(rng), rng = rng,
    part = function(shape, k) paint.polygon(canvas, shape, x, y, scale, c, s, k[1], k[2], k[3], 1, 1) end,
    disc = function(dx, dy, rx, ry, k, ring)
      dx, dy = dx * scale, dy * scale
      paint.ellipse(canvas, x + c * dx - s * dy, y + s * dx + c * dy, rx * scale, ry * scale, c, s, k[1], k[2], k[3],
        1, 1, ring and ring * scale)
    end,
  }
  local radius = name == "ball" and 0.95 * scale or size -- the light models what is round
  local body = { x = x, y = y, rx = radius, ry = radius, c = 1, s = 0 }
  camera.expose(canvas, out, scene, body, rng:normal(), rng:below(2 ^ 31))
end

return objects
