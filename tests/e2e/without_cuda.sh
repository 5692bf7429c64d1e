#!/usr/bin/env bash
# A build as on a machine without the CUDA toolkit: everything else is built, and asking for a GPU says why not.
# Not here: what a GPU computes (tests/backend).
set -u
source "$(dirname "${BASH_SOURCE[0]}")/tap.bash"
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
log=$build/log
cd "$root" || exit 1

cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE=-O1 -DMIEN_CUDA=OFF >"$log" 2>&1 &&
  cmake --build "$build" --target workbench fake_gpu fake_gpu_old fake_gpu_ops test_device >>"$log" 2>&1
check $? "the workbench builds with MIEN_CUDA=OFF"

[ -e "$build/libmien.so" ] && [ ! -e "$build/libmien_cuda.so" ]
check $? "there is no libmien_cuda.so then"

CMOCKA_MESSAGE_OUTPUT=TAP "$build/test_device" >"$log" 2>&1
check $? "asking for a GPU is an error that says why"

finish
