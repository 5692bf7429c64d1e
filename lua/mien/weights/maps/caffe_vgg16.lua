-- VGG-16 and VGG-Face with Caffe's names in PyTorch (conv1_1.weight ... fc6.weight), as ports of VGG-Face have them.
return {
  about = "VGG-16 and VGG-Face with Caffe's names in PyTorch",
  sign = { "^conv_?1_1%.weight$", "^conv_?5_3%.weight$" },
  rules = require "mien.weights.vgg16_rules"({
    { "^fc6%.(%a+)$", "features.classifier.0.%1" }, { "^fc7%.(%a+)$", "features.classifier.3.%1" },
    { "^fc8%.(%a+)$", "head.%1" },
  }, function(stage, i) return ("conv_?%d_%d"):format(stage, i) end, { { "%.weight", "weight" }, { "%.bias", "bias" } }),
}
