-- Python's pickles as data: a small machine that builds tables and calls nothing. All opcodes of protocols 0 to 5 but
-- those for extensions and buffers from outside; https://docs.python.org/3/library/pickletools.html.
-- Not here: what the classes that a pickle names stand for (torch.lua, numpy.lua).
local bytes = require "mien.weights.bytes"

local pickle = {}

pickle.LONGEST = 2 ^ 28 -- bytes of a pickle: a description, no elements
local MOST = 2e7 -- opcodes

--- None. What else a pickle holds: numbers, texts (bytes too) and truths as in Lua; whole numbers above 2^53 as
-- { type = "long", bytes }; { type = "dict", n =, keys =, values = }; { type = "list" | "tuple", ... };
-- { type = "global", name = "module.name" }; { type = "persistent", id = value };
-- { type = "call", to = global, args = tuple, state = value or nil, items = dict or nil, list = list or nil }.
pickle.NONE = setmetatable({ type = "none" }, { __tostring = function() return "None" end })

local NONE, MARK = pickle.NONE, { type = "mark" }

local function is(value, kind) return type(value) == "table" and value.type == kind end
pickle.is = is

local function new_dict() return { type = "dict", n = 0, keys = {}, values = {}, at = {} } end
pickle.dict = new_dict

--- Sets the value of a key of a dict.
function pickle.put(dict, key, value)
  local at = dict.at[key]
  if key == key and at == nil then
    dict.n = dict.n + 1
    at = dict.n
    dict.at[key] = at
  end
  if at then dict.keys[at], dict.values[at] = key, value end
end

--- The value of a key, nil for none.
function pickle.get(dict, key)
  return is(dict, "dict") and dict.at[key] and dict.values[dict.at[key]] or nil
end

-- ---- the machine ---------------------------------------------------------------------------------------

local machine = {}
machine.__index = machine

function machine:fail(fmt, ...)
  self.file:wrong("a pickle, at its byte %d: " .. fmt, self.at - 1, ...)
end

function machine:take(count)
  if not count or self.at + count - 1 > #self.text then self:fail "it is cut off, or damaged" end
  local part = self.text:sub(self.at, self.at + count - 1)
  self.at = self.at + count
  return part
end

function machine:line()
  local stop = self.text:find("\n", self.at, true)
  if not stop then self:fail "it is cut off, or damaged" end
  local part = self.text:sub(self.at, stop - 1)
  self.at = stop + 1
  return part
end

function machine:count(n) return bytes.whole(self:take(n), 1, n) or self:fail "a length above 2^53" end
function machine:counted(n) return self:take(self:count(n)) end

function machine:push(value)
  self.n = self.n + 1
  self.stack[self.n] = value
end

function machine:pop()
  local value = self.stack[self.n]
  if value == nil or value == MARK then self:fail "it takes a value where there is none" end
  self.stack[self.n] = nil
  self.n = self.n - 1
  return value
end

function machine:top()
  local value = self.stack[self.n]
  if value == nil or value == MARK then self:fail "it takes a value where there is none" end
  return value
end

--- All down to the last mark, as a list.
function machine:marked(kind)
  local from = self.n
  while from > 0 and self.stack[from] ~= MARK do from = from - 1 end
  if from == 0 then self:fail "it takes values down to a mark where there is none" end
  local list = { type = kind }
  for i = from + 1, self.n do
    list[i - from] = self.stack[i]
    self.stack[i] = nil
  end
  self.stack[from] = nil
  self.n = from - 1
  return list
end

function machine:put_in(target, list)
  if #list % 2 == 1 then self:fail "a key without a value" end
  if is(target, "call") then
    target.items = target.items or new_dict()
    target = target.items
  end
  if not is(target, "dict") then self:fail "it puts keys into what is no dict" end
  for i = 1, #list, 2 do
    if list[i] ~= list[i] then self:fail "a key that is no number" end
    pickle.put(target, list[i], list[i + 1])
  end
end

