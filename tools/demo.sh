#!/usr/bin/env bash
# The demo behind ./dev demo: serves models/tiny-m2 on a free port of the loopback and lets it think, call a tool, read
# the result and answer, streamed over the OpenAI API. First the raw stream by curl, then a whole conversation.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
minimax=${1:-build/cpu/minimax}
log=$(mktemp)
stream=$(mktemp)
started=$(date +%s%N)
"$minimax" serve tiny --port 0 --tool-call-parser minimax_m2 --reasoning-parser minimax_m2 --enable-auto-tool-choice \
  2>"$log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -f "$log" "$stream"' EXIT
url=
for _ in $(seq 200); do
  url=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$log" | head -1)
  [ -n "$url" ] && break
  kill -0 "$server" 2>/dev/null || { cat "$log" >&2; exit 1; }
  sleep 0.02
done
[ -n "$url" ] || { echo "the server did not come up:" >&2; cat "$log" >&2; exit 1; }
printf 'minimax serve tiny: ready at %s after %d ms\n\n' "$url" $((($(date +%s%N) - started) / 1000000))

printf '$ curl %s/v1/chat/completions -d '\''{"stream": true, "tools": [get_weather], ...}'\''\n' "$url"
curl -sN "$url/v1/chat/completions" -H 'Content-Type: application/json' -d '{
  "model": "tiny", "stream": true, "temperature": 0,
  "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
  "tools": '"$(tr -d '\n' <examples/weather/tools.json)"'}' >"$stream"
grep -q '"tool_calls":' "$stream" || { echo "no tool call in the stream:" >&2; cat "$stream" >&2; exit 1; }
# The deltas alone: each line of the stream is a whole chunk.
deltas=$(grep -o '"delta":{.*},"logprobs"' "$stream" | sed 's/,"logprobs"$//')
head -4 <<<"$deltas"
echo '...'
tail -6 <<<"$deltas"

printf '\n$ minimax chat %s --tools examples/weather/tools.json --tool-command get_weather=...\n' "$url"
"$minimax" chat "$url" --temperature 0 --tools examples/weather/tools.json \
  --tool-command 'get_weather=cat >/dev/null; echo "{\"temperature\": 21, \"condition\": \"sunny\"}"' \
  --message 'What is the weather in Paris?' 'Thank you!'
