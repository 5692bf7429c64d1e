-- Rows of the golden-value files, "name v1 v2 ...", as Lua arrays.
-- Not here: how they were made (tests/golden/*.py).
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")

--- All rows of tests/golden/`file` as { name = {v1, v2, ...} }.
return function(file)
  local rows = {}
  for line in assert(io.open(here .. "../golden/" .. file)):lines() do
    local name, rest = line:match "^(%S+)%s(.*)$"
    rows[name] = {}
    for value in rest:gmatch "%S+" do table.insert(rows[name], tonumber(value)) end
  end
  return rows
end
