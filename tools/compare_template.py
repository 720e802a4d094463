"""Our renderer writes what Hugging Face's transformers renders from the official chat template, byte for byte.

    python3 tools/compare_template.py --program build/cpu/src/chat/render_text --template chat_template.jinja
        [--n 20000] [--seed 1]

Needs the packages `transformers` and `jinja2` (pip). Random conversations: system messages in odd places, contents that
are lists, numbers and objects, thinking inside and beside the content, arguments of every JSON type, several calls and
results in a row, results without a call, an identity by keyword, messages to be continued, texts full of markers and
whitespace. Where the template raises, the renderer must fail and name the message. Null contents are the one intended
difference: the template prints the word None, the renderer (as the server before it) takes them for empty.
"""
import argparse
import copy
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import transformers
from transformers.utils.chat_template_utils import render_jinja_template

TEXTS = ["", "Hi", " leading and trailing \n", "\nnewlines\n\n", "Zürich 東京 😀", "quotes ' \" and <tags> & \\ ", "</think>",
         "<think>\nraw\n</think>\n\nanswer", "a</think>b</think>c", "<think>x<think>y</think>z", "\n</think>\n", "{{ no jinja }}",
         "{% if %}", "[e~[", "]~b]ai\n", "<response>x</response>", "\r\n\t", "\0\x01\x1f\x7f\x85", "\u200b\u2028\u00ad\ufeff",
         "it's", 'say "it\'s"', "\u0301", "e\u0301", "\U000e0001", "None", "<invoke name=\"f\">", "CJK 漢字 かな 한국어", "</minimax:tool_call>"]
NAMES = ["get_weather", "f", "näme", "items", "a b", "x\"y"]


def text(r: random.Random) -> str:
    return r.choice(TEXTS) if r.random() < 0.6 else "".join(r.choice(TEXTS) for _ in range(3))


def value(r: random.Random, depth: int = 0) -> Any:
    kinds = [lambda: text(r), lambda: r.randint(-10, 1000), lambda: r.randint(-10**30, 10**30), lambda: r.random() * 1e5,
             lambda: r.choice([1e5, 1e15, 1e16, 1e22, -0.0, 1e-4, 1e-5, 5e-324, 1.7976931348623157e308, 0.1, 123456.789]),
             lambda: r.uniform(-1, 1) * 10.0 ** r.randint(-30, 30), lambda: True, lambda: False, lambda: None, lambda: [],
             lambda: {}]
    if depth < 3:
        kinds += [lambda: [value(r, depth + 1) for _ in range(r.randint(0, 3))],
                  lambda: {text(r): value(r, depth + 1) for _ in range(r.randint(0, 3))}]
    return r.choice(kinds)()


def content(r: random.Random) -> Any:
    choice = r.random()
    if choice < 0.6:
        return text(r)
    if choice < 0.9:
        parts = [lambda: {"type": "text", "text": text(r)}, lambda: text(r), lambda: {"type": "image_url", "image_url": {}},
                 lambda: {"text": text(r)}, lambda: value(r), lambda: {"type": "text"}, lambda: {"type": "text", "text": value(r)}]
        return [r.choice(parts)() for _ in range(r.randint(0, 4))]
    return r.choice([None, value(r)])


def result_content(r: random.Random) -> Any:
    choice = r.random()
    if choice < 0.5:
        return text(r)
    if choice < 0.9:
        parts = [lambda: {"type": "text", "text": text(r)}, lambda: {"output": r.choice([text(r), value(r)])},
                 lambda: {"type": "text"}, lambda: text(r), lambda: {"type": "other", "text": text(r)},
                 lambda: {"type": "text", "text": value(r), "x": text(r)}, lambda: value(r)]
        return [r.choice(parts)() for _ in range(r.randint(0, 4))]
    return value(r)


def message(r: random.Random, role: str) -> dict:
    out: dict[str, Any] = {"role": role, "content": result_content(r) if role == "tool" else content(r)}
    if role == "assistant":
        if r.random() < 0.5:
            out["reasoning_content"] = text(r)
        if r.random() < 0.6:
            out["tool_calls"] = [
                {"id": "call_1", "type": "function", "function": {
                    "name": r.choice(NAMES),
                    "arguments": {text(r) if r.random() < 0.3 else f"k{i}": value(r) for i in range(r.randint(0, 4))}}}
                for _ in range(r.randint(0, 3))]
    if role == "system":
        if r.random() < 0.3:
            out["current_date"] = r.choice(["2026-01-02", "", text(r)])
        if r.random() < 0.3:
            out["current_location"] = r.choice(["Oslo", "", text(r)])
    return out


