-- Which run of results.db a wanted run is: the same, one that goes on for longer, one of an earlier mien; else none, and
-- in what the nearest one differs.
-- Not here: what is hashed (experiment/schema.lua), doing it (experiment/plan.lua).
local lfs = require "lfs"
local home = require "mien.base.home"
local literal = require "mien.base.literal"
local results_run = require "mien.results.run"
local schema = require "mien.experiment.schema"
local source = require "mien.results.source"

local known = {}

-- ---- differences -------------------------------------------------------------------------------

--- A configuration's text as path -> value. One of an earlier mien had more keys and said nothing of the code behind its
-- functions: `early` is true then, and its scoring stands by itself.
local function read(text)
  local config = literal.decode(text, "the run's configuration")
  local early = config.evaluate ~= nil
  local scoring = early and schema.scoring(config) or nil
  if early then config.evaluate, config.post, config.post_options = nil, nil, nil end
  local flat = {}
  local function walk(value, path)
    if type(value) ~= "table" or next(value) == nil then
      flat[path] = type(value) == "table" and "{}" or value
      return
    end
    for k, v in pairs(value) do walk(v, path == "" and tostring(k) or path .. "." .. tostring(k)) end
  end
  walk(config, "")
  if early then
    for path, value in pairs(flat) do
      if type(value) == "string" and value:find "^%s*function" then flat[path] = source.of_function(value) end
    end
  end
  return flat, early, scoring
end

-- What a longer training may have otherwise.
local ENDS = { ["train.epochs"] = true, ["train.stop.patience"] = true }

