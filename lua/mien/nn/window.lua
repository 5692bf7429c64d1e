-- Kernel, stride and padding as layers take them, into the attributes of the ops.
-- Not here: the arithmetic of output sizes (core/ops).
local check = require "mien.base.check"

local window = {}

--- 3 or { 3, 5 } -> height, width.
function window.two(value, what, least)
  if type(value) == "number" then value = { value, value } end
  if type(value) ~= "table" or #value ~= 2 then
    check.raise("argument", "%s must be a number or { height, width }, got %s", what, check.describe(value))
  end
  for i = 1, 2 do
    if type(value[i]) ~= "number" or value[i] % 1 ~= 0 or value[i] < least then
      check.raise("argument", "%s must be an integer >= %d, got %s", what, least, check.describe(value[i]))
    end
  end
  return value[1], value[2]
end

--- 1, { 1, 2 } (height, width) or { top, left, bottom, right } -> the four attributes, in `attributes`.
function window.pad(attributes, value, what)
  if type(value) == "table" and #value == 4 then
    for i, side in ipairs { "pad_top", "pad_left", "pad_bottom", "pad_right" } do
      attributes[side] = check.type(value[i], "integer", what)
    end
  else
    local h, w = window.two(value or 0, what, 0)
    attributes.pad_top, attributes.pad_left, attributes.pad_bottom, attributes.pad_right = h, w, h, w
  end
  return attributes
end

--- "3x3", or "3x3 stride 2" for printing.
function window.text(h, w, attributes)
  local stride = attributes.stride_h > 1 and (", stride = %d"):format(attributes.stride_h) or ""
  return ("%dx%d%s"):format(h, w, stride)
end

return window
