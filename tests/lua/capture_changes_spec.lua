-- Replayed steps when something changes between them: the bits stay those of the eager steps, and memory is bounded.
-- Not here: whole trainings (capture_spec.lua).
local plugins = require "tests.lua.with_plugin"

-- `go(graph, change)`: 12 steps of a small net, change(t, i) before each; returns what the losses and weights were.
-- `same(change)` tells whether the eager and the captured one agree, and what was said.
local SETUP = [[
local C = require "mien.base.ffi"
local scope = require "mien.tensor.scope"
local bytes_of = require("ffi").new "mien_memory_stats"
local function held() -- live and pooled bytes of the GPU
  C.mien_memory(C.MIEN_DEVICE_CUDA, bytes_of)
  return tonumber(bytes_of.live_bytes + bytes_of.pooled_bytes)
end

local function net(over)
  local t = { rng = mien.rng.stream(1, "dropout"), said = {}, data = mien.rng.stream(1, "data"), rows = 4 }
  local nn = mien.nn
  t.model = nn.sequential { nn.linear { 6, 16 }, nn.dropout { 0.3 }, nn.linear { 16, 2 } }
  mien.init.xavier():apply(t.model, mien.rng.stream(1, "init"))
  t.model:use_rng(t.rng)
  t.model:to "cuda"
  t.optimiser = mien.optim.adam(t.model:parameters(), { lr = 1e-2 })
  t.rngs = { dropout = t.rng }
  if over then over(t) end
  function t.once(x, y)
    t.optimiser:zero_grad()
    local loss = mien.loss.mse(t.model(t.factor and x * t.factor or x), y)
    if t.fails then t.fails() end
    loss:backward()
    t.optimiser:step()
    return loss
  end
  return t
end

local function go(graph, change, over)
  local t, text = net(over), {}
  local step = graph and mien.capture { t.once, optimisers = { t.optimiser }, rngs = t.rngs,
    say = function(words) t.said[#t.said + 1] = words end } or function(...) return scope.run(t.once, ...) end
  for i = 1, 12 do
    if change then change(t, i, step) end
    local x, y = mien.randn({ t.rows, 6, rng = t.data }):to "cuda", mien.randn({ t.rows, 2, rng = t.data }):to "cuda"
    local ok, loss = pcall(step, x, y)
    text[#text + 1] = ok and ("%a"):format(loss:item()) or tostring(loss.message or loss)
    if not graph and ok then loss:free() end
    x:free() y:free()
  end
  for _, entry in ipairs(t.model:state()) do text[#text + 1] = ("%a"):format(entry[2]:to "cpu":to "f64":sum():item()) end
  t.replays = graph and step:replays()
  if graph then step:close() end
  return table.concat(text, "\n"), t
end

local function same(change, over)
  local eager = go(false, change, over)
  local graph, t = go(true, change, over)
  print(eager == graph and "same" or eager .. "\n--- captured:\n" .. graph, t.replays, table.concat(t.said, " "))
end
]]

local function run(code)
  return (plugins.run(plugins.serving, SETUP .. code):gsub("%s+", " "))
end

describe("replayed steps keep the bits of eager ones", function()
  local scenarios = {
    { "when nothing changes", "", 10 },
    { "when weights are loaded", [[if i == 7 then t.model:load(net().model:state()) end]], 10 },
    { "when the optimiser's state is loaded", [[if i == 7 then
        local other = net()
        scope.run(other.once, mien.ones { 4, 6 }:to "cuda", mien.ones { 4, 2 }:to "cuda")
        t.optimiser:set_state(other.optimiser:state())
      end]], 10 },
    { "when the rate changes", [[t.optimiser.lr = 1e-2 / i]], 10 },
    { "when another number of the optimiser changes",
      [[if i == 7 then t.optimiser.beta1, t.optimiser.weight_decay = 0.5, 0.1 end]], 8 },
    { "when the model goes to the CPU and comes back", [[if i == 7 then
        t.model:to "cpu"
        t.optimiser:to "cpu"
        t.junk = scope.keep { mien.full({ 16, 6 }, 1e6, { device = "cuda" }), mien.full({ 6, 16 }, 1e6, { device = "cuda" }),
          mien.full({ 16, 2 }, 1e6, { device = "cuda" }), mien.full({ 2, 16 }, 1e6, { device = "cuda" }) }
        t.model:to "cuda"
        t.optimiser:to "cuda"
      end]], 4 },
    { "when the stream of dropout is drawn from elsewhere", [[if i % 3 == 0 then t.rng:uniform() end]], 10 },
    { "when the stream of dropout becomes another one",
      [[if i == 7 then t.rng:set_state(mien.rng.stream(2, "dropout"):state()) end]], 8 },
    { "when a part is frozen and let go", [[if i == 6 or i == 9 then
        t.model:parameters()[1][2]:requires_grad_(i == 9)
        t.model:parameters()[1][2].grad = nil
      end]], 8 },
    { "when a tensor that the step reads is freed", [[
      if i == 1 then t.factor = scope.keep(mien.full({ 1 }, 2, { device = "cuda" })) end
      if i == 7 then
        t.factor:free()
        t.junk = scope.keep(mien.full({ 1 }, 1e6, { device = "cuda" }))
      end]], 0 },
    { "when a tensor that the step reads is replaced", [[if i == 1 or i == 7 then
        if t.factor then t.factor:free() end
        t.junk = t.factor and scope.keep(mien.full({ 1 }, 1e6, { device = "cuda" }))
        t.factor = scope.keep(mien.full({ 1 }, i, { device = "cuda" }))
      end]], 4 },
    { "when five shapes take turns", [[t.rows = 1 + i % 5]], 2 },
    { "when the pool is trimmed", [[if i > 4 then C.mien_memory_trim(C.MIEN_DEVICE_CUDA) end]], 10 },
    { "when Ctrl-C comes while it is recorded", [[
      t.at = i == 3 and t.rng:state() or t.at
      if i == 4 then t.rng:set_state(t.at) end
      t.fails = i == 3 and function() require("mien.base.check").raise("interrupted", "interrupted") end or nil]], 9 },
    { "when another training runs beside it", [[
      t.other = t.other or net()
      t.beside = t.beside or mien.capture { t.other.once, optimisers = { t.other.optimiser }, rngs = t.other.rngs }
      t.beside(mien.ones { 4, 6 }, mien.ones { 4, 2 })
      mien.no_grad(function() t.model(mien.ones { 3, 6 }:to "cuda"):free() end)]], 10 },
  }
  for _, scenario in ipairs(scenarios) do
    it(scenario[1], function()
      assert.equal(("same %d"):format(scenario[3]), (run("same(function(t, i) " .. scenario[2] .. " end)"):gsub(" $", "")))
    end)
  end

  it("with dropout's default stream; op by op when dropout draws from one that they were not told of", function()
    assert.equal("same 10 same 10 0 every step is launched op by op: it draws from a random stream that is not among "
      .. "its rngs", run [[
        local function default(t)
          t.rng = mien.rng.default "dropout"
          t.rng.counter = 0
          t.rngs = { given = t.rng }
          t.model:use_rng(t.rng)
        end
        same(nil, default)
        same(nil, function(t) default(t) t.rngs = nil end)
        local _, t = go(true, nil, function(t) t.rngs = nil end)
        print(t.replays, t.said[1])]])
  end)
end)

describe("captures of several shapes", function()
  -- activations of 512 KiB a layer at 2000 rows
  local SHAPES = [[
    local nn = mien.nn
    local function most(sizes)
      local model = nn.sequential { nn.linear { 8, 64 }, nn.relu(), nn.linear { 64, 64 }, nn.relu(),
        nn.linear { 64, 2 } }:to "cuda"
      local optimiser = mien.optim.adam(model:parameters(), { lr = 1e-2 })
      collectgarbage() collectgarbage()
      C.mien_memory_trim(C.MIEN_DEVICE_CUDA)
      local before, largest, calls = held(), 0, 0
      local step = mien.capture { function(x, y)
        optimiser:zero_grad()
        local loss = mien.loss.mse(model(x), y)
        loss:backward()
        optimiser:step()
        return loss
      end, optimisers = { optimiser } }
      for _, rows in ipairs(sizes) do
        for _ = 1, 4 do step(mien.zeros { rows, 8 }, mien.zeros { rows, 2 }) end
        largest = math.max(largest, held() - before)
        calls = calls + 2
      end
      assert(step:replays() == calls)
      step:close()
      optimiser:zero_grad()
      C.mien_memory_trim(C.MIEN_DEVICE_CUDA)
      return largest, held() - before
    end
  ]]

  it("share the memory of the largest, and give it back", function()
    local one, several, left = run(SHAPES .. "print((most { 4000 }), most { 4000, 2100, 3000, 1000, 500 })")
      :match "(%d+) (%d+) (%d+)"
    assert.is_true(several / one < 1.35, several .. " bytes, " .. one .. " for the largest alone")
    assert.is_true(left / one < 0.1, left .. " bytes are left of " .. several)
  end)
end)
