-- Random and damaged texts for the reader of literals, which meets --set values and the position in a checkpoint: a
-- value or one of mien's errors, nothing else. tests/lua/experiment_spec.lua runs some; more:
-- mien -e 'print(dofile "tests/fuzz/literal.lua"(1e6, 7))'
-- Not here: HDF5 files and databases (the targets beside this file).
local check = require "mien.base.check"
local literal = require "mien.base.literal"

local SAMPLES = {
  '{ 1, "a\\n\\"b\\"\\\\", { x = 1e-05, ["a b"] = 0.1, [-3] = true }, -inf, 0.33333333333333331, nan }',
  "{ epoch = 12, epoch_step = 0, loss_sum = 3.25, stop = { best = 0.7, bad = { 1, 2, 3 } }, done = false }",
  "{1,2;3,}", "'x'", "-0x1p-3", "nil", "[", "{{{{", "\\065", "{[{}]=1}", "1e999", "'\\300'",
}
local BYTES = "{}[]=,;\"'\\0123456789.eExX+-abnilftru \n\0\255"

--- Runs `texts` of them; returns how many were read. Raises what no hostile text may lead to.
return function(texts, seed)
  local state = seed or 1
  local function draw(n) -- 1 .. n: Park and Miller, the same everywhere
    state = state * 16807 % 2147483647
    return state % n + 1
  end
  local function byte()
    local at = draw(#BYTES)
    return draw(8) == 1 and string.char(draw(256) - 1) or BYTES:sub(at, at)
  end
  local function damage(text)
    for _ = 1, draw(4) do
      local at, kind = draw(#text + 1), draw(4)
      local head, tail = text:sub(1, at - 1), text:sub(at)
      if kind == 1 then text = head .. byte() .. tail
      elseif kind == 2 then text = head .. tail:sub(draw(4))
      elseif kind == 3 then text = head .. tail:sub(1, draw(9)):rep(draw(3)) .. tail
      else text = head .. byte():rep(draw(400)) .. tail end
    end
    return text
  end
  local read = 0
  for n = 1, texts do
    local text = damage(SAMPLES[n % #SAMPLES + 1])
    local ok, value = pcall(literal.decode, text)
    if ok then
      read = read + 1
      local again = literal.encode(value)
      assert(literal.encode(literal.decode(again)) == again, ("%q is read as another value the second time"):format(text))
    elseif not check.is_error(value) then
      error(("%q: %s"):format(text, tostring(value)), 0)
    end
  end
  return read
end
