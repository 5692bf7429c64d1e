-- Devices from Lua: a GPU that is not there, and a fake one (tests/backend/fake_gpu.c).
-- Not here: what C says (tests/backend/test_device.c), results of ops (tests/backend/test_backends.c).
local library = os.getenv "MIEN_LIBRARY" or "build/libmien.so"
local folder = library:match "^(.*)/" or "."

--- Runs Lua in a process of its own that opens this plugin; returns what it prints.
local function with_plugin(plugin, code)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write("local mien = require 'mien'\n", code)
  file:close()
  local pipe = io.popen(("MIEN_CUDA_LIBRARY='%s' LUA_PATH='%s' luajit '%s' 2>&1"):format(plugin, package.path, name))
  local text = pipe:read "*a"
  pipe:close()
  os.remove(name)
  return (text:gsub("%s+$", ""))
end

local fake = folder .. "/libfake_gpu.so"

describe("a device", function()
  it("that cannot be used is an error that says why, and 'auto' is the CPU then", function()
    local text = with_plugin("/nowhere/libmien_cuda.so", [[
      print(mien.device.choose "auto", mien.device.has_gpu())
      local ok, err = pcall(mien.device.choose, "cuda")
      print(ok, err.code, err.message)
      print(pcall(function() return mien.zeros{ 2, device = "cuda" } end))
      print(mien.device.info().built)]])
    assert.truthy(text:find("cpu\tfalse\tno GPU can be used", 1, true))
    assert.truthy(text:find("false\tdevice\tno GPU can be used: libmien_cuda.so does not open", 1, true))
    assert.truthy(text:find("false$"))
  end)

  it("is given by name, and the nearest one is named", function()
    local text = with_plugin(fake, "print(pcall(mien.device.choose, 'cudda'))")
    assert.truthy(text:find("cuda", 1, true))
  end)

  it("tells how long each of some steps took on its own clock", function()
    local text = with_plugin(fake, [[
      local n = 0
      local list = mien.device.time("cuda", 3, function() n = n + 1 end)
      print(n, #list, list[1], list[3])
      print(#mien.device.time("cpu", 2, function() end))
      print(pcall(mien.device.time, "cpu", 1000, print))]])
    assert.truthy(text:find("3\t3\t1\t1\n2\n", 1, true))
    assert.truthy(text:find("count must be at most 255, got 1000", 1, true))
  end)

  it("takes tensors there and back, with another dtype on the way", function()
    local text = with_plugin(fake, [[
      local t = mien.tensor{ { 1, 2 }, { 3, 4.5 } }:to{ device = "cuda", dtype = "f64" }
      print(t.device, t.dtype, t:at(2, 2), t:to"cpu":to"f32":totable()[1][2], mien.zeros{ 3, device = "cuda" }.device)
      print(pcall(t.data, t))
      print(pcall(t.to, t, { devcie = "cpu" }))]])
    assert.truthy(text:find('cuda\tf64\t4.5\t2\tcuda', 1, true))
    assert.truthy(text:find('t:to"cpu"', 1, true))
    assert.truthy(text:find('did you mean "?device'))
  end)

  it("takes modules with all they have, and parameters stay trainable", function()
    local text = with_plugin(fake, [[
      local model = mien.nn.sequential { mien.nn.linear { 3, 2 }, mien.nn.batch_norm { 2 } }
      local before = model:state()[1].tensor:totable()[1][1]
      print(model:device(), model:to "cuda" == model, model:device(), model:to "auto":device())
      local devices, trained = {}, 0
      for _, entry in ipairs(model:state()) do devices[entry.tensor.device] = true end
      for _, entry in ipairs(model:parameters()) do
        if entry.tensor:requires_grad() then trained = trained + 1 end
      end
      print(devices.cuda, devices.cpu, trained, model:state()[1].tensor:totable()[1][1] == before)
      mien.optim.adam(model:parameters(), { lr = 1e-3 })
      local x = mien.ones { 4, 3 }
      local there = model:precision "bf16":place(x, true)
      print(there.device, there.dtype, model:place(x).dtype, model:place(there) == there)
      print(model:to "cpu":device(), mien.memory "cuda".live >= 0)]])
    assert.truthy(text:find("cpu\ttrue\tcuda\tcuda", 1, true))
    assert.truthy(text:find("true\tnil\t4\ttrue", 1, true))
    assert.truthy(text:find("cuda\tbf16\tf32\ttrue", 1, true))
    assert.truthy(text:find("cpu\ttrue$"))
  end)

  it("keeps its settings", function()
    local text = with_plugin(fake, [[
      print(mien.device.tf32(), mien.device.deterministic(), mien.device.autotune())
      print(mien.device.tf32(true), mien.device.deterministic(false), mien.device.autotune(true))
      mien.device.synchronize()]])
    assert.equal("false\ttrue\tfalse\ntrue\tfalse\ttrue", text)
  end)
end)
