-- Where the face of a recording is, kept beside the corpus until that is whole: an import that was interrupted goes on at
-- the recording at which it stopped. Not here: the search itself (faces.lua).
local lfs = require "lfs"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local data = require "mien.data"
local face = require "mien.data.face"
local faces = require "reading.faces"
local folders = require "mien.base.folders"
local literal = require "mien.base.literal"
local read = require "mien.base.read"
local sha256 = require "mien.base.sha256"

local search = {}

local function stamp(path)
  local size, time = lfs.attributes(path, "size"), lfs.attributes(path, "modification")
  return ("%s %s %s"):format(path, tostring(size), tostring(time))
end

-- What finds and follows faces: sources by their text, and those of the core by the libraries' size and time.
local SOURCES = { "reading.faces", "mien.data.face", "mien.data.link", "mien.data.media", "mien.data.track",
  "mien.models.mtcnn" }
local code

local function code_of(video)
  if code then return code end
  data.video(video):close() -- the library that reads videos is there from the first one on
  local parts, seen = {}, {}
  for _, name in ipairs(SOURCES) do parts[#parts + 1] = read(assert(package.searchpath(name, package.path))) end
  for line in io.lines "/proc/self/maps" do
    local library = line:match "(/.*/[^/]*libmien[%w_]*%.so)$" or line:match "(/.*/libopencv_objdetect[^/]*)$"
    if library and not seen[library] then seen[library], parts[#parts + 1] = true, stamp(library) end
  end
  code = sha256.text(table.concat(parts, "\n"))
  return code
end

--- All that decides what a search finds: video, options, code.
local function key_of(job)
  local weights = job.search.detector_weights
  local files = { stamp(job.video), weights and stamp(weights) or nil }
  return sha256.text(literal.encode({ files = files, code = code_of(job.video), options = face.pick(job.search) }, "search"))
end

--- source: what several recordings of one video have in common.
local function path_of(folder, job)
  return folder .. "/" .. (job.source or job.name):gsub("[^%w_-]", function(c) return ("%%%02x"):format(c:byte()) end)
    .. ".face"
end

--- The folder of what was found for a corpus that is not whole yet.
function search.folder(out) return out .. ".faces" end

--- What was found before, or nil where there is nothing of use: it was found otherwise, or is no such file.
local function recall(path, key)
  local text = lfs.attributes(path, "mode") == "file" and read(path)
  local ok, kept = pcall(literal.decode, text or "nil", path)
  return ok and type(kept) == "table" and kept.key == key and kept.found or nil
end

--- As faces.follow, for a job of assembly.write; what was found is kept in the folder. The second result says whether it
-- was found there.
function search.follow(job, folder, each)
  if job.boxes or type(job.search.detector) == "function" or type(job.search.tracker) == "function" then
    return faces.follow(job.video, { boxes = job.boxes, search = job.search, each = each }), false
  end
  local path, key = path_of(folder, job), key_of(job)
  local found = recall(path, key)
  if found then return found, true end
  found = faces.follow(job.video, { search = job.search, each = each })
  found.error = found.error and { code = found.error.code, message = found.error.message }
  local text = literal.encode({ key = key, found = found }, path)
  check.status(C.mien_file_write(folders.make_for(path), text, #text))
  return found, false
end

--- The corpus is whole.
function search.forget(folder)
  if lfs.attributes(folder, "mode") ~= "directory" then return end
  for entry in lfs.dir(folder) do
    if entry:find "%.face$" then os.remove(folder .. "/" .. entry) end
  end
  lfs.rmdir(folder)
end

return search
