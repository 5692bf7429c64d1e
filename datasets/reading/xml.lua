-- XML files as trees, through expat. Not here: what the elements mean (intervals.lua, rated.lua).
local check = require "mien.base.check"
local csv = require "mien.data.csv"

local xml = {}

local DEEPEST, LARGEST = 100, 2 ^ 27 -- elements in each other; bytes

local node = {}
node.__index = node

--- Children of a name, in order.
function node:all(name)
  local list = {}
  for _, child in ipairs(self) do
    if child.tag == name then list[#list + 1] = child end
  end
  return list
end

--- The first child of a name, nil for none.
function node:first(name) return self:all(name)[1] end

--- The root of a file: { tag =, attr = { name = text }, text =, line =, children ... }; all(name), first(name). What is no
-- well-formed XML is an error that names the line.
function xml.read(path)
  local text = csv.text(path)
  if #text > LARGEST then check.raise("format", "%s: %d bytes; annotations of up to %d are read", path, #text, LARGEST) end
  local root, open = nil, {}
  local parser
  parser = require("lxp").new {
    StartElement = function(_, tag, attributes)
      local one = setmetatable({ tag = tag, attr = {}, text = "", line = parser:pos() }, node)
      for key, value in pairs(attributes) do
        if type(key) == "string" then one.attr[key] = value end
      end
      if #open >= DEEPEST then
        check.raise("format", "%s:%d: elements lie deeper than %d in each other", path, one.line, DEEPEST)
      end
      if open[#open] then table.insert(open[#open], one) else root = one end
      open[#open + 1] = one
    end,
    EndElement = function() open[#open] = nil end,
    CharacterData = function(_, data)
      local one = open[#open]
      if one then one.text = one.text .. data end
    end,
  }
  local ok, problem, line = parser:parse(text)
  if ok then ok, problem, line = parser:parse() end
  pcall(parser.close, parser) -- which fails where the text did
  if not ok then check.raise("format", "%s:%d: no well-formed XML: %s", path, line or 1, tostring(problem)) end
  return root
end

return xml
