-- Files of annotation programs: intervals of ELAN, ANVIL and NOVA at the right rows, traces of CARMA, DARMA, PAGAN and NOVA.
-- Not here: own traces (dataset_videos_spec.lua), whether gold standards are good (raters_spec.lua).
local dataset = require "tests.lua.dataset_forms"
local ffi = require "ffi"
local mien = require "mien"
local tiny = require "tests.lua.tiny"
local here = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("[^/]*$", "")
local reader = dofile(here .. "../../datasets/annotations.lua")
local found_of = require("reading.ratings").problems
local rated = require "reading.rated"
local folder = tiny.folder()
local write, says, has_note = dataset.writer(folder), dataset.says, dataset.has_note

teardown(function() tiny.drop(folder) end)

local function videos(at)
  for _, clip in ipairs { "eat", "milk" } do
    dataset.clip(folder, clip .. ".mkv", at .. "/videos/" .. clip .. ".mkv")
    dataset.clip(folder, clip .. "_face.csv", at .. "/boxes/" .. clip .. ".csv")
  end
end

local function import(at, options)
  write(at .. "/one.csv", "recording,partition\neat,train\n")
  local o = { from = folder .. "/" .. at, boxes = folder .. "/" .. at .. "/boxes", out = folder .. "/out.h5", size = 16 }
  for key, value in pairs(options or {}) do o[key] = value end
  os.remove(o.out)
  return reader.make(o)
end

--- The classes' names of a recording's rows.
local function said(name)
  local corpus, list = mien.data.open(folder .. "/out.h5"), {}
  for _, r in ipairs(corpus.recordings) do
    if r.name == name then
      for i, class in ipairs(corpus:labels(r.first, r.count):totable()) do list[i] = corpus.label_names[class] end
    end
  end
  corpus:close()
  return list
end

-- ---- ELAN ----------------------------------------------------------------------------------------------

--- Three slots: the middle one has no time and lies at 0.5 s; a tier that refers to the first one's annotations.
local function eaf(media, version, change)
  local text = ([[<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2020-01-01T00:00:00+00:00" FORMAT="%s" VERSION="%s">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/Users/%%C3%%A4/%s" MIME_TYPE="video/x-matroska"/>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="200"/>
    <TIME_SLOT TIME_SLOT_ID="ts2"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="800"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="t" TIER_ID="emotion">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>happy &amp; calm</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
      <ANNOTATION_VALUE>sad</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="r" PARENT_REF="emotion" TIER_ID="detail">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a2">
      <ANNOTATION_VALUE>first</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a2" PREVIOUS_ANNOTATION="a3">
      <ANNOTATION_VALUE>second</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
  </TIER>
  <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="t" TIME_ALIGNABLE="true"/>
  <LINGUISTIC_TYPE CONSTRAINTS="Symbolic_Subdivision" GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="r"
    TIME_ALIGNABLE="false"/>
</ANNOTATION_DOCUMENT>
]]):format(version, version, media)
  return change and change(text) or text
end

