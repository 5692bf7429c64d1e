-- Reads tar files member by member, also those that lie inside others, without unpacking them: ustar, and the extensions
-- of GNU (long names, large sizes) and pax (path, size). Not here: compressed tar files, sparse members, links.
local check = require "mien.base.check"

local tar = {}

local BLOCK, LONGEST = 512, 2 ^ 20 -- bytes; of a name or a pax header

--- A number of a header's field: octal digits, or with the first bit set a big-endian number.
local function number(field)
  if field:byte(1) < 128 then return tonumber(field:match "^[%s%z]*([0-7]*)", 8) or 0 end
  local value = field:byte(1) % 128
  for i = 2, #field do value = value * 256 + field:byte(i) end
  return value
end

local function text(field) return (field:match "^[^%z]*") end

--- What a pax header says: { path =, size = }.
local function pax(records, wrong)
  local said, at = {}, 1
  while at <= #records do
    local length, start = records:match("^(%d+) ()", at)
    local record = length and records:sub(start, at + length - 2)
    local key, value = (record or ""):match "^([^=]+)=(.*)$"
    if not key then wrong "a damaged pax header" end
    said[key] = value
    at = at + length
  end
  return said
end

--- Iterates over the files of a tar file: for name, size, offset in tar.members(file, path, first, last). file: open for
-- reading; path: for messages; first, last: where the tar lies in the file (offsets from 0; all of it when left out).
-- A file that breaks off, or holds anything else, is an error that says where.
function tar.members(file, path, first, last)
  local at, stop = first or 0, last or file:seek "end"
  local long, said -- for the member that follows
  local function wrong(fmt, ...) check.raise("format", "%s: at byte %.0f: " .. fmt, path, at, ...) end
  local function bytes(offset, n)
    if offset + n > stop then wrong "the tar file breaks off" end
    file:seek("set", offset)
    local read = n == 0 and "" or file:read(n)
    if not read or #read < n then wrong "the tar file breaks off" end
    return read
  end
  return function()
    while true do
      if at >= stop then return nil end
      local header = bytes(at, BLOCK)
      if not header:find "[^%z]" then return nil end -- blocks of zeros end it
      local sum = 8 * 32 -- the field of the sum counts as blanks
      for i = 1, BLOCK do sum = sum + ((i <= 148 or i > 156) and header:byte(i) or 0) end
      if sum ~= number(header:sub(149, 156)) then wrong "no tar file, or a damaged one" end
      local size, kind = number(header:sub(125, 136)), header:sub(157, 157)
      local content = at + BLOCK
      if kind == "L" or kind == "x" then
        if size > LONGEST then wrong("a header of %.0f bytes", size) end
        local value = bytes(content, size)
        if kind == "L" then long = text(value) else said = pax(value, wrong) end
        at = content + math.ceil(size / BLOCK) * BLOCK
      else
        local name = text(header:sub(1, 100))
        local prefix = header:sub(258, 262) == "ustar" and header:sub(263, 263) == "\0" and text(header:sub(346, 500)) or ""
        if prefix ~= "" then name = prefix .. "/" .. name end
        name = said and said.path or long or name
        size = said and tonumber(said.size) or size
        long, said = nil, nil
        local is_file = kind == "0" or kind == "\0" or kind == "7"
        if is_file and content + size > stop then wrong("%s breaks off", name) end
        at = content + math.ceil(size / BLOCK) * BLOCK
        if is_file then return name, size, content end
      end
    end
  end
end

return tar
