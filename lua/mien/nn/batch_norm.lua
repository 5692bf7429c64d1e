-- Batch normalisation with what usually follows it: the sum with a shortcut, and ReLU.
-- Not here: folding it into a convolution for inference (nn/fuse.lua).
local check = require "mien.base.check"
local module = require "mien.nn.module"
local op = require "mien.tensor.op"
local recompute = require "mien.tensor.recompute"

local batch_norm = module.define "batch_norm"

function batch_norm:forward(x, residual) -- [N,C,H,W], residual of the same shape or nil
  local attributes = self.attributes
  attributes.training = self.training or self.test == "batch"
  attributes.momentum = self.training and not recompute.again() and self.momentum or 0
  return op.batch_norm(x, self.weight, self.bias, self.running_mean, self.running_var, residual, attributes)
end

function batch_norm:detail()
  return ("%d%s"):format(self.weight:size(1), self.attributes.relu == 1 and ", relu" or "")
end

local known = { "count!", relu = "boolean", momentum = "number", eps = "number", test = "string",
  zero = "boolean" }

--- Batch normalisation: nn.batch_norm{ channels, relu = false, momentum = 0.1, eps = 1e-5 }.
-- bn(x) normalises [N,C,H,W] or [N,C] per channel; bn(x, residual) adds `residual` after that; relu = true
-- ends with ReLU. Training uses the batch's statistics and moves the running ones by `momentum`; inference
-- uses the running ones, or with test = "batch" the batch's own.
-- Parameters: weight [C] (one; zero with zero = true: the branch it ends is silent at first), bias [C] (zero);
-- buffers: running_mean, running_var.
return function(config)
  check.keys(config, known, "nn.batch_norm")
  check.one_of(config.test or "running", module.statistics, "nn.batch_norm: test")
  local c = config[1]
  local self = batch_norm.create {
    momentum = config.momentum or 0.1, test = config.test or "running",
    attributes = { training = 1, momentum = 0, eps = config.eps or 1e-5, relu = config.relu and 1 or 0 },
  }
  self:parameter("weight", { c }, config.zero and "zero" or "one")
  self:parameter("bias", { c }, "zero")
  self:buffer("running_mean", { c }, 0)
  self:buffer("running_var", { c }, 1)
  return self
end
