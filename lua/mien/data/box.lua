-- Boxes { x, y, w, h } in pixels.
-- Not here: finding them (face.lua), following them (track.lua).
local box = {}

--- The square of this side around a box's centre (its longer side, when left out: faces keep their shape).
function box.square(b, side)
  side = side or math.max(b[3], b[4])
  return { b[1] + (b[3] - side) / 2, b[2] + (b[4] - side) / 2, side, side }
end

return box
