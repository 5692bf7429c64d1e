-- The prompt: reads inputs of Lua or SQL, evaluates them and prints what they give.
-- Not here: evaluation, printing, completion (the files beside this one), line editing (core/host/edit.c).
local C = require "mien.base.ffi"
local complete = require "mien.repl.complete"
local inputs = require "mien.repl.inputs"
local help = require "mien.help"
local host = require "mien.host"
local notices = require "mien.base.notices"
local show = require "mien.repl.show"

local repl = {}

-- ---- history ---------------------------------------------------------------------------------------

local history_file

local function open_history()
  local state = os.getenv "XDG_STATE_HOME"
  if not state or state == "" then
    local home = os.getenv "HOME"
    if not home then return end
    state = home .. "/.local/state"
  end
  if C.mien_folder_make(state .. "/mien") ~= 0 then return end
  history_file = state .. "/mien/history"
  host.history_load(history_file)
end

local function remember(text)
  if not text:find "%S" then return end
  host.history_add(text)
  if history_file then host.history_save(history_file) end
end

-- ---- one session -------------------------------------------------------------------------------------

local session = {}
session.__index = session

local function new_session(terminal)
  local self = setmetatable({ terminal = terminal, failed = false, sql = false }, session)
  self.env = inputs.environment { help = function(topic) print(help.text(topic)) end }
  return self
end

function session:fail(message)
  io.stdout:flush()
  io.stderr:write("error: ", message, "\n")
  self.failed = true
end

function session:report(err, trace)
  if type(err) == "table" and err.code == "interrupted" then
    io.stdout:flush()
    io.stderr:write "interrupted\n"
    self.failed = true
  else
    self:fail(inputs.explain(err, trace))
  end
end

--- Runs `chunk` as an input; Ctrl-C comes back here. Returns its values, or nil after an error was printed.
function session:evaluate(chunk)
  host.interrupt_reset()
  local values, err, trace = inputs.run(chunk, self.env)
  host.interrupt_reset()
  if not values then self:report(err, trace) end
  io.stdout:flush()
  notices.tell()
  return values
end

function session:query(text)
  self:evaluate(function()
    local results = require("mien").results
    local db = results.open(nil, { read_only = true })
    local ok, rows = pcall(db.rows, db, text)
    db:close()
    if not ok then error(rows, 0) end
    print(results.text.table(rows, nil, C.mien_terminal(1) and C.mien_terminal_columns() or nil))
  end)
end

function session:lua(chunk, text)
  local values = self:evaluate(chunk)
  if not values then return end
  if text:find "^%s*local%s" and not text:find "\n" then
    self:note "a local ends with its input; without `local` the name stays"
  end
  if values.n == 0 or (values.n == 1 and values[1] == nil) then return end
  if values[1] ~= nil then rawset(self.env, "_", values[1]) end
  self:evaluate(function()
    for i = 1, values.n do print(show.value(values[i])) end
  end)
end

--- A remark for somebody who sits at the terminal.
function session:note(text)
  if self.terminal then print("(" .. text .. ")") end
end

--- What an input asks for, when it is not Lua: help, a query, another mode. True when it was handled.
function session:directive(text)
  local topic = text:match "^%s*%?+%s*(.-)%s*$" or text:match "^%s*help%s+([%w_%.]+)%s*$"
  if topic then
    self:evaluate(function() print(help.text(self:topic(topic))) end)
  elseif text:find "^%s*:sql%s*$" then
    self.sql = true
    self:note "SQL on results.db; :lua or Ctrl-D goes back"
  elseif text:find "^%s*:lua%s*$" then
    self.sql = false
  elseif text:find "^%s*:%a" then
    self:fail("there is no " .. text:match "%S+" .. "; there are :sql, :lua, :quit, ?name and sql QUERY")
  elseif text:find "^%s*sql%s+%a" then
    self:query(text:match "^%s*sql%s+(.*)$")
  else
    return false
  end
  return true
end

--- The value behind a name when it is one of the user's own functions, else the name.
function session:topic(name)
  local own = name:find "^[%a_][%w_]*$" and rawget(self.env, name)
  if own ~= nil and own ~= false then return own end
  return name
end

-- ---- reading -------------------------------------------------------------------------------------------

--- Names of the tables and views of results.db, empty when there is none.
local function tables()
  local names = {}
  pcall(function()
    local results = require("mien").results.open(nil, { read_only = true })
    for _, row in ipairs(results:rows "select name from sqlite_master where type in ('table', 'view')") do
      names[#names + 1] = row.name
    end
    results:close()
  end)
  return names
end

--- The next line, nil at the end, false after Ctrl-C.
function session:line(prompt)
  if not self.terminal then return io.read() end
  return host.readline(prompt, function(text, cursor)
    if self.sql then return complete.sql(tables(), text, cursor) end
    return complete.lua(self.env, text, cursor)
  end)
end

--- Reads lines until the input is whole; gives its text and, for Lua, the compiled chunk.
-- nil at the end of input, false when it was abandoned.
function session:read()
  local text = self:line(self.sql and "sql> " or "mien> ")
  if not text then return text end
  if self.sql then
    while not text:find ";%s*$" and text:find "%S" and not text:find "^%s*[:?]" do
      local more = self:line "...> "
      if more == false then return false end
      if not more or more == "" then break end
      text = text .. "\n" .. more
    end
    return text
  end
  if text:find "^%s*[:?]" or text:find "^%s*sql%s+%a" or text:find "^%s*help%s+[%w_%.]+%s*$" then
    return text
  end
  while true do
    local chunk, message, incomplete = inputs.compile(text)
    if chunk or not incomplete then return text, chunk, message end
    local more = self:line "  ... "
    if more == false then return false end
    if not more then return text, nil, message end
    text = text .. "\n" .. more
  end
end

function session:step()
  local text, chunk, message = self:read()
  if text == nil then
    if not self.sql then return false end
    self.sql = false -- Ctrl-D leaves SQL first
    if self.terminal then print() end
    return self.terminal
  end
  if text == false or not text:find "%S" then return true end
  if self.terminal then remember(text) end
  if text:find "^%s*:q" then return false end
  if self:directive(text) then return true end
  if self.sql then
    self:query(text)
  elseif chunk then
    self:lua(chunk, text)
  else
    self:fail(inputs.explain(message))
  end
  io.stdout:flush()
  return true
end

--- Opens the prompt on a terminal, or evaluates the lines of standard input; returns the exit code.
function repl.run()
  local self = new_session(host.terminal(0))
  if self.terminal then
    open_history()
    print("mien " .. host.version .. "   ?name explains, Tab completes, :sql asks results.db, Ctrl-D leaves")
  end
  while self:step() do end
  if self.terminal then
    print()
    host.edit_end()
    return 0
  end
  return self.failed and 1 or 0
end

return repl
