-- Spellings of before, and what is written today: the one place where they are kept.
-- Not here: what the new ones do.
local check = require "mien.base.check"

local renamed = {}

-- of what -> the name of before -> what to write
local names = {
  tensor = { dim = "t.ndim" },
  optimiser = { load_state = "optimiser:set_state(state), as streams and scalers have it" },
  metric = { winner_takes_all = "metric.most_voted (data.winner_takes_all makes labels)" },
}

-- fields, of tensors, modules and optimisers, which were methods or may be taken for some -> how each is set
local fields = {
  shape = "", ndim = "", dtype = "t:to makes a copy in another", grad = "t.grad = g sets it", name = "",
  requires_grad = "t:requires_grad_(true or false) sets it", device = "t:to copies, m:to and opt:to move",
  precision = "m:precision_(name) sets it", training = "m:train(true or false) sets it", lr = "opt.lr = number sets it",
  steps = "",
}

--- Raises the error that says what `name`, of before, is called now; nothing for a name that is not known.
function renamed.refuse(what, name)
  local now = names[what] and names[what][name]
  if now then check.raise("argument", "%s: %s is now %s", what, name, now) end
end

--- Raises the error of a form of before: `given` is the value where it was written, `form` what is written now.
function renamed.form(what, given, form)
  check.raise("argument", "%s: %s does not belong there: write %s", what, check.describe(given), form)
end

--- What helps with Lua's own error about a field that was called as a method, or nil.
function renamed.hint(message)
  local name = tostring(message):match "attempt to call method '([%w_]+)' %(a %l+ value%)"
  local set = fields[name or ""]
  if not set then return nil end
  return ("%s is a field: write .%s without brackets%s"):format(name, name, set ~= "" and "; " .. set or "")
end

return renamed
