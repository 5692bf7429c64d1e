-- The procedural corpora: rendered faces and things in the shapes of ImageNet, Aff-Wild, RealEyes and RECOLA.
-- Not here: real data (the other files of datasets/), and any number that may be called a RECOLA number.
--
--   mien dataset import procedural --kind recola --out corpora/recola.h5 [--profile demo|tiny] [--seed 1]
--
-- The same kind, seed and sizes give the same bytes. A file that was made from them before is left as it is.
local here = debug.getinfo(1, "S").source:gsub("^@", ""):match "^(.*)/[^/]*$" or "."
if not package.path:find(here .. "/?.lua", 1, true) then package.path = here .. "/?.lua;" .. package.path end

local lfs = require "lfs"
local check = require "mien.base.check"
local command = require "reading.command"
local data = require "mien.data"
local file = require "mien.data.file"
local folders = require "mien.base.folders"
local interrupt = require "mien.base.interrupt"
local lock = require "mien.base.lock"
local status_line = require "mien.base.status_line"
local corpora = require "procedural.corpora"

local kinds = { "objects", "affwild", "realeyes", "recola" }

--- Changes whenever the same options would give other bytes: old files are then made anew.
local VERSION = 3

--- Subjects (pictures, for objects) by partition, and frames of each recording. Few frames a second: what a
-- network can learn from is the number of different expressions, not of frames that look like the one before.
-- 54 pixels: 48 and the margin for random crops.
local profiles = {
  demo = {
    objects = { train = 2400, devel = 480 },
    affwild = { train = 36, devel = 12, frames = 120, fps = 1.5 },
    realeyes = { train = 160, devel = 40, frames = 60, fps = 1.5 },
    recola = { train = 18, devel = 9, test = 9, frames = 180, fps = 1.5 },
  },
  tiny = { -- for tests: about a second for all four
    objects = { train = 48, devel = 24 },
    affwild = { train = 2, devel = 1, frames = 60, fps = 5 },
    realeyes = { train = 8, devel = 2, frames = 60, fps = 5 },
    recola = { train = 2, devel = 1, test = 1, frames = 150, fps = 5 },
  },
}

local source = "mien's procedural generator (datasets/procedural.lua), version %d, shaped like %s; rendered, not "
  .. "recorded: its numbers are not those of that corpus"
local models = { objects = "ImageNet", affwild = "Aff-Wild", realeyes = "RealEyes", recola = "RECOLA" }

local function prepare(o, what)
  for key, value in pairs(profiles[o.profile][o.kind]) do o[key] = o[key] or value end
  if o.size < 16 then check.raise("argument", "%s: size is %d pixels, at least 16 are needed", what, o.size) end
  if o.fps and o.fps <= 0 then check.raise("argument", "%s: fps must be above 0, got %g", what, o.fps) end
  return o
end

local DECIDING = { "devel", "fps", "frames", "kind", "seed", "sequence", "size", "test", "train" }

