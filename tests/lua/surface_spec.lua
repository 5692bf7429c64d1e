-- The rules of the public surface: positions begin at 1, what a thing is is a field, one table of options comes last,
-- and spellings of before are errors that name those of today.
-- Not here: what the functions do (the other specs).
local C = require "mien.base.ffi"
local expect = require "expect"
local mien = require "mien"
local tiny = require "tiny"

local folder = os.tmpname()
os.remove(folder)
C.mien_folder_make(folder)
teardown(function() os.execute("rm -rf '" .. folder .. "'") end)

local corpora = {}
for _, kind in ipairs { "continuous", "class" } do
  corpora[kind] = mien.data.open(tiny.corpus(folder .. "/" .. kind .. ".h5", kind))
end

describe("positions", function()
  local corpus, classes = corpora.continuous, corpora.class
  local t = mien.arange(6):reshape { 2, 3 }

  local function starts_at(start)
    return mien.data.loader { corpus = corpus, starts = { start }, sequence = 8, batch = 1 }
  end

  -- what takes a position: its name, a call with it, and how many there are
  local takers = {
    { "t[i]", function(i) return t[i] end, 2 },
    { "t[i] = number", function(i) t[i] = 1 end, 2 },
    { "t:at", function(i) return t:at(i, 1) end, 2 },
    { "t:select", function(i) return t:select(1, i) end, 2 },
    { "t:narrow", function(i) return t:narrow(1, i, 1) end, 2 },
    { "t:size", function(i) return t:size(i) end, 2 },
    { "t:sum", function(i) return t:sum(i) end, 2 },
    { "corpus:labels", function(i) return corpus:labels(i, 1) end, corpus.frames },
    { "corpus:pixels", function(i) return corpus:pixels(i, 1) end, corpus.frames },
    { "corpus:times", function(i) return corpus:times(i, 1) end, corpus.frames },
    { "file:read", function(i) return corpus.file:read("labels", i, 1) end, corpus.frames },
    { "data.loader", function(i) starts_at(i):close() end, corpus.frames - 7 },
    { "data.class_counts", function(i) return mien.data.class_counts(classes, { i }, 1) end, classes.frames },
  }

  for _, taker in ipairs(takers) do
    local name, call, last = unpack(taker)
    it(("begin at 1 in %s: 0 and what lies behind the end are errors"):format(name), function()
      call(1)
      call(last)
      expect.failure(function() call(0) end, ("1 to "), "begin at 1")
      expect.failure(function() call(last + 1) end, "1 to ")
    end)
  end

  it("of frames are those of the recordings: each begins where the one before it ends", function()
    local at = 1
    for _, recording in ipairs(corpus.recordings) do
      assert.equal(at, recording.first)
      at = at + recording.count
    end
    assert.equal(corpus.frames + 1, at)
  end)

  it("of frames mean the same in recordings, windows, batches and what is read", function()
    local all = corpus:labels():totable()
    local second = corpus.recordings[2]
    assert.same({ unpack(all, second.first, second.first + 4) }, corpus:labels(second.first, 5):totable())
    assert.same({ unpack(all, 200) }, corpus:labels(200):totable())
    local starts = corpus:windows { sequence = 8, recordings = { second } }
    assert.equal(second.first, starts[1])
    local loader = mien.data.loader { corpus = corpus, starts = starts, sequence = 8, batch = 2 }
    for _, labels, at in loader:batches() do
      for i, start in ipairs(at) do
        assert.same({ unpack(all, start, start + 7) }, labels[i]:totable())
      end
    end
    loader:close()
    assert.near((second.first - 1) % 52 / corpus.fps, corpus:times(second.first, 1):totable()[1], 1e-12)
  end)

  it("of classes begin at 1: labels, batches, losses, scores, votes; the file and mien.op count from 0", function()
    local labels, stored = classes:labels(), classes.file:read "labels"
    for i, class in ipairs(labels:totable()) do assert.equal(stored:totable()[i] + 1, class) end
    local loader = mien.data.loader { corpus = classes, starts = { 3 }, sequence = 8, batch = 1 }
    local _, batch = loader:next()
    loader:close()
    assert.same({ unpack(labels:totable(), 3, 10) }, batch[1]:totable())

    local counts = mien.data.class_counts(classes)
    local seen = { 0, 0, 0 }
    for _, class in ipairs(labels:totable()) do seen[class] = seen[class] + 1 end
    assert.same(seen, counts)

    local logits = mien.randn({ 8, 3 }, { rng = mien.rng.stream(1, "logits") }):requires_grad_()
    local weight, from_zero = mien.tensor { 1, 2, 3 }, classes.file:read("labels", 3, 8)
    local loss = mien.loss.softmax_cross_entropy(logits, batch[1], weight)
    local same = mien.op.softmax_cross_entropy(logits, from_zero, weight)
    assert.equal(same:item(), loss:item())
    loss:backward()
    local grad = logits.grad:totable()
    logits.grad = nil
    same:backward()
    assert.same(logits.grad:totable(), grad)
    expect.failure(function() mien.loss.softmax_cross_entropy(logits, from_zero - from_zero) end)
    expect.failure(function()
      mien.loss.softmax_cross_entropy(mien.zeros { 1, 3 }, mien.zeros { 1, dtype = "i32" })
    end, "target of row 1 is 0 but the 3 classes of logits are 1 to 3")

    assert.equal(1, mien.metric.accuracy({ { 0, 5, 1 }, { 4, 0, 0 } }, { 2, 1 }))
    expect.failure(function() mien.metric.accuracy({ { 0, 5, 1 } }, { 0 }) end, "classes begin at 1")
    expect.failure(function() mien.metric.accuracy({ { 0, 5, 1 } }, { 4 }) end, "1 to 3")
    local votes = mien.tensor { { 0, 3, 1 }, { 2, 2, 0 }, { 0, 0, 0 } }
    assert.same({ 2, 1, 0 }, mien.data.winner_takes_all(votes, { kind = "class" }):totable())
    assert.same({ { 2, 1, 0 }, { 1, 2, 0 } }, { mien.metric.most_voted(votes) })
  end)

  it("of classes that a writer is given begin at 1", function()
    local function write(class)
      local writer = mien.data.writer(folder .. "/written.h5", { name = "w", height = 2, width = 2, fps = 0,
        label_kind = "class", label_names = { "a", "b" } })
      local ok, problem = pcall(writer.recording, writer, { name = "r", subject = "s", partition = "train",
        frames = mien.zeros { 1, 2, 2, 3, dtype = "u8" }, labels = mien.full({ 1 }, class, { dtype = "i32" }) })
      if ok then writer:finish() else writer:close() end
      if not ok then error(problem, 0) end
      local written = mien.data.open(folder .. "/written.h5")
      local from, stored = written:labels():item(), written.file:read("labels"):item()
      written:close()
      return { from, stored }
    end
    assert.same({ { 1, 0 }, { 2, 1 } }, { write(1), write(2) })
    expect.failure(function() write(0) end, "recording r, frame 1: class 0 is not one of 1 to 2; classes begin at 1")
    expect.failure(function() write(3) end, "class 3 is not one of 1 to 2")
  end)
end)
