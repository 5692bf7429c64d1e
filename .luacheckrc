std = "luajit"
max_line_length = 120
exclude_files = { "build*/**", "runs/**" }
files["tests/lua"] = { std = "+busted" }
files["tests/e2e"] = { std = "+busted" }
files["tests/backend"] = { std = "+busted" }
