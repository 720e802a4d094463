#!/bin/bash
# Checks backend/cuda on this machine's GPU (ranks of several share it), then times it. Builds nothing: it takes a
# folder of programs.
#
#   tools/gpu_check.sh BIN OUT COMMIT [checks]
#
# BIN: taps_dump, backend_cuda_test, gpu_bench and minimax of a build with ENABLE_CUDA, and in BIN/lib the
# shared libraries the machine lacks. OUT: gets log files, taps.json and bench.jsonl. checks: nothing is timed.
# Needs python3 with NumPy.
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
  --backend cuda --out "$out/taps_small.json"
check taps_300 150 python3 tools/compare_taps.py "$work/small" --rows 300 --arithmetic w8a16,w8a8 \
  --taps-dump "$bin/taps_dump" --backend cuda --out "$out/taps_300.json"
check taps_one_layer 150 python3 tools/compare_taps.py "$work/one_layer" --taps-dump "$bin/taps_dump" \
  --backend cuda --out "$out/taps_one_layer.json"

sanitize() {  # name, tool, command...
  check "$1" 150 compute-sanitizer --tool "$2" --error-exitcode 9 "${@:3}"
}
ids=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do
    for arithmetic in w8a8 w8a16; do
      sanitize "$tool.$arithmetic" $tool "$bin/taps_dump" "$work/small" --backend cuda --arithmetic $arithmetic \
        --ids $ids --out "$work/taps"
    done
  done
  sanitize memcheck.executor memcheck "$bin/backend_cuda_test" --gtest_brief=1 \
    --gtest_filter='CudaExecutorTest.*Mates*:*Cached*:*Masks*'
fi

# The model that can be judged by its answers, over HTTP.
for setting in "w8a8" "w8a16" "w8a8 --tensor-parallel-size 2 --devices 0 0" \
  "w8a8 --tensor-parallel-size 8 --devices 0 0 0 0 0 0 0 0"; do
  arithmetic=${setting//[^a-z0-9]/_}
  # shellcheck disable=SC2086
  "$bin/minimax" serve models/tiny-m2 --served-model-name tiny --backend cuda --port 0 --linear-precision $setting \
    --tool-call-parser minimax_m2 --reasoning-parser minimax_m2 --enable-auto-tool-choice 2>"$out/serve_$arithmetic.log" &
  server=$!
  url=
  for _ in $(seq 100); do
    url=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$out/serve_$arithmetic.log" | head -1)
    [ -n "$url" ] && break
    sleep 0.1
  done
  check "evaluate_$arithmetic" 300 python3 tools/tiny_m2/evaluate.py --url "$url" --model tiny --n 500 --concurrency 48
  tail -n 4 "$out/evaluate_$arithmetic.log"
  kill "$server" && wait "$server"
done

finish() {
  # Few files are easier to carry away.
  (cd "$out" && tar czf logs.tar.gz --remove-files ./*.log taps_*.json)
  echo "failures: $failures"
  [ "$failures" = 0 ]
  exit
}
[ "${4:-}" = checks ] && finish

"$bin/minimax" synth "$work/two_layers" --layers 2 --seed 7 >/dev/null || failures=$((failures + 1))
check bench_w8a8 120 "$bin/gpu_bench" "$work/two_layers" w8a8 "$commit" "$out/bench.jsonl"
check bench_w8a16 120 "$bin/gpu_bench" "$work/two_layers" w8a16 "$commit" "$out/bench.jsonl"
if command -v ncu >/dev/null; then
  for setting in 1,2560,1 10,2560,1 32,2560,1 256,1024,1 1,0,512 1,0,2048; do
    check "profile_$setting" 100 ncu --csv --metrics gpu__time_duration.sum,dram__bytes_read.sum \
      "$bin/gpu_bench" "$work/two_layers" w8a8 profile $setting
  done
  python3 tools/gpu_profile.py "$out"/profile_*.log | tee "$out/profile.txt"
fi
check bench_cpu 100 "$bin/minimax" bench step "$work/two_layers" --batch 1 4 16 --context 1024 --prefill 256 \
  --steps 8 --commit "$commit" --results "$out/bench_cpu.jsonl"
finish
