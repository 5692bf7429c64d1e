-- Starts that come from a weight file.
-- Not here: the file's form (checkpoint/init.lua), matching of names (nn/state.lua).
local check = require "mien.base.check"

local class = {}
class.__index = class

local PREFIX = "features."

--- The tensors of the feature extractor: what stands below "features.", or what the extractor has names for.
local function extractor(list, features)
  local below, known, own = {}, {}, {}
  for _, entry in ipairs(features:state()) do known[entry[1]] = true end
  for _, entry in ipairs(list) do
    local name, t = entry[1], entry[2]
    if name:sub(1, #PREFIX) == PREFIX then
      below[#below + 1] = { name:sub(#PREFIX + 1), t }
    elseif known[name] then
      own[#own + 1] = entry
    end
  end
  return #below > 0 and below or own
end

--- Reads the file and copies its weights; what it does not hold is drawn from `stream`. Returns the model.
function class:apply(model, stream)
  self.rest:apply(model, stream)
  local file = require("mien.checkpoint").load_weights(self.path)
  require("mien.checkpoint.check").finite(file.tensors, self.path)
  if self.transfer == "all" then
    model:load(file.tensors)
  else
    local features = rawget(model, "features") or model
    features:load(extractor(file.tensors, features))
  end
  return model
end

--- What the file says about its weights: scale_mean, scale_sd, image_size, architecture, ...
function class:meta()
  return require("mien.checkpoint").read_meta(self.path)
end

--- One line on what the start does; the path as `short` gives it.
function class:describe(short)
  local what = self.transfer == "all" and "all weights" or "the feature extractor"
  return ("from %s (%s)"):format(short and short(self.path) or self.path, what)
end
function class:__tostring() return self:describe() end

return function(config, rest)
  if type(config) == "string" then config = { config } end
  check.keys(config, { "string!", transfer = "string" }, "init.from")
  local transfer = check.one_of(config.transfer or "cnn", { "cnn", "all" }, "init.from: transfer")
  return setmetatable({ name = "from", path = config[1], transfer = transfer, rest = rest }, class)
end
