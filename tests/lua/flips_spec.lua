-- A single flipped bit in a file that mien wrote: no crash, and whoever reads other contents is told.
-- Not here: more of them (`mien tests/fuzz/flips.lua 1000`), files of other programs (tests/c/test_hdf5.c).
local flips = dofile "tests/fuzz/flips.lua"
local tiny = require "tiny"

describe("a flipped bit", function()
  local folder = tiny.folder()
  teardown(function() tiny.drop(folder) end)

  for _, name in ipairs { "corpus", "weights", "checkpoint" } do
    it("in a " .. name .. " file is told or harmless", function()
      local counts, bad = flips.run(name, 20, 5, folder)
      for _, b in ipairs(bad) do error(("bit %d: %s: %s"):format(b.at, b.outcome, b.said)) end
      assert.is_true(counts.told > 10) -- most of what is written is data
    end)
  end
end)
