-- Who is on a picture: told by a column or a pattern, else guessed from folders and names, and said how.
-- Not here: people in videos (people.lua), partitions.
local picture_people = {}

--- The name of a picture before its trailing numbers: S005_001_00000011.png -> S005.
local function name_before_numbers(picture)
  local stem = picture.image:match "([^/]*)$":gsub("%.%w+$", "")
  repeat
    local shorter = stem:match "^(.+)_%d+$"
    stem = shorter or stem
  until not shorter
  return stem
end

--- The name of a picture before its first dot: KA.AN1.39.tiff (JAFFE) -> KA.
local function name_before_dot(picture)
  local stem = picture.image:match "([^/]*)$":gsub("%.%w+$", "")
  return stem:match "^([^.]+)%." or stem
end

local function folder_of(picture) return picture.image:match "^(.*)/[^/]*$" or "" end
local function itself(picture) return picture.image end

--- Whether persons told by of(picture) are told apart by their labels as well: then they are classes.
local function are_classes(pictures, of)
  local label_of, person_of, n = {}, {}, 0
  for _, picture in ipairs(pictures) do
    local person, label = of(picture), next(picture.labels)
    if next(picture.labels, label) then return false end
    if not label_of[person] then n = n + 1 end
    label_of[person], person_of[label] = label_of[person] or label, person_of[label] or person
    if label_of[person] ~= label or person_of[label] ~= person then return false end
  end
  return n > 1 and n < #pictures
end

local function count(pictures, of)
  local seen, n = {}, 0
  for _, picture in ipairs(pictures) do
    local person = of(picture)
    if not seen[person] then n = n + 1 end
    seen[person] = true
  end
  return n
end

--- How persons are told apart when nobody says it: a function of a picture, and its description.
local function guess(pictures)
  local refused = ""
  for _, way in ipairs { { folder_of, "the folders of the pictures" },
    { name_before_numbers, "the pictures' names before their trailing numbers" },
    { name_before_dot, "the pictures' names before their first dot" } } do
    local n = count(pictures, way[1])
    if n > 1 and n < #pictures then
      if not are_classes(pictures, way[1]) then return way[1], way[2] .. refused .. " (guessed)" end
      refused = refused .. ("; %s are the labels' own"):format(way[2])
    end
  end
  return itself, "nothing: each picture counts as a person of its own" .. refused
    .. ". If that is wrong, a column person in the CSV or --person PATTERN tells them"
end

--- Gives every picture its `person`; returns how they were told apart. column: of the CSV, or nil.
function picture_people.tell(pictures, o, column, bad)
  local of, how
  if o.person then
    of, how = function(picture) return picture.image:match(o.person) end, ("the pattern %s"):format(o.person)
  elseif column then
    of, how = function(picture) return picture.told end, ("the column %s"):format(column)
  else
    of, how = guess(pictures)
  end
  local good = {}
  for _, picture in ipairs(pictures) do
    picture.person = of(picture)
    if picture.person and picture.person ~= "" then
      good[#good + 1] = picture
    else
      bad[#bad + 1] = { line = picture.line, problem = ("%s: no person is told by %s"):format(picture.image, how) }
    end
  end
  return good, how
end

return picture_people
