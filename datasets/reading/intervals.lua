-- Intervals with labels, as annotation programs write them: ELAN (.eaf), ANVIL (.anvil) and NOVA's discrete and free schemes.
-- Not here: traces (rated.lua), from intervals to rows (datasets/annotations.lua).
local check = require "mien.base.check"
local csv = require "mien.data.csv"
local xml = require "reading.xml"

local intervals = {}

--- A media file's name without folders, as a URL or a path of either kind has it.
local function base(url)
  return (url:gsub("%%(%x%x)", function(x) return string.char(tonumber(x, 16)) end):gsub("[/\\]+$", ""):match "[^/\\]*$")
end
intervals.base = base

local function sorted(list)
  table.sort(list, function(a, b) return a.from < b.from end)
  return list
end

-- ---- ELAN ----------------------------------------------------------------------------------------------

--- Seconds of the time slots by their names. Slots without a time lie evenly between their neighbours that have one, as
-- ELAN shows them; how many there were.
local function slots(root, path, found)
  local order, times, without = {}, {}, 0
  local list = root:first "TIME_ORDER"
  for _, slot in ipairs(list and list:all "TIME_SLOT" or {}) do
    local value = slot.attr.TIME_VALUE
    local ms = value and tonumber(value)
    if value and (not ms or ms < 0) then found:add(path, slot.line, "TIME_VALUE '%s' is no time", value) end
    order[#order + 1] = { id = slot.attr.TIME_SLOT_ID, ms = ms, line = slot.line }
  end
  local before = 0
  for i, slot in ipairs(order) do
    if slot.ms then
      before = i
    else
      without = without + 1
      local after = i
      while order[after] and not order[after].ms do after = after + 1 end
      local low = before > 0 and order[before].ms or 0
      if not order[after] then
        found:add(path, slot.line, "the slot %s has no time, and none after it has", tostring(slot.id))
        slot.at = low
      else
        slot.at = low + (order[after].ms - low) * (i - before) / (after - before)
      end
    end
    times[slot.id or ""] = (slot.ms or slot.at) / 1000
  end
  return times, without
end

--- Annotations of all tiers by name: { from =, to =, label =, line = } each, in order of time. Those that refer to others
-- have their times; several that refer to one divide it.
local function elan_tiers(root, times, path, found)
  local tiers, by_id, referring = {}, {}, {}
  for _, tier in ipairs(root:all "TIER") do
    local list, name = {}, tier.attr.TIER_ID or "?"
    if tiers[name] then found:add(path, tier.line, "two tiers are named %s", name) end
    tiers[name] = list
    for _, wrap in ipairs(tier:all "ANNOTATION") do
      local one, ref = wrap:first "ALIGNABLE_ANNOTATION", wrap:first "REF_ANNOTATION"
      local here = one or ref
      if here then
        local value = here:first "ANNOTATION_VALUE"
        local entry = { label = (value and value.text or ""):match "^%s*(.-)%s*$", line = here.line }
        by_id[here.attr.ANNOTATION_ID or ""] = entry
        if one then
          entry.from, entry.to = times[one.attr.TIME_SLOT_REF1 or ""], times[one.attr.TIME_SLOT_REF2 or ""]
          if not entry.from or not entry.to then found:add(path, one.line, "it refers to a time slot that is not there")
          elseif entry.to < entry.from then found:add(path, one.line, "it ends at %g s, before it begins", entry.to)
          else list[#list + 1] = entry end
          if list[#list] ~= entry then entry.from, entry.to = nil, nil end
        else
          local to = ref.attr.ANNOTATION_REF or ""
          entry.of, entry.list = to, list
          referring[#referring + 1] = entry
        end
      end
    end
  end
  local groups = {} -- those of one tier that refer to one annotation
  for _, entry in ipairs(referring) do
    groups[entry.list] = groups[entry.list] or {}
    local group = groups[entry.list][entry.of] or {}
    groups[entry.list][entry.of] = group
    group[#group + 1] = entry
    entry.place = #group
    entry.group = group
  end
  local function settle(entry, depth)
    if entry.from or not entry.of then return entry.from end
    local parent = by_id[entry.of]
    if not parent or depth > 50 or not settle(parent, depth + 1) then return nil end
    local share = (parent.to - parent.from) / #entry.group
    entry.from, entry.to = parent.from + share * (entry.place - 1), parent.from + share * entry.place
    return entry.from
  end
  for _, entry in ipairs(referring) do
    if settle(entry, 1) then table.insert(entry.list, entry)
    else found:add(path, entry.line, "it refers to an annotation %s that is not there", entry.of) end
  end
  for _, list in pairs(tiers) do sorted(list) end
  return tiers
end

--- An .eaf file: { media = names of its videos, tiers = { [name] = intervals }, without = slots that have no time }.
function intervals.elan(path, found)
  local root = xml.read(path)
  if root.tag ~= "ANNOTATION_DOCUMENT" then check.raise("format", "%s: no file of ELAN's: its root is %s", path, root.tag) end
  local header, media, origin = root:first "HEADER", {}, 0
  local units = header and header.attr.TIME_UNITS or "milliseconds"
  if units ~= "milliseconds" then found:add(path, header.line, "TIME_UNITS are %s; milliseconds are read", units) end
  for _, one in ipairs(header and header:all "MEDIA_DESCRIPTOR" or {}) do
    media[#media + 1] = base(one.attr.RELATIVE_MEDIA_URL ~= "" and one.attr.RELATIVE_MEDIA_URL or one.attr.MEDIA_URL or "")
    if #media == 1 then origin = (tonumber(one.attr.TIME_ORIGIN or "") or 0) / 1000 end
  end
  local times, without = slots(root, path, found)
  for id, time in pairs(times) do times[id] = time + origin end -- of the first video, on its own clock
  return { media = media, tiers = elan_tiers(root, times, path, found), without = without, path = path }
end

-- ---- ANVIL ---------------------------------------------------------------------------------------------

--- An .anvil file: tracks as tiers "track", and "track.attribute" where an element has several attributes.
function intervals.anvil(path, found)
  local root = xml.read(path)
  local head, body, media = root:first "head", root:first "body", {}
  if root.tag ~= "annotation" or not body then check.raise("format", "%s: no file of ANVIL's", path) end
  for _, one in ipairs(head and head:all "video" or {}) do media[#media + 1] = base(one.attr.src or "") end
  local tiers, untimed = {}, 0
  for _, track in ipairs(body:all "track") do
    local name = track.attr.name or "?"
    for _, el in ipairs(track:all "el") do
      local from, to = tonumber(el.attr.start or ""), tonumber(el.attr["end"] or "")
      local attributes = el:all "attribute"
      if not from and not el.attr.start then
        untimed = untimed + 1 -- of a track that spans another's elements
      elseif not from or not to or to < from then
        found:add(path, el.line, "start '%s' and end '%s' are no interval", tostring(el.attr.start), tostring(el.attr["end"]))
      else
        for _, attribute in ipairs(attributes) do
          local tier = #attributes > 1 and ("%s.%s"):format(name, attribute.attr.name or "?") or name
          tiers[tier] = tiers[tier] or {}
          table.insert(tiers[tier], { from = from, to = to, label = attribute.text:match "^%s*(.-)%s*$", line = el.line })
        end
      end
    end
  end
  for _, list in pairs(tiers) do sorted(list) end
  return { media = media, tiers = tiers, untimed = untimed, path = path }
end

-- ---- NOVA ----------------------------------------------------------------------------------------------

--- The header of a .annotation file: { scheme, kind = "DISCRETE" ..., rate, low, high, classes = { [id] = name }, annotator,
-- role, binary }.
function intervals.nova_header(path)
  local root = xml.read(path)
  local info, meta, scheme = root:first "info", root:first "meta", root:first "scheme"
  if root.tag ~= "annotation" or not scheme then check.raise("format", "%s: no annotation of NOVA's", path) end
  local about = { scheme = scheme.attr.name or "?", kind = scheme.attr.type, rate = tonumber(scheme.attr.sr or ""),
    low = tonumber(scheme.attr.min or ""), high = tonumber(scheme.attr.max or ""), classes = {},
    annotator = meta and meta.attr.annotator or "?", role = meta and meta.attr.role or "?",
    binary = info ~= nil and (info.attr.ftype or "ASCII") ~= "ASCII", line = scheme.line }
  for _, item in ipairs(scheme:all "item") do about.classes[tonumber(item.attr.id or "") or -1] = item.attr.name end
  return about
end

--- The lines of a discrete or free scheme beside its header: start;end;id or text;confidence.
function intervals.nova(path, about, found)
  if about.binary then
    found:add(path, 1, "%s annotations in binary form are not read; save them in ASCII", about.kind)
    return { tiers = {}, path = path }
  end
  local list, line, garbage = {}, 0, 0
  for text in (csv.text(path .. "~") .. "\n"):gmatch "([^\n]*)\n" do
    line = line + 1
    text = text:gsub("\r$", "")
    local from, to, rest = text:match "^([^;]*);([^;]*);(.*)$"
    if text:find "%S" then
      -- scores are written as the user's language has them
      local a, b = tonumber(((from or ""):gsub(",", "."))), tonumber(((to or ""):gsub(",", ".")))
      local label = about.kind == "DISCRETE" and about.classes[tonumber((rest or ""):match "^(-?%d+);" or "") or -2]
        or about.kind ~= "DISCRETE" and (rest or ""):match "^(.*);[%d%.,]+" or nil
      if not a or not b or b < a then
        found:add(path .. "~", line, "'%s' does not begin with start;end", text:sub(1, 40))
      elseif about.kind == "DISCRETE" and rest:find "^%-1;" then
        garbage = garbage + 1
      elseif not label then
        found:add(path .. "~", line, "'%s' names no class of the scheme", text:sub(1, 40))
      else
        list[#list + 1] = { from = a, to = b, label = label, line = line }
      end
    end
  end
  return { tiers = { [about.scheme] = sorted(list) }, garbage = garbage, path = path }
end

return intervals
