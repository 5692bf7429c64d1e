-- What an experiment ends with: Table 5, convergence, post-processing, categories, and a figure of the curves.
-- Not here: computing any of it (the views of core/store/schema, experiment/score.lua).
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local home = require "mien.base.home"
local plot = require "mien.plot"
local text = require "mien.results.text"

local report = {}

-- ---- numbers as the paper prints them ----------------------------------------------------------

--- .341, -.05 as -.050, 1.000; a dash for what there is not.
local function ccc(value)
  if value == nil then return "-" end
  return (("%.3f"):format(value):gsub("^(%-?)0%.", "%1."))
end

--- A mean, with its sample standard deviation where there are several seeds: .341 ±.012.
local function spread(mean, sd)
  return ccc(mean) .. (sd and " ±" .. ccc(sd) or "")
end

--- The same in a column of numbers: 0.341, or 0.341 ±0.012.
local function number(mean, sd)
  if mean and sd then return ("%.3f ±%.3f"):format(mean, sd) end
  return mean and math.floor(mean * 1000 + 0.5) / 1000
end

local function pair(test, devel)
  return ("%s (%s)"):format(test, devel)
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

--- Rows of a node's comparison; the query ends in a WHERE that may go on with AND.
local function ask(db, node, sql, rest, ...)
  return db:rows(sql .. " WHERE experiment = ? AND profile = ? AND variant = ? " .. (rest or ""), node.config.name,
    node.profile, node.variant, ...)
end

--- How the numbers of a table came about: "mean ±sd over seeds" says nothing where there is one.
local function over_seeds(rows)
  for _, row in ipairs(rows) do
    if row.seeds > 1 then return "mean ±sd over seeds" end
  end
  return "one seed"
end

-- ---- continuous targets ------------------------------------------------------------------------

--- Is this the comparison of the paper's Table 5? Then every arm has a row there.
local function is_papers(db, rows)
  for _, row in ipairs(rows) do
    if not db:row("SELECT 1 FROM published WHERE paper_table = 5 AND row = ?", row.strategy) then return false end
  end
  return true
end

