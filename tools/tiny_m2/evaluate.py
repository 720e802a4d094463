"""Drives a running server with held-out dialogues and counts what it gets word for word.

    python3 tools/tiny_m2/evaluate.py --url http://127.0.0.1:8000 [--model NAME] [--n 200] [--concurrency 8] [--stream]

Each dialogue goes through /v1/chat/completions turn by turn, greedy. Nothing is executed: a call is answered with the
generator's result. The server's own thinking and calls are passed back as long as they are right; a wrong reply
is counted and the true one takes its place. Exit status 1 under 98 % of calls or 95 % of answers.
"""
import argparse
import json
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from generate import dialogue

CALLS_MIN, ANSWERS_MIN = 0.98, 0.95
MARGIN = 200  # tokens a user or a result may add to a conversation between two replies
Message = dict[str, Any]


@dataclass
class Counts:
    calls: int = 0
    calls_exact: int = 0
    answers: int = 0
    answers_exact: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Counts") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def post(url: str, body: dict[str, Any], timeout: float) -> urllib.request.addinfourl:
    request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    return urllib.request.urlopen(request, timeout=timeout)


def streamed(response: Any) -> tuple[Message, dict]:
    """Puts the deltas of an event stream together."""
    message: Message = {"content": "", "reasoning": "", "tool_calls": []}
    usage: dict = {}
    for line in response:
        text = line.decode().strip()
        if not text.startswith("data:") or text == "data: [DONE]":
            continue
        event = json.loads(text.removeprefix("data:"))
        if "error" in event:
            raise RuntimeError(text)
        usage = event.get("usage") or usage
        for choice in event["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            message["reasoning"] += delta.get("reasoning") or delta.get("reasoning_content") or ""
            for part in delta.get("tool_calls") or []:
                while len(message["tool_calls"]) <= part["index"]:
                    message["tool_calls"].append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
                call = message["tool_calls"][part["index"]]
                call["id"] += part.get("id") or ""
                for key in ("name", "arguments"):
                    call["function"][key] += part.get("function", {}).get(key) or ""
    return message, usage


def ask(options: argparse.Namespace, messages: list[Message], tools: list | None, counts: Counts) -> tuple[Message, int]:
    """The server's reply, and the tokens that the conversation now takes."""
    body: dict[str, Any] = {"model": options.model, "messages": messages, "temperature": 0, "max_completion_tokens": options.max_tokens}
    if tools:
        body["tools"] = tools
    if options.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    with post(options.url, body, options.timeout) as response:
        if options.stream:
            message, usage = streamed(response)
        else:
            whole = json.load(response)
            message, usage = whole["choices"][0]["message"], whole.get("usage") or {}
    prompt_tokens, completion_tokens = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    counts.prompt_tokens += prompt_tokens
    counts.completion_tokens += completion_tokens
    return message, prompt_tokens + completion_tokens


def called(message: Message) -> list[tuple[str, Any]]:
    """(name, arguments) of each call; arguments that are no JSON stay the text they are."""
    out = []
    for call in message.get("tool_calls") or []:
        arguments = call["function"]["arguments"]
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except ValueError:
                pass
        out.append((call["function"]["name"], arguments))
    return out


def same(a: Any, b: Any) -> bool:
    """Equal, and true is not 1."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def as_client(message: Message) -> Message:
    """The generator's message as a client sends it: arguments are a JSON text."""
    if not message.get("tool_calls"):
        return message
    calls = [call | {"function": call["function"] | {"arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False)}}
             for call in message["tool_calls"]]
    return message | {"content": None, "tool_calls": calls}


def run(options: argparse.Namespace, seed: int) -> Counts:
    counts, sent, conversation = Counts(), [], dialogue(seed, held_out=True)
    ids: list[str] = []  # of the calls that wait for their results
    held = 0
    for expected in conversation["messages"]:
        if expected["role"] == "tool":
            sent.append(expected | {"tool_call_id": ids.pop(0)})
            continue
        if expected["role"] != "assistant":
            sent.append(expected)
            continue
        if held > options.context - options.max_tokens - MARGIN:
            break  # the rest of a very long dialogue does not fit
        found, held = ask(options, sent, conversation.get("tools"), counts)
        if expected.get("tool_calls"):
            counts.calls += 1
            right = same(called(found), called(expected))
            counts.calls_exact += right
        else:
            counts.answers += 1
            right = not found.get("tool_calls") and (found.get("content") or "").strip("\n") == expected["content"]
            counts.answers_exact += right
        if not right:
            counts.wrong.append(f"dialogue {seed}, message {len(sent)}: expected {expected}, found {found}")
        reply = as_client(expected)
        if right:
            reply = {"role": "assistant", "content": found.get("content")} | {
                key: found[key] for key in ("reasoning", "reasoning_content", "tool_calls") if found.get(key)}
        ids = [call["id"] for call in reply.get("tool_calls") or []]
        sent.append(reply)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="tiny-m2")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="seed of the first dialogue")
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--context", type=int, default=4096, help="of the served model, in tokens")
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--show", type=int, default=3, help="wrong replies to print")
    options = parser.parse_args()
    options.url = options.url.rstrip("/").removesuffix("/v1")

    total, start = Counts(), time.time()
    with ThreadPoolExecutor(options.concurrency) as pool:
        for counts in pool.map(lambda seed: run(options, seed), range(options.first, options.first + options.n)):
            total.add(counts)
    seconds = time.time() - start
    for wrong in total.wrong[: options.show]:
        print("WRONG", wrong)
    calls, answers = total.calls_exact / max(total.calls, 1), total.answers_exact / max(total.answers, 1)
    print(f"{options.n} dialogues: calls exact {total.calls_exact} of {total.calls} ({calls:.1%}), answers exact "
          f"{total.answers_exact} of {total.answers} ({answers:.1%}); {total.prompt_tokens} prompt and "
          f"{total.completion_tokens} completion tokens in {seconds:.1f} s")
    return 0 if calls >= CALLS_MIN and answers >= ANSWERS_MIN else 1


if __name__ == "__main__":
    sys.exit(main())
