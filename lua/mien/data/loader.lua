-- Batches of windows: `for frames, labels, starts in loader:batches() do`.
-- Not here: reading, augmenting and threads (core/data/loader.c), choosing windows (corpus.lua, resample.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local device = require "mien.device"
local index = require "mien.base.index"
local op = require "mien.tensor.op"
local scope = require "mien.tensor.scope"
local tensor = require "mien.tensor"

local loader = { per = { "sequence", "frame" } } -- for which frames augmentation draws once
loader.__index = loader

local function pair(value, what)
  if value == nil then return 0, 0 end
  if type(value) ~= "table" or #value ~= 2 then
    check.raise("argument", "%s must be { height, width }, got %s", what, check.describe(value))
  end
  return check.type(value[1], "count", what), check.type(value[2], "count", what)
end

local function set_augment(config, augment)
  config.saturation_low, config.saturation_high = 1, 1
  if not augment then return end
  check.keys(augment, { crop = "boolean", brightness = "number", saturation = "table", flip = "boolean",
    per = "string" }, "data.loader: augment")
  config.random_crop = augment.crop and 1 or 0
  config.brightness = augment.brightness or 0
  if augment.saturation then
    config.saturation_low, config.saturation_high = augment.saturation[1], augment.saturation[2]
  end
  config.flip = augment.flip and 1 or 0
  config.per_frame = check.one_of(augment.per or "sequence", loader.per, "data.loader: augment.per")
    == "frame" and 1 or 0
end

local function set_scale(config, scale)
  scale = scale or {}
  check.keys(scale, { mean = "table", sd = "table" }, "data.loader: scale")
  for i = 1, 3 do
    config.mean[i - 1] = scale.mean and scale.mean[i] or 0
    config.sd[i - 1] = scale.sd and scale.sd[i] or 1
  end
end

--- finish(frames as stored, draws) -> frames f32 [B,T,3,H,W], on a device.
local function augmenter(where, config, stored)
  local factor, shift = {}, {}
  for i = 1, 3 do
    factor[i], shift[i] = 1 / (255 * config.sd[i - 1]), -config.mean[i - 1] / config.sd[i - 1]
  end
  local scale = scope.keep(tensor({ factor, shift }):move_(where))
  local whole = config.resize_height > 0
  local sizes = { height = config.height, width = config.width,
    resize_height = whole and config.resize_height or stored.height,
    resize_width = whole and config.resize_width or stored.width }
  return function(frames, draws)
    local pixels = op.augment(frames, draws, scale, sizes)
    frames:free()
    draws:free()
    return pixels
  end
end

--- That batches are not brought to the GPU ahead: what comes out is the same.
local function tell_unpinned(handle)
  local why = C.mien_loader_unpinned(handle)
  if why == nil then return end
  C.mien_notice("batches go to the GPU from ordinary memory, when a step asks for them, as none could be pinned (a "
    .. "smaller batch or fewer workers need less): " .. ffi.string(why))
end

--- Frames u8 [N,h,w,3] as a loader that does not augment gives those of a corpus, on `where`: f32 [N,3,height,width], with
-- size, resize and scale as there, to the same bits.
function loader.render(frames, options)
  local config, shape = ffi.new "mien_loader_config", frames.shape
  local stored = { height = shape[2], width = shape[3] }
  config.sequence, config.batch, config.workers = 1, 1, 1
  config.height, config.width = pair(options.size, "data.loader: size")
  config.resize_height, config.resize_width = pair(options.resize, "data.loader: resize")
  set_augment(config, nil)
  set_scale(config, options.scale)
  local where = options.device or "cpu"
  if where == "cpu" then return tensor.wrap(C.mien_frames_render(frames, config)) end
  local rows = options.resize or { stored.height, stored.width }
  local top, left = math.floor((rows[1] - config.height) / 2), math.floor((rows[2] - config.width) / 2)
  local draws = {}
  for i = 1, shape[1] do draws[i] = { top, left, 0, 0, 1 } end
  return augmenter(where, config, stored)(frames:to(where), tensor(draws):to(where))
end

--- Makes a loader: { corpus =, starts = array of first frames (from 1) in the wanted order, sequence =, batch =,
-- size = { height, width } (the corpus's own when left out), resize = { height, width }, augment = { crop = true,
-- brightness = 32, saturation = { 0.5, 1.5 }, flip = false, per = "sequence"|"frame" }, scale = { mean =, sd = }
-- of pixels/255, lengths = { [first frame] = frames } for windows that are shorter, such as corpus:windows gives: they are
-- filled up with their last frame, without labels (NaN, class 0; see loss.unpadded), seed = 0, epoch = 0, first_step = 0,
-- workers = 1, keep_last = false, device = "cpu" }.
-- On a GPU, frames come there as they are stored, a quarter of the bytes, while the step before runs, and are resized
-- and augmented there.
-- Same seed, epoch and starts: same bits, with any number of workers. `steps` is the number of batches of the
-- whole epoch; first_step of them are left out at the beginning (a resumed run).
function loader.new(options)
  check.keys(options, { corpus = "table!", starts = "table!", sequence = "count!", batch = "count!", size = "table",
    resize = "table", augment = true, scale = "table", lengths = "table", seed = "integer",
    epoch = "integer", first_step = "integer", workers = "count", keep_last = "boolean", device = "string" }, "data.loader")
  local config = ffi.new "mien_loader_config"
  config.sequence, config.batch = options.sequence, options.batch
  local stored = options.corpus
  config.height, config.width = pair(options.size or { stored.height, stored.width }, "data.loader: size")
  config.resize_height, config.resize_width = pair(options.resize, "data.loader: resize")
  set_augment(config, options.augment)
  set_scale(config, options.scale)
  config.seed, config.epoch = options.seed or 0, options.epoch or 0
  config.first_step, config.workers = options.first_step or 0, options.workers or 1
  config.keep_last = options.keep_last and 1 or 0
  local where = device.choose(options.device or "cpu")
  config.device = where == "cpu" and C.MIEN_DEVICE_CPU or C.MIEN_DEVICE_CUDA
  local n = #options.starts
  local starts = ffi.new("int64_t[?]", math.max(n, 1))
  for i, start in ipairs(options.starts) do
    starts[i - 1] = index.range(start, options.sequence, stored.frames, "data.loader: window " .. i)
  end
  local lengths = options.lengths and ffi.new("int[?]", math.max(n, 1))
  for i = 1, lengths and n or 0 do lengths[i - 1] = options.lengths[options.starts[i]] or options.sequence end
  config.lengths = lengths
  local handle = ffi.gc(check.pointer(C.mien_loader_new(stored.path, starts, n, config)), C.mien_loader_close)
  local self = setmetatable({ handle = handle, batch = options.batch, classes = stored.label_kind == "class" }, loader)
  if where ~= "cpu" then self.finish = augmenter(where, config, stored) end
  tell_unpinned(handle)
  self.steps = tonumber(C.mien_loader_batches(handle))
  return self
end

--- The next batch: frames f32 [B,T,3,H,W] on the loader's device, labels f32 [B,T,K] or i32 [B,T] (classes from 1) on
-- the CPU, and the list of first frames; nil at the end.
function loader:next()
  if not self.handle then check.raise("argument", "data.loader: closed already") end
  local made = ffi.new "mien_tensor *[3]" -- frames, labels, draws
  local starts = ffi.new("int64_t[?]", self.batch)
  local code = C.mien_loader_next(self.handle, made, made + 1, made + 2, starts)
  if code < 0 then check.status(code) end
  if code == 0 then return nil end
  local f, l = tensor.wrap(made[0]), tensor.wrap(made[1])
  if self.finish then f = self.finish(f, tensor.wrap(made[2])) end
  if self.classes then index.classes_from_c(l:data(), l:count()) end
  local list = {}
  for i = 1, f:size(1) do list[i] = index.from_c(tonumber(starts[i - 1])) end
  return f, l, list
end

--- Iterates over the batches that are left. The frames of a batch are freed when the next one is asked for
-- (clone them to keep them): a batch of the paper has 81 MB, too much to wait for the collector.
function loader:batches()
  local last
  return function()
    if last then last:free() end
    local frames, labels, starts = self:next()
    last = frames
    return frames, labels, starts
  end
end

--- Seconds that next() has waited for the workers so far.
function loader:waited()
  return self.handle and C.mien_loader_waited(self.handle) or self.waited_in_all
end

--- Stops the workers; again is allowed.
function loader:close()
  if not self.handle then return end
  self.waited_in_all = C.mien_loader_waited(self.handle)
  C.mien_loader_close(ffi.gc(self.handle, nil))
  self.handle = nil
end

return loader
