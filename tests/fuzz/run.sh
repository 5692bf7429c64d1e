#!/bin/bash
# Builds the libFuzzer targets (tests/fuzz/fuzz_*.c) with clang, ASan and UBSan, and runs them:
#   tests/fuzz/run.sh [TARGET|all] [SECONDS each]     e.g. tests/fuzz/run.sh image 600
# What they find lies in build-fuzz/TARGET-*. Needs clang, libclang-rt-dev and libomp-dev, and a built project (build/schema.c).
# Not here: ./mien test, which runs none of this. oneDNN's backend is left out: nothing of a file reaches it.
set -e
cd "$(dirname "$0")/../.."
target=${1:-all} seconds=${2:-600} out=$PWD/build-fuzz
mkdir -p "$out"/{objects,seeds/image,seeds/video,seeds/bytes}
flags=(-g -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize=alignment -fno-omit-frame-pointer -w -std=gnu11
  -Icore -Ibuild -Itests/c -Itests/fuzz -DMIEN_WITHOUT_ONEDNN '-DMIEN_VERSION="fuzz"' -DMIEN_TEST_FFMPEG)
libav="libavformat libavcodec libavutil libswscale"
read -ra packages <<<"$(pkg-config --cflags hdf5 sqlite3 libdeflate $libav)"
read -ra libraries <<<"$(pkg-config --libs hdf5 sqlite3 libdeflate $libav) -lsnappy -lcrypto -lgomp -lpthread -ldl -lm"

objects=()
for source in core/*/*.c core/backend/ref/*.c build/schema.c tests/fuzz/without_opencv.c; do
  case $source in core/host/main.c | core/host/lua_* | core/host/edit* | core/data/plugin.c) continue ;; esac
  object=$out/objects/${source//\//_}.o
  objects+=("$object")
  [[ $object -nt $source ]] || clang "${flags[@]}" "${packages[@]}" -c "$source" -o "$object"
done
gcc -w -Icore -Itests/c -DMIEN_TEST_FFMPEG tests/fuzz/seeds.c -o "$out/seeds.bin" -Lbuild -lmien -lcmocka "${libraries[@]}" \
  -Wl,-rpath,"$PWD/build" && "$out/seeds.bin" "$out/seeds" >/dev/null 2>&1

for zip in tests/golden/weights/{state.pt,plain.npz,packed.npz}; do
  (printf '\5' && cat "$zip") >"$out/seeds/bytes/${zip##*/}"
done

for source in tests/fuzz/fuzz_*.c; do
  name=${source##*/fuzz_} name=${name%.c}
  [[ $target == all || $target == "$name" ]] || continue
  clang "${flags[@]}" -fsanitize=fuzzer,address,undefined "${packages[@]}" "$source" "${objects[@]}" "${libraries[@]}" \
    -o "$out/fuzz_$name"
  mkdir -p "$out/found/$name" "$out/seeds/$name"
  grep -q -- --seeds "$source" && "$out/fuzz_$name" --seeds "$out/seeds/$name"
  echo "$name: $seconds s"
  ASAN_OPTIONS=allocator_may_return_null=1 "$out/fuzz_$name" "$out/found/$name" "$out/seeds/$name" \
    -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=60 -max_len=65536 -artifact_prefix="$out/$name-" \
    -print_final_stats=1 -verbosity=0
done
