-- `mien score FILE`: lets the best weights of what is trained predict again, post-processes and scores that.
-- Not here: the options and what running means (cli/run.lua, experiment/plan.lua).
local USAGE = [[
mien score FILE [--profile NAME] [--arms NAME,...] [--device NAME] [--precision NAME] [--set KEY=VALUE ...] [--db FILE]

Lets the best weights of every finished run of the experiment predict devel and test again, and stores predictions and scores;
nothing is trained. mien post does the same from the predictions that lie on disk.

Exit code: 0, 1 when a run cannot be scored, 3 when runs are not trained yet.
]]

return { summary = "predict, post-process and score finished runs again: mien score FILE",
  run = require("mien.cli.run").scoring("mien score", "score", USAGE) }
