-- Videos and pictures as tensors.
-- Not here: faces in them (face.lua), decoding (core/data/video.c, video_image.c).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local renamed = require "mien.base.renamed"
local tensor = require "mien.tensor"

local media = { image = {} }

-- ---- videos ------------------------------------------------------------------------------------

local video = {}
video.__index = video

--- Opens a video: fields path, width, height, fps (0: unknown), duration (s), frame_count (as the file says).
function media.video(path)
  check.type(path, "string", "data.video: path")
  local handle = ffi.gc(check.pointer(C.mien_video_open(path)), C.mien_video_close)
  local info = ffi.new "mien_video_info"
  C.mien_video_get_info(handle, info)
  return setmetatable({
    handle = handle, path = path, width = info.width, height = info.height, fps = info.fps,
    duration = info.duration, frame_count = tonumber(info.frames), given = 0,
  }, video)
end

--- The next frame u8 [H,W,3] and its presentation time in seconds; nil at the end. A file that is damaged or breaks off
-- raises an error after the frames that could be decoded.
function video:next()
  if not self.handle then check.raise("argument", "data.video: %s was closed already", self.path) end
  local frame, time = ffi.new "mien_tensor *[1]", ffi.new "double[1]"
  local code = C.mien_video_next(self.handle, frame, time)
  if code < 0 then check.status(code) end
  if code == 0 then return nil end
  self.given = self.given + 1
  return tensor.wrap(frame[0]), time[0]
end

--- Frames so far that had another size and were brought to the video's.
function video:resized()
  if not self.handle then check.raise("argument", "data.video: %s was closed already", self.path) end
  local info = ffi.new "mien_video_info"
  C.mien_video_get_info(self.handle, info)
  return tonumber(info.resized)
end

--- Iterates: `for frame, time in video:frames() do`. A frame that is kept stays valid; one that is not goes as any tensor
-- does (frame:free() gives its memory back at once).
function video:frames()
  return function() return self:next() end
end

--- Closes; again is allowed.
function video:close()
  if self.handle then C.mien_video_close(ffi.gc(self.handle, nil)) end
  self.handle = nil
end

-- ---- pictures ----------------------------------------------------------------------------------

--- A picture file (JPEG, PNG, BMP, TIFF, WebP) as u8 [H,W,3].
function media.image.read(path)
  return tensor.wrap(C.mien_image_read(check.type(path, "string", "image.read: path")))
end

--- The same from the bytes of such a file, a string; name: for messages.
function media.image.decode(bytes, name)
  check.type(bytes, "string", "image.decode: bytes")
  return tensor.wrap(C.mien_image_decode(bytes, #bytes, check.type(name or "picture", "string", "image.decode: name")))
end

--- Writes u8 [H,W,3] as PNG.
function media.image.write(path, image)
  check.status(C.mien_image_write(path, image))
end

--- Height and width from { height, width }.
local function sides(size, what)
  if type(size) == "number" then renamed.form(what, size, "the size as { height, width }") end
  check.keys(size, { "count!", "count!" }, what .. ": size")
  return size[1], size[2]
end

--- Resized to { height, width }: bilinear, antialiased when shrinking.
function media.image.resize(image, size)
  return tensor.wrap(C.mien_image_resize(image, sides(size, "image.resize")))
end

--- Takes the colour out of u8 [H,W,3], in place: three equal channels of luma (ITU-R BT.601).
function media.image.grey(image)
  check.status(C.mien_image_grey(image))
  return image
end

--- The box { x, y, w, h } in pixels, resized to { height, width }; beyond the picture its border is repeated.
function media.image.crop(image, box, size)
  return tensor.wrap(C.mien_image_crop(image, box[1], box[2], box[3], box[4], sides(size, "image.crop")))
end

return media
