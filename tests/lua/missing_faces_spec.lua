-- Frames without a face in training windows: counted, and windows with too many of them left out when asked.
-- Not here: how such rows come about (dataset_*_spec.lua).
local mien = require "mien"
local expect = require "tests.lua.expect"
local input = require "mien.experiment.input"
local schema = require "mien.experiment.schema"
local tiny = require "tests.lua.tiny"

describe("frames without a face", function()
  local folder = tiny.folder()
  local path = folder .. "/c.h5"
  local c
  setup(function()
    local writer = mien.data.writer(path, { name = "faces", height = 4, width = 4, fps = 25, label_kind = "continuous",
      label_names = { "a" }, source = "tests" })
    for r, without in ipairs { 0, 3, 8 } do -- of the second window's frames
      local face = mien.ones({ 16, dtype = "u8" })
      local values = face:data()
      for i = 8, 8 + without - 1 do values[i] = 0 end
      writer:recording { name = "r" .. r, subject = "s" .. r, partition = "train", face = face,
        frames = mien.zeros({ 16, 4, 4, 3, dtype = "u8" }), labels = mien.zeros { 16, 1 } }
    end
    writer:finish()
    c = mien.data.open(path)
  end)
  teardown(function()
    c:close()
    tiny.drop(folder)
  end)

  local function windows(most)
    local config = { data = { sequence = 8, max_missing = most }, train = { loss = "ccc" } }
    return input.windows(config, c, { train = c.recordings }, 1)
  end

  it("are counted, and all windows used unless data.max_missing says otherwise", function()
    local starts, row = windows(1)
    assert.equal(6, #starts)
    assert.truthy(row.text:find("11 of 48 frames in training windows show no face", 1, true))
    assert.truthy(row.text:find("all windows are used", 1, true))
    local some, said = windows(0.4)
    assert.same({ 5, 5 }, { #some, said.windows })
    assert.truthy(said.text:find("1 of 6 windows have more of them than data.max_missing = 0.4 and are left out", 1, true))
    assert.equal(4, #windows(0))
  end)

  it("are an error where no window is left", function()
    local config = { data = { sequence = 8, max_missing = 0 }, train = { loss = "ccc" } }
    local last = c.recordings[3]
    local only = { { first = last.first + 8, count = 8, name = "r3" } }
    expect.failure(function() input.windows(config, c, { train = only }, 1) end, "1 of 1 windows", "none is left")
  end)

  it("change no run's identity unless they are asked for", function()
    local function text(most)
      local declaration = tiny.declaration(path, {})
      declaration.data.max_missing = most
      return schema.text(schema.resolve(mien.experiment(declaration).declaration, "default"), {}, {})
    end
    assert.equal(text(nil), text(1))
    assert.are_not.equal(text(nil), text(0.5))
    assert.is_nil(text(1):find "max_missing")
  end)
end)
