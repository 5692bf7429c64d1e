-- ResNet-20 to -110 of pytorch_resnet_cifar10.
return {
  about = "ResNet for CIFAR with the names of pytorch_resnet_cifar10",
  sign = { "^conv1%.weight$", "^layer3%.0%.conv2%.weight$", "^linear%.weight$", "^bn1%.running_var$" },
  rules = {
    { "^linear%.(%a+)$", "head.%1" },
    { "^(conv1%.weight)$", "features.%1" },
    { "^(bn1%.%a[%a_]*)$", "features.%1" },
    { "^(layer[1-3]%.%d+%..*)$", "features.%1" },
  },
}
