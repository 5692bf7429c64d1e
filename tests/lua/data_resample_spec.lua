-- Re-sampling of windows so that rare emotions are seen more often.
-- Not here: corpora and windows as such (data_corpus_spec.lua).
local expect = require "expect"
local mien = require "mien"
local small_corpus = require "tests.lua.small_corpus"
local tiny = require "tests.lua.tiny"
local folder = tiny.folder()

teardown(function() tiny.drop(folder) end)

local function path(name) return folder .. "/" .. name end
local function write(name, options) return small_corpus(path(name), options) end

describe("re-sampling", function()
  -- recordings 1-6 neutral, 7 happy without neutral, 8 half neutral half contempt
  local corpus = write("emotions.h5", { emotions = { "neutral", "happy", "contempt" }, length = 40,
    label = function(data, t, i)
      data[3 * t + (i == 7 and 1 or i == 8 and t % 2 == 0 and 2 or 0)] = 1
    end })
  local starts = corpus:windows { sequence = 10, partition = "train" }

  it("draws only windows with a rare emotion and no neutral frame", function()
    local result, table4 = mien.data.resample { corpus = corpus, starts = starts,
      rng = mien.rng.stream(1, "resample") }
    assert.are.equal(4, table4.eligible)
    for i = #starts + 1, #result do assert.is_true(result[i] > 240 and result[i] <= 280) end
    assert.are.same({ emotion = "happy", before = 40, after = table4[2].after, target = 40 * 298222 / (60179 - 9494) },
      table4[2])
    assert.is_true(table4[2].after >= table4[2].target and table4[2].after < table4[2].target + 10)
    assert.are.same({ "contempt" }, table4.short)
    assert.are.equal(260, table4[1].after)
  end)

  it("admits neutral frames up to a share, and says what came out", function()
    local result, table4 = mien.data.resample { corpus = corpus, starts = starts, max_neutral = 0.5,
      quota = { happy = 1, contempt = 3 }, rng = mien.rng.stream(1, "resample") }
    assert.are.equal(8, table4.eligible)
    assert.are.equal(8, table4.drawn)
    assert.are.same({ 40, 60 }, { table4[2].after, table4[3].after })
    assert.are.equal(table4[3].after, (mien.data.class_counts(corpus, result))[3])
  end)

  it("admits a share of neutral frames to the frame", function() -- 0.58 * 50 is less than 29
    local own = write("share.h5", { emotions = { "neutral", "contempt" }, length = 50,
      label = function(data, t) data[2 * t + (t < 29 and 0 or 1)] = 1 end })
    local list = own:windows { sequence = 50, partition = "train" }
    local function eligible(share)
      return select(2, mien.data.resample { corpus = own, starts = list, max_neutral = share, minority = { "contempt" },
        rng = mien.rng.stream(1, "resample") }).eligible
    end
    expect.failure(function() eligible(0.57) end, "none of the 8 windows of 50 frames", "has 0.58 or more of neutral frames",
      "max_neutral is 0.57", "the rare emotions are contempt")
    assert.are.equal(#list, eligible(0.58))
  end)

  it("is an error where no window holds a rare emotion", function()
    expect.failure(function()
      mien.data.resample { corpus = corpus, starts = { 1, 11, sequence = 10 }, rng = mien.rng.stream(1, "resample") }
    end, "none of the 2 windows of 10 frames", "none holds a rare emotion")
  end)

  it("finds windows at any frame, of which the grid is a special case", function()
    -- contempt 15 to 24 frames after the first of each recording: never a window on the grid without neutral frames
    local own = write("between.h5", { emotions = { "neutral", "contempt" }, length = 40,
      label = function(data, t) data[2 * t + ((t < 15 or t > 24) and 0 or 1)] = 1 end })
    local train = own:partition "train"
    local list = own:windows { sequence = 10, recordings = train }
    local function draw(stride, max_neutral)
      return mien.data.resample { corpus = own, starts = list, recordings = train, stride = stride, minority = { "contempt" },
        max_neutral = max_neutral, quota = "balanced", rng = mien.rng.stream(1, "resample") }
    end
    expect.failure(function() draw(10) end, "none of the 32 windows", "has 0.5 or more")
    local result, table4 = draw()
    assert.are.same({ 8 * 31, 8, 1 }, { table4.candidates, table4.eligible, table4.stride })
    for i = #list + 1, #result do assert.are.equal(15, (result[i] - 1) % 40) end
    assert.are.same({ 240, 240 }, { table4[2].after, table4[2].target })
    assert.are.equal(16, table4.drawn)
    assert.are.equal(8 * 7, select(2, draw(3, 1)).eligible) -- 6, 9, ... 24: what lies in or touches 15 to 24
    assert.are.equal("re-sampling: 8 of 248 windows, at any frame, are eligible, 16 were drawn (quota balanced)",
      require("mien.data.resample").describe(table4))
  end)

  it("counts each window of classes and of several labels as the labels say", function()
    local own = write("any.h5", { emotions = { "neutral", "happy", "contempt" }, length = 23,
      label = function(data, t, i)
        data[3 * t + (t * 7 + i) % 3] = 1
        data[3 * t + (t + i) % 2] = 1
      end })
    local stream = mien.rng.stream(4, "resample")
    local result = mien.data.resample { corpus = own, starts = own:windows { sequence = 6, partition = "train" },
      recordings = own:partition "train", stride = 2, max_neutral = 0.7, quota = "balanced", rng = stream, limit = 200,
      minority = { "contempt" } }
    local split = require "mien.data.split"
    for i = #own:windows { sequence = 6, partition = "train" } + 1, #result do
      local counts = split.window_counts(own, result[i], 6)
      assert.is_true(counts[3] > 0 and counts[1] <= 4)
      assert.are.equal(0, (result[i] - 1) % 23 % 2)
      assert.is_true((result[i] - 1) % 23 + 6 <= 23)
    end
    local one = mien.data.open(require("tests.lua.tiny").corpus(path "classes.h5", "class", 8))
    local list = one:windows { sequence = 6, partition = "train" }
    local table4
    result, table4 = mien.data.resample { corpus = one, starts = list, recordings = one:partition "train", stride = 2,
      max_neutral = 0.7, quota = "balanced", rng = stream, limit = 100, minority = { "surprise" } }
    assert.is_true(table4.drawn > 0)
    for i = #list + 1, #result do
      local counts = split.window_counts(one, result[i], 6)
      assert.is_true(counts[3] > 0 and counts[1] <= 4)
    end
    local counted = mien.data.class_counts(one, result)
    for c = 1, 3 do assert.are.equal(counted[c], table4[c].after) end
    one:close()
  end)

  it("grows emotions as the paper's tables do, without the frames of its validation", function()
    local paper, ratios = require("mien.data.resample").paper, {}
    for name, after in pairs(paper.after) do ratios[name] = math.floor(100 * after / paper.before[name] + 0.5) / 100 end
    assert.are.same({ happy = 5.88, surprise = 16.61, confusion = 5.61, disgust = 3.30, contempt = 2.31, empathy = 2.27 },
      ratios)
  end)

  it("boosts all but the most frequent emotion where they are not the paper's", function()
    local own = write("own.h5", { emotions = { "happiness", "sadness", "contempt" }, length = 40,
      label = function(data, t, i) data[3 * t + (i == 7 and 1 or i == 8 and 2 or 0)] = 1 end })
    local list = own:windows { sequence = 10, partition = "train" }
    local _, table4 = mien.data.resample { corpus = own, starts = list, rng = mien.rng.stream(1, "resample") }
    assert.are.same({ nil, 240, 240 }, { table4[1].target, table4[2].target, table4[3].target })
    assert.are.equal("balanced", table4.quota)
  end)

  it("gives the same windows for the same seed", function()
    local function draw(seed)
      return (mien.data.resample { corpus = corpus, starts = starts, rng = mien.rng.stream(seed, "resample") })
    end
    assert.are.same(draw(5), draw(5))
    assert.are_not.same(draw(5), draw(6))
  end)
end)
