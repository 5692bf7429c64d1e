-- The procedural corpora: rendered faces and things in the shapes of ImageNet, Aff-Wild, RealEyes and RECOLA.
-- Not here: real data (the other files of datasets/), and any number that may be called a RECOLA number.
--
--   mien datasets/procedural.lua --kind recola --out corpora/recola.h5 [--profile demo|tiny] [--seed 1]
--   local procedural = require "datasets.procedural"
--   procedural.make { kind = "recola", path = "corpora/recola.h5", seed = 1, frames = 600 }
--
-- The same kind, seed and sizes give the same bytes. A file that was made from them before is left as it is.
local here = debug.getinfo(1, "S").source:gsub("^@", ""):match "^(.*)/[^/]*$" or "."
if not package.path:find(here .. "/?.lua", 1, true) then package.path = here .. "/?.lua;" .. package.path end

local lfs = require "lfs"
local check = require "mien.base.check"
local data = require "mien.data"
local file = require "mien.data.file"
local folders = require "mien.base.folders"
local interrupt = require "mien.base.interrupt"
local lock = require "mien.base.lock"
local status_line = require "mien.base.status_line"
local corpora = require "procedural.corpora"

local procedural = { kinds = { "objects", "affwild", "realeyes", "recola" } }

--- Changes whenever the same options would give other bytes: old files are then made anew.
local VERSION = 3

--- Subjects (pictures, for objects) by partition, and frames of each recording. Few frames a second: what a
-- network can learn from is the number of different expressions, not of frames that look like the one before.
-- 54 pixels: 48 and the margin for random crops.
procedural.profiles = {
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

local function settings(options, what)
  what = what or "procedural.make"
  check.keys(options, {
    kind = "string!", path = "string!", seed = "integer", size = "count", profile = "string", train = "count",
    devel = "count", test = "integer", frames = "count", fps = "number", sequence = "count", progress = "function",
    waiting = "function",
  }, what)
  local kind = check.one_of(options.kind, procedural.kinds, what .. ": kind")
  local profile = procedural.profiles[options.profile or "demo"]
  if not profile then check.unknown(what, "profile", options.profile, procedural.profiles) end
  local o = { kind = kind, seed = options.seed or 1, size = options.size or 54, sequence = options.sequence or 30 }
  for key, value in pairs(profile[kind]) do o[key] = value end
  for _, key in ipairs { "train", "devel", "test", "frames", "fps" } do o[key] = options[key] or o[key] end
  if o.size < 16 then check.raise("argument", "%s: size is %d pixels, at least 16 are needed", what, o.size) end
  if o.fps and o.fps <= 0 then check.raise("argument", "%s: fps must be above 0, got %g", what, o.fps) end
  return o
end

--- Raises the error that `make` would raise for these options, and makes nothing; `what` names them in it.
procedural.check = settings

--- All that decides the bytes, as one line.
local function recipe(o)
  local keys, parts = {}, { ("procedural %d"):format(VERSION) }
  for key in pairs(o) do keys[#keys + 1] = key end
  table.sort(keys)
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
local function write(o, line, options)
  local label = corpora.labels[o.kind]
  local writer = data.writer(options.path, {
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
      if options.progress then options.progress(done, total) end
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
    if not size and waiting then waiting() end
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

--- Makes a corpus file, and its folder. { kind =, path =, seed = 1, size = 54, profile = "demo"|"tiny", train,
-- devel, test (subjects), frames (of a recording), fps, sequence = 30 (chunks),
-- progress = function(done, recordings), waiting = function() that is called once when another process is making it }.
-- Returns the path, and whether it was made now (false: it was there, from the same recipe).
function procedural.make(options)
  local o = settings(options)
  local line = recipe(o)
  if made_from(options.path) == line then return options.path, false end
  folders.make_for(options.path)
  local made
  alone(options.path, options.waiting, function()
    made = made_from(options.path) ~= line
    if made then write(o, line, options) end
  end)
  return options.path, made
end

--- The command line; returns the exit code.
function procedural.main(args)
  local parser = require "argparse"("procedural.lua", "Renders a procedural corpus.")
  parser:option("--kind", "objects, affwild, realeyes or recola"):count "1"
  parser:option("--out", "the HDF5 file"):count "1"
  parser:option("--profile", "demo or tiny", "demo")
  for _, name in ipairs { "seed", "size", "train", "devel", "test", "frames", "fps", "sequence" } do
    parser:option("--" .. name, "a number"):convert(tonumber)
  end
  local options = parser:parse(args)
  options.path, options.out = options.out, nil
  function options.progress(done, total)
    status_line.show(("%s: %d of %d"):format(options.kind, done, total), done == total)
  end
  function options.waiting() io.stderr:write(("waiting for another process that makes %s\n"):format(options.path)) end
  local started = os.clock()
  local path, made = procedural.make(options)
  status_line.clear()
  print(made and ("%s: made in %.1f s"):format(path, os.clock() - started)
    or path .. ": there already, from the same recipe")
  return 0
end

if arg and arg[0] and arg[0]:find "procedural%.lua$" then return procedural.main(arg) end
return procedural
