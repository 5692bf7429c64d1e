-- Videos whose every frame shows its own number, as Matroska with unpacked pictures, with any times; and the number back from
-- a picture. Not here: tests.
local numbered = { side = 64 }

local BITS = 8 -- columns of the picture, black or white, the highest bit on the left

--- EBML: an element's id as bytes, its size in eight bytes, its content.
local function element(id, content)
  local size = { "\1" }
  for i = 6, 0, -1 do size[#size + 1] = string.char(math.floor(#content / 256 ^ i) % 256) end
  return id .. table.concat(size) .. content
end

local function number(id, value)
  local text = {}
  for i = 7, 0, -1 do text[#text + 1] = string.char(math.floor(value / 256 ^ i) % 256) end
  return element(id, table.concat(text))
end

--- The picture of a number, three equal bytes a pixel; all its rows are the same, so that it may stand on its head.
local function picture(n)
  local row = {}
  for x = 0, numbered.side - 1 do
    local bit = math.floor(n / 2 ^ (BITS - 1 - math.floor(x * BITS / numbered.side))) % 2
    row[x + 1] = string.char(bit == 1 and 235 or 20):rep(3)
  end
  return table.concat(row):rep(numbered.side)
end

local function low(value, bytes)
  local text = {}
  for i = 1, bytes do
    text[i] = string.char(value % 256)
    value = math.floor(value / 256)
  end
  return table.concat(text)
end

--- Writes a video: frame i (from 1) shows the number i and is shown from times[i] milliseconds on. options: duration =
-- milliseconds that the file says each frame lasts (none: it says nothing).
function numbered.write(path, times, options)
  local side = numbered.side
  local format = low(40, 4) .. low(side, 4):rep(2) .. low(1, 2) .. low(24, 2) .. low(0, 4) .. low(side * side * 3, 4)
    .. low(0, 16) -- BITMAPINFOHEADER, no packing
  local said = options and options.duration and number("\x23\xe3\x83", options.duration * 1e6) or ""
  local track = element("\xae", number("\xd7", 1) .. number("\x73\xc5", 1) .. number("\x83", 1) .. said
    .. element("\x86", "V_MS/VFW/FOURCC") .. element("\x63\xa2", format)
    .. element("\xe0", number("\xb0", side) .. number("\xba", side)))
  local parts = { element("\x15\x49\xa9\x66", number("\x2a\xd7\xb1", 1e6) .. element("\x4d\x80", "t") .. element("\x57\x41",
    "t")),
    element("\x16\x54\xae\x6b", track) }
  for i, ms in ipairs(times) do
    parts[#parts + 1] = element("\x1f\x43\xb6\x75", number("\xe7", ms) .. element("\xa3", "\x81\0\0\x80" .. picture(i)))
  end
  local head = element("\x1a\x45\xdf\xa3", number("\x42\x86", 1) .. number("\x42\xf7", 1) .. number("\x42\xf2", 4)
    .. number("\x42\xf3", 8) .. element("\x42\x82", "matroska") .. number("\x42\x87", 2) .. number("\x42\x85", 2))
  local file = assert(io.open(path, "wb"))
  file:write(head, element("\x18\x53\x80\x67", table.concat(parts)))
  file:close()
  return path
end

--- The number that a picture shows: u8 [side,side,3].
function numbered.read(t)
  local side, pixels, n = t:size(1), t:data(), 0
  for bit = 0, BITS - 1 do
    local x = math.floor((bit + 0.5) * side / BITS)
    n = n * 2 + (pixels[(math.floor(side / 2) * side + x) * 3] > 127 and 1 or 0)
  end
  return n
end

return numbered
