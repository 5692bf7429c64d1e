-- The rules of VGG-16's thirteen convolutions, whatever a framework calls them. Not here: its other layers (weights/maps).
local CONVOLUTIONS = { 2, 2, 3, 3, 3 } -- in each stage; a pool follows

--- Puts rules into a list: name(stage, convolution) gives the pattern of a layer, parts the rules of what belongs to it, as
-- { pattern behind the name, "weight" or "bias", change = }. Returns the list.
return function(rules, name, parts)
  local at = 0
  for stage, count in ipairs(CONVOLUTIONS) do
    for i = 1, count do
      for _, part in ipairs(parts) do
        rules[#rules + 1] = { "^" .. name(stage, i) .. part[1] .. "$", ("features.features.%d.%s"):format(at, part[2]),
          change = part.change }
      end
      at = at + 2 -- a convolution and its ReLU
    end
    at = at + 1
  end
  return rules
end
