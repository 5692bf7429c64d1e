-- Every C function that takes a tensor, as the headers declare them, given tensors that were freed or live on a GPU:
-- an error or a result, never a crash. A new function is asked by being declared.
-- Not here: what the functions do with good tensors (the tests of each).
local plugin = require "with_plugin"

-- Functions that a freed tensor is no error for: what it still knows of itself, and what is done with its handle.
local STILL_GOOD = {}
for name in ([[ retain release free is_freed ndim size stride count dtype device name set_name block requires_grad
  is_leaf set_grad ]]):gmatch "%S+" do
  STILL_GOOD["mien_tensor_" .. name] = true
end

-- Calls each function as often as it has places for tensors, with the bad one in one place and good ones in the others;
-- prints the call before it is made, and what came of it.
local CALLS = [[
  local ffi, C = require "ffi", require "mien.base.ffi"
  local kind, folder = ...
  local text = dofile((os.getenv "MIEN_LIBRARY" or "build/libmien.so"):gsub("[^/]*$", "") .. "lua/mien/cdef.lua")
  text = text:gsub("/%*.-%*/", " "):gsub("%s+", " ")

  local function good() return mien.zeros { 2, 2, 3, dtype = "u8" } end
  local function bad()
    if kind == "gpu" then return good():to "cuda" end
    local t = good()
    t:free()
    return t
  end

  local keep = {} -- what calls point at
  local function kept(value) keep[#keep + 1] = value return value end
  local turn = 0
  local function file()
    turn = turn + 1
    local h5 = C.mien_h5_create(("%s/%d.h5"):format(folder, turn))
    assert(C.mien_h5_dataset(h5, "x", C.MIEN_U8, 3, kept(ffi.new("int64_t[3]", 0, 2, 3)), nil, 0) == 0)
    return ffi.gc(h5, C.mien_h5_close)
  end
  local HANDLES = {
    mien_h5 = file, mien_rng = function() return mien.rng.stream(1, "any") end,
    mien_face_detector = function() return C.mien_face_detector_new("cascade", nil) end,
    mien_walk = function()
      local leaf = kept(mien.ones { 2 })
      assert(C.mien_tensor_set_requires_grad(leaf, true) == 0)
      return ffi.gc(C.mien_walk_new(kept(leaf:sum()), nil), C.mien_walk_free)
    end,
  }

  --- A value for a parameter; `tensor` makes what stands where a tensor is wanted.
  local function argument(into, type, name, tensor)
    local bare = type:gsub("const ", ""):gsub("%s", "")
    if bare == "mien_tensor*" then return tensor() end
    if bare == "mien_tensor**" and not type:find "const" then return kept(ffi.new "mien_tensor *[8]") end -- a result
    if bare == "mien_tensor**" or bare == "mien_tensor*const*" then
      local t = kept(tensor())
      return kept(ffi.new("mien_tensor *[1]", t))
    end
    if bare == "char*" then return name == "path" and folder .. "/x.png" or into:find "append" and "x" or "y" end
    local pointed = bare:match "^([%w_]+)%*$"
    if pointed and HANDLES[pointed] then return kept(HANDLES[pointed]()) end
    if pointed and not ffi.sizeof(pointed) then return nil end -- a handle without a maker: NULL
    if pointed then return kept(ffi.new(pointed .. "[64]")) end
    if name == "step" then return 1 end
    if name == "n" and bare == "int64_t" then return 12 end -- elements
    if bare:find "^mien_" then return 0 end
    return (bare == "double" or name:find "^n" or name:find "height" or name:find "width" or name == "max") and 1 or 0
  end

  for result, name, list in text:gmatch "([%w_ ]+ %*?)(mien_[%w_]+)%(([^()]-)%);" do
    local parameters, places = {}, 0
    for one in list:gmatch "[^,]+" do
      one = one:gsub("^ ", ""):gsub("(mien_tensor %*const %*)", "%1 "):gsub("%[%d*%]$", "")
      local array = list:find(one .. "[", 1, true) and "*" or ""
      local type, called = one:match "^(.-)%s*([%w_]+)$"
      if type == "" then type, called = called, "" end
      parameters[#parameters + 1] = { type .. array, called }
      local result_place = type:find "mien_tensor %*%*$" and not type:find "const"
      if type:find "mien_tensor %*" and not result_place then places = places + 1 end
    end
    for place = 1, places do
      keep = {}
      local at, arguments = 0, {}
      for i, parameter in ipairs(parameters) do
        arguments[i] = argument(name, parameter[1], parameter[2], function()
          at = at + 1
          local t = at == place and bad() or good()
          if result:find "%*" or not name:find "_release$" then return t end
          return ffi.gc(t, nil)
        end)
      end
      io.write(name, "/", place, " ")
      io.flush()
      local got = C[name](unpack(arguments, 1, #parameters))
      local failed = result:find "%*" and got == nil or result:find "^%s*mien_status" and got ~= 0
        or result:find "^%s*int " and got < 0
      print(failed and "error" or "done", failed and ffi.string(C.mien_error_last().message) or "")
    end
  end
  print "all"
]]

describe("a C function that takes tensors", function()
  local folder
  before_each(function() folder = require("tests.lua.tiny").folder() end)
  after_each(function() require("tests.lua.tiny").drop(folder) end)

  local function answers(kind)
    local text = plugin.run(plugin.fake, CALLS, kind, folder)
    assert.matches("all$", text, nil, text)
    local list, n = {}, 0
    for name, answer, message in text:gmatch "(mien_[%w_]+/%d) (%w+)\t([^\n]*)" do
      list[name], n = { answer, message }, n + 1
    end
    assert.is_true(n > 40, text)
    return list
  end

  it("refuses one that was freed", function()
    for name, answer in pairs(answers "freed") do
      if not STILL_GOOD[name:match "^[^/]+"] then assert.equal("error", answer[1], name) end
    end
  end)

  it("takes one on a GPU or says that it does not", function()
    local list = answers "gpu"
    for _, name in ipairs { "mien_image_resize/1", "mien_image_crop/1", "mien_image_write/1", "mien_face_detect/1" } do
      local message = list[name][2]
      if not message:find "built without" and not message:find "needs a detector" then
        assert.matches("GPU", message, nil, name)
      end
    end
  end)
end)