--- All that decides the bytes, as one line.
local function recipe(o)
  local keys, parts = {}, { ("procedural %d"):format(VERSION) }
  for _, key in ipairs(DECIDING) do keys[#keys + 1] = o[key] ~= nil and key or nil end
  for _, key in ipairs(keys) do parts[#parts + 1] = ("%s=%s"):format(key, tostring(o[key])) end
  return table.concat(parts, " ")
end

--- The recipe that an existing file was made from; nil for no file, a broken one, or one of other origin.
local function made_from(path)
  if not lfs.attributes(path) then return nil end
  local ok, text = pcall(function()
    local h5 = file.open(path)
    local line = h5:text "recipe"
    h5:close()
    return line
  end)
  return ok and text or nil
end

--- Writes the corpus of settings.
local function write(o, line)
  local label = corpora.labels[o.kind]
  local writer = data.writer(o.out, {
    name = o.kind, height = o.size, width = o.size, fps = o.fps or 0, label_kind = label[1], label_names = label[2],
    sequence = o.sequence, procedural = true, source = source:format(VERSION, models[o.kind]),
  })
  local total = o.kind == "objects" and 2 or o.train + o.devel + (o.test or 0)
  local ok, err = pcall(function()
    writer.h5:set("recipe", line)
    local done = 0
    corpora[o.kind](o, function(recording)
      writer:recording(recording)
      for _, value in pairs(recording) do
        if check.is_tensor(value) then value:free() end
      end
      done = done + 1
      if o.progress then o.progress(done, total) end
    end)
    writer:finish()
  end)
  writer:close()
  if not ok then error(err, 0) end
end

local POLL, PATIENCE = 0.2, 3000 -- seconds between looks; looks without anything new, which are ten minutes

--- Takes the lock of a file that is to be made. Who waits for another process waits as long as its file grows.
local function take_lock(path, waiting)
  local looks, size = 0, nil
  while true do
    local held, problem = lock.take(path .. ".lock")
    if held then return held end
    if problem ~= "busy" then
      check.raise("io", "cannot make %s: %s, so another process may be making it at the same time: make it on another disk "
        .. "and copy it there", path, problem.message)
    end
    if not size and waiting then waiting(path) end
    local grown = lfs.attributes(path .. ".partial", "size") or 0
    looks = grown == size and looks + 1 or 0
    size = grown
    if looks > PATIENCE then
      check.raise("io", "cannot make %s: another process has held %s.lock for ten minutes in which nothing was written", path,
        path)
    end
    interrupt.sleep(POLL)
  end
end

--- Calls fn() while no other process makes this file; `waiting`, once, when there is one to wait for.
local function alone(path, waiting, fn)
  local held = take_lock(path, waiting)
  local ok, err = xpcall(fn, check.trace)
  held:release()
  if not ok then check.rethrow(err) end
end

--- Makes a corpus file, and its folder, unless it is there from the same recipe: result.made says which.
local function make(o)
  local line, made = recipe(o), false
  if made_from(o.out) ~= line then
    folders.make_for(o.out)
    alone(o.out, o.waiting, function()
      made = made_from(o.out) ~= line
      if made then write(o, line) end
    end)
  end
  local h5 = file.open(o.out)
  local frames = select(2, h5:info "frames")[1]
  local recordings = #h5:list("recording_names", "recording")
  h5:close()
  return { made = made, recordings = recordings, frames = frames,
    lines = { made and "rendered now" or "there already, from the same recipe" } }
end

local function count(name, meaning) return { name, meaning, kind = "count" } end

return command.entry(command.declare {
  name = "procedural", title = "rendered stand-ins for ImageNet, Aff-Wild, RealEyes and RECOLA",
  wants = "Nothing: faces and things are rendered here. Numbers on them are none of the real corpora's.",
  options = {
    { "kind", "which corpus's shape", required = true, among = kinds },
    { "profile", "how much: tiny is for tests", among = { "demo", "tiny" }, default = "demo" },
    { "seed", "of all that is drawn", kind = "integer", default = 1 },
    { "size", "side of the frames in pixels", kind = "count", default = 54 },
    count("train", "subjects, or pictures of objects"), count("devel", "the same"),
    { "test", "the same", kind = "integer" },
    count("frames", "of a recording"), { "fps", "frames a second", kind = "number" },
    { "sequence", "frames in a chunk of the file", kind = "count", default = 30 },
    { "progress", "function(done, recordings)", kind = "function" },
    { "waiting", "function(path), called once when another process is making the file", kind = "function" },
  },
  examples = { "mien dataset import procedural --kind recola --out corpora/recola.h5 --profile tiny" },
  only_here = {
    progress = function(done, total) status_line.show(("%d of %d"):format(done, total), done == total) end,
    waiting = function(path) io.stderr:write(("waiting for another process that makes %s\n"):format(path)) end,
  },
  prepare = prepare, make = make, check = function() end,
}, arg)
