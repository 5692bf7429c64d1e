-- The paper's network: a feature extractor per frame, an LSTM or GRU over time, a linear head.
-- Not here: the extractors (models/resnet.lua, models/vgg16.lua), the loss.
local check = require "mien.base.check"
local module = require "mien.nn.module"
local nn = require "mien.nn"

local recurrent = nn.define "recurrent"

--- What the network makes of each frame by itself: [N,3,H,W] -> [N,F].
function recurrent:features_of(frames)
  return nn.chain(frames, self.features, self.fully_connected)
end

--- And of these over time: [B,T,F] -> [B,T,K], last state.
function recurrent:over_time(sequence, state)
  local y, last = self.context(sequence, state)
  local out = nn.chain(y, nn.exact, self.head)
  y:free()
  return out, last
end

function recurrent:forward(x, state) -- [B,T,3,H,W] -> [B,T,K], last state
  if x.ndim ~= 5 then
    check.raise("shape", "recurrent: input must be [B,T,3,H,W], got [%s]", table.concat(x.shape, ","))
  end
  local b, t, c, h, w = unpack(x.shape)
  local frames = x:reshape { b * t, c, h, w }
  local features = self:features_of(frames)
  frames:free()
  local sequence = features:reshape { b, t, -1 }
  features:free()
  local out, last = self:over_time(sequence, state)
  sequence:free()
  return out, last
end

function recurrent:detail()
  return table.concat(self.outputs, ", ")
end

local known = {
  features = "table!", hidden = "count", layers = "count", cell = "string", outputs = "table!",
  fully_connected = "table", dropout = "number", reset_after = "boolean",
}

--- A network over sequences of frames: models.recurrent{ features = module, hidden = 256, layers = 2,
-- cell = "lstm", outputs = { "arousal", "valence" } }. [B,T,3,H,W] -> [B,T,K]; the second result is the last
-- state of the LSTM, which model(x, state) takes up again. features: an extractor with `features_out`.
-- fully_connected: widths of layers with ReLU between extractor and LSTM (AffWildNet), with `dropout` after
-- each. cell = "gru" takes `reset_after` as nn.gru does. What comes out is in f32, whatever the frames are in.
-- Children: features, fully_connected, context, head.
return function(config)
  check.keys(config, known, "models.recurrent")
  local features = config.features
  if not module.is(features) or not rawget(features, "features_out") then
    check.raise("argument", "models.recurrent: features must be an extractor such as models.resnet50()")
  end
  if #config.outputs == 0 then check.raise("argument", "models.recurrent: outputs is empty") end
  local cell = check.one_of(config.cell or "lstm", { "lstm", "gru" }, "models.recurrent: cell")
  local hidden, layers = config.hidden or 256, config.layers or 2

  local self = recurrent.create { outputs = config.outputs }
  if features.architecture then -- nothing is known of an extractor that somebody else wrote
    self.architecture = { "recurrent", features = features.architecture, cell = cell, hidden = hidden, layers = layers,
      fully_connected = config.fully_connected or {}, dropout = config.dropout or 0 }
    if cell == "gru" then self.architecture.reset_after = config.reset_after ~= false end
  end
  self:add("features", features)
  local inputs, between = features.features_out, {}
  for _, units in ipairs(config.fully_connected or {}) do
    between[#between + 1] = nn.linear { inputs, units }
    between[#between + 1] = nn.relu()
    if (config.dropout or 0) > 0 then between[#between + 1] = nn.dropout { config.dropout } end
    inputs = units
  end
  self:add("fully_connected", nn.sequential(between))
  if cell == "gru" then
    self:add("context", nn.gru { inputs, hidden, layers = layers, reset_after = config.reset_after })
  else
    self:add("context", nn.lstm { inputs, hidden, layers = layers })
  end
  self:add("head", nn.linear { hidden, #config.outputs })
  return self
end
