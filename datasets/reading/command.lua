-- What a corpus declares of itself, once: its options, what it wants of its owners' files, what it makes of them. Its own
-- command line, its place in `mien dataset`, the check of calls from Lua and the printed result come from that.
-- Not here: the commands of `mien dataset` (lua/mien/cli/dataset.lua).
--
--   local own = command.declare { name = "own", title = "...", wants = "...", options = { ... }, make = function(o) ... end }
--   return command.entry(own, arg)
local check = require "mien.base.check"
local csv = require "mien.data.csv"
local face = require "mien.data.face"

local command = {}

--- Options that several corpora share, by group; each is { name, meaning, kind =, default =, required =, ... }. Kinds:
-- string (when left out), count (1, 2, ...), integer, number, flag, names (text with commas, or a list), numbers (the
-- same; least and most say how many), function (for calls from Lua alone). among: the words that are allowed.
command.common = {
  out = {
    { "out", "the HDF5 file", required = true },
  },
  faces = {
    { "size", "side of the faces in pixels", kind = "count", default = 150 },
    { "boxes", "folder of NAME.csv (frame,x,y,w,h) or NAME/1.pts ...: where the faces are; none is searched then" },
  },
  split = {
    { "split", "a CSV with columns recording and partition (train, devel, test), and subject" },
    { "shares", "without --split: of the persons, for train, devel and test", kind = "numbers", least = 2, most = 3,
      default = { 0.8, 0.2 } },
    { "folds", "without --split: for cross-validation, into how many parts the persons are divided, or loso (leave one "
      .. "subject out); part --fold becomes test, the next devel" },
    { "fold", "which of them, from 1 (1)", kind = "count" },
    { "seed", "of that draw", kind = "integer", default = 1 },
    { "person", "a Lua pattern whose capture in a video's name is the person: '^(%a+)_'" },
    { "people", "a CSV with columns video and subject: who is who" },
  },
}

for _, word in ipairs(face.words) do
  local kind = word[2]
  table.insert(command.common.faces, { word[1], word[4], kind = (kind == "number" or kind == "integer") and kind or nil })
end

--- For check.keys: what Lua gives for an option of a kind.
local lua_kinds = { string = "string", count = "count", integer = "integer", number = "number", flag = "boolean",
  names = "table", numbers = "table", ["function"] = "function" }

-- ---- from words to values ------------------------------------------------------------------------

--- What is wrong with a word of a command line: the place is the command line, no file.
local function usage(fmt, ...)
  local err = check.error("usage", fmt:format(...))
  err.at, err.from = nil, nil
  error(err, 0)
end

