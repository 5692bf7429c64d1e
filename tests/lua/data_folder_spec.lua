-- Folders of pictures: robust CSV, persons kept together, real faces.
-- Not here: training on them (experiments/realeyes.lua).
local C = require "mien.base.ffi"
local csv = require "mien.data.csv"
local mien = require "mien"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local maker = dofile(here .. "../../datasets/folder.lua")
local real = (os.getenv "MIEN_TEST_DATA" or here .. "../../../shared/data") .. "/faces8"

local folder = os.tmpname()
os.remove(folder)
C.mien_folder_make(folder)

local function write(name, text)
  local path = folder .. "/" .. name
  local out = assert(io.open(path, "wb"))
  out:write(text)
  out:close()
  return path
end

--- Counts of classes in train and devel together.
local function both(counts)
  local sum = {}
  for c, n in ipairs(counts.train) do sum[c] = n + counts.devel[c] end
  return sum
end

describe("a CSV", function()
  it("may have a BOM, CRLF, quotes, blanks and empty lines", function()
    local rows, _, bad = csv.read(write("odd.csv",
      '\239\187\191Image , label\r\n"a, ""b"".jpg",happy\r\n\r\nc.jpg , sad\r\nonly one\r\n"x'), { "image" })
    assert.are.same({ { line = 2, image = 'a, "b".jpg', label = "happy" },
      { line = 4, image = "c.jpg", label = "sad" } }, rows)
    assert.are.same({ { line = 5, problem = "1 fields, the header has 2" },
      { line = 6, problem = "a quote that does not end" } }, bad)
  end)

  it("that lacks a column is refused with its header", function()
    local ok, err = pcall(csv.read, write("header.csv", "file;emotion\n"), { "image" })
    assert.is_false(ok)
    assert.truthy(tostring(err):find("no column 'image'; its header is: file, emotion", 1, true))
  end)
end)

describe("names with commas", function()
  it("lose the blanks around them", function()
    assert.are.same({ "calm", "very happy", "angry" }, csv.names "calm, very happy ,angry")
  end)
end)

