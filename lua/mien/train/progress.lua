-- What training says while it runs: one line that is rewritten on a terminal, a line per epoch elsewhere.
-- Not here: the numbers (train/init.lua).
local C = require "mien.base.ffi"

local progress = {}
progress.__index = progress

local REDRAW = 0.1 -- seconds

--- "45 s", "12 min", "3.4 h"
function progress.duration(seconds)
  if seconds ~= seconds or seconds == math.huge then return "?" end
  if seconds < 100 then return ("%.0f s"):format(seconds) end
  if seconds < 6000 then return ("%.0f min"):format(seconds / 60) end
  return ("%.1f h"):format(seconds / 3600)
end

--- options: label (what runs), epochs (at most), out (a file), terminal (decided by out when left out).
function progress.new(options)
  local terminal = options.terminal
  if terminal == nil then terminal = options.out == nil and C.mien_terminal(1) end
  return setmetatable({
    label = options.label or "training", epochs = options.epochs, out = options.out or io.stdout,
    terminal = terminal, drawn = 0, started = C.mien_time_monotonic(), done = 0,
  }, progress)
end

local function number(value)
  if value == nil then return "-" end
  return value == value and ("%.3f"):format(value) or "nan"
end

--- The line of a moment: at = { epoch, step, steps, loss, rate (frames/s), value, best, best_epoch, watch }.
function progress:line(at)
  local parts = { ("%s  epoch %d/%d"):format(self.label, at.epoch, self.epochs) }
  if at.step then parts[#parts + 1] = ("step %d/%d"):format(at.step, at.steps) end
  parts[#parts + 1] = "loss " .. number(at.loss)
  if at.value then parts[#parts + 1] = ("%s %s"):format(at.watch:gsub("^validation/", "devel "), number(at.value)) end
  if at.best then parts[#parts + 1] = ("best %s (epoch %d)"):format(number(at.best), at.best_epoch) end
  parts[#parts + 1] = ("%.0f frames/s"):format(at.rate)
  if at.left then parts[#parts + 1] = ("at most %s left"):format(progress.duration(at.left)) end
  return table.concat(parts, "  ")
end

--- Seconds until the last epoch at the pace so far; early stopping may end it sooner.
function progress:left(fraction_of_epochs_done)
  local gained = fraction_of_epochs_done - self.done
  if gained <= 0 then return nil end
  return (C.mien_time_monotonic() - self.started) / gained * (self.epochs - fraction_of_epochs_done)
end

--- Epochs done when it starts: a resumed run's pace counts from there.
function progress:start(epochs_done)
  self.done, self.started = epochs_done, C.mien_time_monotonic()
end

--- Inside an epoch: shown on a terminal only.
function progress:step(at)
  local time = C.mien_time_monotonic()
  if not self.terminal or time - self.drawn < REDRAW then return end
  self.drawn = time
  at.left = self:left(at.epoch - 1 + at.step / at.steps)
  self.out:write("\r\27[K", self:line(at):sub(1, C.mien_terminal_columns() - 1))
  self.out:flush()
end

--- After validation: a line that stays when the output is no terminal.
function progress:epoch(at)
  at.left = at.epoch < self.epochs and self:left(at.epoch) or nil
  if self.terminal then
    self.out:write("\r\27[K", self:line(at):sub(1, C.mien_terminal_columns() - 1))
  else
    self.out:write(self:line(at), "\n")
  end
  self.out:flush()
end

--- The end: the rewritten line stays as it is.
function progress:close()
  if self.terminal then self.out:write "\n" end
  self.out:flush()
end

--- A line of its own; the rewritten line gives way.
function progress:say(text)
  self.out:write(self.terminal and "\r\27[K" or "", text, "\n")
  self.out:flush()
end

return progress
