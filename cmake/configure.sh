#!/usr/bin/env bash
# Configures a build folder by its preset: configure.sh FOLDER PRESET. One that was moved or copied here, with the
# paths of another place in its cache, is configured anew. Not here: building (mien, lua/mien/cli/test.lua).
set -u
root=$(CDPATH='' cd -P -- "${BASH_SOURCE[0]%/*}/.." && pwd) || exit 1
build=$root/$1
home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$build/CMakeCache.txt" 2>/dev/null)
[[ -n $home && $home != "$root" ]] && rm -rf "$build/CMakeCache.txt" "$build/CMakeFiles" "$build/build.ninja"
cd "$root" && exec cmake --preset "$2"
