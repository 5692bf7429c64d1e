-- mien help [topic]: the commands, or what ?topic shows at the prompt.
-- Not here: finding and wording the help (lua/mien/help/init.lua).
local cli = require "mien.cli"
local help = require "mien.help"

help.commands = cli.commands

local function run(args)
  if #args > 1 then cli.usage("mien help takes one topic, not %d", #args) end
  if not args[1] then
    print(help.lookup "commands")
    print "\nmien help TOPIC explains a part (nn), a function (nn.lstm), an op or a function of C"
    return 0
  end
  local text, message = help.lookup(args[1])
  if not text then cli.usage("%s", message) end
  print(text)
  return 0
end

return { summary = "this list, or help on a topic: mien help nn.lstm", run = run }
