-- help: what is found under which name, and what an unknown name is answered with.
-- Not here: the prompt's ?name (repl_spec.lua).
local help = require "mien.help"

describe("help", function()
  it("lists parts and ops when no topic is given", function()
    local text = help.text()
    assert.truthy(text:find("tensor  ", 1, true))
    assert.truthy(text:find("conv2d", 1, true))
  end)

  it("shows an op's inputs, attributes and defaults as ops.def has them", function()
    local text = help.text "op.max_pool2d"
    assert.truthy(text:find("op.max_pool2d(input, { kernel_h, kernel_w, stride_h=1", 1, true))
    assert.truthy(text:find("-> output", 1, true))
    assert.falsy(text:find("index-", 1, true))
  end)

  it("shows a C function with the comment above its prototype", function()
    local text = help.text "mien_tensor_release"
    assert.truthy(text:find("void mien_tensor_release(mien_tensor *t);", 1, true))
    assert.truthy(text:find("Gives one reference back", 1, true))
  end)

  it("finds a C function in every header", function()
    for _, name in ipairs { "mien_error_last", "mien_rng_start", "mien_op_run", "mien_backward", "mien_h5_open",
      "mien_loader_next", "mien_video_open", "mien_moments", "mien_db_open", "mien_child_start" } do
      assert.truthy(help.lookup(name), name)
    end
  end)

  it("knows every op, layer and network by the name that a user writes", function()
    for name in pairs(getmetatable(require "mien.tensor.op").infos) do assert.truthy(help.lookup("op." .. name), name) end
    for _, part in ipairs { "nn", "models" } do
      for _, name in ipairs(require("mien." .. part).names()) do
        assert.truthy(help.lookup(part .. "." .. name), part .. "." .. name)
      end
    end
  end)

  it("finds a tensor method under tensor.<name> with its comment", function()
    local text = help.text "tensor.narrow"
    assert.truthy(text:find("narrow(t, dim, first, length)", 1, true))
    assert.truthy(text:find("1-based", 1, true))
  end)

  it("explains a Lua function value by the comment above it, wherever it was defined", function()
    --- Adds one.
    local function increment(x) return x + 1 end
    assert.equal(2, increment(1))
    local text = help.text(increment)
    assert.truthy(text:find("Adds one.", 1, true))
    assert.truthy(text:find("help_spec.lua:", 1, true))
  end)

  it("breaks lines at 112 columns, and goes on in the next line of the paragraph", function()
    --- One two three four five six seven eight nine ten one two three four five six seven eight nine ten one two three
    -- four five.
    --   an example
    local function counted() return 5 end
    assert.equal(5, counted())
    local text = help.text(counted)
    assert.truthy(text:find(" one two\n  three four five%.\n    an example\n"), text)
  end)

  it("finds functions by the names that mien.data gives them", function()
    for _, name in ipairs { "rater_lags", "split_subjects", "open", "faces", "gold" } do
      local text = help.text("data." .. name)
      assert.truthy(text:find("^data%." .. name), text)
    end
  end)

  it("explains a module value and a tensor", function()
    assert.truthy(help.text(require "mien.base.check"):find("error objects", 1, true))
    assert.truthy(help.text(require("mien").zeros { 1 }):find("tensor", 1, true))
  end)

  it("names what is near an unknown topic", function()
    local text, message = help.lookup "conv2b"
    assert.is_nil(text)
    assert.truthy(message:find("conv2d", 1, true))
  end)
end)
