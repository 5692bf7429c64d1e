-- What callers of plot give: arrays, tensors, series with bands; checked, as arrays of numbers.
-- Not here: drawing them (plot/init.lua).
local check = require "mien.base.check"

local series = {}

--- An array of numbers from an array or a one-dimensional tensor.
function series.numbers(value, what)
  if check.is_tensor(value) then
    if value.ndim ~= 1 then
      check.raise("shape", "%s is a tensor of %d dimensions, one is wanted", what, value.ndim)
    end
    return value:totable()
  end
  check.type(value, "table", what)
  for i, number in ipairs(value) do
    if type(number) ~= "number" then
      check.raise("argument", "%s: entry %d is %s, no number", what, i, check.describe(number))
    end
  end
  return value
end

local function count_to(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

--- A series with x, y and, where given, the lower and upper edge of its band.
function series.series(given, what)
  if check.is_tensor(given) or type(given[1]) == "number" then given = { y = given } end
  check.keys(given, { x = true, y = "any!", label = "string", band = "any" }, what)
  local y = series.numbers(given.y, what .. ": y")
  local x = given.x and series.numbers(given.x, what .. ": x") or count_to(#y)
  if #x ~= #y then check.raise("shape", "%s: x has %d entries, but y %d", what, #x, #y) end
  local low, high
  if given.band then
    local band = given.band
    if not check.is_tensor(band) and band.low then
      low, high = series.numbers(band.low, what .. ": band.low"), series.numbers(band.high, what .. ": band.high")
    else
      low, high = {}, {}
      for i, half in ipairs(series.numbers(band, what .. ": band")) do low[i], high[i] = y[i] - half, y[i] + half end
    end
    if #low ~= #y or #high ~= #y then check.raise("shape", "%s: the band has %d entries, but y %d", what, #low, #y) end
  end
  return { x = x, y = y, low = low, high = high, label = given.label }
end

return series
