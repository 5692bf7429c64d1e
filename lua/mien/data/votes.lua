-- From annotators' votes to labels: winner-takes-all.
-- Not here: agreement between annotators (mien.metric).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local doubles = require "mien.base.doubles"
local file = require "mien.data.file"
local index = require "mien.base.index"

local votes = {}

--- Labels of frames from votes [n,C] (how many annotators chose each category).
-- { kind = "class": i32 [n], categories from 1, ties go to the one that comes first, 0 without votes;
--   kind = "multilabel" (default): f32 [n,C], 1 for every category that shares the most votes }.
-- The second result is the number of frames with a tie, the third of frames without votes.
function votes.winner_takes_all(counts, options)
  options = options or {}
  check.type(counts, "tensor", "data.winner_takes_all: votes")
  check.keys(options, { kind = "string" }, "data.winner_takes_all")
  local kind = check.one_of(options.kind or "multilabel", { "class", "multilabel" }, "data.winner_takes_all: kind")
  local shape = counts.shape
  if #shape ~= 2 then check.raise("shape", "data.winner_takes_all: votes must be [n,C], got %d dimensions", #shape) end
  local n, c = shape[1], shape[2]
  local values = doubles.from(counts)
  local winner, ties = file.array("i32", { n }), ffi.new("int32_t[?]", math.max(n, 1))
  check.status(C.mien_winner_takes_all(values, n, c, winner:data(), ties))
  local tied, empty = 0, 0
  local first = winner:data()
  for i = 0, n - 1 do
    if first[i] < 0 then empty = empty + 1 elseif ties[i] > 1 then tied = tied + 1 end
  end
  if kind == "class" then
    index.classes_from_c(first, n)
    return winner, tied, empty
  end
  local labels = file.array("f32", { n, c })
  local out = labels:data()
  for i = 0, n - 1 do
    local most = first[i] >= 0 and values[i * c + first[i]] or -1
    for j = 0, c - 1 do out[i * c + j] = values[i * c + j] == most and 1 or 0 end
  end
  winner:free()
  return labels, tied, empty
end

return votes
