-- Single pictures as a corpus takes them.
-- Not here: pictures as such (mien.data.image), their labels (picture_labels.lua).
local box = require "mien.data.box"
local data = require "mien.data"

local pictures = {}

--- The largest square in the middle of a picture, as u8 [size,size,3]; the picture is freed.
function pictures.middle(image, size)
  local h, w = image:size(1), image:size(2)
  local square = data.image.crop(image, box.square({ 0, 0, w, h }, math.min(h, w)), { size, size })
  image:free()
  return square
end

return pictures
