-- Writes zip files whose contents are not packed, as PyTorch keeps its tensors. Not here: reading (core/data/zip.c).
local check = require "mien.base.check"
local pieces = require "mien.weights.writing.pieces"

local DATE = "\0\0\x21\0" -- 1980-01-01

--- Appends a file to the pieces; its contents begin at a multiple of 64. Returns the line for the directory, and the end.
local function add(parts, at, name, piece)
  local size, sum = pieces.size(piece), pieces.whole(pieces.crc32(piece), 4)
  local pad = -(at + 30 + #name + 4) % 64
  local common = "\0\0\0\0\0\0" .. DATE .. sum .. pieces.whole(size, 4):rep(2) .. pieces.whole(#name, 2)
  local header = "PK\3\4" .. common .. pieces.whole(4 + pad, 2) .. name .. "FB" .. pieces.whole(pad, 2) .. ("\0"):rep(pad)
  parts[#parts + 1], parts[#parts + 2] = header, piece
  local line = "PK\1\2\0\0" .. common .. ("\0"):rep(12) .. pieces.whole(at, 4) .. name
  return line, at + #header + size
end

--- Writes files, a list of { name, text or tensor }, to a zip file at `path`; below 4 GB.
return function(path, files)
  local parts, directory, at = {}, {}, 0
  for i, file in ipairs(files) do directory[i], at = add(parts, at, file[1], file[2]) end
  local lines = table.concat(directory)
  parts[#parts + 1] = lines
  parts[#parts + 1] = "PK\5\6\0\0\0\0" .. pieces.whole(#files, 2):rep(2) .. pieces.whole(#lines, 4) .. pieces.whole(at, 4)
    .. "\0\0"
  if at + #lines >= 2 ^ 32 then check.raise("unsupported", "%s: above 4 GB: write safetensors", path) end
  pieces.write(path, parts)
end
