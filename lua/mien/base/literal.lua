-- Lua literals as text and back, without running any code: configurations, --set values, checkpoint state.
-- Not here: what the values mean.
local check = require "mien.base.check"

local literal = {}

local DEPTH = 100 -- of tables in tables; a table that holds itself has no end

-- ---- writing -----------------------------------------------------------------------------------

--- A number with all its digits and no more: reading it gives the same one.
function literal.number(value)
  if value ~= value then return "nan" end
  if value == math.huge then return "inf" elseif value == -math.huge then return "-inf" end
  for digits = 15, 17 do
    local text = ("%." .. digits .. "g"):format(value)
    if tonumber(text) == value then return text end
  end
end

local number = literal.number
local encode

local function sorted_keys(tbl)
  local keys = {}
  for key in pairs(tbl) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if type(a) == type(b) then return a < b end
    return type(a) == "number"
  end)
  return keys
end

local function encode_table(tbl, path, depth)
  if depth > DEPTH then check.raise("argument", "%s: tables lie deeper than %d in each other", path:sub(1, 40), DEPTH) end
  local parts, n = {}, #tbl
  for i = 1, n do parts[i] = encode(tbl[i], path .. "." .. i, depth) end
  for _, key in ipairs(sorted_keys(tbl)) do
    if not (type(key) == "number" and key >= 1 and key <= n and key % 1 == 0) then
      local name = type(key) == "string" and key:match "^[%a_][%w_]*$" and key or "[" .. encode(key, path, depth) .. "]"
      parts[#parts + 1] = name .. " = " .. encode(tbl[key], path .. "." .. tostring(key), depth)
    end
  end
  return #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
end

function encode(value, path, depth)
  local kind = type(value)
  if kind == "number" then return number(value) end
  if kind == "string" then
    return '"' .. value:gsub('[%c\\"]', function(c)
      if c == "\n" then return "\\n" end
      return c:find '[\\"]' and "\\" .. c or ("\\%03d"):format(c:byte())
    end) .. '"'
  end
  if kind == "boolean" or kind == "nil" then return tostring(value) end
  if kind == "table" then return encode_table(value, path, depth + 1) end
  check.raise("argument", "%s: a %s cannot be written as text", path, kind)
end

--- One text for one value: keys sorted, numbers with all their digits. Equal values give equal texts.
function literal.encode(value, what)
  return encode(value, what or "value", 0)
end

-- ---- reading -----------------------------------------------------------------------------------

local escapes = { n = "\n", t = "\t", r = "\r", ["\\"] = "\\", ['"'] = '"', ["'"] = "'", ["\n"] = "\n" }

local parser = {}
parser.__index = parser

--- Raises what is wanted at a place, where the parser stands when none is named.
function parser:fail(wanted, at)
  local rest = self.text:sub(at or self.at):sub(1, 31)
  check.raise("argument", "%s: %s is wanted %s", self.what, wanted,
    rest ~= "" and "at: " .. rest or ("at the end of: %s"):format(self.text:sub(-31)))
end

function parser:skip()
  self.at = self.text:find("[^%s]", self.at) or #self.text + 1
end

--- Takes `pattern` when it comes next, and gives what it matched.
function parser:take(pattern)
  self:skip()
  local first, last, capture = self.text:find("^" .. pattern, self.at)
  if not first then return nil end
  self.at = last + 1
  return capture or self.text:sub(first, last)
end

function parser:string(quote)
  local parts = {}
  while true do
    local plain = self.text:match("^[^\\" .. quote .. "]*", self.at)
    parts[#parts + 1] = plain
    self.at = self.at + #plain
    local c = self.text:sub(self.at, self.at)
    if c == quote then
      self.at = self.at + 1
      return table.concat(parts)
    elseif c == "" then
      self:fail("a closing " .. quote)
    end
    local digits = self.text:match("^\\(%d%d?%d?)", self.at)
    local escape = self.text:sub(self.at + 1, self.at + 1)
    if not digits and not escapes[escape] then self:fail "an escape such as \\n" end
    parts[#parts + 1] = digits and string.char(tonumber(digits) % 256) or escapes[escape]
    self.at = self.at + 1 + #(digits or escape)
  end
end

function parser:table()
  local tbl, n = {}, 0
  self.depth = self.depth + 1
  if self.depth > DEPTH then self:fail(("a table that lies at most %d deep"):format(DEPTH)) end
  while not self:take "}" do
    local key = self:take "([%a_][%w_]*)%s*=%s*"
    if not key and self:take "%[" then
      key = self:value()
      if key == nil or key ~= key or not self:take "%]" or not self:take "=" then self:fail "a key in [] and =" end
    end
    local value = self:value()
    if key == nil then
      n = n + 1
      key = n
    end
    tbl[key] = value
    if not self:take "[,;]" then
      if not self:take "}" then self:fail "} or ," end
      break
    end
  end
  self.depth = self.depth - 1
  return tbl
end

local words = { ["true"] = true, ["false"] = false, nan = 0 / 0, inf = math.huge }

function parser:value()
  if self:take "{" then return self:table() end
  local quote = self:take "[\"']"
  if quote then return self:string(quote) end
  local start = self.at
  local digits = self:take "[-+]?%.?%d[%w.]*[-+]?%d*"
  if digits then
    return tonumber(digits) or self:fail("a number", start)
  end
  if self:take "%-inf" then return -math.huge end
  local word = self:take "%a+"
  if word == "nil" then return nil end
  if word == nil or words[word] == nil then self:fail('a number, a "text", true, false or { ... }', start) end
  return words[word]
end

--- The value of a literal; an error for anything else.
function literal.decode(text, what)
  local self = setmetatable({ text = text, at = 1, depth = 0, what = what or "literal" }, parser)
  local value = self:value()
  self:skip()
  if self.at <= #text then self:fail "the end" end
  return value
end

return literal
