-- A linear head on a feature extractor, each frame by itself: for pretraining on pictures.
-- Not here: context over time (models/recurrent.lua).
local check = require "mien.base.check"
local module = require "mien.nn.module"
local nn = require "mien.nn"

local framewise = nn.define "framewise"

function framewise:forward(x) -- [B,T,3,H,W] -> [B,T,K], or [N,3,H,W] -> [N,K]
  if x.ndim == 4 then return nn.chain(x, self.features, nn.exact, self.head) end
  if x.ndim ~= 5 then
    check.raise("shape", "framewise: input must be [N,3,H,W] or [B,T,3,H,W], got [%s]",
      table.concat(x.shape, ","))
  end
  local b, t, c, h, w = unpack(x.shape)
  local frames = x:reshape { b * t, c, h, w }
  local scores = nn.chain(frames, self.features, nn.exact, self.head)
  frames:free()
  return scores:reshape { b, t, -1 }
end

function framewise:detail()
  return ("%d outputs"):format(#self.outputs)
end

--- A linear layer on an extractor: models.framewise{ features = models.resnet50(), outputs = { "happy" } }.
-- [N,3,H,W] -> [N,K], [B,T,3,H,W] -> [B,T,K], in f32 whatever the frames are in. Children: features, head.
return function(config)
  check.keys(config, { features = "table!", outputs = "table!" }, "models.framewise")
  local features = config.features
  if not module.is(features) or not rawget(features, "features_out") then
    check.raise("argument", "models.framewise: features must be an extractor such as models.resnet50()")
  end
  if #config.outputs == 0 then check.raise("argument", "models.framewise: outputs is empty") end
  local self = framewise.create { outputs = config.outputs }
  if features.architecture then self.architecture = { "framewise", features = features.architecture } end
  self:add("features", features)
  self:add("head", nn.linear { features.features_out, #config.outputs })
  return self
end
