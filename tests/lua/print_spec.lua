-- How tensors look when printed.
-- Not here: tables of results.
local mien = require "mien"
local tensor = mien.tensor

describe("printing", function()
  it("shows the elements of small tensors, aligned", function()
    assert.are.equal("f32[2,2] cpu\n[[ 1.5000, -2.0000],\n [10.0000,  0.2500]]",
      tostring(tensor { { 1.5, -2 }, { 10, 0.25 } }))
    assert.are.equal("f32[3] cpu\n[1, 2, 3]", tostring(tensor { 1, 2, 3 }))
    assert.are.equal("i32[2] cpu\n[-1, 10]", tostring(tensor({ -1, 10 }, { dtype = "i32" })))
  end)

  it("leaves a line between the matrices of a cube", function()
    assert.are.equal("f32[2,1,2] cpu\n[[[1, 2]],\n\n [[3, 4]]]", tostring(tensor { { { 1, 2 } }, { { 3, 4 } } }))
  end)

  it("takes exponents where decimals would hide the number", function()
    assert.are.equal("f32[2] cpu\n[1.0000e-05, 2.0000e+00]", tostring(tensor { 1e-5, 2 }))
    assert.are.equal("f32[2] cpu\n[1.0000e-05, 2.0000e-05]", tostring(tensor { 1e-5, 2e-5 }))
  end)

  it("shows NaN and infinity", function()
    local text = tostring(tensor { 0 / 0, 1, 1 / 0, -1 / 0 })
    assert.is_truthy(text:match "nan" and text:match "1" and text:match " inf" and text:match "%-inf")
  end)

  it("sums up large tensors in one line", function()
    local t = mien.zeros { 2, 150, 256 }
    assert.are.equal("f32[2,150,256] cpu  mean 0.000 sd 0.000  (300.0 KiB)", tostring(t))
    t:data()[5] = 0 / 0
    assert.is_truthy(tostring(t):find("1 not finite", 1, true))
  end)

  it("says when there is nothing to show", function()
    assert.are.equal("f32[] cpu  2.5000", tostring(tensor(2.5)))
    assert.are.equal("f32[0,3] cpu (empty)", tostring(mien.zeros { 0, 3 }))
    local t = mien.zeros { 3 }
    t.name = "weight"
    assert.are.equal("f32[3] cpu weight\n[0, 0, 0]", tostring(t))
  end)
end)
