-- Help, made from what the sources say themselves: `---` comments of the Lua files, ops.def, C headers.
-- Not here: reading those (lua/mien/help/names.lua).
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local parts = require "mien.base.parts"

local help = {}

local function index() return require "mien.help.names" end

--- Text indented by two and broken between words at the terminal's width (112 columns at most); what does not fit
-- goes on in the next line of its paragraph.
local function indent(text)
  local width = (C.mien_terminal(1) and math.min(C.mien_terminal_columns(), 112) or 112) - 2
  local lines, line, broken = {}, nil, false
  for source in (text .. "\n"):gmatch "(.-)\n" do
    if not broken or not source:find "^%S" then
      lines[#lines + 1], line, broken = line, source:match "^%s*", false
    end
    for word in source:gmatch "%S+" do
      if #line + #word >= width and line:find "%S" then
        lines[#lines + 1], line, broken = line, "", true
      end
      line = line .. (line:find "%S" and " " or "") .. word
    end
  end
  lines[#lines + 1] = line
  return "  " .. table.concat(lines, "\n  ")
end

local function entry_text(entry)
  local lines = { entry.title }
  if entry.text ~= "" then lines[#lines + 1] = indent(entry.text) end
  lines[#lines + 1] = "  (" .. entry.place .. ")"
  return table.concat(lines, "\n")
end

--- The first page: what there is to ask for.
local function overview()
  local lines = { "help(\"name\") or ?name explains a part, a function, an op or a function of C.", "", "Parts:" }
  for _, part in ipairs(index().parts()) do
    lines[#lines + 1] = ("  %-12s %s"):format(part.name, part.about)
  end
  lines[#lines + 1] = "\nOps (mien.op):\n" .. indent(table.concat(index().ops(), " "))
  lines[#lines + 1] = "\nCommands of the shell: mien help commands"
  lines[#lines + 1] = "Keys of an experiment: mien help keys"
  return table.concat(lines, "\n")
end

--- All commands of the shell, name -> { summary = }; set by the command line, which this does not know.
function help.commands()
  check.raise("unsupported", "the commands are known to the command line: mien help commands")
end

local function commands()
  local lines = { "mien                      the prompt", "mien FILE.lua [args]      runs a script",
    "mien -e CODE [args]       runs a piece of Lua" }
  local list = help.commands()
  local names = {}
  for name in pairs(list) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do lines[#lines + 1] = ("mien %-20s %s"):format(name, list[name].summary) end
  return table.concat(lines, "\n")
end

--- Every key of an experiment with its default and meaning.
local function keys()
  local lines = {}
  local function list(specs, path)
    local names = {}
    for name in pairs(specs) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do
      local spec, full = specs[name], path .. name
      if not spec.leaf then
        list(spec, full .. ".")
      else
        local value = spec.default ~= nil and require("mien.base.literal").encode(spec.default) or "-"
        local words = spec.words and table.concat(spec.words(), ", ") .. ": " or ""
        lines[#lines + 1] = ("%-24s %-14s %s%s"):format(full, value, words, spec.about)
        if type(spec.fields) == "table" then list(spec.fields, full .. ".") end
      end
    end
  end
  list(require "mien.experiment.keys", "")
  return ("%-24s %-14s %s\n"):format("key", "default", "meaning") .. table.concat(lines, "\n")
end

--- "did you mean": names that hold the topic, else the nearest ones.
local function unknown(topic)
  local names, holding = index().names(), {}
  for _, name in ipairs(names) do
    if name:find(topic, 1, true) and #holding < 8 then holding[#holding + 1] = name end
  end
  if #holding == 0 then holding[1] = check.nearest(topic, names) end
  local hint = #holding > 0 and "; did you mean " .. table.concat(holding, ", ") .. "?" or ""
  return nil, ("there is no help on %s%s"):format(topic, hint)
end

local function of_name(topic)
  topic = topic:gsub("^mien%.", ""):gsub("%(.*$", ""):gsub(":", ".")
  if topic == "" or topic == "mien" then return overview() end
  if topic == "commands" then return commands() end
  if topic == "keys" then return keys() end
  local entries = index().find(topic)
  if #entries == 0 then return unknown(topic) end
  local texts = {}
  for i, entry in ipairs(entries) do
    if i > 6 then
      texts[#texts + 1] = ("... and %d more of that name"):format(#entries - 6)
      break
    end
    texts[i] = entry_text(entry)
  end
  return table.concat(texts, "\n\n")
end

local function of_value(value)
  if check.is_tensor(value) then return of_name "tensor" end
  if type(value) == "function" then
    local entry, message = index().of_function(value)
    if not entry then return nil, message end
    return entry_text(entry)
  end
  for name, module in pairs(package.loaded) do
    if rawequal(module, value) and name:find "^mien" then return of_name(parts.public((name:gsub("^mien%.?", "")))) end
  end
  return nil, "there is no help on " .. check.describe(value) .. ': ask for a name, as help("nn.lstm")'
end

--- The help on a name ("nn.lstm", "op.conv2d", "mien_tensor_new") or a value; nil and a message without one.
function help.lookup(topic)
  if topic == nil then return overview() end
  if type(topic) == "string" then return of_name(topic) end
  return of_value(topic)
end

--- The same; without help on the topic the text says so and names what is near.
function help.text(topic)
  local text, message = help.lookup(topic)
  return text or message
end

return help
