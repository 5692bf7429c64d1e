#!/usr/bin/env bash
# Runs the tests of a bundle (`cmake --build build --target bundle`) on a machine with a GPU and cuDNN; nothing
# else is needed there. `gpu.sh sanitize` runs them under compute-sanitizer too. Not here: speed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "# no nvidia-smi"
CMOCKA_MESSAGE_OUTPUT=TAP "$here/../../build/test_backends"
status=$?
if [ "${1:-}" = sanitize ]; then
  for tool in memcheck racecheck initcheck; do
    echo "# compute-sanitizer --tool $tool"
    compute-sanitizer --tool $tool --error-exitcode 1 --print-limit 20 "$here/../../build/test_backends" || status=1
  done
fi
exit $status
