-- Starts that come from a weight file.
-- Not here: the file's form (weights/), matching of names (nn/loading.lua).
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
  if self.options.only then -- what the file's part does not decide
    local decided = {}
    for key in pairs(theirs.model) do decided[key] = ours.model[key] end
    ours = { model = decided }
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

--- Reads the file and copies its weights; what it does not hold is drawn from `stream`. Returns the model. `lines` says
-- afterwards what of a foreign file was taken, and what was missing.
function class:apply(model, stream)
  self.rest:apply(model, stream)
  local file = require("mien.weights").load(self.path, self.options)
  checks.finite(file.tensors, self.path)
  self:compare(model, file.meta)
  local how = { strict = self.strict }
  local loaded
  if self.transfer == "all" then
    loaded = model:load(file.tensors, how)
  else
    local features = rawget(model, "features") or model
    loaded = features:load(extractor(file.tensors, features), how)
  end
  self.lines = file.format ~= "mien" and require("mien.weights").told(file) or {}
  if #loaded.missing > 0 then
    table.insert(self.lines, ("%d tensors are not in the file and are drawn: %s%s"):format(#loaded.missing,
      table.concat(loaded.missing, ", ", 1, math.min(3, #loaded.missing)), #loaded.missing > 3 and " ..." or ""))
  end
  return model
end

--- The same start from a file at another place.
function class:at(path)
  local other = {}
  for key, value in pairs(self) do other[key] = value end
  other.path = path
  return setmetatable(other, class)
end

--- What the file says about its weights: model, outputs, scale_mean, scale_sd, image_size, ...
function class:meta()
  return require("mien.weights").meta(self.path, self.options)
end

--- What decides what the start does beside the network: the bytes of the file, and how they are taken.
function class:identity()
  return require("mien.weights").identity(self.path, self.options)
end

--- One line on what the start does; the path as `short` gives it.
function class:describe(short)
  local what = self.transfer == "all" and "all weights" or "the feature extractor"
  local how = require("mien.weights").apart(self.options)
  local said = next(how) and ", " .. literal.encode(how):gsub("^{ ", ""):gsub(" }$", "") or ""
  return ("from %s (%s%s)"):format(short and short(self.path) or self.path, what, said)
end
function class:__tostring() return self:describe() end

local known = { "string!", transfer = "string", model = "table", outputs = "table", strict = "boolean", map = "string|table",
  prefix = "string", only = "string", scale = "string|table", channels = "string" }

return function(config, rest)
  if type(config) == "string" then config = { config } end
  check.keys(config, known, "init.from")
  local transfer, options = check.one_of(config.transfer or "cnn", { "cnn", "all" }, "init.from: transfer"), {}
  for _, key in ipairs { "model", "outputs", "map", "prefix", "only", "scale", "channels" } do options[key] = config[key] end
  -- a part of the names is wanted, so the others may be missing
  local strict = config.strict
  if strict == nil then strict = config.only == nil end
  return setmetatable({ name = "from", path = config[1], transfer = transfer, rest = rest, options = options,
    strict = strict },
    class)
end
