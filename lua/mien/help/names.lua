-- The index behind help: documented names found in the Lua files, in ops.def and in the C headers.
-- Not here: choosing among them and printing (help.lua).
local ffi = require "ffi"
local lfs = require "lfs"
local parts = require "mien.base.parts"

local help_index = {}

local folder = debug.getinfo(1, "S").source:match "^@(.*)/help/[^/]*$" -- lua/mien

-- entry: { title =, text =, place = }; alias -> list of entries
local aliases, all

local function add(entry, ...)
  for i = 1, select("#", ...) do
    local name = select(i, ...)
    aliases[name] = aliases[name] or {}
    local list = aliases[name]
    if list[#list] ~= entry then list[#list + 1] = entry end
  end
end

-- ---- Lua files: the two lines at the top, and `---` comments above functions -------------------------

--- "nn/linear.lua" -> "nn.linear", "affect/metric.lua" -> "metric"; init.lua stands for its folder.
local function module_name(path)
  return parts.public((path:gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")))
end

local function read_lines(path)
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = line end
  return lines
end

--- The comment lines that end right above line `at`, without their dashes; nil when there are none.
local function comment_above(lines, at)
  local first = at
  while first > 1 and lines[first - 1]:find "^%s*%-%-" and not lines[first - 1]:find "^%s*%-%- %-%-%-" do
    first = first - 1
  end
  if first == at then return nil end
  local text = {}
  for i = first, at - 1 do text[#text + 1] = lines[i]:gsub("^%s*%-%-+%s?", "", 1) end
  return table.concat(text, "\n"), lines[first]:find "^%s*%-%-%-" ~= nil
end

--- What a line declares in `module`: its name without tables in front, its parameters, and whether it is
-- local; nil when the line declares nothing that has a name.
local function declared(line, module)
  local name, parameters = line:match "^%s*function%s+([%w_%.:]+)%s*(%b())"
  if name then return name, parameters, false end
  name, parameters = line:match "^%s*local%s+function%s+([%w_]+)%s*(%b())"
  if name then return name, parameters, true end
  name, parameters = line:match "^%s*([%w_%.:]+)%s*=%s*function%s*(%b())"
  if name then return name, parameters, false end
  parameters = line:match "^return function%s*(%b())"
  if parameters then return module, parameters, false end
  name = line:match "^([%w_]+%.[%w_%.]+)%s*=" or line:match "^[%w_]+%(\"([%w_]+)\"" -- filled("ones", ...)
  if name then return name, "", false end
end

--- The names that a comment uses as calls, "nn.relu(), nn.tanh()" -> relu, tanh.
local function used(text)
  local names = {}
  for name in text:gmatch "[%a_][%w_]*%.([%a_][%w_]*)%s*[%({]" do names[#names + 1] = name end
  return names
end

--- The name that a module's function has in `mien` itself: scope for tensor.scope's run, zeros for tensor.create's.
local function function_name(module, short, parent)
  for name, place in pairs(parts.functions) do
    if place[1] == "mien." .. module and place[2] == short then return name end
  end
  return parent == "tensor" and parts.functions[short] and short
end

--- The name that `mien.data` gives to a function of one of its files, data.rater_lags for alignment's lags; nil for others.
local function data_name(module, short)
  for name, place in pairs(getmetatable(require "mien.data").parts) do
    if place[1] == "mien." .. module and place[2] == short then return "data." .. name end
  end
end

--- How a user writes the name: `nn.lstm`, `mien.zeros`, although they live in nn/recurrent, tensor/create.
local function public_name(module, separator, short, last, parent)
  if separator == ":" then return module .. separator .. short end
  local function offers(table_name)
    for _, name in ipairs(require(table_name).names()) do
      if name == short then return true end
    end
  end
  if (parent == "nn" or parent == "models") and offers("mien." .. parent) then return parent .. "." .. short end
  local own = function_name(module, short, parent)
  if own then return "mien." .. own end
  local of_data = data_name(module, short)
  if of_data then return of_data end
  return short == last and module or module .. separator .. short
end

local function index_lua(path, relative)
  local lines = read_lines(path)
  local module, place = module_name(relative), "lua/mien/" .. relative
  local last, parent = module:match "[^%.]*$", module:match "^(.*)%.[^%.]*$"
  local top = 1
  while lines[top] and lines[top]:find "^%-%-" do top = top + 1 end
  local header = { title = module, text = comment_above(lines, top) or "", place = place, header = true }
  add(header, module)
  if parts.functions[last] and parts.functions[last][1] == "mien." .. module then add(header, last) end
  local function add_function(short, separator, parameters, text, i)
    local title = public_name(module, separator, short, last, parent)
    local entry = { title = title .. parameters, text = text, place = ("%s:%d"):format(place, i), file = header }
    add(entry, module .. "." .. short, short)
    if short == last then add(entry, module) end
    if parent then add(entry, parent .. "." .. short) end
    if separator == "." then add(entry, function_name(module, short, parent) or data_name(module, short) or short) end
  end
  for i, line in ipairs(lines) do
    local text, documented = comment_above(lines, i)
    if documented and not line:find "^%s*%-%-" and i > top then
      local name, parameters, is_local = declared(line, module)
      local short = name and name:match "[^%.:]*$"
      if not name then
        for _, called in ipairs(used(text)) do add_function(called, ".", "", text, i) end
      elseif not is_local or short == last then
        add_function(short, name:find ":" and ":" or ".", parameters, text, i)
      end
    end
  end
end

local function each_file(path, relative, visit)
  local names = {}
  for name in lfs.dir(path) do
    if name:sub(1, 1) ~= "." then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local below, inner = path .. "/" .. name, relative .. name
    if lfs.attributes(below, "mode") == "directory" then
      each_file(below, inner .. "/", visit)
    elseif name:find "%.lua$" then
      visit(below, inner)
    end
  end
end

-- ---- ops and C -------------------------------------------------------------------------------------------

local function index_ops()
  local C = require "mien.base.ffi"
  for i = 0, C.mien_op_count() - 1 do
    local info = C.mien_op_info_at(i)
    local name, attributes = ffi.string(info.name), ffi.string(info.attributes)
    local visible = ffi.string(info.outputs):gsub("%s*[%w_]+%-", "")
    local options = attributes:gsub("!", ""):gsub("%s+$", ""):gsub(" ", ", ")
    add({
      title = ("op.%s(%s%s) -> %s"):format(name, (ffi.string(info.inputs):gsub(" ", ", ")),
        options ~= "" and ", { " .. options .. " }" or "", (visible:gsub(" ", ", "))),
      text = ffi.string(info.doc), place = "core/ops/ops.def", op = name,
    }, "op." .. name, name)
  end
end

--- Prototypes and structs of one header region, each with the comment above it.
local function index_header(header, text)
  local comment, open = "", false
  local declaration = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do
    if open or (line:find "^/%*" and #declaration == 0) then
      comment = open and comment .. "\n" .. line or line
      open = not line:find "%*/"
    elseif line == "" and #declaration == 0 then
      comment = ""
    elseif line ~= "" then
      declaration[#declaration + 1] = line
      local whole = table.concat(declaration, "\n")
      local _, opened = whole:gsub("{", "")
      local _, closed = whole:gsub("}", "")
      if opened == closed and whole:gsub("/%*.-%*/", ""):find ";%s*$" then
        local bare = whole:gsub("/%*.-%*/", "")
        local name = bare:match "typedef%s+%a+%s+([%w_]+)" or bare:match "(mien_[%w_]+)%s*%("
        if name then
          local doc = comment:gsub("^/%*%s*", ""):gsub("%s*%*/$", ""):gsub("\n%s*%*%s?", "\n")
          add({ title = whole, text = doc, place = "core/" .. header }, name)
        end
        declaration = {}
      end
    end
  end
end

local function index_c()
  local cdef, at = require "mien.cdef", 1
  while true do
    local _, last, header = cdef:find("/%* header: (%S+) %*/", at)
    if not header then return end
    at = cdef:find("/* header: ", last, true) or #cdef + 1
    index_header(header, cdef:sub(last + 1, at - 1))
  end
end

-- ---- asking -----------------------------------------------------------------------------------------------

local function load_all()
  if aliases then return end
  aliases = {}
  each_file(folder, "", index_lua)
  index_ops()
  index_c()
  all = {}
  for name in pairs(aliases) do all[#all + 1] = name end
  table.sort(all)
end

--- Every documented name, sorted.
function help_index.names()
  load_all()
  return all
end

--- The entries of a name; empty when there are none. A file that holds the function of its own name is
-- explained by that function.
function help_index.find(name)
  load_all()
  local explained, entries = {}, {}
  for _, entry in ipairs(aliases[name] or {}) do
    if entry.file then explained[entry.file] = true end
  end
  for _, entry in ipairs(aliases[name] or {}) do
    if not explained[entry] then entries[#entries + 1] = entry end
  end
  return entries
end

local INNER = { check = true, cli = true, print = true, repl = true }

--- The parts that `mien` names, with the first sentence of each one's file.
function help_index.parts()
  load_all()
  local found = {}
  for _, name in ipairs(parts.names()) do
    for _, entry in ipairs(not INNER[name] and aliases[name] or {}) do
      if entry.header then
        local about = (entry.text .. " "):gsub("\n", " "):match "^(.-)[%.;]%s" or ""
        found[#found + 1] = { name = name, about = #about > 80 and about:sub(1, 77) .. "..." or about }
        break
      end
    end
  end
  return found
end

--- Names of all ops.
function help_index.ops()
  local C = require "mien.base.ffi"
  local names = {}
  for i = 0, C.mien_op_count() - 1 do names[#names + 1] = ffi.string(C.mien_op_info_at(i).name) end
  table.sort(names)
  return names
end

--- The comment above a Lua function in its own file, wherever that is; nil and a message without one.
function help_index.of_function(f)
  local info = debug.getinfo(f, "S")
  local path = info.source:match "^@(.*)"
  if not path or info.linedefined < 1 then return nil, "this function was not read from a file" end
  local ok, lines = pcall(read_lines, path)
  if not ok or not lines[info.linedefined] then return nil, path .. " cannot be read any more" end
  return {
    title = (lines[info.linedefined]:gsub("^%s*", "")), text = comment_above(lines, info.linedefined) or "",
    place = ("%s:%d"):format(info.short_src, info.linedefined),
  }
end

return help_index
