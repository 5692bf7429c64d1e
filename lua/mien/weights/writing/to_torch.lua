-- Writes a state_dict as torch.save does: a zip of a pickle and of the elements. Not here: reading (reading/torch.lua).
local pieces = require "mien.weights.writing.pieces"
local stored_zip = require "mien.weights.writing.stored_zip"

-- ---- the pickle ----------------------------------------------------------------------------------------

local function text(value) return "X" .. pieces.whole(#value, 4) .. value end
local function int(value)
  if value < 2 ^ 31 then return "J" .. pieces.whole(value, 4) end
  return "\x8a\x08" .. pieces.whole(value, 8)
end
local function tuple(list)
  local parts = { "(" }
  for i, value in ipairs(list) do parts[i + 1] = int(value) end
  return table.concat(parts) .. "t"
end

local DICT = "ccollections\nOrderedDict\n)R"

--- _rebuild_tensor_v2(storage, 0, shape, strides, requires_grad = False, hooks = {}).
local function tensor(key, t)
  local strides, step = {}, 1
  for i = t.ndim, 1, -1 do
    strides[i] = step
    step = step * math.max(1, t.shape[i])
  end
  return "ctorch._utils\n_rebuild_tensor_v2\n(" .. "(" .. text "storage" .. "ctorch\nFloatStorage\n" .. text(key)
    .. text "cpu" .. int(t:count()) .. "tQ" .. int(0) .. tuple(t.shape) .. tuple(strides) .. "\x89" .. DICT .. "tR"
end

-- ---- the file ------------------------------------------------------------------------------------------

--- Writes tensors, a list of { name, tensor }, as f32 for torch.load: an OrderedDict. Below 4 GB.
return function(path, tensors)
  local list, body = pieces.plain(tensors), { "\x80\2", DICT, "(" }
  for i, entry in ipairs(list) do body[#body + 1] = text(entry[1]) .. tensor(tostring(i - 1), entry[2]) end
  body[#body + 1] = "u."
  local files = { { "data.pkl", table.concat(body) }, { "byteorder", "little" } }
  for i, entry in ipairs(list) do files[#files + 1] = { "data/" .. i - 1, entry[2] } end
  files[#files + 1] = { "version", "3\n" }
  for _, file in ipairs(files) do file[1] = "archive/" .. file[1] end
  stored_zip(path, files)
end
