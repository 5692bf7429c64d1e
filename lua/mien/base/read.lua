-- A whole file as text.
-- Not here: what is in it.

--- read(path): the bytes of a file, or nil when it cannot be opened.
return function(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "*a"
  file:close()
  return text
end
