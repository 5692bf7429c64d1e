-- Starts that come from a weight file.
-- Not here: the file's form (checkpoint/), matching of names (nn/loading.lua).
local check = require "mien.base.check"
local checks = require "mien.checkpoint.check"
local literal = require "mien.base.literal"

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

--- An error where the file's network is not this one, though shapes may agree: strides, the form of a GRU and the order
-- of outputs change no shape. Of a network that somebody wrote himself only the shapes are known.
function class:compare(model, meta)
  local ours = { model = rawget(model, "architecture"), outputs = rawget(model, "outputs") }
  local theirs = { model = meta.model, outputs = meta.outputs }
  if self.transfer == "cnn" then
    ours = { model = rawget(rawget(model, "features") or model, "architecture") }
    theirs = { model = meta.model and meta.model.features or meta.model }
  end
  if not ours.model then return end
  if not theirs.model then
    check.raise("format", "%s does not say what its network is (no attribute model; an earlier mien wrote none): its shapes "
      .. "do not tell whether it is this one. If it is, say so: mien.init.from{ %q, transfer = %q, model = %s }",
      self.path, self.path, self.transfer, literal.encode(ours.model))
  end
  local list = checks.differences(theirs.model, ours.model, self.path)
  local function names(outputs) return outputs and table.concat(outputs, ", ") or "not said" end
  if ours.outputs and names(ours.outputs) ~= names(theirs.outputs) then
    list[#list + 1] = ("outputs: %s in %s, %s here"):format(names(theirs.outputs), self.path, names(ours.outputs))
  end
  if #list > 0 then
    check.raise("argument", "init.from: these weights belong to another network: %s", table.concat(list, "; "))
  end
end

--- Reads the file and copies its weights; what it does not hold is drawn from `stream`. Returns the model.
function class:apply(model, stream)
  self.rest:apply(model, stream)
  local file = require("mien.checkpoint").load_weights(self.path)
  checks.finite(file.tensors, self.path)
  self:compare(model, checks.join(file.meta, { model = self.given, outputs = self.outputs }, self.path))
  if self.transfer == "all" then
    model:load(file.tensors)
  else
    local features = rawget(model, "features") or model
    features:load(extractor(file.tensors, features))
  end
  return model
end

--- The same start from a file at another place.
function class:at(path)
  return setmetatable({ name = "from", path = path, transfer = self.transfer, rest = self.rest, given = self.given,
    outputs = self.outputs }, class)
end

--- What the file says about its weights: model, outputs, scale_mean, scale_sd, image_size, ...
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
  check.keys(config, { "string!", transfer = "string", model = "table", outputs = "table" }, "init.from")
  local transfer = check.one_of(config.transfer or "cnn", { "cnn", "all" }, "init.from: transfer")
  return setmetatable({ name = "from", path = config[1], transfer = transfer, rest = rest, given = config.model,
    outputs = config.outputs }, class)
end
