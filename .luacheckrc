std = "luajit"
max_line_length = 126
exclude_files = { "build*/**", "runs/**" }
files["tests/lua"] = { std = "+busted" }
files["tests/e2e"] = { std = "+busted" }
files["tests/backend"] = { std = "+busted" }
