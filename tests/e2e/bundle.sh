#!/usr/bin/env bash
# The bundle for GPU machines, moved to an empty root folder that has glibc with libgcc_s and nothing else: its programs start, a
# training step runs, and what is left out says so. Not here: what a GPU computes (tests/bench/gpu.sh).
set -u
source "$(dirname "${BASH_SOURCE[0]}")/tap.bash"
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build

skip() { # why
  echo "1..0 # SKIP $1"
  exit 0
}
[ -e "$build/libmien_cuda.so" ] || skip "the build has no CUDA: no bundle"
unshare -rm true 2>/dev/null || skip "no namespaces of our own here: no empty root folder"

bare=$(mktemp -d)
trap 'rm -rf "$bare"' EXIT
log=$bare/log

cmake --build "$build" --target bundle >"$log" 2>&1
check $? "the bundle builds"
(($(stat -c %s "$build/bundle.tar.gz") < 40 * 1024 * 1024))
check $? "it is smaller than 40 MiB"

mkdir -p "$bare/moved" "$bare/proc" "$bare/tmp"
tar xzf "$build/bundle.tar.gz" -C "$bare/moved"
loader=$(readelf -l "$build/bundle/build/mien" | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
while read -r file; do
  mkdir -p "$bare$(dirname "$file")"
  cp -L "$file" "$bare$file"
done < <(echo "$loader"; ldd "$build/bundle/build/mien" "$build/libmien_cuda.so" |
  sed -n 's#.*=> \(/[^ ]*/lib\(c\|gcc_s\|m\|dl\|rt\|pthread\)\.so[^ ]*\).*#\1#p' | sort -u)
inside() { # a program of the bundle and its arguments, in the empty root folder
  env -u MIEN -u MIEN_LIBRARY unshare -rm bash -c 'mount --rbind /proc "$0/proc" && exec chroot "$0" "$@"' "$bare" \
    "/moved/bundle/build/$1" "${@:2}" >"$log" 2>&1
}

inside mien -e '
  local mien = require "mien"
  local net = mien.models.recurrent { features = mien.models.resnet50 { width = 2 }, hidden = 4, layers = 2,
    outputs = { "arousal", "valence" } }
  local optimiser = mien.optim.adam(net:parameters(), { lr = 1e-3 })
  local frames, target = mien.randn { 2, 2, 3, 32, 32 }, mien.randn { 2, 2, 2 }
  mien.loss.ccc((net(frames)), target):backward()
  optimiser:step()
  print(require("cjson").encode { steps = optimiser.steps })' && grep -q '^{"steps":1}$' "$log"
check $? "a training step runs where there is nothing but glibc"

! inside mien -e 'print(require("mien").results.open ":memory:")' && grep -q "is left out of this build" "$log"
check $? "what is left out says so"

inside mien -e 'print(require("mien").device.info().missing)' && grep -q "cublasLt\|cuDNN\|driver" "$log"
check $? "the GPU's backend opens and tells what it misses"

finish
