-- The rules of the public surface: positions begin at 1, what a thing is is a field, one table of options comes last,
-- and spellings of before are errors that name those of today.
-- Not here: what the functions do (the other specs).
local C = require "mien.base.ffi"
local expect = require "expect"
local lfs = require "lfs"
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
    { "data.class_counts", function(i) return mien.data.class_counts(classes, { i, sequence = 1 }) end, classes.frames },
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

  it("from the end are negative, for writing as for reading", function()
    local m, v = mien.zeros { 2, 2 }, mien.zeros { 3 }
    m[-1], v[-1] = 1, 2
    m[-2][-1] = 3
    assert.same({ { { 0, 3 }, { 1, 1 } }, { 0, 0, 2 } }, { m:totable(), v:totable() })
    m[-1] = { 5, 6 }
    assert.same({ 5, 6 }, m[-1]:totable())
    expect.failure(function() m[-3] = 1 end, "1 to 2")
  end)

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
    local loss = mien.loss.softmax_cross_entropy(logits, batch[1], { weight = weight })
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

describe("what a thing is", function()
  local model = mien.nn.sequential { mien.nn.linear { 3, 2 } }
  local optimisers = { mien.optim.adam(model, { lr = 0.1 }), mien.optim.sgd(model, { lr = 0.1 }) }
  local t = mien.zeros { 2, 3 }

  it("is a field of tensors, modules and optimisers alike", function()
    assert.same({ { 2, 3 }, 2, "f32", "cpu", false }, { t.shape, t.ndim, t.dtype, t.device, t.requires_grad })
    assert.is_nil(t.grad)
    assert.same({ "cpu", "f32", true }, { model.device, model.precision, model.training })
    for _, optimiser in ipairs(optimisers) do
      assert.same({ "cpu", 0.1, 0 }, { optimiser.device, optimiser.lr, optimiser.steps })
    end
  end)

  it("is set by a method that says so, or by assignment", function()
    local weight = model:parameters()[1].tensor
    assert.is_true(weight.requires_grad)
    assert.is_false(weight:requires_grad_(false).requires_grad)
    assert.is_true(weight:requires_grad_().requires_grad)
    assert.equal("tf32", model:precision_ "tf32".precision)
    assert.equal("f32", model:precision_ "f32".precision)
    assert.is_false(model:train(false).training)
    expect.failure(function() weight.requires_grad = false end, "t:requires_grad_(true)")
  end)

  it("cannot be called, and dropped spellings name those of today", function()
    local renamed = require "mien.base.renamed"
    local calls = {
      { function() return t:requires_grad(false) end, "t:requires_grad_(true or false) sets it" },
      { function() return t:dtype() end, "write .dtype without brackets" },
      { function() return t:device() end, "write .device without brackets" },
      { function() return model:device() end, "m:to and opt:to move" },
      { function() return model:precision "bf16" end, "m:precision_(name) sets it" },
      { function() return model:training() end, "m:train(true or false) sets it" },
      { function() return optimisers[1]:lr() end, "opt.lr = number" },
    }
    for i, call in ipairs(calls) do
      local ok, problem = pcall(call[1])
      assert.is_false(ok, "call " .. i)
      assert.matches(call[2], renamed.hint(problem), 1, true)
    end
    assert.is_nil(renamed.hint "attempt to call method 'frobnicate' (a nil value)")
    expect.failure(function() return t:size() end, "t.shape")
    expect.failure(function() optimisers[1]:load_state {} end, "optimiser:set_state(state)")
    expect.failure(function() return t:dim() end, "t.ndim")
    expect.failure(function() return mien.metric.winner_takes_all end, "metric.most_voted")
    expect.failure(function() return mien.metric.peason end, 'did you mean "pearson"')
  end)

  it("is told on the command line where it is called", function()
    local pipe = io.popen(("'%s' -e 'require(\"mien\").zeros{2}:requires_grad(false)' 2>&1"):format(
      os.getenv "MIEN" or "./mien"))
    local said = pipe:read "*a"
    pipe:close()
    assert.matches("t:requires_grad_(true or false) sets it", said, 1, true)
  end)

  it("is offered by completion after a dot, and not after a colon", function()
    local complete = require "mien.repl.complete"
    local env = require("mien.repl.inputs").environment {}
    env.m, env.t = model, t
    assert.same({ "m.device" }, (complete.lua(env, "m.devi", 6)))
    assert.same({ "t.ndim" }, (complete.lua(env, "t.ndi", 5)))
    assert.same({}, (complete.lua(env, "m:devi", 6)))
    assert.same({}, (complete.lua(env, "t:ndi", 5)))
    assert.same({ "m:parameters" }, (complete.lua(env, "m:parameters", 12)))
  end)
end)

