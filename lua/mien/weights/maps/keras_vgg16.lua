-- VGG-16 of keras.applications: its maps are flattened with channels running fastest.
return {
  about = "VGG-16 of keras.applications",
  sign = { "^block1_conv1/", "^block5_conv3/" },
  rules = require "mien.weights.vgg16_rules"({
    { "^fc1/kernel$", "features.classifier.0.weight", change = "flat_hwc", channels = 512 },
    { "^fc1/bias$", "features.classifier.0.bias" },
    { "^fc2/kernel$", "features.classifier.3.weight", change = "transpose" },
    { "^fc2/bias$", "features.classifier.3.bias" },
    { "^predictions/kernel$", "head.weight", change = "transpose" },
    { "^predictions/bias$", "head.bias" },
  }, function(stage, i) return ("block%d_conv%d"):format(stage, i) end, {
    { "/.*kernel", "weight", change = "hwio" }, { "/.*W_1", "weight", change = "hwio" },
    { "/.*bias", "bias" }, { "/.*b_1", "bias" },
  }),
}
