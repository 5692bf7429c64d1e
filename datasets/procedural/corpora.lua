-- The four corpora: who is in them, what they feel, who rated it; each gives its recordings one by one.
-- Not here: sizes (../procedural.lua), the file (mien.data.writer).
local ffi = require "ffi"
local data = require "mien.data"
local rng = require "mien.tensor.rng"
local tensor = require "mien.tensor"
local annotate = require "procedural.annotate"
local expression = require "procedural.expression"
local face = require "procedural.face"
local motion = require "procedural.motion"
local objects = require "procedural.objects"
local paint = require "procedural.paint"
local person = require "procedural.person"

local corpora = {}

--- A stream of its own for every person, rater and picture: one more subject changes no other.
local function stream(o, what, ...)
  return rng.stream(o.seed, ("procedural/%s/" .. what):format(o.kind, ...))
end

--- Frames u8 [n, size, size, 3] of one recording. units(t) gives the face's units at frame t and, when they
-- are one-sided, the side.
local function film(o, draw, who, scene, hard, units, stir)
  local n, size = o.frames, o.size
  local frames = tensor.zeros({ n, size, size, 3 }, { dtype = "u8" })
  local out, canvas = ffi.cast("uint8_t *", frames:data()), paint.canvas(size)
  local body, grain = motion.body(draw, n, o.fps, hard), draw:below(2 ^ 30)
  for t = 1, n do
    local pose, moving = body(t, stir(t))
    local felt, side = units(t)
    moving.side = side or 1
    pose.roll = pose.roll + moving.side * felt.tilt
    local au = expression.temper(felt, who, moving)
    face.draw(canvas, out + (t - 1) * size * size * 3, who, scene, pose, au, grain + t)
  end
  return frames
end

--- A face that shows arousal and valence (arrays).
local function affective(o, draw, who, scene, hard, arousal, valence)
  return film(o, draw, who, scene, hard, function(t)
    return expression.of_affect(arousal[t], valence[t])
  end, function(t) return 0.5 + 0.5 * arousal[t] end)
end

--- For every subject of train, devel, test in turn: fn(number, partition).
local function each(o, fn)
  local number = 0
  for _, partition in ipairs { "train", "devel", "test" } do
    for _ = 1, o[partition] or 0 do
      number = number + 1
      fn(number, partition)
    end
  end
end

local function bounded(x)
  return math.max(-1, math.min(1, x))
end

-- ---- RECOLA's shape --------------------------------------------------------------------------------------

--- Subjects at their desks, six raters who are late; the labels are the raters' gold standard (as AVEC's).
function corpora.recola(o, add)
  local raters = annotate.raters(stream(o, "raters"), 6)
  each(o, function(number, partition)
    local draw, n = stream(o, "subject/%d", number), o.frames
    local who, scene = person.new(draw), person.scene(draw, 0)
    local arousal, valence = motion.affect(draw, n, o.fps)
    local traces, labels = tensor.zeros { n, 6, 2 }, tensor.zeros { n, 2 }
    local to, label = traces:data(), labels:data()
    for k, felt in ipairs { arousal, valence } do
      local own = tensor.zeros { n, 6 }
      local values = own:data()
      for r, rater in ipairs(raters) do
        local trace = annotate.trace(stream(o, "rater/%d/%d/%d", number, r, k), rater, k, felt, o.fps)
        for t = 1, n do
          to[((t - 1) * 6 + r - 1) * 2 + k - 1] = trace[t]
          values[(t - 1) * 6 + r - 1] = trace[t]
        end
      end
      local gold = data.gold(own, { kind = "ccc_centred" })
      local standard = gold:data()
      for t = 1, n do label[(t - 1) * 2 + k - 1] = bounded(standard[t - 1]) end
      own:free()
      gold:free()
    end
    add {
      name = ("P%02d"):format(number), subject = ("P%02d"):format(number), partition = partition, labels = labels,
      traces = traces, frames = affective(o, draw, who, scene, 0, arousal, valence),
    }
  end)
end

-- ---- Aff-Wild's shape ------------------------------------------------------------------------------------

