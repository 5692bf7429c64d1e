-- The exhaustive search of post-processing: every window with every delay, centred and scaled or not.
-- Not here: the greedy chain that it is compared with (post/init.lua), the sums (core/affect/joint.c).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local steps = require "mien.affect.post.steps"

--- Two sums of the same combination can differ by this much: a larger window must gain more.
local ROUNDING = 1e-11

--- Factor and offset of centring and scaling as the chain does them, from the moments of the filtered but
-- unshifted predictions; nil when constant predictions would have to be scaled.
local function affine(m, centre, scale)
  local offset = centre and m.mean_y - m.mean_x or 0
  if not scale then return 1, offset end
  if m.m2_x <= 0 then return nil end
  local factor = math.sqrt(m.m2_y / m.m2_x)
  return factor, (m.mean_x + offset) * (1 - factor) + factor * offset
end

--- CCC of factor * x + offset, from the moments of x.
local function ccc(m, factor, offset)
  local bias = factor * m.mean_x + offset - m.mean_y
  return 2 * factor * m.m_xy / (factor * factor * m.m2_x + m.m2_y + m.n * bias * bias)
end

--- The best combination: its records as post.fit has them, and its CCC. Of equal ones the first in the order
-- of windows, of delays, and of none, centring, scaling, both.
return function(x, y, names, limits)
  steps.in_order(names, "post.joint")
  local has = {}
  for _, name in ipairs(names) do has[name] = true end
  local windows = has.median and (limits.max_median + 1) / 2 or 1
  local delays = has.shift and limits.max_shift + 1 or 1
  local moments = ffi.new("mien_moments[?]", windows * delays)
  check.status(C.mien_search_joint(x.data, y.data, x.lengths, x.count, 2 * windows - 1, delays - 1, moments))

  local variants = {}
  for scale = 0, has.scale and 1 or 0 do
    for centre = 0, has.centre and 1 or 0 do variants[#variants + 1] = { centre == 1, scale == 1 } end
  end
  local best = { score = -math.huge, window = 0, delay = 0, variant = variants[1] }
  for w = 0, windows - 1 do
    for d = 0, delays - 1 do
      for _, variant in ipairs(variants) do
        local factor, offset = affine(moments[w * delays], variant[1], variant[2])
        local score = factor and ccc(moments[w * delays + d], factor, offset)
        if score and score > best.score + ROUNDING then
          best = { score = score, window = w, delay = d, variant = variant }
        end
      end
    end
  end

  --- Scores of one step's candidates while the others stay as chosen.
  local function curve(name)
    local trials = {}
    for i = 0, (name == "median" and windows or delays) - 1 do
      local w, d = name == "median" and i or best.window, name == "shift" and i or best.delay
      local factor, offset = affine(moments[w * delays], best.variant[1], best.variant[2])
      trials[i + 1] = { name == "median" and 2 * i + 1 or i,
        factor and ccc(moments[w * delays + d], factor, offset) or 0 / 0 }
    end
    return trials
  end

  local records = {}
  for i, name in ipairs(names) do
    local value, about, trials
    if name == "median" then
      value, trials = 2 * best.window + 1, curve(name)
    elseif name == "shift" then
      value, trials = best.delay, curve(name)
    else
      value, about = steps.find(name, x, y, limits)
    end
    local record, changed = steps.try(name, x, y, value, about, trials)
    record.kept = name == "median" and best.window > 0 or name == "shift" and best.delay > 0
      or name == "centre" and best.variant[1] or name == "scale" and best.variant[2]
    if record.kept then x = changed end
    records[i] = record
  end
  return records, steps.moments(x, y):ccc()
end
