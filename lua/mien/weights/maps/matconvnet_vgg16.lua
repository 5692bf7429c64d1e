-- VGG-16 and VGG-Face of MatConvNet (vgg-face.mat, imagenet-vgg-verydeep-16.mat): filters [h, w, in, out], fully connected
-- layers as convolutions; weights in a cell, or in older files filters and biases by name.
return {
  about = "VGG-16 and VGG-Face of MatConvNet",
  sign = { "^layers%.conv1_1%.", "^layers%.conv5_3%.", "^layers%.fc6%." },
  rules = require "mien.weights.vgg16_rules"({
    { "^layers%.fc6%.weights%.1$", "features.classifier.0.weight", change = "flat_filter" },
    { "^layers%.fc6%.weights%.2$", "features.classifier.0.bias", change = "vector" },
    { "^layers%.fc7%.weights%.1$", "features.classifier.3.weight", change = "flat_filter" },
    { "^layers%.fc7%.weights%.2$", "features.classifier.3.bias", change = "vector" },
    { "^layers%.fc8%.weights%.1$", "head.weight", change = "flat_filter" },
    { "^layers%.fc8%.weights%.2$", "head.bias", change = "vector" },
    { "^layers%.fc6%.filters$", "features.classifier.0.weight", change = "flat_filter" },
    { "^layers%.fc6%.biases$", "features.classifier.0.bias", change = "vector" },
    { "^layers%.fc7%.filters$", "features.classifier.3.weight", change = "flat_filter" },
    { "^layers%.fc7%.biases$", "features.classifier.3.bias", change = "vector" },
    { "^layers%.fc8%.filters$", "head.weight", change = "flat_filter" },
    { "^layers%.fc8%.biases$", "head.bias", change = "vector" },
    { "^layers%.[%w_]+%.stride$", leave = "strides and padding" }, { "^layers%.[%w_]+%.pad", leave = "strides and padding" },
    { "^layers%.[%w_%.]+%.%a+$", leave = "other settings of layers" }, { "^meta%.", leave = "meta data" },
    { "^normalization%.", leave = "meta data" }, { "^classes%.", leave = "meta data" },
  }, function(stage, i) return ("layers%%.conv%d_%d"):format(stage, i) end, {
    { "%.weights%.1", "weight", change = "hwio" }, { "%.weights%.2", "bias", change = "vector" },
    { "%.filters", "weight", change = "hwio" }, { "%.biases", "bias", change = "vector" },
  }),
}
