-- What an experiment ends with: Table 5, convergence, post-processing, categories, and a figure of the curves.
-- Not here: computing any of it (core/store/schema/003_views.sql, experiment/score.lua).
local C = require "mien.ffi"
local check = require "mien.check"
local home = require "mien.home"
local plot = require "mien.plot"
local text = require "mien.results.text"

local report = {}

-- ---- numbers as the paper prints them ----------------------------------------------------------

--- .341, -.05 as -.050, 1.000; a dash for what there is not.
local function ccc(value)
  if value == nil then return "-" end
  return (("%.3f"):format(value):gsub("^(%-?)0%.", "%1."))
end

local function pair(test, devel)
  return ("%s (%s)"):format(ccc(test), ccc(devel))
end

local function print_table(title, rows, columns)
  io.stdout:write("\n", title, "\n", text.table(rows, columns), "\n")
end

--- Where the numbers come from: procedural ones are never shown without saying so.
local function origin(node)
  local names, procedural, seen = {}, false, {}
  for _, arm in ipairs(node.arms) do
    local c = arm.corpus
    if c and not seen[c.name] then
      seen[c.name], names[#names + 1], procedural = true, c.name, procedural or c.procedural
    end
  end
  local all = table.concat(names, ", ")
  if not procedural then return "on " .. all end
  return ("on the procedural corpus %s: these are no %s numbers"):format(all, "RECOLA")
end

--- The rows of a table by strategy with one more, of dashes, for each arm that was left out, in the arms' order.
local function with_left_out(node, rows)
  local by_name, all = {}, {}
  for _, row in ipairs(rows) do by_name[row.strategy] = row end
  for _, arm in ipairs(node.arms) do
    local row = by_name[arm.name] or (node.left_out or {})[arm.name] and { strategy = arm.name }
    if row then all[#all + 1] = row end
  end
  return all
end

-- ---- continuous targets ------------------------------------------------------------------------

local function table5(db, node)
  local rows, with_paper = {}, false
  local columns = { "strategy", "arousal", "valence", "seeds" }
  for _, row in ipairs(db:rows([[SELECT * FROM table5 WHERE experiment = ? AND profile = ? AND variant = ?]],
    node.config.name, node.profile, node.variant)) do
    rows[#rows + 1] = {
      strategy = row.strategy, arousal = pair(row.arousal, row.arousal_devel),
      valence = pair(row.valence, row.valence_devel), seeds = row.seeds,
      ["paper: arousal"] = row.paper_arousal and pair(row.paper_arousal, row.paper_arousal_devel),
      ["paper: valence"] = row.paper_valence and pair(row.paper_valence, row.paper_valence_devel),
    }
    with_paper = with_paper or row.paper_arousal ~= nil
  end
  if #rows == 0 then return end
  if with_paper then
    columns[5], columns[6] = "paper: arousal", "paper: valence"
  end
  local title = "Table 5: CCC after post-processing, test (devel), mean over seeds, %s"
  print_table(title:format(origin(node)), with_left_out(node, rows), columns)
end

--- Each arm's mean over seeds of the CCC before and after the chain, by target.
local function raw_and_post(db, node)
  local rows = db:rows([[
    SELECT arm AS strategy, target,
      round(avg(iif(stage = 'raw',  ccc_mean, NULL)), 3) AS raw,
      round(avg(iif(stage = 'post', ccc_mean, NULL)), 3) AS post
    FROM seed_mean_std WHERE experiment = ? AND profile = ? AND variant = ? AND split = 'test'
    GROUP BY arm, target ORDER BY min(arm_order), target]], node.config.name, node.profile, node.variant)
  if #rows > 0 then print_table("Test CCC without and with post-processing, mean over seeds", rows) end
end

local function post_steps(db, node)
  local rates = {}
  for _, arm in ipairs(node.arms) do rates[arm.name] = arm.corpus and arm.corpus.fps > 0 and arm.corpus.fps or 25 end
  local rows, by_key, columns = {}, {}, { "strategy", "seed", "target" }
  local steps = db:rows([[
    SELECT r.arm, r.seed, p.* FROM post_step p JOIN run r ON r.id = p.run JOIN experiment e ON e.id = r.experiment
    WHERE e.name = ? AND r.profile = ? AND r.variant = ? ORDER BY r.arm_order, r.seed, p.target, p.position]],
    node.config.name, node.profile, node.variant)
  for _, step in ipairs(steps) do
    local key = step.arm .. step.seed .. step.target
    local row = by_key[key]
    if not row then
      row = { strategy = step.arm, seed = step.seed, target = step.target }
      by_key[key], rows[#rows + 1] = row, row
    end
    if step.position + 3 > #columns then columns[step.position + 3] = step.step end
    local value = step.value and ("%+.3f"):format(step.value)
    if value and (step.step == "median" or step.step == "shift") then
      value = ("%.2f s"):format(step.value / rates[step.arm])
    end
    if step.step == "scale" and step.value then value = ("x%.2f"):format(step.value) end
    local gain = (step.ccc_after or 0 / 0) - (step.ccc_before or 0 / 0)
    row[step.step] = step.kept == 1 and ("%s, gain %s"):format(value, gain == gain and ccc(gain) or "-") or "dropped"
  end
  if #rows > 0 then
    print_table("Post-processing fitted on devel: what was kept, and what devel CCC gained by it", rows, columns)
  end
end

local function convergence(db, node)
  local rows = db:rows([[
    SELECT strategy, seeds, epochs_to_best, times_faster AS "times faster than the slowest", best AS "best devel score",
      epochs_run FROM convergence WHERE experiment = ? AND profile = ? AND variant = ?]],
    node.config.name, node.profile, node.variant)
  if #rows > 1 then print_table("Convergence: epochs to the best validation score, mean over seeds", rows) end
end

-- ---- categories --------------------------------------------------------------------------------

local RUNS = [[ JOIN run r ON r.id = c.run JOIN experiment e ON e.id = r.experiment
  WHERE e.name = ? AND r.profile = ? AND r.variant = ? AND r.status = 'finished' ]]

local function classes(db, node)
  local rows = db:rows([[
    SELECT c.class, c.split, round(avg(c.positives)) AS positives, round(avg(c.f1), 3) AS F1,
      round(avg(c.baseline_f1), 3) AS "majority F1", round(avg(c.average_precision), 3) AS "average precision",
      round(avg(c.baseline_precision), 3) AS "majority AP"
    FROM class_score c]] .. RUNS .. "GROUP BY c.split, c.class_order ORDER BY c.split, c.class_order",
    node.config.name, node.profile, node.variant)
  if #rows == 0 then return end
  print_table(("Categories on held-out frames, beside always answering the most frequent one, %s"):format(
    node.corpus.procedural and "on the procedural corpus " .. node.corpus.name or "on " .. node.corpus.name), rows)
  if node.config.data.resample then
    local counts = db:rows([[
      SELECT c.class AS emotion, max(iif(split = 'train' AND stage = 'corpus',  frames, NULL)) AS "training before",
        max(iif(split = 'train' AND stage = 'sampled', frames, NULL)) AS "training frames",
        max(iif(split = 'devel', frames, NULL)) AS "validation frames"
      FROM class_count c]] .. RUNS .. "AND r.seed = ? GROUP BY c.class_order ORDER BY c.class_order",
      node.config.name, node.profile, node.variant, node.config.seeds[1])
    if #counts > 0 then print_table("Frames per emotion after re-sampling (shaped like Table 4)", counts) end
  end
end

--- The tables of categories of a node: also shown for a prerequisite that was just trained.
report.classes = classes

-- ---- figure ------------------------------------------------------------------------------------

--- Curves of the watched metric: per arm the mean over seeds, the band from the lowest to the highest seed.
local function figure(db, node)
  local watch = node.config.train.stop.watch
  local points = db:rows([[
    SELECT r.arm, m.epoch, avg(m.value) AS mean, min(m.value) AS low, max(m.value) AS high
    FROM metric m JOIN run r ON r.id = m.run JOIN experiment e ON e.id = r.experiment
    WHERE e.name = ? AND r.profile = ? AND r.variant = ? AND m.key = ? AND m.value IS NOT NULL
    GROUP BY r.arm, m.epoch ORDER BY r.arm_order, m.epoch]], node.config.name, node.profile, node.variant, watch)
  if #points == 0 then return end
  local series, by_arm = {}, {}
  for _, p in ipairs(points) do
    local one = by_arm[p.arm]
    if not one then
      one = { x = {}, y = {}, label = p.arm, band = { low = {}, high = {} } }
      by_arm[p.arm], series[#series + 1] = one, one
    end
    local n = #one.x + 1
    one.x[n], one.y[n], one.band.low[n], one.band.high[n] = p.epoch, p.mean, p.low, p.high
  end
  if #node.config.seeds == 1 then
    for _, one in ipairs(series) do one.band = nil end
  end
  local folder = home.path(("runs/%s/%s"):format(node.config.name, node.profile))
  check.status(C.mien_folder_make(folder))
  series.file = ("%s/curves-%s.svg"):format(folder, node.variant)
  series.title = node.config.name .. (node.corpus.procedural and " (procedural corpus)" or "")
  series.xlabel, series.ylabel = "epoch", watch
  return plot.lines(series)
end

--- The weights of the best run, for `mien predict`.
local function best_weights(db, node)
  local row = db:row([[
    SELECT a.path, r.arm, r.seed FROM artifact a JOIN run r ON r.id = a.run JOIN experiment e ON e.id = r.experiment
    WHERE e.name = ? AND r.profile = ? AND r.variant = ? AND a.kind = 'weights' AND r.best_value IS NOT NULL
    ORDER BY r.best_value * ? DESC, a.path DESC LIMIT 1]], node.config.name, node.profile, node.variant,
    node.config.train.stop.higher and 1 or -1)
  if row then
    io.stdout:write(("best weights (%s, seed %d): %s; for example: ./mien predict VIDEO --weights FILE\n"):format(row.arm,
      row.seed, row.path))
  end
end

-- ---- all ---------------------------------------------------------------------------------------

--- Prints everything about a node and what happened to its runs.
function report.print(db, node, counts)
  if counts.finished + counts.failed + counts.busy == 0 then
    io.stdout:write(("\n%s: all %d runs were finished already; nothing was done.\n"):format(node.config.name,
      counts.skipped))
  end
  if node.corpus.label_kind == "continuous" then
    table5(db, node)
    convergence(db, node)
    post_steps(db, node)
    raw_and_post(db, node)
  else
    classes(db, node)
    convergence(db, node)
  end
  local ok, path = pcall(figure, db, node)
  if ok and path then
    io.stdout:write("\nvalidation curves: ", home.short(path), "\n")
  elseif not ok then
    io.stdout:write("\nno figure: ", tostring(path), "\n") -- the numbers are stored; gnuplot may be absent
  end
  best_weights(db, node)
  io.stdout:write(('results: %s (profile %s, variant %s); for example: ./mien sql "select * from table5"\n'):format(
    home.short(db.path), node.profile, node.variant))
  io.stdout:flush()
end

return report
