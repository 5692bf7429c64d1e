-- End2You's HDF5 files: each label with the first frame of its step or with all of them, black steps, partitions by folder.
-- Not here: other forms.
local dataset = require "tests.lua.dataset_forms"
local file = require "mien.data.file"
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local end2you = dofile(here .. "../../datasets/end2you.lua")
local folder = tiny.folder()
local says, has_note = dataset.says, dataset.has_note

teardown(function() tiny.drop(folder) end)

--- T steps of n frames of 4x6 pixels, whose red is 10 step + frame; steps in `black` are black.
local function write(name, steps, inside, black, change)
  os.execute(("mkdir -p '%s'"):format((folder .. "/" .. name):match "^(.*)/"))
  local visual, labels = mien.zeros { steps, inside, 3, 4, 6 }, mien.zeros { steps, 2 }
  local pixels, at = visual:data(), 0
  for s = 1, steps do
    for f = 1, inside do
      for c = 1, 3 do
        for _ = 1, 24 do
          pixels[at] = black and black[s] and 0 or c == 1 and 10 * s + f or 100 + c
          at = at + 1
        end
      end
    end
  end
  local values = labels:data()
  for s = 1, steps do values[2 * s - 2], values[2 * s - 1] = s / 10, -s / 10 end
  local h5 = file.create(folder .. "/" .. name)
  h5:write("visual", visual)
  h5:write("labels", labels)
  h5:set("label_names", { "arousal", "valence" })
  h5:set("num_samples", inside)
  if change then change(h5) end
  h5:finish()
end

describe("End2You's files", function()
  it("give each label the first frame of its step, and partitions by their folders", function()
    write("tree/train/one.hdf5", 5, 3, { [3] = true })
    write("tree/valid/two.hdf5", 4, 3)
    local result = end2you.make { from = folder .. "/tree", step = 0.2, size = 4, out = folder .. "/c.h5" }
    assert.are.same({ 2, 9, 5 }, { result.recordings, result.frames, result.fps })
    has_note(result.notes, "one: no box of the face in 1 of 5 frames")
    local c = mien.data.open(folder .. "/c.h5")
    assert.are.same({ "arousal", "valence" }, c.label_names)
    local r = c.recordings[1]
    assert.are.same({ "one", "train", 5 }, { r.name, r.partition, r.count })
    assert.equal("devel", c.recordings[2].partition)
    local labels, faces = c:labels(r.first, 5):totable(), c:faces(r.first, 5):totable()
    for i = 1, 5 do
      local shown = i == 3 and 2 or i
      assert.equal(10 * shown + 1, c:pixels(r.first + i - 1, 1):totable()[1][1][1][1])
      assert.is_near(i / 10, labels[i][1], 1e-6)
      assert.is_near(-i / 10, labels[i][2], 1e-6)
      assert.equal(i == 3 and 0 or 1, faces[i])
    end
    assert.is_near(0.8, c:times(r.first, 5):totable()[5], 1e-9)
    c:close()
  end)

  it("give every frame its step's label when asked", function()
    write("all/a.hdf5", 2, 3)
    write("all/b.hdf5", 2, 3)
    local result = end2you.make { from = folder .. "/all", step = 0.1, size = 4, all = true, shares = { 0.5, 0.5 },
      out = folder .. "/all.h5" }
    assert.are.same({ 12, 30 }, { result.frames, math.floor(result.fps + 0.5) })
    local c = mien.data.open(folder .. "/all.h5")
    local labels = c:labels(1, 6):totable()
    for i = 1, 6 do
      local step = math.floor((i - 1) / 3) + 1
      assert.equal(10 * step + (i - 1) % 3 + 1, c:pixels(i, 1):totable()[1][1][1][1])
      assert.is_near(step / 10, labels[i][1], 1e-6)
    end
    c:close()
  end)

  it("are refused with the file where they are others", function()
    local o = { from = folder .. "/bad", step = 0.1, size = 4, out = folder .. "/bad.h5" }
    write("bad/a.hdf5", 2, 3, nil, function(h5) h5:set("label_names", { "arousal" }) end)
    says("a.hdf5:1: 1 label_names for 2 columns", end2you.make, o)
    os.remove(folder .. "/bad/a.hdf5")
    local h5 = file.create(folder .. "/bad/a.hdf5")
    h5:write("raw", mien.zeros { 2 })
    h5:finish()
    says("a.hdf5:1: no dataset visual", end2you.make, o)
    says("step is 0 s", end2you.make, { from = folder .. "/bad", step = 0, out = "x.h5" })
    says("there is no folder", end2you.make, { from = folder .. "/none", step = 1, out = "x.h5" })
  end)
end)
