-- Corpora and what is drawn from them: `mien.data`, loaded part by part.
-- Not here: reading the owners' forms of corpora (datasets/).

local parts = {
  open = { "mien.data.corpus", "open" },
  writer = { "mien.data.writer", "new" },
  loader = { "mien.data.loader", "new" },
  split_subjects = { "mien.data.split", "subjects" },
  split_folds = { "mien.data.split", "folded" },
  class_counts = { "mien.data.split", "class_counts" },
  class_weights = { "mien.data.split", "class_weights" },
  resample = { "mien.data.resample", "draw" },
  gold = { "mien.data.gold", "standard" },
  rater_lags = { "mien.data.alignment", "lags" },
  compensate_lags = { "mien.data.alignment", "compensate" },
  barycentre = { "mien.data.alignment", "barycentre" },
  winner_takes_all = { "mien.data.votes", "winner_takes_all" },
  faces = { "mien.data.face", "follow" },
  face_detector = { "mien.data.face", "detector" },
  video = { "mien.data.media", "video" },
  image = { "mien.data.media", "image" },
}

return setmetatable({}, {
  __index = function(data, name)
    local part = parts[name]
    if not part then require("mien.base.check").unknown("mien.data", "function", tostring(name), parts) end
    local value = require(part[1])[part[2]]
    rawset(data, name, value)
    return value
  end,
  parts = parts, -- for help and completion
})