def conversation(r: random.Random) -> dict[str, Any]:
    messages = [message(r, "system")] if r.random() < 0.5 else []
    if r.random() < 0.6:  # the usual order: user, then replies with calls and their results
        for _ in range(r.randint(1, 4)):
            messages.append(message(r, "user"))
            for _ in range(r.randint(0, 3)):
                messages.append(message(r, "assistant"))
                if messages[-1].get("tool_calls"):
                    messages += [message(r, "tool") for _ in range(r.randint(0, 3))]
    else:
        messages += [message(r, r.choice(["user", "assistant", "assistant", "tool", "system"])) for _ in range(r.randint(0, 8))]
    out: dict[str, Any] = {"messages": messages, "add_generation_prompt": r.random() < 0.5, "continue_final_message": False}
    if r.random() < 0.6:
        out["tools"] = [{"type": "function", "function": {
            "name": r.choice(NAMES), "description": text(r),
            "parameters": {"type": "object", "properties": {"k": value(r)}, "required": ["k"]}}} for _ in range(r.randint(0, 3))]
    if r.random() < 0.1:
        out["model_identity"] = text(r)
    if r.random() < 0.15 and messages and messages[-1]["role"] == "assistant" and isinstance(messages[-1]["content"], str):
        out["continue_final_message"], out["add_generation_prompt"] = True, False
    return out


def without_nulls(data: dict[str, Any]) -> dict[str, Any]:
    data = copy.deepcopy(data)
    for one in data["messages"]:
        if one["content"] is None:
            one["content"] = ""
    return data


def expected(template: str, data: dict[str, Any]) -> tuple[str, str]:
    data = without_nulls(data)
    keywords = {"model_identity": data["model_identity"]} if "model_identity" in data else {}
    try:
        return "text", render_jinja_template(
            [data["messages"]], tools=data.get("tools"), chat_template=template,
            add_generation_prompt=data["add_generation_prompt"],
            continue_final_message=data["continue_final_message"], **keywords)[0][0]
    except ValueError as error:
        if "final message does not appear" in str(error):  # the template took the text apart: cannot be compared
            return "unknown", str(error)
        return "raised", str(error)
    except Exception as error:  # which one does not matter
        return "raised", str(error)


def user_texts_found(data: dict[str, Any], of_user: list[str]) -> bool:
    """Every user message of plain text came out marked as the user's."""
    texts = "\0".join(of_user)
    return all(one["content"] in texts for one in data["messages"] if one["role"] == "user" and isinstance(one["content"], str))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--template", type=Path, required=True)
    parser.add_argument("--n", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    template = options.template.read_text(encoding="utf-8")
    conversations = [conversation(random.Random(seed)) for seed in range(options.seed, options.seed + options.n)]
    lines = "".join(json.dumps(data) + "\n" for data in conversations)
    done = subprocess.run([options.program], input=lines, capture_output=True, text=True, encoding="utf-8")
    if done.returncode != 0:
        sys.exit(f"{options.program} failed ({done.returncode}): {done.stderr}")
    answers = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert len(answers) == len(conversations)
    counts = {"text": 0, "raised": 0, "unknown": 0}
    for seed, data, answer in zip(range(options.seed, options.seed + options.n), conversations, answers):
        kind, wanted = expected(template, data)
        counts[kind] += 1
        good = (kind == "text" and answer.get("text") == wanted and user_texts_found(data, answer["of_user"])
                or kind == "raised" and answer.get("param", "").startswith("messages[") or kind == "unknown")
        if not good:
            sys.exit(f"seed {seed} differs\n{json.dumps(data, ensure_ascii=False)}\n{kind}: {wanted!r}\nours: {answer!r}")
    continued = sum(data["continue_final_message"] for data in conversations)
    print(f"transformers {transformers.__version__}: {options.n} conversations, seeds from {options.seed}: "
          f"{counts['text']} render equal bytes, {counts['raised']} fail in both; "
          f"{continued} to be continued, of which {counts['unknown']} cannot be compared")


if __name__ == "__main__":
    main()
