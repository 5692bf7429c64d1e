-- No NaN of a file or of old memory becomes a Lua object: every float comes to Lua as the one NaN without payload.
-- Not here: attributes, and functions of C that Lua cannot hand such a NaN (tests/c/test_nan.c).
local ffi = require "ffi"
local C = require "mien.base.ffi"
local mien = require "mien"

--- Where the public headers let a float out, and why it is clean. A function or field that is not here fails the
-- test below: see that it goes through core/base/nan.h, or cannot hold a foreign NaN, and say so.
local doors = {
  -- cleaned at the door
  mien_tensor_get = "cleaned", mien_tensor_read = "cleaned", mien_tensor_data = "cleaned",
  mien_h5_get_number = "cleaned", mien_statement_real = "cleaned", mien_grad_norm = "cleaned",
  mien_grad_clip = "by mien_grad_norm", mien_shift = "cleaned", mien_moments_ccc = "cleaned",
  mien_moments_pearson = "cleaned", mien_moments_rmse = "cleaned", mien_search_median = "by mien_moments_ccc",
  mien_search_shift = "by mien_moments_ccc", mien_krippendorff_alpha = "cleaned",
  mien_rater_lags = "by mien_moments_pearson", mien_compensate_lag = "cleaned",
  -- no NaN of a caller's gets that far
  mien_tensor_summary = "finite elements, or C's own NaN", mien_gold_standard = "refuses NaN",
  mien_barycentre = "refuses NaN", mien_median_filter = "refuses NaN",
  mien_search_joint = "refuses NaN", mien_fleiss_kappa = "refuses NaN",
  mien_average_precision = "C's own NaN when there is one", mien_moments_add = "leaves pairs with a NaN out",
  mien_moments_merge = "sums of what mien_moments_add made",
  -- clocks, counts, whole numbers
  mien_rng_uniform = "drawn", mien_rng_normal = "drawn", mien_device_between = "a clock",
  mien_loader_waited = "a clock", mien_video_next = "a ratio of whole numbers",
  ["mien_face.x"] = "finite", ["mien_face.y"] = "finite", ["mien_face.w"] = "finite", ["mien_face.h"] = "finite",
  ["mien_face.score"] = "finite: what a file holds is checked when it is read, what YuNet says where it says it",
  ["mien_stream_frame.time"] = "see mien_video_next",
  mien_time_now = "a clock", mien_time_monotonic = "a clock",
  ["mien_op_profile.seconds"] = "a clock", ["mien_op_profile.gflop"] = "a count",
  ["mien_video_info.fps"] = "a ratio of whole numbers", ["mien_video_info.duration"] = "a ratio of whole numbers",
  ["mien_moments.n"] = "a count", ["mien_moments.skipped"] = "a count",
  ["mien_moments.mean_x"] = "see mien_moments_add", ["mien_moments.mean_y"] = "see mien_moments_add",
  ["mien_moments.m2_x"] = "see mien_moments_add", ["mien_moments.m2_y"] = "see mien_moments_add",
  ["mien_agreement.ccc"] = "cleaned by mien_rater_agreement",
  ["mien_agreement.pearson"] = "cleaned by mien_rater_agreement",
  ["mien_agreement.icc_single"] = "cleaned by mien_rater_agreement",
  ["mien_agreement.icc_mean"] = "cleaned by mien_rater_agreement",
  ["mien_agreement.times"] = "a count", ["mien_agreement.undefined"] = "a count",
  ["mien_moments.m_xy"] = "see mien_moments_add", ["mien_moments.squared_error"] = "see mien_moments_add",
}
--- Structs that Lua fills and C only reads.
local filled_by_lua = { mien_adam = true, mien_sgd = true, mien_scaling = true, mien_loader_config = true }

