#!/usr/bin/env bash
# A build as on a machine without the CUDA toolkit: everything else is built, and asking for a GPU says why not.
# Not here: what a GPU computes (tests/backend).
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cd "$root" || exit 1

count=0 failures=0
check() { # status of the condition, description
  count=$((count + 1))
  if (($1 == 0)); then echo "ok $count - $2"; else
    echo "not ok $count - $2"
    failures=$((failures + 1))
  fi
}

cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE=-O1 -DMIEN_CUDA=OFF >"$build/log" 2>&1 &&
  cmake --build "$build" --target workbench fake_gpu fake_gpu_old test_device >>"$build/log" 2>&1
status=$?
check $status "the workbench builds with MIEN_CUDA=OFF"
((status == 0)) || tail -20 "$build/log"

[ -e "$build/libmien.so" ] && [ ! -e "$build/libmien_cuda.so" ]
check $? "there is no libmien_cuda.so then"

CMOCKA_MESSAGE_OUTPUT=TAP "$build/test_device" >"$build/log" 2>&1
status=$?
check $status "asking for a GPU is an error that says why"
((status == 0)) || cat "$build/log"

echo "1..$count"
exit $((failures > 0))
