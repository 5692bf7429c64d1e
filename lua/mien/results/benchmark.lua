-- Speed beside a peer: a row of the table `benchmark`, with where and by what it was measured.
-- Not here: measuring (tests/bench), the table (core/store/schema).
local backend = require "mien.device.backend"
local check = require "mien.base.check"
local home = require "mien.base.home"
local process = require "mien.results.process"

local columns = { "session", "date", "machine", "threads", "mien", "library", "peer_version", "name", "precision",
  "setting", "peer_setting", "pairs", "unit", "ours", "ours_p10", "ours_p90", "peer", "peer_p10", "peer_p90",
  "ratio", "ratio_p10", "ratio_p90", "gflop", "peak", "memory", "peer_memory", "note" }

local known = {}
for _, name in ipairs(columns) do known[name] = true end
for _, name in ipairs { "name", "precision", "session" } do known[name] = "string!" end
for _, name in ipairs { "pairs", "ours" } do known[name] = "number!" end

local sql = ("INSERT OR REPLACE INTO benchmark (%s) VALUES (%s)"):format(table.concat(columns, ", "),
  ("?"):rep(#columns, ", "))

--- The time as the table wants it: UTC, ISO 8601.
local function utc() return os.date "!%Y-%m-%dT%H:%M:%SZ" end

--- Stores one comparison: { session =, name =, precision =, pairs =, ours = seconds, ... } by the table's columns.
-- Left out, these are found: date, machine, threads, mien (the commit) and library; unit is "s".
local function store(db, row)
  check.keys(row, known, "results: benchmark")
  local found = {
    date = utc(), machine = process.device(), threads = backend.threads(), setting = "default", unit = "s",
    mien = home.root and process.commit(home.root) or "unknown", library = backend.describe(),
  }
  local values = {}
  for i, name in ipairs(columns) do
    values[i] = row[name]
    if values[i] == nil then values[i] = found[name] end
  end
  db:write(sql, unpack(values, 1, #columns))
end

return { store = store, utc = utc }
