-- Where the time goes: per op, direction and implementation, and what lies between the ops.
-- Not here: how it is counted (core/base/profile.c), steps of an experiment (experiment/timing.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"

local profile = {}

local class = {}

--- True for a naive loop of the vendor's library; mien's own loops are the backend "ref".
function profile.is_silent_ref(backend, implementation)
  return backend ~= "ref" and (" " .. implementation):find " ref[:_]" ~= nil
end

local function note(row)
  if row.error then return "  ERROR: the library's naive loops" end
  return row.backend == "ref" and "  (mien's own loops, unoptimised)" or ""
end

local function bytes(n)
  return n >= 1e9 and ("%.1f GB"):format(n / 1e9) or n >= 1e6 and ("%.1f MB"):format(n / 1e6)
    or ("%.1f kB"):format(n / 1e3)
end

function class.__tostring(rows)
  local form = "%-20s %7s %10s %6s %9s %9s  %s"
  local lines = { form:format("op", "calls", "ms", "share", "GFLOP/s", "moved", "implementation") }
  local function add(name, calls, seconds, speed, moved, text)
    lines[#lines + 1] = form:format(name, calls, ("%.2f"):format(1e3 * seconds),
      ("%.1f%%"):format(rows.wall > 0 and 100 * seconds / rows.wall or 0), speed, moved, text)
      :gsub("%s+$", "")
  end
  for _, row in ipairs(rows) do
    local speed = row.seconds > 0 and row.gflop > 0 and ("%.1f"):format(row.gflop / row.seconds) or ""
    add(row.op, row.calls, row.seconds, speed, row.bytes > 0 and bytes(row.bytes) or "",
      row.implementation .. note(row))
  end
  local of = rows.steps and (" of %d steps"):format(rows.steps) or ""
  add("sum", "", rows.inside, "", "", "")
  if rows.waited then add("loader wait", "", rows.waited, "", "", "") end
  add("outside ops", "", rows.wall - rows.inside - (rows.waited or 0), "", "", "")
  add("time" .. of, "", rows.wall, "", "", "")
  return table.concat(lines, "\n")
end

--- The figures since the last reset, the longest first: a list of { op, calls, seconds, gflop, bytes, backend,
-- implementation, error }, printed as a table; backward passes are named "op'". `error` marks a naive loop of
-- the vendor's library that was taken silently; `errors` counts them, `inside` sums the seconds.
function profile.rows()
  local rows, entry, i = { inside = 0, wall = 0, errors = 0 }, ffi.new "mien_profile_entry", 0
  while C.mien_profile_entry_at(i, entry) do
    local figures, backend = entry.figures, ffi.string(entry.backend)
    local row = {
      op = ffi.string(entry.name) .. (entry.backward and "'" or ""), backend = backend,
      calls = tonumber(figures.calls), seconds = figures.seconds, gflop = figures.gflop,
      bytes = tonumber(figures.bytes), implementation = ffi.string(figures.implementation), order = i,
    }
    row.error = profile.is_silent_ref(backend, row.implementation)
    if row.error then rows.errors = rows.errors + 1 end
    rows.inside = rows.inside + row.seconds
    rows[#rows + 1] = row
    i = i + 1
  end
  rows.wall = rows.inside
  table.sort(rows, function(a, b)
    if a.seconds ~= b.seconds then return a.seconds > b.seconds end
    return a.order < b.order
  end)
  return setmetatable(rows, class)
end

--- Runs `fn(...)` with the clock on and returns the rows of what it did (see profile.rows), with `wall`: seconds
-- in all. Also as mien.profile(fn, ...).
--   print(mien.profile(function() model(x):sum():backward() end))
function profile.run(fn, ...)
  C.mien_profile_reset()
  C.mien_profile_enable(true)
  local started = C.mien_time_monotonic()
  local ok, err = xpcall(fn, check.trace, ...)
  local wall = C.mien_time_monotonic() - started
  C.mien_profile_enable(false)
  if not ok then check.rethrow(err) end
  local rows = profile.rows()
  rows.wall = wall
  return rows
end

return setmetatable(profile, { __call = function(_, fn, ...) return profile.run(fn, ...) end })
