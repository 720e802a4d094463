#!/usr/bin/env bash
# Builds and runs the libFuzzer targets of tests/fuzz with clang, ASan and UBSan.
#   tools/fuzz.sh [SECONDS [TARGET...]]      default: 60 seconds each, all targets
# Found inputs are kept in tests/fuzz/corpus/<target>; a crash leaves its input in build/fuzz/.
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
for target in "${targets[@]}"; do
  mkdir -p "build/fuzz/corpus/$target"
  seeds=()
  [ -d "tests/fuzz/corpus/$target" ] && seeds=("tests/fuzz/corpus/$target")
  echo "== $target, $seconds s"
  (cd build/fuzz && "fuzz/$target" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=3000 \
    -print_final_stats=1 "corpus/$target" ${seeds[@]:+"../../${seeds[0]}"} 2>&1 | tail -12)
done
