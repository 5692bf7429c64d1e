-- Copies named tensors into a module, all or nothing.
-- Not here: files (checkpoint/init.lua), other frameworks' names.
local check = require "mien.base.check"

local loading = {}

local SHOWN = 5 -- names that a message lists

local function some(names)
  local text = table.concat(names, ", ", 1, math.min(#names, SHOWN))
  return #names > SHOWN and ("%s and %d more"):format(text, #names - SHOWN) or text
end

--- The tensors of a list of { name, tensor } whose names begin with prefix, by the rest of the name.
local function by_name(tensors, prefix)
  local given, count = {}, 0
  for _, entry in ipairs(tensors) do
    local name, t = entry[1] or entry.name, entry[2] or entry.tensor
    check.type(name, "string", "load: name")
    check.type(t, "tensor", "load: " .. name)
    if name:sub(1, #prefix) == prefix and not name:match "num_batches_tracked$" then
      given[name:sub(#prefix + 1)], count = t, count + 1
    end
  end
  return given, count
end

local function whole(t) return t.dtype:match "^[iu]" ~= nil end

--- Copies tensors by name into the parameters and buffers of `module`; nothing is copied on an error.
-- tensors: a list of { name, tensor }. options.prefix: only names below it count, and it is cut off
-- ("features" or "features."). options.strict (default true): a name that is missing or unexpected is an
-- error; with false they are left alone. A shape that differs is always an error, and so are a list
-- of which nothing fits and whole numbers for others. PyTorch's num_batches_tracked are ignored.
-- Returns { loaded = number, missing = names, unexpected = names }.
function loading.load(module, tensors, options)
  check.type(tensors, "table", "load: tensors")
  options = check.keys(options or {}, { prefix = "string", strict = "boolean" }, "load")
  local prefix = options.prefix or ""
  if prefix ~= "" and prefix:sub(-1) ~= "." then prefix = prefix .. "." end
  local given, count = by_name(tensors, prefix)
  local wanted, known = module:state(), {}
  local pairs_, missing, unexpected, different = {}, {}, {}, {}
  for _, entry in ipairs(wanted) do
    local name, t = entry[1], entry[2]
    local source = given[name]
    known[name] = true
    if not source then
      missing[#missing + 1] = name
    elseif table.concat(source.shape, ",") ~= table.concat(t.shape, ",") then
      different[#different + 1] = ("%s is [%s], the model has [%s]"):format(name,
        table.concat(source.shape, ","), table.concat(t.shape, ","))
    elseif whole(source) ~= whole(t) then
      check.raise("format", "load: %s is %s, the model has %s: weights of nn.quantise fit a quantised network alone "
        .. "(models.from_weights makes it)", name, source.dtype, t.dtype)
    else
      pairs_[#pairs_ + 1] = { t, source }
    end
  end
  for name in pairs(given) do
    if not known[name] then unexpected[#unexpected + 1] = name end
  end
  table.sort(unexpected)

  if #different > 0 then check.raise("shape", "load: shapes differ: %s", some(different)) end
  if #pairs_ == 0 then
    local below = prefix ~= "" and (' below "%s"'):format(prefix) or ""
    check.raise("format", "load: none of %d tensors%s fits: given %s; wanted %s", count, below,
      count > 0 and some(unexpected) or "nothing", some(missing))
  end
  if options.strict ~= false and #missing > 0 then
    check.raise("format", "load: %d of %d tensors are missing: %s%s", #missing, #wanted, some(missing),
      #unexpected > 0 and "; unexpected: " .. some(unexpected) or "")
  end
  if options.strict ~= false and #unexpected > 0 then
    check.raise("format", "load: %d tensors that the model does not have: %s", #unexpected, some(unexpected))
  end
  for _, pair in ipairs(pairs_) do pair[1]:copy_(pair[2]) end
  return { loaded = #pairs_, missing = missing, unexpected = unexpected }
end

return loading