--- The paths in which two configurations differ, sorted: { all =, code =, ends = number of them }.
local function compare(old, new, early)
  local list, counted = { code = 0, ends = 0 }, {}
  local function look(path)
    if counted[path] or old[path] == new[path] or early and path:find "^code%." then return end
    counted[path] = true
    list[#list + 1] = path
    local of_code = path:find "^code%." or path == "model" or type(new[path]) == "string" and new[path]:find "^function"
    if of_code then list.code = list.code + 1 end
    if ENDS[path] then list.ends = list.ends + 1 end
  end
  for path in pairs(old) do look(path) end
  for path in pairs(new) do look(path) end
  table.sort(list)
  return list
end

local function shown(value)
  if value == nil then return "absent" end
  local text = tostring(value)
  return #text > 60 and text:sub(1, 57) .. "..." or text
end

-- What the parts of a run's identity are called.
local NAMES = { ["identities.corpus"] = "the corpus", ["identities.start"] = "the start",
  ["identities.profile"] = "the profile" }

--- The text of a file that a run was made with; nil where nobody kept it.
local function kept(db, id, name)
  if not db:value "SELECT 1 FROM sqlite_master WHERE name = 'run_source'" then return nil end -- an earlier mien's file
  return db:value("SELECT s.text FROM run_source r JOIN source s USING (sha256) WHERE r.run = ? AND r.name = ?", id, name)
end

--- Where a required file differs, or where a function does.
local function describe(db, id, path, old, new, files)
  local name = path:match "^code%.require (.*)$"
  if name then
    local before = kept(db, id, name)
    local now = files[name] and files[name].text
    if before and now then return ("%s: \"%s\" is now \"%s\""):format(name, source.difference(before, now)) end
    return ("%s %s"):format(name, now and (before and "has changed" or "is required now") or "is no longer required")
  end
  path = path:gsub("^code%.", "")
  if type(old) == "string" and type(new) == "string" and old:find "^function" then
    return ("%s: \"%s\" is now \"%s\""):format(path, source.difference(old, new))
  end
  if NAMES[path] then return NAMES[path] .. " is another" end
  return ("%s was %s, is %s"):format(path, shown(old), shown(new))
end

local MOST = 4 -- changes that are named

local function in_words(db, one, new, files)
  local words = {}
  for i = 1, math.min(#one.changes, MOST) do
    local path = one.changes[i]
    words[i] = describe(db, one.id, path, one.flat[path], new[path], files)
  end
  if #one.changes > MOST then words[#words + 1] = ("%d more"):format(#one.changes - MOST) end
  return table.concat(words, "; ")
end

-- ---- finding -----------------------------------------------------------------------------------

--- Whether a run that ended at other epochs or another patience is the beginning of the wanted one: nothing that it did
-- would have been otherwise.
local function begins(one, new)
  return new["train.epochs"] >= (one.epochs or 0)
    and new["train.stop.patience"] >= (one.flat["train.stop.patience"] or math.huge)
end

local function last_state(one)
  return one.folder and lfs.attributes(home.path(one.folder) .. "/last.h5") ~= nil
end

local QUERY = [[SELECT r.* FROM run r
  JOIN experiment e ON e.id = r.experiment WHERE e.name = ? AND r.arm = ? AND r.seed = ? ORDER BY r.id DESC]]

--- What results.db has of a wanted run r { node, arm, seed, text, hash }: { how, id, status, busy, about, ... }. how:
--   "same"    it is there; "early": it is there, as an earlier mien wrote it (scoring: that it had)
--   "longer"  it is there and goes on to more epochs or with more patience
--   "code"    it was begun and not finished under other code
--   "other"   it is not there
-- about: in what the one that was found differs; mien: the commit under which it ran; busy: who has it; gone: it could go
-- on if its last state were there.
-- nil when there is none at all of this arm and seed.
function known.find(db, r)
  local new = read(r.text)
  local nearest
  for _, one in ipairs(db:rows(QUERY, r.node.name, r.arm.name, r.seed)) do
    if one.config_hash == r.hash then return { how = "same", id = one.id } end
    local early, ok
    ok, one.flat, early, one.scoring = pcall(read, one.config)
    if ok then -- else something else wrote it
      one.changes = compare(one.flat, new, early)
      local n, begun = #one.changes, one.status ~= "finished" and one.status ~= "failed"
      if n == 0 then
        one.how = "early"
      elseif n == one.changes.ends and begins(one, new) then
        one.how = last_state(one) and "longer" or nil
        one.gone = not one.how and not begun
      elseif n == one.changes.code + one.changes.ends and begun and begins(one, new) and last_state(one) then
        one.how = "code"
      end
      one.rank = (one.how == "early" and 0 or one.how == "longer" and 1 or one.how == "code" and 2 or 3) * 1000 + n
      if one.flat["identities.profile"] == new["identities.profile"] and (not nearest or one.rank < nearest.rank) then
        nearest = one
      end
    end
  end
  if not nearest then return nil end
  return { how = nearest.how or "other", id = nearest.id, status = nearest.status, scoring = nearest.scoring,
    mien = nearest.code_version, gone = nearest.gone, busy = results_run.busy(nearest),
    about = in_words(db, nearest, new, r.arm.files) }
end

--- What of the files behind a run is another than when it was trained, in words; nil when nothing is, or nobody kept it.
function known.changed(db, id, files)
  local words = {}
  for _, row in ipairs(db:rows([[SELECT r.name, s.text FROM run_source r JOIN source s USING (sha256)
      WHERE r.run = ? ORDER BY r.name]], id)) do
    local now = files[row.name]
    if now and now.text ~= row.text and source.normal(now.text) ~= source.normal(row.text) then
      words[#words + 1] = ("%s: \"%s\" is now \"%s\""):format(home.short(now.path),
        source.difference(row.text, now.text))
    end
  end
  return words[1] and table.concat(words, "; ") or nil
end

--- Makes a found run the wanted one: from now on it has its configuration.
function known.take(db, r, found)
  local event = found.how == "code" and { kind = "code", text = "goes on under other code: " .. found.about } or nil
  results_run.rename(db, found.id, r.text, event, found.how == "early")
  if found.how == "early" and found.scoring then
    db:write("UPDATE OR IGNORE scoring SET settings = ? WHERE run = ? AND settings = ''", found.scoring, found.id)
  end
end

return known
