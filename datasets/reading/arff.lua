-- Reads ARFF, the form of Weka: lines that declare the columns, then rows as in a CSV.
-- Not here: what the columns mean, sparse rows ({index value, ...}), which no owner of a corpus hands out.
local check = require "mien.base.check"
local csv = require "mien.data.csv"

local arff = {}

--- Rows, names of columns, and bad rows of an ARFF file, as csv.read gives them. `wanted`: names that must be there.
function arff.read(path, wanted)
  local text = csv.text(path)
  text = ("\n" .. text):gsub("\n[ \t]*%%[^\n]*", "\n"):sub(2) -- comments; lines keep their numbers
  local header, line = {}, 0
  for words, at in text:gmatch "([^\n]*)\n()" do
    line = line + 1
    local keyword, rest = words:match "^%s*@(%a+)%s*(.-)%s*$"
    keyword = keyword and keyword:lower()
    if keyword == "attribute" then
      header[#header + 1] = rest:match "^'([^']*)'" or rest:match '^"([^"]*)"' or rest:match "^%S+"
    elseif keyword == "data" then
      local rows, bad = csv.rows(path, text, at, line + 1, ",", header, wanted)
      return rows, header, bad
    elseif keyword ~= "relation" and words:find "%S" then
      check.raise("format", "%s:%d: neither @relation, @attribute nor @data: '%s'", path, line, words:match "%S.*")
    end
  end
  check.raise("format", "%s: no line @data: it is no ARFF file, or breaks off", path)
end

return arff
