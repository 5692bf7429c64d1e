-- ResNets with torchvision's names (also timm's, Caffe2's and most PyTorch code's of the same layout).
--
-- A map is a table of data:
--   about  what it is for, one line
--   sign   patterns of names that must all be there
--   rules  the first whose pattern a name matches decides: { pattern, "new name", change = ... }, { pattern, { { "one",
--          change = ... }, { "another" } } } where a tensor holds two, or { pattern, leave = "why it is left out" }. In a
--          new name %1 is what the pattern caught, {%1-1} a number one less. Changes: weights/changes.lua. Names below
--          features., fully_connected., context. and head. are mien's (docs/weights.md).
--   model  what names and shapes do not tell of the extractor, such as strides
--   cell   the same of the recurrent layer: reset_after
--   epsilon  of the framework's batch norm, where it is not 1e-5
return {
  about = "ResNet with torchvision's names",
  sign = { "^conv1%.weight$", "^bn1%.running_var$", "^layer4%.0%.conv2%.weight$", "^layer1%.0%.bn2%.weight$" },
  model = { strides = "torchvision" },
  rules = {
    { "^fc%.(%a+)$", "head.%1" },
    { "^(conv1%.weight)$", "features.%1" },
    { "^(bn1%.%a[%a_]*)$", "features.%1" },
    { "^(layer[1-4]%.%d+%..*)$", "features.%1" },
  },
}
