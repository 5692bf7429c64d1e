-- Damaged files of other programs' weights: each is read whole or refused by one of mien's errors that names it, and nothing
-- else happens. Sums are made good where a format has them, so that the damage gets past them.
-- tests/lua/foreign_weights_spec.lua runs some; more, best of a build with sanitizers:
--   mien -e 'print(dofile "tests/fuzz/weights.lua"(SECONDS, SEED, "pattern of file names"))'
-- Not here: unpacking and zip files in C (fuzz_bytes.c), HDF5 (fuzz_hdf5.c).
local C = require "mien.base.ffi"
local bytes = require "mien.weights.bytes"
local check = require "mien.base.check"
local lfs = require "lfs"
local pieces = require "mien.weights.writing.pieces"
local protobuf = require "mien.weights.reading.protobuf"
local read = require "mien.base.read"
local scope = require "mien.tensor.scope"
local stored_zip = require "mien.weights.writing.stored_zip"
local weights = require "mien.weights"

local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local SEEDS = here .. "../golden/weights/"

local NUMBERS = { "\0", "\1", "\x7f", "\x80", "\xff", "\0\0\0\0", "\xff\xff\xff\xff", "\xff\xff\xff\x7f", ("\xff"):rep(8),
  "\0\0\0\0\0\0\0\x80", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\1" }

local function put(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

return function(seconds, seed, pattern)
  local state = seed or 1
  local function draw(n) -- 1 .. n: Park and Miller, the same everywhere
    state = state * 16807 % 2147483647
    return state % n + 1
  end

  local function damage(text)
    for _ = 1, draw(4) do
      local at, kind = draw(#text + 1), draw(8)
      local head, tail = text:sub(1, at - 1), text:sub(at)
      if kind <= 3 then
        text = head .. string.char(draw(256) - 1) .. tail:sub(2)
      elseif kind == 4 then
        local number = NUMBERS[draw(#NUMBERS)]
        text = head .. number .. tail:sub(#number + 1)
      elseif kind == 5 then
        text = head .. tail:sub(draw(16))
      elseif kind == 6 then
        local from = draw(#text + 1)
        text = head .. text:sub(from, from + draw(64)) .. tail
      elseif kind == 7 then
        local from = draw(#text + 1)
        local part = text:sub(from, from + draw(64))
        text = head .. part .. tail:sub(#part + 1)
      else
        text = draw(20) == 1 and head or head .. tail:sub(1, 1):rep(draw(40)) .. tail
      end
    end
    return text
  end

  local function masked(text)
    local sum = require("mien.weights.bytes")
    local path = os.tmpname()
    put(path, text)
    local crc = sum.open(path):crc32c(0, #text)
    os.remove(path)
    return pieces.whole(((math.floor(crc / 2 ^ 15) + crc * 2 ^ 17) % 2 ^ 32 + 0xa282ead8) % 2 ^ 32, 4)
  end

  --- A table of TensorFlow with damage inside its first block, whose size and sum stay good.
  local function damaged_table(text)
    local at, numbers = #text - 47, {}
    for i = 1, 4 do numbers[i], at = protobuf.varint(text, at) end
    local first = numbers[3] == 0 and numbers[4] or numbers[1]
    local size = math.min(first, numbers[3])
    while size > 5 and masked(text:sub(1, size + 1)) ~= text:sub(size + 2, size + 5) do size = size - 1 end
    if size <= 5 then return damage(text) end
    local block = damage(text:sub(1, size))
    block = (block .. ("\0"):rep(size)):sub(1, size) .. text:sub(size + 1, size + 1)
    return block .. masked(block) .. text:sub(size + 6)
  end

  --- Of a zip: one of its files damaged, packed anew with good sums.
  local function damaged_zip(path, out)
    local files = {}
    for i, part in ipairs(bytes.zip(path)) do
      local inside = part.open()
      files[i] = { part.name, inside:text(0, inside.size) }
    end
    local one = files[draw(#files)]
    if draw(2) == 1 then
      for _, file in ipairs(files) do
        if file[1]:find "data%.pkl$" then one = file end
      end
    end
    one[2] = damage(one[2])
    stored_zip(out, files)
  end

  local names = {}
  for name in lfs.dir(SEEDS) do
    if name:find "^%w" and not name:find "%.data%-" and name:find(pattern or "") then names[#names + 1] = name end
  end
  table.sort(names)
  local stop, counts, n = C.mien_time_now() + seconds, { read = 0, refused = 0 }, 0
  local base = os.tmpname()
  repeat
    n = n + 1
    local name = names[n % #names + 1]
    local text, path = read(SEEDS .. name), base .. "." .. (name:match "([^.]+)$")
    local kind = draw(3)
    if text:sub(1, 2) == "PK" and kind > 1 then
      damaged_zip(SEEDS .. name, path)
    elseif (name:find "%.index$" or name:find "%.ckpt$") and kind > 1 then
      put(path, damaged_table(text))
    else
      put(path, damage(text))
    end
    if name:find "%.index$" then
      put(base .. ".data-00000-of-00001", read(SEEDS .. name:gsub("%.index$", ".data-00000-of-00001")))
    end
    local ok, problem = pcall(scope.run, function()
      for _, entry in ipairs(weights.open(path).entries) do
        if entry.dtype then
          local t = entry.read()
          assert(#t.shape == #entry.shape, "another shape than the entry's")
          if t:count() > 0 then t:summary() end
        end
      end
      weights.load(path)
    end)
    if ok then
      counts.read = counts.read + 1
    elseif check.is_error(problem) and problem.code ~= "internal" and problem.code ~= "memory"
      and tostring(problem):find(base, 1, true) then
      counts.refused = counts.refused + 1
    else
      put("/tmp/mien-fuzz-found-" .. name, read(path))
      error(("%s, damaged, is kept as /tmp/mien-fuzz-found-%s: %s"):format(name, name, tostring(problem)), 0)
    end
  until C.mien_time_now() >= stop
  for _, ending in ipairs { "", ".data-00000-of-00001" } do os.remove(base .. ending) end
  for _, name in ipairs(names) do os.remove(base .. "." .. (name:match "([^.]+)$")) end
  return ("%d files: %d read, %d refused"):format(n, counts.read, counts.refused)
end
