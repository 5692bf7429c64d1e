-- Plots: files of each kind, the terminal, and gnuplot's complaints as errors.
-- Not here: how they look (docs/).
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local plot = mien.plot

local function head(path, n)
  local file = assert(io.open(path, "rb"))
  local text = file:read(n)
  file:close()
  return text
end

describe("plot", function()
  local folder
  before_each(function() folder = tiny.folder() end)
  after_each(function() tiny.drop(folder) end)

  it("writes SVG, PNG and PDF by the file's name", function()
    for extension, magic in pairs { svg = "<%?xml", png = "PNG", pdf = "%%PDF" } do
      local file = folder .. "/it's a figure." .. extension
      local series = { x = { 1, 2, 3 }, y = { 1, 4, 0 / 0 }, label = "it's" }
      assert.equal(file, plot.lines { series, title = "it's", file = file })
      assert.matches(magic, head(file, 8))
    end
  end)

  it("draws a band, error bars, points and a histogram", function()
    local band = folder .. "/band.svg"
    plot.lines { { y = { 1, 2, 3 }, band = { 0.1, 0.2, 0.3 } },
      { y = { 3, 2, 1 }, band = { low = { 2, 1, 0 }, high = { 4, 3, 2 } } }, file = band }
    assert.matches("gnuplot_plot_4", head(band, 1e6)) -- two bands and two lines
    plot.bars { { label = "a", value = 1, error = 0.1 }, { label = "b_c", value = 2 }, file = folder .. "/bars.svg" }
    assert.matches("b_c", head(folder .. "/bars.svg", 1e6))
    plot.points { { x = { 1, 2 }, y = { 2, 1 } }, file = folder .. "/points.svg" }
    plot.histogram { { 1, 2, 2, 3, 0 / 0 }, bins = 3, file = folder .. "/histogram.svg" }
    plot.lines { mien.tensor { 1, 2, 3 }, file = folder .. "/tensor.svg" }
  end)

  it("draws in the terminal when no file is named", function()
    local out = folder .. "/out"
    local code = ([[local plot = require "mien.plot"; plot { 1, 4, 9, 16 }]])
    assert.equal(0, os.execute(("luajit -e '%s' > '%s'"):format(code, out)))
    assert.matches("%*", head(out, 1e5))
  end)

  local function fails(pattern, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.matches(pattern, tostring(err))
  end

  it("turns what gnuplot says into an error", function()
    fails("gnuplot: .*undefined variable: nothing", plot.script, "plot nothing\n")
    fails("gnuplot: .*unfinished range", plot.script, "plot [1:2\n")
  end)

  it("leaves nothing behind and says why when a file cannot be written", function()
    fails("cannot write .*No such file", plot.lines, { { 1, 2 }, file = folder .. "/absent/x.svg" })
    fails("must end with", plot.lines, { { 1, 2 }, file = folder .. "/x.gif" })
    fails("3 entries, but y 2", plot.lines, { { x = { 1, 2, 3 }, y = { 1, 2 } }, file = folder .. "/x.svg" })
    fails('did you mean "title"', plot.lines, { { 1, 2 }, titel = "x" })
    fails("nothing to draw", plot.lines, {})
    for name in require("lfs").dir(folder) do assert.matches("^%.+$", name) end
  end)

  --- Draws in a process with other variables; returns the file's bytes.
  local function drawn_with(variables, name)
    local file = folder .. "/" .. name
    local code = [[require("mien.plot").lines { { y = { 1, 4, 9 }, label = "Ω" }, title = "ü", file = "%s" }]]
    assert.equal(0, os.execute(("env %s luajit -e '%s' 2>&1"):format(variables, code:format(file))))
    return head(file, 1e6)
  end

  it("is not changed by its user's settings", function()
    local settings = assert(io.open(folder .. "/.gnuplot", "w"))
    settings:write 'set datafile separator ","\nset logscale y\nset xlabel "mine"\n'
    settings:close()
    local plain = drawn_with("HOME=/nonexistent", "a.svg")
    assert.equal(plain, drawn_with(("HOME='%s'"):format(folder), "b.svg"))
    assert.equal(plain, drawn_with(("HOME='%s' GNUTERM=dumb GNUPLOT_LIB='%s'"):format(folder, folder), "c.svg"))
  end)

  it("runs nothing out of a label, a title or a file's name", function()
    local trace = folder .. "/ran"
    local evil = ("a\nMIEN_END\nsystem 'touch %s'\n$x << MIEN_END\nb"):format(trace)
    local quotes = ("'\"`touch %s`\\ \0'; system 'touch %s' #"):format(trace, trace)
    for _, text in ipairs { evil, quotes } do
      plot.bars { { label = text, value = 1 }, { label = "c", value = 2 }, title = text, file = folder .. "/bars.svg" }
      plot.panels { { { y = { 1, 2 }, label = text }, title = text }, { { 1, 2 } }, ylabel = text,
        file = folder .. "/p.svg" }
      plot.lines { { y = { 1, 2 }, label = text }, xlabel = text, file = folder .. "/it's;system('touch ran')#.svg" }
    end
    assert.is_nil(io.open(trace))
    plot.lines { { y = { 1, 2 }, label = "''it's''" }, title = "'", file = folder .. "/quotes.svg" }
    assert.matches("''it's''", head(folder .. "/quotes.svg", 1e6):gsub("&#39;", "'"), 1, true)
    plot.bars { { label = evil, value = 1 }, file = folder .. "/bars.svg" }
    assert.matches("a MIEN_END system", head(folder .. "/bars.svg", 1e6), 1, true)
  end)

  it("says that nothing is finite, and which series has no finite value", function()
    local none = { 0 / 0, 1 / 0, -1 / 0 }
    fails("plot.lines: no value is finite: there is nothing to draw", plot.lines, { none, file = folder .. "/x.svg" })
    fails("plot.points: no value is finite", plot.points, { { x = none, y = { 1, 2, 3 } }, file = folder .. "/x.svg" })
    fails("plot.bars: no value is finite", plot.bars, { { value = 0 / 0 }, file = folder .. "/x.svg" })
    fails("plot.panels: no value is finite", plot.panels, { { none }, { none }, file = folder .. "/x.svg" })
    plot.lines { { y = { 1, 2, 3 }, label = "good" }, { y = none, label = "bad" }, none, file = folder .. "/some.svg" }
    local text = head(folder .. "/some.svg", 1e6)
    assert.matches("bad (no finite value)", text, 1, true)
    assert.matches("series 3 (no finite value)", text, 1, true)
    plot.panels { { none, title = "empty" }, { { 1, 2, 3 } }, xlog = true, file = folder .. "/panels.svg" }
    assert.matches("series 1 (no finite value)", head(folder .. "/panels.svg", 1e6), 1, true)
  end)

  it("keeps the old figure where the disk is full, and a link a link", function()
    local lfs = require "lfs"
    lfs.link("/dev/full", folder .. "/full.svg", true)
    fails("full.svg: No space left", plot.lines, { { 1, 2 }, file = folder .. "/full.svg" })
    assert.equal("link", lfs.symlinkattributes(folder .. "/full.svg", "mode"))
    lfs.link("figure.svg", folder .. "/link.svg", true)
    plot.lines { { 1, 2 }, file = folder .. "/link.svg" }
    assert.equal("link", lfs.symlinkattributes(folder .. "/link.svg", "mode"))
    assert.matches("</svg>%s*$", head(folder .. "/figure.svg", 1e6))
  end)
end)
