-- How pixels were scaled for weights of others: mien keeps it as input = (pixel / 255 - mean) / sd of red, green, blue.
-- Not here: applying it (the data pipeline).
local check = require "mien.base.check"

local scaling = {}

local function means(red, green, blue)
  return { mean = { red / 255, green / 255, blue / 255 }, sd = { 1 / 255, 1 / 255, 1 / 255 } }
end

-- Where each stands: torchvision.models' documentation; keras.applications.imagenet_utils (mode "caffe", also TF-slim's
-- vgg_preprocessing, but for the order of channels); slim's inception_preprocessing; vgg_face_caffe's averageImage
-- 129.1863, 104.7624, 93.5940; Aff-Wild-models' README: (x - 128) / 128.
scaling.KNOWN = {
  torchvision = { mean = { 0.485, 0.456, 0.406 }, sd = { 0.229, 0.224, 0.225 } },
  caffe = means(123.68, 116.779, 103.939),
  slim = { mean = { 0.5, 0.5, 0.5 }, sd = { 0.5, 0.5, 0.5 } },
  vggface = means(129.1863, 104.7624, 93.5940),
  affwildnet = { mean = { 128 / 255, 128 / 255, 128 / 255 }, sd = { 128 / 255, 128 / 255, 128 / 255 } },
  pixels = { mean = { 0, 0, 0 }, sd = { 1, 1, 1 } },
}

local function three(value, what)
  if type(value) == "number" then value = { value, value, value } end
  if type(value) ~= "table" or #value ~= 3 then check.raise("argument", "%s wants one or three numbers", what) end
  return value
end

--- Puts what the user says into meta as scale_mean and scale_sd: a name of scaling.KNOWN, or { mean =, sd = }.
function scaling.say(meta, said, path)
  if type(said) == "string" then
    local name = said
    said = scaling.KNOWN[name]
    if not said then check.unknown("weights: " .. path, "scale", name, scaling.KNOWN) end
  end
  check.keys(said, { mean = "table|number!", sd = "table|number!" }, "weights: scale")
  meta.scale_mean, meta.scale_sd = three(said.mean, "scale.mean"), three(said.sd, "scale.sd")
end

--- Turns the first convolution so that it takes red first. channels: "bgr" or "rgb". The scaling is said for red, green
-- and blue in any case.
function scaling.turn_channels(tensors, channels, path)
  check.one_of(channels, { "rgb", "bgr" }, "weights: channels")
  if channels == "rgb" then return end
  for _, entry in ipairs(tensors) do
    local t = entry[2]
    if t.ndim == 4 and t:size(2) == 3 then
      entry[2] = require("mien.tensor").cat({ t:narrow(2, 3, 1), t:narrow(2, 2, 1), t:narrow(2, 1, 1) }, 2)
      return
    end
  end
  check.raise("argument", "%s: channels = \"bgr\", but no convolution takes three channels", path)
end

return scaling
