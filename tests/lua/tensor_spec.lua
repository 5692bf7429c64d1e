-- Tensors in Lua: making them, arithmetic, views, elements, errors.
-- Not here: printing (print_spec), letting go (scope_spec), each op's numbers (tests/backend).
local expect = require "expect"
local mien = require "mien"
local tensor = mien.tensor

describe("making tensors", function()
  it("takes nested tables, f32 unless told otherwise", function()
    local t = tensor { { 1, 2, 3 }, { 4, 5, 6 } }
    assert.are.equal("f32", t.dtype)
    assert.are.equal("cpu", t.device)
    expect.shape({ 2, 3 }, t)
    assert.are.same({ { 1, 2, 3 }, { 4, 5, 6 } }, t:totable())
    assert.are.equal("i64", tensor({ 1, 2 }, { dtype = "i64" }).dtype)
    assert.are.equal("f64", tensor({ 1, 2, dtype = "f64" }).dtype)
    assert.are.equal(0, tensor(5).ndim)
    assert.are.equal(5, tensor(5):item())
  end)

  it("fills with zeros, ones, a value, a range", function()
    assert.are.same({ { 0, 0 } }, mien.zeros { 1, 2 }:totable())
    assert.are.same({ 1, 1, 1 }, mien.ones(3):totable())
    assert.are.same({ 2.5, 2.5 }, mien.full({ 2 }, 2.5):totable())
    assert.are.same({ 1, 2, 3 }, mien.arange(3):totable())
    assert.are.same({ 1, 0.5, 0 }, mien.arange(1, 0, -0.5):totable())
    assert.are.equal("u8", mien.zeros({ 2 }, { dtype = "u8" }).dtype)
    assert.are.equal("u8", mien.zeros({ 2, dtype = "u8" }).dtype)
  end)

  it("draws from the stream that is given", function()
    local a = mien.randn { 3, rng = mien.rng.stream(7, "x") }
    local b = mien.randn({ 3 }, { rng = mien.rng.stream(7, "x") })
    assert.are.same(a:totable(), b:totable())
  end)

  it("says what is wrong with a table", function()
    expect.failure(function() tensor { { 1, 2 }, { 3 } } end, "ragged", "dimension 2 has size 2", "has 1")
    expect.failure(function() tensor { 1, "two" } end, "must be numbers", '"two"')
    expect.failure(function() mien.zeros { 2, dtpye = "f64" } end, 'unknown key "dtpye"', '"dtype"')
    expect.failure(function() mien.zeros { 2, dtype = "f33" } end, 'unknown value "f33"', '"f32"')
    expect.failure(function() mien.zeros { 2, -1 } end, "size 2", "-1")
    expect.failure(function() mien.zeros { 1, 1, 1, 1, 1, 1, 1 } end, "at most 6 dimensions")
    expect.failure(function() mien.zeros({ 2 }, "f64") end, 'zeros: options must be a table, got the text "f64"')
    expect.failure(function() tensor({ 2 }, "f64") end, 'tensor: options must be a table, got the text "f64"')
    expect.failure(function() mien.arange(1, 10, 0) end, "from 1 to 10 in steps of 0 has no end")
    expect.failure(function() mien.arange "9" end, "arange: last must be a number")
  end)
end)

