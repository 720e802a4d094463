#!/bin/bash
# Checks and times tensor, data and expert parallelism on all GPUs of this machine, in one call. Builds nothing.
#
#   bench/multi_gpu.sh BIN OUT COMMIT [LAYERS]
#
# BIN: minimax, backend_cuda_test, gpu_bench and gpu_all_reduce of a build with ENABLE_CUDA, and in BIN/lib the shared
# libraries the machine lacks. OUT: gets bench.jsonl, serve.json, summary.txt and logs.tar.gz. LAYERS of the published
# shape are timed, with random weights; without it, all 62 where they fit and else as many as do. Needs python3; with
# PyTorch NCCL is timed too. Several GPUs are expected; one GPU runs the checks with ranks that share it.
# Exit status: 0 only if every check passed.
set -u
bin=$(realpath "$1") out=$(realpath "$2") commit=$3
cd "$(dirname "$0")/.."
export LD_LIBRARY_PATH="$bin/lib:${LD_LIBRARY_PATH:-}"
export NCCL_NVLS_ENABLE=0 TORCH_SYMM_MEM_DISABLE_MULTICAST=1 NVSHMEM_DISABLE_NVLS=1
work=$(mktemp -d /dev/shm/multi_gpu.XXXXXX)
trap 'rm -rf "$work"' EXIT
failures=0
check() {  # name, limit in seconds, command...
  local name=$1 limit=$2 start=$SECONDS
  shift 2
  if timeout "$limit" "$@" >"$out/$name.log" 2>&1; then
    echo "pass $name $((SECONDS - start)) s"
  else
    echo "FAIL $name ($?) $((SECONDS - start)) s"
    tail -n 15 "$out/$name.log"
    failures=$((failures + 1))
  fi
}
serve() {  # name, arguments of serve...: sets url and server
  local name=$1
  shift
  "$bin/minimax" serve "$@" --served-model-name model --backend cuda --port 0 2>"$out/serve_$name.log" &
  server=$! url=
  for _ in $(seq 1200); do
    url=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$out/serve_$name.log" | head -1)
    if [ -n "$url" ] || ! kill -0 "$server" 2>/dev/null; then break; fi
    sleep 0.1
  done
  [ -n "$url" ] || tail -n 5 "$out/serve_$name.log"
}
stop() {
  kill "$server" 2>/dev/null && wait "$server"
}

gpus=$(nvidia-smi --query-gpu=index --format=csv,noheader | wc -l)
gib=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | head -1 | awk '{print int($1 / 1024)}')
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader
nvidia-smi topo -m 2>/dev/null | sed -n 1,$((gpus + 1))p
ranks=1
while [ $((ranks * 2)) -le "$gpus" ] && [ $ranks -lt 8 ]; do ranks=$((ranks * 2)); done

check ranks 120 "$bin/backend_cuda_test" --gtest_filter='RanksTest.*'
grep differ "$out/ranks.log"

# tiny-m2's replies for each layout; where there are too few GPUs, ranks share them.
parsers=(--tool-call-parser minimax_m2 --reasoning-parser minimax_m2 --enable-auto-tool-choice)
serve tp1 models/tiny-m2 "${parsers[@]}"
check texts_tp1 60 python3 bench/same_texts.py --url "$url" --out "$work/tp1.json"
stop
same() {  # tensor parallel size, data parallel size, more arguments of serve...
  local name=tp$1_dp$2 flag
  for flag in "${@:3}"; do [ "$flag" = --enable-expert-parallel ] && name+=_ep; done
  devices=$(for r in $(seq 0 $(($1 * $2 - 1))); do echo $((r % gpus)); done)
  # shellcheck disable=SC2086
  serve "$name" models/tiny-m2 "${parsers[@]}" --tensor-parallel-size "$1" --data-parallel-size "$2" --devices $devices "${@:3}"
  check "texts_$name" 60 python3 bench/same_texts.py --url "$url" --out "$work/$name.json"
  stop
  check "same_$name" 10 python3 bench/same_texts.py --compare "$work/tp1.json" "$work/$name.json"
  cat "$out/same_$name.log"
}
for tp in 2 4 8; do same $tp 1; done
same 1 2
for layout in "2 1" "1 2" "1 4" "2 2" "1 8"; do
  # shellcheck disable=SC2086
  same $layout --enable-expert-parallel
done

if [ $ranks -gt 1 ]; then
  check all_reduce 60 "$bin/gpu_all_reduce" "$commit" "$out/bench.jsonl" $ranks
  if python3 -c 'import torch' 2>/dev/null; then
    check nccl 90 python3 bench/nccl_all_reduce.py "$commit" "$out/bench.jsonl" $ranks
  else
    echo "skip nccl: no PyTorch here"
  fi
fi

# Whole layers: a rank's share of one is 3.7 GB over the ranks; 26 GiB are left for the rest.
fit=$(((gib - 26) * ranks * 10 / 35))
layers=${4:-$((fit < 62 ? fit : 62))}
check bench 150 "$bin/gpu_bench" "m2:$layers" w8a8 "$commit" "$out/bench.jsonl" --ranks $ranks
if [ $ranks -gt 1 ]; then
  # Each replica holds all of the attention and the embeddings, a sixth of a layer's bytes or less.
  check bench_ep 150 "$bin/gpu_bench" "m2:$((layers * 4 / 5))" w8a8 "$commit" "$out/bench.jsonl" --replicas $ranks
fi
python3 tools/gpu_table.py "$out/bench.jsonl" | tee "$out/summary.txt"

# The guide's workload over HTTP, on as many layers. The tokenizer is tiny-m2's: prompts and draws are over its ids.
mkdir "$work/model"
cp models/tiny-m2/{tokenizer.json,tokenizer_config.json,chat_template.jinja,generation_config.json} "$work/model"
python3 - "$work/model/config.json" "$layers" <<'PYTHON'
import json, sys
config = json.load(open("models/tiny-m2/config.json"))
config |= dict(hidden_size=3072, num_hidden_layers=int(sys.argv[2]), num_attention_heads=48, num_key_value_heads=8,
               num_local_experts=256, num_experts_per_tok=8, intermediate_size=1536, vocab_size=200064,
               max_position_embeddings=196608, rope_theta=5000000, attn_type_list=[1] * int(sys.argv[2]))
json.dump(config, open(sys.argv[1], "w"))
PYTHON
serve m2 "$work/model" --load-format dummy --tensor-parallel-size $ranks --max-model-len 4096 --max-num-seqs 32
check serve 150 "$bin/minimax" bench serve --base-url "$url" --model model --tokenizer "$work/model" --random-input-len 2048 \
  --random-output-len 1024 --max-concurrency 10 --num-prompts 20 --ignore-eos --disable-tqdm --save-result \
  --result-dir "$out" --result-filename serve.json --metadata "commit=$commit" "gpus=$gpus" "layers=$layers" "layout=tp$ranks"
cat "$out/serve.log"
stop
grep -E 'rank:|weights:|KV blocks|exchange:|memory:|ready' "$out/serve_m2.log"
(cd "$out" && tar czf logs.tar.gz --remove-files ./*.log)
echo "failures: $failures"
[ "$failures" = 0 ]
