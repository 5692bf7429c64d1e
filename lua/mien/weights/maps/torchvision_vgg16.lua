-- VGG-16 without batch norm, with torchvision's names.
return {
  about = "VGG-16 with torchvision's names",
  sign = { "^features%.0%.weight$", "^features%.28%.weight$", "^classifier%.0%.weight$" },
  rules = {
    { "^classifier%.6%.(%a+)$", "head.%1" },
    { "^(features%.%d+%.%a+)$", "features.%1" },
    { "^(classifier%.[03]%.%a+)$", "features.%1" },
  },
}
