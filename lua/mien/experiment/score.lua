-- What a trained run leaves: scores before and after post-processing, tables of classes, predictions.
-- Not here: the scores' formulas (metric.lua), fitting of the chain (post/).
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local evaluate = require "mien.train.evaluate"
local file = require "mien.data.file"
local index = require "mien.base.index"
local literal = require "mien.base.literal"
local post = require "mien.affect.post"
local schema = require "mien.experiment.schema"
local lfs = require "lfs"

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

--- Groups devel and test: raw, post (where fitted) and gold [N,K] f64, recording [N] i32, names as attributes; and the
-- settings of the scoring.
local function save(path, corpus, splits, settings)
  local h5 = file.create(path)
  local ok, problem = pcall(function()
    h5:set("mien_format", "predictions")
    h5:set("corpus", corpus.name)
    h5:set("procedural", corpus.procedural)
    h5:set("targets", corpus.label_names)
    h5:set("scoring", settings)
    for _, split in ipairs(splits) do
      for _, name in ipairs { "raw", "post", "gold" } do
        if split[name] then
          local t = matrix(split[name])
          if name == "gold" and corpus.label_kind == "class" then -- files count classes from 0
            index.classes_to_c(t:data(), t:count(), #corpus.label_names, "gold, frame")
          end
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

--- What the file says of each recording of a split, as evaluate.predict gives it.
local function read_split(h5, path, name, recordings)
  local names = h5:list("recording_names", name .. "/recording")
  local same = #names == #recordings
  for i, recording in ipairs(recordings) do same = same and recording.name == names[i] end
  if not same then
    check.raise("format", "%s: its %s recordings are not those of the corpus now; mien score predicts them anew", path, name)
  end
  local list, at = {}, 0
  local t = h5:read(name .. "/raw")
  local values, outputs = t:data(), t:size(2)
  for r, recording in ipairs(recordings) do
    list[r] = {}
    for k = 1, outputs do
      local row = {}
      for i = 1, recording.count do row[i] = values[(at + i - 1) * outputs + k - 1] end
      list[r][k] = row
    end
    at = at + recording.count
  end
  t:free()
  return list
end

--- How predictions are made, of the settings of a scoring.
local function evaluation(settings)
  return settings ~= "" and literal.encode(literal.decode(settings).evaluate) or ""
end

--- The predictions that lie on disk, by split, when they were made as `settings` say; else nil and why not.
-- what: as score.all takes it.
function score.stored(what, settings)
  local path = what.folder .. "/predictions.h5"
  if not lfs.attributes(path) then return nil, "its predictions are gone" end
  if not what.run:made(path) then return nil, "its predictions have changed since it made them" end
  local h5 = file.open(path)
  local ok, result, why = pcall(function()
    local made = h5:text "scoring" or what.run.db:value("SELECT settings FROM scoring WHERE run = ? ORDER BY id", what.run.id)
    if evaluation(made or "") ~= evaluation(settings) then return nil, "evaluate.* is another" end
    local raw = {}
    for name, recordings in pairs(what.parts) do
      if #recordings > 0 and h5:has(name .. "/raw") then raw[name] = read_split(h5, path, name, recordings) end
    end
    return raw
  end)
  h5:close()
  if not ok then check.rethrow(result) end
  return result, why
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
    local chain = fit(evaluate.column(devel.raw, k), evaluate.column(devel.gold, k), { steps = config.post,
      fps = corpus.fps, max_median = config.post_options.max_median, max_shift = config.post_options.max_shift })
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

--- Predicts devel and test, post-processes where asked, stores scores and predictions; what is there of another scoring
-- stays. what: { config, corpus, parts (recordings per partition), run, folder, predict = function(recordings), raw =
-- predictions by split, in place of predict }.
-- Returns the fitted chains, a list of { target =, chain = }.
function score.all(what)
  local config, corpus, run = what.config, what.corpus, what.run
  local splits, settings = {}, schema.scoring(config)
  for _, name in ipairs { "devel", "test" } do
    local recordings = what.parts[name]
    if #recordings > 0 then
      splits[#splits + 1] = { name = name, recordings = recordings,
        raw = what.raw and what.raw[name] or what.predict(recordings), gold = evaluate.gold(corpus, recordings) }
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
  end, settings)
  check.status(C.mien_folder_make(what.folder))
  save(what.folder .. "/predictions.h5", corpus, splits, settings)
  run:artifact(what.folder .. "/predictions.h5", "predictions")
  return chains
end

return score
