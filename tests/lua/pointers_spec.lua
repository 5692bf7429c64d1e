-- What the comments at the head of files point to is there.
-- Not here: the links of docs (none are checked), what functions say of each other.
local lfs = require "lfs"

local root = debug.getinfo(1, "S").source:gsub("^@", ""):match "^(.*)/tests/lua/[^/]*$" or "."

--- Every file below a folder, as paths from the root: list and set of all their endings ("c/d.lua" and "d.lua").
local function files(folder, list, ends)
  for entry in lfs.dir(root .. "/" .. folder) do
    local path = folder .. "/" .. entry
    local mode = entry:sub(1, 1) ~= "." and lfs.attributes(root .. "/" .. path, "mode")
    if mode == "directory" then
      files(path, list, ends)
    elseif mode == "file" then
      list[#list + 1] = path
      local rest = path
      while rest do
        ends[rest] = true
        rest = rest:match "^[^/]+/(.*)$"
      end
    end
  end
end

describe("the head of a file", function()
  it("names files that are there", function()
    local list, ends, wrong, seen = {}, { ["lua/mien/cdef.lua"] = true, ["mien/cdef.lua"] = true,
      ["expf.c"] = true, ["tanhf.c"] = true }, {}, 0 -- what is generated, and what is Cephes's
    for _, folder in ipairs { "lua", "core", "datasets", "experiments", "tests", "cmake" } do files(folder, list, ends) end
    for _, path in ipairs(list) do
      local kind = path:match "%.(%w+)$"
      if kind == "lua" or kind == "c" or kind == "h" or kind == "cpp" or kind == "cu" then
        local number = 0
        for line in io.lines(root .. "/" .. path) do
          number = number + 1
          local comment = line:match "^%-%-(.*)" or line:match "^/?%s?%*(.*)"
          if number > 12 or not comment then break end
          for name in comment:gmatch "%f[%w_/][%w_/]+%.%w+%f[^%w]" do
            if name:find "^%l[%w_/]*%.lua$" or name:find "^%l[%w_/]*%.[ch]$" or name:find "^%l[%w_/]*%.cpp$" then
              seen = seen + 1
              if not ends[name] then wrong[#wrong + 1] = ("%s:%d: %s"):format(path, number, name) end
            end
          end
        end
      end
    end
    assert.is_true(seen > 100)
    assert.same({}, wrong)
  end)
end)
