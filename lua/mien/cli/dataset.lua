-- `mien dataset`: the door to corpora: what there is, from the owners' files to one file, what is in it, what is wrong.
-- Not here: what each corpus declares (the readers in datasets/, datasets/reading/command.lua), the insides of info,
-- check and show (cli/dataset/).
local cli = require "mien.cli"
local corpus = require "mien.data.corpus"
local home = require "mien.base.home"
local readers = require "mien.cli.dataset.readers"

local command = { summary = "corpora: mien dataset list | import NAME | info FILE | check FILE | show FILE" }

local USAGE = [[
mien dataset list [NAME]
mien dataset import NAME --out FILE.h5 ...          (its options: mien dataset import NAME --help)
mien dataset info FILE.h5
mien dataset check FILE.h5
mien dataset check NAME ...                         (the options of import, without --out)
mien dataset show FILE.h5 [--recording R] [--out FOLDER]

  list      what can become a corpus; with a NAME: what to ask its owners for, options and an example
  import    from the owners' files to a corpus
  info      persons, recordings, frames, labels by partition, raters and their agreement
  check     names everything in a corpus, or in its owners' files, that does not fit together; exit code 1 if there is any
  show      a contact sheet of a recording with its labels, and a figure of its raters and gold standard (SVG)
]]

local verbs = {}

function verbs.list(args)
  if args[2] then cli.usage("mien dataset list takes one name, not %d", #args) end
  if not args[1] then
    for _, name in ipairs(readers.names()) do print(("%-12s %s"):format(name, readers.load(name).title)) end
    print "\nmien dataset list NAME says which files each wants, in its owners' words, and how it is imported"
    return 0
  end
  local reader = readers.load(args[1])
  print(("%s: %s\n\n%s"):format(reader.name, reader.title, reader.wants))
  if reader.examples[1] then print("\n" .. table.concat(reader.examples, "\n")) end
  print(("\nmien dataset import %s --help lists its options"):format(reader.name))
  return 0
end

function verbs.import(args)
  local name = args[1]
  if not name or name:find "^%-" then
    cli.usage("mien dataset import wants a name: %s", table.concat(readers.names(), ", "))
  end
  return readers.command().run(readers.load(name), { unpack(args, 2) }, "mien dataset import " .. name)
end

--- The file of a command line, and its options by name, each with a value; known ones are keys of `valued`.
local function parse(what, args, valued)
  local options, file, i = {}, nil, 1
  while i <= #args do
    local word = args[i]
    local name = word:match "^%-%-(.+)$"
    if name and valued[name] then
      i = i + 1
      options[name] = args[i] or cli.usage("mien dataset %s: %s needs a value", what, word)
    elseif name then
      local known = { ["--help"] = true }
      for key in pairs(valued) do known["--" .. key] = true end
      cli.unknown("mien dataset " .. what, "option", word, known)
    elseif file then
      cli.usage("mien dataset %s takes one corpus, not %s and %s", what, file, word)
    else
      file = word
    end
    i = i + 1
  end
  if not file then cli.usage("mien dataset %s wants a corpus (FILE.h5)", what) end
  return home.find(file), options
end

function verbs.info(args)
  local c = corpus.open((parse("info", args, {})))
  require "mien.cli.dataset.describe"(c)
  c:close()
  return 0
end

--- Prints what is wrong; the exit code.
local function verdict(name, problems)
  for _, problem in ipairs(problems) do print(problem) end
  print(#problems == 0 and name .. ": nothing is wrong" or ("%s: %d problem%s"):format(name, #problems,
    #problems == 1 and "" or "s"))
  return #problems == 0 and 0 or 1
end

function verbs.check(args)
  local name = args[1] or cli.usage "mien dataset check wants a corpus (FILE.h5) or a name and its options"
  if name:find "%.h5$" or require("lfs").attributes(home.find(name), "mode") == "file" then
    local path = parse("check", args, {})
    return verdict(home.short(path), require "mien.cli.dataset.inspect"(path))
  end
  local reader = readers.load(name)
  return verdict(name, readers.command().check(reader, { unpack(args, 2) }, "mien dataset check " .. name))
end

function verbs.show(args)
  local path, options = parse("show", args, { recording = true, out = true })
  local c = corpus.open(path)
  local files = require "mien.cli.dataset.sheet"(c, options.recording, options.out or ".")
  c:close()
  for _, file in ipairs(files) do print("wrote " .. file) end
  return 0
end

function command.run(args)
  local verb = args[1]
  if not verb or verb == "--help" or verb == "-h" then
    io.stdout:write(USAGE)
    return verb and 0 or 2
  end
  if not verbs[verb] then cli.unknown("mien dataset", "word", verb, verbs) end
  local rest = { unpack(args, 2) }
  if rest[1] == "--help" or rest[1] == "-h" then
    io.stdout:write(USAGE)
    return 0
  end
  return verbs[verb](rest)
end

return command
