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
local WAIT = 10 -- seconds for another program's lock, before somebody is told (db.wait)

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

-- ---- somebody else's lock ----------------------------------------------------------------------

--- Whether an error says that another program holds the file.
local function is_locked(self, problem)
  return check.is_error(problem) and problem.code == "io" and C.mien_db_locked(self.pointer)
end

--- Says once that another program holds the file, which may be for hours: a shell with an open transaction.
local function tell_locked(self)
  if self.told_locked then return end
  self.told_locked = true
  io.stdout:flush()
  io.stderr:write(("mien: %s is locked by another program (an open transaction?): what is to be written waits in memory, "
    .. "and no checkpoint is made until it lets go\n"):format(home.short(self.path)))
end

--- Calls fn, whose first act is to take the file's lock, again and again until another program lets go of that; a wish
-- to stop ends it. With `hasty` set (somebody waits for this process to end) the first ten seconds are all.
local function patiently(self, fn, ...)
  while true do
    local ok, problem = pcall(fn, self, ...)
    if ok then return problem end
    if self.hasty or not is_locked(self, problem) then check.rethrow(problem) end
    tell_locked(self)
  end
end

-- ---- asking ------------------------------------------------------------------------------------

--- All rows of a query as tables by column name; NULL is nil; `.columns` keeps the order of the names. A name that
-- comes again is numbered (n, n_2); whole numbers beyond 2^53 are int64_t, blobs tables with their `bytes`.
-- Values take the places of `?`:  db:rows("select * from run where seed = ?", 1)
function database:rows(sql, ...)
  self:flush()
  local statement = check.pointer(C.mien_db_prepare(self:handle(), sql))
  local values = { n = select("#", ...), ... }
  local ok, got = pcall(patiently, self, function()
    C.mien_statement_reset(statement)
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

--- From now on every transaction first calls fn(), which raises an error where this process may write no longer; name:
-- to take it away again with (fn nil).
function database:guard(name, fn)
  self.guards[name] = fn
end

--- The owner of a run as its row has it; for use inside a transaction, as nothing is flushed before.
function database:owner_of(run)
  local statement = self:prepared "SELECT owner FROM run WHERE id = ?"
  bind(statement, { n = 1, run })
  local owner = step(statement) == 1 and column(statement, 0) or nil
  C.mien_statement_reset(statement)
  return owner
end

local function begin(self) self:exec "BEGIN IMMEDIATE" end
local function commit(self) self:exec "COMMIT" end

--- Runs `fn` inside one BEGIN IMMEDIATE transaction: all of it is stored or nothing. What `fn` queues is written
-- with it. While another program holds the file it waits.
function database:transaction(fn, ...)
  patiently(self, begin)
  self:inside_of(fn, ...)
end

--- The rest of a transaction that has begun.
function database:inside_of(fn, ...)
  for _, guard in pairs(self.guards) do
    local ok, problem = pcall(guard)
    if not ok then
      C.mien_db_exec(self:handle(), "ROLLBACK")
      check.rethrow(problem)
    end
  end
  self.inside = true
  local ok, problem = xpcall(fn, check.trace, ...)
  self.inside = false
  if ok then
    ok, problem = pcall(patiently, self, commit)
    if ok then return end
  end
  -- SQLite has rolled back by itself after a full disk: then this has nothing to do
  C.mien_db_exec(self:handle(), "ROLLBACK")
  check.rethrow(problem)
end

local function write(self, sql, ...)
  local statement = self:prepared(sql)
  local ok, problem = pcall(function(...)
    bind(statement, { n = select("#", ...), ... })
    step(statement)
  end, ...)
  C.mien_statement_reset(statement)
  if not ok then check.rethrow(problem) end
end

--- One statement with values for its `?`, at once, inside the transaction that is open, if any; returns how many rows
-- it changed. While another program holds the file it waits.
function database:write(sql, ...)
  patiently(self, write, sql, ...)
  return tonumber(C.mien_db_changes(self:handle()))
end

--- One statement that may wait for the next batch; batches go out every two seconds, and when asked.
function database:queue(sql, ...)
  if self.inside then return self:write(sql, ...) end
  self.pending[#self.pending + 1] = { n = select("#", ...), sql = sql, ... }
  if #self.pending % FLUSH_ROWS == 0 or C.mien_time_monotonic() - self.flushed > FLUSH_SECONDS then self:try_flush() end
end

--- Writes all that waits, inside a transaction that has begun. On failure (a full disk) it keeps waiting, and this
-- raises; but a row that the tables refuse is dropped, as no later try would store it or what waits with it, and all is
-- when a guard raises an error of the code "busy".
local function write_pending(self)
  local pending, at = self.pending, nil
  self.pending = {}
  local ok, problem = pcall(self.inside_of, self, function()
    for i, row in ipairs(pending) do
      at = i
      self:write(row.sql, unpack(row, 1, row.n))
    end
  end)
  self.flushed = C.mien_time_monotonic()
  if ok then return end
  if check.is_error(problem) and problem.code == "busy" then check.rethrow(problem) end -- nobody may write it any more
  if at and check.is_error(problem) and problem.code == "argument" then table.remove(pending, at) end
  for _, row in ipairs(self.pending) do pending[#pending + 1] = row end
  self.pending = pending
  check.rethrow(problem)
end

--- Writes what waits; while another program holds the file this waits, too.
function database:flush()
  if #self.pending == 0 then return end
  patiently(self, begin)
  write_pending(self)
end

--- Writes what waits, unless another program holds the file for `wait` seconds (0): then false, and it goes on waiting.
function database:try_flush(wait)
  C.mien_db_wait(self:handle(), self.told_locked and 0 or wait or 0)
  local ok, problem = pcall(begin, self)
  C.mien_db_wait(self.pointer, self.wait)
  if not ok then
    self.flushed = C.mien_time_monotonic() -- the next try is in two seconds
    if not is_locked(self, problem) then check.rethrow(problem) end
    -- two writers meet all the time: only a lock that stays is worth a word
    self.locked_since = self.locked_since or self.flushed
    if wait or self.flushed - self.locked_since > self.wait then tell_locked(self) end
    return false
  end
  self.locked_since, self.told_locked = nil, nil
  write_pending(self)
  return true
end

--- Brings all that was written so far, and what waits, onto the disk, where a power cut leaves it; false when another
-- program holds the file for longer than ten seconds.
function database:sync()
  -- SQLite syncs with a commit, and commits what changes something
  local touch = "UPDATE experiment SET name = name WHERE id = (SELECT min(id) FROM experiment)"
  self.pending[#self.pending + 1] = { n = 0, sql = touch }
  self:exec "PRAGMA synchronous = FULL"
  local ok, done = pcall(self.try_flush, self, self.wait)
  self:exec("PRAGMA synchronous = " .. (self.log and "NORMAL" or "FULL"))
  if not ok then check.rethrow(done) end
  return done
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
    pointer = ffi.gc(pointer, C.mien_db_close), path = path, statements = {}, pending = {}, guards = {}, wait = WAIT,
    flushed = C.mien_time_monotonic(),
  }, database)
  if not options.read_only then
    local ok, problem = pcall(check.status, C.mien_db_migrate(pointer))
    if not ok then
      db:close()
      check.rethrow(problem)
    end
    local journal = ffi.string(C.mien_db_journal(pointer))
    db.log = journal == "wal" -- without the log, NORMAL may lose what was committed
    if not db.log then
      io.stderr:write(("mien: %s: no write-ahead log can be kept here (journal: %s); who reads and who writes wait for each "
        .. "other\n"):format(home.short(path), journal))
    end
  end
  return db
end

results.text = text
return results
