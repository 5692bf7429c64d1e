-- Runs Lua in a process of its own that opens a certain plugin as its GPU.
-- Not here: the plugins (tests/backend/fake_gpu.c).
local library = os.getenv "MIEN_LIBRARY" or "build/libmien.so"
local folder = library:match "^(.*)/" or "."

local plugins = {}

--- A GPU without ops, and one whose ops the reference serves.
plugins.fake, plugins.serving = folder .. "/libfake_gpu.so", folder .. "/libfake_gpu_ops.so"

--- Runs `code` with `mien` in it; the rest are its arguments (...). Returns what it prints.
function plugins.run(plugin, code, ...)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write("local mien = require 'mien'\n", code)
  file:close()
  local command = ("MIEN_CUDA_LIBRARY='%s' LUA_PATH='%s' luajit '%s'"):format(plugin, package.path, name)
  for _, argument in ipairs { ... } do command = ("%s '%s'"):format(command, argument) end
  local pipe = io.popen(command .. " 2>&1")
  local text = pipe:read "*a"
  pipe:close()
  os.remove(name)
  return (text:gsub("%s+$", ""))
end

return plugins
