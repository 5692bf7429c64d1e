-- What of an experiment's tree can be run here: devices, starts, corpora; and what of it is needed for that.
-- Not here: which experiments these are (experiment/tree.lua), their runs (experiment/runs.lua).
local check = require "mien.base.check"
local corpus_of = require "mien.experiment.input"
local device = require "mien.device"
local home = require "mien.base.home"
local precision = require "mien.device.precision"
local lfs = require "lfs"

local able = {}

--- Chooses the device of each arm and checks its precision there, before anything runs.
function able.settle_devices(tree)
  for _, node in ipairs(tree.nodes) do
    node.config.device = device.choose(node.config.device)
    for _, arm in ipairs(node.chosen) do
      arm.config.device = device.choose(arm.config.device)
      precision.require(arm.config.precision, arm.config.device)
    end
  end
end

function able.weights_path(node)
  return home.path(node.weights)
end

--- What a node's weights file says of itself; nil when there is none.
function able.weights_meta(node)
  local path = node.weights and able.weights_path(node)
  return path and lfs.attributes(path) and require("mien.checkpoint").read_meta(path) or nil
end

--- Where an arm's start lies: among what its prerequisite makes, else wherever it is found.
function able.start_path(arm, moved)
  if not arm.wants then return nil end
  return arm.needs and able.weights_path(arm.needs) or home.find(moved[arm.wants] or arm.wants)
end

--- Why the start of an arm cannot be had, or what must run before it cannot run; nil when all is well.
local function why_absent(arm, moved)
  local path = able.start_path(arm, moved)
  for _, required in ipairs(arm.after) do
    if required.absent and not required.as_is then
      return required == arm.needs
        and ("there is no weights file %s, and %s, which makes it, cannot run: %s"):format(home.short(path), required.name,
          required.absent)
        or ("its prerequisite %s cannot run: %s"):format(required.name, required.absent)
    end
  end
  if path and not arm.needs and not lfs.attributes(path) then
    return ("there is no weights file %s, and none of the prerequisites makes it"):format(home.short(path))
  end
end

--- Finds out, without opening a corpus or training, what of the tree cannot be run: sets `absent`, the reason, of arms
-- whose start cannot be had and of prerequisites; and `as_is` of nodes whose weights are there and are used as they
-- are: those that no experiment made, and those whose maker cannot run here. Without the root's own corpus nothing can be
-- run: an error, unless one only looks.
function able.find_absent(tree, look)
  for _, node in ipairs(tree.nodes) do
    local meta = node ~= tree.root and able.weights_meta(node) or nil
    node.as_is = meta ~= nil and meta.config_hash == nil
    if not node.as_is then
      for _, arm in ipairs(node.chosen) do
        local lacks = corpus_of.missing(arm.config)
        if lacks and node == tree.root and not look then check.raise("io", "%s", lacks) end
        arm.absent = lacks or why_absent(arm, tree.moved)
      end
      -- what others start from is made by the first arm
      node.absent = node.chosen[1].absent
      if node.absent and meta then node.as_is = true end
    end
  end
end

--- Marks what the arms that can run need, and what that needs.
function able.mark_wanted(node)
  if node.wanted then return end
  node.wanted = true
  if node.as_is then return end
  for _, arm in ipairs(node.chosen) do
    if not arm.absent then
      for _, required in ipairs(arm.after) do able.mark_wanted(required) end
    end
  end
end

return able
