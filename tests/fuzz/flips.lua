-- Flips single bits of a corpus, a weight file and a checkpoint that mien wrote, reads each in a process of its own,
-- and counts what came of it: `mien tests/fuzz/flips.lua [how many of each] [seed]`.
-- Not here: files of other programs (tests/fuzz/fuzz_hdf5.c).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local mien = require "mien"
local corpus_of = require "mien.experiment.input"
local sha256 = require "mien.base.sha256"

ffi.cdef [[
int fork(void);
void _exit(int status);
int waitpid(int pid, int *status, int options);
unsigned alarm(unsigned seconds);
]]

local flips = {}

-- ---- three files, and all that is read of each -----------------------------------------------------------------

local function digest(parts) return sha256.text(table.concat(parts, "\n")) end

local function add_tensor(parts, name, t)
  parts[#parts + 1] = name .. " " .. t.dtype .. " " .. table.concat(t.shape, ",")
  parts[#parts + 1] = sha256.text(ffi.string(t:data(), t:count() * tonumber(C.mien_dtype_size(C.mien_tensor_dtype(t)))))
end

local function add_table(parts, name, value)
  if type(value) ~= "table" then
    parts[#parts + 1] = name .. " = " .. tostring(value)
    return
  end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do add_table(parts, name .. "." .. tostring(key), value[key]) end
end

local function network()
  local net = mien.nn.sequential { mien.nn.linear { 40, 60 }, mien.nn.relu(), mien.nn.linear { 60, 3 } }
  mien.init.xavier():apply(net, mien.rng.stream(3, "weights"))
  return net
end

local kinds = {}
flips.kinds = kinds

kinds.corpus = {
  write = function(path)
    local names = {}
    for i = 1, 300 do names[i] = ("label%03d of a corpus with many of them"):format(i) end -- a long text
    local w = mien.data.writer(path, { name = "flipped", height = 12, width = 10, fps = 25, sequence = 10,
      label_kind = "continuous", label_names = { "arousal", "valence" }, source = table.concat(names, ", ") })
    local rng = mien.rng.stream(1, "pixels")
    for i = 1, 4 do
      local frames = (mien.rand { 20, 12, 10, 3, rng = rng } * 255):to "u8"
      w:recording { name = "rec" .. i, subject = "s" .. i % 2, partition = i < 3 and "train" or i < 4 and "devel" or "test",
        frames = frames, labels = mien.rand { 20, 2, rng = rng } }
    end
    w:finish()
  end,
  read = function(path)
    local corpus, parts = mien.data.open(path), {}
    local fields = {}
    for key, value in pairs(corpus) do
      if key ~= "file" and key ~= "path" then fields[key] = value end
    end
    add_table(parts, "corpus", fields)
    parts[#parts + 1] = corpus_of.identity(corpus)
    for _, name in ipairs { "frames", "labels", "recording", "subject", "partition", "time" } do
      add_tensor(parts, name, corpus.file:read(name))
    end
    local loader = mien.data.loader { corpus = corpus, starts = corpus:windows { sequence = 5 }, sequence = 5, batch = 4,
      keep_last = true }
    for frames, labels in loader:batches() do
      add_tensor(parts, "batch", frames)
      add_tensor(parts, "batch", labels)
    end
    loader:close()
    corpus:close()
    return digest(parts)
  end,
}

kinds.weights = {
  write = function(path)
    mien.checkpoint.save_weights(path, network(), { image_size = { 12, 10 }, fps = 5, outputs = { "arousal", "valence" },
      architecture = "three layers, of which nobody asks" })
  end,
  read = function(path)
    local file, parts = mien.checkpoint.load_weights(path), {}
    add_table(parts, "meta", file.meta)
    for _, entry in ipairs(file.tensors) do add_tensor(parts, entry[1], entry[2]) end
    return digest(parts)
  end,
}

local function training()
  local net = network()
  return net, mien.optim.adam(net:parameters(), { lr = 1e-3 })
end

kinds.checkpoint = {
  write = function(path)
    local net, optimiser = training()
    for i = 1, 2 do
      optimiser:zero_grad()
      net(mien.rand { 4, 40, rng = mien.rng.stream(i, "x") }):sum():backward()
      optimiser:step()
    end
    mien.checkpoint.save(path, { model = net, optimiser = optimiser, rngs = { order = mien.rng.stream(9, "order") },
      position = { epoch = 3, step = 77, best = { value = 0.25, epoch = 2 } } })
  end,
  read = function(path)
    local net, optimiser = training()
    local stream = mien.rng.stream(1, "order")
    local position = mien.checkpoint.load(path, { model = net, optimiser = optimiser, rngs = { order = stream } })
    local parts = {}
    add_table(parts, "position", position)
    add_table(parts, "stream", stream:state())
    for _, entry in ipairs(net:state()) do add_tensor(parts, entry[1], entry[2]) end
    local state = optimiser:state()
    parts[#parts + 1] = tostring(state.step)
    for _, entry in ipairs(state) do add_tensor(parts, entry[1], entry[2]) end
    return digest(parts)
  end,
}

-- ---- the campaign ----------------------------------------------------------------------------------------------

local function bytes_of(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "*a"
  file:close()
  return bytes
end

local function put(path, bytes)
  local file = assert(io.open(path, "wb"))
  file:write(bytes)
  file:close()
end

--- Reads in a child: "same", "told" (an error that names the file), "unseen" (other contents, and no error), "raw"
-- (an error of another kind) or "died"; with what was said.
local function outcome(kind, path, wanted)
  local said = path .. ".said"
  local pid = ffi.C.fork()
  if pid == 0 then
    ffi.C.alarm(120)
    local ok, result = pcall(kind.read, path)
    local code = 3
    if ok then code = result == wanted and 0 or 2
    elseif tostring(result):find(path, 1, true) and not tostring(result):find "attempt to" then code = 1 end
    put(said, tostring(result))
    ffi.C._exit(code)
  end
  local status = ffi.new "int[1]"
  repeat until ffi.C.waitpid(pid, status, 0) == pid
  local names = { [0] = "same", "told", "unseen", "raw" }
  local result = bit.band(status[0], 0x7f) ~= 0 and "died" or names[bit.rshift(status[0], 8)]
  local words = io.open(said) and bytes_of(said) or ""
  os.remove(said)
  return result, words
end

--- Flips `n` bits of a file of this kind, one at a time; returns how often each outcome came, and the places (bit
-- numbers) of those that are not "told" or "same", with what was said.
function flips.run(name, n, seed, folder)
  local kind, path = kinds[name], ("%s/%s.h5"):format(folder, name)
  kind.write(path)
  local good, wanted = bytes_of(path), kind.read(path)
  local counts, bad = { same = 0, told = 0, unseen = 0, raw = 0, died = 0 }, {}
  local rng = mien.rng.stream(seed, "flips of " .. name)
  for _ = 1, n do
    local at = math.floor(rng:uniform() * #good * 8)
    local byte = math.floor(at / 8)
    put(path, good:sub(1, byte) .. string.char(bit.bxor(good:byte(byte + 1), bit.lshift(1, at % 8))) .. good:sub(byte + 2))
    local result, words = outcome(kind, path, wanted)
    counts[result] = counts[result] + 1
    if result ~= "told" and result ~= "same" then bad[#bad + 1] = { at = at, outcome = result, said = words } end
  end
  os.remove(path)
  return counts, bad, #good
end

if arg and arg[0] and arg[0]:find "flips%.lua$" then
  local folder = os.tmpname()
  os.remove(folder)
  require("mien.base.ffi").mien_folder_make(folder)
  local all_well = true
  for _, name in ipairs { "corpus", "weights", "checkpoint" } do
    local counts, bad, size = flips.run(name, tonumber(arg[1]) or 1000, tonumber(arg[2]) or 1, folder)
    print(("%-10s %6d bytes: %d told, %d harmless (unused bytes), %d unseen, %d raw errors, %d died"):format(name, size,
      counts.told, counts.same, counts.unseen, counts.raw, counts.died))
    for _, b in ipairs(bad) do
      all_well = false
      print(("  bit %d: %s %s"):format(b.at, b.outcome, b.said))
    end
  end
  require("lfs").rmdir(folder)
  os.exit(all_well and 0 or 1)
end

return flips
