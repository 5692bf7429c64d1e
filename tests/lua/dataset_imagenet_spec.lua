-- ImageNet from folders and from tar files of tar files; what is no picture, or no JPEG; damaged tar files.
-- Not here: other folders of pictures (data_folder_spec.lua).
local dataset = require "tests.lua.dataset_forms"
local lfs = require "lfs"
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local imagenet = dofile(here .. "../../datasets/imagenet.lua")
local tar = require "reading.tar"
local folder = tiny.folder()
local write, says, has_note = dataset.writer(folder), dataset.says, dataset.has_note

teardown(function() tiny.drop(folder) end)

local function shell(...)
  assert(os.execute(("cd '%s' && "):format(folder) .. string.format(...)) == 0)
end

--- A picture of one brightness, twice as wide as high; its name says JPEG, which PNG's bytes contradict.
local function picture(path, value)
  write(path, "")
  mien.data.image.write(folder .. "/" .. path, mien.full({ 12, 24, 3 }, value):to "u8")
end

local have = pcall(mien.data.image.write, folder .. "/probe.png", mien.full({ 2, 2, 3 }, 9):to "u8")

--- The corpus as { wnid = { train = { brightness, ... }, devel = ... } }.
local function content(path)
  local corpus, found = mien.data.open(path), {}
  for _, recording in ipairs(corpus.recordings) do
    local labels = corpus:labels(recording.first, recording.count):totable()
    local pixels = corpus:pixels(recording.first, recording.count)
    for i, label in ipairs(labels) do
      local wnid = corpus.label_names[label]
      found[wnid] = found[wnid] or { train = {}, devel = {} }
      table.insert(found[wnid][recording.partition], pixels:narrow(1, i, 1):to("f32"):mean():item())
    end
  end
  corpus:close()
  return found
end

local function tree()
  for c, wnid in ipairs { "n01440764", "n01443537", "n02119789" } do
    for i = 1, 3 do picture(("tree/train/%s/%s_%d.JPEG"):format(wnid, wnid, i), 40 * c + i) end
  end
  write("tree/train/n01443537/n01443537_4.JPEG", "no picture")
  for i = 1, 3 do picture(("tree/val/ILSVRC2012_val_0000000%d.JPEG"):format(i), 200 + i) end
  write("tree/ILSVRC2012_validation_ground_truth.txt", "2\n3\n1\n")
  write("tree/map_clsloc.txt", "n02119789 1 kit_fox\nn01440764 2 tench\nn01443537 3 goldfish\n")
end

local expected = { n01440764 = { train = { 41, 42, 43 }, devel = { 201 } },
  n01443537 = { train = { 81, 82, 83 }, devel = { 202 } }, n02119789 = { train = { 121, 122, 123 }, devel = { 203 } } }

describe("ImageNet", function()
  it("comes from folders and from the owners' tar files, the same", function()
    if not have then return pending "built without FFmpeg" end
    tree()
    local result = imagenet.make { from = folder .. "/tree", out = folder .. "/a.h5", size = 8 }
    assert.are.equal(12, result.frames)
    has_note(result.notes, "left out 1 pictures that cannot be read: n01443537/n01443537_4.JPEG")
    has_note(result.notes, "12 pictures are no JPEG, whatever their names say: n01440764/n01440764_1.JPEG")
    assert.are.same(expected, content(folder .. "/a.h5"))
    for _, format in ipairs { "gnu", "pax", "ustar" } do
      shell("rm -rf owners && mkdir owners && cp tree/*.txt owners/")
      for wnid in pairs(expected) do
        shell("tar --format=%s -cf owners/%s.tar -C tree/train/%s $(ls tree/train/%s)", format, wnid, wnid, wnid)
      end
      shell("cd owners && tar --format=%s -cf ILSVRC2012_img_train.tar n*.tar && rm n*.tar", format)
      shell("tar --format=%s -cf owners/ILSVRC2012_img_val.tar -C tree/val $(ls tree/val)", format)
      imagenet.make { from = folder .. "/owners", out = folder .. "/b.h5", size = 8 }
      assert.are.same(expected, content(folder .. "/b.h5"))
    end
    imagenet.make { from = folder .. "/owners", out = folder .. "/c.h5", size = 8, per_class = 2,
      classes = { "n02119789", "n01440764" } }
    assert.are.same({ n01440764 = { train = { 41, 42 }, devel = { 201 } },
      n02119789 = { train = { 121, 122 }, devel = { 203 } } }, content(folder .. "/c.h5"))
  end)

  it("is refused where classes are not told, or nothing is there", function()
    if not have then return pending "built without FFmpeg" end
    tree()
    local function import(options)
      options.from, options.out, options.size = folder .. "/tree", folder .. "/x.h5", 8
      return imagenet.make(options)
    end
    says("there is no class n1 in the train side", import, { classes = { "n1" } })
    write("tree/ILSVRC2012_validation_ground_truth.txt", "2\n9\n1\n")
    says("ground_truth.txt:2: '9' is no number of .*map_clsloc.txt", import, {})
    write("tree/map_clsloc.txt", "n02119789 1 kit_fox\nn01440764 1 tench\n")
    says("map_clsloc.txt:2: .*stands above", import, {})
    os.remove(folder .. "/tree/map_clsloc.txt")
    says("tell the classes of pictures without folders; no map_clsloc.txt", import, {})
    assert.is_nil(lfs.attributes(folder .. "/x.h5"))
    says("neither ILSVRC2012_img_train.tar nor folders", imagenet.make, { from = folder .. "/tree/val",
      out = folder .. "/x.h5" })
  end)
end)

describe("a tar file", function()
  local function names(path)
    local input, list = assert(io.open(path, "rb")), {}
    for name, size, offset in tar.members(input, path) do
      input:seek("set", offset)
      list[#list + 1] = name .. "=" .. input:read(size)
    end
    input:close()
    return list
  end

  it("gives its files by their whole names", function()
    local long = ("d"):rep(90) .. "/" .. ("e"):rep(90) .. "/f.txt"
    write("t/" .. long, "deep")
    write("t/a.txt", "flat")
    for _, format in ipairs { "gnu", "pax", "ustar" } do
      shell("tar --format=%s -cf t.tar -C t %s a.txt", format, long)
      assert.are.same({ long .. "=deep", "a.txt=flat" }, names(folder .. "/t.tar"))
    end
  end)

  it("that is damaged or breaks off is refused with its place", function()
    write("u/a.txt", ("x"):rep(3000))
    shell("tar --format=gnu -cf u.tar -C u a.txt")
    local input = assert(io.open(folder .. "/u.tar", "rb"))
    local whole = input:read "*a"
    input:close()
    says("u2.tar: at byte 0: a.txt breaks off", names, write("u2.tar", whole:sub(1, 2000)))
    says("u3.tar: at byte 0: the tar file breaks off", names, write("u3.tar", whole:sub(1, 300)))
    says("u4.tar: at byte 0: no tar file, or a damaged one", names, write("u4.tar", "y" .. whole:sub(2)))
    math.randomseed(7)
    for _ = 1, 300 do -- whatever stands there: an error of the form, or names
      local at = math.random(1, 1024)
      local ok, err = pcall(names, write("u5.tar", whole:sub(1, at - 1) .. string.char(math.random(0, 255))
        .. whole:sub(at + 1)))
      assert.is_true(ok or type(err) == "table" and err.code == "format", tostring(err))
    end
  end)
end)
