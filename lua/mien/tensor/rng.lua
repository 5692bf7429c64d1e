-- Named random streams: `rng.stream(seed, "shuffle")`; the same seed and name give the same bits anywhere.
-- Not here: Philox itself (core/tensor/rng.h), which stream serves what.
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"

local rng = {}

local stream = {}

--- A number, uniform in [0, 1) with 53 bits.
function stream:uniform()
  return C.mien_rng_uniform(self)
end

--- A standard normal number.
function stream:normal()
  return C.mien_rng_normal(self)
end

--- An integer, uniform in 0 .. n-1.
function stream:below(n)
  check.type(n, "count", "rng:below: n")
  return tonumber(C.mien_rng_below(self, n))
end

--- Shuffles an array in place (Fisher-Yates); returns it.
function stream:shuffle(array)
  local n = #array
  local order = ffi.new("int64_t[?]", n)
  for i = 0, n - 1 do order[i] = i + 1 end
  C.mien_rng_shuffle(self, order, n)
  local old = {}
  for i = 1, n do old[i] = array[i] end
  for i = 1, n do array[i] = old[tonumber(order[i - 1])] end
  return array
end

--- Fills a tensor with numbers uniform in [low, high) (0 and 1 when left out); returns it.
function stream:fill_uniform(t, low, high)
  check.status(C.mien_rng_fill_uniform(self, t, low or 0, high or 1))
  return t
end

--- Fills a tensor with normal numbers (mean 0 and sd 1 when left out); returns it.
function stream:fill_normal(t, mean, sd)
  check.status(C.mien_rng_fill_normal(self, t, mean or 0, sd or 1))
  return t
end

local function digits(number)
  return (tostring(number):gsub("ULL$", ""))
end

local function number(text)
  if type(text) ~= "string" or not text:match "^%d+$" then
    check.raise("argument", "rng:set_state: %s is no decimal number in a text", check.describe(text))
  end
  local value = 0ULL
  for digit in text:gmatch "%d" do value = value * 10ULL + tonumber(digit) end
  return value
end

--- The whole state as three decimal texts { seed, stream, counter }: for checkpoints.
function stream:state()
  return { digits(self.seed), digits(self.stream), digits(self.counter) }
end

--- Sets a state that `state` gave: the stream goes on with the same bits.
function stream:set_state(state)
  local seed, name, counter = number(state[1]), number(state[2]), number(state[3])
  self.seed, self.stream, self.counter = seed, name, counter
  return self
end

ffi.metatype("mien_rng", {
  __index = stream,
  __tostring = function(self)
    return ("rng stream of seed %s at %s"):format(digits(self.seed), digits(self.counter))
  end,
})

--- Starts the stream `name` ("init", "shuffle", "augment", "dropout" ...) of `seed` at its beginning.
function rng.stream(seed, name)
  check.type(name, "string", "rng.stream: name")
  if type(seed) ~= "cdata" and (check.type(seed, "integer", "rng.stream: seed") < 0 or seed > 2 ^ 53) then
    check.raise("argument", "rng.stream: seed must lie in 0 to 2^53, got %g", seed)
  end
  local self = ffi.new "mien_rng"
  C.mien_rng_start(self, seed, name)
  return self
end

--- True for what rng.stream makes.
function rng.is(value)
  return type(value) == "cdata" and ffi.istype("mien_rng", value)
end

local default_seed, defaults = 0, {}

--- The stream that is used where none is given (mien.randn, a new module's weights): seed 0 until rng.seed.
function rng.default(name)
  defaults[name] = defaults[name] or rng.stream(default_seed, name)
  return defaults[name]
end

--- Starts all default streams afresh with `seed`.
function rng.seed(seed)
  check.type(seed, "integer", "rng.seed: seed")
  default_seed = seed
  for name, one in pairs(defaults) do one:set_state(rng.stream(seed, name):state()) end -- whoever holds one keeps it
end

--- Where the default streams stand, for checkpoints: { seed =, streams = { name = state } }.
function rng.defaults()
  local states = {}
  for name, one in pairs(defaults) do states[name] = one:state() end
  return { seed = default_seed, streams = states }
end

--- Sets what `rng.defaults` gave: the default streams go on with the same bits.
function rng.set_defaults(state)
  rng.seed(state.seed)
  for name, one in pairs(state.streams) do rng.default(name):set_state(one) end
end

return rng
