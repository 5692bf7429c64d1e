-- Files of corpora's forms, written into a folder that goes with the test, real clips, and the readers.
-- Not here: any test (dataset_*_spec.lua).
local C = require "mien.base.ffi"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")

local forms = { ratings = "time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 ;FF3\n" } -- the header of a file of ratings

forms.recola = dofile(here .. "../../datasets/recola.lua")
forms.affwild = dofile(here .. "../../datasets/affwild.lua")
forms.videos = dofile(here .. "../../datasets/videos.lua")
forms.realeyes = dofile(here .. "../../datasets/realeyes.lua")

--- Real clips of people, where they are: forms.clip(folder, name, path) copies one (or the boxes of its face) to a path
-- in the folder.
forms.clips = (os.getenv "MIEN_TEST_DATA" or here .. "../../../shared/data") .. "/video_webcam"

function forms.have_clips()
  return io.open(forms.clips .. "/eat.mkv") and pcall(require("mien").data.video, forms.clips .. "/eat.mkv")
end

function forms.clip(folder, name, path)
  C.mien_folder_make((folder .. "/" .. path):match "^(.+)/")
  os.execute(("cp '%s/%s' '%s/%s'"):format(forms.clips, name, folder, path))
end

function forms.has_note(notes, pattern)
  for _, text in ipairs(notes) do
    if text:find(pattern) then return end
  end
  error("no note says " .. pattern .. ":\n" .. table.concat(notes, "\n"), 2)
end

--- write(name, text) -> path, in the folder.
function forms.writer(folder)
  return function(name, text)
    local path = folder .. "/" .. name
    C.mien_folder_make(path:match "^(.+)/")
    local out = assert(io.open(path, "wb"))
    out:write(text)
    out:close()
    return path
  end
end

--- Asserts that fn(...) is an error that matches the pattern.
function forms.says(pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert(not ok, "no error; wanted: " .. pattern)
  assert(tostring(err):find(pattern), tostring(err) .. "\ndoes not say: " .. pattern)
end

return forms
