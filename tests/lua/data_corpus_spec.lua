-- Corpora: what the writer takes comes back, windows and splits keep to recordings and persons.
-- Not here: the loader's pixels (tests/c/test_loader.c).
local C = require "mien.base.ffi"
local expect = require "expect"
local mien = require "mien"
local small_corpus = require "tests.lua.small_corpus"

local folder = os.tmpname()
os.remove(folder)
C.mien_folder_make(folder)

local function path(name) return folder .. "/" .. name end

local function write(name, options) return small_corpus(path(name), options) end

describe("a corpus", function()
  local corpus = write("plain.h5")
  teardown(function() corpus:close() end)

  it("comes back as it was written", function()
    assert.are.same({ 350, 6, 8, 25 }, { corpus.frames, corpus.height, corpus.width, corpus.fps })
    assert.are.same({ name = "rec3", subject = "person3", partition = "train", first = 71, count = 35 },
      corpus.recordings[3])
    assert.are.equal(8, #corpus:partition "train")
    assert.are.equal(3, corpus:pixels(71, 1):to "f64":mean():item())
    assert.are.equal(0.04, corpus:times(72, 1):totable()[1])
  end)

  it("has windows that never cross a recording", function()
    local starts, short = corpus:windows { sequence = 10, partition = "train" }
    assert.are.equal(24, #starts)
    assert.are.equal(0, short)
    for _, start in ipairs(starts) do assert.is_true((start - 1) % 35 <= 25) end
    assert.are.equal(32, #corpus:windows { sequence = 10, partition = "train", tail = true })
    local none, all_short = corpus:windows { sequence = 36 }
    assert.are.same({ 0, 10 }, { #none, all_short })
  end)

  it("is split by person, the same way for the same seed", function()
    local parts = mien.data.split_subjects(corpus, { 0.8, 0.2, rng = mien.rng.stream(3, "split") })
    assert.are.same({ 8, 2 }, { #parts[1], #parts[2] })
    for _, held in ipairs(parts[2]) do
      for _, recording in ipairs(parts[1]) do assert.are_not.equal(held.subject, recording.subject) end
    end
    assert.are.same(parts, mien.data.split_subjects(corpus, { 0.8, 0.2, rng = mien.rng.stream(3, "split") }))
  end)

  it("is divided by person for cross-validation: everybody is tested once, and nobody is in two parts", function()
    local input = require "mien.experiment.input"
    for _, folds in ipairs { 3, 5, "loso" } do
      local tested, k = {}, folds == "loso" and 5 or folds
      for fold = 1, k do
        local parts = input.partitions({ data = { split = { folds = folds, fold = fold } } }, corpus)
        local home, n = {}, 0
        for _, name in ipairs { "train", "devel", "test" } do
          for _, recording in ipairs(parts[name]) do
            n = n + 1
            assert.are.equal(home[recording.subject] or name, name)
            home[recording.subject] = name
            if name == "test" then tested[#tested + 1] = recording.name end
          end
        end
        assert.are.equal(10, n)
        assert.is_true(math.abs(#parts.test / 2 - 5 / k) < 1 and math.abs(#parts.devel / 2 - 5 / k) < 1)
      end
      table.sort(tested)
      local all = {}
      for i, recording in ipairs(corpus.recordings) do all[i] = recording.name end
      table.sort(all)
      assert.are.same(all, tested)
    end
    local function wrong(text, options)
      options.rng = options.rng or mien.rng.stream(1, "split")
      local ok, err = pcall(mien.data.split_folds, corpus, options)
      assert.is_false(ok)
      assert.truthy(tostring(err):find(text, 1, true), tostring(err))
    end
    wrong("5 participants cannot be divided into 6 parts", { folds = 6 })
    wrong("fold 4; wanted is one from 1 to 3", { folds = 3, fold = 4 })
    wrong("2; wanted are 3 parts at least, or loso, for 5 participants", { folds = 2 })
  end)

  it("gives batches, each window once, in the order asked for", function()
    local starts = corpus:windows { sequence = 10, partition = "devel" }
    local loader = mien.data.loader { corpus = corpus, starts = starts, sequence = 10, batch = 2, keep_last = true }
    local seen = {}
    for frames, labels, at in loader:batches() do
      assert.are.same({ #at, 10, 3, 6, 8 }, frames.shape)
      assert.are.same({ #at, 10, 2 }, labels.shape)
      for _, start in ipairs(at) do seen[#seen + 1] = start end
    end
    loader:close()
    assert.are.equal(3, loader.steps)
    starts.sequence = nil
    assert.are.same(starts, seen)
  end)

  it("may hold its numbers as i64, as NumPy writes them", function()
    local h5 = require("mien.data.file").create(path "i64.h5")
    for key, value in pairs { mien_format = "corpus", version = 1, name = "numpy", fps = 25, label_kind = "continuous",
      label_names = { "arousal" } } do h5:set(key, value) end
    h5:write("frames", mien.zeros { 4, 2, 2, 3, dtype = "u8" })
    h5:write("labels", mien.zeros { 4, 1 })
    for _, name in ipairs { "recording", "subject", "partition" } do
      h5:write(name, mien.tensor({ 0, 0, 1, 1 }, { dtype = "i64" }))
    end
    h5:set("recording_names", { "P16", "P17" }, "recording")
    h5:set("subject_names", { "Ann", "Ben" }, "subject")
    h5:finish()
    local numpy = mien.data.open(path "i64.h5")
    assert.are.same({ { name = "P16", subject = "Ann", partition = "train", first = 1, count = 2 },
      { name = "P17", subject = "Ben", partition = "devel", first = 3, count = 2 } }, numpy.recordings)
    numpy:close()
  end)

  it("is not read when it is something else", function()
    local h5 = require("mien.data.file").create(path "other.h5")
    h5:set("mien_format", "weights")
    h5:finish()
    assert.has_error(function() mien.data.open(path "other.h5") end)
    local ok, err = pcall(mien.data.open, path "other.h5")
    assert.is_false(ok)
    assert.truthy(tostring(err):find('no corpus (mien_format is "weights")', 1, true))
  end)

  it("is not read when its numbers make no sense", function()
    --- A corpus file of 4 frames in which some attributes and the labels are others.
    local function claim(changed, labels, recording)
      local h5 = require("mien.data.file").create(path "claim.h5")
      local attributes = { mien_format = "corpus", version = 1, name = "x", fps = 5, label_kind = "continuous",
        label_names = "arousal\nvalence" }
      for key, value in pairs(changed) do attributes[key] = value end
      for key, value in pairs(attributes) do h5:set(key, value) end
      h5:write("frames", mien.zeros { 4, 2, 2, 3, dtype = "u8" })
      h5:write("labels", labels or mien.zeros { 4, 2 })
      h5:write("recording", recording or mien.zeros { 4, dtype = "i32" })
      h5:write("subject", mien.zeros { 4, dtype = "i32" })
      h5:write("partition", mien.zeros { 4, dtype = "u8" })
      h5:finish()
      return function() mien.data.open(path "claim.h5"):close() end
    end
    claim {} ()
    claim { fps = 0 } () -- pictures
    claim({ label_kind = "class" }, mien.zeros { 4, dtype = "i32" }) ()
    for _, fps in ipairs { -5, 0 / 0, math.huge, "abc" } do
      expect.failure(claim { fps = fps }, "claim.h5: fps is", "must be a number above 0")
    end
    expect.failure(claim { label_kind = "class" }, "class labels must be i32 [N], these are f32[4,2]")
    expect.failure(claim({}, mien.tensor(1)), "continuous labels must be f32 [N,K], these are f32[]")
    expect.failure(claim({}, mien.zeros { 4 }), "these are f32[4]")
    expect.failure(claim({}, mien.zeros { 4, 2, dtype = "i32" }), "these are i32[4,2]")
    expect.failure(claim { label_low = 0 / 0 }, "label_low")
    expect.failure(claim { label_low = 1, label_high = -1 }, "labels from 1 to -1")
    expect.failure(claim({}, nil, mien.zeros { 4, 2, dtype = "i32" }), "'recording' must be a column of whole numbers",
      "i32[4,2]")
    expect.failure(claim({}, nil, mien.zeros { 4 }), "'recording' must be a column of whole numbers", "f32[4]")
    expect.failure(function()
      mien.data.writer(path "claim.h5", { name = "x", height = 2, width = 2, fps = 0 / 0, label_kind = "continuous",
        label_names = { "a" } })
    end, "data.writer: fps is nan")
  end)

  it("is small when it holds little", function()
    write("few.h5", { recordings = 1, length = 32 }):close()
    assert.is_true(require("lfs").attributes(path "few.h5", "size") < 400000)
  end)

  it("refuses labels out of range, and leaves no file behind", function()
    local ok, err = pcall(write, "bad.h5", { label = function(data, t, i)
      if i == 2 and t == 4 then data[2 * t + 1] = 1.5 end
    end })
    assert.is_false(ok)
    assert.truthy(tostring(err):find("recording rec2, frame 5: valence is 1.5", 1, true))
    collectgarbage()
    assert.is_nil(io.open(path "bad.h5"))
  end)

  it("is not finished with half a recording", function()
    local w = mien.data.writer(path "torn.h5", { name = "torn", height = 2, width = 2, fps = 25,
      label_kind = "continuous", label_names = { "arousal" } })
    local function add(name)
      w:recording { name = name, subject = name, partition = "train", frames = mien.zeros { 3, 2, 2, 3, dtype = "u8" },
        labels = mien.zeros { 3, 1 } }
    end
    add "whole"
    local h5 = w.h5
    w.h5 = setmetatable({ append = function(_, name, t)
      if name == "labels" then error "disk full" end
      h5:append(name, t)
    end }, { __index = h5 })
    assert.has_error(function() add "half" end)
    w.h5 = h5
    for _, fn in ipairs { function() add "next" end, function() w:finish() end } do
      local ok, err = pcall(fn)
      assert.is_false(ok)
      assert.truthy(tostring(err):find("recording half went into", 1, true))
    end
    w:close()
    assert.is_nil(io.open(path "torn.h5"))
  end)

  it("names the key that was meant", function()
    local ok, err = pcall(corpus.windows, corpus, { sequense = 10 })
    assert.is_false(ok)
    assert.truthy(tostring(err):find('did you mean "sequence"', 1, true))
  end)
end)

describe("a recording shorter than a window", function()
  local tiny = require "tests.lua.tiny"
  local name

  before_each(function() name = os.tmpname() end)
  after_each(function() os.remove(name) end)

  local function batch(kind, options)
    local corpus = mien.data.open(tiny.corpus(name, kind, 4, { 11, 3, 9, 9 }))
    local starts, short = corpus:windows { sequence = 5, partition = "train", short = true }
    assert.are.same({ 1, 6, 12, sequence = 5, lengths = { [12] = 3 } }, starts)
    assert.are.equal(1, short)
    local all = { corpus = corpus, starts = { 6, 12 }, lengths = starts.lengths, sequence = 5, batch = 2, size = { 20, 20 } }
    for key, value in pairs(options or {}) do all[key] = value end
    local loader = mien.data.loader(all)
    local frames, labels = loader:next()
    loader:close()
    return frames:clone(), labels:clone(), corpus
  end

  it("is filled up with its last frame, without labels", function()
    local frames, labels, corpus = batch("continuous", { augment = { crop = true, brightness = 30 }, size = { 18, 18 } })
    local rows, given = frames:totable()[2], labels:totable()
    assert.are.same(rows[3], rows[4])
    assert.are.same(rows[3], rows[5])
    assert.are_not.same(rows[2], rows[3])
    assert.are.same(corpus:labels(12, 3):totable(), { unpack(given[2], 1, 3) })
    assert.are.same(corpus:labels(6, 5):totable(), given[1])
    for t = 4, 5 do
      for k = 1, 2 do assert.is_true(given[2][t][k] ~= given[2][t][k]) end
    end
    corpus:close()
    local _, classes, other = batch "class"
    assert.are.same({ 0, 0 }, { unpack(classes:totable()[2], 4, 5) })
    assert.are_not.equal(0, classes:totable()[2][3])
    other:close()
  end)

  it("has one frame at least, and no more than a window", function()
    for _, n in ipairs { 0, 6 } do
      expect.failure(function() batch("continuous", { lengths = { [12] = n } }) end,
        ("window 2 has %d frames, but 1 to 5 fit in"):format(n))
    end
  end)

  it("counts with its own frames, and may be drawn again", function()
    local _, _, corpus = batch "multilabel"
    local starts = corpus:windows { sequence = 5, partition = "train", short = true }
    local counts, frames = mien.data.class_counts(corpus, starts)
    assert.are.equal(13, frames)
    assert.are.equal(13, counts[1] + mien.data.class_counts(corpus, { 1, 6 }, { sequence = 5 })[2]
      + mien.data.class_counts(corpus, { 12 }, { sequence = 3 })[2])
    local result = mien.data.resample { corpus = corpus, starts = starts, recordings = corpus:partition "train",
      max_neutral = 1, quota = "balanced", rng = mien.rng.stream(2, "resample") }
    assert.are.same(starts.lengths, result.lengths)
    corpus:close()
  end)

  it("gives the loss of its own frames, and its filling no gradient", function()
    local loss, nan = mien.loss, 0 / 0
    local x = mien.randn({ 2, 4, 2 }, { rng = mien.rng.stream(3, "x") })
    local y = mien.rand({ 2, 4, 2 }, { rng = mien.rng.stream(4, "y") })
    local given = y:totable()
    for t = 3, 4 do given[2][t] = { nan, nan } end
    local padded = mien.tensor(given)
    local function rows(t)
      return mien.cat({ t:narrow(1, 1, 1):reshape { 4, 2 }, t:narrow(1, 2, 1):narrow(2, 1, 2):reshape { 2, 2 } }, 1)
    end
    local function both(fn, wanted, per_sequence)
      local a, b = x:clone():requires_grad_(), x:clone():requires_grad_()
      local said = loss.unpadded(fn, per_sequence)(a, padded)
      local right = wanted(b)
      assert.are.equal(right:item(), said:item())
      said:backward()
      right:backward()
      assert.are.same(b.grad:totable(), a.grad:totable())
      local gradient = a.grad:totable()
      assert.are.same({ { 0, 0 }, { 0, 0 } }, { gradient[2][3], gradient[2][4] })
      assert.are_not.same({ 0, 0 }, gradient[2][2])
      -- whole windows are as they were
      assert.are.equal(fn(x, y):item(), loss.unpadded(fn, per_sequence)(x, y):item())
    end
    for _, name_ in ipairs { "mse", "sigmoid_cross_entropy", "ccc" } do
      local fn = function(p, t) return loss[name_](p, t) end
      both(fn, function(b) return fn(rows(b), rows(y)) end)
    end
    local per = function(p, t) return loss.ccc(p, t, { scope = "sequence" }) end
    both(per, function(b)
      return (per(b:narrow(1, 1, 1), y:narrow(1, 1, 1))
        + per(b:narrow(1, 2, 1):narrow(2, 1, 2), y:narrow(1, 2, 1):narrow(2, 1, 2))) / 2
    end, true)
    local classes = mien.tensor({ { 1, 2, 2, 1 }, { 2, 1, 0, 0 } }, { dtype = "i32" })
    local softmax = function(p, t) return loss.softmax_cross_entropy(p, t) end
    local whole = mien.tensor({ 1, 2, 2, 1, 2, 1 }, { dtype = "i32" })
    assert.are.equal(softmax(rows(x), whole):item(), loss.unpadded(softmax)(x, classes):item())
  end)
end)

describe("weights and labels", function()
  teardown(function() os.execute("rm -rf '" .. folder .. "'") end)

  it("weigh a balanced class with 1, and a class without frames with 0", function()
    assert.are.same({ 1, 1 }, mien.data.class_weights { 50, 50 })
    assert.are.same({ 0.5, 2, 0 }, { unpack(mien.data.class_weights({ 80, 20, 0 }, { frames = 120 })) })
    assert.are.same({ 1 / 80, 1 / 20 }, mien.data.class_weights({ 80, 20 }, { raw = true }))
  end)

  it("of a loss count frames, not labels", function()
    local loss = require("mien.experiment.run").loss
    local function of(kind)
      return loss({ data = { class_weights = kind }, train = { loss = "sigmoid_cross_entropy" } }, { 60, 30, frames = 75 },
        mien.nn.linear { 1, 1 })
    end
    local x, z = mien.tensor { { 0.3, -1 } }, mien.tensor { { 1, 0 } }
    local function wanted(a, b)
      return mien.loss.sigmoid_cross_entropy(x, z, { weight = mien.tensor { a, b } }):item()
    end
    assert.are.equal(wanted(75 / 2 / 60, 75 / 2 / 30), of "balanced"(x, z):item())
    assert.are.equal(wanted(1 / 60, 1 / 30), of "raw"(x, z):item())
  end)

  it("come from votes by winner-takes-all; ties give several labels", function()
    local votes = mien.tensor { { 5, 2, 0 }, { 3, 3, 1 }, { 0, 0, 0 } }
    local labels, tied, empty = mien.data.winner_takes_all(votes)
    assert.are.same({ { 1, 0, 0 }, { 1, 1, 0 }, { 0, 0, 0 } }, labels:totable())
    assert.are.same({ 1, 1 }, { tied, empty })
    assert.are.same({ 1, 1, 0 }, mien.data.winner_takes_all(votes, { kind = "class" }):totable())
  end)

  it("come from raters by the gold standard", function()
    local gold, weights = mien.data.gold(mien.tensor { { 0, 2 }, { 1, 3 }, { 2, 4 } }, { kind = "mean" })
    assert.are.same({ 1, 2, 3 }, gold:totable())
    assert.are.same({ 1, 1 }, weights)
    -- two raters of three agree: with the mean of all each agrees more than with the others
    local traces = mien.tensor { { 0, 0, 1 }, { 1, 1, 0 }, { 2, 3, 1 }, { 3, 2, 0 } }
    local _, all = mien.data.gold(traces, { kind = "ewe_all" })
    local _, others = mien.data.gold(traces, { kind = "ewe_others" })
    local function r(x, y) return mien.metric.pearson(x, y) end
    local one, two, three = { 0, 1, 2, 3 }, { 0, 1, 3, 2 }, { 1, 0, 1, 0 }
    expect.near(r(one, { 1 / 3, 2 / 3, 2, 5 / 3 }), all[1], 1e-12)
    expect.near(math.max(0, r(three, { 1 / 3, 2 / 3, 2, 5 / 3 })), all[3], 1e-12)
    expect.near(r(one, { 0.5, 0.5, 2, 1 }), others[1], 1e-12)
    expect.near(r(two, { 0.5, 0.5, 1.5, 1.5 }), others[2], 1e-12)
    expect.failure(function() mien.data.gold(traces, { kind = "ewe" }) end, "two forms of EWE", "ewe_all", "ewe_others")
  end)
end)
