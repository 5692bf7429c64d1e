-- MIEN_CPU_ISA: own kernels and oneDNN together use the instruction set that it names.
-- Not here: that each set computes the right numbers (tests/backend, which `mien test` runs under every one).
local mien = require "mien"

local executable = os.getenv "MIEN" or "build/mien"

--- What a process prints that runs `text` with this MIEN_CPU_ISA; its exit status.
local function run(isa, text)
  local plain = os.tmpname()
  local name = plain .. ".lua"
  local file = assert(io.open(name, "w"))
  file:write(text)
  file:close()
  local pipe = io.popen(("MIEN_CPU_ISA='%s' '%s' %s 2>&1; echo \"exit $?\""):format(isa, executable, name))
  local output, code = pipe:read("*a"):match "^(.-)exit (%d+)\n$"
  pipe:close()
  os.remove(name)
  os.remove(plain)
  return output, tonumber(code)
end

local SHOW = [[
local mien = require "mien"
mien.seed(1)
local conv, norm = mien.nn.conv2d { 32, 32, 3 }, mien.nn.batch_norm { 32, relu = true }
local x, y = mien.randn { 2, 32, 9, 9 }
local rows = mien.profile(function() y = norm(conv(x)) end)
for _, row in ipairs(rows) do
  if row.op == "conv2d" then print(row.implementation) end
end
print((mien.backend.isa()))
print(mien.backend.describe())
print(("%.9g"):format((y * mien.randn(y.shape)):sum():item()))
]]

local _, sets = mien.backend.isa()
local wide = { avx512 = "avx512", avx2 = "avx2", baseline = "sse41" } -- oneDNN's words for them
local named = { avx512 = "AVX-512", avx2 = "AVX2", baseline = "baseline" }

describe("MIEN_CPU_ISA", function()
  it("chooses oneDNN's kernels and our own, and the numbers stay", function()
    local numbers = {}
    for _, set in ipairs(sets) do
      local implementation, isa, described, number = run(set, SHOW):match "^(%S+)\n(%S+)\n([^\n]*)\n(%S+)\n$"
      assert.equal(set, isa)
      assert.is_truthy(implementation:find(wide[set], 1, true), implementation)
      assert.is_truthy(described:find(named[set], 1, true), described)
      assert.equal(set ~= sets[1], described:find("(MIEN_CPU_ISA)", 1, true) ~= nil)
      numbers[#numbers + 1] = tonumber(number)
      assert.is_true(math.abs(numbers[#numbers] - numbers[1]) < 1e-3, number)
    end
    assert.equal("baseline", sets[#sets])
  end)

  it("is an error when it names no set, or one that the processor lacks", function()
    local text, code = run("avx9", SHOW)
    assert.equal(1, code)
    assert.is_truthy(text:find("MIEN_CPU_ISA=avx9: no instruction set is called so", 1, true), text)
    assert.is_truthy(text:find(table.concat(sets, " "), 1, true), text)
    if sets[1] ~= "avx512" then
      text, code = run("avx512", SHOW)
      assert.equal(1, code)
      assert.is_truthy(text:find("MIEN_CPU_ISA=avx512: this processor lacks that instruction set", 1, true), text)
    end
  end)

  it("is told by doctor", function()
    for _, set in ipairs { sets[#sets], "avx9" } do
      local pipe = io.popen(("MIEN_CPU_ISA='%s' '%s' doctor 2>&1"):format(set, executable))
      local text = pipe:read "*a"
      pipe:close()
      local backend = text:match "\nbackend +([^\n]*)"
      if set == "avx9" then
        assert.is_truthy(backend:find "^not used: MIEN_CPU_ISA=avx9", backend)
        assert.is_truthy(text:find "\nresults ", text)
      else
        assert.is_truthy(text:find("\nisa +" .. set), text)
      end
    end
  end)
end)
