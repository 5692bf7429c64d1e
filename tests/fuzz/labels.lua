-- Damaged label files of all corpora: each is read, or refused by problems or errors that name it, and nothing else happens.
-- tests/lua/dataset_annotations_spec.lua runs some; more:
--   mien -e 'print(dofile "tests/fuzz/labels.lua"(SECONDS, SEED, "pattern of names"))'
-- Not here: HDF5, videos and pictures (the targets beside this file).
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
package.path = here .. "../../datasets/?.lua;" .. package.path
local C = require "mien.base.ffi"
local check = require "mien.base.check"
local csv = require "mien.data.csv"
local intervals = require "reading.intervals"
local partitions = require "reading.partitions"
local rated = require "reading.rated"
local ratings = require "reading.ratings"
local tar = require "reading.tar"
local traces = require "reading.traces"

local RANGE = { time = "time", targets = { "arousal", "valence" }, range = { -1, 1 } }

local function ustar(name, content)
  local function field(text, width) return text .. ("\0"):rep(width - #text) end
  local function header(sum)
    return field(name, 100) .. field("0000644", 8) .. field("0000000", 8):rep(2) .. field(("%011o"):format(#content), 12)
      .. field("00000000000", 12) .. sum .. "0" .. field("", 100) .. "ustar\00000" .. field("", 247)
  end
  local sum, text = 0, header "        "
  for i = 1, #text do sum = sum + text:byte(i) end
  return header(("%06o\0 "):format(sum)) .. content .. ("\0"):rep(-#content % 512) .. ("\0"):rep(1024)
end

-- name -> { a good file, what reads it: function(path, found) }
local FORMS = {
  traces = { "time;arousal;valence\r\n0;0.1;-0.2\r\n0.04;0.2;-0.3\r\n0.08;1;-1\r\n",
    function(path, found) traces.read(path, "x", RANGE, found) end },
  quoted = { '\239\187\191video, time,"arousal",valence\n"a ""b"" c.mp4",0,0.5,1e-1\nd,0.1,.5,-1\n',
    function(path, found) traces.read(path, nil, RANGE, found) end },
  raters = { "time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 ;FF3\n0;0;0;0;0;0;0\n0.04;0.1;0.2;0.3;0.4;-0.5;1\n",
    function(path, found) ratings.raters(path, nil, 0.04, found) end },
  gold = { "name;timestamp;arousal;valence\n'a';0.0;0.1;0.2\n'a';0.1;0.1;0.2\n'b';0;1;-1\n'b';0.1;1;-1\n",
    function(path, found) ratings.gold(path, { "arousal", "valence" }, found) end },
  values = { "0.1\n-0.5\n1\n", function(path, found)
    ratings.unscale({ { path = path, values = ratings.values(path, found) } }, found)
  end },
  arff = { "@relation x\n@attribute Instance_name string\n@attribute frameTime numeric\n@attribute GoldStandard numeric\n"
    .. "@data\n'P1',0,0.5\n'P1',0.04,-1\n",
    function(path) require("reading.arff").read(path, { "frameTime", "GoldStandard" }) end },
  manifest = { "recording,partition,subject\na,train,1\nb,devel,2\nc,test,3\n",
    function(path) partitions.manifest(path) end },
  eaf = { '<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds"><MEDIA_DESCRIPTOR MEDIA_URL="file:///a/b%20c.mp4"/>'
    .. '</HEADER><TIME_ORDER><TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="1"/><TIME_SLOT TIME_SLOT_ID="b"/>'
    .. '<TIME_SLOT TIME_SLOT_ID="c" TIME_VALUE="9"/></TIME_ORDER><TIER TIER_ID="t"><ANNOTATION>'
    .. '<ALIGNABLE_ANNOTATION ANNOTATION_ID="x" TIME_SLOT_REF1="a" TIME_SLOT_REF2="b">'
    .. "<ANNOTATION_VALUE>j&amp;k</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION><ANNOTATION>"
    .. '<REF_ANNOTATION ANNOTATION_ID="y" ANNOTATION_REF="x"><ANNOTATION_VALUE/></REF_ANNOTATION></ANNOTATION></TIER>'
    .. "</ANNOTATION_DOCUMENT>", function(path, found) intervals.elan(path, found) end },
  anvil = { '<annotation><head><video src="a/b.mp4"/></head><body><track name="f"><el start="0.2" end="0.4">'
    .. '<attribute name="e">joy</attribute><attribute name="s">left</attribute></el><el/></track></body></annotation>',
    function(path, found) intervals.anvil(path, found) end },
  nova = { '<annotation><info ftype="ASCII"/><meta annotator="a" role="b"/><scheme name="v" type="CONTINUOUS" sr="4" min="0" '
    .. 'max="1"/></annotation>', function(path, found)
    local about = intervals.nova_header(path)
    local out = assert(io.open(path .. "~", "wb"))
    out:write "0,5;1\nNaN;0\n0.25;1\n"
    out:close()
    rated.nova(path, about, found)
  end },
  nova_labels = { "0,1;0,3;1;1,0\n0.3;0.5;0;1.0\n0.5;0.7;-1;1.0\n", function(path, found)
    os.rename(path, path .. "~")
    local out = assert(io.open(path, "wb"))
    out:write('<annotation><info ftype="ASCII"/><scheme name="e" type="DISCRETE"><item name="j" id="0"/>'
      .. '<item name="k" id="1"/></scheme></annotation>')
    out:close()
    intervals.nova(path, intervals.nova_header(path), found)
  end },
  carma = { '"Multimedia File","a.mp4"\n"Minimum Value",-100\n"Maximum Value",100\n"Second","Rating"\n"%%%%%%","%%%%%%"\n'
    .. "0.25,-100\n0.5,NaN\n0.75,50\n", function(path, found)
    for _, trace in ipairs(rated.girard(path, found)) do
      if #trace > 0 then rated.sampled(trace, 10, 20) end
    end
  end },
  pagan = { "DatabaseName,Participant,SessionID,Timestamp,VideoTime,Value\nv,p,s,0,0,0\nv,p,s,9,500,10\nv,q,s,3,200,-4\n",
    function(path, found)
      for _, trace in ipairs(rated.pagan(path, "DatabaseName", found)) do
        if #trace > 0 then rated.sampled(trace, 10, 20) end
      end
    end },
  tar = { ustar("a/b.txt", "hello") .. ustar("c", ("x"):rep(600)), function(path)
    local file = assert(io.open(path, "rb"))
    local ok, problem = pcall(function()
      for _, size in tar.members(file, path) do assert(size >= 0) end
    end)
    file:close()
    if not ok then error(problem, 0) end
  end },
  people = { "video,subject\na.mp4,x\nb.mp4,y\n", function(path) csv.read(path, { "video", "subject" }) end },
}

return function(seconds, seed, pattern)
  local state = seed or 1
  local function draw(n) -- 1 .. n: Park and Miller, the same everywhere
    state = state * 16807 % 2147483647
    return state % n + 1
  end
  local BYTES = "\0\t\r\n\";,'<>&/=-+.eExX0123456789 \255\239nanif"
  local function damage(text)
    for _ = 1, draw(4) do
      local at, kind = draw(#text + 1), draw(5)
      local head, tail = text:sub(1, at - 1), text:sub(at)
      local b = draw(#BYTES)
      if kind == 1 then text = head .. BYTES:sub(b, b) .. tail
      elseif kind == 2 then text = head .. BYTES:sub(b, b) .. tail:sub(2)
      elseif kind == 3 then text = head .. tail:sub(draw(12))
      elseif kind == 4 then text = head .. tail:sub(1, draw(30)):rep(draw(3)) .. tail
      else text = draw(10) == 1 and head or head .. BYTES:sub(b, b):rep(draw(60)) .. tail end
    end
    return text
  end
  local names, counts, n = {}, { read = 0, refused = 0 }, 0
  for name in pairs(FORMS) do
    if name:find(pattern or "") then names[#names + 1] = name end
  end
  table.sort(names)
  local path, stop = os.tmpname(), C.mien_time_now() + seconds
  repeat
    n = n + 1
    local name = names[n % #names + 1]
    local text = damage(FORMS[name][1])
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
    local ok, problem = pcall(function()
      local found = ratings.problems()
      FORMS[name][2](path, found)
      found:raise()
    end)
    if ok then
      counts.read = counts.read + 1
    elseif check.is_error(problem) and tostring(problem):find(path, 1, true) then
      counts.refused = counts.refused + 1
    else
      error(("%s, %q: %s"):format(name, text, tostring(problem)), 0)
    end
  until C.mien_time_now() >= stop
  os.remove(path)
  os.remove(path .. "~")
  return ("%d files: %d read, %d refused"):format(n, counts.read, counts.refused)
end