describe("intervals", function()
  it("of ELAN, old and new, become the rows' classes, also where slots have no time and tiers refer to others", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    videos "elan"
    write("elan/labels/first.eaf", eaf("eat.mkv", "3.0"))
    write("elan/labels/milk.eaf", eaf("gone.mp4", "2.7")) -- told by its own name
    says("has the tiers detail, emotion; %-%-tier", import, "elan")
    local result = import("elan", { tier = "emotion", rate = 10 })
    has_note(result.notes, "1 time slots have no time")
    assert.are.same({ 2, { "none", "happy & calm", "sad" } }, { result.recordings, result.classes })
    for _, clip in ipairs { "eat", "milk" } do
      local rows = said(clip)
      assert.are.same({ "none", "none", "happy & calm", "happy & calm", "happy & calm", "sad", "sad", "sad", "none" },
        { unpack(rows, 1, 9) })
    end
    import("elan", { tier = "detail", rate = 20, none = "-" })
    local rows = said "eat"
    assert.are.same({ "-", "first", "first", "first", "second", "second", "second", "-" }, { rows[10], rows[11], rows[12],
      rows[13], rows[14], rows[15], rows[16], rows[17] })
  end)

  it("of ANVIL are told by names, attribute by attribute", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    videos "anvil"
    write("anvil/labels/a.anvil", [[<annotation>
      <head><specification src="spec.xml"/><video src="C:\clips\eat.mkv"/></head><body>
      <track name="face" type="primary">
        <el index="0" start="0.2" end="0.4"><attribute name="emotion">joy</attribute>
          <attribute name="side">left</attribute></el>
        <el index="1"><attribute name="emotion">fear</attribute></el>
      </track></body></annotation>]])
    local result = import("anvil", { tier = "face.emotion", rate = 10, split = folder .. "/anvil/one.csv" })
    has_note(result.notes, "1 elements have no times")
    local rows = said "eat"
    assert.are.same({ "none", "joy", "joy", "none" }, { rows[2], rows[3], rows[4], rows[5] })
  end)

  it("of NOVA are told by their session, with decimal commas, and garbage is left out", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    videos "nova"
    write("nova/labels/eat/user.emotion.anna.annotation", [[<?xml version="1.0"?><annotation ssi-v="3">
      <info ftype="ASCII" size="3"/><meta annotator="anna" role="user"/>
      <scheme name="emotion" type="DISCRETE"><item name="joy" id="0"/><item name="anger" id="1"/></scheme></annotation>]])
    write("nova/labels/eat/user.emotion.anna.annotation~", "0,1;0,3;1;1,0\n0.3;0.5;0;1.0\n0.5;0.7;-1;1.0\n")
    local result = import("nova", { rate = 10, split = folder .. "/nova/one.csv" })
    has_note(result.notes, "1 intervals are marked as garbage")
    local rows = said "eat"
    assert.are.same({ "none", "anger", "anger", "joy", "joy", "none" }, { unpack(rows, 1, 6) })
    write("nova/labels/eat/user.emotion.anna.annotation~", "0.1;0.3;7;1.0\n")
    says("annotation~:1: .* names no class", import, "nova", { rate = 10 })
  end)

  it("are refused with file and line", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    videos "bad"
    for _, case in ipairs {
      { "TIME_SLOT_REF2=\"ts3\"", "TIME_SLOT_REF2=\"ts9\"", ":%d+: it refers to a time slot that is not there" },
      { "ANNOTATION_REF=\"a2\">", "ANNOTATION_REF=\"a9\">", ":%d+: it refers to an annotation a9" },
      { "TIME_VALUE=\"800\"", "TIME_VALUE=\"x\"", ":%d+: TIME_VALUE 'x' is no time" },
      { "</TIER>", "", ":%d+: no well%-formed XML" },
      { "ANNOTATION_DOCUMENT", "SOMETHING", "no file of ELAN's" },
    } do
      write("bad/labels/eat.eaf", eaf("eat.mkv", "3.0", function(text) return (text:gsub(case[1], case[2])) end))
      says("eat.eaf.*" .. case[3], import, "bad", { tier = "emotion" })
    end
    write("bad/labels/eat.eaf", "<a>" .. ("<b>"):rep(200))
    says("deeper than 100", import, "bad")
    write("bad/labels/eat.eaf", '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]><a>&z;</a>')
    says("no file of ELAN's", import, "bad")
  end)
end)

-- ---- traces --------------------------------------------------------------------------------------------

local function carma(media, rows)
  return '"Time of Rating","01-Jan-2020 10:00"\n"Multimedia File","' .. media .. '"\n"Lower Label","calm"\n"Upper Label",'
    .. '"excited"\n"Minimum Value",-100\n"Maximum Value",100\n"Number of Steps",9\n"Second","Rating"\n"%%%%%%","%%%%%%"\n'
    .. rows
end

