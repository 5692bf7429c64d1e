-- Compares networks made of the files of weights_parity.py with what their own libraries computed:
--   mien tests/golden/weights_parity.lua DIR
-- Prints the largest difference relative to the largest output, for each case; exit code 1 above 1e-4.
local mien = require "mien"
local lfs = require "lfs"
local folder = assert(arg[1], "weights_parity.lua DIR")

local function array(path)
  return mien.weights.open(path).entries[1].read():to "f32"
end

local function names(n)
  local list = {}
  for i = 1, n do list[i] = "y" .. i end
  return list
end

local x, cases, bad = array(folder .. "/input.npy"), {}, 0
for file in lfs.dir(folder) do
  local case = file:match "^([%w_]+)%."
  if case and case ~= "input" and not file:find "%.npy$" and not file:find "%.data%-" then
    cases[#cases + 1] = { case, file }
  end
end
table.sort(cases, function(a, b) return a[1] < b[1] end)
for _, case in ipairs(cases) do
  mien.scope(function()
    local wanted, path = array(folder .. "/" .. case[1] .. ".out.npy"), folder .. "/" .. case[2]
    local said = { outputs = names(wanted:size(-1)) }
    if case[1]:find "vgg" then said.model = { "framewise", features = { "vgg16", size = 96 } } end
    local told = mien.weights.load(path)
    local y
    if case[1]:find "_gru" or case[1]:find "_lstm" then -- without a linear layer at the end
      local d = told.meta.model
      local parts = mien.models.recurrent { features = mien.models.resnet50 { width = d.width, strides = "slim" },
        hidden = wanted:size(3), cell = case[1]:match "_(%a+)$", reset_after = false, outputs = { "a" } }
      parts:load(told.tensors, { strict = false })
      parts:train(false)
      y = parts.context(parts:features_of(x):reshape { 1, 2, -1 })
    elseif told.meta.model[1] == "resnet" then
      local net = mien.models.build(told.meta.model)
      net:load(told.tensors, { prefix = "features" })
      net:train(false)
      y = net(x)
    else
      y = mien.no_grad(function() return (mien.models.from_weights(path, said)(x)) end)
    end
    local difference = ((y:reshape(wanted.shape) - wanted):abs():max() / wanted:abs():max()):item()
    bad = bad + (difference <= 1e-4 and 0 or 1)
    print(("%-18s %-9s %-18s %.1e"):format(case[1], told.format, told.map or "-", difference))
  end)
end
return bad > 0 and 1 or 0
