-- The prompt's parts that need no terminal: evaluation, printing, completion, and a piped session.
-- Not here: keys and Ctrl-C (tests/e2e/prompt.sh).
local complete = require "mien.repl.complete"
local inputs = require "mien.repl.inputs"
local mien = require "mien"
local show = require "mien.repl.show"

local function environment() return inputs.environment {} end

local function run(env, text)
  return inputs.run(assert(inputs.compile(text)), env)
end

describe("an input", function()
  it("is an expression when it can be one", function()
    local values = run(environment(), "1 + 1, nil, 'x'")
    assert.same({ n = 3, 2, nil, "x" }, values)
  end)

  it("is the value of what follows a leading =, as at Lua's own prompt", function()
    local env = environment()
    assert.same({ n = 1, 2 }, run(env, "=1+1"))
    run(env, "x = 5")
    assert.same({ n = 1, 5 }, run(env, " = x"))
    local chunk, _, incomplete = inputs.compile "= math.max(1,"
    assert.is_nil(chunk)
    assert.is_true(incomplete)
    assert.is_nil((inputs.compile "= for i = 1, 2 do end"))
  end)

  it("asks for more lines only while more lines can complete it", function()
    for _, text in ipairs { "for i = 1, 2 do", "f(", "x = {", "return [[", "if a then b()", "function f()" } do
      local chunk, _, incomplete = inputs.compile(text)
      assert.is_nil(chunk)
      assert.is_true(incomplete, text)
    end
    for _, text in ipairs { "x = = 1", "end", "f)", "x = 'a" } do
      local chunk, message, incomplete = inputs.compile(text)
      assert.is_nil(chunk)
      assert.is_false(incomplete, text)
      assert.is_string(message)
    end
  end)

  it("keeps its globals in the session and leaves _G alone", function()
    local env = environment()
    run(env, "some_new_name = 7")
    assert.equal(7, run(env, "some_new_name")[1])
    assert.is_nil(rawget(_G, "some_new_name"))
  end)

  it("has mien and its parts at hand, and Lua's own print and require", function()
    local env = environment()
    assert.equal(mien, run(env, "mien")[1])
    assert.equal(mien.rng, run(env, "rng")[1])
    assert.equal(print, run(env, "print")[1])
    assert.equal(require, run(env, "require")[1])
  end)

  it("points at the line of a longer input that failed", function()
    local text = "function broken()\n  local a\n  return a.b\nend"
    local env = environment()
    run(env, text)
    local values, err, trace = run(env, "broken()")
    assert.is_nil(values)
    local explained = inputs.explain(err, trace)
    assert.truthy(explained:find("attempt to index", 1, true))
    assert.truthy(explained:find("line 3: return a.b", 1, true))
  end)
end)

describe("show", function()
  it("prints lists, names and nested tables on one line when they fit", function()
    local value = { 1, 2, "x", a = { b = true }, ["b c"] = 1 }
    assert.equal('{ 1, 2, "x", a = { b = true }, ["b c"] = 1 }', show.value(value))
  end)

  it("is bounded in entries, depth and width", function()
    local long = {}
    for i = 1, 1000 do long[i] = i end
    assert.truthy(show.value(long):find("... (20 of 1000 shown)", 1, true))
    assert.equal("{ { { { ... } } } }", show.value { { { { { 1 } } } } })
    assert.truthy(show.value { ("a"):rep(60), ("b"):rep(60) }:find "\n")
    assert.is_true(#show.value(("x"):rep(1e6)) < 3000)
  end)

  it("survives a table that holds itself and a __tostring that fails", function()
    local t = {}
    t.t = t
    assert.equal("{ t = { ... (itself) } }", show.value(t))
    assert.truthy(show.value(setmetatable({}, { __tostring = function() error "x" end })):find "fails")
  end)
end)

describe("completion", function()
  it("offers names of the session, parts of mien and keywords", function()
    local env = environment()
    run(env, "my_network = 1")
    assert.same({ "my_network" }, (complete.lua(env, "print(my_n", 10)))
    assert.truthy(table.concat(complete.lua(env, "m", 1), " "):find "metric.*mien")
    assert.same({ "repeat" }, (complete.lua(env, "rep", 3)))
  end)

  it("follows fields and says where the word begins", function()
    local found, start = complete.lua(environment(), "x = string.rep", 14)
    assert.same({ "string.rep" }, found)
    assert.equal(5, start)
  end)

  it("offers methods of tensors after a colon", function()
    local env = environment()
    env.t = mien.zeros { 2, 2 }
    local found = complete.lua(env, "t:narr", 6)
    assert.same({ "t:narrow" }, found)
  end)

  it("never runs code", function()
    local env = environment()
    env.trap = setmetatable({}, { __index = function() error "completion ran code" end })
    assert.same({}, (complete.lua(env, "trap.a.b", 8)))
    assert.same({}, (complete.lua(env, "trap:x", 6)))
  end)

  it("offers files inside an open string and tables in SQL", function()
    assert.same({ "tests/lua/repl_spec.lua" }, (complete.lua(environment(), 'dofile("tests/lua/repl_s', 24)))
    assert.same({ "table5" }, (complete.sql({ "table5", "run" }, "select * from tab", 17)))
  end)
end)
