-- The entry: `local mien = require "mien"`; its parts are loaded when they are first named.
-- Not here: any of them.
local check = require "mien.base.check"
local parts = require "mien.base.parts"

local mien = {}

-- name -> { a function in C that it needs, whose library the bundle for GPU machines leaves out }
local needs = {
  data = { "mien_h5_open", "HDF5" }, checkpoint = { "mien_h5_open", "HDF5" }, experiment = { "mien_h5_open", "HDF5" },
  results = { "mien_db_open", "SQLite" },
}

local function check_needs(name)
  local symbol, library = unpack(needs[name])
  local C = require "mien.base.ffi"
  if not pcall(function() return C[symbol] end) then
    check.raise("unsupported", "mien.%s needs %s, which is left out of this build; build mien whole", name, library)
  end
end

--- Every name that `mien` has, sorted.
mien.names = parts.names

return setmetatable(mien, {
  __index = function(_, name)
    local value
    if parts.modules[name] then
      if needs[name] then check_needs(name) end
      value = require(parts.modules[name])
    elseif parts.functions[name] then
      local module, field = unpack(parts.functions[name])
      require "mien.tensor"
      value = require(module)[field]
    else
      check.unknown("mien", "field", name, mien.names())
    end
    mien[name] = value
    return value
  end,
})
