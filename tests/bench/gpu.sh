#!/usr/bin/env bash
# Tests and times mien on a machine with an NVIDIA GPU, from a bundle (`cmake --build build --target bundle`) or from a
# built tree; docs/gpu.md tells how. Not here: what is timed and judged (gpu.lua, gpu_report.lua), any build.
#   gpu.sh [PART ...]           tests, then the comparison with PyTorch (or these parts of it) within 8 minutes
#   gpu.sh test [PATTERN]       the tests alone, or those whose name fits, such as "cuda bf16 *"
#   gpu.sh sanitize [TOOL ...]  the op tests under compute-sanitizer (memcheck racecheck initcheck synccheck)
#   gpu.sh --cpu                a check of this script with tiny nets and no GPU; its figures are no results
# Results: $OUT/gpu.json and $OUT/gpu.md, in the current folder without OUT. PYTHON names a python3 with PyTorch.
set -u
SECONDS=0
BUDGET=${BUDGET:-470} # seconds of a whole run
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$here/../.." && pwd)/build
mkdir -p "${OUT:-.}" && out=$(cd "${OUT:-.}" && pwd) || exit 2
python=$(command -v "${PYTHON:-python3}" || true)
export MIEN=$build/mien

say() { printf '%4ds %s\n' "$SECONDS" "$*" >&2; }
left() { echo $((BUDGET - SECONDS)); }

for file in mien libmien.so test_backends; do
  [ -e "$build/$file" ] || { echo "gpu.sh: there is no $build/$file; unpack a whole bundle, or build the tree" >&2; exit 2; }
done

# ---- libraries: ours are opened at run time, PyTorch brings its own ---------------------------------------------
loader=${LD_LIBRARY_PATH-}
known() { ldconfig -p 2>/dev/null | grep -q "$1"; }
first() { # the first of some folders that is there
  local folder
  for folder in "$@"; do [ -d "$folder" ] && { echo "$folder"; return; }; done
}
find_libraries() {
  local nvcc wheels=
  nvcc=$(command -v nvcc || find /usr/local/cuda*/bin -name nvcc 2>/dev/null | tail -1)
  toolkit=${CUDA_HOME:-${nvcc%/bin/nvcc}}
  [ -n "$python" ] && wheels=$("$python" -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null)
  if [ -n "$wheels" ]; then
    [ -z "${MIEN_CUDNN_DIR-}" ] && ! known libcudnn.so.9 && [ -e "$wheels/cudnn/lib/libcudnn.so.9" ] &&
      export MIEN_CUDNN_DIR=$wheels/cudnn/lib
    [ -z "${MIEN_CUBLAS_DIR-}" ] && ! known libcublasLt.so.13 && [ ! -e "$toolkit/lib64/libcublasLt.so.13" ] &&
      MIEN_CUBLAS_DIR=$(first "$wheels/cu13/lib" "$wheels/cublas/lib") && export MIEN_CUBLAS_DIR
  fi
  # cuDNN compiles kernels with NVRTC, which it looks for by name.
  local nvrtc
  nvrtc=$(first ${toolkit:+"$toolkit/lib64"} "$wheels/cu13/lib" "$wheels/cuda_nvrtc/lib")
  [ -n "$nvrtc" ] && export LD_LIBRARY_PATH=$nvrtc${loader:+:$loader}
}
toolkit=
find_libraries

# ---- tests ------------------------------------------------------------------------------------------------------
if [ "${1-}" = test ]; then
  CMOCKA_MESSAGE_OUTPUT=TAP exec "$build/test_backends" ${2+"$2"}
fi
if [ "${1-}" = sanitize ]; then
  shift
  sanitizer=$(command -v compute-sanitizer || echo "$toolkit/bin/compute-sanitizer")
  [ -x "$sanitizer" ] || { echo "gpu.sh: no compute-sanitizer beside nvcc ($toolkit)" >&2; exit 2; }
  status=0
  for tool in "${@:-memcheck}"; do
    for pattern in "cuda f32 *" "cuda bf16 mixed *"; do
      say "compute-sanitizer --tool $tool, tests $pattern"
      CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 "${LIMIT:-270}" "$sanitizer" --tool "$tool" --error-exitcode 1 --print-limit 20 \
        "$build/test_backends" "$pattern" >"$out/sanitize.log" 2>&1
      code=$?
      grep -E '^not ok|ERROR SUMMARY|RACECHECK SUMMARY|Invalid|Uninit|hazard|Barrier' "$out/sanitize.log" | sort | uniq -c | sort -rn | head -40
      mv "$out/sanitize.log" "$out/sanitize-$tool-${pattern//[ *]/}.log"
      ((code == 0)) || status=1
      ((code == 124 || code == 137)) && say "stopped after ${LIMIT:-270} s: not all tests ran (LIMIT=seconds gives more)"
    done
  done
  exit $status
fi

# ---- the comparison ---------------------------------------------------------------------------------------------
cpu=
[ "${1-}" = --cpu ] && { cpu=--cpu; shift; BUDGET=${DRY_BUDGET:-1500}; }
[ -n "$cpu" ] && export OMP_NUM_THREADS=1
work=$out/gpu${cpu:+-dry-run}-parts
mkdir -p "$work"
scratch=$(mktemp -d)
trap 'jobs -p | xargs -r kill 2>/dev/null; rm -rf "$scratch"' EXIT
# Ours needs another LD_LIBRARY_PATH than PyTorch, whose libraries must all be its own.
cat >"$scratch/python" <<END
#!/usr/bin/env bash
export LD_LIBRARY_PATH="$loader"
[ -n "\$LD_LIBRARY_PATH" ] || unset LD_LIBRARY_PATH
exec '$python' "\$@"
END
chmod +x "$scratch/python"

