-- The training loop: early stopping, NaN, resuming to the same bits in one process.
-- Not here: whole experiments (experiment_spec.lua), processes that are killed (tests/e2e/resume_spec.lua).
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local C = require "mien.base.ffi"
local stop = require "mien.train.stop"
local progress = require "mien.train.progress"

describe("early stopping", function()
  local function feed(options, values)
    local s, better = stop.new(options), {}
    for epoch, value in ipairs(values) do
      better[epoch] = s:update(epoch, value)
      if s:done() then return s, better, epoch end
    end
    return s, better, nil
  end

  it("stops after `patience` epochs without a better value, and the best is the first of equals", function()
    local s, better, at = feed({ watch = "x", patience = 2 }, { 0.1, 0.3, 0.3, 0.2, 0.9 })
    assert.equal(4, at)
    assert.same({ true, true, false, false }, better)
    assert.same({ 0.3, 2 }, { s.best, s.best_epoch })
  end)

  it("never takes NaN for better, also at first", function()
    local s, better = feed({ watch = "x", patience = 5 }, { 0 / 0, -0.5, 0 / 0 })
    assert.same({ false, true, false }, better)
    assert.equal(-0.5, s.best)
    assert.equal(1, s.waited)
  end)

  it("can watch a value that should fall", function()
    local s = feed({ watch = "x", patience = 3, higher = false }, { 3, 1, 2 })
    assert.same({ 1, 2 }, { s.best, s.best_epoch })
  end)

  it("goes on from its state", function()
    local a = feed({ watch = "x", patience = 2 }, { 0.5, 0.4 })
    local b = stop.new { watch = "x", patience = 2 }
    b:set_state(a:state())
    assert.is_false(b:update(3, 0.5))
    assert.is_true(b:done())
  end)
end)

describe("scores of a partition", function()
  it("leave out frames without gold, but are undefined where the model gave no number", function()
    local score = require("mien.train.evaluate").score
    local corpus, nan = { label_kind = "continuous", label_names = { "arousal" } }, 0 / 0
    local gold = { { { 0.1, 0.5, nan, 0.3 } } }
    assert.equal(1, score(corpus, { { { 0.1, 0.5, 0.9, 0.3 } } }, gold).metrics.ccc)
    local half = score(corpus, { { { nan, 0.5, 0.9, 0.3 } } }, gold)
    for _, value in ipairs { half.metrics.ccc, half.metrics.ccc_recordings, half.scores[1].rmse } do
      assert.is_true(value ~= value)
    end
  end)
end)

