-- Writes safetensors: sizes and names in JSON, then the elements. Not here: reading them (reading/safetensors.lua).
local cjson = require "cjson"
local pieces = require "mien.weights.writing.pieces"

--- Writes tensors, a list of { name, tensor }, as f32; texts: what the file says of itself, by key.
return function(path, tensors, texts)
  local list, header, at = pieces.plain(tensors), {}, 0
  local function line(key, value) header[#header + 1] = ("%s:%s"):format(cjson.encode(key), value) end
  if next(texts) then line("__metadata__", cjson.encode(texts)) end
  local parts = { "", "" }
  for _, entry in ipairs(list) do
    local shape = table.concat(entry[2].shape, ",")
    local size = pieces.size(entry[2])
    line(entry[1], ('{"dtype":"F32","shape":[%s],"data_offsets":[%.0f,%.0f]}'):format(shape, at, at + size))
    at = at + size
    parts[#parts + 1] = entry[2]
  end
  local text = "{" .. table.concat(header, ",") .. "}"
  text = text .. (" "):rep(-#text % 8) -- so that elements lie on their own boundaries
  parts[1], parts[2] = pieces.whole(#text, 8), text
  pieces.write(path, parts)
end
