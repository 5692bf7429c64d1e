-- The entry: `local mien = require "mien"`; its parts are loaded when they are first named.
-- Not here: any of them.
local check = require "mien.base.check"
local parts = require "mien.base.parts"
local renamed = require "mien.base.renamed"

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

--- A part whose unknown names are errors: they tell the nearest one, or what a name of before is called now.
local function closed(part, name)
  if type(part) ~= "table" or getmetatable(part) then return part end
  return setmetatable(part, { __index = function(_, key)
    renamed.refuse(name, key)
    check.unknown("mien." .. name, "name", tostring(key), part)
  end })
end

--- Every name that `mien` has, sorted.
mien.names = parts.names

return setmetatable(mien, {
  __index = function(_, name)
    local value
    if parts.modules[name] then
      if needs[name] then check_needs(name) end
      value = closed(require(parts.modules[name]), name)
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
