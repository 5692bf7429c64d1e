#!/usr/bin/env bash
# The number that libmien.so and libmien_cuda.so compare before one uses the other's tables.
# Not here: what is said when they differ (tests/backend/test_device.c).
set -u
source "$(dirname "${BASH_SOURCE[0]}")/tap.bash"
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/source" "$work/build"
cp -r "$root/core" "$work/source/"

number() { # of the copied sources
  cmake -DSOURCE="$work/source" -DBINARY="$work/build" -P "$root/cmake/generate.cmake" &&
    sed -n 's/^#define MIEN_PLUGIN_ABI //p' "$work/build/plugin_abi.h"
}
change() { # file, sed's words: one edit of the copy, undone afterwards; true when the number changes
  cp "$work/source/core/$1" "$work/kept"
  sed -i "$2" "$work/source/core/$1"
  local now
  now=$(number)
  cmp -s "$work/kept" "$work/source/core/$1" && return 2
  cp "$work/kept" "$work/source/core/$1"
  [[ $now =~ ^0x[0-9a-f]{8}u$ ]] && [ "$now" != "$first" ]
}

first=$(number)
[[ $first =~ ^0x[0-9a-f]{8}u$ ]]
check $? "it is a number: $first"
[ "$(number)" = "$first" ]
check $? "the same sources give the same"
change ops/ops.def 's/^MIEN_OP(relu,/MIEN_OP(swapped,/; s/^MIEN_OP(tanh,/MIEN_OP(relu,/; s/^MIEN_OP(swapped,/MIEN_OP(tanh,/'
check $? "two rows of ops.def that change places make another"
change optim/updates.h 's/(\*scale)(mien_tensor \*t, double factor)/(*swapped)(mien_tensor *t, double factor)/'
check $? "so does an entry of a table of updates"
change backend/backend.h 's/mien_op_fn forward\[MIEN_OP_COUNT\]/mien_op_fn swapped[MIEN_OP_COUNT]/'
check $? "so does an entry of a backend's table"
change tensor/device.h 's/(\*download)(void \*dst,/(*swapped)(void *dst,/'
check $? "so does an entry of a device's table"
change tensor/tensor.h 's/^    MIEN_BF16,/    MIEN_SWAPPED,/; s/^    MIEN_F16,/    MIEN_BF16,/; s/^    MIEN_SWAPPED,/    MIEN_F16,/'
check $? "so do two dtypes that change places"
change optim/optim.h 's/double lr, beta1, beta2, eps,/double lr, beta2, beta1, eps,/'
check $? "so do two numbers of an optimiser"
change backend/record.h 's/MIEN_FEED_ADAM, MIEN_FEED_SGD/MIEN_FEED_SGD, MIEN_FEED_ADAM/'
check $? "so do two kinds of numbers that a recorded step is fed"
finish
