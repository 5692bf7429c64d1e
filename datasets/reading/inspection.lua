-- What is wrong with the owners' files of a corpus, found by reading all of them and writing nothing.
-- Not here: a finished corpus (`mien dataset check FILE.h5`, lua/mien/cli/dataset/inspect.lua).
local ratings = require "reading.ratings"
local assembly = require "reading.assembly"
local check = require "mien.base.check"
local data = require "mien.data"
local sha256 = require "mien.base.sha256"
local status_line = require "mien.base.status_line"

local inspection = {}

--- SHA-256 of a video's decoded frames, and their times: { times, step, error }.
local function look(path)
  local video = data.video(path)
  local found, hashes = { times = {}, missing = 0, others = 0, boxes = {} }, {}
  local ok, err = pcall(function()
    for frame, time in video:frames() do
      found.times[#found.times + 1] = time
      hashes[#hashes + 1] = sha256.bytes(frame:data(), frame:count())
      frame:free()
    end
  end)
  local fps = video.fps
  video:close()
  if not ok then
    if not check.is_error(err) or err.code == "interrupted" then error(err, 0) end
    found.error = err
  end
  local n = #found.times
  found.step = fps > 0 and 1 / fps or n > 1 and (found.times[n] - found.times[1]) / (n - 1) or 0
  return found, sha256.text(table.concat(hashes))
end

--- Stands for assembly.write: looks at every job's video and pairs it with its rows.
local function instead(add)
  return function(o)
    local result, by_hash, home = { recordings = 0, frames = 0, left_out = {}, fps = o.fps }, {}, {}
    for number, job in ipairs(o.jobs) do
      status_line.show(("%d of %d: %s"):format(number, #o.jobs, job.video))
      local ok, found, hash = pcall(look, job.video)
      if not ok then
        if not check.is_error(found) or found.code == "interrupted" then error(found, 0) end
        add("%s: %s", job.video, found.message)
      else
        if found.error then add("%s: %s", job.video, found.error.message) end
        if by_hash[hash] then add("%s: its frames are those of %s: a copy", job.video, by_hash[hash]) end
        by_hash[hash] = by_hash[hash] or job.video
        local other = home[job.subject]
        if other and other.partition ~= job.partition then
          add("%s: person %s is in %s (%s) and in %s", job.name, job.subject, other.partition, other.name, job.partition)
        end
        home[job.subject] = other or job
        local map = job.map(found)
        local n = map and #map or 0
        if map and (n ~= job.rows or job.longer(found, n)) then
          add("%s: %d rows of labels, the video has %d frames of %.3f s: %d pairs", job.name, job.rows, #found.times,
            found.step, n)
        end
        result.recordings, result.frames = result.recordings + 1, result.frames + n
      end
    end
    return result
  end
end

--- Runs a reader's `make` on options (as settle gave them) without writing: all that is wrong, as lines. Problems of
-- annotations do not stop it: it goes on with what could be read.
function inspection.run(corpus, o)
  local problems = {}
  local function add(fmt, ...) problems[#problems + 1] = fmt:format(...) end
  require("reading.command").tell(o)
  local write = assembly.write
  assembly.write, ratings.instead = instead(add), function(line) problems[#problems + 1] = line end
  local ok, err = pcall(corpus.check or corpus.work, o)
  assembly.write, ratings.instead = write, nil
  status_line.clear()
  if not ok and (not check.is_error(err) and #problems == 0 or check.is_error(err) and err.code == "interrupted") then
    error(err, 0)
  elseif not ok and check.is_error(err) then
    add("%s", err.message)
  end
  for _, note in ipairs(o.notes) do
    if note:find "^left out" or note:find ": the first %d+ are used" then problems[#problems + 1] = note end
  end
  return problems
end

return inspection
