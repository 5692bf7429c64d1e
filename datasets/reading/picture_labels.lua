-- A CSV that says which picture shows what: to a list of pictures with their labels, bad rows named by their lines.
-- Not here: the pictures themselves (folder.lua), who is on them (picture_people.lua).
local check = require "mien.base.check"
local csv = require "mien.data.csv"
local partitions = require "reading.partitions"

local picture_labels = {}

--- Names that need no --classes: the eight emotions of faces8 and FER+, and RealEyes' own.
picture_labels.emotions = { "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "happy",
  "confusion", "empathy", "other" }

function picture_labels.complain(bad, options)
  if #bad == 0 or options.skip_bad then return end
  table.sort(bad, function(a, b) return a.line < b.line end)
  local lines = {}
  for i = 1, math.min(#bad, 10) do lines[i] = ("  line %d: %s"):format(bad[i].line, bad[i].problem) end
  if #bad > 10 then lines[11] = ("  and %d more"):format(#bad - 10) end
  check.raise("format", "%s: %d bad rows (skip_bad leaves them out)\n%s", options.labels, #bad,
    table.concat(lines, "\n"))
end

--- Pictures of the CSV: list of { image =, labels = { [class] = true }, line =, told = person, partition = }, the class
-- names in use, bad rows, how many pictures stand more than once, and the columns of persons and partitions.
function picture_labels.read(options)
  local rows, header, bad = csv.read(options.labels, { "image" })
  local column
  for _, name in ipairs(header) do
    if name:lower() == "label" or name:lower() == "emotion" then column = column or name end
  end
  if not column then
    check.raise("format", "%s has no column 'label' or 'emotion'; its header is: %s", options.labels,
      table.concat(header, ", "))
  end
  local person, partition
  for _, name in ipairs(header) do
    local word = name:lower()
    if word == "person" or word == "subject" then person = person or name end
    if word == "partition" then partition = partition or name end
  end
  local allowed = {}
  for _, name in ipairs(options.classes or picture_labels.emotions) do allowed[name:lower()] = name end
  local pictures, by_name, used, repeated = {}, {}, {}, 0
  for _, row in ipairs(rows) do
    local name, label = row.image, allowed[row[column]:lower()]
    local part = partition and row[partition]:lower()
    if part and not partitions.words[part] then
      bad[#bad + 1] = { line = row.line, problem = ('unknown partition "%s": train, devel or test'):format(row[partition]) }
    elseif name == "" then
      bad[#bad + 1] = { line = row.line, problem = "no picture is named" }
    elseif not label then
      local near = check.nearest(row[column], allowed)
      bad[#bad + 1] = { line = row.line, problem = ('unknown label "%s"%s'):format(row[column],
        near and (', did you mean "%s"?'):format(near) or "; name your own with --classes") }
    else
      local picture = by_name[name]
      if picture and not picture.labels[label] and options.kind == "class" then
        bad[#bad + 1] = { line = row.line, problem = ("%s has another label in line %d"):format(name, picture.line) }
      else
        if picture then
          repeated = repeated + 1
        else
          picture = { image = name, labels = {}, line = row.line, told = person and row[person],
            partition = part and partitions.words[part] }
          by_name[name], pictures[#pictures + 1] = picture, picture
        end
        picture.labels[label], used[label] = true, true
      end
    end
  end
  local classes = options.classes
  if not classes then -- in the order above
    classes = {}
    for _, name in ipairs(picture_labels.emotions) do
      if used[name] then classes[#classes + 1] = name end
    end
  end
  return pictures, classes, bad, repeated, person, partition
end

return picture_labels
