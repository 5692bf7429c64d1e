#!/usr/bin/env bash
# The sources keep to the layers (cmake/layers.txt), and what does not is told.
# Not here: the layers, and how they are looked at (cmake/layers.sh).
set -u
source "$(dirname "${BASH_SOURCE[0]}")/tap.bash"
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) log=$(mktemp)
trap 'rm -rf "$work" "$log"' EXIT

"$root/cmake/layers.sh" >"$log"
check $? "every file uses its own layer and those below alone"

refused() { # file, text to append to it, what is to be said: in a copy of the sources
  rm -rf "${work:?}"/*
  cp -r "$root/core" "$root/cmake" "$root/lua" "$work/"
  mkdir -p "$work/${1%/*}"
  printf '%s\n' "$2" >>"$work/$1"
  ! "$root/cmake/layers.sh" "$work" >"$log" 2>&1 && grep -qF -- "$3" "$log"
}
refused core/tensor/rng.c '#include "ops/ops.h"' "core/tensor may not use core/ops (core/ops/ops.h)"
check $? "an include upwards is refused"
refused core/backend/registry.c '#include "backend/cpu/cpu.h"' "core/backend may not use core/backend/cpu"
check $? "and one into a folder below that is a layer of its own"
refused core/run/run.c '  #  include "abi/abi.h"' "core/run may not use core/abi"
check $? "and of what stands above all"
refused core/extra/new.c 'int extra;' "core/extra/new.c: its folder is not in cmake/layers.txt"
check $? "a folder without a layer is refused"
refused core/ops/ops.c '#include "../tensor/tensor.h"' "it takes a path from core/"
check $? "and a path that goes back"
refused core/ops/ops.c '#include "ops/infer.h"' "or the name of a file beside it"
check $? "and the long name of a file beside"
refused core/ops/ops.c '#include "tensor.h"' "it takes a path from core/"
check $? "and the short name of a file elsewhere"
refused cmake/layers.txt 'core/tensor: core/abi2' "core/abi2 stands not further up"
check $? "a layer on one that is not below it is refused"
refused lua/mien/base/check.lua 'local t = require("mien.tensor")' "lua/mien/base may not use lua/mien/tensor"
check $? "a module that requires one above it is refused"
refused lua/mien/nn/linear.lua 'local cli = "mien.cli"' "lua/mien/nn may not use lua/mien/cli"
check $? "and one that names it for later"
refused lua/mien/nn/linear.lua 'require "mien"' "lua/mien/nn may not use lua/mien (lua/mien/init.lua)"
check $? "and one that requires the entry"
refused lua/mien/nn/linear.lua 'require "mien.metric"' "requires mien.metric, which is no file"
check $? "and one that requires what is not there"
refused lua/mien/extra/new.lua 'return 1' "lua/mien/extra: is not in cmake/layers.txt"
check $? "a folder without a layer is refused there, too"
finish