--- One row per arm with a column per target, as the paper's Table 5; the paper's own where they may stand there.
local function table5(db, node, chains)
  local found = ask(db, node, "SELECT * FROM table5_long", "ORDER BY arm_order, target")
  if #found == 0 then return end
  local rows, by_arm, targets, papers, known = {}, {}, {}, {}, {}
  for _, one in ipairs(found) do
    local row = by_arm[one.strategy]
    if not row then
      row = { strategy = one.strategy, seeds = one.seeds }
      by_arm[one.strategy], rows[#rows + 1] = row, row
    end
    local target, paper = one.target, "paper: " .. one.target
    if not known[target] then known[target], targets[#targets + 1] = true, target end
    row[target] = pair(spread(one.test, one.test_sd), spread(one.devel, one.devel_sd))
    if one.paper_test then
      if not known[paper] then known[paper], papers[#papers + 1] = true, paper end
      row[paper] = pair(ccc(one.paper_test), ccc(one.paper_devel))
    end
  end
  local columns = { "strategy", unpack(targets) }
  columns[#columns + 1] = "seeds"
  for _, paper in ipairs(papers) do columns[#columns + 1] = paper end
  print_table(("%s: CCC%s, test (devel), %s, %s"):format(is_papers(db, rows) and "Table 5" or node.config.name,
    chains and " after post-processing" or "", over_seeds(rows), origin(node)), with_left_out(node, rows), columns)
end

--- Each arm's CCC before and after the chain, by target.
local function raw_and_post(db, node)
  local rows = ask(db, node, [[
    SELECT arm AS strategy, target, max(seeds) AS seeds,
      max(iif(stage = 'raw',  ccc_mean, NULL)) AS raw,  max(iif(stage = 'raw',  ccc_sd, NULL)) AS raw_sd,
      max(iif(stage = 'post', ccc_mean, NULL)) AS post, max(iif(stage = 'post', ccc_sd, NULL)) AS post_sd
    FROM seed_mean_std]], "AND split = 'test' GROUP BY arm, target ORDER BY min(arm_order), target")
  if #rows == 0 then return end
  for _, row in ipairs(rows) do row.raw, row.post = number(row.raw, row.raw_sd), number(row.post, row.post_sd) end
  print_table("Test CCC without and with post-processing, " .. over_seeds(rows), rows,
    { "strategy", "target", "seeds", "raw", "post" })
end

local function post_steps(db, node)
  local rates = {}
  for _, arm in ipairs(node.arms) do rates[arm.name] = arm.corpus and arm.corpus.fps > 0 and arm.corpus.fps or 25 end
  local rows, by_run, columns = {}, {}, { "strategy", "seed", "target" }
  local steps = ask(db, node, "SELECT c.arm, c.seed, p.* FROM post_step p JOIN comparison_run c ON c.scoring = p.scoring",
    "ORDER BY c.arm_order, c.seed, p.target, p.position")
  for _, step in ipairs(steps) do
    by_run[step.run] = by_run[step.run] or {}
    local row = by_run[step.run][step.target]
    if not row then
      row = { strategy = step.arm, seed = step.seed, target = step.target }
      by_run[step.run][step.target], rows[#rows + 1] = row, row
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
  print_table("Post-processing fitted on devel: what was kept, and what devel CCC gained by it", rows, columns)
end

local function convergence(db, node)
  local rows = ask(db, node, "SELECT * FROM convergence")
  if #rows < 2 then return end
  local level = ("epochs to %.3f"):format(rows[1].level)
  for _, row in ipairs(rows) do
    row["times faster"], row["best devel score"], row[level] = row.times_faster, row.best, row.epochs_to_level
    row["times faster there"] = row.times_faster_to_level
    row["reached by"] = ("%d of %d"):format(row.reached, row.seeds)
  end
  print_table(("Convergence: epochs to the own best validation score, and to %.3f (95 %% of the slowest strategy's), mean "
    .. "over seeds.\nTimes faster than the slowest; none for a strategy whose seeds do not all come to that level")
    :format(rows[1].level), rows, { "strategy", "seeds", "epochs_to_best", "times faster", "best devel score", level,
    "reached by", "times faster there", "epochs_run" })
end

-- ---- categories --------------------------------------------------------------------------------

--- Columns of which all rows tell the same are left out: one arm needs no column of arms.
local function several(rows, name)
  for _, row in ipairs(rows) do
    if row[name] ~= rows[1][name] then return true end
  end
  return false
end

--- Frames per category of each arm; once where all arms have the same.
local function class_counts(db, node)
  local counts = ask(db, node, [[
    SELECT c.arm AS strategy, t.emotion, t.training_before AS "training before", t.training_frames AS "training frames",
      t.validation_frames AS "validation frames"
    FROM comparison_run c JOIN (SELECT run, emotion, training_before, training_frames, validation_frames FROM table4) t
      ON t.run = c.run]], "AND c.status = 'finished' AND c.seed = ? ORDER BY c.arm_order", node.config.seeds[1])
  if #counts == 0 then return end
  local first, same = {}, true
  for _, row in ipairs(counts) do
    local what = ("%s/%s/%s"):format(row["training before"], row["training frames"], row["validation frames"])
    first[row.emotion] = first[row.emotion] or what
    same = same and first[row.emotion] == what
  end
  local shown = {}
  for _, row in ipairs(counts) do
    if not same or row.strategy == counts[1].strategy then shown[#shown + 1] = row end
  end
  print_table("Frames per emotion before and after re-sampling", shown, { unpack({ "strategy", "emotion",
    "training before", "training frames", "validation frames" }, same and 2 or 1) })
end

local function classes(db, node)
  local rows = ask(db, node, [[
    SELECT arm AS strategy, class, split, seeds, round(positives) AS positives, f1, f1_sd, average_precision AS ap,
      average_precision_sd AS ap_sd, round(baseline_f1, 3) AS "majority F1",
      round(baseline_precision, 3) AS "majority AP"
    FROM class_mean_std]], "ORDER BY split, class_order, arm_order")
  if #rows == 0 then return end
  for _, row in ipairs(rows) do
    row.F1, row["average precision"] = number(row.f1, row.f1_sd), number(row.ap, row.ap_sd)
  end
  local columns = { "class", "split", "positives", "F1", "majority F1", "average precision", "majority AP" }
  if several(rows, "strategy") then table.insert(columns, 3, "strategy") end
  if over_seeds(rows) ~= "one seed" then table.insert(columns, #columns - 4, "seeds") end
  print_table(("%s: categories on held-out frames, %s, beside always answering the most frequent one, %s"):format(
    node.config.name, over_seeds(rows), node.corpus.procedural and "on the procedural corpus " .. node.corpus.name
    or "on " .. node.corpus.name), rows, columns)
  if node.config.data.resample then class_counts(db, node) end
end

--- The tables of categories of a node: also shown for a prerequisite that was just trained.
report.classes = classes

-- ---- figure ------------------------------------------------------------------------------------

--- Curves of the watched metric: per arm the mean over seeds, the band from the lowest to the highest seed.
local function figure(db, node)
  local watch = node.config.train.stop.watch
  local points = ask(db, node, [[
    SELECT c.arm, m.epoch, avg(m.value) AS mean, min(m.value) AS low, max(m.value) AS high
    FROM comparison_run c JOIN metric m ON m.run = c.run]],
    "AND m.key = ? AND m.value IS NOT NULL GROUP BY c.arm, m.epoch ORDER BY c.arm_order, m.epoch", watch)
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
  local row = ask(db, node, "SELECT a.path, c.arm, c.seed FROM artifact a JOIN comparison_run c ON c.run = a.run",
    "AND a.kind = 'weights' AND c.best IS NOT NULL ORDER BY c.best * ? DESC, a.path DESC LIMIT 1",
    node.config.train.stop.higher and 1 or -1)[1]
  if row then
    io.stdout:write(("best weights (%s, seed %d): %s; for example: ./mien predict VIDEO --weights FILE\n"):format(row.arm,
      row.seed, row.path))
  end
end

-- ---- all ---------------------------------------------------------------------------------------

--- Prints everything about a node and what happened to its runs.
function report.print(db, node, counts)
  if counts.finished + counts.scored + counts.untrained + counts.failed + counts.busy == 0 then
    io.stdout:write(("\n%s: all %d runs were finished already; nothing was done.\n"):format(node.config.name,
      counts.skipped))
  end
  if node.corpus.label_kind == "continuous" then
    local chains = #ask(db, node, "SELECT 1 FROM post_step p JOIN comparison_run c ON c.scoring = p.scoring", "LIMIT 1") > 0
    table5(db, node, chains)
    convergence(db, node)
    if chains then
      post_steps(db, node)
      raw_and_post(db, node)
    end
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
  io.stdout:write(("results: %s (profile %s, variant %s); for example:\n./mien sql \"%s\"\n"):format(home.short(db.path),
    node.profile, node.variant, ("select * from %s where experiment = '%s' and variant = '%s'"):format(
    node.corpus.label_kind == "continuous" and "table5" or "class_mean_std", node.config.name:gsub("'", "''"),
    node.variant)))
  io.stdout:flush()
end

return report