function machine:append(target, list)
  if is(target, "call") then
    target.list = target.list or { type = "list" }
    target = target.list
  end
  if not is(target, "list") then self:fail "it appends to what is no list" end
  for _, value in ipairs(list) do target[#target + 1] = value end
end

function machine:global(module, name)
  if type(module) ~= "string" or type(name) ~= "string" then self:fail "a class whose name is no text" end
  self:push { type = "global", name = module .. "." .. name }
end

local DICTS = { ["collections.OrderedDict"] = true, ["builtins.dict"] = true, ["__builtin__.dict"] = true }

--- A call that is noted and not made; empty dicts alone are made, as their items come later.
function machine:call(to, args)
  -- the older form of PyTorch's files names classes with their source, as things outside
  if is(to, "persistent") and is(to.id, "tuple") and to.id[1] == "module" then to = to.id[2] end
  if not is(to, "global") then self:fail "it calls what is no class or function" end
  if not is(args, "tuple") then self:fail("it calls %s without a tuple of arguments", to.name) end
  if DICTS[to.name] and #args <= 1 then
    local dict = new_dict()
    for _, pair in ipairs(args[1] and is(args[1], "list") and args[1] or {}) do
      if (is(pair, "list") or is(pair, "tuple")) and #pair == 2 then pickle.put(dict, pair[1], pair[2]) end
    end
    return self:push(dict)
  end
  self:push { type = "call", to = to, args = args }
end

--- A whole number of any length, lowest byte first.
function machine:long(count)
  local text = self:take(count)
  if count == 0 then return self:push(0) end
  self:push(bytes.integer(text, 1, count) or { type = "long", bytes = text })
end

local function tuple(...) return { type = "tuple", ... } end

--- Quoted text of protocol 0.
function machine:quoted(text)
  local inside = text:match '^"(.*)"%s*$' or text:match "^'(.*)'%s*$"
  if not inside then self:fail "a text without quotes" end
  return (inside:gsub("\\x(%x%x)", function(x) return string.char(tonumber(x, 16)) end)
    :gsub("\\([\\'\"nrt])", { ["\\"] = "\\", ["'"] = "'", ['"'] = '"', n = "\n", r = "\r", t = "\t" }))
end

local ops = {
  ["("] = function(m) m:push(MARK) end,
  ["0"] = function(m) if m.stack[m.n] == MARK then m.stack[m.n], m.n = nil, m.n - 1 else m:pop() end end,
  ["1"] = function(m) m:marked "list" end,
  ["2"] = function(m) m:push(m:top()) end,
  N = function(m) m:push(NONE) end,
  ["\x88"] = function(m) m:push(true) end,
  ["\x89"] = function(m) m:push(false) end,
  I = function(m)
    local word = m:line()
    if word == "00" or word == "01" then return m:push(word == "01") end
    m:push(tonumber(word) or m:fail("no number: %s", word:sub(1, 20)))
  end,
  L = function(m) m:push(tonumber((m:line():gsub("L$", ""))) or m:fail "no number") end,
  F = function(m) m:push(tonumber(m:line()) or m:fail "no number") end,
  G = function(m) m:push(bytes.double(m:take(8), 1, "big")) end,
  J = function(m) m:push(bytes.integer(m:take(4), 1, 4)) end,
  K = function(m) m:push(m:count(1)) end,
  M = function(m) m:push(m:count(2)) end,
  ["\x8a"] = function(m) m:long(m:count(1)) end,
  ["\x8b"] = function(m) m:long(m:count(4)) end,
  S = function(m) m:push(m:quoted(m:line())) end,
  V = function(m) m:push(m:line()) end,
  T = function(m) m:push(m:counted(4)) end,
  U = function(m) m:push(m:counted(1)) end,
  X = function(m) m:push(m:counted(4)) end,
  B = function(m) m:push(m:counted(4)) end,
  C = function(m) m:push(m:counted(1)) end,
  ["\x8c"] = function(m) m:push(m:counted(1)) end,
  ["\x8d"] = function(m) m:push(m:counted(8)) end,
  ["\x8e"] = function(m) m:push(m:counted(8)) end,
  ["\x96"] = function(m) m:push(m:counted(8)) end,
  ["]"] = function(m) m:push { type = "list" } end,
  ["}"] = function(m) m:push(new_dict()) end,
  [")"] = function(m) m:push(tuple()) end,
  ["\x8f"] = function(m) m:push { type = "list" } end,
  l = function(m) m:push(m:marked "list") end,
  t = function(m) m:push(m:marked "tuple") end,
  ["\x91"] = function(m) m:push(m:marked "list") end,
  d = function(m)
    local list = m:marked "list"
    m:push(new_dict())
    m:put_in(m:top(), list)
  end,
  ["\x85"] = function(m) m:push(tuple(m:pop())) end,
  ["\x86"] = function(m)
    local b, a = m:pop(), m:pop()
    m:push(tuple(a, b))
  end,
  ["\x87"] = function(m)
    local c, b, a = m:pop(), m:pop(), m:pop()
    m:push(tuple(a, b, c))
  end,
  a = function(m)
    local value = m:pop()
    m:append(m:top(), { value })
  end,
  e = function(m)
    local list = m:marked "list"
    m:append(m:top(), list)
  end,
  ["\x90"] = function(m)
    local list = m:marked "list"
    m:append(m:top(), list)
  end,
  s = function(m)
    local value, key = m:pop(), m:pop()
    m:put_in(m:top(), { key, value })
  end,
  u = function(m)
    local list = m:marked "list"
    m:put_in(m:top(), list)
  end,
  c = function(m)
    local module = m:line()
    m:global(module, m:line())
  end,
  ["\x93"] = function(m)
    local name, module = m:pop(), m:pop()
    m:global(module, name)
  end,
  R = function(m)
    local args, to = m:pop(), m:pop()
    m:call(to, args)
  end,
  ["\x81"] = function(m)
    local args, to = m:pop(), m:pop()
    m:call(to, args)
  end,
  ["\x92"] = function(m)
    local _, args, to = m:pop(), m:pop(), m:pop()
    m:call(to, args)
  end,
  i = function(m)
    local module = m:line()
    local name, args = m:line(), m:marked "tuple"
    m:global(module, name)
    m:call(m:pop(), args)
  end,
  o = function(m)
    local list = m:marked "tuple"
    local to = table.remove(list, 1)
    m:call(to, list)
  end,
  b = function(m)
    local state, object = m:pop(), m:top()
    if type(object) ~= "table" then m:fail "it gives a state to what has none" end
    object.state = state
  end,
  P = function(m) m:persistent(m:line()) end,
  Q = function(m) m:persistent(m:pop()) end,
  p = function(m) m.memo[tonumber(m:line()) or m:fail "no number"] = m:top() end,
  q = function(m) m.memo[m:count(1)] = m:top() end,
  r = function(m) m.memo[m:count(4)] = m:top() end,
  ["\x94"] = function(m)
    m.memo[m.memos] = m:top()
    m.memos = m.memos + 1
  end,
  g = function(m) m:recall(tonumber(m:line())) end,
  h = function(m) m:recall(m:count(1)) end,
  j = function(m) m:recall(m:count(4)) end,
  ["\x80"] = function(m)
    local version = m:count(1)
    if version > 5 then m:fail("protocol %d; 0 to 5 are read", version) end
  end,
  ["\x95"] = function(m) m:take(8) end,
}

function machine:recall(key)
  local value = key and self.memo[key]
  if value == nil then self:fail "it recalls what it has not kept" end
  self:push(value)
end

function machine:persistent(id)
  local value = { type = "persistent", id = id }
  self.outside[#self.outside + 1] = value
  self:push(value)
end

--- The value of a pickle that begins at `at` (from 1) of a text, where it ends, and all things outside that it names.
-- file: for messages.
function pickle.read(file, text, at)
  local m = setmetatable({ file = file, text = text, at = at or 1, stack = {}, n = 0, memo = {}, memos = 0, outside = {} },
    machine)
  for _ = 1, MOST do
    local code = m:take(1)
    if code == "." then return m:pop(), m.at, m.outside end
    local op = ops[code]
    if not op then m:fail("the opcode %s, which no data need", code:match "%w" or ("0x%02x"):format(code:byte())) end
    op(m)
  end
  m:fail("more than %.0f opcodes", MOST)
end

return pickle
