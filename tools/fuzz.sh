#!/usr/bin/env bash
# Builds and runs the libFuzzer targets of tests/fuzz with clang, ASan and UBSan.
#   tools/fuzz.sh [SECONDS [TARGET...]]      default: 60 seconds each, all targets
# FUZZ_SEED=N begins as every run with N does; without it each goes its own way.
# It starts from the inputs kept in tests/fuzz/corpus/<target>, and from those that earlier runs left in build/fuzz/corpus;
# a crash leaves its input in build/fuzz/. To keep what a long run found, as few inputs as cover it:
#   build/fuzz/fuzz/TARGET -merge=1 -max_len=2000 tests/fuzz/corpus/TARGET build/fuzz/corpus/TARGET
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-60}
shift || true
clangxx=$(command -v clang++-16 || command -v clang++-19 || command -v clang++)
cmake -G Ninja -S . -B build/fuzz -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER="$clangxx" \
  -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -g1 -DNDEBUG" \
  -DENABLE_TESTS=OFF -DENABLE_FUZZ=ON -DSANITIZE=address,undefined,fuzzer-no-link >/dev/null
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for source in tests/fuzz/fuzz_*.cc; do targets+=("$(basename "$source" .cc)"); done
fi
cmake --build build/fuzz --target "${targets[@]}"

# fuzz TARGET: an own process for each, as many at a time as there are cores.
fuzz() {
  local target=$1 log=build/fuzz/$1.log
  mkdir -p "build/fuzz/corpus/$target"
  local folders=("corpus/$target")
  [ -d "tests/fuzz/corpus/$target" ] && folders+=("../../tests/fuzz/corpus/$target")
  local rc=0
  (cd build/fuzz && "fuzz/$target" -seed="${FUZZ_SEED:-0}" -max_total_time="$seconds" -max_len=65536 -timeout=30 -rss_limit_mb=3000 \
    -print_final_stats=1 "${folders[@]}") >"$log" 2>&1 || rc=$?
  if [ $rc -eq 0 ]; then set -- 12; else set -- 100; fi
  printf '== %s, %s s\n%s\n' "$target" "$seconds" "$(tail -n "$1" "$log")"
  return $rc
}
export -f fuzz
export seconds
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I {} bash -c 'fuzz {}'
