-- What of a function and of its source makes a run another one.
-- Not here: runs (runs_spec.lua).
local mien = require "mien"
local code = require "mien.results.code"
local source = require "mien.results.source"

describe("a source", function()
  it("is its tokens: comments, blanks and line breaks do not count, texts do", function()
    local one = source.normal "local a = 'x -- y' --[[ gone\n too ]] .. [[\n--kept]] -- gone\n\nreturn a.b[1],  f(a)"
    assert.equal("local a = 'x -- y' .. [[\n--kept]] return a.b[1], f(a)", one)
    assert.equal(one, source.normal(one))
    assert.not_equal(source.normal "x = 'a--b'", source.normal "x = 'a--c'")
    assert.equal(source.normal "f ( a,b )", source.normal "f(a, --[==[ ]] ]==]\n b)")
  end)

  it("of a function ends where the function ends, and has no name", function()
    local text = "model = function(n)\n  if n then return function() end end\n  for _ = 1, 2 do end\nend, other = 3"
    assert.equal("function(n) if n then return function() end end for _ = 1, 2 do end end", source.of_function(text))
    assert.equal(source.of_function "local function f(n) return n end", source.of_function "x.y = function(n) return n end,")
    local two = "a = function() return 1 end, b = function() return 2 end"
    assert.equal(two, source.of_function(two)) -- none can be told
  end)

  it("differs in a place that is shown", function()
    local old, new = source.difference("conv { kernel = 3, stride = 1 }", "conv { kernel = 5, stride = 1 }")
    assert.matches("kernel = 3", old, 1, true)
    assert.matches("kernel = 5", new, 1, true)
  end)

  it("asks for other files by names that stand in it", function()
    local list, hidden = source.required 'local a = require "net" ; require("x.y") -- require "no"\nrequire(a .. "z")'
    assert.same({ { "require", "net" }, { "require", "x.y" } }, list)
    assert.is_true(hidden)
    assert.is_false(select(2, source.required 'local require = require'))
  end)
end)

-- luacheck: globals MIEN_SPEC_WIDTH
describe("what a function takes from outside", function()
  it("is numbers, texts, tables of such and functions, recursively, as upvalues and as globals", function()
    local width, sizes = 3, { 1, deep = { "a" } }
    local function helper(x) return x * width end
    MIEN_SPEC_WIDTH = 5
    local act = mien.op.relu
    local fn = function(x) return act(helper(x) + sizes[1] + MIEN_SPEC_WIDTH + #string.format("%d", 1)) end
    local got = code.of(fn, "model")
    assert.same({ ["model.helper"] = "function(x) return x * width end", ["model.helper.width"] = 3,
      ["model.sizes.1"] = 1, ["model.sizes.deep.1"] = "a", ["model.MIEN_SPEC_WIDTH"] = 5,
      ["model.act"] = "mien.tensor.op.relu" }, got)
    MIEN_SPEC_WIDTH = nil
  end)

  it("may go round in circles", function()
    local even
    local function odd(n) return n ~= 0 and even(n - 1) end
    even = function(n) return n == 0 or odd(n - 1) end
    assert.equal("as ", code.of(even, "even")["even.odd.even"]:sub(1, 3))
  end)
end)