--- Numbers of an option "0.6,0.2,0.2"; an error that names the option for anything else.
function command.numbers(text, option, least, most)
  local list = {}
  for word in (text .. ","):gmatch "%s*([^,]*),%s*" do
    list[#list + 1] = tonumber(word) or usage("%s: '%s' is no number", option, word)
  end
  if #list < (least or 1) or #list > (most or math.huge) then
    usage("%s: %d numbers, wanted are %s", option, #list, least == most and least
      or most and ("%d to %d"):format(least or 1, most) or ("%d at least"):format(least))
  end
  return list
end

--- The value of a word on the command line.
local function value_of(option, word)
  local kind, name = option.kind or "string", "--" .. option[1]:gsub("_", "-")
  if kind == "names" then return csv.names(word) end
  if kind == "numbers" then return command.numbers(word, name, option.least, option.most) end
  if kind == "string" or kind == "flag" then return word end
  local number = tonumber(word)
  if not number then usage("%s: '%s' is no number", name, word) end
  return number
end

--- "0.8,0.2": a default as one writes it.
local function written(value)
  return type(value) == "table" and table.concat(value, ",") or tostring(value)
end

-- ---- calls from Lua ------------------------------------------------------------------------------

--- Checks the options of a call and gives a copy with what was left out set to its default; nothing is made. what: the
-- words that begin the error.
local function settle(corpus, options, what)
  what = what or corpus.name .. ".make"
  local known, o = { note = "function" }, {}
  for _, option in ipairs(corpus.options) do
    known[option[1]] = lua_kinds[option.kind or "string"] .. (option.required and "!" or "")
  end
  check.keys(options, known, what)
  for key, value in pairs(options) do o[key] = value end
  o.given = options -- without defaults: what contradicts another option is told only when somebody said it
  for _, option in ipairs(corpus.options) do
    local name = option[1]
    if o[name] == nil then o[name] = option.default end
    if o[name] ~= nil and option.among then check.one_of(o[name], option.among, what .. ": " .. name) end
    if o[name] ~= nil and option.kind == "numbers" then
      command.numbers(table.concat(o[name], ","), what .. ": " .. name, option.least, option.most)
    end
  end
  face.check(o, what)
  return corpus.prepare and corpus.prepare(o, what) or o
end

--- What readers tell while they work: o.note(fmt, ...), and o.leave_out(name, partition, why) for recordings that never
-- come to be written; kept in o.notes and o.left_out.
function command.tell(o)
  local say = o.note
  o.notes, o.left_out = {}, {}
  o.note = function(fmt, ...)
    o.notes[#o.notes + 1] = fmt:format(...)
    if say then say(o.notes[#o.notes]) end
  end
  o.leave_out = function(name, partition, why)
    o.left_out[#o.left_out + 1] = name
    o.note("left out %s (%s): %s", name, partition, why)
  end
end

local function make(corpus, options)
  local o = settle(corpus, options)
  command.tell(o)
  local result = corpus.work(o)
  for _, name in ipairs(result.left_out or {}) do o.left_out[#o.left_out + 1] = name end
  result.out, result.left_out, result.notes = o.out, o.left_out, o.notes
  return result
end

-- ---- the command line ----------------------------------------------------------------------------

--- argparse's parser for a corpus; called is how its command line begins.
function command.parser(corpus, called)
  local parser = require "argparse"(called, corpus.title .. "\n\n" .. corpus.wants)
  for _, option in ipairs(corpus.options) do
    local flag, meaning = "--" .. option[1]:gsub("_", "-"), option[2]
    if option.among then meaning = meaning .. ": " .. table.concat(option.among, ", ") end
    if option.default ~= nil and option.kind ~= "flag" then
      meaning = ("%s (%s)"):format(meaning, written(option.default))
    end
    if option.kind == "flag" then
      parser:flag(flag, meaning):target(option[1])
    elseif option.kind ~= "function" then
      parser:option(flag, meaning):target(option[1]):count(option.required and "1" or "?")
    end
  end
  if corpus.examples[1] then parser:epilog("Examples:\n  " .. table.concat(corpus.examples, "\n  ")) end
  return parser
end

--- The lines that tell what was made: the file, recordings, frames, what was left out; the counts of classes by
-- partition, and whatever lines a reader has of its own.
function command.lines(result)
  local left_out = #result.left_out
  local lines = { ("%s: %d recordings, %d frames%s%s"):format(result.out, result.recordings, result.frames,
    result.fps and result.fps > 0 and (", %g a second"):format(result.fps) or "",
    left_out > 0 and ("; %d left out"):format(left_out) or "") }
  for c, name in ipairs(result.counts and result.classes or {}) do
    lines[#lines + 1] = ("  %-12s train %7d  devel %7d  test %7d"):format(name, result.counts.train[c] or 0,
      result.counts.devel[c] or 0, result.counts.test[c] or 0)
  end
  for _, line in ipairs(result.lines or {}) do lines[#lines + 1] = "  " .. line end
  return lines
end

--- Words as argparse takes them: a value that begins with a minus (--range -1,1) would be an option to it.
local function joined(args)
  local words = {}
  for _, word in ipairs(args) do
    local last = words[#words] or ""
    if word:find "^%-[%d.]" and last:find "^%-%-[^=]+$" then words[#words] = last .. "=" .. word
    else words[#words + 1] = word end
  end
  return words
end

--- The options of a command line, by name.
local function read_words(corpus, args, called)
  local words, options = command.parser(corpus, called):parse(joined(args)), {}
  for _, option in ipairs(corpus.options) do
    local word = words[option[1]]
    if word ~= nil then options[option[1]] = value_of(option, word) end
  end
  return options
end

--- Runs a corpus's command line and returns the exit code. args: its words; called: how the command line begins.
function command.run(corpus, args, called)
  local options = read_words(corpus, args, called or "mien datasets/" .. corpus.name .. ".lua")
  options.note = function(text) print("note: " .. text) end
  for name, from in pairs(corpus.only_here or {}) do options[name] = from end
  local result = corpus.make(options)
  require("mien.base.status_line").clear()
  for _, line in ipairs(command.lines(result)) do print(line) end
  return 0
end

--- All that is wrong with the owners' files, as lines; nothing is written. args: as for import, without --out.
function command.check(corpus, args, called)
  local words = { unpack(args) }
  for _, flag in ipairs { "--out", "-" } do words[#words + 1] = flag end
  local options = settle(corpus, read_words(corpus, words, called), called)
  return require("reading.inspection").run(corpus, options)
end

-- ---- the table -----------------------------------------------------------------------------------

--- Declares a corpus:
--   name      the file's, and that of `mien dataset import NAME`
--   title     one line: what becomes a corpus here
--   wants     which files of its owners, in their words
--   common    groups of command.common that it takes, after its own options ({ "out" })
--   options   its own, in the form of command.common; one of a common option's name takes its place
--   defaults  { size = 96 }: defaults of common options that differ here
--   examples  command lines
--   prepare   function(o, what) -> o: checks and defaults that depend on several options; makes nothing
--   only_here options of the command line that are functions: { progress = function }
--   make      function(o) -> { recordings =, frames =, left_out = names, fps =, classes =, counts = { train = {}, devel =
--             {}, test = {} }, lines = more to print }; o has every option, o.note(fmt, ...) and o.leave_out(name,
--             partition, why)
--   check     function(o): reads all that make would read and writes nothing; needed where make writes by other ways than
--             assembly.write
-- Gives the module of the corpus: make(options) -> result with out, notes and left_out; settle(options, what) -> the
-- options as make would take them; and what was declared.
function command.declare(corpus)
  check.keys(corpus, { name = "string!", title = "string!", wants = "string!", common = "table", options = "table",
    defaults = "table", examples = "table", prepare = "function", only_here = "table", make = "function!",
    check = "function" },
    "command.declare")
  local own, options = {}, {}
  for _, option in ipairs(corpus.options or {}) do own[option[1]] = true end
  for _, option in ipairs(corpus.options or {}) do options[#options + 1] = option end
  for _, group in ipairs(corpus.common or { "out" }) do
    if not command.common[group] then check.unknown(corpus.name, "group of options", group, command.common) end
    for _, option in ipairs(command.common[group]) do
      local copy = {}
      for key, value in pairs(option) do copy[key] = value end
      copy.default = (corpus.defaults or {})[option[1]] or option.default
      if not own[option[1]] then options[#options + 1] = copy end
    end
  end
  for _, option in ipairs(options) do
    if not lua_kinds[option.kind or "string"] then check.unknown(corpus.name, "kind", option.kind, lua_kinds) end
  end
  corpus.options, corpus.examples, corpus.work = options, corpus.examples or {}, corpus.make
  function corpus.make(given) return make(corpus, given) end
  function corpus.settle(given, what) return settle(corpus, given, what) end
  return corpus
end

--- The end of a corpus's file: runs its command line where it is the script that was called, else gives the module.
function command.entry(corpus, arg)
  local script = arg and arg[0] and arg[0]:match "([^/]*)$"
  if script == corpus.name .. ".lua" then return command.run(corpus, arg) end
  return corpus
end

return command
