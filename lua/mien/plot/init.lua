-- Plots through gnuplot: lines with bands, points, bars and histograms, into files or the terminal.
-- Not here: talking to the process (core/host/child.c), which numbers are worth a plot.
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"

local values_of = require "mien.plot.series"

local plot = {}

-- Okabe & Ito (2008): eight colours that colour-blind readers tell apart.
local COLOURS = { "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666", "#000000" }
local INK, GRID = "#404040", "#e4e4e4"

local OPTIONS = {
  title = "string", xlabel = "string", ylabel = "string", file = "string", width = "count", height = "count",
  xrange = "table", yrange = "table", xlog = "boolean", ylog = "boolean", key = "boolean",
}

-- ---- gnuplot's language ------------------------------------------------------------------------

--- Somebody's text without what could end a line of gnuplot.
local function one_line(text) return (text:gsub("%c+", " ")) end

--- It as a word of a command. A quote inside stands between double ones: gnuplot reads two doubled quotes in a row,
-- or one at the beginning, as the text's end.
local function quote(text) return "'" .. one_line(text):gsub("'", [['."'".']]) .. "'" end

--- It as an entry of a row of data, where a double quote cannot be written.
local function entry(text) return '"' .. one_line(text):gsub('"', "'") .. '"' end

local function number(value)
  if value ~= value then return "NaN" end
  if value == math.huge or value == -math.huge then return "NaN" end
  return ("%.9g"):format(value)
end

--- A named block of columns; gnuplot reads it as a file.
local function block(name, ...)
  local columns, lines = { ... }, { "$" .. name .. " << MIEN_END" }
  for i = 1, #columns[1] do
    local row = {}
    for c = 1, #columns do
      local value = columns[c][i]
      row[c] = type(value) == "string" and entry(value) or number(value)
    end
    lines[#lines + 1] = table.concat(row, " ")
  end
  lines[#lines + 1] = "MIEN_END"
  return table.concat(lines, "\n")
end

local function range(axis, limits)
  if not limits then return "" end
  local function limit(value) return value and number(value) or "*" end
  return ("set %srange [%s:%s]\n"):format(axis, limit(limits[1]), limit(limits[2]))
end

local TERMINALS = {
  svg = "svg size %d,%d noenhanced font 'Helvetica,14' background '#ffffff'",
  png = "pngcairo size %d,%d noenhanced font 'Helvetica,11' background '#ffffff'",
  pdf = "pdfcairo size %.2fin,%.2fin noenhanced font 'Helvetica,11'",
}

--- Gnuplot's settings for options.file's kind (an error for one that it does not write), or the terminal's text.
function plot.terminal(options)
  if not options.file then
    local columns = options.width or math.min(C.mien_terminal_columns(), 100)
    return ("set terminal dumb %d %d noenhanced\n"):format(columns, options.height or math.floor(columns / 3.4))
  end
  local extension = (options.file:match "%.(%w+)$" or ""):lower()
  local text = TERMINALS[extension]
  if not text then
    check.raise("argument", 'plot: file "%s" must end with .svg, .png or .pdf', options.file)
  end
  local scale = extension == "pdf" and 1 / 110 or 1
  return ("set terminal " .. text .. "\n"):format((options.width or 880) * scale, (options.height or 520) * scale)
end

--- Settings that make a plain, readable figure.
local function style(options)
  local lines = {
    "set encoding utf8", "set border 3 linecolor '" .. INK .. "'",
    "set tics nomirror out scale 0.6 textcolor '" .. INK .. "'",
    options.key == false and "set key off"
      or "set key above left horizontal Left reverse samplen 2 textcolor '" .. INK .. "'",
    "set style fill solid 0.18 noborder", "set datafile missing 'NaN'",
  }
  if options.file then lines[#lines + 1] = "set grid ytics linetype 1 linecolor '" .. GRID .. "' linewidth 1" end
  for i, colour in ipairs(COLOURS) do
    lines[#lines + 1] = ("set linetype %d linecolor '%s' linewidth 2.2 pointtype %d pointsize 0.6"):format(i, colour, 7)
  end
  for _, name in ipairs { "title", "xlabel", "ylabel" } do
    if options[name] then lines[#lines + 1] = ("set %s %s textcolor '%s'"):format(name, quote(options[name]), INK) end
  end
  if options.xlog then lines[#lines + 1] = "set logscale x" end
  if options.ylog then lines[#lines + 1] = "set logscale y" end
  return table.concat(lines, "\n") .. "\n" .. range("x", options.xrange) .. range("y", options.yrange)
end

-- ---- the process -------------------------------------------------------------------------------

--- What gnuplot complained about, without its echo of the line and the caret below it.
local function complaint(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do
    if not line:match "^%s*%^?%s*$" and not line:match "^gnuplot>" then lines[#lines + 1] = (line:gsub("^%s+", "")) end
  end
  return table.concat(lines, " ")
end

--- Runs a script of gnuplot commands and gives what gnuplot draws; what it says against the script becomes an error.
-- Its user's settings (~/.gnuplot, GNUTERM, GNUPLOT_LIB ...) do not reach it.
function plot.script(text)
  local argv = ffi.new("const char *[3]", "gnuplot", "--default-settings") -- the third is NULL: the end
  local child = check.pointer(C.mien_child_start(argv, "GNU"))
  local wrote = C.mien_child_write(child, text, #text)
  local ended = ffi.new "mien_child_end"
  local closed = C.mien_child_close(child, 60, ended)
  local problem = complaint(ffi.string(ended.errors))
  if ended.status ~= 0 or problem:find "line %d+:" then
    check.raise("vendor", "gnuplot: %s", problem ~= "" and problem or "ended with status " .. ended.status)
  end
  check.status(wrote)
  check.status(closed)
  return ffi.string(ended.output, ended.output_bytes)
end

--- Draws: blocks of data, then one `plot` for each list of parts. A file appears whole or not at all.
local function draw(options, blocks, plots, extra)
  local text = { plot.terminal(options), style(options), extra or "" }
  for _, lines in ipairs(blocks) do text[#text + 1] = lines .. "\n" end
  if #plots > 1 then text[#text + 1] = ("set multiplot layout %d,1\n"):format(#plots) end
  for i, parts in ipairs(plots) do
    if i == 2 then text[#text + 1] = "set key off\n" end
    if parts.title then text[#text + 1] = ("set title %s textcolor '%s'\n"):format(quote(parts.title), INK) end
    local ranges = parts.empty and "[1:2] [1:2] " or ""
    text[#text + 1] = "plot " .. ranges .. table.concat(parts, ", \\\n  ") .. "\n"
  end
  if #plots > 1 then text[#text + 1] = "unset multiplot\n" end
  local picture = plot.script(table.concat(text))
  if options.file then
    check.status(C.mien_file_write(options.file, picture, #picture))
  else
    io.stdout:write(picture)
  end
  return options.file
end

--- Splits { series..., title = ... } into series and options, and checks both.
local function split(arguments, what)
  check.type(arguments, check.is_tensor(arguments) and "tensor" or "table", what)
  if check.is_tensor(arguments) or type(arguments[1]) == "number" then arguments = { arguments } end
  local series, options = {}, {}
  for key, value in pairs(arguments) do
    if type(key) == "number" then series[key] = value else options[key] = value end
  end
  check.keys(options, OPTIONS, what)
  if #series == 0 then check.raise("argument", "%s: there is nothing to draw", what) end
  return series, options
end

-- ---- kinds of plots ----------------------------------------------------------------------------

local function is_finite(value) return value - value == 0 end

--- Whether a point can be drawn; gnuplot refuses a figure without any in its own words.
local function has_point(x, y)
  for i = 1, #y do
    if is_finite(x[i]) and is_finite(y[i]) then return true end
  end
  return false
end

local function check_points(some, what)
  if not some then check.raise("argument", "%s: no value is finite: there is nothing to draw", what) end
end

--- The parts of `plot` for a list of series; their blocks of data join `blocks`. A series without a finite value is
-- named as such in the legend; where no series has one, the parts are `empty`.
local function curve_parts(list, options, what, with, blocks)
  local bands, lines = { empty = true }, {}
  for i, series in ipairs(list) do
    series = values_of.series(series, ("%s: series %d"):format(what, i))
    local name, title = "d" .. #blocks + 1, series.label and "title " .. quote(series.label) or "notitle"
    if not has_point(series.x, series.y) then
      lines[#lines + 1] = ("NaN with %s linetype %d title %s"):format(with(2), i,
        quote((series.label or "series " .. i) .. " (no finite value)"))
    else
      bands.empty = false
      if series.low and options.file then
        blocks[#blocks + 1] = block(name, series.x, series.y, series.low, series.high)
        bands[#bands + 1] = ("$%s using 1:3:4 with filledcurves linetype %d notitle"):format(name, i)
      else
        blocks[#blocks + 1] = block(name, series.x, series.y)
      end
      lines[#lines + 1] = ("$%s using 1:2 with %s linetype %d %s"):format(name, with(#series.y), i, title)
    end
  end
  for _, part in ipairs(lines) do bands[#bands + 1] = part end
  return bands
end

local function curves(arguments, what, with)
  local list, options = split(arguments, what)
  local blocks = {}
  local parts = curve_parts(list, options, what, with, blocks)
  check_points(not parts.empty, what)
  return draw(options, blocks, { parts })
end

local function with_lines(n, file) return n <= 60 and file and "linespoints" or "lines" end

--- Lines: plot.lines{ { x =, y =, label =, band = half widths or { low =, high = } }, ..., title =, xlabel =,
-- ylabel =, file = "figure.svg" }. Without x: 1, 2, 3 ...; without a file: drawn in the terminal.
function plot.lines(arguments)
  return curves(arguments, "plot.lines", with_lines)
end

--- Lines in panels, one below the other: plot.panels{ { series..., title = }, ..., xlabel =, ylabel =, yrange =,
-- file = }. The legend stands above the first.
function plot.panels(arguments)
  local list, options = split(arguments, "plot.panels")
  local blocks, plots, some = {}, {}, false
  options.height = options.height or (options.file and 120 + 240 * #list or nil)
  for i, panel in ipairs(list) do
    local series, own = split(panel, ("plot.panels: panel %d"):format(i))
    plots[i] = curve_parts(series, options, "plot.panels", with_lines, blocks)
    plots[i].title, some = own.title, some or not plots[i].empty
  end
  check_points(some, "plot.panels")
  return draw(options, blocks, plots)
end

--- Points: as plot.lines.
function plot.points(arguments)
  return curves(arguments, "plot.points", function() return "points" end)
end

--- Bars: plot.bars{ { label =, value =, error = }, ..., title =, file = }.
function plot.bars(arguments)
  local list, options = split(arguments, "plot.bars")
  local x, values, errors, labels, with_errors = {}, {}, {}, {}, false
  for i, bar in ipairs(list) do
    if type(bar) == "number" then bar = { label = tostring(i), value = bar } end
    check.keys(bar, { label = "string", value = "number!", error = "number" }, ("plot.bars: bar %d"):format(i))
    x[i], values[i], errors[i], labels[i] = i, bar.value, bar.error or 0, bar.label or tostring(i)
    with_errors = with_errors or bar.error ~= nil
  end
  check_points(has_point(x, values), "plot.bars")
  local extra = "set boxwidth 0.6\nset style fill solid 0.85 noborder\n"
    .. range("x", options.xrange or { 0.4, #x + 0.6 })
  local parts = { "$bars using 1:2:4:xtic(5) with boxes linecolor variable notitle" }
  if with_errors then
    parts[2] = ("$bars using 1:2:3 with yerrorbars linecolor '%s' linewidth 1.5 pointtype 0 notitle"):format(INK)
  end
  local colours = {}
  for i = 1, #x do colours[i] = 1 end
  return draw(options, { block("bars", x, values, errors, colours, labels) }, { parts }, extra)
end

--- A histogram of numbers: plot.histogram{ values, bins = 30, title =, file = }; NaN is left out.
function plot.histogram(arguments)
  local bins = not check.is_tensor(arguments) and arguments.bins or 30
  check.type(bins, "count", "plot.histogram: bins")
  local rest = arguments
  if not check.is_tensor(arguments) then
    rest = {}
    for key, value in pairs(arguments) do if key ~= "bins" then rest[key] = value end end
  end
  local list, options = split(rest, "plot.histogram")
  local low, high, finite = math.huge, -math.huge, {}
  for _, value in ipairs(values_of.numbers(list[1], "plot.histogram: values")) do
    if is_finite(value) then
      finite[#finite + 1], low, high = value, math.min(low, value), math.max(high, value)
    end
  end
  if #finite == 0 then check.raise("argument", "plot.histogram: there is no finite value") end
  local step = high > low and (high - low) / bins or 1
  local centres, counts = {}, {}
  for b = 1, bins do centres[b], counts[b] = low + (b - 0.5) * step, 0 end
  for _, value in ipairs(finite) do
    local b = math.min(bins, math.floor((value - low) / step) + 1)
    counts[b] = counts[b] + 1
  end
  options.yrange = options.yrange or { 0 }
  local extra = ("set boxwidth %s\nset style fill solid 0.85 noborder\n"):format(number(step * 0.92))
  return draw(options, { block("bins", centres, counts) }, { { "$bins using 1:2 with boxes linetype 1 notitle" } },
    extra)
end

--- plot(values): the quickest look at one or more series in the terminal.
return setmetatable(plot, { __call = function(_, arguments) return plot.lines(arguments) end })
