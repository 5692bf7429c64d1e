-- What a trained run leaves: scores before and after post-processing, tables of classes, predictions.
-- Not here: the scores' formulas (metric.lua), fitting of the chain (post/).
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local evaluate = require "mien.train.evaluate"
local file = require "mien.data.file"
local post = require "mien.affect.post"

local score = {}

-- ---- predictions on disk -----------------------------------------------------------------------

--- [N,K] f64 from a list of recordings, each one array per output.
local function matrix(list)
  local frames, outputs = 0, #list[1]
  for _, recording in ipairs(list) do frames = frames + #recording[1] end
  local t = file.array("f64", { frames, outputs })
  local values, at = t:data(), 0
  for _, recording in ipairs(list) do
    for i = 1, #recording[1] do
      for k = 1, outputs do values[at + k - 1] = recording[k][i] end
      at = at + outputs
    end
  end
  return t
end

local function recording_numbers(list)
  local frames = 0
  for _, recording in ipairs(list) do frames = frames + #recording[1] end
  local t = file.array("i32", { frames })
  local values, at = t:data(), 0
  for r, recording in ipairs(list) do
    for _ = 1, #recording[1] do
      values[at] = r - 1
      at = at + 1
    end
  end
  return t
end

--- Groups devel and test: raw, post (where fitted) and gold [N,K] f64, recording [N] i32, names as attributes.
local function save(path, corpus, splits)
  local h5 = file.create(path)
  local ok, problem = pcall(function()
    h5:set("mien_format", "predictions")
    h5:set("corpus", corpus.name)
    h5:set("procedural", corpus.procedural)
    h5:set("targets", corpus.label_names)
    for _, split in ipairs(splits) do
      for _, name in ipairs { "raw", "post", "gold" } do
        if split[name] then
          local t = matrix(split[name])
          h5:write(split.name .. "/" .. name, t)
          t:free()
        end
      end
      local t, names = recording_numbers(split.gold), {}
      h5:write(split.name .. "/recording", t)
      t:free()
      for i, recording in ipairs(split.recordings) do names[i] = recording.name end
      h5:set("recording_names", names, split.name .. "/recording")
    end
    h5:finish()
  end)
  h5:close()
  if not ok then check.rethrow(problem) end
end

-- ---- post-processing ---------------------------------------------------------------------------

local function store_chain(run, target, chain)
  for position, step in ipairs(chain.steps) do
    run:post_step { target = target, position = position, step = step.step, kept = step.kept, value = step.value,
      ccc_before = step.ccc_before, ccc_after = step.ccc_after }
    for _, trial in ipairs(step.trials or {}) do
      if trial[1] then
        local ccc = trial[2]
        run:post_trial { target = target, position = position, step = step.step, value = trial[1],
          ccc = ccc == ccc and ccc or nil }
      end
    end
  end
end

--- Fits a chain per target on devel and applies it to every split; gives splits their `post`, returns the chains.
local function fit_post(config, corpus, splits)
  local chains = {}
  for _, split in ipairs(splits) do
    split.post = {}
    for r = 1, #split.raw do split.post[r] = {} end
  end
  local devel = splits[1]
  for k, target in ipairs(corpus.label_names) do
    local fit = config.post_options.method == "joint" and post.joint or post.fit
    local chain = fit { predictions = evaluate.column(devel.raw, k), gold = evaluate.column(devel.gold, k),
      steps = config.post, fps = corpus.fps, max_median = config.post_options.max_median,
      max_shift = config.post_options.max_shift }
    chains[k] = { target = target, chain = chain }
    for _, split in ipairs(splits) do
      local changed = chain:apply(evaluate.column(split.raw, k))
      for r = 1, #changed do split.post[r][k] = changed[r] end
    end
  end
  return chains
end

--- Raises an error where the network gave no number: neither scores nor post-processing mean anything then.
local function require_numbers(corpus, split)
  for r, rows in ipairs(split.raw) do
    for k, row in ipairs(rows) do
      for i = 1, #row do
        if row[i] ~= row[i] then
          check.raise("numeric", "the network's %s is NaN at frame %d of recording %s (%s): it cannot be scored",
            corpus.label_names[k], i, split.recordings[r].name, split.name)
        end
      end
    end
  end
end

-- ---- all of it ---------------------------------------------------------------------------------

--- A row without what is undefined: that is NULL.
local function defined(row)
  for name, value in pairs(row) do
    if value ~= value then row[name] = nil end
  end
  return row
end

--- What there is to store of a split: a list of { reporter of the run, row }.
local function rows_of(corpus, split)
  local list = {}
  local function add(name, rows, stage)
    for _, row in ipairs(rows or {}) do
      row.split, row.stage = split.name, stage
      list[#list + 1] = { name, defined(row) }
    end
  end
  local function stage(name, predictions)
    local result = evaluate.score(corpus, predictions, split.gold)
    add("score", result.scores, name)
    if result.scores then
      add("recording_score", evaluate.by_recording(corpus, split.recordings, predictions, split.gold), name)
    end
    return result
  end
  split.result = stage("raw", split.raw)
  add("class_score", split.result.classes)
  if corpus.label_kind == "class" then add("confusion", evaluate.confusion(corpus, split.raw, split.gold)) end
  -- without post-processing the two stages are the same, and table5 shows them all the same
  if corpus.label_kind == "continuous" then stage("post", split.post or split.raw) end
  return list
end

--- Predicts devel and test, post-processes where asked, stores scores and predictions.
-- what: { config, corpus, parts (recordings per partition), run, folder, predict = function(recordings) }
function score.all(what)
  local config, corpus, run = what.config, what.corpus, what.run
  local splits = {}
  for _, name in ipairs { "devel", "test" } do
    local recordings = what.parts[name]
    if #recordings > 0 then
      splits[#splits + 1] = { name = name, recordings = recordings, raw = what.predict(recordings),
        gold = evaluate.gold(corpus, recordings) }
      require_numbers(corpus, splits[#splits])
    end
  end
  local chains = config.post and corpus.label_kind == "continuous" and fit_post(config, corpus, splits) or {}
  local lists = {}
  for i, split in ipairs(splits) do lists[i] = rows_of(corpus, split) end
  run:scored(function()
    for _, one in ipairs(chains) do store_chain(run, one.target, one.chain) end
    for _, list in ipairs(lists) do
      for _, entry in ipairs(list) do run[entry[1]](run, entry[2]) end
    end
  end)
  check.status(C.mien_folder_make(what.folder))
  save(what.folder .. "/predictions.h5", corpus, splits)
  run:artifact(what.folder .. "/predictions.h5", "predictions")
  return splits
end

return score