describe("traces", function()
  it("of CARMA cover the time before each row, and several raters become their gold standard", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    videos "carma"
    for _, clip in ipairs { "eat", "milk" } do
      write("carma/labels/arousal/" .. clip .. "_a.csv", carma(clip .. ".mkv", "0.25,-100\n0.5,NaN\n0.75,50\n1,0\n"))
      write("carma/labels/arousal/" .. clip .. "_b.csv", carma(clip .. ".mkv", "0.25,-100\n0.5,50\n0.75,50\n1,0\n"))
    end
    local result = import("carma", { targets = { "arousal" }, rate = 8, gold_kind = "mean" })
    has_note(result.notes, "2 values are missing")
    has_note(result.notes, "up to 2 raters")
    has_note(result.notes, "the gold standard is mean")
    local corpus = mien.data.open(folder .. "/out.h5")
    assert.are.same({ "arousal" }, corpus.label_names)
    local values = corpus:labels(1, 9):totable()
    -- -100 until 0.25 s, then 50 until 0.75 s (where one of them said nothing its next word stands), then 0
    for i, value in ipairs { -1, -1, -1, 0.5, 0.5, 0.5, 0.5, 0, 0 } do assert.is_near(value, values[i][1], 1e-6) end
    corpus:close()
    says("does not say what was rated; %-%-targets", import, "carma", { rate = 8 })
  end)

  it("of DARMA have two axes by their names", function()
    if not dataset.have_clips() then return pending "no real videos here" end
    videos "darma"
    for _, clip in ipairs { "eat", "milk" } do
      write("darma/labels/" .. clip .. ".csv", "Time of Rating,x\nMultimedia File," .. clip .. ".mkv,2.0\nMagnitude,1000\n"
        .. "Second,valence,arousal,Button\n%%%%%%,%%%%%%,%%%%%%,%%%%%%\n0.5,500,-1000,0\n1,-500,,1\n")
    end
    local result = import("darma", { rate = 2 })
    assert.equal(2, result.recordings)
    local corpus = mien.data.open(folder .. "/out.h5")
    assert.are.same({ "arousal", "valence" }, corpus.label_names)
    assert.are.same({ { -1, 0.5 }, { -1, 0.5 } }, corpus:labels(1, 2):totable())
    corpus:close()
    write("darma/labels/eat.csv", "Magnitude,1000\nMultimedia File,eat.mkv\nSecond,valence,arousal\n0.5,500,1200\n")
    says("eat.csv:4: arousal: 1200 lies beyond", import, "darma", { rate = 2 })
    write("darma/labels/eat.csv", "Magnitude,1000\nMultimedia File,eat.mkv\nSecond,valence,arousal\n0.5,1,2\n0.5,1,2\n")
    says("eat.csv:5: time 0.5 s after 0.5 s", import, "darma", { rate = 2 })
  end)

  it("of PAGAN hold until they change, in their own range; real ones of many raters are read whole", function()
    local found = found_of()
    local path = write("p.csv", "OriginalName,DatabaseName,Participant,SessionID,Timestamp,VideoTime,Value\n"
      .. "a &amp; b,v1,p1,s1,0,0,0\na &amp; b,v1,p1,s1,9,1000,5\na &amp; b,v1,p1,s2,0,0,4\na &amp; b,v1,p1,s1,5,500,10\n")
    local list = rated.pagan(path, "OriginalName", found)
    found:raise()
    assert.are.same({ 2, "a & b", "p1 s1", 1 }, { #list, list[1].media, list[1].rater, list[1].turned })
    assert.are.same({ -1, -1, 1, 1, 0 }, rated.sampled(list[1], 4, 5))
    assert.equal(5, rated.length(list, 4))
    local real = here .. "../../../shared/data/annotations/pagan_audio_logs.csv"
    if not io.open(real) then return pending "no real data here" end
    local traces = rated.pagan(real, "DatabaseName", found)
    found:raise()
    local events = 0
    for _, trace in ipairs(traces) do events = events + #trace end
    assert.is_true(#traces > 20 and events > 14000, ("%d traces, %d events"):format(#traces, events))
  end)

  it("of NOVA have their scheme's range, in ASCII and in binary form", function()
    local found = found_of()
    local header = [[<annotation ssi-v="3"><info ftype="%s" size="4"/><meta annotator="bob" role="user"/>
      <scheme name="valence" type="CONTINUOUS" sr="4" min="0" max="1"/></annotation>]]
    local path = write("s/v.annotation", header:format "ASCII")
    write("s/v.annotation~", "0,5;1,0\n1.0;1.0\nNaN;0\n0.25;1\n")
    local pairs_of = ffi.new("float[8]", 0.5, 1, 1, 1, 0 / 0, 0, 0.25, 1)
    local binary = write("s/b.annotation", header:format "BINARY")
    write("s/b.annotation~", ffi.string(pairs_of, 32))
    for _, file in ipairs { path, binary } do
      local about = require("reading.intervals").nova_header(file)
      local trace = rated.nova(file, about, found)[1]
      found:raise()
      assert.are.same({ 1, "bob", "valence" }, { trace.missing, trace.rater, trace.target })
      assert.are.same({ 0, 1, 1, -0.5 }, rated.sampled(trace, 4, 4))
    end
    write("s/v.annotation~", "0.5;1\nhello;1\n2;1\n")
    rated.nova(path, require("reading.intervals").nova_header(path), found)
    says("v.annotation~:2: 'hello' is no score", found.raise, found)
  end)
end)

describe("damaged label files", function()
  it("of all corpora are read or refused by their name, and nothing else happens", function()
    assert.truthy(dofile(here .. "../fuzz/labels.lua")(2, 5):find "files")
  end)
end)
