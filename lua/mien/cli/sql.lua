-- `mien sql "select ..."`: asks results.db and prints rows; it cannot change anything.
-- Not here: the tables and views (core/store/schema; what each answers is in the table `about`).
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local cli = require "mien.cli"
local home = require "mien.base.home"
local results = require "mien.results"

local command = { summary = 'ask results.db: mien sql "select * from table5" [--csv | --json]' }

local USAGE = [[
mien sql "select ..." [--csv | --json | --long] [--db FILE]
mien sql [options] <query.sql

  --csv, --json      all digits, blobs as x'...'
  --long             texts are not cut where the terminal ends
  --db FILE          another database than results.db

Without a query, and with nothing to read: what there is to ask. docs/results.md has all columns and a cookbook.
]]

local ABOUT = "SELECT m.name, m.type, a.text AS answers FROM about a JOIN sqlite_master m ON m.name = a.name "
  .. "ORDER BY m.type DESC, a.name"
-- of a file that an earlier mien made
local LIST = [[SELECT type, name FROM sqlite_master
  WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, name]]

--- The query: the argument, else what comes on standard input; nil where there is none.
local function query_of(given)
  if not given and not C.mien_terminal(0) or given == "-" then given = io.read "*a" end
  if not given or not given:find "%S" then return nil end
  if given:find "^%s*[%.\\]" then
    check.raise("usage", "mien sql: %s is a command of another shell; `mien sql` alone lists tables and views, "
      .. "\"select sql from sqlite_master where name = 'run'\" shows how one is made", given:match "%S+")
  end
  return given
end

--- Prints rows; on a terminal long texts are cut, and it is said.
local function show(rows, form, long)
  if #rows.columns == 0 then return end
  if form ~= "table" then return print(results.text[form](rows)) end
  local whole = results.text.table(rows)
  if long or not C.mien_terminal(1) then return print(whole) end
  local cut = results.text.table(rows, nil, C.mien_terminal_columns())
  print(cut)
  if cut ~= whole then io.stderr:write "(texts are cut at the end of the line; --long shows all)\n" end
end

function command.run(args)
  local query, form, path, long, i = nil, "table", nil, false, 1
  while i <= #args do
    local word = args[i]
    if word == "--csv" or word == "--json" then
      form = word:sub(3)
    elseif word == "--long" then
      long = true
    elseif word == "--db" then
      i = i + 1
      path = args[i] or check.raise("usage", "mien sql: --db needs a file")
    elseif word == "--help" or word == "-h" then
      io.stdout:write(USAGE)
      return 0
    elseif word:sub(1, 2) == "--" then
      cli.unknown("mien sql", "option", word, { "--csv", "--json", "--long", "--db", "--help" })
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
  query = query_of(query)
  local db = results.open(path, { read_only = true })
  local known = db:value "SELECT count(*) FROM sqlite_master WHERE name = 'about'" == 1
  local ok, rows = xpcall(db.rows, check.trace, db, query or known and ABOUT or LIST)
  db:close()
  if not ok and not known then
    io.stderr:write(("note: %s was made by an earlier mien and lacks newer views; the next `mien run` brings it up "
      .. "to date\n"):format(home.short(path)))
  end
  if not ok then check.rethrow(rows) end
  show(rows, form, long)
  return 0
end

return command
