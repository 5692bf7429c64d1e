-- `mien sql "select ..."`: asks results.db and prints rows; it cannot change anything.
-- Not here: the tables and views (core/store/schema).
local check = require "mien.check"
local cli = require "mien.cli"
local home = require "mien.home"
local results = require "mien.results"

local command = { summary = 'ask results.db: mien sql "select * from table5" [--csv | --json]' }

local USAGE = [[
mien sql "select ..." [--csv | --json] [--db FILE]

Views: table5, convergence, seed_mean_std, run_wide, param_diff, best_run, stale_run, table4, benchmark_best; published
holds the paper's tables 2 to 5. Without a query: the tables and views there are.
]]

local LIST = [[SELECT type, name FROM sqlite_master
  WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, name]]

function command.run(args)
  local query, form, path, i = nil, "table", nil, 1
  while i <= #args do
    local word = args[i]
    if word == "--csv" or word == "--json" then
      form = word:sub(3)
    elseif word == "--db" then
      i = i + 1
      path = args[i] or check.raise("usage", "mien sql: --db needs a file")
    elseif word == "--help" or word == "-h" then
      io.stdout:write(USAGE)
      return 0
    elseif word:sub(1, 2) == "--" then
      cli.unknown("mien sql", "option", word, { "--csv", "--json", "--db", "--help" })
    elseif query then
      check.raise("usage", "mien sql: put the query in quotes")
    else
      query = word
    end
    i = i + 1
  end
  path = path or home.path "results.db"
  if not require("lfs").attributes(path) then
    check.raise("io", "there is no %s yet: the first `mien run` makes it", home.short(path))
  end
  local db = results.open(path, { read_only = true })
  local ok, rows = xpcall(db.rows, check.trace, db, query or LIST)
  db:close()
  if not ok then check.rethrow(rows) end
  if #rows.columns > 0 then print(results.text[form](rows)) end
  return 0
end

return command
