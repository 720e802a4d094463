"""Drives a running server with held-out dialogues and counts what it gets word for word.

    python3 tools/tiny_m2/evaluate.py --url http://127.0.0.1:8000 [--model NAME] [--n 200] [--edition 1] [--concurrency 8] [--stream]

Each dialogue goes through /v1/chat/completions turn by turn, greedy. A chain (a turn in which a call needs the result
of the one before) is left to the model from the question to the answer: the client executes what it calls (client.py)
and the chain is right when the answer is; its replies are counted like the others up to the first wrong one, and those
never reached count as wrong. Elsewhere a wrong reply is counted and the true one takes its place. The server's own
thinking and calls are passed back. Exit status 1 under 98 % of calls, 95 % of answers or 90 % of chains.
"""
import argparse
import json
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import generate
import second.generate
from second.client import Client

CALLS_MIN, ANSWERS_MIN, CHAINS_MIN = 0.98, 0.95, 0.90
EDITIONS = {1: generate.dialogue, 2: second.generate.dialogue}
MARGIN = 200  # tokens a user or a result may add to a conversation between two replies
Message = dict[str, Any]


@dataclass
class Counts:
    dialogues: int = 0
    calls: int = 0  # replies that call; all of a block must be right
    calls_exact: int = 0
    single: int = 0  # calls, a block of three being three
    names: int = 0  # of the single calls
    arguments: int = 0  # of the single calls whose names are right
    answers: int = 0
    answers_exact: int = 0
    chains: int = 0
    chains_right: int = 0
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


def right_answer(found: Message, expected: Message) -> bool:
    return not found.get("tool_calls") and (found.get("content") or "").strip("\n") == expected["content"]


def count(counts: Counts, found: Message | None, expected: Message) -> bool:
    """Counts one reply, calls apart from answers; None is a reply that was never reached."""
    if not expected.get("tool_calls"):
        counts.answers += 1
        right = found is not None and right_answer(found, expected)
        counts.answers_exact += right
        return right
    want, have = called(expected), called(found) if found else []
    counts.calls += 1
    counts.single += len(want)
    for i, (name, arguments) in enumerate(want):
        named = i < len(have) and have[i][0] == name
        counts.names += named
        counts.arguments += named and same(have[i][1], arguments)
    right = same(have, want)
    counts.calls_exact += right
    return right


def own(found: Message) -> Message:
    """A reply of the server as a client passes it back."""
    return {"role": "assistant", "content": found.get("content")} | {
        key: found[key] for key in ("reasoning", "reasoning_content", "tool_calls") if found.get(key)}


def run_chain(options: argparse.Namespace, conversation: dict, first: int, last: int, sent: list[Message], client: Client,
              counts: Counts) -> int:
    """The whole turn by the model itself. `sent` grows by the true messages if it went wrong; the tokens held."""
    messages = conversation["messages"]
    expected = [message for message in messages[first : last + 1] if message["role"] == "assistant"]
    sent.append(messages[first])
    asked, held, on_track, found = list(sent), 0, True, {}
    counts.chains += 1
    for step in range(len(expected) + 4):
        found, held = ask(options, asked, conversation.get("tools"), counts)
        if on_track and step < len(expected):
            on_track = count(counts, found, expected[step])
            if not on_track:
                counts.wrong.append(f"chain, reply {step}: question {messages[first]['content']!r}, expected {expected[step]}, found {found}")
                for missed in expected[step + 1 :]:
                    count(counts, None, missed)
        asked.append(own(found))
        if not found.get("tool_calls"):
            break
        for call, (name, arguments) in zip(found["tool_calls"], called(found)):
            asked.append({"role": "tool", "tool_call_id": call["id"], "content": client.execute(name, arguments)})
    counts.chains_right += right_answer(found, expected[-1])
    sent[:] = asked if on_track else sent + [as_client(message) for message in messages[first + 1 : last + 1]]
    return held


def run(options: argparse.Namespace, seed: int) -> Counts:
    if time.time() > options.until:
        return Counts()
    counts, sent, conversation = Counts(), [], EDITIONS[options.edition](seed, held_out=True)
    world = conversation.get("world", {"files": {}, "tools": {}, "script": [], "chains": []})  # the first edition has none
    client = Client(world)
    chains = dict(world["chains"])
    ids: list[str] = []  # of the calls that wait for their results
    held, skip = 0, -1
    for i, expected in enumerate(conversation["messages"]):
        if i <= skip:
            continue
        if expected["role"] == "tool":
            sent.append(expected | {"tool_call_id": ids.pop(0)})
            continue
        if held > options.context - options.max_tokens - MARGIN:
            break  # the rest of a very long dialogue does not fit
        if i in chains:
            skip = chains[i]
            held = run_chain(options, conversation, i, skip, sent, client, counts)
            continue
        if expected["role"] != "assistant":
            sent.append(expected)
            continue
        found, held = ask(options, sent, conversation.get("tools"), counts)
        right = count(counts, found, expected)
        if not right:
            counts.wrong.append(f"dialogue {seed}, message {len(sent)}: after {sent[-1]['content']!r} expected {expected}, found {found}")
        for name, arguments in called(expected):
            client.execute(name, arguments)  # what it writes is read later
        reply = own(found) if right else as_client(expected)
        ids = [call["id"] for call in reply.get("tool_calls") or []]
        sent.append(reply)
    client.close()
    counts.dialogues = 1
    return counts


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", help="default: the first that the server names")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--edition", type=int, choices=EDITIONS, default=2, help="of the dialogues: what the model was trained on")
    parser.add_argument("--first", type=int, default=0, help="seed of the first dialogue")
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--context", type=int, default=4096, help="of the served model, in tokens")
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no dialogue after this time")
    parser.add_argument("--show", type=int, default=3, help="wrong replies to print")
    options = parser.parse_args()
    options.url = options.url.rstrip("/").removesuffix("/v1")
    if options.model is None:
        with urllib.request.urlopen(options.url + "/v1/models", timeout=options.timeout) as answer:
            options.model = json.load(answer)["data"][0]["id"]

    total, start = Counts(), time.time()
    options.until = start + options.seconds
    with ThreadPoolExecutor(options.concurrency) as pool:
        for counts in pool.map(lambda seed: run(options, seed), range(options.first, options.first + options.n)):
            total.add(counts)
    seconds = time.time() - start
    for wrong in total.wrong[: options.show]:
        print("WRONG", wrong)
    def share(right: int, of: int) -> str:
        return f"{right} of {of} ({right / max(of, 1):.1%})"

    print(f"{total.dialogues} dialogues: calls exact {share(total.calls_exact, total.calls)}, answers exact "
          f"{share(total.answers_exact, total.answers)}, chains right end to end {share(total.chains_right, total.chains)}; of single "
          f"calls, names {share(total.names, total.single)} and then arguments {share(total.arguments, total.names)}; "
          f"{total.prompt_tokens} prompt and {total.completion_tokens} completion tokens in {seconds:.1f} s")
    return 0 if (total.calls_exact >= CALLS_MIN * total.calls and total.answers_exact >= ANSWERS_MIN * total.answers
                 and total.chains_right >= CHAINS_MIN * total.chains) else 1


if __name__ == "__main__":
    sys.exit(main())