describe("arithmetic", function()
  it("divides by a number, and a number, without a reciprocal", function()
    for _, backend in ipairs { "ref", "cpu" } do
      mien.backend.use(backend)
      for n = 1, 100 do
        assert.equal(1, (mien.tensor { n } / n):item())
        assert.equal(1, (n / mien.tensor { n }):item())
      end
    end
    mien.backend.use "cpu"
  end)

  local a, b = tensor { { 1, 2 }, { 3, 4 } }, tensor { 10, 20 }

  it("works with numbers on either side", function()
    assert.are.same({ { 2, 3 }, { 4, 5 } }, (a + 1):totable())
    assert.are.same({ { 0, 1 }, { 2, 3 } }, (a - 1):totable())
    assert.are.same({ { 0, -1 }, { -2, -3 } }, (1 - a):totable())
    assert.are.same({ { 2, 4 }, { 6, 8 } }, (2 * a):totable())
    assert.are.same({ { 0.5, 1 }, { 1.5, 2 } }, (a / 2):totable())
    expect.elements({ { 12, 6 }, { 4, 3 } }, 12 / a)
    assert.are.same({ { 1, 4 }, { 9, 16 } }, (a ^ 2):totable())
    assert.are.same({ { -1, -2 }, { -3, -4 } }, (-a):totable())
  end)

  it("broadcasts as NumPy does", function()
    assert.are.same({ { 11, 22 }, { 13, 24 } }, (a + b):totable())
    assert.are.same({ { 10, 40 }, { 30, 80 } }, (a * b):totable())
    local column = tensor { { 1 }, { 2 } }
    assert.are.same({ { 11, 21 }, { 12, 22 } }, (column + b):totable())
    expect.failure(function() return a + tensor { 1, 2, 3 } end, "[2,2]", "[3]")
  end)

  it("reduces over everything or over one 1-based dimension", function()
    assert.are.equal(10, a:sum():item())
    assert.are.same({ 4, 6 }, a:sum(1):totable())
    assert.are.same({ 3, 7 }, a:sum(-1):totable())
    assert.are.same({ { 1.5 }, { 3.5 } }, a:mean(2, { keep = true }):totable())
    assert.are.same({ 3, 4 }, a:max(1):totable())
    assert.are.same({ 1, 2 }, a:min(1):totable())
    expect.failure(function() a:sum(3) end, "dimension 3", "1 to 2")
    expect.failure(function() a:sum(0) end, "dimension 0", "1 to 2")
  end)

  it("joins tensors, also more than one op takes", function()
    assert.are.same({ { 1, 2 }, { 3, 4 }, { 1, 2 }, { 3, 4 } }, mien.cat({ a, a }):totable())
    assert.are.same({ { 1, 2, 1, 2 }, { 3, 4, 3, 4 } }, mien.cat({ a, a }, 2):totable())
    expect.shape({ 2, 2, 2 }, mien.stack { a, a })
    local many = {}
    for i = 1, 70 do many[i] = tensor { i } end
    assert.are.same(mien.arange(70):totable(), mien.cat(many):totable())
  end)

  it("takes tensors and numbers only", function()
    expect.failure(function() return a + "1" end, 'the text "1"', "only tensors and numbers")
    expect.failure(function() return a * {} end, "a table")
    expect.failure(function() return a ^ a end, "^")
  end)
end)

