-- A recording to look at: a contact sheet of its frames with their labels, and its raters beside the gold standard (SVG).
-- Not here: numbers about the whole corpus (describe.lua).
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local data = require "mien.data"
local read = require "mien.base.read"
local plot = require "mien.plot"

local COLUMNS, ROWS = 8, 4       -- of the sheet
local SIDE, LINE, GAP = 120, 15, 8 -- of a picture, a line of text and between pictures, in pixels
local MOST = 2000                -- points of a line in the figure

local CODE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(bytes)
  local parts = {}
  for i = 1, #bytes, 3 do
    local a, b, c = bytes:byte(i, i + 2)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    local word = {}
    for k = 3, 0, -1 do
      local digit = math.floor(n / 64 ^ k) % 64
      word[#word + 1] = CODE:sub(digit + 1, digit + 1)
    end
    if not b then word[3] = "=" end
    if not c then word[4] = "=" end
    parts[#parts + 1] = table.concat(word)
  end
  return table.concat(parts)
end

local function escape(text)
  return (text:gsub("[&<>\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }):gsub("%c", " "))
end

--- A frame as the address of a PNG that is written into the SVG.
local function picture(c, number, side)
  local frame = c:pixels(number, 1):reshape { c.height, c.width, 3 }
  local small = data.image.resize(frame, { side, math.max(1, math.floor(c.width * side / c.height + 0.5)) })
  local path = os.tmpname()
  data.image.write(path, small)
  local bytes = assert(read(path))
  os.remove(path)
  small:free()
  return "data:image/png;base64," .. base64(bytes)
end

--- What a frame's labels say, in few words, a line each.
local function words(c, number)
  local labels, lines = c:labels(number, 1), {}
  local values = labels:data()
  if c.label_kind == "class" then
    lines[1] = c.label_names[values[0]]
  elseif c.label_kind == "multilabel" then
    for k, name in ipairs(c.label_names) do lines[#lines + 1] = values[k - 1] > 0.5 and name or nil end
    lines = { #lines > 0 and table.concat(lines, ", ") or "no label" }
  else
    for k, name in ipairs(c.label_names) do
      lines[k] = ("%s %.2f"):format(name, values[k - 1]):gsub("%-(0%.00)$", "%1") -- of -0.001 as well
    end
  end
  labels:free()
  if c:has "face" and c:faces(number, 1):at(1) == 0 then lines[#lines + 1] = "no face" end
  return lines
end

--- Frames of the sheet, evenly spread, from the first to the last.
local function chosen(recording)
  local n = math.min(COLUMNS * ROWS, recording.count)
  local list = {}
  for i = 1, n do
    list[i] = recording.first + (n == 1 and 0 or math.floor((i - 1) * (recording.count - 1) / (n - 1) + 0.5))
  end
  return list
end

local function contact_sheet(c, recording, path)
  local frames, texts, most = chosen(recording), {}, 0
  for i, number in ipairs(frames) do
    texts[i] = words(c, number)
    local time = c.fps > 0 and c:has "time" and (", %.2f s"):format(c:times(number, 1):totable()[1]) or ""
    table.insert(texts[i], 1, ("%d%s"):format(number - recording.first + 1, time))
    most = math.max(most, #texts[i])
  end
  local wide = math.floor(c.width * SIDE / c.height + 0.5)
  local step_x, step_y, top = wide + GAP, SIDE + most * LINE + GAP, 2 * LINE + GAP
  local width = math.max(COLUMNS * step_x + GAP, 600)
  local height = top + math.ceil(#frames / COLUMNS) * step_y + GAP
  local out = { ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="Helvetica,Arial,sans-serif" '
    .. 'font-size="11" fill="#404040">\n<rect width="%d" height="%d" fill="#ffffff"/>\n'):format(width, height, width,
    height), ('<text x="%d" y="20" font-size="14">%s</text>\n'):format(GAP,
      escape(("%s: recording %s, person %s, %s, %d frames"):format(
    c.name, recording.name, recording.subject, recording.partition, recording.count))) }
  for i, number in ipairs(frames) do
    local x, y = GAP + (i - 1) % COLUMNS * step_x, top + math.floor((i - 1) / COLUMNS) * step_y
    out[#out + 1] = ('<image x="%d" y="%d" width="%d" height="%d" href="%s"/>\n'):format(x, y, wide, SIDE,
      picture(c, number, SIDE))
    for k, text in ipairs(texts[i]) do
      out[#out + 1] = ('<text x="%d" y="%d">%s</text>\n'):format(x, y + SIDE + k * LINE - 3, escape(text))
    end
  end
  out[#out + 1] = "</svg>\n"
  local text = table.concat(out)
  check.status(C.mien_file_write(path, text, #text))
end

--- One panel for each target: its raters and the labels. Long recordings are thinned.
local function rater_figure(c, recording, path)
  local every = math.max(1, math.ceil(recording.count / MOST))
  local times, labels = c:times(recording.first, recording.count):totable(), c:labels(recording.first, recording.count)
  labels = labels:totable()
  local traces = c:has "traces" and c:traces(recording.first, recording.count):totable()
  local panels = { file = path, xlabel = "seconds", width = 1100 }
  for k, target in ipairs(c.label_names) do
    local x, gold, panel = {}, {}, { title = ("%s: %s"):format(recording.name, target) }
    for i = 1, recording.count, every do x[#x + 1], gold[#gold + 1] = times[i], labels[i][k] end
    for r = 1, traces and #traces[1] or 0 do
      local y = {}
      for i = 1, recording.count, every do y[#y + 1] = traces[i][r][k] end
      panel[r] = { x = x, y = y, label = "rater " .. r }
    end
    panel[#panel + 1] = { x = x, y = gold, label = traces and "gold standard" or "labels" }
    panels[k] = panel
  end
  plot.panels(panels)
end

--- Votes for each emotion over time, where there are any; else where its label stands.
local function vote_figure(c, recording, path)
  local every = math.max(1, math.ceil(recording.count / MOST))
  local times = c:times(recording.first, recording.count):totable()
  local rows = (c:has "votes" and c:votes(recording.first, recording.count)
    or c:labels(recording.first, recording.count)):to "f64":totable()
  local figure = { file = path, xlabel = "seconds", ylabel = c:has "votes" and "votes" or "label", width = 1100,
    title = recording.name, yrange = { 0 } }
  for k, name in ipairs(c.label_names) do
    local x, y, any = {}, {}, false
    for i = 1, recording.count, every do
      x[#x + 1], y[#y + 1] = times[i], rows[i][k]
      any = any or rows[i][k] > 0
    end
    if any then figure[#figure + 1] = { x = x, y = y, label = name } end
  end
  if #figure > 0 then plot.lines(figure) end
  return #figure > 0
end

local function find(c, name)
  if not name then return c.recordings[1] end
  local names = {}
  for i, recording in ipairs(c.recordings) do
    if recording.name == name then return recording end
    names[i] = recording.name
  end
  check.unknown(c.path, "recording", name, names)
end

--- Writes the pictures of a recording (the first one without a name) into a folder; gives their paths.
return function(c, name, folder)
  local recording = find(c, name)
  local stem = ("%s/%s"):format(folder, (recording.name:gsub("[/%c]", "_")))
  local files = { stem .. "-sheet.svg" }
  require("mien.base.folders").make_for(files[1])
  contact_sheet(c, recording, files[1])
  local figure, drawn = stem .. "-labels.svg", false
  if c.fps > 0 and recording.count > 1 and c.label_kind ~= "class" then
    drawn = true
    if c.label_kind == "continuous" then rater_figure(c, recording, figure) else drawn = vote_figure(c, recording, figure) end
  end
  if drawn then files[2] = figure end
  return files
end