--- The doors that the headers have: functions that return a float or a plain pointer, or write through a pointer to
-- floats, and float fields of structs, "struct.field".
local function list_doors(text)
  local found = {}
  text = text:gsub("/%*.-%*/", " "):gsub("%s+", " ")
  local plain = text:gsub("typedef struct ([%w_]+) (%b{}) [%w_]+;", function(name, body)
    for kind, names in body:gmatch "([%w_]+) ([^;]+);" do
      if (kind == "double" or kind == "float") and not filled_by_lua[name] then
        for field in names:gsub("%b[]", ""):gmatch "[%w_]+" do found[#found + 1] = name .. "." .. field end
      end
    end
    return ";"
  end)
  for head, name, arguments in plain:gmatch "([%w_ %*]-)%s*%*?%s*(mien_[%w_]+)%s*(%b())" do
    local out = head:find "%f[%w]double%f[%W]" or head:find "%f[%w]float%f[%W]"
    if head:find "%f[%w]void$" and plain:find("void %*" .. name .. "%(") then out = true end
    for argument in arguments:sub(2, -2):gmatch "[^,]+" do
      if (argument:find "%f[%w]double%f[%W]" or argument:find "%f[%w]float%f[%W]") and argument:find "[%*%[]"
        and not argument:find "%f[%w]const%f[%W]" then out = true end
      if argument:find "mien_moments %*" and not argument:find "%f[%w]const%f[%W]" then out = true end
    end
    if out then found[#found + 1] = name end
  end
  return found
end

--- Bits of NaNs that LuaJIT would take for nil, true, a string, a function and a table; and plain ones.
local payloads = {
  f64 = { "0xFFFFFFFFFFFFFFFF", "0xFFFEC00000000000", "0xFFFD804141414141", "0xFFFB804141414141",
    "0xFFFA004141414141", "0x7FF8000000000000", "0xFFF8000000000000", "0x7FF0000000000001" },
  f32 = { "0xFFFFFFFF", "0xFFF40000", "0xFFEC1234", "0xFFDC1234", "0xFFD01234", "0x7FC00000", "0xFFC00000", "0xFF800001" },
  f16 = { "0xFFFF", "0xFFA0", "0xFF61", "0xFEE1", "0x7E00", "0xFC01" },
  bf16 = { "0xFFFF", "0xFFF4", "0xFFEC", "0xFFDC", "0xFFD0", "0x7FC0", "0xFF81" },
}
local words = { f64 = "uint64_t", f32 = "uint32_t", f16 = "uint16_t", bf16 = "uint16_t" }

--- A tensor with exactly these bits.
local function crafted(dtype)
  local bits = payloads[dtype]
  local t = mien.empty { #bits, dtype = dtype }
  local to = ffi.cast(words[dtype] .. " *", C.mien_tensor_data(t))
  for i, word in ipairs(bits) do to[i - 1] = assert(loadstring("return " .. word .. "ULL"))() end
  return t, #bits
end

local function is_nan(value, what)
  assert.are.equal("number", type(value), what)
  assert.is_true(value ~= value, what)
end

describe("a NaN with a payload", function()
  it("has no way to Lua that nobody has looked at", function()
    local known, seen = {}, {}
    for name in pairs(doors) do known[name] = true end
    for _, name in ipairs(list_doors(require "mien.cdef")) do
      assert.is_true(known[name], name .. " lets floats out to Lua and is not among the doors of this test")
      seen[name] = true
    end
    for name in pairs(doors) do assert.is_true(seen[name], name .. " is listed here, but no header has it") end
  end)

  for dtype in pairs(payloads) do
    it("in " .. dtype .. " memory comes out as NaN by item, at, entries, tables, doubles, copies and pointers", function()
      local t, n = crafted(dtype)
      for i = 1, n do
        local what = dtype .. " " .. payloads[dtype][i]
        is_nan(t:narrow(1, i, 1):item(), what)
        is_nan(t:at(i), what)
        is_nan(t[i], what)
      end
      for i, value in ipairs(t:totable()) do is_nan(value, dtype .. " " .. payloads[dtype][i]) end
      local flat = t:doubles()
      for i = 0, n - 1 do is_nan(flat[i]) end
      for _, wide in ipairs { "f32", "f64" } do
        local p = t:to(wide):data()
        for i = 0, n - 1 do is_nan(p[i], wide .. " of " .. dtype) end
      end
      local summed = (t:to "f32" + 1):totable()
      for i = 1, n do is_nan(summed[i]) end
      assert.are.equal(n, select(5, t:summary()))
      assert.is_string(tostring(t))
    end)
  end

  it("is not found in a tensor that is to be written", function()
    for _ = 1, 8 do -- the pool gives the same memory again
      local t = mien.ones { 4096, dtype = "f64" }
      ffi.fill(C.mien_tensor_data(t), 4096 * 8, 0xff)
      t:free()
      local fresh = mien.empty { 4096, dtype = "f64" }
      for i = 1, 4096 do assert.are.equal(0, fresh[i]) end
      fresh:free()
    end
  end)
end)
