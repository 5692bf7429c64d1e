-- The whole state of a training in one HDF5 file: weights, buffers, optimiser, random streams, position.
-- Not here: weight files that other runs start from (checkpoint/init.lua), when to save (train/init.lua).
local check = require "mien.base.check"
local file = require "mien.data.file"
local literal = require "mien.base.literal"
local scope = require "mien.tensor.scope"

local state = {}

local VERSION = 1

--- Named tensors from `{ name, tensor }` pairs go into a group.
local function write_group(h5, group, list)
  for _, entry in ipairs(list) do h5:write(group .. "/" .. entry[1], entry[2]) end
end

--- Saves atomically: the old file stays until the new one is on disk.
-- what: { model =, optimiser =, rngs = { name = stream }, position = table of numbers, texts and tables }.
function state.save(path, what)
  check.keys(what, { model = "any!", optimiser = "any!", rngs = "table", position = "table!" }, "checkpoint.save")
  local h5 = file.create(path)
  local ok, problem = pcall(function()
    h5:set("mien_format", "training")
    h5:set("version", VERSION)
    h5:set("position", literal.encode(what.position))
    local streams = {}
    for name, stream in pairs(what.rngs or {}) do streams[name] = stream:state() end
    h5:set("rngs", literal.encode(streams))
    write_group(h5, "weights", what.model:state())
    local optimiser = what.optimiser:state()
    h5:set("optimiser_step", optimiser.step or 0)
    write_group(h5, "optimiser", optimiser)
    h5:finish()
  end)
  if not ok then
    h5:close()
    check.rethrow(problem)
  end
end

--- The tensors of a group under the names of `list`.
local function read_group(h5, path, group, list)
  local tensors = {}
  for i, entry in ipairs(list) do
    local name = group .. "/" .. entry[1]
    if not h5:has(name) then
      check.raise("format", "%s: there is no %s: it was made by another model or optimiser", path, name)
    end
    tensors[i] = { entry[1], h5:read(name) }
  end
  return tensors
end

--- Runs fn(path) on the checkpoint that a training would go on from. One that cannot be read would stop that training
-- at every start, so the error says what ends this and what it costs.
function state.advise(path, fn)
  local ok, result = xpcall(fn, check.trace, path)
  if not ok and check.is_error(result) and result.code == "format" then
    result.message = ("%s. Put back a sound copy of this file, or delete it: the training then starts again at its "
      .. "first epoch, and nothing else is lost"):format(result.message)
  end
  if not ok then check.rethrow(result) end
  return result
end

--- Where a checkpoint stands, { epoch =, epoch_step =, step =, ... }, without reading the rest; nil without a file.
function state.position(path)
  if not require("lfs").attributes(path) then return nil end
  local h5 = file.open(path)
  local text = h5:text "position"
  h5:close()
  return text and literal.decode(text, path)
end

--- Sets model, optimiser and streams to what was saved; returns the position.
function state.load(path, into)
  check.keys(into, { model = "any!", optimiser = "any!", rngs = "table" }, "checkpoint.load")
  local h5 = file.open(path)
  local ok, result = pcall(scope.run, function()
    if h5:text "mien_format" ~= "training" then
      check.raise("format", "%s holds no state of a training (mien_format is %s)", path,
        h5:text "mien_format" or "absent")
    end
    if h5:number "version" ~= VERSION then
      check.raise("format", "%s: version %s, this mien reads %d", path, tostring(h5:number "version"), VERSION)
    end
    local weights = read_group(h5, path, "weights", into.model:state())
    local moments = read_group(h5, path, "optimiser", into.optimiser:state())
    moments.step = h5:number "optimiser_step"
    into.model:load(weights)
    into.optimiser:load_state(moments)
    local streams = literal.decode(h5:text "rngs")
    for name, stream in pairs(into.rngs or {}) do
      if streams[name] then stream:set_state(streams[name]) end
    end
    return literal.decode(h5:text "position")
  end)
  h5:close()
  if not ok then check.rethrow(result) end
  return result
end

return state
