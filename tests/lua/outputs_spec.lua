-- What a network says is measured before it is read: one row of its named outputs for every frame.
-- Not here: whole experiments (experiment_spec.lua), scores (metric_spec.lua).
local mien = require "mien"
local expect = require "tests.lua.expect"
local evaluate = require "mien.train.evaluate"
local predict = require "mien.train.predict"

describe("outputs", function()
  local frames = mien.zeros { 2, 5, 3, 8, 8 }

  it("are read when they have a row for every frame", function()
    local values = evaluate.outputs(mien.full({ 2, 5, 2 }, 0.5), frames, { "arousal", "valence" })
    assert.equal(0.5, values[19])
    assert.equal(0.5, evaluate.outputs(mien.full({ 10, 2 }, 0.5), frames, { "arousal", "valence" })[19])
  end)

  it("are refused with both shapes when they have not", function()
    for shape, text in pairs { [{ 2, 1, 2 }] = "[2,1,2]", [{ 2, 5, 3 }] = "[2,5,3]", [{ 20 }] = "[20]",
      [{ 2, 2, 5 }] = "[2,2,5]" } do
      expect.failure(function() evaluate.outputs(mien.zeros(shape), frames, { "arousal", "valence" }) end, text,
        "[2,5,3,8,8]", "wanted is [2,5,2]", "arousal, valence")
    end
    expect.failure(function() evaluate.outputs({}, frames, { "arousal" }) end, "what the network returns must be a tensor")
  end)

  it("of a weights file that names more or fewer of them are refused in prediction", function()
    local model = setmetatable({ place = function(_, x) return x end, device = "cpu" },
      { __call = function(_, x) return mien.full({ x:size(1), x:size(2), 2 }, 0.25) end })
    local network = { model = model, size = { 4, 4 }, resize = { 4, 4 }, face = { 4, 4 }, sequence = 3,
      scale = { mean = { 0, 0, 0 }, sd = { 1, 1, 1 } }, grey = false, kind = "continuous",
      outputs = { "arousal", "valence" } }
    local crops = {}
    for i = 1, 3 do crops[i] = mien.zeros({ 4, 4, 3 }, { dtype = "u8" }) end
    assert.same({ { 0.25, 0.25 }, { 0.25, 0.25 }, { 0.25, 0.25 } }, predict.window(network, crops))
    for _, names in ipairs { { "arousal" }, { "a", "b", "c" } } do
      network.outputs = names
      expect.failure(function() predict.window(network, crops) end, "[1,3,2]", ("[1,3,%d]"):format(#names))
    end
  end)
end)
