-- Devices from Lua: a GPU that is not there, and a fake one (tests/backend/fake_gpu.c).
-- Not here: what C says (tests/backend/test_device.c), results of ops (tests/backend/test_backends.c).
local plugin = require "with_plugin"

local fake, with_plugin = plugin.fake, plugin.run

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

  it("is named by what there is when its name is wrong", function()
    local _, err = pcall(require("mien").device.choose, "gpu")
    assert.truthy(tostring(err):find('unknown value "gpu"; did you mean "cpu"? known: auto, cpu, cuda', 1, true), err)
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
      print(model.device, model:to "cuda" == model, model.device, model:to "auto".device)
      local devices, trained = {}, 0
      for _, entry in ipairs(model:state()) do devices[entry.tensor.device] = true end
      for _, entry in ipairs(model:parameters()) do
        if entry.tensor.requires_grad then trained = trained + 1 end
      end
      print(devices.cuda, devices.cpu, trained, model:state()[1].tensor:totable()[1][1] == before)
      mien.optim.adam(model:parameters(), { lr = 1e-3 })
      local x = mien.ones { 4, 3 }
      local there = model:precision_ "bf16":place(x, true)
      print(there.device, there.dtype, model:place(x).dtype, model:place(there) == there)
      print(model:to "cpu".device, mien.memory "cuda".live >= 0)]])
    assert.truthy(text:find("cpu\ttrue\tcuda\tcuda", 1, true))
    assert.truthy(text:find("true\tnil\t4\ttrue", 1, true))
    assert.truthy(text:find("cuda\tbf16\tf32\ttrue", 1, true))
    assert.truthy(text:find("cpu\ttrue$"))
  end)

  it("takes a module's tensors in place: who holds them has them there", function()
    local text = with_plugin(fake, [[
      local lstm = mien.nn.lstm { 3, 2 }
      local weight, optimiser = lstm:parameters()[1].tensor, mien.optim.adam(lstm, { lr = 0.1 })
      lstm:to "cuda"
      print(weight.device, lstm.weights[1].ih.device, lstm.weights[1].bias.device)
      optimiser:to "cuda"
      print(optimiser:state()[1][2].device, pcall(function() (weight:to "cpu"):relu() end))
      local y = (mien.ones { 2 }:requires_grad_() * 2)
      print(pcall(y.move_, y, "cuda"))]])
    assert.truthy(text:find("cuda\tcuda\tcuda\ncuda\ttrue", 1, true))
    assert.truthy(text:find("made by a recorded op", 1, true))
  end)

  it("runs both forms of a GRU, backwards too", function()
    local text = with_plugin(plugin.serving, [[
      for _, after in ipairs { true, false } do
        local gru, x = mien.nn.gru { 3, 2, layers = 2, reset_after = after }, mien.randn { 2, 4, 3 }
        local function run(where)
          gru:to(where)
          for _, p in ipairs(gru:parameters()) do p.tensor.grad = nil end
          local y = gru(x:to(where))
          y:sum():backward()
          return y:detach():to "cpu", gru.weight_hh_l0.grad:to "cpu"
        end
        local y, dw = run "cpu"
        local there, there_dw = run "cuda"
        print((y - there):abs():max():item() < 1e-6, (dw - there_dw):abs():max():item() < 1e-6)
      end]])
    assert.equal("true\ttrue\ntrue\ttrue", text)
  end)

  it("fuses a network where it lies", function()
    local text = with_plugin(plugin.serving, [[
      local net = mien.models.resnet50 { width = 2 }:train(false):to "cuda"
      local x = mien.randn { 1, 3, 32, 32 }
      local whole, fused = net(x:to "cuda"):to "cpu", net:fused()(x:to "cuda"):to "cpu"
      print(fused.ndim, (whole - fused):abs():max():item() < 1e-4)]])
    assert.equal("2\ttrue", text)
  end)

  it("runs networks in 8-bit whole numbers, calibrated where they lie", function()
    local text = with_plugin(plugin.serving, [[
      mien.backend.use "ref"
      local x = mien.rand({ 2, 3, 32, 32 }, { rng = mien.rng.stream(3, "frames") })
      local net = mien.models.framewise { features = mien.models.resnet50 { width = 2 }, outputs = { "a" } }:train(false)
      local right = mien.nn.quantise(net, { frames = x })(x:reshape { 1, 2, 3, 32, 32 })
      local whole = mien.nn.quantise(net:to "cuda", { frames = x })
      local y = whole(x:reshape({ 1, 2, 3, 32, 32 }):to "cuda")
      print(whole.device, y.device, (right - y:to "cpu"):abs():max():item() < 1e-5)]])
    assert.equal("cuda\tcuda\ttrue", text)
  end)

  it("keeps its settings", function()
    local text = with_plugin(fake, [[
      print(mien.device.tf32(), mien.device.deterministic(), mien.device.autotune())
      print(mien.device.tf32(true), mien.device.deterministic(false), mien.device.autotune(true))
      mien.device.synchronize()]])
    assert.equal("false\ttrue\tfalse\ntrue\tfalse\ttrue", text)
  end)
end)