--- Few subjects, anywhere: strong light, busy rooms, turning heads; one label a frame, a little noisy.
function corpora.affwild(o, add)
  each(o, function(number, partition)
    local draw, n = stream(o, "subject/%d", number), o.frames
    local who, scene = person.new(draw), person.scene(draw, 1)
    local arousal, valence = motion.affect(draw, n, o.fps)
    local labels = tensor.zeros { n, 2 }
    local label = labels:data()
    for k, felt in ipairs { arousal, valence } do
      local waver = motion.drift(draw, n, o.fps, 2, 0.05)
      for t = 1, n do label[(t - 1) * 2 + k - 1] = bounded(felt[t] + waver[t]) end
    end
    add {
      name = ("video%03d"):format(number), subject = ("S%03d"):format(number), partition = partition,
      labels = labels, frames = affective(o, draw, who, scene, 1, arousal, valence),
    }
  end)
end

-- ---- RealEyes' shape -------------------------------------------------------------------------------------

--- Square roots of the frame counts of the paper's Table 3: at a few thousand frames the counts themselves
-- would leave the rare emotions without a single one.
local weights = {
  happy = 245, surprise = 126, disgust = 100, contempt = 93, confusion = 238, empathy = 101, other = 240,
}

--- Strength and prototype of every episode at time t, added up.
local function episode_units(episodes, t)
  local units, side = expression.none(), nil
  for _, e in ipairs(episodes) do
    local strength = t > e.start - 1 and t < e.stop + 3 and motion.envelope(e, t) or 0
    if strength > 0 then
      local share = e.also and 0.65 or 1
      local forms = expression.prototypes[e.emotion]
      expression.add(units, forms[1 + math.floor(e.variant * #forms)], strength * share)
      if e.also then expression.add(units, expression.prototypes[e.also][1], strength * share) end
      side = e.side
    end
  end
  units.one_sided = math.min(1, units.one_sided)
  return units, side
end

--- Many subjects before webcams, neutral most of the time, with episodes; seven annotators mark starts of
-- states, and the label is what most of them vote for: several emotions when they tie.
function corpora.realeyes(o, add)
  local annotators = annotate.annotators(stream(o, "annotators"), 7)
  local names = {}
  for k = 2, #expression.emotions do names[k - 1] = expression.emotions[k] end
  each(o, function(number, partition)
    local draw, n = stream(o, "subject/%d", number), o.frames
    local who, scene = person.new(draw), person.scene(draw, 0.35)
    local episodes = motion.episodes(draw, n / o.fps, 0.30, names, weights)
    local counts = annotate.votes(stream(o, "votes/%d", number), annotators, episodes, n, o.fps)
    local votes = tensor.zeros({ n, #expression.emotions }, { dtype = "u8" })
    local to = votes:data()
    for t = 1, n do
      for k, count in ipairs(counts[t]) do to[(t - 1) * #expression.emotions + k - 1] = count end
    end
    add {
      name = ("video%04d"):format(number), subject = ("V%04d"):format(number), partition = partition, votes = votes,
      labels = (data.winner_takes_all(votes)),
      frames = film(o, draw, who, scene, 0.35, function(t) return episode_units(episodes, (t - 1) / o.fps) end,
        function() return 0.2 end),
    }
  end)
end

-- ---- ImageNet's shape ------------------------------------------------------------------------------------

--- Single pictures of things, each class as often as any other.
function corpora.objects(o, add)
  local canvas, size, bytes = paint.canvas(o.size), o.size, o.size * o.size * 3
  for _, partition in ipairs { "train", "devel" } do
    local n, classes = o[partition], {}
    for i = 1, n do classes[i] = (i - 1) % #objects.names + 1 end
    stream(o, "order/%s", partition):shuffle(classes)
    local frames = tensor.zeros({ n, size, size, 3 }, { dtype = "u8" })
    local labels = tensor.zeros({ n }, { dtype = "i32" })
    local out, label = ffi.cast("uint8_t *", frames:data()), labels:data()
    for i = 1, n do
      objects.draw(canvas, out + (i - 1) * bytes, objects.names[classes[i]],
        stream(o, "picture/%s/%d", partition, i))
      label[i - 1] = classes[i]
    end
    add {
      name = partition, subject = "pictures of " .. partition, partition = partition, frames = frames,
      labels = labels,
    }
  end
end

--- What the writer is told of each.
corpora.labels = {
  recola = { "continuous", { "arousal", "valence" } },
  affwild = { "continuous", { "arousal", "valence" } },
  realeyes = { "multilabel", expression.emotions },
  objects = { "class", objects.names },
}

return corpora
