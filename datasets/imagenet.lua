-- ImageNet (ILSVRC 2012) as its owners hand it out, folders or tar files, as a corpus of classes.
-- Not here: other folders of pictures (folder.lua).
local here = debug.getinfo(1, "S").source:gsub("^@", ""):match "^(.*)/[^/]*$" or "."
if not package.path:find(here .. "/?.lua", 1, true) then package.path = here .. "/?.lua;" .. package.path end

local ffi = require "ffi"
local lfs = require "lfs"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local command = require "reading.command"
local data = require "mien.data"
local file = require "mien.data.file"
local folders = require "mien.base.folders"
local middle = require("reading.pictures").middle
local read = require "mien.base.read"
local status_line = require "mien.base.status_line"
local tar = require "reading.tar"

local PIECE = 256 -- pictures of a recording, which are in memory together
local TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
local TRUTH = "ILSVRC2012_validation_ground_truth.txt"

-- ---- where the pictures are ------------------------------------------------------------------------

local function exists(path, mode) return lfs.attributes(path, "mode") == mode end

local function sorted(path)
  local names = {}
  for name in lfs.dir(path) do
    if name:sub(1, 1) ~= "." then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- The first of these files below FROM, or in a devkit's folder there; nil.
local function find(from, name)
  for _, folder in ipairs { "", "/ILSVRC2012_devkit_t12/data", "/devkit/data", "/data" } do
    if exists(from .. folder .. "/" .. name, "file") then return from .. folder .. "/" .. name end
  end
end

local function train_folder(o)
  return exists(o.from .. "/train", "directory") and o.from .. "/train" or o.from
end

--- Each picture of the train side: give(wnid, name, bytes). Folders train/WNID or WNID, or the tar file of tar files.
local function each_train(o, give)
  local path = find(o.from, TRAIN)
  if path then
    local input = assert(io.open(path, "rb"))
    for name, size, offset in tar.members(input, path) do
      local wnid = name:match "(n%d+)%.tar$"
      if not wnid then check.raise("format", "%s: holds %s; wanted are n01440764.tar and the like", path, name) end
      if o.wanted(wnid) then
        for picture, bytes, at in tar.members(input, path .. ": " .. name, offset, offset + size) do
          input:seek("set", at)
          if not give(wnid, picture, input:read(bytes) or "") then break end
        end
      end
    end
    input:close()
    return
  end
  local folder = train_folder(o)
  for _, wnid in ipairs(sorted(folder)) do
    if wnid:find "^n%d+$" and o.wanted(wnid) then
      for _, name in ipairs(sorted(folder .. "/" .. wnid)) do
        if not give(wnid, wnid .. "/" .. name, read(folder .. "/" .. wnid .. "/" .. name) or "") then break end
      end
    end
  end
end

--- WNIDs by ILSVRC2012_ID, of map_clsloc.txt: "n02119789 1 kit_fox".
local function identities(path)
  local wnids, line = {}, 0
  for words in io.lines(path) do
    line = line + 1
    local wnid, id = words:match "^(n%d+)%s+(%d+)%s"
    if not wnid or wnids[tonumber(id)] then
      check.raise("format", "%s:%d: no 'n02119789 1 kit_fox', or a number that stands above: '%s'", path, line, words)
    end
    wnids[tonumber(id)] = wnid
  end
  return wnids
end

