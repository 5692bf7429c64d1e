-- LSTM and GRU over whole sequences, any number of layers.
-- Not here: the cells' arithmetic (op.lstm, op.gru), a network around them (models/recurrent.lua).
local check = require "mien.base.check"
local module = require "mien.nn.module"
local flow = require "mien.nn.flow"
local op = require "mien.tensor.op"

local recurrent = {}

local known = { "count!", "count!", layers = "count" }

local function detail(self)
  return ("%d, %d, layers = %d"):format(self.inputs, self.hidden, self.layers)
end

--- What a recurrent layer ends with: { h = { [B,H] per layer }, c = the same for an LSTM }.
local state_class = {
  __tostring = function(state)
    local shape = state.h[1] and table.concat(state.h[1].shape, ",") or ""
    return ("%s state: %d layers of [%s]"):format(state.c and "lstm" or "gru", #state.h, shape)
  end,
}

-- ---- LSTM ----------------------------------------------------------------------------------------

local lstm = module.define "lstm"
lstm.detail = detail

function lstm:forward(x, state) -- [B,T,D] -> [B,T,H], { h = { [B,H] per layer }, c = { [B,H] per layer } }
  local y, last = x, setmetatable({ h = {}, c = {} }, state_class)
  for layer = 1, self.layers do
    local w = self.weights[layer]
    local h0, c0
    if state then h0, c0 = state.h[layer], state.c[layer] end
    local below = y
    y, last.h[layer], last.c[layer] = op.lstm(y, w.ih, w.hh, w.bias, h0, c0)
    if layer > 1 then flow.release(below, x) end
  end
  return y, last
end

--- Long short-term memory: nn.lstm{ inputs, hidden, layers = 1 }; y, state = lstm(x, state).
-- x [B,T,inputs] -> y [B,T,hidden] and the last state, { h = { per layer [B,hidden] }, c = ... }; without
-- a state it starts at zero. Parameters per layer l from 0 on, gates in the order i, f, g, o:
-- weight_ih_l0 [4H,D], weight_hh_l0 [4H,H], bias_l0 [4H] (zero, but one for the forget gate).
function recurrent.lstm(config)
  check.keys(config, known, "nn.lstm")
  local inputs, hidden = config[1], config[2]
  local self = lstm.create { inputs = inputs, hidden = hidden, layers = config.layers or 1, weights = {} }
  for l = 1, self.layers do
    local suffix = "_l" .. l - 1
    self.weights[l] = {
      ih = self:parameter("weight_ih" .. suffix, { 4 * hidden, l == 1 and inputs or hidden }, "weight", 4),
      hh = self:parameter("weight_hh" .. suffix, { 4 * hidden, hidden }, "weight", 4),
      bias = self:parameter("bias" .. suffix, { 4 * hidden }, "forget", 4),
    }
  end
  return self
end

-- ---- GRU -----------------------------------------------------------------------------------------

local gru = module.define "gru"
gru.detail = detail

function gru:forward(x, state) -- [B,T,D] -> [B,T,H], { h = { [B,H] per layer } }
  local y, last = x, setmetatable({ h = {} }, state_class)
  for layer = 1, self.layers do
    local w = self.weights[layer]
    local h0
    if state then h0 = state.h[layer] end
    local below = y
    y, last.h[layer] = op.gru(y, w.ih, w.hh, w.bias_ih, w.bias_hh, h0, self.attributes)
    if layer > 1 then flow.release(below, x) end
  end
  return y, last
end

local known_gru = { "count!", "count!", layers = "count", reset_after = "boolean" }

--- Gated recurrent unit: nn.gru{ inputs, hidden, layers = 1, reset_after = true }; y, state = gru(x, state).
-- x [B,T,inputs] -> y [B,T,hidden] and the last state, { h = { per layer [B,hidden] } }. reset_after:
-- true is the form of cuDNN and PyTorch, false that of TensorFlow's GRUCell. Parameters per layer l from 0
-- on, gates in the order r, z, n: weight_ih_l0 [3H,D], weight_hh_l0 [3H,H], bias_ih_l0, bias_hh_l0 [3H].
function recurrent.gru(config)
  check.keys(config, known_gru, "nn.gru")
  local inputs, hidden = config[1], config[2]
  local self = gru.create {
    inputs = inputs, hidden = hidden, layers = config.layers or 1, weights = {},
    attributes = { reset_after = config.reset_after ~= false },
  }
  for l = 1, self.layers do
    local suffix = "_l" .. l - 1
    self.weights[l] = {
      ih = self:parameter("weight_ih" .. suffix, { 3 * hidden, l == 1 and inputs or hidden }, "weight", 3),
      hh = self:parameter("weight_hh" .. suffix, { 3 * hidden, hidden }, "weight", 3),
      bias_ih = self:parameter("bias_ih" .. suffix, { 3 * hidden }, "zero"),
      bias_hh = self:parameter("bias_hh" .. suffix, { 3 * hidden }, "zero"),
    }
  end
  return self
end

return recurrent
