-- Lua sources without what changes nothing: comments, blanks, the breaking of lines.
-- Not here: what a function is made from beside its text (results/code.lua).
local source = {}

local WORD = "^[%w_]+"
local NUMBERS = { "^0[xX][%x%.]+[uUlLi]*", "^%d+%.?%d*[eE][-+]?%d+[i]?", "^%.%d+[eE]?[-+]?%d*", "^%d+%.%d*", WORD }

--- The end of a long bracket that begins at `at`, or nil where none does.
local function long(text, at)
  local level = text:match("^%[(=*)%[", at)
  if not level then return nil end
  local _, last = text:find("]" .. level .. "]", at, true)
  return last or #text
end

--- The end of a quoted text that begins at `at`.
local function quoted(text, at)
  local quote = text:sub(at, at)
  local i = at + 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == quote then return i end
    i = i + (c == "\\" and 2 or 1)
  end
  return #text
end

--- The end of a token that begins at `at`, which is neither blank nor a comment.
local function token_end(text, at)
  local c = text:sub(at, at)
  if c == '"' or c == "'" then return quoted(text, at) end
  if c == "[" and long(text, at) then return long(text, at) end
  if c:find "%d" or text:find("^%.%d", at) then
    for _, pattern in ipairs(NUMBERS) do
      local _, last = text:find(pattern, at)
      if last then return last end
    end
  end
  for _, pattern in ipairs { WORD, "^%.%.%.?", "^[=~<>]=", "^::" } do
    local _, last = text:find(pattern, at)
    if last then return last end
  end
  return at
end

--- The tokens of a text in Lua, as they are written; comments and blanks are none.
function source.tokens(text)
  local list, at = {}, text:find "^#" and (text:find "\n" or #text + 1) or 1
  while true do
    at = text:find("%S", at)
    if not at then return list end
    if text:find("^%-%-", at) then
      at = (long(text, at + 2) or (text:find("\n", at, true) or #text)) + 1
    else
      local last = token_end(text, at)
      list[#list + 1] = text:sub(at, last)
      at = last + 1
    end
  end
end

local CLOSE_BEFORE = { [","] = true, [";"] = true, [")"] = true, ["]"] = true, ["."] = true, [":"] = true }
local CLOSE_AFTER = { ["("] = true, ["["] = true, ["."] = true, [":"] = true, ["#"] = true }

--- Tokens from `first` to `last` as one line.
function source.line(tokens, first, last)
  local parts = {}
  for i = first or 1, last or #tokens do
    local before, token = tokens[i - 1], tokens[i]
    local close = #parts == 0 or CLOSE_BEFORE[token] or CLOSE_AFTER[before]
      or (token == "(" or token == "[") and before:find "[%w_%)%]]$" and not before:find "^%d"
    parts[#parts + 1] = (close and "" or " ") .. token
  end
  return table.concat(parts)
end

--- One line that is the same for texts that differ in nothing but comments, blanks and line breaks.
function source.normal(text)
  return source.line(source.tokens(text))
end

local OPENS = { ["function"] = true, ["if"] = true, ["do"] = true }

--- The same of the lines that hold a function, from its parameters to its `end`: under which name it is kept, and what
-- stands behind it, does not matter. Of several that begin in the first line none can be told: then it is all of them.
function source.of_function(text)
  local _, several = (text:match "^[^\n]*"):gsub("%f[%w_]function%f[^%w_]", "")
  if several ~= 1 then return source.normal(text) end
  local tokens = source.tokens((text:gsub("^[^\n]-function%s*[%w_.:]*", "function", 1)))
  local depth = 0
  for i, token in ipairs(tokens) do
    depth = depth + (OPENS[token] and 1 or token == "end" and -1 or 0)
    if depth == 0 then return source.line(tokens, 1, i) end
  end
  return source.line(tokens)
end

--- What a text asks for by name: { { "require", "net" }, { "dofile", "x.lua" } ... } in its order; and whether some
-- names cannot be read in it.
function source.required(text)
  local tokens, list, hidden = source.tokens(text), {}, false
  for i, token in ipairs(tokens) do
    if token == "require" or token == "dofile" or token == "loadfile" then
      local name = tokens[i + 1] == "(" and tokens[i + 2] or tokens[i + 1] or ""
      local plain = name:match "^[\"'](.*)[\"']$"
      local before = tokens[i - 1]
      if plain then
        list[#list + 1] = { token, plain }
      elseif before ~= "=" and before ~= "." and before ~= "," and tokens[i + 1] == "(" then
        hidden = true
      end
    end
  end
  return list, hidden
end

--- Where two texts differ, each with a few tokens around it: "... kernel = 3, stride ...", "... kernel = 5, stride ...".
function source.difference(old, new)
  local a, b = source.tokens(old), source.tokens(new)
  local first = 1
  while a[first] and a[first] == b[first] do first = first + 1 end
  local last = 0
  while #a - last >= first and #b - last >= first and a[#a - last] == b[#b - last] do last = last + 1 end
  local function cut(tokens)
    local from, to = math.max(1, first - 3), math.min(#tokens, #tokens - last + 2, first + 9)
    return (from > 1 and "... " or "") .. source.line(tokens, from, to) .. (to < #tokens and " ..." or "")
  end
  return cut(a), cut(b)
end

return source
