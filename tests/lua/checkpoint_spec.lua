-- Weight files: round trip, what travels with them, broken files.
-- Not here: matching names (nn_spec), the state of a training run.
local expect = require "expect"
local mien = require "mien"
local nn, checkpoint = mien.nn, mien.checkpoint

local path = os.tmpname() .. ".h5"

local function model()
  return nn.sequential { nn.conv2d { 3, 4, 3 }, nn.batch_norm { 4 }, nn.linear { 4, 2 } }
end

after_each(function()
  os.remove(path)
  os.remove(path .. ".partial")
end)

describe("a weight file", function()
  it("gives back every parameter and buffer in order, with its meta", function()
    local m = model()
    m[2].running_var:fill_(3)
    checkpoint.save_weights(path, m, {
      note = "example", image_size = 150, scale_mean = { 0.485, 0.456, 0.406 }, outputs = { "a", "b c" },
    })
    local file = checkpoint.load_weights(path)
    assert.are.equal("example", file.meta.note)
    assert.are.same({ 150, 150 }, file.meta.image_size)
    assert.are.same({ 0.485, 0.456, 0.406 }, file.meta.scale_mean)
    assert.are.same({ "a", "b c" }, file.meta.outputs)
    for i, entry in ipairs(m:state()) do
      assert.are.equal(entry.name, file.tensors[i][1])
      assert.are.same(entry.tensor:totable(), file.tensors[i][2]:totable())
    end
    local other = model()
    other:load(file.tensors)
    assert.are.same(m[1].weight:totable(), other[1].weight:totable())
    assert.are.equal(3, other[2].running_var:at(1))
    assert.are.same(file.meta, checkpoint.read_meta(path))
  end)

  it("that is truncated, foreign or missing is an error that names it", function()
    checkpoint.save_weights(path, model())
    local whole = assert(io.open(path, "rb")):read "*a"
    local cut = assert(io.open(path, "wb"))
    cut:write(whole:sub(1, math.floor(#whole / 2)))
    cut:close()
    expect.failure(function() checkpoint.load_weights(path) end, path, "truncated")
    local text = assert(io.open(path, "wb"))
    text:write "no weights here"
    text:close()
    expect.failure(function() checkpoint.load_weights(path) end, path)
    local h5 = require("mien.data.file").create(path)
    h5:set("mien_format", "weights")
    h5:finish()
    expect.failure(function() checkpoint.load_weights(path) end, path, "has no list 'order'")
    expect.failure(function() checkpoint.load_weights "no/such/file.h5" end, "no/such/file.h5")
    expect.failure(function() checkpoint.save_weights("no/such/folder/w.h5", model()) end, "no/such/folder/w.h5")
  end)

  it("stays as it was when writing a new one fails", function()
    checkpoint.save_weights(path, model(), { round = 1 })
    expect.failure(function() checkpoint.save_weights(path, model(), { bad = print }) end, "meta.bad", "a function")
    assert.are.equal(1, checkpoint.read_meta(path).round)
    assert.is_nil(io.open(path .. ".partial"))
  end)
end)
