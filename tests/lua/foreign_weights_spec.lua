-- Weights of other programs: files that their own libraries wrote (tests/golden/weights.py), and real ones; names; refusals.
local mien = require "mien"
local expect = require "tests.lua.expect"
local lfs = require "lfs"
local naming = require "mien.weights.naming"

local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local GOLDEN, REAL = here .. "../golden/weights/", here .. "../../../shared/data/"

--- Sum, and the sum that the order decides, as weights.py takes them.
local function sums(t)
  local values, n = t:to "f64":doubles(), t:count()
  local sum, order = 0, 0
  for i = 0, n - 1 do
    sum, order = sum + values[i], order + values[i] * (i % 7 + 1)
  end
  return sum, order
end

local function near(a, b) return math.abs(a - b) <= 1e-6 * (1 + math.abs(b)) end

describe("a file of weights", function()
  local rows = {}
  for line in io.lines(here .. "../golden/weights.txt") do
    local file, name, shape, sum, order = line:match "^([^|]+)|(%S+) (%S+) (%S+) (%S+)$"
    rows[file] = rows[file] or {}
    rows[file][name] = { shape = shape == "-" and "" or shape, sum = tonumber(sum), order = tonumber(order) }
  end
  for file, wanted in pairs(rows) do
    it("gives the tensors of " .. file, function()
      local path = GOLDEN .. file
      local opened = mien.weights.open(path)
      local list = naming.inside(opened.entries, nil, path)
      local found = 0
      for _, one in ipairs(list) do
        local row = wanted[one.name]
        if row then
          found = found + 1
          local t = one.entry.read()
          assert.equal(row.shape, table.concat(t.shape, ","), one.name)
          local sum, order = sums(t)
          assert.is_true(near(sum, row.sum) and near(order, row.order), ("%s: %s: %g %g, %g %g wanted"):format(file, one.name,
            sum, order, row.sum, row.order))
        end
      end
      local count = 0
      for _ in pairs(wanted) do count = count + 1 end
      assert.equal(count, found, file)
    end)
  end

  it("takes TensorFlow's checkpoints by what their files begin with, and all of their files", function()
    local opened = mien.weights.open(GOLDEN .. "bundle")
    assert.equal("tensorflow", opened.format)
    assert.same({ GOLDEN .. "bundle.index", GOLDEN .. "bundle.data-00000-of-00001" }, opened.files)
    assert.equal(3, #mien.weights.open(GOLDEN .. "bundle.data-00000-of-00001").entries)
  end)

  it("says what is left out of a checkpoint", function()
    local told = table.concat(mien.weights.told(mien.weights.load(GOLDEN .. "state.pt")), "\n")
    assert.truthy(told:find("below state_dict.module.", 1, true))
    assert.truthy(told:find("1 outside of the network", 1, true))
    local whole = table.concat(mien.weights.told(mien.weights.load(GOLDEN .. "whole.pt")), "\n")
    assert.truthy(whole:find("objects of 3 classes are looked into and not made", 1, true))
    assert.truthy(whole:find("1 counters of batch norm", 1, true))
  end)
end)

-- ---- names ---------------------------------------------------------------------------------------------

describe("a name map", function()
  local folder = os.tmpname()
  os.remove(folder)
  setup(function() assert(lfs.mkdir(folder)) end)
  teardown(function()
    for name in lfs.dir(folder) do os.remove(folder .. "/" .. name) end
    lfs.rmdir(folder)
  end)

  --- A small ResNet with drawn statistics.
  local function resnet(config, seed)
    mien.seed(seed or 3)
    config.width, config.blocks = 2, config.blocks or { 1, 1, 1, 1 }
    local net = mien.models.resnet(config)
    for _, entry in ipairs(net:state()) do
      if entry[1]:find "running_var$" then entry[2]:copy_(mien.rand(entry[2].shape) + 0.5)
      elseif entry[1]:find "running_mean$" then entry[2]:copy_(mien.randn(entry[2].shape)) end
    end
    return net:train(false)
  end

  --- Its tensors as another framework names and turns them.
  local function written(name, net, rename)
    local list = {}
    for i, entry in ipairs(net:state()) do list[i] = { rename(entry[1], entry[2]:detach()) } end
    local path = ("%s/%s.safetensors"):format(folder, name)
    require "mien.weights.writing.to_safetensors"(path, list, {})
    return path
  end

  local function same(net, path, options)
    local file = mien.weights.load(path, options)
    local other = mien.models.build(file.meta.model.features or file.meta.model)
    other:load(file.tensors, { prefix = "features" })
    other:train(false)
    mien.seed(8)
    local x = mien.randn { 1, 3, 48, 48 }
    local a, b = net(x), other(x)
    assert.is_true(((a - b):abs():max() / a:abs():max()):item() < 1e-5)
    return file
  end

  it("knows torchvision's names, with bottlenecks and with basic blocks", function()
    for _, block in ipairs { "bottleneck", "basic" } do
      local net = resnet { block = block }
      local file = same(net, written("tv_" .. block, net, function(name, t) return "module." .. name, t end))
      assert.equal("torchvision_resnet", file.map)
      assert.equal("torchvision", file.meta.model.strides)
      assert.equal(block == "basic" and "basic" or nil, file.meta.model.block)
    end
  end)

  it("knows TF-slim's names, turns its filters and keeps its strides", function()
    local parts = { weight = "gamma", bias = "beta", running_mean = "moving_mean", running_var = "moving_variance" }
    local net = resnet { strides = "slim", blocks = { 2, 1, 1, 1 } }
    local file = same(net, written("slim", net, function(name, t)
      local function place(rest) return "video_model/resnet_v1_50/" .. rest end
      local stage, block, layer, part = name:match "^layer(%d)%.(%d)%.([^%.]+%.?%d?)%.([%a_]+)$"
      local root, kind
      if not stage then
        kind, part = name:match "^(%a+)1%.([%a_]+)$"
        root = "conv1"
      else
        kind = layer:match "^conv" or layer == "downsample.0" and "conv" or "bn"
        local at = layer:find "downsample" and "shortcut" or "conv" .. layer:match "%d"
        root = ("block%s/unit_%d/bottleneck_v1/%s"):format(stage, block + 1, at)
      end
      if kind == "conv" then return place(root .. "/weights"), t:permute(3, 4, 2, 1):clone() end
      return place(("%s/BatchNorm/%s"):format(root, parts[part])), t
    end))
    assert.equal("slim_resnet", file.map)
    assert.equal("slim", file.meta.model.strides)
    assert.equal("video_model/", file.prefix)
  end)

  it("takes an LSTM's two biases of PyTorch for its one", function()
    mien.seed(4)
    local net = mien.models.recurrent { features = mien.models.resnet { width = 2, blocks = { 1, 1, 1, 1 } }, hidden = 3,
      outputs = { "a" } }
    local names = require("mien.weights.forms").names(net:state(), net.architecture)
    local path = folder .. "/lstm.safetensors"
    for _, entry in ipairs(names) do
      if entry[1] == "context.bias_hh_l0" then entry[2] = mien.ones { 12 } end
    end
    require "mien.weights.writing.to_safetensors"(path, names, {})
    local file = mien.weights.load(path, { model = net.architecture, outputs = { "a" } })
    local by_name = {}
    for _, entry in ipairs(file.tensors) do by_name[entry[1]] = entry[2] end
    assert.is_nil(by_name["context.bias_hh_l0"])
    assert.equal(0, (by_name["context.bias_l0"] - net.context.bias_l0 - 1):abs():max():item())
    assert.equal(0, (by_name["context.bias_l1"] - net.context.bias_l1):abs():max():item())
  end)

  it("can be a file or a table of one's own, and a name is counted that no rule knows", function()
    local path = folder .. "/own.safetensors"
    require "mien.weights.writing.to_safetensors"(path, { { "a/kernel", mien.arange(1, 6):reshape { 2, 3 } },
      { "b", mien.ones { 2 } } }, {})
    local map = { about = "mine", sign = { "^a/kernel$" }, rules = { { "^a/kernel$", "head.weight", change = "transpose" } } }
    local file = mien.weights.load(path, { map = map })
    assert.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, file.tensors[1][2]:totable())
    assert.same({ "b" }, file.report.unknown)
    assert.truthy(table.concat(mien.weights.told(file), "\n"):find("not understood: 1 (b)", 1, true))
    expect.failure(function() mien.weights.load(path, { map = { about = "x", sign = {}, rule = {} } }) end,
      'did you mean "rules"')
    expect.failure(function() mien.weights.load(path, { map = "torchvision_resnt" }) end, "torchvision_resnet")
  end)

  it("scales and turns channels as it is told", function()
    local net = resnet {}
    local path = written("bgr", net, function(name, t) return name, t end)
    local file = mien.weights.load(path, { scale = "caffe", channels = "bgr" })
    assert.is_true(math.abs(file.meta.scale_mean[1] - 123.68 / 255) < 1e-9)
    local turned = file.tensors[1][2]
    assert.equal(0, (turned:select(2, 1) - net.conv1.weight:select(2, 3)):abs():max():item())
    assert.equal(0, (turned:select(2, 2) - net.conv1.weight:select(2, 2)):abs():max():item())
    expect.failure(function() mien.weights.load(path, { scale = "cafe" }) end, 'did you mean "caffe"')
    expect.failure(function() mien.weights.load(path, { channels = "bgrr" }) end, "bgr")
  end)

  it("decides a start's identity together with the file's bytes", function()
    local net = resnet {}
    local path = written("id", net, function(name, t) return name, t end)
    local plain = mien.init.from(path):identity()
    assert.equal(plain, mien.init.from { path, outputs = { "a" } }:identity())
    assert.are_not.equal(plain, mien.init.from { path, channels = "bgr" }:identity())
    assert.are_not.equal(plain, mien.init.from { path, scale = "slim" }:identity())
  end)

  it("serves as a start, and what is missing is drawn and said", function()
    local net = resnet {}
    local path = written("start", net, function(name, t) return name, t end)
    local other = resnet({}, 9)
    local start = mien.init.from { path, only = "layer[12]", scale = "torchvision" }
    start:apply(other, mien.rng.stream(1, "init"))
    assert.equal(0, (other.layer2[1].conv1.weight - net.layer2[1].conv1.weight):abs():max():item())
    assert.is_true((other.layer3[1].conv1.weight - net.layer3[1].conv1.weight):abs():max():item() > 0)
    assert.truthy(table.concat(start.lines, "\n"):find "tensors are not in the file and are drawn: conv1%.weight")
    assert.same({ 0.485, 0.456, 0.406 }, start:meta().scale_mean)
    local own = folder .. "/own.h5" -- a file of mien's is taken in part alike
    mien.checkpoint.save_weights(own, net)
    assert.equal(40, #mien.weights.load(own, { only = "layer[12]" }).tensors)
    expect.failure(function() mien.weights.load(own, { only = "layer[" }) end, "no Lua pattern")
    expect.failure(function() mien.weights.load(own, { scale = "slim" }) end, "takes no scale")
    expect.failure(function()
      mien.init.from(path):apply(mien.models.resnet { width = 2, blocks = { 1, 1, 1, 1 }, strides = "slim" },
        mien.rng.stream(1, "init"))
    end, "strides")
  end)
end)

-- ---- export --------------------------------------------------------------------------------------------

describe("an exported network", function()
  it("comes back from safetensors and a state_dict with the same bits", function()
    mien.seed(5)
    local folder = os.tmpname()
    os.remove(folder)
    assert(lfs.mkdir(folder))
    local net = mien.models.recurrent { features = mien.models.resnet { width = 2, blocks = { 1, 1, 1, 1 } }, hidden = 3,
      cell = "gru", reset_after = false, outputs = { "arousal", "valence" } }
    local forms = require "mien.weights.forms"
    local meta = { model = net.architecture, outputs = net.outputs, scale_mean = { 0, 0, 0 }, scale_sd = { 1, 1, 1 } }
    for _, form in ipairs { "safetensors", "torch" } do
      local path = folder .. "/net." .. form
      forms.write(form, path, net:state(), meta)
      local said = form == "torch" and { model = net.architecture, outputs = net.outputs } or nil
      local again = mien.models.from_weights(path, said)
      for i, entry in ipairs(again:state()) do
        local ours = net:state()[i]
        assert.equal(ours[1], entry[1])
        assert.equal(0, (ours[2] - entry[2]):abs():max():item(), entry[1])
      end
      os.remove(path)
    end
    lfs.rmdir(folder)
  end)

  it("is an ONNX graph of known operators, and what has none is named", function()
    local path = os.tmpname() .. ".onnx"
    local net = mien.models.framewise { features = mien.models.resnet18 { width = 2 }, outputs = { "a" } }
    net:train(false)
    local nodes = tonumber(mien.weights.save(path, net):match "%d+")
    local folded = tonumber(mien.weights.save(path, net, { fold = true }):match "%d+")
    assert.equal(20, nodes - folded) -- batch norms
    assert.equal("onnx", mien.weights.open(path).format)
    local own = mien.nn.define "odd"
    expect.failure(function() mien.weights.save(path, own.create {}) end, "no operator for features (odd)")
    os.remove(path)
  end)
end)

-- ---- real files ----------------------------------------------------------------------------------------

describe("real files", function()
  local function real(path) return lfs.attributes(REAL .. path) and REAL .. path end
  local cjson = require "cjson"

  --- Compares with what the folder's EXPECTED.json says; returns how many tensors were looked at, and files refused.
  local function compared(folder)
    local looked, refused = 0, {}
    for file, said in pairs(cjson.decode(require "mien.base.read"(REAL .. folder .. "/EXPECTED.json"))) do
      local path = REAL .. folder .. "/" .. file
      local ok, opened = pcall(mien.weights.open, path)
      local list = ok and naming.inside(opened.entries, said.nested_under, path) or {}
      if not ok then refused[#refused + 1] = tostring(opened) end
      for _, one in ipairs(list) do
        local wanted = said.tensors[one.name] or said.tensors["model_weights/" .. one.name] or said.tensors[one.entry.name]
        local fine, problem = pcall(one.entry.read)
        if not fine then -- h5py's own filter, which HDF5 has not
          assert.truthy(one.name:find "lzf" and tostring(problem):find("filter 'lzf'", 1, true), tostring(problem))
        elseif wanted and type(wanted.sum) == "number" then
          looked = looked + 1
          assert.same(wanted.shape, one.entry.shape)
          local sum = sums(one.entry.read())
          assert.is_true(math.abs(sum - wanted.sum) <= 1e-5 * (1 + math.abs(wanted.sum)), file .. ": " .. one.name)
        end
      end
    end
    return looked, refused
  end

  it("of PyTorch have the names, shapes and sums that others found", function()
    if not real "weights_torch/EXPECTED.json" then return pending "no real data here" end
    local looked, refused = compared "weights_torch"
    assert.same({}, refused)
    assert.equal(129, looked)
  end)

  it("of Keras and HDF5 have the shapes and sums that others found, and a form that is not read is named", function()
    if not real "weights_h5/EXPECTED.json" then return pending "no real data here" end
    local looked, refused = compared "weights_h5"
    assert.equal(1, #refused) -- compound numbers alone
    assert.truthy(refused[1]:find("without a tensor", 1, true))
    assert.is_true(looked > 10, looked)
  end)

  it("of a CIFAR ResNet-20 give the logits that its own framework gives", function()
    local path = real "weights_torch/resnet20-12fca82f.th"
    if not path then return pending "no real data here" end
    local names = {}
    for i = 1, 10 do names[i] = "class" .. i end
    local net = mien.models.from_weights(path, { outputs = names })
    assert.equal("cifar_resnet", net.architecture.features[1])
    local x = mien.zeros { 1, 3, 32, 32 }
    local values = x:data()
    for i = 0, 3071 do values[i] = math.sin(0.01 * i) end
    local logits = net(x):totable()[1]
    for i, wanted in ipairs { -0.780125, -0.928281, 1.058466, -3.875752, 6.596517, -2.899885, -0.110799, 2.458243, 0.5336,
      -2.103455 } do
      expect.near(wanted, logits[i], 2e-5)
    end
  end)

  it("of MTCNN join to one detector's weights", function()
    if not real "weights_torch/facenet_pnet.pt" then return pending "no real data here" end
    local out = os.tmpname() .. ".h5"
    local words = {}
    for _, net in ipairs { "pnet", "rnet", "onet" } do
      words[#words + 1] = ("%s=%sweights_torch/facenet_%s.pt"):format(net, REAL, net)
    end
    local executable = os.getenv "MIEN" or "build/mien"
    local pipe = io.popen(("'%s' weights convert %s %s 2>&1"):format(executable, table.concat(words, " "), out))
    local text = pipe:read "*a"
    pipe:close()
    assert.truthy(text:find("50 tensors", 1, true), text)
    assert.is_function(require("mien.models.mtcnn").detector { weights = out })
    os.remove(out)
  end)
end)

-- ---- refusals ------------------------------------------------------------------------------------------

describe("a file that is damaged", function()
  local path

  local function with(bytes)
    path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write(bytes)
    file:close()
    return path
  end

  after_each(function() if path then os.remove(path) end end)

  local function content(name) return require "mien.base.read"(GOLDEN .. name) end

  it("is refused by its name: empty, of no known form, cut off", function()
    expect.failure(function() mien.weights.open(with "") end, "an empty file")
    expect.failure(function() mien.weights.open(with "hello, I am no weights file at all") end, "none of the forms")
    for _, name in ipairs { "state.pt", "plain.npz", "model.keras" } do
      expect.failure(function() mien.weights.open(with(content(name):sub(1, -30))) end, "zip file that is cut off or damaged")
    end
    expect.failure(function() mien.weights.open(with(content "state_old.pt":sub(1, -30))) end, "cut off")
    expect.failure(function() mien.weights.open(with(content "state.safetensors":sub(1, -3))) end, "cut off or damaged")
    expect.failure(function() mien.weights.open(with(content "net.mat":sub(1, -30))) end, "cut off")
    expect.failure(function() mien.weights.open("/tmp/there_is_none.pt") end, "there_is_none")
    expect.failure(function() mien.weights.open("/tmp") end, "a folder")
  end)

  it("is refused where a sum tells that its numbers changed", function()
    local bytes = content "plain.npz"
    local at = bytes:find("\x93NUMPY", 1, true) + 200 -- among the elements
    bytes = bytes:sub(1, at) .. string.char((bytes:byte(at + 1) + 1) % 256) .. bytes:sub(at + 2)
    expect.failure(function()
      for _, entry in ipairs(mien.weights.open(with(bytes)).entries) do entry.read() end
    end, "CRC-32 is")
    local index, data = content "bundle.index", content "bundle.data-00000-of-00001"
    local base = os.tmpname()
    local file = assert(io.open(base .. ".index", "wb"))
    file:write(index)
    file:close()
    file = assert(io.open(base .. ".data-00000-of-00001", "wb"))
    file:write(string.char((data:byte(1) + 1) % 256) .. data:sub(2))
    file:close()
    expect.failure(function()
      for _, entry in ipairs(mien.weights.open(base .. ".index").entries) do entry.read() end
    end, "CRC-32C is")
    for _, ending in ipairs { "", ".index", ".data-00000-of-00001" } do os.remove(base .. ending) end
  end)

  it("is refused where it asks for what no data need", function()
    local function old(body) -- the older form of PyTorch around one pickle
      return "\x80\2\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\2M\xe9\3.\x80\2}q\0X\r\0\0\0little_endianq\1\x88s." .. body
        .. "\x80\2]q\0."
    end
    expect.failure(function() mien.weights.open(with(old "\x80\2\x82\1.")) end, "the opcode 0x82, which no data need")
    expect.failure(function() mien.weights.open(with(old "\x80\2R.")) end, "takes a value where there is none")
    -- what would run a program elsewhere is a table here, and holds no tensor
    expect.failure(function() mien.weights.open(with(old "cos\nsystem\n(X\4\0\0\0truetR.")) end, "without a tensor")
    local deep = "\x80\2" .. ("]"):rep(1000) .. ("a"):rep(999) .. "."
    expect.failure(function() mien.weights.open(with(old(deep))) end, "deeper than 64")
    local header = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],'
      .. '"data_offsets":[4,12]}}'
    expect.failure(function() mien.weights.open(with(string.char(#header) .. ("\0"):rep(7) .. header .. ("\0"):rep(12))) end,
      "b lies at byte 4 of the elements, 8 was wanted")
  end)

  it("of any kind is read or refused by its name, and nothing else happens", function()
    for _, form in ipairs { "state", "whole", "np", "net", "onnx", "bundle", "single", "keras" } do
      assert.truthy(dofile(here .. "../fuzz/weights.lua")(0.3, 11, form):find "files")
    end
  end)
end)
