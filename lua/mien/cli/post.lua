-- `mien post FILE`: post-processes and scores what is trained, from the predictions that lie on disk.
-- Not here: the options and what running means (cli/run.lua, experiment/plan.lua).
local USAGE = [[
mien post FILE [--profile NAME] [--arms NAME,...] [--set KEY=VALUE ...] [--db FILE]

Fits the post-processing of every finished run of the experiment anew on its stored predictions and stores the scores; nothing
is trained. What was scored otherwise (another `post`, `post_options`, `evaluate.*`) stays in results.db beside it, and the
comparison shows the scoring that was asked for last: mien post FILE --set 'post={"median","centre"}'
Where evaluate.* is another than the predictions were made with, they are made anew first, as by mien score.

Exit code: 0, 1 when a run cannot be scored, 3 when runs are not trained yet.
]]

return { summary = "post-process and score finished runs again: mien post FILE [--set post={...}]",
  run = require("mien.cli.run").scoring("mien post", "post", USAGE) }
