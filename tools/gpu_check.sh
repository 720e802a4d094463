#!/bin/bash
# Checks backend/cuda on this machine's GPU, then times it. Builds nothing: it takes a folder of programs.
#
#   tools/gpu_check.sh BIN OUT COMMIT
#
# BIN: taps_dump, backend_cuda_test, gpu_bench and minimax of a build with ENABLE_CUDA, and in BIN/lib the
# shared libraries the machine lacks. OUT: gets log files, taps.json and bench.jsonl. Needs python3 with NumPy.
# Exit status: 0 only if every check passed.
set -u
bin=$(realpath "$1") out=$(realpath "$2") commit=$3
cd "$(dirname "$0")/.."
export LD_LIBRARY_PATH="$bin/lib:${LD_LIBRARY_PATH:-}"
work=$(mktemp -d /dev/shm/gpu_check.XXXXXX)
trap 'rm -rf "$work"' EXIT
failures=0
check() {  # name, limit in seconds, command...
  local name=$1 limit=$2 start=$SECONDS
  shift 2
  if timeout "$limit" "$@" >"$out/$name.log" 2>&1; then
    echo "pass $name $((SECONDS - start)) s"
  else
    echo "FAIL $name ($?) $((SECONDS - start)) s"
    tail -n 25 "$out/$name.log"
    failures=$((failures + 1))
  fi
}

nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader
"$bin/minimax" synth "$work/small" --preset small --seed 7 >/dev/null
"$bin/minimax" synth "$work/one_layer" --layers 1 --experts 16 --vocab 4096 --seed 7 >/dev/null

check executor 120 "$bin/backend_cuda_test" --gtest_brief=1
check taps_small 150 python3 tools/compare_taps.py "$work/small" models/tiny-m2 --taps-dump "$bin/taps_dump" \
  --backend cuda --out "$out/taps.json"
check taps_one_layer 150 python3 tools/compare_taps.py "$work/one_layer" --taps-dump "$bin/taps_dump" \
  --backend cuda --out "$out/taps_one_layer.json"
if command -v compute-sanitizer >/dev/null; then
  check memcheck 120 compute-sanitizer --tool memcheck --error-exitcode 9 "$bin/taps_dump" "$work/small" \
    --backend cuda --arithmetic w8a8 --ids 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17 --out "$work/taps"
  check racecheck 120 compute-sanitizer --tool racecheck --error-exitcode 9 "$bin/taps_dump" "$work/small" \
    --backend cuda --arithmetic w8a16 --ids 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17 --out "$work/taps"
fi

"$bin/minimax" synth "$work/two_layers" --layers 2 --seed 7 >/dev/null || failures=$((failures + 1))
check bench_w8a8 120 "$bin/gpu_bench" "$work/two_layers" w8a8 "$commit" "$out/bench.jsonl"
check bench_w8a16 120 "$bin/gpu_bench" "$work/two_layers" w8a16 "$commit" "$out/bench.jsonl"
echo "failures: $failures"
[ "$failures" = 0 ]
