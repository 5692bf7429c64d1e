-- Early stopping: which epoch was best, and when to give up hope of a better one.
-- Not here: restoring the best weights (train/init.lua).
local check = require "mien.base.check"

local stop = {}
stop.__index = stop

--- stop.new{ watch = "validation/ccc", patience = 20, higher = true }: stops after `patience` epochs in a row
-- without a better value. Of equal values the first is the best (the paper: "no improvement ... after 20 epochs").
function stop.new(options)
  check.keys(options, { watch = "string!", patience = "count", higher = "boolean" }, "train: stop")
  return setmetatable({
    watch = options.watch, patience = options.patience or math.huge, higher = options.higher ~= false,
    best = nil, best_epoch = 0, waited = 0,
  }, stop)
end

--- Takes the value of an epoch; true when it is the best so far. NaN never is.
function stop:update(epoch, value)
  local better = value == value
    and (self.best == nil or (self.higher and value > self.best) or (not self.higher and value < self.best))
  if better then
    self.best, self.best_epoch, self.waited = value, epoch, 0
  else
    self.waited = self.waited + 1
  end
  return better
end

function stop:done()
  return self.waited >= self.patience
end

--- What a checkpoint keeps of it.
function stop:state()
  return { best = self.best, best_epoch = self.best_epoch, waited = self.waited }
end

function stop:set_state(state)
  self.best, self.best_epoch, self.waited = state.best, state.best_epoch, state.waited
end

return stop