describe("a folder of pictures", function()
  teardown(function() os.execute("rm -rf '" .. folder .. "'") end)

  local have_ffmpeg = pcall(function()
    for i = 1, 12 do
      mien.data.image.write(("%s/Ann_Lee_%04d.png"):format(folder, i), mien.full({ 8, 10, 3 }, i, { dtype = "u8" }))
      mien.data.image.write(("%s/Person%d_0001.png"):format(folder, i), mien.full({ 8, 10, 3 }, 50, { dtype = "u8" }))
    end
  end)

  local function make(lines, options)
    local o = { pictures = folder, labels = write("labels.csv", "image,emotion\n" .. lines), out = folder .. "/o.h5",
      sequence = 3, windows = 1 }
    for key, value in pairs(options or {}) do o[key] = value end
    return maker.make(o)
  end

  local function rows()
    local lines = {}
    for i = 1, 12 do
      lines[#lines + 1] = ("Ann_Lee_%04d.png,%s\n"):format(i, i % 2 == 0 and "neutral" or "happiness")
      lines[#lines + 1] = ("Person%d_0001.png,anger\n"):format(i)
    end
    return table.concat(lines)
  end

  it("keeps each person in one recording, and joins the labels of a picture that stands twice", function()
    if not have_ffmpeg then return pending "built without FFmpeg" end
    local found = make(rows() .. "Person1_0001.png,fear\n")
    assert.are.same({ 24, 13, 1 }, { found.pictures, found.persons, found.repeated })
    assert.are.same({ "neutral", "happiness", "anger", "fear" }, found.classes)
    assert.are.same({ 6, 6, 12, 1 }, both(found.counts))
    local corpus = mien.data.open(folder .. "/o.h5")
    assert.are.same({ 24, 8, 8 }, { corpus.frames, corpus.height, corpus.width })
    assert.are.same({ "10", "3", "0" }, corpus.file:list "persons") -- 13 of them, in fewer groups
    local holders = {}
    for _, recording in ipairs(corpus.recordings) do
      local pixels = corpus:pixels(recording.first, recording.count):to "f64":totable()
      for _, frame in ipairs(pixels) do
        if frame[1][1][1] <= 12 then holders[recording.subject] = true end -- a picture of Ann Lee
      end
    end
    local n = 0
    for _ in pairs(holders) do n = n + 1 end
    assert.are.equal(1, n)
    corpus:close()
  end)

  it("loses its colour when asked, and says so", function()
    if not have_ffmpeg then return pending "built without FFmpeg" end
    for i = 1, 4 do
      local image = mien.zeros({ 8, 8, 3 }, { dtype = "u8" })
      for k = 0, 8 * 8 - 1 do image:data()[3 * k] = 200 end -- red
      mien.data.image.write(("%s/Red%d_0001.png"):format(folder, i), image)
    end
    local lines = ""
    for i = 1, 4 do lines = lines .. ("Red%d_0001.png,anger\n"):format(i) end
    make(lines, { grey = true })
    local corpus = mien.data.open(folder .. "/o.h5")
    assert.is_true(corpus.grey)
    assert.are.same({ 60, 60, 60 }, corpus:pixels(1, 1):to "f64":totable()[1][4][4])
    corpus:close()
    make(lines)
    corpus = mien.data.open(folder .. "/o.h5")
    assert.is_false(corpus.grey)
    corpus:close()
  end)

  it("names bad rows by their lines, or leaves them out when asked", function()
    if not have_ffmpeg then return pending "built without FFmpeg" end
    local ok, err = pcall(make, rows() .. "Person1_0001.png,hapiness\nnobody_0001.png,anger\nlabels.csv,anger\n")
    assert.is_false(ok)
    local text = tostring(err)
    assert.truthy(text:find('line 26: unknown label "hapiness", did you mean "happiness"?', 1, true))
    assert.truthy(text:find("line 27: .-nobody_0001.png: cannot be read"))
    assert.truthy(text:find("line 28: .-no picture"))
    local found = make(rows() .. "nobody_0001.png,anger\n", { skip_bad = true })
    assert.are.same({ 24, 1 }, { found.pictures, found.bad })
    ok, err = pcall(make, rows() .. "Person1_0001.png,fear\n", { kind = "class" })
    assert.is_false(ok)
    assert.truthy(tostring(err):find("line 26: Person1_0001.png has another label in line 3", 1, true))
  end)

  --- Pictures of these names, one colour each; returns rows of the CSV with the labels by turns.
  local function draw(names, labels)
    local lines = {}
    for i, name in ipairs(names) do
      require("mien.base.folders").make_for(folder .. "/" .. name)
      mien.data.image.write(folder .. "/" .. name, mien.full({ 8, 8, 3 }, 3 * i, { dtype = "u8" }))
      lines[i] = ("%s,%s\n"):format(name, labels[(i - 1) % #labels + 1])
    end
    return table.concat(lines)
  end

  --- The numbers of the pictures (as draw paints them) by partition.
  local function parts()
    local corpus, found = mien.data.open(folder .. "/o.h5"), { train = {}, devel = {}, test = {} }
    for _, partition in ipairs { "train", "devel", "test" } do
      for _, recording in ipairs(corpus:partition(partition)) do
        for _, frame in ipairs(corpus:pixels(recording.first, recording.count):to "f64":totable()) do
          found[partition][frame[1][1][1] / 3] = true
        end
      end
    end
    corpus:close()
    return found
  end

  --- No person of names (told by a pattern) is in two partitions.
  local function assert_whole(names, pattern)
    local of, found = {}, parts()
    for partition, numbers in pairs(found) do
      for number in pairs(numbers) do
        local person = names[number]:match(pattern)
        assert.are.equal(of[person] or partition, partition, person)
        of[person] = partition
      end
    end
  end

  it("keeps persons together whom folders, names or a pattern tell, and says how", function()
    if not have_ffmpeg then return pending "built without FFmpeg" end
    local emotions = { "neutral", "happiness", "anger" }
    local ways = {
      { "S%02d/%03d.png", "^(S%d+)", {}, "the folders of the pictures (guessed)" },
      { "C%03d_%03d_00000011.png", "^(C%d+)", {}, "the pictures' names before their trailing numbers (guessed)" },
      { "J%d.AN%d.39.png", "^(J%d)", {}, "the pictures' names before their first dot (guessed)" },
      { "K%d.AN%d.39.png", "^(K%d)", { person = "^(%w+)%." }, "the pattern ^(%w+)%." },
    }
    for _, way in ipairs(ways) do
      local names = {}
      for person = 1, 5 do
        for k = 1, 4 do names[#names + 1] = way[1]:format(person, k) end
      end
      local found = make(draw(names, emotions), way[3])
      assert.are.same({ 20, 5, way[4] }, { found.pictures, found.persons, found.persons_by })
      assert_whole(names, way[2])
    end
  end)

  it("takes persons and partitions from columns, and refuses a person in two partitions", function()
    if not have_ffmpeg then return pending "built without FFmpeg" end
    local rows_of = draw({ "x1.png", "x2.png", "x3.png", "x4.png" }, { "anger" })
    local who, where = { "ann", "bob", "ann", "cy" }, { "train", "val", "train", "test" }
    local lines, n = { "image,emotion,subject,partition" }, 0
    for line in rows_of:gmatch "[^\n]+" do
      n = n + 1
      lines[n + 1] = ("%s,%s,%s"):format(line, who[n], where[n])
    end
    local function run()
      return maker.make { pictures = folder, labels = write("told.csv", table.concat(lines, "\n") .. "\n"),
        out = folder .. "/o.h5" }
    end
    local found = run()
    assert.are.same({ 4, 3, "the column subject", 2, 1, 1 },
      { found.pictures, found.persons, found.persons_by, found.train, found.devel, found.test })
    assert.are.same({ train = { true, nil, true }, devel = { nil, true }, test = { nil, nil, nil, true } }, parts())
    lines[4] = lines[4]:gsub("train", "devel")
    local ok, err = pcall(run)
    assert.is_false(ok)
    assert.truthy(tostring(err):find("person ann is in train (x1.png) and in devel (x3.png)", 1, true), tostring(err))
  end)

  it("takes folders and names that are the labels' own for classes, as ImageNet has them", function()
    if not have_ffmpeg then return pending "built without FFmpeg" end
    local names, labels = {}, {}
    for class = 1, 3 do
      for k = 1, 4 do
        names[#names + 1] = ("n0%d/n0%d_%d.png"):format(class, class, 100 + k)
        labels[#labels + 1] = "n0" .. class
      end
    end
    local found = make(draw(names, labels), { kind = "class", classes = { "n01", "n02", "n03" } })
    assert.are.equal(12, found.persons)
    assert.matches("each picture counts as a person of its own; the folders of the pictures are the labels' own; .*names",
      found.persons_by)
  end)

  it("holds the pictures of one recording at a time", function()
    if not have_ffmpeg then return pending "built without FFmpeg" end
    local names = {}
    for i = 1, 60 do names[i] = ("m%02d/p.png"):format(i) end
    local lines, read, held, most = draw(names, { "anger" }), mien.data.image.crop, 0, 0
    local writer = require "mien.data.writer"
    local recording = writer.recording
    writer.recording = function(...)
      held = 0
      return recording(...)
    end
    mien.data.image.crop = function(...)
      held = held + 1
      most = math.max(most, held)
      return read(...)
    end
    local ok, problem = pcall(make, lines)
    mien.data.image.crop, writer.recording = read, recording
    assert(ok, tostring(problem))
    assert.is_true(most <= 3, most .. " pictures at once")
  end)

  it("reads the 2,442 real faces", function()
    if not io.open(real .. "/labels.csv") then return pending "no real data here" end
    if not have_ffmpeg then return pending "built without FFmpeg" end
    local found = maker.make { pictures = real .. "/images", labels = real .. "/labels.csv", out = folder .. "/r.h5" }
    assert.are.same({ "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt" },
      found.classes)
    assert.are.same({ 900, 700, 276, 201, 189, 156, 15, 6 }, both(found.counts))
    assert.are.same({ 2442, 1, 112 }, { found.pictures, found.repeated, found.size })
  end)
end)