machine() { # "key: value" lines
  echo "gpu: $(nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap,clocks.max.sm --format=csv,noheader 2>/dev/null | head -1)"
  echo "system: $(. /etc/os-release; echo "$PRETTY_NAME"), $(uname -r), $(getconf _NPROCESSORS_ONLN) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)"
  echo "nvcc: $("$toolkit/bin/nvcc" --version 2>/dev/null | sed -n 's/.*release/release/p')"
  echo "mien: $("$MIEN" --version) $(cat "$build/commit.txt" 2>/dev/null || git -C "$here" rev-parse --short HEAD 2>/dev/null)"
  "$MIEN" doctor 2>&1 | sed -n 's/^\(gpu\|cuda\|cudnn\|cublaslt\)  */mien \1: /p'
  [ -z "$python" ] || echo "PyTorch: $("$scratch/python" -c 'import sys, torch
print(torch.__version__, "CUDA", torch.version.cuda, "cuDNN", torch.backends.cudnn.version(), "Python", sys.version.split()[0])' 2>&1 | tail -1)"
}

most() { # seconds of a part; the dry run's machine is slower
  if [ -n "$cpu" ]; then echo 600; else echo "$1"; fi
}
part() { # name, seconds at most, command ...: its output in NAME.log, why it failed in NAME.reason
  local name=$1 most=$2 code
  shift 2
  rm -f "$work/$name".{json,reason,log}
  (($(left) < most)) && most=$(left)
  ((most < 15)) && { echo "no time was left for it" >"$work/$name.reason"; say "$name: no time left"; return; }
  say "$name (at most $most s)"
  LIMIT=$most timeout -k 5 $((most + 8)) "$@" >"$work/$name.log" 2>&1
  code=$?
  ((code == 0)) && return
  { ((code == 124 || code == 137)) && echo "stopped after $most s" || echo "it failed ($code): $(tail -3 "$work/$name.log" | tr '\n' ' ')"; } >"$work/$name.reason"
  say "$name: $(cat "$work/$name.reason")"
}
compare() { # shellcheck disable=SC2016 # LIMIT is set by part
  part "$1" "$2" bash -c '"$MIEN" "$0/gpu.lua" "$1" "$2" --limit "$LIMIT" --python "$3" --scratch "$4" $5' \
    "$here" "$1" "$work" "$scratch/python" "$scratch" "$cpu"
}
run_tests() {
  CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 "$LIMIT" stdbuf -oL "$build/test_backends" ${cpu:+"updates*"} >"$work/tests.tap" 2>"$work/tests.err"
  echo $? >"$work/tests.status"
}
export -f run_tests
export build work cpu

if [ -z "$cpu" ] && ! "$MIEN" -e 'require("mien").device.choose "cuda"' 2>"$work/none"; then
  cat "$work/none" >&2
  echo "gpu.sh: nothing is measured without a GPU; --cpu checks this script" >&2
  exit 2
fi

# torch.compile with max-autotune takes minutes of CPU: in the background, while nothing is timed, into its disk cache.
compile_until=${cpu:+900}
compile_until=${compile_until:-215}
compile() { # case
  rm -f "$work/compile.$1.reason"
  local code=0
  timeout -k 5 "$((compile_until - SECONDS))" "$scratch/python" "$here/gpu_peer.py" "$([ -n "$cpu" ] && echo cpu || echo cuda)" compile "$1" \
    "$("$MIEN" "$here/gpu.lua" sizes "$1" $cpu)" >"$work/compile.$1.log" 2>&1 || code=$?
  ((code == 0)) && return
  if ((code == 124 || code == 137)); then echo "torch.compile was not done after $SECONDS s"; else
    echo "torch.compile failed: $(tail -1 "$work/compile.$1.log")"
  fi >"$work/compile.$1.reason"
}
tune() { # our engines, timed once into their disk cache: { do = "make" } for each case
  local name sizes
  for name in train infer; do
    sizes=$("$MIEN" "$here/gpu.lua" sizes "$name" $cpu)
    echo "{\"do\":\"make\",\"case\":\"$name\",\"mode\":\"eager bf16\",${sizes#\{}"
  done | "$MIEN" "$here/gpu_ours.lua" ${cpu:+cpu}
}

machine >"$work/machine.txt"
cat "$work/machine.txt" >&2
if (($#)); then # these parts again
  for name in "$@"; do compare "$name" 110; done
else
  compile train & compile infer &
  part tests "$(most 110)" bash -c run_tests
  compare curve "$(most 75)"
  say "waiting for torch.compile, at most until $compile_until s"
  wait
  export -f tune; export here
  part tune "$(most 60)" bash -c tune
  [ -e "$work/tune.reason" ] && export BENCH_AUTOTUNE=no
  compare train "$(most 110)"
  compare infer "$(most 80)"
  compare lstm "$(most 50)"
  compare train_fp16 "$(most 60)"
  compare train_tf32 "$(most 45)"
  compare infer_large "$(most 45)"
fi
"$MIEN" "$here/gpu_report.lua" "$work" "$out" $cpu
say "done"
