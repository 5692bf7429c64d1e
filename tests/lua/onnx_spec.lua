-- Networks from ONNX files: the same numbers as onnxruntime (tests/golden/graphs.py), gradients, use as an extractor,
-- refusals.
-- Not here: their tensors alone, writing such files (foreign_weights_spec.lua).
local mien = require "mien"
local expect = require "tests.lua.expect"
local golden = require "tests.lua.golden" "graphs.txt"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local GRAPH, SEQUENCE = here .. "../golden/weights/graph.onnx", here .. "../golden/weights/sequence.onnx"

local function input(...)
  local t = mien.zeros { ... }
  local values = t:data()
  for i = 0, t:count() - 1 do values[i] = math.sin(0.37 * i) end
  return t
end

local function near(want, y)
  local got = y:reshape({ y:count() }):totable()
  assert.equal(#want, #got)
  for i, value in ipairs(want) do expect.near(value, got[i], 2e-6) end
end

describe("a network from an ONNX file", function()
  it("computes what onnxruntime computes", function()
    local net = mien.models.onnx(GRAPH)
    net:train(false)
    near(golden.graph, net(input(2, 3, 9, 9)))
    local sequence = mien.models.onnx { SEQUENCE }
    sequence:train(false)
    near(golden.sequence, sequence(input(5, 3, 5, 5)))
    near(golden.sequence, sequence(input(5, 3, 5, 5))) -- what it lets go of is none of its own
  end)

  it("is trained: its tensors are parameters, batch norm's statistics are not", function()
    mien.seed(2)
    local net = mien.models.onnx(GRAPH)
    local names = {}
    for _, entry in ipairs(net:buffers()) do names[#names + 1] = entry[1] end
    assert.same({ "norm.running_mean", "norm.running_var" }, names)
    local x, target = input(2, 3, 9, 9), mien.tensor({ 1, 3 }, { dtype = "i32" })
    local optimiser = mien.optim.adam(net:parameters(), { lr = 1e-2 })
    local first, last
    for _ = 1, 30 do
      mien.scope(function()
        optimiser:zero_grad()
        local loss = mien.loss.softmax_cross_entropy(net(x), target)
        loss:backward()
        optimiser:step()
        last = loss:item()
        first = first or last
      end)
    end
    assert.is_true(last < 0.8 * first, ("%g, then %g"):format(first, last))
    -- a gradient by finite differences, at test
    net:train(false)
    local weight = net:parameters()[1][2]
    local function loss() return mien.loss.softmax_cross_entropy(net(x), target) end
    net:zero_grad()
    loss():backward()
    local analytic = weight.grad:totable()[1][1][1][1]
    local value, step = weight:at(1, 1, 1, 1), 1e-2
    local sides = {}
    for i, d in ipairs { step, -step } do
      weight:detach():data()[0] = value + d
      sides[i] = loss():item()
    end
    expect.near((sides[1] - sides[2]) / (2 * step), analytic, 2e-3)
  end)

  it("serves as an extractor from a tensor inside it, and comes back from a file of weights", function()
    local output
    for _, node in ipairs(mien.models.onnx(GRAPH).nodes) do
      if node.op == "Flatten" or node.op == "Reshape" then output = node.outputs[1] end
    end
    local features = mien.models.onnx { GRAPH, output = output, size = 9 }
    assert.equal(20, features.features_out)
    local net = mien.models.framewise { features = features, outputs = { "a", "b" } }
    net:train(false)
    local path = os.tmpname()
    mien.checkpoint.save_weights(path, net)
    local again = mien.models.from_weights(path)
    assert.equal(0, (net(input(2, 3, 9, 9)) - again(input(2, 3, 9, 9))):abs():max():item())
    os.remove(path)
  end)

  it("is refused where an operator or a form of one is not there, with its place", function()
    local text = require "mien.base.read"(GRAPH)
    local path = os.tmpname() .. ".onnx"
    local function with(from, to)
      local out = assert(io.open(path, "wb"))
      local changed, n = text:gsub(from, to, 1)
      assert(n == 1)
      out:write(changed)
      out:close()
      return path
    end
    expect.failure(function() mien.models.onnx(with("\4Relu", "\4Rely")) end, path, "mien has no operator for Rely at ")
    expect.failure(function() mien.models.onnx { GRAPH, output = "nothing" } end, "no operator of", "nothing")
    expect.failure(function() mien.models.onnx { GRAPH, sha256 = "0" } end, "another file")
    expect.failure(function() mien.models.onnx { GRAPH, size = 9, output = "x" } end, "an extractor gives [N,F]")
    expect.failure(function() mien.models.onnx(here .. "../golden/graphs.py") end, "no ONNX file")
    os.remove(path)
  end)
end)
