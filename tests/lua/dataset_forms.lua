-- Files of RECOLA's and Aff-Wild's forms, written into a folder that goes with the test, and their readers.
-- Not here: any test (dataset_forms_spec.lua, dataset_corpora_spec.lua).
local C = require "mien.base.ffi"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")

local forms = { ratings = "time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 ;FF3\n" } -- the header of a file of ratings

forms.recola = dofile(here .. "../../datasets/recola.lua")
forms.affwild = dofile(here .. "../../datasets/affwild.lua")

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