describe("progress", function()
  local function sink()
    local text = {}
    return { write = function(_, ...) for _, part in ipairs { ... } do text[#text + 1] = part end end,
      flush = function() end, text = function() return table.concat(text) end }
  end
  local at = { epoch = 2, step = 5, steps = 10, loss = 0.5, rate = 120, watch = "validation/ccc" }

  it("rewrites one line on a terminal and writes a line per epoch elsewhere", function()
    local out = sink()
    local terminal = progress.new { label = "run", epochs = 4, out = out, terminal = true }
    terminal:step(at)
    terminal:epoch { epoch = 2, loss = 0.5, rate = 120, value = 0.25, best = 0.3, best_epoch = 1,
      watch = "validation/ccc" }
    assert.matches("^\r\27%[K", out.text())
    assert.is_nil(out.text():find "\n")
    out = sink()
    local plain = progress.new { label = "run", epochs = 4, out = out, terminal = false }
    plain:step(at)
    assert.equal("", out.text())
    plain:epoch { epoch = 2, loss = 0.5, rate = 120, value = 0 / 0, watch = "validation/ccc" }
    assert.matches("^run  epoch 2/4  loss 0.500  devel ccc nan  120 frames/s", out.text())
    assert.matches("\n$", out.text())
  end)

  it("says durations as people do", function()
    assert.equal("59 s", progress.duration(59))
    assert.equal("2 min", progress.duration(130))
    assert.equal("2.5 h", progress.duration(9000))
  end)
end)

describe("training", function()
  local folder, corpus
  setup(function()
    folder = tiny.folder()
    corpus = mien.data.open(tiny.corpus(folder .. "/c.h5", "continuous"))
  end)
  teardown(function()
    corpus:close()
    tiny.drop(folder)
  end)

  --- A training of the tiny network; `over` changes what train.fit gets. Returns its result, model and losses.
  local function fit(checkpoint, over)
    local model = mien.models.recurrent { features = tiny.features(8), hidden = 8, layers = 1,
      outputs = corpus.label_names }
    mien.init.xavier():apply(model, mien.rng.stream(1, "init"))
    local dropout, losses, hooks = mien.rng.stream(1, "dropout"), {}, {}
    model:use_rng(dropout)
    local starts = corpus:windows { partition = "train", sequence = tiny.sequence }
    local options = {
      model = model, rngs = { dropout = dropout }, epochs = 3, stop = { watch = "validation/score", patience = 9 },
      optimiser = mien.optim.adam(model:parameters(), { lr = 1e-2 }), quiet = true, checkpoint = checkpoint,
      loss = function(output, labels)
        local loss = mien.loss.ccc(output, labels)
        losses[#losses + 1] = loss:item()
        if hooks.after then hooks.after(#losses) end -- the loss stays the same function: another is another training
        return loss
      end,
      train = function(epoch, first_step)
        return mien.data.loader { corpus = corpus, starts = starts, sequence = tiny.sequence, batch = 2, seed = 1,
          epoch = epoch, first_step = first_step }
      end,
      validate = function() return { ["validation/score"] = -losses[#losses] } end,
    }
    for key, value in pairs(over and over(options, losses, hooks) or {}) do options[key] = value end
    local ok, result = pcall(mien.train.fit, options)
    return ok and result, model, losses, not ok and result
  end

  it("tells what was noticed below it, as an event of its run", function()
    local events, run = {}, { metric = function() end, progress = function() end, beat = function() end }
    function run:event(kind, text) events[#events + 1] = self == run and kind .. ": " .. text end
    local result, _, _, err = fit(nil, function(options)
      local loss = options.loss
      options.loss = function(...)
        C.mien_notice "a slower path was taken"
        return loss(...)
      end
      return { run = run, epochs = 1 }
    end)
    assert.is_truthy(result, tostring(err))
    assert.same({ "notice: a slower path was taken" }, events)
  end)

  local function bits(model)
    local text = {}
    for _, entry in ipairs(model:state()) do
      local n = entry[2]:count()
      local values = require("ffi").new("double[?]", n)
      assert(C.mien_tensor_read(entry[2], values, n) == 0)
      for i = 0, n - 1 do text[#text + 1] = ("%a"):format(values[i]) end
    end
    return table.concat(text, " ")
  end

  it("ends with the same bits when it is interrupted at any step and resumed", function()
    local result, model, losses = fit(folder .. "/whole")
    assert.equal("finished", result.status)
    local steps = result.steps
    for _, cut in ipairs { 1, 4, steps / 3, steps - 1 } do
      cut = math.floor(cut)
      local path = folder .. "/cut" .. cut
      local _, _, first, err = fit(path, function(_, _, hooks)
        hooks.after = function(seen)
          if seen == cut + 1 then C.mien_interrupt_request() end -- inside step cut + 1, after its forward pass
        end
      end)
      assert.equal("interrupted", err and err.code)
      C.mien_interrupt_clear()
      local resumed, again, rest = fit(path)
      assert.equal(result.best, resumed.best)
      assert.equal(result.best_epoch, resumed.best_epoch)
      assert.equal(bits(model), bits(again))
      for i = 1, cut do assert.equal(losses[i], first[i]) end
      for i = 1, #rest do assert.equal(losses[#losses - #rest + i], rest[i]) end
    end
  end)

  it("repeats an interrupted validation and trains nothing twice", function()
    local result, model = fit(folder .. "/plain")
    local path = folder .. "/validation"
    local _, _, _, err = fit(path, function(options)
      local validate = options.validate
      return { validate = function(epoch)
        if epoch == 2 then require("mien.base.check").raise("interrupted", "interrupted") end
        return validate(epoch)
      end }
    end)
    assert.equal("interrupted", err.code)
    local steps = 0
    local resumed, again = fit(path, function(options)
      -- the loss of the last step is gone with the first process: epoch 2 is scored as before
      local train = options.train
      return { train = function(epoch, first)
        local loader = train(epoch, first)
        if epoch == 2 then steps = loader.steps - first end
        return loader
      end, validate = function(epoch) return { ["validation/score"] = epoch } end }
    end)
    assert.equal(0, steps)
    assert.equal(result.steps, resumed.steps)
    assert.is_not_nil(bits(model))
    assert.is_not_nil(bits(again))
  end)

  it("stops at a NaN loss and keeps the last good checkpoint", function()
    local path = folder .. "/nan"
    local result, _, _, err = fit(path, function(options, seen)
      local loss = options.loss
      return { loss = function(...)
        local value = loss(...)
        if #seen ~= 8 then return value end
        local huge = value * 1e38 * 1e38
        return huge - huge
      end }
    end)
    assert.is_falsy(err)
    assert.equal("failed", result.status)
    assert.matches("loss is NaN at epoch 2, step 8", result.reason)
    local finite = require("ffi").new "bool[1]"
    local h5 = require("mien.data.file").open(path .. "/last.h5")
    local t = h5:read "weights/features.conv.weight"
    C.mien_tensor_is_finite(t, finite)
    assert.is_true(finite[0])
    assert.matches("epochs_done = 1.*step = 6", h5:text "position")
    h5:close()
  end)

  describe("in half precision", function()
    -- the CPU's naive loops know every dtype
    before_each(function() mien.backend.use "ref" end)
    after_each(function() mien.backend.use "cpu" end)

    --- Two epochs in a precision; `over` as above. Returns result, model, losses, error.
    local function in_precision(name, path, over)
      return fit(path, function(options, seen)
        local all = { precision = name, epochs = 2 }
        for key, value in pairs(over and over(options, seen) or {}) do all[key] = value end
        return all
      end)
    end

    it("follows the curve of f32", function()
      local _, model, f32 = in_precision "f32"
      for name, tolerance in pairs { bf16 = 0.1, fp16 = 0.004 } do
        local result, half, losses = in_precision(name)
        assert.equal("finished", result.status)
        assert.equal(#f32, #losses)
        local furthest = 0
        for i = 1, #f32 do furthest = math.max(furthest, math.abs(f32[i] - losses[i])) end
        assert.is_true(furthest > 0 and furthest < tolerance, ("%s: %g"):format(name, furthest))
        assert.not_equal(bits(model), bits(half))
        for _, entry in ipairs(half:state()) do assert.equal("f32", entry[2].dtype) end
      end
    end)

    it("gives losses and labels in f32, whatever the features are in", function()
      local seen = {}
      in_precision("bf16", nil, function(options)
        local loss = options.loss
        return { loss = function(output, labels)
          seen[output.dtype .. " " .. labels.dtype] = true
          return loss(output, labels)
        end }
      end)
      assert.same({ ["f32 f32"] = true }, seen)
    end)

    it("leaves fp16 steps that overflow out, and counts them", function()
      local metrics = {}
      local run = { metric = function(_, key, value) metrics[key] = value end, beat = function() end,
        progress = function() end, db = { flush = function() end } }
      local result = in_precision("fp16", nil, function(options)
        local loss = options.loss
        return { run = run, loss = function(output, labels)
          return loss(output, labels) * 1e4 -- 65536 times this is too much for f16 in the last layers
        end }
      end)
      assert.equal("finished", result.status)
      assert.is_true(metrics["train/skipped_steps"] >= 1)
      assert.equal(2 ^ (16 - metrics["train/skipped_steps"]), metrics["train/loss_scale"])
      assert.equal(12, result.steps)
    end)

    it("ends with the same bits when fp16 is interrupted and resumed, also after a change of scale", function()
      local function over(cut)
        return function(options, seen)
          local loss = options.loss
          return { loss = function(output, labels)
            local value = loss(output, labels)
            if #seen == cut then C.mien_interrupt_request() end
            return value * 1e4
          end }
        end
      end
      local result, model, losses = in_precision("fp16", folder .. "/half", over(0))
      assert.equal("finished", result.status)
      local path = folder .. "/half-cut"
      local _, _, first, err = in_precision("fp16", path, over(5))
      assert.equal("interrupted", err and err.code)
      C.mien_interrupt_clear()
      local position = mien.train.state.position(path .. "/last.h5")
      assert.is_true(position.scaler.skipped >= 1 and position.scaler.scale < 65536)
      local _, again, rest = in_precision("fp16", path, over(0))
      assert.equal(bits(model), bits(again))
      assert.equal(losses[#losses], rest[#rest])
      assert.equal(losses[4], first[4])
    end)

    it("says what the CPU has when it has no such precision", function()
      mien.backend.use "cpu"
      local _, _, _, err = in_precision "fp16"
      assert.equal("device", err and err.code)
      assert.matches('precision = "fp16" cannot be computed on this CPU; it computes in f32, tf32', tostring(err))
      _, _, _, err = in_precision "fp61"
      assert.matches('unknown value "fp61"; did you mean "fp16"', tostring(err))
    end)
  end)

  it("leaves the weights of the best epoch in the model, with a folder or without", function()
    for _, checkpoint in ipairs { folder .. "/best", false } do
      local seen = {}
      local result, model = fit(checkpoint or nil, function(options)
        return { validate = function(epoch)
          seen[epoch] = bits(options.model)
          return { ["validation/score"] = ({ 1, 3, 2 })[epoch] }
        end }
      end)
      assert.equal(2, result.best_epoch)
      assert.equal(seen[2], bits(model))
      assert.not_equal(seen[3], bits(model))
    end
  end)

  it("names the nearest metric when it watches one that there is not", function()
    local _, _, _, err = fit(nil, function() return { stop = { watch = "validation/scor" } } end)
    assert.matches('did you mean "validation/score"', tostring(err))
  end)

  it("compares what it is asked with its checkpoint: it goes on to more, and refuses another training", function()
    local path = folder .. "/asked"
    local function asked(over)
      return fit(path, function(options)
        local new = {}
        for key, value in pairs(over) do new[key] = value end
        new.optimiser = over.lr and mien.optim.adam(options.model:parameters(), { lr = over.lr }) or nil
        new.lr = nil
        return new
      end)
    end
    local watch = "validation/score"
    assert.equal(1, asked { epochs = 1, stop = { watch = watch, patience = 3 } }.epochs)
    for pattern, over in pairs {
      ["optimiser is optim.adam .*lr=0.005.*, it was trained with optim.adam .*lr=0.01"] = { lr = 5e-3 },
      ["clip is 1, it was trained with 0"] = { clip = 1 },
      ["higher is false, it was trained with true"] = { stop = { watch = watch, patience = 3, higher = false } },
      ["loss is function%(output, labels%) return .*, it was trained with"] =
        { loss = function(output, labels) return mien.loss.mse(output, labels) end },
      ["patience is 2, it was trained with 3"] = { stop = { watch = watch, patience = 2 } },
      ["scale is 2, it was trained with nil"] = { conditions = { scale = 2 } },
    } do
      over.epochs, over.stop = 2, over.stop or { watch = watch, patience = 3 }
      local _, _, _, err = asked(over)
      assert.matches("last.h5 is of another training: " .. pattern, tostring(err))
      assert.matches("give it back what it had, or name another folder, or delete last.h5", tostring(err), 1, true)
    end
    local result, model = asked { epochs = 3, stop = { watch = watch, patience = 9 } }
    assert.equal(3, result.epochs)
    local _, whole = fit(folder .. "/asked-whole", function() return { epochs = 3 } end)
    assert.equal(bits(whole), bits(model))
    local _, _, _, err = asked { epochs = 2, stop = { watch = watch, patience = 9 } }
    assert.matches("epochs is 2, it was trained with 3 %(3 epochs are done%)", tostring(err))
  end)

  it("says what to do about a damaged checkpoint, and sees that the best weights are others", function()
    local path = folder .. "/damaged"
    local function one_epoch(options) return { epochs = 1, rngs = options.rngs } end
    assert.is_falsy(select(4, fit(path, one_epoch)))
    assert.is_falsy(select(4, fit(path, one_epoch))) -- nothing is left to do
    mien.checkpoint.save_weights(path .. "/best.h5", tiny.features(8), {})
    local _, _, _, err = fit(path, one_epoch)
    assert.matches("best.h5 holds other weights than this training wrote", tostring(err), 1, true)
    local file = assert(io.open(path .. "/last.h5", "r+b"))
    file:seek("set", math.floor(file:seek "end" / 2))
    file:write(("x"):rep(4000))
    file:close()
    _, _, _, err = fit(path, one_epoch)
    assert.equal("format", err and err.code)
    assert.matches("last.h5", tostring(err), 1, true)
    assert.matches("or delete it: the training then starts again at its first epoch", tostring(err), 1, true)
  end)

  it("refuses the checkpoint of another model, and a file that is none", function()
    fit(folder .. "/mine", function(options) return { epochs = 1, rngs = options.rngs } end)
    local other = tiny.features(4)
    local optimiser = mien.optim.adam(other:parameters(), { lr = 1e-2 })
    local ok, err = pcall(mien.train.state.load, folder .. "/mine/last.h5", { model = other, optimiser = optimiser })
    assert.is_false(ok)
    assert.matches("made by another model", tostring(err))
    ok, err = pcall(mien.train.state.load, folder .. "/c.h5", { model = other, optimiser = optimiser })
    assert.is_false(ok)
    assert.matches("holds no state of a training", tostring(err))
  end)
end)
