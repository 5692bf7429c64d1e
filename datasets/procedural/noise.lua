-- Noise that needs no library: a hash of integers, smooth value noise, and a sensor's grain.
-- Not here: random choices, which come from mien's named streams (person.lua, motion.lua).
local bit = require "bit"

local bxor, lshift, rshift, band, tobit = bit.bxor, bit.lshift, bit.rshift, bit.band, bit.tobit
local floor = math.floor

local noise = {}

--- Scrambles a 32-bit integer (xorshift and multiplication by shifts; Jenkins' 6-shift hash).
local function scramble(a)
  a = tobit(a + 0x7ed55d16 + lshift(a, 12))
  a = bxor(bxor(a, 0xc761c23c), rshift(a, 19))
  a = tobit(a + 0x165667b1 + lshift(a, 5))
  a = bxor(tobit(a + 0xd3a2646c), lshift(a, 9))
  a = tobit(a + 0xfd7046c5 + lshift(a, 3))
  return bxor(bxor(a, 0xb55a4f09), rshift(a, 16))
end
noise.scramble = scramble

--- In [0, 1) for a lattice point.
local function lattice(x, y, seed)
  return rshift(scramble(bxor(scramble(bxor(tobit(x), seed)), tobit(y * 0x3779))), 8) / 16777216
end

--- Smooth noise in [0, 1): lattice values with cubic blending.
function noise.value(x, y, seed)
  local ix, iy = floor(x), floor(y)
  local fx, fy = x - ix, y - iy
  fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
  local a, b = lattice(ix, iy, seed), lattice(ix + 1, iy, seed)
  local c, d = lattice(ix, iy + 1, seed), lattice(ix + 1, iy + 1, seed)
  a, c = a + fx * (b - a), c + fx * (d - c)
  return a + fy * (c - a)
end

--- About normal with sd 1: three parts of one hash, the sum of which is nearly Gaussian.
function noise.grain(i, seed)
  local h = scramble(bxor(tobit(i * 0x9e35), seed))
  return (band(h, 1023) + band(rshift(h, 10), 1023) + band(rshift(h, 20), 1023) - 1534.5) / 511.7
end

return noise
