-- One input of the prompt: is it whole, what are its values, what went wrong.
-- Not here: reading lines (repl/init.lua) and printing values (repl/show.lua).
local check = require "mien.base.check"
local renamed = require "mien.base.renamed"

local inputs = {}

-- Inputs are numbered, so that an error in a function of an earlier one can show that line.
local texts = {}

-- What stands at hand without `mien.` in front; print, require and the like stay Lua's own.
local AT_HAND = { "nn", "models", "init", "loss", "optim", "metric", "data", "train", "post", "stats", "plot",
  "results", "checkpoint", "experiment", "rng", "op", "tensor" }

--- The table in which inputs live: `x = 1` lands here, not in _G.
function inputs.environment(extra)
  local mien = require "mien"
  local known = { mien = true }
  for _, name in ipairs(AT_HAND) do known[name] = true end
  local there = {}
  for _, name in ipairs(mien.names()) do there[name] = known[name] end
  local function lookup(_, name)
    local value = rawget(_G, name)
    if value ~= nil then return value end
    value = extra[name]
    if value ~= nil then return value end
    if name == "mien" then return mien end
    if there[name] then return mien[name] end
  end
  local names = { "mien" }
  for name in pairs(there) do names[#names + 1] = name end
  for name in pairs(extra) do names[#names + 1] = name end
  return setmetatable({}, { __index = lookup, names = names })
end

--- Compiles an input: as an expression when it is one (`= x` means `x`), else as statements. It runs interpreted, with
-- the functions that it defines: in a loop that LuaJIT has compiled nothing would ask for Ctrl-C.
-- Returns the function, or nil, the message and whether more lines could complete it.
function inputs.compile(text)
  local name = "=input " .. #texts + 1
  local value = text:match "^%s*=(.*)$"
  local chunk, message = loadstring("return " .. (value or text), name)
  if not chunk and not value then chunk, message = loadstring(text, name) end
  if chunk then
    texts[#texts + 1] = text
    jit.off(chunk, true)
    return chunk
  end
  -- A quoted string ends with its line, so no further line can help that one.
  return nil, message, message:find "near '<eof>'$" ~= nil and not message:find "unfinished string"
end

--- The line of an input that an error came from: of the innermost frame that lies in one.
local function source_line(trace, message)
  local input, number = message:match "input (%d+):(%d+):"
  if not input then input, number = trace:match "\n%s+input (%d+):(%d+):" end
  local text = texts[tonumber(input)]
  if not text or not text:find "\n" then return nil end -- a single line stands right above
  local n = 0
  for line in (text .. "\n"):gmatch "(.-)\n" do
    n = n + 1
    if n == tonumber(number) then return ("line %d: %s"):format(n, line:match "^%s*(.-)%s*$") end
  end
end

--- An error as one or a few lines: the message, then the line of the input that matters.
function inputs.explain(err, trace)
  local message = tostring(err)
  local line = source_line(check.traceback(err) or trace or "", message)
  message = message:gsub("^input %d+:%d+: ", "")
  if line then message = message .. "\n  " .. line end
  local hint = renamed.hint(message)
  if hint then message = message .. "\n  " .. hint end
  if check.is_error(err) and err.where then message = message .. "\n  noticed at " .. err.where end
  -- An error inside other files: the frames that led there.
  local seen = 0
  for frame in (trace or ""):gmatch "[^\n]+" do
    local place = frame:match "^%s+(%S+%.lua:%d+): in"
    if place and not place:find "/lua/mien/" and seen < 5 then
      seen = seen + 1
      message = message .. "\n  " .. frame:match "^%s*(.*)"
    end
  end
  return message
end

local function pack(ok, ...) return ok, { n = select("#", ...), ... } end

--- Runs a compiled input in `env`. Returns { n =, values... }, or nil, the error and its traceback.
function inputs.run(chunk, env)
  setfenv(chunk, env)
  local trace
  local ok, result = pack(xpcall(chunk, function(err)
    trace = debug.traceback("", 2)
    return err
  end))
  if not ok then return nil, result[1], trace end
  return result
end

return inputs
