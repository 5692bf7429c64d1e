-- The executable as a shell sees it: exit codes, messages, scripts, the piped prompt.
-- Not here: the launcher (tests/e2e/launcher.sh) and what single commands compute.
local executable = os.getenv "MIEN" or "build/mien"

--- Runs the executable; returns both outputs as one text, and the exit code.
local function run(arguments, input)
  local command = ("%s '%s' %s 2>&1; echo \"exit $?\""):format(input and "printf '%s' '" .. input .. "' |" or "",
    executable, arguments .. (input and "" or " </dev/null"))
  local pipe = assert(io.popen(command))
  local text = pipe:read "*a"
  pipe:close()
  local output, code = text:match "^(.-)exit (%d+)\n$"
  return output, tonumber(code)
end

describe("the command line", function()
  it("answers an unknown command with the nearest one and exit code 2", function()
    local output, code = run "docter"
    assert.equal(2, code)
    assert.truthy(output:find("did you mean doctor?", 1, true))
    assert.falsy(output:find("traceback", 1, true))
  end)

  it("finds the scripts that come with it from any folder", function()
    local pipe = io.popen(("here=$PWD; cd / && case '%s' in /*) '%s' datasets/folder.lua --help;; *) \"$here/%s\" "
      .. "datasets/folder.lua --help;; esac 2>&1"):format(executable, executable, executable))
    local text = pipe:read "*a"
    pipe:close()
    assert.matches("Usage: mien datasets/folder.lua", text)
    assert.matches("there is no script nowhere.lua", (run "nowhere.lua"))
  end)

  it("offers only words that are near", function()
    for word in ("zzz qq x planet dctr"):gmatch "%S+" do
      assert.equal(word == "dctr", run(word):find("did you mean", 1, true) ~= nil, word)
    end
  end)

  it("answers an unknown option with exit code 2", function()
    local output, code = run "--versoin"
    assert.equal(2, code)
    assert.truthy(output:find("--version", 1, true))
    assert.equal(2, select(2, run "test --no-such-option"))
    assert.equal(2, select(2, run "doctor now"))
  end)

  it("answers unknown options and values of a command with exit code 2", function()
    for arguments, wording in pairs {
      ["experiments/context.lua"] = "does nothing by itself: mien run experiments/context.lua",
      ["run --profil demo"] = "unknown option --profil; did you mean --profile?",
      ["predict"] = "name a video",
      ["predict v.mp4"] = "--weights",
      ["predict v.mp4 --weights w.h5 --box 1,2,3"] = "not x,y,w,h",
      ["predict v.mp4 --weights w.h5 --every 0"] = "no count",
      ["predict v.mp4 --weigths w.h5"] = "did you mean --weights?",
      ["predict a.mp4 --devise cpu"] = "unknown option --devise; did you mean --device?",
      ["sql --jsn"] = "unknown option --jsn; did you mean --json?",
      ["run experiments/context.lua --device gpu"] = "--device takes auto, cpu, cuda, not gpu",
      ["predict a.mp4 --weights w.h5 --int8 c.h5 --precision f32"] = "--int8 is a precision of its own",
      ["predict a.mp4 --weights w.h5 --precision half"] = "--precision takes f32, tf32, bf16, fp16, not half",
      ["profile experiments/context.lua --precision half"] = "--precision takes f32, tf32, bf16, fp16, not half",
    } do
      local output, code = run(arguments)
      assert.equal(2, code, arguments)
      assert.truthy(output:find(wording, 1, true), output)
    end
  end)

  it("says what was noticed on the way once, when a script has ended", function()
    local script = os.tmpname()
    local file = assert(io.open(script .. ".lua", "w"))
    file:write('require "mien"; local C = require "mien.base.ffi"; print "first"\n',
      'for _ = 1, 3 do C.mien_notice "a cache that cannot be kept" end; if ... then error "it failed" end\n')
    file:close()
    assert.same({ "first\nmien: a cache that cannot be kept\n", 0 }, { run(script .. ".lua") })
    local output, code = run(script .. ".lua fail")
    assert.equal(1, code)
    assert.truthy(output:find("mien: a cache that cannot be kept\n", 1, true))
    assert.equal("first\nmien: a cache that cannot be kept\n", (run("", "dofile [[" .. script .. ".lua]]\n")))
    os.remove(script .. ".lua")
    os.remove(script)
  end)

  it("shows where an error of mien began only when it is asked to", function()
    local plain = run "run no_such_experiment.lua"
    assert.equal("mien: experiment: cannot open no_such_experiment.lua: No such file or directory\n", plain)
    local traced, code = run "--trace run no_such_experiment.lua"
    assert.truthy(traced:find("in function 'load'", 1, true))
    assert.equal(1, code)
  end)

  it("says before a run what a small limit on the address space may do", function()
    if executable:find "asan" then return end
    local function said(limit)
      local pipe = io.popen(("(ulimit -v %s; exec '%s' run nowhere.lua) 2>&1"):format(limit, executable))
      local text = pipe:read "*a"
      pipe:close()
      return text
    end
    assert.matches("address space is limited to 1465 MiB", said "1500000")
    assert.falsy(said("unlimited"):find("address space", 1, true))
  end)

  it("explains the keys of an experiment", function()
    local output = run "help keys"
    assert.truthy(output:find('precision +"f32" +f32, tf32, bf16, fp16: '))
    assert.truthy(output:find("data%.augment%.crop +false "))
  end)

  it("tells in doctor which precisions there are", function()
    local output = run "doctor"
    assert.truthy(output:find('device +%l+, where device = "auto"'))
    assert.truthy(output:find("precision +cpu: f32, tf32"))
  end)

  it("tells in doctor what of NVIDIA's is missing, and that NCCL need not be there", function()
    local pipe = io.popen(("MIEN_CUDA_LIBRARY='%s' '%s' doctor 2>&1"):format(require("with_plugin").fake, executable))
    local output = pipe:read "*a"
    pipe:close()
    assert.truthy(output:find("\ncudnn +missing\n"), output)
    assert.truthy(output:find("\nnccl +missing %(only for several GPUs, which mien does not use%)\n"))
  end)

  it("runs code and scripts with their arguments and exit code", function()
    assert.same({ "1 a\n", 0 }, { run "-e 'print(1, ...)' a | tr '\\t' ' '; echo 'exit 0' | tail -0" })
    local name = os.tmpname() .. ".lua"
    local file = assert(io.open(name, "w"))
    file:write 'print(arg[0]:match("%.lua$"), arg[1], ...)\nreturn 3\n'
    file:close()
    local output, code = run(name .. " 'a b'")
    os.remove(name)
    assert.equal(".lua\ta b\ta b\n", output)
    assert.equal(3, code)
  end)

  it("prints the message and the frames of a script error, exit code 1", function()
    local output, code = run "-e 'local function inner() error(\"broken\") end inner()'"
    assert.equal(1, code)
    assert.truthy(output:find("broken", 1, true))
    assert.truthy(output:find("in function 'inner'", 1, true))
  end)

  it("prints mien's own errors with their code's message and exit code 1", function()
    local output, code = run "-e 'mien = require \"mien\"; mien.zeros{2}:reshape{3}'"
    assert.equal(1, code)
    assert.truthy(output:find("reshape", 1, true))
  end)

  it("reports that memory ran out with the little that is left", function()
    if executable:find "asan" then return end -- ASan's own memory has no place below a limit
    local endless = 'local t = {} while true do t[#t + 1] = ("x"):rep(1e6) .. #t end'
    local pipe = io.popen(("(ulimit -v 1500000; exec '%s' -e '%s') 2>&1; echo $?"):format(executable, endless))
    local text = pipe:read "*a"
    pipe:close()
    assert.matches("^mien: .*not enough memory.*\n1\n$", text)
    assert.falsy(text:find("attempt to", 1, true), text)
  end)

  it("names the missing script", function()
    local output, code = run "no_such_file.lua"
    assert.equal(1, code)
    assert.truthy(output:find("no_such_file.lua", 1, true))
  end)

  it("lists the commands", function()
    local output, code = run "help"
    assert.equal(0, code)
    for _, name in ipairs { "doctor", "test", "help" } do assert.truthy(output:find("mien " .. name, 1, true), name) end
  end)
end)

describe("the piped prompt", function()
  it("evaluates lines, prints values and asks for nothing", function()
    local output, code = run("", "x = 2\nfor i = 1, 2 do\nprint(i)\nend\nx * 21\n_\n")
    assert.equal("1\n2\n42\n42\n", output)
    assert.equal(0, code)
  end)

  it("goes on after an error and ends with exit code 1", function()
    local output, code = run("", "y.z\n1 + 1\n")
    assert.truthy(output:find("error: attempt to index global", 1, true))
    assert.truthy(output:find("2\n", 1, true))
    assert.equal(1, code)
  end)

  it("has help and names unknown directives", function()
    local output = run("", "?linear\n:nonsense\n")
    assert.truthy(output:find("op.linear(input, weight, bias?)", 1, true))
    assert.truthy(output:find("there is no :nonsense", 1, true))
  end)
end)
