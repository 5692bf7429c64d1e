-- Steps that a GPU records and replays, on one that is none (tests/backend/fake_gpu_ops.c): same bits as op by op.
-- Not here: CUDA's own recording, which needs a device.
local plugins = require "tests.lua.with_plugin"

-- A training of the tiny network on the fake GPU. `print`s losses, weights, and how many steps were replayed.
local training = [[
local tiny = require "tests.lua.tiny"
local C = require "mien.base.ffi"
local captured = require "mien.train.captured"
local folder = tiny.folder()
local corpus = mien.data.open(tiny.corpus(folder .. "/c.h5", "continuous"))
local starts = corpus:windows { partition = "train", sequence = tiny.sequence }

local function train(graph, over)
  local model = mien.models.recurrent { features = tiny.features(8), hidden = 8, layers = 1, dropout = 0.3,
    fully_connected = { 8 }, outputs = corpus.label_names }
  mien.init.xavier():apply(model, mien.rng.stream(1, "init"))
  local dropout, losses, said, replays = mien.rng.stream(1, "dropout"), {}, {}, 0
  model:use_rng(dropout)
  local options = {
    model = model, device = "cuda", graph = graph, rngs = { dropout = dropout }, epochs = 4,
    stop = { watch = "validation/score", patience = 9 },
    optimiser = mien.optim.adam(model:parameters(), { lr = 1e-2 }), out = {
      write = function(_, ...) said[#said + 1] = table.concat { ... } end, flush = function() end },
    loss = mien.loss.ccc,
    train = function(epoch, first_step)
      return mien.data.loader { corpus = corpus, starts = starts, sequence = tiny.sequence, batch = 2, seed = 1,
        epoch = epoch, first_step = first_step, keep_last = true }
    end,
    validate = function(epoch) -- eager work between the steps; the rate changes without a new recording
      mien.scope(function()
        local x = mien.randn({ 1, tiny.sequence, 3, 16, 16 }, { rng = nil })
        losses[#losses + 1] = mien.no_grad(function() return model(model:place(x, true)):sum():item() end)
      end)
      return { ["validation/score"] = epoch }
    end,
  }
  if over then over(options, losses) end
  local run, new = captured.run, captured.new
  captured.run = function(self, ...)
    local value, norm = run(self, ...)
    losses[#losses + 1], losses[#losses + 2] = value, norm
    return value, norm
  end
  local step = require "mien.train.step"
  local gradients, update = step.gradients, step.update
  step.gradients = function(...)
    local value = gradients(...)
    losses[#losses + 1] = value
    return value
  end
  step.update = function(...)
    local norm = update(...)
    losses[#losses + 1] = norm or nil
    return norm
  end
  captured.new = function(o)
    local self = new(o)
    local close = self.step.close
    self.step.close = function(s) replays = s:replays(); return close(s) end
    return self
  end
  mien.rng.seed(5)
  local ok, result = pcall(mien.train.fit, options)
  captured.run, captured.new, step.gradients, step.update = run, new, gradients, update
  local text = {}
  for i, value in ipairs(losses) do text[i] = ("%.17g"):format(value) end
  for _, entry in ipairs(model:state()) do
    for _, value in ipairs { entry[2]:to "cpu":to "f64":sum():item() } do text[#text + 1] = ("%.17g"):format(value) end
  end
  return table.concat(text, " "), replays, table.concat(said), ok and result or tostring(result)
end
]]

local function run(code)
  return plugins.run(plugins.serving, training .. code .. "\ncorpus:close() tiny.drop(folder)")
end

--- What the eager and the captured training of `changes` have in common: "same", then what `report` prints.
local function compare(changes, report)
  local text = run(changes .. [[
    local eager = train(false, changes)
    local graph, replays, said, result = train(true, changes)
    local of_graph = said:match "train%.graph[^\n]*" or "-"
    print(eager == graph and "same" or eager .. "\n" .. graph, ]] .. report .. ")")
  return (text:gsub("%s+", " "))
end

describe("a captured training", function()
  it("has the bits of the eager one, with dropout, clipping, a changing rate, and a last batch of its own", function()
    assert.equal("same true - all epochs done", compare([[
      local function changes(options)
        options.clip = 0.5
        local validate = options.validate
        options.validate = function(epoch)
          options.optimiser.lr = options.optimiser.lr * 0.7
          return validate(epoch)
        end
      end]], "replays > 10, of_graph, result.reason"))
  end)

  it("has them with SGD and decoupled decay", function()
    assert.equal("same true -", compare([[
      local function changes(options)
        options.optimiser = mien.optim.sgd(options.model:parameters(), { lr = 1e-2, momentum = 0.9 })
      end]], "replays > 10, of_graph"))
    assert.equal("same true -", compare([[
      local function changes(options)
        options.optimiser = mien.optim.adam(options.model:parameters(), { lr = 1e-2, weight_decay = 0.1,
          decoupled = true })
      end]], "replays > 10, of_graph"))
  end)

  it("has them in bf16 and in fp16, where a scale that is too high leaves steps out", function()
    assert.equal("same true -", compare([[
      local function changes(options) options.precision = "bf16" end]], "replays > 10, of_graph"))
    for _, clip in ipairs { "nil", "0.05" } do -- clipping divides by scale * norm / clip, in the update
      assert.equal("same true - true", compare([[
        local make, scaler = mien.optim.scaler
        mien.optim.scaler = function()
          scaler = make { scale = 2 ^ 34, interval = 3 }
          return scaler
        end
        local function changes(options) options.precision, options.clip = "fp16", ]] .. clip .. [[ end
        local outcomes, eager_train = {}, train
        function train(...)
          local results = { eager_train(...) }
          outcomes[#outcomes + 1] = table.concat({ scaler.scale, scaler.good, scaler.skipped }, " ")
          return unpack(results)
        end]], "replays > 10, of_graph, outcomes[1] == outcomes[2] and scaler.skipped > 3"))
    end
  end)

  it("goes on from a checkpoint to the same bits, with the loss scale of then", function()
    assert.equal("12 true true true", (run [[
      local scaler = mien.optim.scaler
      mien.optim.scaler = function() return scaler { scale = 2 ^ 26, interval = 3 } end
      local function go(graph, path, stop_in)
        local text = train(graph, function(options)
          local loader = options.train
          options.train = function(epoch, ...)
            if epoch == stop_in then C.mien_interrupt_request() end
            return loader(epoch, ...)
          end
          options.precision, options.clip, options.checkpoint = "fp16", 0.05, folder .. path
        end)
        C.mien_interrupt_clear()
        return text:match "(%S+ %S+ %S+)$"
      end
      local whole = go(true, "/whole")
      go(true, "/cut", 3)
      local at = require("mien.checkpoint.state").position(folder .. "/cut/last.h5")
      print(at.step, at.scaler.skipped > 3 and at.scaler.skipped < at.step, go(true, "/cut") == whole,
        go(false, "/eager") == whole)]]:gsub("%s+", " ")))
  end)

  it("goes on to the same bits when it is interrupted while a step is recorded, or replayed", function()
    assert.equal("true true 2 6", (run [[
      local verdict = require "mien.optim.verdict"
      local read = verdict.read
      local function go(path, recorded, replayed)
        local calls, reads = 0, 0
        verdict.read = function(...)
          reads = reads + 1
          local results = { read(...) }
          if reads == replayed then require("mien.base.check").raise("interrupted", "interrupted") end
          return unpack(results)
        end
        local text = train(true, function(options)
          options.checkpoint = folder .. path
          options.loss = function(...)
            calls = calls + 1
            if calls == recorded then C.mien_interrupt_request() end
            return mien.loss.ccc(...)
          end
        end)
        C.mien_interrupt_clear()
        return text:match("(" .. ("%S+ "):rep(11) .. "%S+)$") -- of all weights and running statistics
      end
      local whole, at = go "/whole", {}
      for i, cut in ipairs { { 3 }, { 0, 9 } } do
        go("/cut" .. i, unpack(cut))
        at[i] = require("mien.checkpoint.state").position(folder .. "/cut" .. i .. "/last.h5").step
      end
      print(go "/cut1" == whole, go "/cut2" == whole, unpack(at))]]:gsub("%s+", " ")))
  end)

  it("is what the benchmark times in fp16", function()
    assert.equal("5 true", run([[
      local model = mien.models.recurrent { features = tiny.features(8), hidden = 8, layers = 1,
        outputs = corpus.label_names }:to "cuda":precision_ "fp16"
      local learn = require("tests.bench.cases").learning(model, { graph = true, lr = 1e-2 })
      local frames, target = mien.randn { 1, 4, 3, 16, 16 }:to "cuda", mien.randn({ 1, 4, 2 }):to "cuda"
      local losses = {}
      for i = 1, 5 do losses[i] = learn(frames, target):item() end
      print(#losses, losses[5] < losses[1])]]):gsub("%s+", " "))
  end)

  it("says once what cannot be recorded, and goes on op by op with the same bits", function()
    local words = compare([[
      local function changes(options)
        options.loss = function(output, labels)
          local loss = mien.loss.ccc(output, labels)
          loss:item()
          return loss
        end
      end]], [[select(2, said:gsub("launched op by op", "")), of_graph]])
    assert.equal("same 1 train.graph: every step is launched op by op: a step cannot be recorded: it reads a number "
      .. "back from the GPU", words)
    assert.matches("train.graph is left aside: train.graph is for a GPU", run [[
      print((select(3, train(true, function(options) options.device = "cpu" end))))]])
  end)

  it("ends with a loss that is no number as the eager one does, its weights untouched", function()
    assert.equal("same failed loss is NaN at epoch 2, step 7", compare([[
      local function changes(options)
        local nan = require("mien.tensor.scope").keep(mien.tensor({ 0 / 0 }):to "cuda")
        local one, calls = require("mien.tensor.scope").keep(mien.ones({ 1 }):to "cuda"), 0
        options.loss = function(output, labels) return mien.loss.ccc(output, labels) * one:sum() end
        options.validate = function(epoch)
          one:copy_(nan)
          return { ["validation/score"] = epoch }
        end
      end]], "result.status, result.reason"))
  end)
end)
