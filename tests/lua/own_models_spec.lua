-- Errors inside somebody's own modules: where, in which module, and who called it.
-- Not here: the messages of ops and layers (refused_shapes_spec.lua), the tracebacks of scopes (scope_spec.lua).
local mien = require "mien"
local check = require "mien.base.check"
local expect = require "tests.lua.expect"
local nn = mien.nn

local here = debug.getinfo(1, "S").short_src

--- The line on which this is called.
local function line() return debug.getinfo(2, "l").currentline end

local attnet = nn.define "attnet"
local tail = line() + 1
function attnet:forward(x)
  local y = self.body(x)
  return self.head(y) -- a tail call: this function is gone from the stack when the head fails
end

local gate = nn.define "gate"
local gate_line = line() + 2
function gate:forward(x)
  local y = x * self.inner(x):matmul(x)
  return y
end

local blank = nn.define "blank"
function blank:forward(x)
  local y = self.nothing.weight * x
  return y
end

local function net(head)
  local self = attnet.create {}
  self:add("body", nn.sequential { nn.linear { 4, 8 }, nn.relu() })
  self:add("head", head)
  return self
end

describe("an error inside somebody's own module", function()
  it("names the module by its path, and the module's file, also after a tail call", function()
    local m = net(nn.linear { 7, 2 })
    local called = line() + 1
    local err = expect.failure(function() local y = m(mien.zeros { 3, 4 }) return y end, "linear",
      "\n  in attnet.head (linear 7, 2)")
    assert.equal(("%s:%d"):format(here, tail), err.at)
    assert.equal(("%s:%d"):format(here, called), err.from[1])
  end)

  it("names the line where there is one", function()
    local inner = gate.create {}
    inner:add("inner", nn.linear { 8, 8 })
    local err = expect.failure(function() local y = net(inner)(mien.zeros { 3, 4 }) return y end, "matmul",
      "in attnet.head (gate)")
    assert.equal(("%s:%d"):format(here, gate_line), err.at)
    assert.equal(("%s:%d"):format(here, tail), err.from[1])
  end)

  it("names layers inside layers", function()
    local m = net(nn.linear { 8, 2 })
    expect.failure(function() local y = m(mien.zeros { 3, 5 }) return y end, "in attnet.body.0 (linear 4, 8)")
  end)

  it("names the module of an error of Lua, which keeps its traceback", function()
    local m = net(blank.create {})
    local ok, err = xpcall(function() local y = m(mien.zeros { 3, 4 }) return y end, check.trace)
    assert.is_false(ok)
    assert.matches("attempt to index field 'nothing'", err)
    assert.equal("attnet.head (blank)", check.inside(err))
    assert.matches("stack traceback", check.traceback(err))
  end)

  it("says nothing of modules where none is computed", function()
    assert.is_nil(expect.failure(function() nn.linear { 7 } end, "nn.linear").inside)
  end)

  it("reaches the terminal with the places that called it", function()
    local path = os.tmpname() .. ".lua"
    local file = assert(io.open(path, "w"))
    file:write [[
local mien = require "mien"
local net = mien.nn.define "net"
function net:forward(x)
  return self.head(x)
end
local m = net.create {}
m:add("head", arg[1] and net.create {} or mien.nn.linear { 7, 2 })
local y = m(mien.zeros { 3, 4 })
print(y)
]]
    file:close()
    local function run(arguments)
      local pipe = io.popen(("'%s' %s %s 2>&1"):format(os.getenv "MIEN" or "build/mien", path, arguments))
      local text = pipe:read "*a"
      pipe:close()
      return text
    end
    local refused, broken = run "", run "broken"
    os.remove(path)
    assert.matches("%.lua:3: linear: .*\n  in net%.head %(linear 7, 2%)\n  called from .*%.lua:8\n", refused)
    assert.matches("\n  in net%.head %(net%)\n", broken)
  end)
end)
