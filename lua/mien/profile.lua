-- Where the time goes: calls, seconds and GFLOP per op, forward and backward.
-- Not here: how they are counted (core/ops).
local ffi = require "ffi"
local C = require "mien.ffi"
local check = require "mien.check"

local profile = {}

local class = {}

function class.__tostring(rows)
  local lines = { ("%-24s %8s %10s %9s  %s"):format("op", "calls", "seconds", "GFLOP/s", "implementation") }
  for _, row in ipairs(rows) do
    lines[#lines + 1] = ("%-24s %8d %10.4f %9.1f  %s"):format(row.op, row.calls, row.seconds,
      row.seconds > 0 and row.gflop / row.seconds or 0, row.implementation)
  end
  return table.concat(lines, "\n")
end

--- The figures since the last reset, the longest first: a list of { op, calls, seconds, gflop, bytes,
-- implementation }, printed as a table; backward passes are named "op'".
function profile.rows()
  local rows, figures = {}, ffi.new "mien_op_profile"
  for id = 0, C.mien_op_count() - 1 do
    for _, backward in ipairs { false, true } do
      C.mien_profile_at(id, backward, figures)
      if figures.calls > 0 then
        rows[#rows + 1] = {
          op = ffi.string(C.mien_op_info_at(id).name) .. (backward and "'" or ""),
          calls = tonumber(figures.calls), seconds = figures.seconds, gflop = figures.gflop,
          bytes = tonumber(figures.bytes), implementation = ffi.string(figures.implementation),
        }
      end
    end
  end
  table.sort(rows, function(a, b) return a.seconds > b.seconds end)
  return setmetatable(rows, class)
end

--- Runs `fn(...)` with the clock on and returns the rows of what it did.
--   print(mien.profile.run(function() model(x):sum():backward() end))
function profile.run(fn, ...)
  C.mien_profile_reset()
  C.mien_profile_enable(true)
  local ok, err = xpcall(fn, check.trace, ...)
  C.mien_profile_enable(false)
  if not ok then check.rethrow(err) end
  return profile.rows()
end

return profile
