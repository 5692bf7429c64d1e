-- What many specs need: numbers that are near, tensors that are equal, errors with a wording.
-- Not here: tests.
local assert = require "luassert"

local expect = {}

--- |got - want| is at most `tolerance` (1e-6 when left out).
function expect.near(want, got, tolerance)
  local far = math.abs(got - want)
  assert.is_true(far <= (tolerance or 1e-6), ("%.9g is not near %.9g"):format(got, want))
end

--- A tensor has the elements of a nested table.
function expect.elements(want, t, tolerance)
  local function compare(a, b)
    if type(a) == "number" then return expect.near(a, b, tolerance) end
    assert.are.equal(#a, #b)
    for i = 1, #a do compare(a[i], b[i]) end
  end
  compare(want, t:totable())
end

function expect.shape(want, t)
  assert.are.same(want, t.shape)
end

--- fn fails with an error whose text holds every one of the plain texts; returns the error.
function expect.failure(fn, ...)
  local ok, err = pcall(fn)
  assert.is_false(ok, "no error came")
  for _, text in ipairs { ... } do
    assert.is_true(tostring(err):find(text, 1, true) ~= nil, ("%q does not say %q"):format(tostring(err), text))
  end
  return err
end

return expect
