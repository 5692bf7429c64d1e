-- What a name map may do to a tensor beside naming it: other orders of dimensions, of gates, of flattened maps.
-- Not here: which tensor wants which (weights/maps).
local check = require "mien.base.check"
local tensor = require "mien.tensor"

local changes = {}

-- Each takes a tensor (f32, contiguous) and what the rule says beside its name; gives the tensor as mien has it, mostly a
-- view: the elements move once, into the network.
local known = {}

--- The filters of TensorFlow, Keras and MATLAB, [h, w, in, out] -> [out, in, h, w].
function known.hwio(t) return t:permute(4, 3, 1, 2) end

--- A matrix [in, out] -> [out, in].
function known.transpose(t) return t:permute(2, 1) end

--- A fully connected layer after a flattened map whose channels run fastest: [h*w*c, out] -> [out, c*h*w]; rule.channels.
function known.flat_hwc(t, rule)
  local rows, out = t:size(1), t:size(2)
  local side = math.sqrt(rows / rule.channels)
  if side % 1 ~= 0 then
    check.raise("shape", "a layer of %d inputs does not follow square maps of %d channels", rows, rule.channels)
  end
  return t:reshape({ side, side, rule.channels, out }):permute(4, 3, 1, 2):reshape { out, -1 }
end

--- The same where it is kept as a convolution over the whole map: [h, w, c, out] -> [out, c*h*w].
function known.flat_filter(t)
  return t:permute(4, 3, 1, 2):reshape { t:size(4), -1 }
end

--- A vector that has dimensions of size 1 beside its own.
function known.vector(t) return t:reshape { t:count() } end

local function rows(t, first, count) return t:narrow(1, first, count) end

--- The gates of TensorFlow's LSTMCell, i g f o, in mien's order i f g o.
local function reordered(t, hidden)
  return tensor.cat({ rows(t, 1, hidden), rows(t, 2 * hidden + 1, hidden), rows(t, hidden + 1, hidden),
    rows(t, 3 * hidden + 1, hidden) }, 1)
end

--- TensorFlow's LSTMCell: kernel [in + hidden, 4 hidden] -> the part for the input [4 hidden, in].
function known.lstm_input(t)
  local hidden = t:size(2) / 4
  return reordered(t:permute(2, 1):clone(), hidden):narrow(2, 1, t:size(1) - hidden)
end

--- And the part for the state [4 hidden, hidden].
function known.lstm_state(t)
  local hidden = t:size(2) / 4
  return reordered(t:permute(2, 1):clone(), hidden):narrow(2, t:size(1) - hidden + 1, hidden)
end

--- Its bias, with the 1 that the cell adds to the forget gate when it runs (forget_bias).
function known.lstm_bias(t)
  local hidden = t:size(1) / 4
  local out = reordered(t, hidden)
  local forget = out:narrow(1, hidden + 1, hidden)
  forget:copy_(forget + 1)
  return out
end

--- TensorFlow's GRUCell: gates [in + hidden, 2 hidden] (r, u) and candidate [in + hidden, hidden] -> r, z, n of mien: the
-- input's or the state's part of either; rules put both below each other (rule.part = 1 of 2).
function known.gru_input(t, rule)
  local hidden = t:size(2) / rule.gates
  return t:permute(2, 1):clone():narrow(2, 1, t:size(1) - hidden)
end
function known.gru_state(t, rule)
  local hidden = t:size(2) / rule.gates
  return t:permute(2, 1):clone():narrow(2, t:size(1) - hidden + 1, hidden)
end

--- The same shape, all zeros: what another form of a layer has and this one leaves out.
function known.zero(t) return t * 0 end

--- A tensor changed as a rule says: rule.change is one of the names above.
function changes.apply(t, rule, what)
  if not rule.change then return t end
  local change = known[rule.change]
  if not change then check.unknown(what, "change", rule.change, known) end
  return change(t, rule)
end

--- Shape and rank that a change wants: an error instead of a wrong tensor.
local RANKS = { hwio = 4, transpose = 2, flat_hwc = 2, flat_filter = 4, lstm_input = 2, lstm_state = 2,
  lstm_bias = 1, gru_input = 2, gru_state = 2 }

function changes.check(rule, shape, what)
  local rank = rule.change and RANKS[rule.change]
  if rank and #shape ~= rank then
    check.raise("shape", "%s: [%s] has %d dimensions, `%s` wants %d", what, table.concat(shape, ","), #shape, rule.change,
      rank)
  end
end

return changes
