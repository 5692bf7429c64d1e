-- Writes a state_dict as torch.save does: a zip of a pickle and of the elements. Not here: reading (reading/torch.lua).
local pieces = require "mien.weights.writing.pieces"

-- ---- the pickle ----------------------------------------------------------------------------------------

local function text(value) return "X" .. pieces.whole(#value, 4) .. value end
local function int(value)
  if value < 2 ^ 31 then return "J" .. pieces.whole(value, 4) end
  return "\x8a\x08" .. pieces.whole(value, 8)
end
local function tuple(list)
  local parts = { "(" }
  for i, value in ipairs(list) do parts[i + 1] = int(value) end
  return table.concat(parts) .. "t"
end

local DICT = "ccollections\nOrderedDict\n)R"

--- _rebuild_tensor_v2(storage, 0, shape, strides, requires_grad = False, hooks = {}).
local function tensor(key, t)
  local strides, step = {}, 1
  for i = t.ndim, 1, -1 do
    strides[i] = step
    step = step * math.max(1, t.shape[i])
  end
  return "ctorch._utils\n_rebuild_tensor_v2\n(" .. "(" .. text "storage" .. "ctorch\nFloatStorage\n" .. text(key)
    .. text "cpu" .. int(t:count()) .. "tQ" .. int(0) .. tuple(t.shape) .. tuple(strides) .. "\x89" .. DICT .. "tR"
end

-- ---- the zip -------------------------------------------------------------------------------------------

local DATE = "\0\0\x21\0" -- 1980-01-01

--- Appends a stored file to the pieces; its contents begin at a multiple of 64. Returns the line for the directory.
local function add(parts, at, name, piece)
  local size, sum = pieces.size(piece), pieces.whole(pieces.crc32(piece), 4)
  local pad = -(at + 30 + #name + 4) % 64
  local common = "\0\0\0\0\0\0" .. DATE .. sum .. pieces.whole(size, 4):rep(2) .. pieces.whole(#name, 2)
  local header = "PK\3\4" .. common .. pieces.whole(4 + pad, 2) .. name .. "FB" .. pieces.whole(pad, 2) .. ("\0"):rep(pad)
  parts[#parts + 1], parts[#parts + 2] = header, piece
  local line = "PK\1\2\0\0" .. common .. ("\0"):rep(12) .. pieces.whole(at, 4) .. name
  return line, at + #header + size
end

--- Writes tensors, a list of { name, tensor }, as f32 for torch.load: an OrderedDict. Below 4 GB.
return function(path, tensors)
  local list, body = pieces.plain(tensors), { "\x80\2", DICT, "(" }
  for i, entry in ipairs(list) do body[#body + 1] = text(entry[1]) .. tensor(tostring(i - 1), entry[2]) end
  body[#body + 1] = "u."
  local files = { { "data.pkl", table.concat(body) }, { "byteorder", "little" } }
  for i, entry in ipairs(list) do files[#files + 1] = { "data/" .. i - 1, entry[2] } end
  files[#files + 1] = { "version", "3\n" }
  local parts, directory, at = {}, {}, 0
  for i, file in ipairs(files) do directory[i], at = add(parts, at, "archive/" .. file[1], file[2]) end
  local lines = table.concat(directory)
  parts[#parts + 1] = lines
  parts[#parts + 1] = "PK\5\6\0\0\0\0" .. pieces.whole(#files, 2):rep(2) .. pieces.whole(#lines, 4) .. pieces.whole(at, 4)
    .. "\0\0"
  if at + #lines >= 2 ^ 32 then require("mien.base.check").raise("unsupported", "%s: above 4 GB: write safetensors", path) end
  pieces.write(path, parts)
end
