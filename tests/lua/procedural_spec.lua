-- The procedural corpora: the same bytes again, the shapes of their models, labels that show in the faces.
-- Not here: how the pictures look (render some), what can be learnt from them (the experiments).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local data = require "mien.data"
local file = require "mien.data.file"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local procedural = dofile(here .. "../../datasets/procedural.lua")

local kinds = { "objects", "affwild", "realeyes", "recola" }

local folder = os.tmpname()
os.remove(folder)
C.mien_folder_make(folder)
local made = {}

local function make(kind, name, more)
  local options = { kind = kind, out = ("%s/%s.h5"):format(folder, name), profile = "tiny", size = 24 }
  for k, v in pairs(more or {}) do options[k] = v end
  made[#made + 1] = options.out
  return options.out, procedural.make(options).made
end

local function frames_hash(path)
  local h5 = file.open(path)
  local frames, out = h5:read "frames", ffi.new "char[65]"
  local bytes = frames:size(1) * frames:size(2) * frames:size(3) * 3
  C.mien_text_sha256(ffi.cast("const char *", frames:data()), bytes, out)
  h5:close()
  return ffi.string(out)
end

local function read(path, name)
  local h5 = file.open(path)
  local values = h5:read(name):to("f64"):totable()
  h5:close()
  return values
end

describe("the procedural generator", function()
  teardown(function()
    for _, path in ipairs(made) do os.remove(path) end
    os.remove(folder)
  end)

  it("gives the same bytes for the same seed, and others for another", function()
    for _, kind in ipairs(kinds) do
      local a = frames_hash(make(kind, kind .. "-a"))
      assert.equal(a, frames_hash(make(kind, kind .. "-b")))
      assert.not_equal(a, frames_hash(make(kind, kind .. "-c", { seed = 2 })))
    end
  end)

  it("gives the same bytes interpreted and compiled", function()
    local compiled = frames_hash(make("affwild", "compiled", { train = 1, devel = 1, frames = 30 }))
    jit.off()
    local interpreted = frames_hash(make("affwild", "interpreted", { train = 1, devel = 1, frames = 30 }))
    jit.on()
    assert.equal(compiled, interpreted)
  end)

  it("makes the folder of the file", function()
    local path = make("objects", "deeper/objects")
    assert.is_true(io.open(path) ~= nil)
    os.remove(path)
    os.remove(folder .. "/deeper")
  end)

  it("leaves a file of the same recipe alone and replaces any other", function()
    local path, now = make("objects", "again")
    assert.is_true(now)
    assert.is_false(select(2, make("objects", "again")))
    assert.is_true(select(2, make("objects", "again", { train = 60 })))
    local broken = io.open(path, "wb")
    broken:write "no HDF5"
    broken:close()
    assert.is_true(select(2, make("objects", "again")))
  end)

  it("marks its corpora as procedural, subjects in one partition only", function()
    for _, kind in ipairs(kinds) do
      local corpus = data.open(make(kind, "open-" .. kind))
      assert.is_true(corpus.procedural)
      assert.equal(kind, corpus.name)
      local partition, seen = {}, {}
      for _, r in ipairs(corpus.recordings) do
        assert.equal(partition[r.subject] or r.partition, r.partition)
        partition[r.subject], seen[r.partition] = r.partition, true
      end
      assert.is_true(seen.train and seen.devel)
      assert.equal(kind == "recola", seen.test or false)
      corpus:close()
    end
  end)

  it("adding a subject changes no other", function()
    local one = read(make("affwild", "one", { train = 1, devel = 1, frames = 20 }), "labels")
    local two = read(make("affwild", "two", { train = 1, devel = 2, frames = 20 }), "labels")
    for t = 1, 40 do assert.same(one[t], two[t]) end
  end)

  it("lets seven annotators vote, neutral most of the time", function()
    local path = make("realeyes", "votes", { size = 16, train = 140, devel = 20, frames = 90 })
    local votes, labels, neutral, shown = read(path, "votes"), read(path, "labels"), 0, {}
    for t, row in ipairs(votes) do
      local sum, most = 0, 0
      for k = 1, 8 do sum, most = sum + row[k], math.max(most, row[k]) end
      assert.equal(7, sum)
      for k = 1, 8 do
        assert.equal(row[k] == most and 1 or 0, labels[t][k])
        if labels[t][k] == 1 then shown[k] = true end
      end
      neutral = neutral + labels[t][1]
    end
    local share = neutral / #votes
    assert.is_true(share > 0.70 and share < 0.85, ("neutral share is %.3f"):format(share))
    for k = 1, 8 do assert.is_true(shown[k], "no frame of emotion " .. k) end
  end)

  it("gives raters seconds of delay, and a gold standard inside [-1, 1]", function()
    local annotate, motion = require "procedural.annotate", require "procedural.motion"
    local rng, fps = require("mien.tensor.rng").stream(5, "delay"), 10
    for _, rater in ipairs(annotate.raters(rng, 6)) do
      local felt = motion.affect(rng, 3000, fps)
      local trace = annotate.trace(rng, rater, 1, felt, fps)
      local scores = ffi.new("double[61]")
      local lengths = ffi.new("int64_t[1]", 3000)
      C.mien_search_shift(ffi.new("double[3000]", felt), ffi.new("double[3000]", trace), lengths, 1, 60, scores)
      local best = 0
      for d = 1, 60 do
        if scores[d] > scores[best] then best = d end
      end
      assert.is_true(math.abs(best / fps - rater.delay) < 0.5,
        ("delay %.2f s, cross-correlation finds %.2f s"):format(rater.delay, best / fps))
    end
    local path = make("recola", "gold", { size = 16 })
    for _, row in ipairs(read(path, "labels")) do
      assert.is_true(math.abs(row[1]) <= 1 and math.abs(row[2]) <= 1)
    end
  end)

  it("shows valence at the mouth: a pixel under a corner tells a smile from a frown", function()
    local expression, person = require "procedural.expression", require "procedural.person"
    local face, paint = require "procedural.face", require "procedural.paint"
    local rng = require("mien.tensor.rng").stream(3, "person")
    local who, scene = person.new(rng), person.scene(rng, 0)
    local size = 48
    local still = { x = 0, y = 0, zoom = 0, yaw = 0, pitch = 0, roll = 0, exposure = 0 }
    local quiet = { blink = 0, talk = 0, brow = 0, side = 1, gaze_x = 0, gaze_y = 0 }
    local function draw(arousal, valence)
      local out = ffi.new("uint8_t[?]", size * size * 3)
      local au = expression.temper(expression.of_affect(arousal, valence), who, quiet)
      face.draw(paint.canvas(size), out, who, scene, still, au, 1) -- the same grain in all
      return out
    end
    local function changed(a, b, first, last)
      local n = 0
      for i = first * size * 3, last * size * 3 - 1 do
        if math.abs(a[i] - b[i]) > 12 then n = n + 1 end
      end
      return n / 3
    end
    local neutral = draw(0, 0)
    assert.is_true(changed(neutral, draw(0, 0.5), 30, 48) > 15)   -- mouth and cheeks
    assert.is_true(changed(neutral, draw(0, -0.5), 10, 48) > 15)  -- brows and mouth
    assert.is_true(changed(neutral, draw(0.5, 0), 8, 26) > 15)    -- eyes and brows
    assert.is_true(changed(neutral, draw(-0.5, 0), 8, 26) > 5)    -- lids
    assert.equal(0, changed(neutral, draw(0, 0), 0, 48))
  end)

  describe("that another process makes", function()
    local lock, interrupt = require "mien.base.lock", require "mien.base.interrupt"
    local path, sleep, looks

    before_each(function()
      path, sleep, looks = folder .. "/other.h5", interrupt.sleep, 0
      interrupt.sleep = function()
        looks = looks + 1
        if looks == 10 then -- it writes
          local partial = assert(io.open(path .. ".partial", "w"))
          partial:write "x"
          partial:close()
        end
        assert(looks < 5000, "it waits for ever")
      end
    end)
    after_each(function()
      interrupt.sleep = sleep
      os.remove(path .. ".partial")
    end)

    local function try() procedural.make { kind = "objects", profile = "tiny", out = path, size = 16 } end

    it("is waited for as long as its file grows", function()
      local held = lock.take(path .. ".lock")
      local ok, problem = pcall(try)
      held:release()
      assert.is_false(ok)
      assert.matches("other.h5.lock for ten minutes in which nothing was written", tostring(problem))
      assert.is_true(looks > 3009)
    end)

    it("cannot be told where there are no locks: an error", function()
      local take = lock.take
      lock.take = function(name)
        return nil, require("mien.base.check").error("unsupported", name .. ": its file system has no locks")
      end
      local ok, problem = pcall(try)
      lock.take = take
      assert.is_false(ok)
      assert.matches("cannot make .*other.h5: .*has no locks, so another process may be making it", tostring(problem))
    end)
  end)

  it("refuses misspelt settings and leaves nothing behind", function()
    local function says(text, options)
      options.out = folder .. "/refused.h5"
      local ok, err = pcall(procedural.make, options)
      assert.is_false(ok)
      assert.truthy(tostring(err):find(text, 1, true), tostring(err))
      assert.is_nil(io.open(options.out))
    end
    says("recola", { kind = "recolla" })
    says("seed", { kind = "recola", sed = 1 })
    says("demo", { kind = "recola", profile = "dmeo" })
    says("at least 16", { kind = "recola", size = 4 })
  end)
end)
