-- How tensors and byte counts look in the REPL: one line, and the elements of small ones.
-- Not here: tables of results (results/text.lua).
local C = require "mien.base.ffi"

local print = {}

local SMALL = 100 -- elements that are printed one by one

--- "300.0 KiB".
function print.bytes(n)
  if n < 1024 then return ("%d B"):format(n) end
  for _, unit in ipairs { "KiB", "MiB", "GiB" } do
    n = n / 1024
    if n < 1024 or unit == "GiB" then return ("%.1f %s"):format(n, unit) end
  end
end

--- The format that suits all numbers: integers, four decimals, or an exponent.
local function number_format(flat, n)
  local whole, largest, smallest = true, 0, math.huge
  for i = 0, n - 1 do
    local x = math.abs(flat[i])
    if x == x and x < math.huge then
      whole = whole and x % 1 == 0
      largest = math.max(largest, x)
      if x > 0 then smallest = math.min(smallest, x) end
    end
  end
  if whole and largest < 1e9 then return "%.0f" end
  if largest >= 1e5 or smallest < 1e-4 and largest / smallest > 1e3 or largest < 1e-3 then return "%.4e" end
  return "%.4f"
end

local function elements(t)
  local flat, n = t:doubles()
  local format, width, texts = number_format(flat, n), 0, {}
  for i = 0, n - 1 do
    texts[i + 1] = format:format(flat[i])
    width = math.max(width, #texts[i + 1])
  end
  local shape, at = t:size(), 0
  local function level(depth)
    if depth > #shape then
      at = at + 1
      return (" "):rep(width - #texts[at]) .. texts[at]
    end
    local parts = {}
    for i = 1, shape[depth] do parts[i] = level(depth + 1) end
    local separator = depth == #shape and ", " or "," .. ("\n"):rep(#shape - depth) .. (" "):rep(depth)
    return "[" .. table.concat(parts, separator) .. "]"
  end
  return level(1)
end

--- The text of a tensor: dtype, shape, device; then the elements (up to 100), or mean, sd and bytes.
function print.tensor(t)
  local head = ("%s[%s] %s"):format(t.dtype, table.concat(t:size(), ","), t.device)
  if t.name then head = head .. " " .. t.name end
  if t.freed then return head .. " (freed)" end
  local n = t:count()
  if n == 0 then return head .. " (empty)" end
  if t.ndim == 0 then return head .. "  " .. elements(t) end
  if n <= SMALL then return head .. "\n" .. elements(t) end
  local mean, sd, _, _, strange = t:summary()
  local bytes = n * tonumber(C.mien_dtype_size(C.mien_tensor_dtype(t)))
  local odd = strange > 0 and ("  %d not finite"):format(strange) or ""
  return ("%s  mean %.3f sd %.3f%s  (%s)"):format(head, mean, sd, odd, print.bytes(bytes))
end

return print
