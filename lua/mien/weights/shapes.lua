-- What names and shapes tell of a network, as a description for models.build.
-- Not here: what they do not tell (strides, the form of a GRU): a name map or the user says it.
local network = {}

--- Shapes by name, of a list of { name, tensor }.
function network.shapes(tensors)
  local shapes = {}
  for _, entry in ipairs(tensors) do shapes[entry[1]] = entry[2].shape end
  return shapes
end

--- { "resnet", width =, blocks =, block = } below a prefix ("features." or ""); strides are not told.
local function resnet(shapes, prefix)
  local first, blocks = shapes[prefix .. "conv1.weight"], {}
  if not first then return nil end
  for name in pairs(shapes) do
    local stage, block = name:sub(#prefix + 1):match "^layer(%d)%.(%d+)%.conv1%.weight$"
    stage = tonumber(stage)
    if stage and name:sub(1, #prefix) == prefix then blocks[stage] = math.max(blocks[stage] or 0, block + 1) end
  end
  if #blocks == 0 then return nil end
  if #blocks == 3 then return { "cifar_resnet", width = first[1], blocks = blocks } end
  return { "resnet", width = first[1], blocks = blocks,
    block = not shapes[prefix .. "layer1.0.conv3.weight"] and "basic" or nil }
end

--- { "vgg16", width =, size =, fully_connected = }.
local function vgg(shapes, prefix)
  local first = shapes[prefix .. "features.0.weight"]
  if not first then return nil end
  local units, inputs = {}, nil
  for i = 0, 60, 3 do
    local shape = shapes[("%sclassifier.%d.weight"):format(prefix, i)]
    if not shape then break end
    units[#units + 1], inputs = shape[1], inputs or shape[2]
  end
  return { "vgg16", width = first[1], fully_connected = units, size = inputs and 32 * math.sqrt(inputs / (8 * first[1])) }
end

--- The extractor below a prefix, nil for another network.
function network.extractor(shapes, prefix)
  return resnet(shapes, prefix) or vgg(shapes, prefix)
end

--- The cell of a recurrent network: { cell =, hidden =, layers =, fully_connected = widths, dropout = 0.5 where its place
-- is kept, else 0 }; nil where there is none.
function network.context(shapes)
  local state = shapes["context.weight_hh_l0"]
  if not state then return nil end
  local layers, widths, dropout = 0, {}, 0
  while shapes["context.weight_hh_l" .. layers] do layers = layers + 1 end
  for at = 0, 60 do
    local shape = shapes[("fully_connected.%d.weight"):format(at)]
    if shape then
      widths[#widths + 1] = shape[1]
      if #widths == 2 and at == 3 then dropout = 0.5 end -- which leaves a place between two layers
    end
  end
  return { cell = state[1] == 3 * state[2] and "gru" or "lstm", hidden = state[2], layers = layers,
    fully_connected = widths, dropout = dropout }
end

return network
