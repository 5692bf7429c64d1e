-- Convolutions for which the CPU's library has no kernel: the reference's loops serve them, and that is said.
-- Not here: numbers of ordinary convolutions (tests/backend), large calls that are left to ref.
local ffi = require "ffi"
local mien = require "mien"
local C = require "mien.base.ffi"

local function notices()
  local text, all = ffi.new "char[640]", {}
  while C.mien_notice_take(text, 640) do all[#all + 1] = ffi.string(text) end
  return table.concat(all, "\n")
end

--- Output and gradients of a convolution, and the backends that served it.
local function convolve(backend, x, weight, stride, padding)
  mien.backend.use(backend)
  x, weight = x:clone():requires_grad_(), weight:clone():requires_grad_()
  local y
  local rows = mien.profile(function()
    y = mien.op.conv2d(x, weight, nil, { stride_h = stride, stride_w = stride, pad_top = padding, pad_bottom = padding,
      pad_left = padding, pad_right = padding })
    y:sum():backward()
  end)
  mien.backend.use "cpu"
  local served = {}
  for _, row in ipairs(rows) do
    if row.op:find "^conv2d" then served[row.op] = row.backend end
  end
  return { y, x.grad, weight.grad }, served
end

describe("a convolution that the library has no kernel for", function()
  it("is served by ref, forward and backward, with a notice", function()
    notices()
    local left = 0
    -- channels, kernel, stride, padding, size: padding around a 1x1 kernel, kernels much larger than the picture
    local cases = { { 1, 1, 1, 1, 1 }, { 2, 1, 1, 7, 1 }, { 3, 7, 2, 20, 4 }, { 1, 31, 1, 20, 4 }, { 3, 15, 1, 7, 1 } }
    for _, case in ipairs(cases) do
      local c, k, stride, padding, size = unpack(case)
      local x, weight = mien.randn { 2, c, size, size }, mien.randn { 6, c, k, k }
      local got, served = convolve("cpu", x, weight, stride, padding)
      local said = notices()
      local right = convolve("ref", x, weight, stride, padding)
      for i = 1, 3 do
        local error = (got[i] - right[i]):abs():max():item() / (1 + right[i]:abs():max():item())
        assert.is_true(error < 1e-5, ("case of %s, result %d: %g"):format(table.concat(case, ", "), i, error))
      end
      local ref = served.conv2d == "ref" or served["conv2d'"] == "ref"
      assert.equal(ref, said:find("the reference's loops serve it", 1, true) ~= nil, table.concat(case, ", ") .. ": " .. said)
      if ref then left = left + 1 end
    end
    assert.is_true(left > 0, "the library served every case: none of them tests what is left to ref")
  end)
end)
