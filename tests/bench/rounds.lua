-- Rounds in alternation and what they come to: medians with their spread, the table, rows of results.db.
-- Not here: the processes (side.lua), the cases (step.lua).
local results = require "mien.results"

local rounds = {}

--- Sorted copy.
local function sorted(list)
  local copy = { unpack(list) }
  table.sort(copy)
  return copy
end

--- The quantile q in [0, 1], linear between the neighbours.
function rounds.quantile(list, q)
  local s = sorted(list)
  local at = 1 + q * (#s - 1)
  local low = math.floor(at)
  local high = math.min(low + 1, #s)
  return s[low] + (at - low) * (s[high] - s[low])
end

--- Median, 10th and 90th percentile as { median, p10, p90 }; nil of an empty list.
function rounds.summary(list)
  if #list == 0 then return nil end
  return { rounds.quantile(list, 0.5), rounds.quantile(list, 0.1), rounds.quantile(list, 0.9) }
end

--- Pairs of equal place divided: a's over b's.
function rounds.ratios(a, b)
  local list = {}
  for i = 1, math.min(#a, #b) do list[i] = a[i] / b[i] end
  return list
end

-- ---- rows ----------------------------------------------------------------------------------------------------

--- Rows of the table `benchmark`: one per setting of the peer; a case without a peer has one.
-- result: { name, precision, setting, times, work, peak, memory, peers = { { setting, times, memory } } }.
function rounds.rows(result, session, version)
  local rows = {}
  local function add(peer)
    local ours = rounds.summary(result.times)
    local theirs = peer and rounds.summary(peer.times) or {}
    local ratio = peer and rounds.summary(rounds.ratios(peer.times, result.times)) or {}
    rows[#rows + 1] = {
      session = session, name = result.name, precision = result.precision, setting = result.setting,
      peer_setting = peer and peer.setting, peer_version = peer and version, pairs = #result.times,
      ours = ours[1], ours_p10 = ours[2], ours_p90 = ours[3],
      peer = theirs[1], peer_p10 = theirs[2], peer_p90 = theirs[3],
      ratio = ratio[1], ratio_p10 = ratio[2], ratio_p90 = ratio[3],
      gflop = result.work, peak = result.peak, memory = result.memory, peer_memory = peer and peer.memory,
      note = result.note,
    }
  end
  for _, peer in ipairs(result.peers) do add(peer) end
  if #rows == 0 then add(nil) end
  local best
  for _, row in ipairs(rows) do
    if row.peer and (not best or row.peer < best.peer) then best = row end
  end
  if best then best.best = true end
  return rows
end

--- Stores rows in an open results.db.
function rounds.store(db, rows)
  db:transaction(function()
    for _, row in ipairs(rows) do
      local values = {}
      for key, value in pairs(row) do
        if key ~= "best" then values[key] = value end
      end
      db:benchmark(values)
    end
  end)
end

-- ---- the table -----------------------------------------------------------------------------------------------

local function digits(value)
  return ("%." .. (value >= 100 and 0 or value >= 10 and 1 or 2) .. "f"):format(value)
end

--- Median (p10-p90); of a single round the figure alone.
local function spread(median, low, high, factor, form)
  if not median then return nil end
  form = form or digits
  if low == high then return form(median * factor) end
  return ("%s (%s-%s)"):format(form(median * factor), form(low * factor), form(high * factor))
end

local function two(value) return ("%.2f"):format(value) end

rounds.columns = { "case", "precision", "mien, ms", "% of peak", "GiB", "peer", "its ms", "its GiB", "ratio" }

--- A row as people read it; the star marks the peer's fastest setting.
function rounds.display(row)
  local gib = 2 ^ 30
  return {
    case = row.name .. (row.setting ~= "default" and " " .. row.setting or ""), precision = row.precision,
    ["mien, ms"] = spread(row.ours, row.ours_p10, row.ours_p90, 1e3),
    ["% of peak"] = row.gflop and row.peak and ("%.0f"):format(100 * row.gflop / row.ours / row.peak),
    GiB = row.memory and two(row.memory / gib),
    peer = row.peer_setting and row.peer_setting .. (row.best and " *" or ""),
    ["its ms"] = spread(row.peer, row.peer_p10, row.peer_p90, 1e3),
    ["its GiB"] = row.peer_memory and two(row.peer_memory / gib),
    ratio = spread(row.ratio, row.ratio_p10, row.ratio_p90, 1, two),
  }
end

--- Rows as aligned text, or as a table in Markdown.
function rounds.table(rows, markdown)
  local shown = {}
  for i, row in ipairs(rows) do shown[i] = rounds.display(row) end
  if not markdown then return results.text.table(shown, rounds.columns) end
  local lines = { "| " .. table.concat(rounds.columns, " | ") .. " |", "|" .. ("---|"):rep(#rounds.columns) }
  for _, row in ipairs(shown) do
    local cells = {}
    for i, name in ipairs(rounds.columns) do cells[i] = row[name] or "" end
    lines[#lines + 1] = "| " .. table.concat(cells, " | ") .. " |"
  end
  return table.concat(lines, "\n")
end

return rounds
