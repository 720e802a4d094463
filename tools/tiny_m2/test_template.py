"""Our chat template renders byte for byte what the family's official one renders.

    python3 tools/tiny_m2/test_template.py --official chat_template.MiniMax-M2.jinja [--n 5000] [--seed 1]

Random conversations: odd ones too (no user, system in the middle, results after a user message, list contents,
thinking inside the content, flat calls, absent fields). Where one raises, the other must raise.
"""
import argparse
import random
from typing import Any

from template import MODEL, compile_template

TEXTS = ["", "Hi", " leading and trailing \n", "\nnewlines\n\n", "Zürich 東京 😀", 'quotes " and <tags> & \\ ', "</think>",
         "<think>\nraw\n</think>\n\nanswer", "a</think>b</think>c", "{{ not jinja }}", "[e~[", "<response>x</response>"]


def text(r: random.Random) -> str:
    return r.choice(TEXTS) if r.random() < 0.6 else " ".join(r.choice(TEXTS) for _ in range(3))


def value(r: random.Random, depth: int = 0) -> Any:
    kinds = [lambda: text(r), lambda: r.randint(-10**20, 10**20), lambda: r.random() * 1e5, lambda: 1e5, lambda: True,
             lambda: False, lambda: None, lambda: [], lambda: {}]
    if depth < 2:
        kinds += [lambda: [value(r, depth + 1) for _ in range(r.randint(0, 3))],
                  lambda: {text(r): value(r, depth + 1) for _ in range(r.randint(0, 3))}]
    return r.choice(kinds)()


def content(r: random.Random) -> Any:
    choice = r.random()
    if choice < 0.6:
        return text(r)
    if choice < 0.9:
        parts = [lambda: {"type": "text", "text": text(r)}, lambda: text(r), lambda: {"type": "image_url", "image_url": {}},
                 lambda: {"text": text(r)}, lambda: 7]
        return [r.choice(parts)() for _ in range(r.randint(0, 3))]
    return r.choice([None, 5, {"a": 1}, [], 1.5])


def result_content(r: random.Random) -> Any:
    if r.random() < 0.6:
        return text(r)
    parts = [lambda: {"type": "text", "text": text(r)}, lambda: {"output": r.choice([text(r), value(r)])},
             lambda: {"type": "text"}, lambda: text(r), lambda: {"type": "other", "text": text(r)}]
    return [r.choice(parts)() for _ in range(r.randint(0, 3))]


def call(r: random.Random) -> dict:
    inner = {"name": r.choice(["get_weather", "f", "näme"]),
             "arguments": {r.choice(["city", "k", "items", "x y"]) + str(i): value(r) for i in range(r.randint(0, 3))}}
    if r.random() < 0.03:
        return inner  # flat: not OpenAI's shape
    return {"id": "call_1", "type": "function", "function": inner}


def message(r: random.Random, role: str) -> dict:
    out: dict[str, Any] = {"role": role}
    if r.random() < 0.97:
        out["content"] = result_content(r) if role == "tool" else content(r)
    if role == "assistant":
        if r.random() < 0.5:
            out["reasoning_content"] = r.choice([text(r), text(r), "", None])
        if r.random() < 0.6:
            out["tool_calls"] = [call(r) for _ in range(r.randint(0, 3))]
    if role == "system":
        if r.random() < 0.3:
            out["current_date"] = r.choice(["2026-01-02", ""])
        if r.random() < 0.3:
            out["current_location"] = r.choice(["Oslo", ""])
    return out


def conversation(r: random.Random) -> dict[str, Any]:
    messages = [message(r, "system")] if r.random() < 0.5 else []
    if r.random() < 0.7:  # the usual order: user, then replies with calls and their results
        for _ in range(r.randint(1, 4)):
            messages.append(message(r, "user"))
            for _ in range(r.randint(0, 3)):
                messages.append(message(r, "assistant"))
                if messages[-1].get("tool_calls"):
                    messages += [message(r, "tool") for _ in range(r.randint(0, 3))]
    else:
        roles = ["user", "assistant", "tool", "system", "developer"]
        messages += [message(r, r.choice(roles)) for _ in range(r.randint(0, 8))]
    out: dict[str, Any] = {"messages": messages, "add_generation_prompt": r.random() < 0.5}
    if r.random() < 0.6:
        out["tools"] = [{"type": "function", "function": {
            "name": "f", "description": text(r), "parameters": {"type": "object", "properties": {"k": value(r)}}}}
            for _ in range(r.randint(0, 3))]
    if r.random() < 0.1:
        out["model_identity"] = text(r)
    return out


def outcome(render: Any, arguments: dict) -> tuple[str, str]:
    try:
        return "text", render(**arguments)
    except Exception as error:  # any exception: which one differs, and does not matter
        return "raised", type(error).__name__


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--official", required=True)
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with open(options.official, encoding="utf-8") as file:
        official = compile_template(file.read())
    ours = compile_template((MODEL / "chat_template.jinja").read_text(encoding="utf-8"))
    raised = 0
    for seed in range(options.seed, options.seed + options.n):
        arguments = conversation(random.Random(seed))
        expected, found = outcome(official, arguments), outcome(ours, arguments)
        if expected[0] != found[0] or expected[0] == "text" and expected[1] != found[1]:
            raise SystemExit(f"seed {seed} differs\n{arguments}\nofficial: {expected!r}\nours:     {found!r}")
        raised += expected[0] == "raised"
    print(f"{options.n} conversations render equal bytes ({raised} of them raise in both), seeds from {options.seed}")


if __name__ == "__main__":
    main()
