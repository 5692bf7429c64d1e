-- Trainings on another device, which here is a GPU that is none: the reference's ops on memory of its own. Whatever
-- takes the CPU for granted is an error there, and all numbers must be those of the reference on the CPU.
-- Not here: a real GPU's results (tests/backend/test_backends.c), the loop (train_spec.lua).
local plugin = require "with_plugin"
local tiny = require "tests.lua.tiny"

-- What both processes share: trainings over tiny corpora that print what came out.
local SETUP = [[
  local tiny = require "tests.lua.tiny"
  local folder, where, precision = ...
  mien.backend.use "ref"
  require("mien.base.home").folder = folder
  local db = mien.results.open(folder .. "/results.db")

  --- A hash of all weights of a file.
  local function weights(path)
    local text = {}
    for _, entry in ipairs(mien.checkpoint.load_weights(path).tensors) do
      assert(entry[2].device == "cpu" and entry[2].dtype == "f32")
      for _, value in ipairs(entry[2]:reshape { -1 }:totable()) do text[#text + 1] = ("%a"):format(value) end
    end
    return require("mien.base.sha256").text(table.concat(text, " "))
  end

  --- Runs a declaration; prints the losses, the scores and the weights.
  local function run(declaration)
    declaration.data.augment = false -- a GPU rounds it in its own way: see below
    declaration.weights = folder .. "/" .. declaration.name .. ".h5"
    local failed = mien.experiment(declaration):run { db = db, quiet = true, device = where, precision = precision }
    local id = db:value("SELECT max(id) FROM run")
    print(failed, weights(declaration.weights))
    for _, row in ipairs(db:rows("SELECT key, value FROM metric WHERE run = ? AND key NOT LIKE 'time/%' ORDER BY key, step",
      id)) do print(row.key, row.value) end
    return id
  end
]]

describe("a training on another device", function()
  local folder
  setup(function()
    folder = tiny.folder()
    for _, kind in ipairs { "continuous", "multilabel", "class" } do tiny.corpus(folder .. "/" .. kind .. ".h5", kind) end
  end)
  teardown(function() tiny.drop(folder) end)

  --- The code on the CPU and on the fake GPU, each with a folder of its own that has the corpora.
  local function both(code, precision)
    local texts = {}
    for i, where in ipairs { "cpu", "cuda" } do
      local own = tiny.folder()
      os.execute(("cp '%s'/*.h5 '%s'"):format(folder, own))
      texts[i] = plugin.run(plugin.serving, SETUP .. code, own, where, precision or "f32")
      tiny.drop(own)
    end
    assert.truthy(texts[1]:find("^0\t%x"), texts[1])
    return texts[1], texts[2]
  end

  it("gives the CPU's numbers, from the first loss to the scores", function()
    local cpu, gpu = both [[
      local id = run(tiny.declaration(folder .. "/continuous.h5", { train = { optimiser = { "adam", lr = 1e-2 },
        epochs = 2, clip = 0.5, stop = { patience = 2 } } }))
      for _, row in ipairs(db:rows("SELECT target, split, stage, ccc FROM score WHERE run = ?", id)) do
        print(row.target, row.split, row.stage, row.ccc)
      end
      local row = db:row("SELECT device FROM run WHERE id = ?", id)
      local device = db:value("SELECT value FROM param WHERE run = ? AND key = 'device'", id)
      print("device " .. row.device:match "^%l+" .. " " .. device)]]
    local _, _, names = cpu:find "\ndevice ([^\n]*)"
    assert.equal("cpu cpu", names)
    _, _, names = gpu:find "\ndevice ([^\n]*)"
    assert.equal("cuda cuda", names)
    assert.equal(cpu:gsub("\ndevice [^\n]*", ""), gpu:gsub("\ndevice [^\n]*", ""))
  end)

  it("does so for other losses, class weights, a GRU, dropout and what stands between", function()
    local cpu, gpu = both [[
      run(tiny.declaration(folder .. "/multilabel.h5", { name = "several", post = false,
        data = { corpus = folder .. "/multilabel.h5", sequence = 8, batch = 2, size = { 20, 20 },
          class_weights = "balanced" },
        train = { loss = "sigmoid_cross_entropy", optimiser = { "sgd", lr = 0.1, momentum = 0.9 }, epochs = 2,
          stop = { watch = "validation/f1" } },
        model = function(network, c)
          return mien.models.recurrent { features = tiny.features(network.width), cell = "gru", hidden = 4,
            fully_connected = { 6 }, dropout = 0.2, outputs = c.label_names }
        end }))
      run(tiny.declaration(folder .. "/class.h5", { name = "one", post = false, evaluate = { bn = "batch" },
        train = { loss = "softmax_cross_entropy", epochs = 1, stop = { watch = "validation/accuracy" } },
        model = function(network, c)
          return mien.models.framewise { features = tiny.features(network.width), outputs = c.label_names }
        end }))
      -- what another run starts from, and predictions from it
      run(tiny.declaration(folder .. "/continuous.h5", { name = "after", start = mien.init.from(folder .. "/one.h5"),
        train = { optimiser = { "adam", lr = 1e-2 }, epochs = 1 } }))]]
    assert.equal(cpu, gpu)
  end)

  it("keeps half precision's features there, and scales the loss", function()
    for _, precision in ipairs { "bf16", "fp16" } do
      local cpu, gpu = both([[
        run(tiny.declaration(folder .. "/class.h5", { post = false,
          train = { loss = function(output, labels) return mien.loss.softmax_cross_entropy(output, labels) * 1000 end,
            epochs = 1, stop = { watch = "validation/accuracy" } },
          model = function(network, c)
            return mien.models.framewise { features = tiny.features(network.width), outputs = c.label_names }
          end }))]], precision)
      assert.equal(cpu, gpu)
      local skipped = tonumber(cpu:match "train/skipped_steps%s+(%d+)")
      if precision == "fp16" then assert.is_true(skipped > 0) else assert.is_nil(skipped) end
    end
  end)

  it("may be begun on one device and go on on another", function()
    local code = [[
      local C = require "mien.base.ffi"
      local function declare(stop_at)
        local seen = 0
        return mien.experiment(tiny.declaration(folder .. "/continuous.h5", {
          train = { optimiser = { "adam", lr = 1e-2 }, epochs = 2, loss = function(output, labels)
            seen = seen + 1
            if seen == stop_at then C.mien_interrupt_request() end
            return mien.loss.ccc(output, labels)
          end } }))
      end
      local function go(stop_at, device) -- the number is part of the code
        return pcall(mien.experiment.run, declare(stop_at), { db = db, quiet = true, device = device, go_on = stop_at == 0 })
      end
      ]]
    code = code:gsub("mien.experiment.run, declare%(stop_at%)", "function(e, o) return e:run(o) end, declare(stop_at)")
    local text = plugin.run(plugin.serving, SETUP .. code .. [[
      local ok, err = go(5, where)
      print(ok, err.code)
      C.mien_interrupt_clear()
      print(go(0, where == "cpu" and "cuda" or "cpu"))
      local row = db:row("SELECT * FROM run")
      print(row.status, row.device:match "^%l+", db:value("SELECT count(*) FROM attempt"))
      print(weights(folder .. "/" .. row.folder .. "/best.h5"))]],
      folder, "cuda", "f32")
    assert.matches("^false\tinterrupted\ntrue\t0\t0\nfinished\tcpu\t2\n%x+$", text)
  end)

  it("augments frames where they are used as the CPU's loader does", function()
    local text = plugin.run(plugin.serving, SETUP .. [[
      local corpus = mien.data.open(folder .. "/continuous.h5")
      local function batches(device, per, resize)
        local loader = mien.data.loader { corpus = corpus, starts = { 1, 41, 18, 61, 4 }, sequence = 5, batch = 2,
          lengths = { [18] = 3, [4] = 1 }, keep_last = true,
          size = { 12, 10 }, resize = resize, seed = 4, epoch = 2, device = device, workers = 2,
          augment = { crop = true, brightness = 32, saturation = { 0.5, 1.5 }, flip = true, per = per },
          scale = { mean = { 0.4, 0.5, 0.6 }, sd = { 0.2, 0.3, 0.25 } } }
        local list = {}
        for frames, labels, starts in loader:batches() do
          assert(frames.device == device and frames.dtype == "f32" and labels.device == "cpu")
          list[#list + 1] = { frames:to("cpu"):clone(), labels, starts }
        end
        loader:close()
        return list
      end
      local function text(t) return table.concat(t:reshape { -1 }:totable(), " ") end -- NaN where a window is filled up
      local largest, changed = 0, 0
      for _, per in ipairs { "sequence", "frame" } do
        for _, resize in ipairs { { 12, 10 }, { 30, 27 }, { 13, 14 } } do
          local cpu, gpu = batches("cpu", per, resize), batches("cuda", per, resize)
          assert(#cpu == 3 and #gpu == 3)
          for i, batch in ipairs(cpu) do
            assert(table.concat(batch[1].shape, "x") == table.concat(gpu[i][1].shape, "x"))
            assert(batch[3][1] == gpu[i][3][1] and text(batch[2]) == text(gpu[i][2]))
            largest = math.max(largest, (batch[1] - gpu[i][1]):abs():max():item())
            changed = math.max(changed, (batch[1] - cpu[1][1]:narrow(1, 1, #batch[1])):abs():max():item())
          end
        end
      end
      print(largest < 2e-6, changed > 0.1, largest)]], folder, "cuda", "f32")
    assert.matches("^true\ttrue", text)
  end)

  it("has the same bits whether batches come ahead, into a recorded step, or as they are asked for", function()
    local text = plugin.run(plugin.serving, SETUP .. [[
      local ffi = require "ffi"
      ffi.cdef "size_t fake_gpu_pin_limit, fake_gpu_pins;"
      local fake = ffi.load(os.getenv "MIEN_CUDA_LIBRARY")
      local real, bits = print, {}
      local function training(graph)
        local lines = {}
        function print(...) lines[#lines + 1] = table.concat({ tostring(...), select("#", ...), select(2, ...) }, " ") end
        run(tiny.declaration(folder .. "/continuous.h5", { post = false, name = "run" .. #bits,
          train = { graph = graph, optimiser = { "adam", lr = 1e-2 }, epochs = 3, stop = { patience = 3 } } }))
        print = real
        bits[#bits + 1] = table.concat(lines, "\n")
        return fake.fake_gpu_pins > 0
      end
      io.write(tostring(training(false)), " ", tostring(training(true)), " ")
      fake.fake_gpu_pin_limit, fake.fake_gpu_pins = 0, 0
      io.write(tostring(training(false)), " ")
      io.write(db:value "SELECT count(*) FROM event WHERE kind = 'notice' AND text LIKE '%none could be pinned%'", " told ")
      print(#bits[1] > 300, bits[1] == bits[2], bits[1] == bits[3], (bits[3]:gsub("%s+", " ")))]], folder, "cuda", "f32")
    assert.truthy(text:find("true true false 1 told true\ttrue\ttrue", 1, true), text)
  end)

  it("serves predictions from a weights file", function()
    local text = plugin.run(plugin.serving, SETUP .. [[
      local path = folder .. "/net.h5"
      local model = mien.models.framewise { features = mien.models.resnet50 { width = 4 }, outputs = { "happy", "sad" } }
      mien.checkpoint.save_weights(path, model:to "cuda", { image_size = 16, resize = 16, sequence = 1, fps = 0,
        scale_mean = 0, scale_sd = 1, label_kind = "multilabel" })
      local frames = { mien.full({ 16, 16, 3 }, 90, { dtype = "u8" }), mien.full({ 16, 16, 3 }, 200, { dtype = "u8" }) }
      local predict = require "mien.train.predict"
      local all = {}
      for i, device in ipairs { "cpu", "cuda" } do
        local network = predict.network(path, { device = device })
        assert(network.model.device == device)
        all[i] = {}
        for _, row in ipairs(predict.window(network, frames)) do all[i][#all[i] + 1] = table.concat(row, " ") end
      end
      print(all[1][1] == all[2][1], all[1][2] == all[2][2], all[1][1] ~= all[1][2])
      print(pcall(predict.network, path, { device = "cpu", precision = "fp61" }))]], folder, "cuda", "f32")
    assert.matches("^true\ttrue\ttrue\nfalse\t.*did you mean", text)
  end)

  it("is refused before anything is stored when the device or its precision is not there", function()
    local text = plugin.run("/nowhere/libmien_cuda.so", SETUP .. [[
      mien.backend.use "cpu"
      local before = db:value "SELECT count(*) FROM run"
      local e = mien.experiment(tiny.declaration(folder .. "/continuous.h5",
        { arms = { { "a" }, { "b", device = "cuda" } } }))
      local function try(options)
        options.db, options.quiet = db, true
        print(select(2, pcall(e.run, e, options)))
      end
      try { device = "cuda" }
      try { device = "cpu" }
      try { precision = "fp16", sets = { { "device", "auto" } } }
      print(db:value "SELECT count(*) FROM run" - before, mien.device.choose "auto")]], folder, "cpu", "f32")
    assert.matches("no GPU can be used.*no GPU can be used.*cannot be computed on this CPU.*\n0\tcpu$", text)
  end)
end)
