-- The C library: the only file that calls ffi.cdef and ffi.load; `require "mien.base.ffi"` is the library.
-- Not here: turning its status codes into errors (check.lua), tensors' methods (tensor/init.lua).
local ffi = require "ffi"

local ABI = 1 -- MIEN_ABI_VERSION of the headers that this Lua was written against

--- The folder that holds `lua/`, found from the place of this file.
local function root()
  local file = debug.getinfo(1, "S").source:gsub("^@", "")
  return (file:match "^(.*)/lua/mien/base/ffi%.lua$") or (file:match "^lua/mien/base/ffi%.lua$" and ".") or nil
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

--- The text of the headers and the path of the library that was built with them.
local function find()
  local cdef = package.searchpath("mien.cdef", package.path)
  if not cdef and root() and exists(root() .. "/build/lua/mien/cdef.lua") then
    cdef = root() .. "/build/lua/mien/cdef.lua"
  end
  if not cdef then
    error("mien is not built: mien/cdef.lua is in no folder of package.path; run `cmake --preset release "
      .. "&& cmake --build build`", 0)
  end
  local library = os.getenv "MIEN_LIBRARY"
  if not library then
    local build = cdef:match "^(.*)/lua/mien/cdef%.lua$" or (root() or ".") .. "/build"
    library = build .. "/libmien.so"
  end
  if not library:find "/" then library = "./" .. library end
  if not exists(library) then
    error(("mien is not built: there is no %s; build it, or name it in MIEN_LIBRARY"):format(library), 0)
  end
  return assert(loadfile(cdef))(), library
end

local text, path = find()
ffi.cdef(text)
local C = ffi.load(path)

local abi = C.mien_abi_version()
if abi ~= ABI then
  error(("%s speaks ABI %d, but the Lua files ABI %d: build again"):format(path, abi, ABI), 0)
end
for name in text:gmatch "typedef struct (mien_[%w_]+) %b{}" do
  local there, here = tonumber(C.mien_struct_size(name)), ffi.sizeof(name)
  if there ~= 0 and there ~= here then
    error(("struct %s has %d bytes in %s, but %d in its header: build again")
      :format(name, there, path, here), 0)
  end
end

return C
