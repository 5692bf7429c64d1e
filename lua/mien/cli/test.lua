-- mien test: builds all, runs C programs, Lua specs and end-to-end tests, and counts.
-- Not here: the tests (tests/).
local check = require "mien.base.check"
local cli = require "mien.cli"
local host = require "mien.host"
local lfs = require "lfs"

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- Runs a shell command in the root folder; returns its lines (both outputs) and its exit status.
local function capture(command)
  local pipe = assert(io.popen(("cd %s && { %s ; } 2>&1 </dev/null; echo \"exit $?\""):format(
    quote(host.root), command), "r"))
  local lines = {}
  for line in pipe:lines() do lines[#lines + 1] = line end
  pipe:close()
  local status = tonumber((table.remove(lines) or ""):match "exit (%d+)$") or 1
  return lines, status
end

--- Files of a folder under tests/ whose names match, sorted.
local function files(kind, pattern)
  local found = {}
  local folder = "tests/" .. kind
  if lfs.attributes(host.root .. "/" .. folder, "mode") == "directory" then
    for name in lfs.dir(host.root .. "/" .. folder) do
      if name:find(pattern) then found[#found + 1] = folder .. "/" .. name end
    end
  end
  table.sort(found)
  return found
end

-- ---- what there is to run -----------------------------------------------------------------------------

local LIMIT = 900 -- seconds for one file

--- The environment in which a stock luajit finds mien, as words for env(1).
local function environment(build, asan)
  local root = host.root
  local paths = ("%s/lua/?.lua;%s/lua/?/init.lua;%s/%s/lua/?.lua;%s/?.lua;;"):format(root, root, root, build, root)
  local words = {
    "MIEN_LIBRARY=" .. root .. "/" .. build .. "/libmien.so",
    "MIEN=" .. root .. "/" .. build .. "/mien",
    "LUA_PATH=" .. paths,
    "CMOCKA_MESSAGE_OUTPUT=TAP",
  }
  if asan then
    words[#words + 1] = "ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:abort_on_error=0"
    words[#words + 1] = "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1"
    words[#words + 1] = ("LSAN_OPTIONS=suppressions=%s/tests/leaks.supp:print_suppressions=0"):format(root)
  end
  for i, word in ipairs(words) do words[i] = quote(word) end
  return "env " .. table.concat(words, " ")
end

--- The restrictions under which a test of the CPU's kernels runs once more, as words for env(1): the instruction sets
-- below the best one, and convolutions without what mien adds to oneDNN's. None in a run that is restricted itself.
local function restrictions(file)
  if os.getenv "MIEN_CPU_ISA" or os.getenv "MIEN_CPU_PLAIN" then return {} end
  local _, sets = require("mien.device.backend").isa()
  local words = {}
  for i = 2, #sets do words[#words + 1] = "MIEN_CPU_ISA=" .. sets[i] end
  if file:find "test_cpu%.c$" then words[#words + 1] = "MIEN_CPU_PLAIN=1" end
  return words
end

-- Those whose kernels are compiled for several sets; the others of tests/c and tests/backend compute nothing with them.
local kernels = {}
for _, name in ipairs { "c/test_isa", "c/test_optim", "c/test_tensor", "backend/test_backends", "backend/test_cpu",
  "backend/test_cpu_kernels", "backend/test_recurrent", "c/test_affect_post" } do
  kernels["tests/" .. name .. ".c"] = true
end

--- All test files with the command that runs each: { file =, command = }.
local function plan(build, asan)
  local jobs = {}
  local env = environment(build, asan)
  local function add(list, command)
    for _, file in ipairs(list) do
      local form = env .. " %s timeout -k 5 " .. LIMIT .. " " .. command(file):gsub("%%", "%%%%")
      jobs[#jobs + 1] = { file = file, command = form:format "" }
      for _, word in ipairs(kernels[file] and not asan and restrictions(file) or {}) do
        local part = file:find "test_backends" and " '*cpu*'" or "" -- ref's own targets need no second run
        jobs[#jobs + 1] = { file = file .. " " .. word, command = form:format(word) .. part }
      end
    end
  end
  local function program(file) return quote(build .. "/" .. file:match "([^/]+)%.c$") end
  -- A stock luajit is no ASan program, so the sanitizers' libraries come first. Leaks are looked for in the C programs
  -- alone: the leak checker crashes on LuaJIT's memory, and counts what gnuplot leaves behind.
  local no_leaks = asan and "ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 " or ""
  local preload = "LD_PRELOAD=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so) "
  local function spec(file)
    return ("env %s%sluajit $(command -v busted) -o TAP %s"):format(no_leaks, asan and preload or "", quote(file))
  end
  add(files("c", "^test_.*%.c$"), program)
  add(files("backend", "^test_.*%.c$"), program)
  add(files("lua", "_spec%.lua$"), spec)
  add(files("backend", "_spec%.lua$"), spec)
  -- what they check of whole runs and of Ctrl-C's seconds is for the release build
  if not asan then add(files("e2e", "_spec%.lua$"), spec) end
  add(files("e2e", "%.sh$"), function(file) return "env " .. no_leaks .. "bash " .. quote(file) end)
  return jobs
end

-- ---- running and counting ---------------------------------------------------------------------------------

--- Counts the TAP lines of one file; a program without any counts as one test by its exit status
-- (77: skipped). Returns passed, failed, skipped and the lines that explain failures.
local function count(lines, status)
  local passed, failed, skipped, why = 0, 0, 0, {}
  for _, line in ipairs(lines) do
    if line:find "^n?o?t? ?ok %d+ # [Ss][Kk][Ii][Pp]" or line:find "^ok .*# [Ss][Kk][Ii][Pp]" then -- cmocka: not ok
      skipped = skipped + 1
    elseif line:find "^ok " then
      passed = passed + 1
    elseif line:find "^not ok " then
      failed = failed + 1
      why[#why + 1] = line
    elseif not line:find "^1%.%.%d" and line ~= "" then
      why[#why + 1] = line
    end
  end
  if passed + failed + skipped == 0 and status == 77 then
    skipped = 1
  elseif status ~= 0 and failed == 0 then
    failed = 1
    why[#why + 1] = status == 124 and "no end within " .. LIMIT .. " s" or "exit status " .. status
  elseif passed + failed + skipped == 0 then
    passed = 1
  end
  return passed, failed, skipped, why
end

local function build_all(build, preset)
  local command = ("bash cmake/configure.sh %s %s && cmake --build %s"):format(build, preset, build)
  local _, status = capture(command)
  if status == 0 then return end
  -- Once more for the messages alone: what was built is not built again.
  check.raise("internal", "the build failed:\n%s", table.concat(capture(command), "\n"))
end

local function run(args)
  local filter, asan
  for _, word in ipairs(args) do
    if word == "--asan" then
      asan = true
    elseif word:find "^%-" or filter then
      cli.usage("mien test takes one filter and --asan, not %s", word)
    else
      filter = word
    end
  end
  local build, preset = "build", "release"
  if asan then build, preset = "build-asan", "debug-asan" end
  build_all(build, preset)
  local passed, failed, skipped = 0, 0, 0
  for _, job in ipairs(plan(build, asan)) do
    if not filter or job.file:find(filter, 1, true) then
      local start = require("mien.base.ffi").mien_time_monotonic()
      local lines, status = capture(job.command)
      local p, f, s, why = count(lines, status)
      passed, failed, skipped = passed + p, failed + f, skipped + s
      print(("%-6s %-44s %4d passed%s%s  %5.1f s"):format(f > 0 and "FAILED" or "ok", job.file, p,
        f > 0 and (", %d failed"):format(f) or "", s > 0 and (", %d skipped"):format(s) or "",
        require("mien.base.ffi").mien_time_monotonic() - start))
      if f > 0 then print("    " .. table.concat(why, "\n    ")) end
      io.stdout:flush()
    end
  end
  if passed + failed + skipped == 0 then cli.usage("no test file has %s in its name", tostring(filter)) end
  print(("%d passed, %d failed"):format(passed, failed) .. (skipped > 0 and ", " .. skipped .. " skipped" or ""))
  return failed > 0 and 1 or 0
end

return { summary = "run the tests: mien test [filter] [--asan]", run = run }