--- The class of the n-th picture of the validation side.
local function truth(o)
  local path, map = find(o.from, TRUTH), find(o.from, "map_clsloc.txt")
  if not path or not map then
    check.raise("io", "%s: %s and map_clsloc.txt of the devkit tell the classes of pictures without folders; no %s", o.from,
      TRUTH, path and "map_clsloc.txt" or TRUTH)
  end
  local wnids, list, line = identities(map), {}, 0
  for word in io.lines(path) do
    line = line + 1
    list[line] = wnids[tonumber(word)] or check.raise("format", "%s:%d: '%s' is no number of %s", path, line, word, map)
  end
  return function(name)
    local n = tonumber(name:match "_(%d+)%.%a+$")
    return n and list[n] or check.raise("format", "%s: its number is none of the %d of %s", name, #list, path)
  end
end

--- The same of the validation side: val/WNID, or val and VAL with the ground truth. Nothing when there is none.
local function each_val(o, give)
  local folder, path = o.from .. "/val", find(o.from, VAL)
  if path then
    local class, input = truth(o), assert(io.open(path, "rb"))
    for name, size, at in tar.members(input, path) do
      local wnid = class(name)
      if o.wanted(wnid) then
        input:seek("set", at)
        give(wnid, name, input:read(size) or "")
      end
    end
    input:close()
  elseif exists(folder, "directory") then
    local class
    for _, name in ipairs(sorted(folder)) do
      if exists(folder .. "/" .. name, "directory") then
        for _, picture in ipairs(o.wanted(name) and sorted(folder .. "/" .. name) or {}) do
          if not give(name, name .. "/" .. picture, read(folder .. "/" .. name .. "/" .. picture) or "") then break end
        end
      else
        class = class or truth(o)
        local wnid = class(name)
        if o.wanted(wnid) then give(wnid, name, read(folder .. "/" .. name) or "") end
      end
    end
  end
end

-- ---- the corpus ------------------------------------------------------------------------------------

--- Is a JPEG one of four colours? Its frame header says how many.
local function four_colours(bytes)
  local at = 3
  while bytes:byte(at) == 0xff do
    local marker, high, low = bytes:byte(at + 1, at + 3)
    if not low or marker == 0xda then return false end
    if marker >= 0xc0 and marker <= 0xcf and marker ~= 0xc4 and marker ~= 0xc8 and marker ~= 0xcc then
      return bytes:byte(at + 9) == 4
    end
    at = at + 2 + high * 256 + low
  end
  return false
end

--- The classes of the train side that are wanted, sorted.
local function classes_of(o)
  local seen, list, path = {}, {}, find(o.from, TRAIN)
  if path then
    local input = assert(io.open(path, "rb"))
    for name in tar.members(input, path) do seen[name:match "(n%d+)%.tar$" or name] = true end
    input:close()
  else
    for _, name in ipairs(sorted(train_folder(o))) do
      if name:find "^n%d+$" then seen[name] = true end
    end
  end
  for _, wnid in ipairs(o.classes or {}) do
    if not seen[wnid] then check.raise("argument", "%s: there is no class %s in the train side", o.from, wnid) end
  end
  for wnid in pairs(seen) do
    if o.wanted(wnid) then list[#list + 1] = wnid end
  end
  if #list == 0 then
    check.raise("io", "%s: neither %s nor folders n01440764 ... (in train/ or here)", o.from, TRAIN)
  end
  table.sort(list)
  return list
end

--- What is odd about pictures, with their names.
local function oddities()
  local odd = { broken = {}, unknown = {}, four = {}, other = {} }
  local words = { broken = "left out %d pictures that cannot be read",
    four = "%d pictures have four colours, brought to three",
    unknown = "left out %d pictures of the validation side that are of no class of the train side",
    other = "%d pictures are no JPEG, whatever their names say" }
  function odd.tell(note)
    for _, kind in ipairs { "broken", "unknown", "four", "other" } do
      local names = odd[kind]
      if #names > 0 then
        note(words[kind] .. ": %s%s", #names, table.concat(names, ", ", 1, math.min(3, #names)),
          #names > 3 and ", ..." or "")
      end
    end
  end
  return odd
end

--- The middle of a picture as u8 [size,size,3]; nil where it is none.
local function square_of(content, name, size)
  local ok, image = pcall(data.image.decode, content, name)
  if not ok then
    if not check.is_error(image) or image.code ~= "format" then error(image, 0) end
    return nil
  end
  return middle(image, size)
end

--- Takes pictures one by one and writes them in recordings of PIECE: add(partition, wnid, name, content) gives false when
-- the class has enough, flush(partition) writes what is left; counts, total, recordings.
local function sink(o, writer, classes, odd)
  local self = { counts = {}, total = {}, recordings = 0 }
  local frames, bytes = file.array("u8", { PIECE, o.size, o.size, 3 }), o.size * o.size * 3
  local number, labels, held = {}, file.array("i32", { PIECE }), 0
  for c, wnid in ipairs(classes) do number[wnid] = c end
  for _, partition in ipairs { "train", "devel", "test" } do
    self.counts[partition], self.total[partition] = {}, 0
    for c in ipairs(classes) do self.counts[partition][c] = 0 end
  end
  function self.flush(partition)
    if held == 0 then return end
    self.recordings = self.recordings + 1
    local name = ("%s %d"):format(partition, self.recordings)
    writer:recording { name = name, subject = name, partition = partition, frames = frames:narrow(1, 1, held),
      labels = labels:narrow(1, 1, held) }
    held = 0
  end
  function self.add(partition, wnid, name, content)
    local class, counts = number[wnid], self.counts[partition]
    if not class then return table.insert(odd.unknown, name) or true end
    if o.per_class and counts[class] >= o.per_class then return false end
    if C.mien_interrupt_requested() then check.raise("interrupted", "interrupted") end
    local square = square_of(content, name, o.size)
    if not square then return table.insert(odd.broken, name) or true end
    if content:sub(1, 3) ~= "\255\216\255" then table.insert(odd.other, name)
    elseif four_colours(content) then table.insert(odd.four, name) end
    ffi.copy(frames:data() + held * bytes, square:data(), bytes)
    square:free()
    labels:data()[held], counts[class] = class, counts[class] + 1
    held, self.total[partition] = held + 1, self.total[partition] + 1
    status_line.show(("%s: %d pictures, %s"):format(partition, self.total[partition], name))
    if held == PIECE then self.flush(partition) end
    return true
  end
  return self
end

local function make(o)
  local only
  for _, wnid in ipairs(o.classes or {}) do
    only = only or {}
    only[wnid] = true
  end
  o.wanted = function(wnid) return not only or only[wnid] end
  local classes, odd = classes_of(o), oddities()
  folders.make_for(o.out)
  local writer = data.writer(o.out, { name = "imagenet", height = o.size, width = o.size, fps = 0, label_kind = "class",
    label_names = classes, sequence = 1,
    source = ("ILSVRC 2012 of %s; squares in the middle, %d pixels"):format(o.from, o.size) })
  local pictures = sink(o, writer, classes, odd)
  local ok, err = pcall(function()
    each_train(o, function(...) return pictures.add("train", ...) end)
    pictures.flush "train"
    each_val(o, function(...) return pictures.add("devel", ...) end)
    pictures.flush "devel"
    if pictures.total.train == 0 then check.raise("io", "%s: no picture of the train side can be read", o.from) end
    writer:finish()
  end)
  writer:close()
  if not ok then error(err, 0) end
  odd.tell(o.note)
  local train, devel = pictures.total.train, pictures.total.devel
  if devel == 0 then o.note("there is no validation side (val/ or %s): nothing can be validated", VAL) end
  return { recordings = pictures.recordings, frames = train + devel, left_out = {}, fps = 0,
    lines = { ("%d classes, %d pictures to train with, %d to validate"):format(#classes, train, devel) } }
end

return command.entry(command.declare {
  name = "imagenet", title = "ImageNet, ILSVRC 2012: folders or the owners' tar files as a corpus of classes",
  wants = [[
Either folders: train/n01440764/*.JPEG (or n01440764/*.JPEG) and val/n01440764/*.JPEG; or the owners' files, which are read
in place and never unpacked: ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar. Validation pictures that lie in no folders
want ILSVRC2012_validation_ground_truth.txt and map_clsloc.txt of the devkit beside them. Pictures are cut to the square in
their middle.]],
  common = { "out" },
  options = {
    { "from", "folder of the owners' files", required = true },
    { "size", "side in pixels", kind = "count", default = 256 },
    { "classes", "only these, as n01440764,n01443537", kind = "names" },
    { "per_class", "pictures of a class and partition at most", kind = "count" },
  },
  examples = { "mien dataset import imagenet --from ILSVRC2012 --out corpora/paper/imagenet.h5" },
  make = make,
  check = function(o) -- every picture is read
    local odd, nothing = oddities(), { recording = function() end }
    o.wanted = function() return true end
    local pictures = sink(o, nothing, classes_of(o), odd)
    each_train(o, function(...) return pictures.add("train", ...) end)
    each_val(o, function(...) return pictures.add("devel", ...) end)
    odd.tell(o.note)
  end,
}, arg)
