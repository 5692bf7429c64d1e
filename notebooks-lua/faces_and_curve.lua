-- %% [markdown]
-- # Faces and curve
-- What a run said of one recording, below the faces that it saw: gold standard and prediction of arousal, as one SVG.
-- After a run: `./mien notebooks-lua/faces_and_curve.lua RUN_FOLDER CORPUS.h5 RECORDING OUT.svg`.

-- %% Predictions of the recording, and its frames
local mien = require "mien"
local folder, corpus_path, name, out = arg[1], arg[2], arg[3], arg[4]
local corpus = mien.data.open(corpus_path)
local predictions = require("mien.data.file").open(folder .. "/predictions.h5")
local rows, target = {}, 1 -- of the two: arousal, valence
local names = predictions:list("recording_names", "test/recording")
local recording_of = predictions:read "test/recording"
for row = 1, recording_of.shape[1] do
  if names[recording_of[row] + 1] == name then rows[#rows + 1] = row end
end
local function curve(stage)
  local values, seconds = {}, {}
  local all = predictions:read("test/" .. stage)
  for i, row in ipairs(rows) do values[i], seconds[i] = all[row][target], (i - 1) / corpus.fps end
  return values, seconds
end
local gold, seconds = curve "gold"
local post = curve "post"

-- %% The curves
mien.plot.lines {
  { x = seconds, y = gold, label = "gold standard (six raters)" },
  { x = seconds, y = post, label = "prediction" },
  xlabel = "seconds", ylabel = "arousal", file = out, width = 880, height = 300,
}

-- %% The faces above them
local FACES, SIDE = 8, 96
local function base64(path)
  local pipe = assert(io.popen("base64 -w0 '" .. path .. "'"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end
local images = {}
for _, recording in ipairs(corpus.recordings) do
  if recording.name == name then
    for i = 1, FACES do
      local at = math.floor((i - 0.5) / FACES * #rows)
      local path = os.tmpname() .. ".png"
      mien.data.image.write(path, corpus:pixels(recording.first + at, 1)[1])
      images[i] = ('<image x="%.0f" y="2" width="%d" height="%d" xlink:href="data:image/png;base64,%s"/>'):format(
        74 + (i - 1) * (880 - 74 - 12) / FACES, SIDE, SIDE, base64(path))
      os.remove(path)
    end
  end
end
local above = '<g transform="translate(0,-100)">\n' .. table.concat(images, "\n") .. "</g></svg>\n"
local file = assert(io.open(out))
local svg = file:read "*a"
file:close()
svg = svg:gsub('height="300"', 'height="400"', 1):gsub('viewBox="0 0 880 300"', 'viewBox="0 -100 880 400"')
svg = svg:gsub('<rect x="0" y="0" width="880" height="300"', '<rect x="0" y="-100" width="880" height="400"', 1)
svg = svg:gsub("</svg>%s*$", function() return above end)
file = assert(io.open(out, "w"))
file:write(svg)
file:close()
print(out .. ": CCC " .. ("%.3f"):format(mien.metric.ccc(post, gold)))
