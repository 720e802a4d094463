"""Whether two servers of tiny-m2 say the same: greedy replies to each turn of held-out dialogues.

    python3 bench/same_texts.py --url http://127.0.0.1:8000 --out a.json [--n 30]
    python3 bench/same_texts.py --compare a.json b.json [--least 0.97]

The true messages precede every turn, so one different reply changes no other. --compare prints how many of the
replies are equal, word for word, and fails below the share `--least`.
"""
import argparse
import json
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools" / "tiny_m2"))


MESSAGES_MAX = 24  # of a conversation: longer ones outgrow the model's context


def turns(n: int) -> list[dict]:
    from evaluate import as_client
    from second.generate import dialogue

    out = []
    for seed in range(n):
        conversation, sent, ids = dialogue(seed, held_out=True), [], []
        for message in conversation["messages"][:MESSAGES_MAX]:
            if message["role"] == "assistant":
                out.append({"messages": list(sent), "tools": conversation.get("tools")})
                message = as_client(message)
                ids = [call["id"] for call in message.get("tool_calls") or []]
            elif message["role"] == "tool":
                message = message | {"tool_call_id": ids.pop(0)}
            sent.append(message)
    return out


def reply(url: str, model: str, turn: dict) -> str:
    body = {"model": model, "temperature": 0, "max_completion_tokens": 256, "messages": turn["messages"]}
    if turn["tools"]:
        body["tools"] = turn["tools"]
    request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        message = json.load(answer)["choices"][0]["message"]
    calls = [call["function"] for call in message.get("tool_calls") or []]
    return json.dumps([message.get("reasoning_content") or message.get("reasoning"), message.get("content"), calls], ensure_ascii=False)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    parser.add_argument("--out")
    parser.add_argument("--n", type=int, default=30)
    parser.add_argument("--compare", nargs=2)
    parser.add_argument("--least", type=float, default=0.97)
    options = parser.parse_args()
    if options.compare:
        a, b = (json.loads(Path(path).read_text()) for path in options.compare)
        same = sum(x == y for x, y in zip(a, b, strict=True))
        print(f"{same} of {len(a)} replies equal")
        return 0 if a and same >= options.least * len(a) else 1
    url = options.url.rstrip("/")
    with urllib.request.urlopen(url + "/v1/models", timeout=30) as answer:
        model = json.load(answer)["data"][0]["id"]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda turn: reply(url, model, turn), turns(options.n)))
    Path(options.out).write_text(json.dumps(replies))
    print(f"{len(replies)} replies")
    return 0


if __name__ == "__main__":
    sys.exit(main())
