-- A corpus of few small frames: ten recordings of five persons, the last two for validation.
-- Not here: any test.
local mien = require "mien"

--- Writes and opens it. options: emotions = names (several labels a frame), recordings = 10, length = 35, label =
-- function(values, frame from 0, recording from 1).
return function(path, options)
  options = options or {}
  local emotions = options.emotions
  local w = mien.data.writer(path, { name = "test", height = 6, width = 8, fps = 25, sequence = 10,
    label_kind = emotions and "multilabel" or "continuous", label_names = emotions or { "arousal", "valence" } })
  for i = 1, options.recordings or 10 do
    local n = options.length or 35
    local labels = mien.zeros { n, emotions and #emotions or 2 }
    if options.label then
      local data = labels:data()
      for t = 0, n - 1 do options.label(data, t, i) end
    end
    w:recording { name = "rec" .. i, subject = "person" .. (i % 5), partition = i <= 8 and "train" or "devel",
      frames = mien.full({ n, 6, 8, 3 }, i, { dtype = "u8" }), labels = labels }
  end
  w:finish()
  return mien.data.open(path)
end