describe("views", function()
  it("share elements with their tensor", function()
    local t = mien.zeros { 2, 3, 4 }
    t[1]:fill_(1)
    t:select(2, 3):fill_(2)
    t:select(3, -1):fill_(3)
    t:narrow(1, 2, 1):narrow(2, 1, 1):fill_(4)
    t:transpose(1, 3)[2]:select(1, 2):fill_(5)
    assert.are.same({
      { { 1, 1, 1, 3 }, { 1, 5, 1, 3 }, { 2, 2, 2, 3 } },
      { { 4, 4, 4, 4 }, { 0, 5, 0, 3 }, { 2, 2, 2, 3 } },
    }, t:totable())
  end)

  it("have the shapes that they should", function()
    local t = mien.zeros { 2, 3, 4 }
    expect.shape({ 3, 4 }, t[2])
    expect.shape({ 2, 4 }, t:select(2, 1))
    expect.shape({ 4, 2, 3 }, t:permute { 3, 1, 2 })
    expect.shape({ 4, 3, 2 }, t:transpose(1, 3))
    expect.shape({ 6, 4 }, t:reshape { 6, -1 })
    expect.shape({ 24 }, t:flatten())
    expect.shape({ 2, 12 }, t:flatten(2))
    assert.are.equal(2, #t)
    assert.are.equal(4, t:size(-1))
  end)

  it("keep row-major order through a permutation", function()
    local t = tensor { { 1, 2, 3 }, { 4, 5, 6 } }
    assert.are.same({ 1, 4, 2, 5, 3, 6 }, t:transpose():reshape { 6 }:totable())
  end)

  it("name positions that are not there", function()
    local t = mien.zeros { 2, 3 }
    expect.failure(function() return t[3] end, "position 3", "1 to 2")
    expect.failure(function() return t[0] end, "position 0", "1 to 2")
    expect.failure(function() t:narrow(2, 2, 3) end, "first 2, length 3", "1 to 3")
    expect.failure(function() t:reshape { 4, 2 } end, "[2,3]", "[4,2]")
    expect.failure(function() t:permute { 1 } end, "2 dimensions")
  end)
end)

describe("elements", function()
  it("are read and written by position", function()
    local t = tensor { { 1, 2 }, { 3, 4 } }
    assert.are.equal(3, t:at(2, 1))
    assert.are.equal(4, t[2][2])
    t[1] = { 7, 8 }
    t[2] = 9
    t[1][2] = 5
    assert.are.same({ { 7, 5 }, { 9, 9 } }, t:totable())
    t[2] = t[1]
    assert.are.same({ { 7, 5 }, { 7, 5 } }, t:totable())
  end)

  it("are written from the end by negative positions, as they are read", function()
    local t = mien.zeros { 3, 2 }
    t[-1] = 4
    t[-2] = { 5, 6 }
    expect.elements({ { 0, 0 }, { 5, 6 }, { 4, 4 } }, t)
    expect.failure(function() t[4] = 1 end, "position 4 is not one of 1 to 3")
  end)

  it("lie behind a typed pointer", function()
    local t = tensor { 1.5, 2.5 }
    local p = t:data()
    assert.are.equal(2.5, p[1])
    p[0] = 4
    assert.are.equal(4, t:at(1))
    assert.are.equal(3, tonumber(tensor({ 3 }, { dtype = "i64" }):data()[0]))
  end)

  it("convert between dtypes", function()
    local t = tensor { 1.75, -2.25 }
    assert.are.same({ 1, -2 }, t:to "i32":totable())
    assert.are.same({ 1.75, -2.25 }, t:to "f64":to "f32":totable())
    local bytes = tensor({ -300, -2.5, 127 }, { dtype = "i8" })
    assert.are.same({ -128, -2, 127 }, bytes:totable())
    assert.are.equal(-2, bytes:data()[1])
    local copy = t:clone()
    copy:fill_(0)
    assert.are.same({ 1.75, -2.25 }, t:totable())
  end)

  it("summarise", function()
    local mean, sd, low, high, strange = tensor { 1, 2, 3, 4 }:summary()
    expect.near(2.5, mean)
    expect.near(math.sqrt(1.25), sd)
    assert.are.same({ 1, 4, 0 }, { low, high, strange })
    assert.is_false(tensor { 1, 0 / 0 }:is_finite())
  end)
end)

describe("misuse", function()
  it("of a freed tensor is an error that says so", function()
    local t = mien.zeros { 2, 2 }
    t:free()
    expect.failure(function() return t + 1 end, "freed")
    expect.failure(function() return t:totable() end, "freed")
    assert.is_true(t.freed)
    assert.are.equal("f32[2,2] cpu (freed)", tostring(t))
  end)

  it("of names gives the nearest one", function()
    expect.failure(function() return mien.zeros({ 1 }).shap end, '"shap"', '"shape"')
    expect.failure(function() return mien.tenser end, '"tenser"', '"tensor"')
    expect.failure(function() return mien.nn.linaer end, '"linaer"', '"linear"')
    expect.failure(function() return mien.op.conv2 end, '"conv2"', '"conv2d"')
    expect.failure(function() mien.zeros({ 1 }).size = 3 end, "cannot be assigned")
  end)

  it("of ops names op and argument", function()
    local x, w = mien.zeros { 8, 32, 1024 }, mien.zeros { 256, 2048 }
    expect.failure(function() mien.op.linear(x, w) end, "linear", "[8,32,1024]", "2048")
    expect.failure(function() mien.op.linear(x) end, "linear: weight is missing")
    expect.failure(function() mien.op.linear(x, 3) end, "linear: weight must be a tensor, got 3")
    expect.failure(function() mien.op.affine(x, { scael = 2 }) end, '"scael"', '"scale"')
    expect.failure(function() mien.op.power(x) end, "attribute exponent is missing")
    expect.failure(function() mien.op.affine(x, { scale = "2" }) end, "scale must be a number")
    expect.failure(function() mien.op.affine(x, 2) end, "affine: attributes must be a table, got 2")
    expect.failure(function() x:requires_grad_():sum():backward(2) end, "backward: seed must be a tensor, got 2")
  end)

  it("carries code, place and message in the error object", function()
    local err = expect.failure(function() mien.op.matmul(mien.zeros { 2, 3 }, mien.zeros { 2, 3 }) end, "matmul")
    assert.are.equal("shape", err.code)
    assert.is_truthy(err.at:match "tensor_spec.lua:%d+$")
    assert.is_truthy(err.where:match "%.c:%d+$")
    assert.is_true(mien.check.is_error(err))
  end)
end)
