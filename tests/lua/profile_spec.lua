-- The profile as the workbench and the command line show it.
-- Not here: how arithmetic and bytes are counted (tests/c/test_profile.c).
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local expect = require "expect"

local executable = os.getenv "MIEN" or "build/mien"

local function shell(arguments)
  local pipe = assert(io.popen(("'%s' profile %s 2>&1 </dev/null; echo \"exit $?\""):format(executable, arguments)))
  local output, code = pipe:read("*a"):match "^(.-)exit (%d+)\n$"
  pipe:close()
  return output, tonumber(code)
end

local function find(rows, name)
  for _, row in ipairs(rows) do
    if row.op == name then return row end
  end
end

local function write(text)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write(text)
  file:close()
  return name
end

describe("mien.profile", function()
  it("runs a function and lists its ops with calls, time, arithmetic and bytes", function()
    local layer, x = mien.nn.linear { 64, 32 }, mien.randn { 16, 64 }
    local rows = mien.profile(function(input) layer(input):sum():backward() end, x)
    local forward, backward = find(rows, "linear"), find(rows, "linear'")
    assert.equal(1, forward.calls)
    expect.near(2e-9 * 16 * 64 * 32, forward.gflop, 1e-12)
    assert.equal(4 * (16 * 64 + 64 * 32 + 32 + 16 * 32), forward.bytes)
    assert.is_true(backward.seconds > 0)
    local sum = 0
    for _, row in ipairs(rows) do sum = sum + row.seconds end
    expect.near(sum, rows.inside, 1e-9)
    assert.is_true(rows.wall > rows.inside)
    local text = tostring(rows)
    assert.matches("outside ops", text)
    assert.matches("time%s+[%d.]+ 100.0%%", text)
  end)

  it("stops the clock when the function fails, and starts afresh", function()
    expect.failure(function() mien.profile(error, "inside") end, "inside")
    mien.randn({ 2 }):relu()
    assert.equal(0, #mien.profile.rows())
  end)

  it("marks mien's own loops, and takes the library's for an error", function()
    mien.backend.use "ref"
    local ok, rows = pcall(mien.profile, function() mien.randn({ 4 }):relu() end)
    mien.backend.use "cpu"
    assert.is_true(ok)
    assert.equal(0, rows.errors)
    assert.matches("ref%s+%(mien's own loops", tostring(rows))
    assert.is_true(mien.profile.is_silent_ref("cpu", "ref:any"))
    assert.is_true(mien.profile.is_silent_ref("cpu", "jit:avx2 + ref_int8:any"))
    assert.is_false(mien.profile.is_silent_ref("cpu", "jit:avx512_core"))
    assert.is_false(mien.profile.is_silent_ref("ref", "ref"))
  end)
end)

describe("mien profile", function()
  it("profiles a script with its arguments", function()
    local script = write 'local mien = require "mien"\nmien.ones({ tonumber((...)), 4 }):relu()\n'
    local output, code = shell(script .. " 3")
    os.remove(script)
    assert.equal(0, code)
    assert.matches("\nrelu +1 ", output)
  end)

  it("profiles steps of an experiment's first arm, with the wait for the loader", function()
    local folder = tiny.folder()
    tiny.corpus(folder .. "/c.h5", "continuous")
    local file = write(([[local tiny = require "tests.lua.tiny"
      return require("mien").experiment(tiny.declaration("%s/c.h5"))]]):format(folder))
    local output, code = shell("--steps 2 " .. file)
    os.remove(file)
    tiny.drop(folder)
    assert.equal(0, code)
    assert.matches("tiny, first arm: 2 steps, 32 frames", output)
    assert.matches("\nconv2d' +2 ", output)
    assert.matches("\nadam ", output)
    assert.matches("\nloader wait ", output)
  end)

  it("fails when the vendor's library took its naive loops", function()
    -- no shape of ours makes it do so: every implementation is taken for one
    local script = write [[local mien = require "mien"
      mien.profile.is_silent_ref = function() return true end
      mien.ones({ 3, 4 }):relu()]]
    local output, code = shell(script)
    os.remove(script)
    assert.equal(1, code)
    assert.matches("\nrelu +1 .*ERROR: the library's naive loops", output)
  end)

  it("refuses what it does not know with exit code 2", function()
    assert.equal(2, select(2, shell "--stesp 3 x.lua"))
    assert.equal(2, select(2, shell "--steps none x.lua"))
    local script = write "return 3"
    assert.equal(2, select(2, shell("--steps 3 " .. script)))
    os.remove(script)
  end)
end)