describe("arguments", function()
  local corpus, classes = corpora.continuous, corpora.class
  local x, y = { { 1, 2, 4, 3 } }, { { 1, 2, 3, 3 } }
  local logits, target = mien.zeros { 2, 3 }, mien.tensor({ 1, 3 }, { dtype = "i32" })
  local image, weight = mien.zeros { 4, 4, 3, dtype = "u8" }, mien.ones { 3 }
  local stream = mien.rng.stream(1, "split")

  -- what it works on comes first, options in one table last: the form of today, and that of before with what it is told
  local forms = {
    { "loss.softmax_cross_entropy",
      function() return mien.loss.softmax_cross_entropy(logits, target, { weight = weight }) end,
      function() return mien.loss.softmax_cross_entropy(logits, target, weight) end, "{ weight = w }" },
    { "loss.sigmoid_cross_entropy",
      function() return mien.loss.sigmoid_cross_entropy(logits, logits, { weight = weight }) end,
      function() return mien.loss.sigmoid_cross_entropy(logits, logits, weight) end, "{ weight = w }" },
    { "t:sum", function() return logits:sum(2, { keep = true }) end,
      function() return logits:sum(2, true) end, "{ keep = true }" },
    { "t:min", function() return logits:min(2, { keep = true }) end,
      function() return logits:min(2, true) end, "{ keep = true }" },
    { "post.fit", function() return mien.post.fit(x, y, { fps = 1, max_shift = 1 }) end,
      function() return mien.post.fit { predictions = x, gold = y, fps = 1 } end, "post.fit(predictions, gold, {" },
    { "post.joint", function() return mien.post.joint(x, y, { fps = 1, max_shift = 1 }) end,
      function() return mien.post.joint { predictions = x, gold = y, fps = 1 } end, "post.joint(predictions, gold, {" },
    { "data.split_subjects", function() return mien.data.split_subjects(corpus, { 1, 1, rng = stream }) end,
      function() return mien.data.split_subjects(corpus, { 1, 1 }, stream) end, "{ 0.8, 0.2, rng = stream }" },
    { "data.class_counts", function() return mien.data.class_counts(classes, { 1 }, { sequence = 8 }) end,
      function() return mien.data.class_counts(classes, { 1 }, 8) end, "{ sequence = 8 }" },
    { "image.resize", function() return mien.data.image.resize(image, { 2, 2 }) end,
      function() return mien.data.image.resize(image, 2, 2) end, "{ height, width }" },
    { "image.crop", function() return mien.data.image.crop(image, { 1, 1, 2, 2 }, { 2, 2 }) end,
      function() return mien.data.image.crop(image, { 1, 1, 2, 2 }, 2, 2) end, "{ height, width }" },
  }
  for _, form in ipairs(forms) do
    local name, now, before, told = unpack(form)
    it(("of %s: options come in one table, the form of before is an error that says so"):format(name), function()
      assert.is_truthy(now())
      expect.failure(before, "write", told)
    end)
  end

  it("in option tables are checked: a misspelt key names the nearest", function()
    for _, call in ipairs {
      function() mien.loss.softmax_cross_entropy(logits, target, { wieght = weight }) end,
      function() mien.data.class_counts(classes, { 1 }, { sequnce = 8 }) end,
      function() mien.data.split_subjects(corpus, { 1, 1, rgn = stream, rng = stream }) end,
      function() mien.post.fit(x, y, { max_shfit = 1 }) end,
      function() logits:sum(2, { kep = true }) end,
    } do
      expect.failure(call, "did you mean")
    end
  end)
end)

describe("a word that is offered", function()
  it("differs in a third of its letters at most, and in one where it is short", function()
    local nearest = require("mien.base.check").nearest
    assert.is_nil(nearest("wider", { "width" })) -- 2 of 5
    assert.equal("width", nearest("widht", { "width" }))
    assert.equal("sequence", nearest("seqence", { "sequence" }))
    assert.equal("stride", nearest("stirdes", { "stride" })) -- 2 of 7
    assert.is_nil(nearest("std", { "add", "stack" }))
  end)
end)

describe("a file's name", function()
  -- one thing at two places: a command, or what experiments do, and what stands behind it; a layer and a network
  local twice = { init = true, run = true, predict = true, profile = true, check = true, recurrent = true,
    face = true, score = true }

  it("stands once, so that its word means one thing", function()
    local seen = {}
    local function walk(below)
      for name in lfs.dir(below) do
        local path, word = below .. "/" .. name, name:match "^(.*)%.lua$"
        if word then
          seen[word] = seen[word] or {}
          table.insert(seen[word], path)
        elseif name:sub(1, 1) ~= "." and lfs.attributes(path, "mode") == "directory" then
          walk(path)
        end
      end
    end
    walk "lua"
    walk "datasets"
    for word, paths in pairs(seen) do
      assert.is_true(#paths == 1 or twice[word] or false, table.concat(paths, ", "))
    end
    for word in pairs(twice) do assert.is_true(#seen[word] > 1, word .. " stands once and needs no leave") end
    for _, path in ipairs(seen.profile) do assert.is_nil(path:find("experiment", 1, true), path) end
  end)
end)
