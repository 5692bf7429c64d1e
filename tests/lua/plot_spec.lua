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
end)
