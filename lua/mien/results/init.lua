-- results.db: opening, asking, and writing in batches.
-- Not here: SQLite's errors (core/store), the life of a run (results/run.lua), rows as text (results/text.lua).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local home = require "mien.base.home"
local text = require "mien.results.text"

local results = {}

local FLUSH_SECONDS = 2 -- what a killed process may lose of its metrics; they come again on resuming
local FLUSH_ROWS = 4096

local int64 = ffi.typeof "int64_t"
local EXACT = int64(2 ^ 53) -- the largest whole numbers that a Lua number tells from their neighbours

local database = {}
database.__index = database

-- ---- statements --------------------------------------------------------------------------------

local function bind(statement, values)
  for i = 1, values.n do
    local value = values[i]
    local kind = type(value)
    if value == nil then
      check.status(C.mien_statement_bind_null(statement, i - 1))
    elseif kind == "number" then
      if value % 1 == 0 and math.abs(value) < 2 ^ 53 then
        check.status(C.mien_statement_bind_integer(statement, i - 1, value))
      else
        check.status(C.mien_statement_bind_real(statement, i - 1, value))
      end
    elseif kind == "boolean" then
      check.status(C.mien_statement_bind_integer(statement, i - 1, value and 1 or 0))
    elseif ffi.istype(int64, value) then
      check.status(C.mien_statement_bind_integer(statement, i - 1, value))
    elseif kind == "string" then
      check.status(C.mien_statement_bind_text(statement, i - 1, value, #value))
    else
      check.raise("argument", "SQL: value %d is a %s; numbers, texts, booleans and nil can be stored", i, kind)
    end
  end
end

local length = ffi.new "int64_t[1]"

--- A value in Lua's terms: a whole number that no Lua number holds exactly stays an int64_t.
local function column(statement, c)
  local kind = C.mien_statement_type(statement, c)
  if kind == C.MIEN_NULL then return nil end
  if kind == C.MIEN_INTEGER then
    local value = C.mien_statement_integer(statement, c)
    if value <= EXACT and value >= -EXACT then return tonumber(value) end
    return value
  end
  if kind == C.MIEN_REAL then return C.mien_statement_real(statement, c) end
  local bytes = ffi.string(C.mien_statement_text(statement, c, length), length[0])
  return kind == C.MIEN_BLOB and text.blob(bytes) or bytes
end

--- The names of a statement's columns, each once: the second "ccc" is "ccc_2", as no column may hide another.
local function names_of(statement)
  local given, taken, names = {}, {}, {}
  for c = 1, C.mien_statement_columns(statement) do
    given[c] = ffi.string(C.mien_statement_name(statement, c - 1))
    taken[given[c]] = true
  end
  local seen = {}
  for c, name in ipairs(given) do
    local unique, n = name, 1
    while seen[unique] or n > 1 and taken[unique] do
      n = n + 1
      unique = name .. "_" .. n
    end
    seen[unique], names[c] = true, unique
  end
  return names
end

--- 1 for a row, 0 for the end; raises what SQLite says.
local function step(statement)
  local got = C.mien_statement_step(statement)
  if got < 0 then check.status(1) end
  return got
end

function database:handle()
  if self.closed then check.raise("argument", "results: %s was closed", self.path) end
  return self.pointer
end

--- Statements that are run again and again are prepared once.
function database:prepared(sql)
  local statement = self.statements[sql]
  if not statement then
    statement = check.pointer(C.mien_db_prepare(self:handle(), sql))
    self.statements[sql] = statement
  end
  return statement
end

-- ---- asking ------------------------------------------------------------------------------------

--- All rows of a query as tables by column name; NULL is nil; `.columns` keeps the order of the names. A name that
-- comes again is numbered (n, n_2); whole numbers beyond 2^53 are int64_t, blobs tables with their `bytes`.
-- Values take the places of `?`:  db:rows("select * from run where seed = ?", 1)
function database:rows(sql, ...)
  self:flush()
  local statement = check.pointer(C.mien_db_prepare(self:handle(), sql))
  local values = { n = select("#", ...), ... }
  local ok, got = pcall(function()
    bind(statement, values)
    local rows, columns = {}, names_of(statement)
    while step(statement) == 1 do
      local row = {}
      for c = 1, #columns do row[columns[c]] = column(statement, c - 1) end
      rows[#rows + 1] = row
    end
    rows.columns = columns
    return rows
  end)
  C.mien_statement_close(statement)
  if not ok then check.rethrow(got) end
  return got
end

--- The first row, or nil.
function database:row(sql, ...)
  return self:rows(sql, ...)[1]
end

--- The first column of the first row, or nil.
function database:value(sql, ...)
  local rows = self:rows(sql, ...)
  return rows[1] and rows[1][rows.columns[1]]
end

--- A query's rows as aligned text.
function database:table(sql, ...)
  return text.table(self:rows(sql, ...))
end

-- ---- writing -----------------------------------------------------------------------------------

--- Statements without rows, at once.
function database:exec(sql)
  check.status(C.mien_db_exec(self:handle(), sql))
end

--- Runs `fn` inside one BEGIN IMMEDIATE transaction: all of it is stored or nothing. What `fn` queues is written
-- with it.
function database:transaction(fn, ...)
  self:exec "BEGIN IMMEDIATE"
  self.inside = true
  local ok, problem = xpcall(fn, check.trace, ...)
  self.inside = false
  if ok then
    ok, problem = pcall(self.exec, self, "COMMIT")
    if ok then return end
  end
  -- SQLite has rolled back by itself after a full disk: then this has nothing to do
  C.mien_db_exec(self:handle(), "ROLLBACK")
  check.rethrow(problem)
end

--- One statement with values for its `?`, at once, inside the transaction that is open, if any.
function database:write(sql, ...)
  local statement = self:prepared(sql)
  local ok, problem = pcall(function(...)
    bind(statement, { n = select("#", ...), ... })
    step(statement)
  end, ...)
  C.mien_statement_reset(statement)
  if not ok then check.rethrow(problem) end
  return tonumber(C.mien_db_changes(self:handle()))
end

--- One statement that may wait for the next batch; batches go out every two seconds, and when asked.
function database:queue(sql, ...)
  if self.inside then return self:write(sql, ...) end
  self.pending[#self.pending + 1] = { n = select("#", ...), sql = sql, ... }
  if #self.pending >= FLUSH_ROWS or C.mien_time_monotonic() - self.flushed > FLUSH_SECONDS then self:flush() end
end

--- Writes what waits, in one transaction. On failure (a full disk) it keeps waiting, and this raises; but a row
-- that the tables refuse is dropped, as no later try would store it or what waits with it.
function database:flush()
  local pending, at = self.pending, nil
  if #pending == 0 then return end
  self.pending = {}
  local ok, problem = pcall(self.transaction, self, function()
    for i, row in ipairs(pending) do
      at = i
      self:write(row.sql, unpack(row, 1, row.n))
    end
  end)
  self.flushed = C.mien_time_monotonic()
  if ok then return end
  if at and check.is_error(problem) and problem.code == "argument" then table.remove(pending, at) end
  for _, row in ipairs(self.pending) do pending[#pending + 1] = row end
  self.pending = pending
  check.rethrow(problem)
end

--- Writes what waits and closes the file.
function database:close()
  if self.closed then return end
  local ok, problem = pcall(self.flush, self)
  self.closed, self.statements = true, {}
  C.mien_db_close(ffi.gc(self.pointer, nil))
  if not ok then check.rethrow(problem) end
end

-- ---- opening -----------------------------------------------------------------------------------

--- The experiment of this name, made when it is new. about, file: what is shown beside it.
function database:experiment(name, options)
  options = check.keys(options or {}, { about = "string", file = "string" }, "results: experiment")
  check.type(name, "string", "results: the experiment's name")
  self:write([[INSERT INTO experiment (name, file, about, created) VALUES (?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET file = coalesce(excluded.file, file),
      about = coalesce(excluded.about, about)]], name, options.file, options.about, C.mien_time_now())
  return self:row("SELECT * FROM experiment WHERE name = ?", name)
end

--- One run of an experiment, made when it is new: see results/run.lua.
function database:run(what)
  return require("mien.results.run").open(self, what)
end

--- One comparison with a peer's speed: see results/benchmark.lua.
function database:benchmark(row)
  require("mien.results.benchmark").store(self, row)
end

--- Opens results.db (of the home folder, when no path is given); options.read_only never makes or changes it.
--   local db = mien.results.open()
--   print(db:table "select * from table5")
function results.open(path, options)
  options = check.keys(options or {}, { read_only = "boolean" }, "results.open")
  path = path or home.path "results.db"
  local pointer = check.pointer(C.mien_db_open(path, options.read_only or false))
  local db = setmetatable({
    pointer = ffi.gc(pointer, C.mien_db_close), path = path, statements = {}, pending = {},
    flushed = C.mien_time_monotonic(),
  }, database)
  if not options.read_only then
    local ok, problem = pcall(check.status, C.mien_db_migrate(pointer))
    if not ok then
      db:close()
      check.rethrow(problem)
    end
    local journal = ffi.string(C.mien_db_journal(pointer))
    if journal ~= "wal" then
      io.stderr:write(("mien: %s: no write-ahead log can be kept here (journal: %s); who reads and who writes wait for each "
        .. "other\n"):format(home.short(path), journal))
    end
  end
  return db
end

results.text = text
return results
