"""Prompts are what Jinja2 renders with the settings of Hugging Face's transformers, byte for byte.

    python3 tools/compare_template.py --program build/cpu/src/chat/render_text [--official chat_template.jinja]
        [--n 10000] [--expressions 10000] [--seed 1]

Needs the package `jinja2` (pip). Random conversations: system messages in odd places, contents that are lists, numbers
and objects, thinking inside and beside the content, arguments of every JSON type, several calls and results in a row,
results without a call, keywords, messages to be continued, texts full of markers and whitespace.

With --official, the renderer that writes the family's template by hand and the interpreter are both compared with Jinja2
on that file, and with one another, origins included. Then the templates of tests/templates, which use each construct,
are interpreted; then random expressions. Where Jinja2 raises, ours must fail. Null contents are the one intended
difference: ours are empty, a template would print the word None.
"""
import argparse
import datetime
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox

ROOT = Path(__file__).resolve().parent.parent
SPECIAL = {"bos_token": "]~!b[", "eos_token": "[e~["}

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
    if r.random() < 0.2:
        out["keywords"] = {"model_identity": text(r), "enable_thinking": r.random() < 0.5}
    if r.random() < 0.15 and messages and messages[-1]["role"] == "assistant" and isinstance(messages[-1]["content"], str):
        out["continue_final_message"], out["add_generation_prompt"] = True, False
    return out


def environment() -> jinja2.Environment:
    """As transformers makes it."""
    out = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])

    def tojson(x: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False) -> str:
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    out.filters["tojson"] = tojson
    out.globals["raise_exception"] = raise_exception
    out.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return out


def native(message: dict[str, Any]) -> dict[str, Any]:
    """A message as the server hands it to a template."""
    out = {"role": message["role"], "content": "" if message["content"] is None else message["content"]}
    if "reasoning_content" in message:
        out["reasoning_content"] = out["reasoning"] = message["reasoning_content"]
    if message.get("tool_calls"):
        out["tool_calls"] = [{"id": "", "type": "function", "function": call["function"]} for call in message["tool_calls"]]
    for name in ("current_date", "current_location"):
        if name in message:
            out[name] = message[name]
    return out


def continued(rendered: str, final: str) -> str:
    """What transformers 5 leaves of the prompt when the last message is to be continued."""
    if not final.strip() or final.strip() not in rendered:
        raise ValueError("the final message does not appear")
    at = rendered.rindex(final.strip())
    keeps_space = rendered[at:].startswith(final.lstrip())
    return rendered[:at + len(final.lstrip() if keeps_space else final.strip())]


def expected(template: jinja2.Template, data: dict[str, Any]) -> tuple[str, str]:
    messages = [native(one) for one in data["messages"]]
    tools = [{"type": "function", "function": tool["function"]} for tool in data.get("tools", [])]
    try:
        rendered = template.render(**{**SPECIAL, "documents": None, **data.get("keywords", {}), "messages": messages,
                                      "tools": tools or None, "add_generation_prompt": data["add_generation_prompt"]})
    except Exception as error:  # which one does not matter
        return "raised", f"{type(error).__name__}: {error}"
    if data["continue_final_message"]:
        try:
            return "text", continued(rendered, data["messages"][-1]["content"])
        except ValueError as error:
            return "unknown", str(error)
    return "text", rendered


def ask(program: str, lines: list[dict[str, Any]], *arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run([program, *arguments], input="".join(json.dumps(line) + "\n" for line in lines),
                          capture_output=True, text=True, encoding="utf-8")
    if done.returncode != 0:
        sys.exit(f"{program} failed ({done.returncode}): {done.stderr}")
    answers = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert len(answers) == len(lines)
    return answers


def user_texts_found(data: dict[str, Any], answer: dict[str, Any]) -> bool:
    """Every user message of plain text came out marked as the user's."""
    texts = "\0".join(answer["of_user"])
    return all(one["content"] in texts for one in data["messages"] if one["role"] == "user" and isinstance(one["content"], str))


def difference(wanted: str, found: dict[str, Any]) -> str:
    if "text" not in found:
        return f"{wanted[-300:]!r}\nours fails: {found}"
    text_found = found["text"]
    at = next((i for i, (a, b) in enumerate(zip(wanted, text_found)) if a != b), min(len(wanted), len(text_found)))
    return f"{wanted[max(0, at - 100):at + 100]!r}\nours:  {text_found[max(0, at - 100):at + 100]!r}"


def compare(name: str, source: str, program: str, conversations: list[dict[str, Any]], by_hand: bool) -> None:
    template = environment().from_string(source)
    wanted = [expected(template, data) for data in conversations]
    counts = {kind: sum(one[0] == kind for one in wanted) for kind in ("text", "raised", "unknown")}
    answers = ask(program, [{**data, "template": source} for data in conversations])
    hand = ask(program, conversations) if by_hand else answers
    for number, (data, (kind, text_wanted), ours, written) in enumerate(zip(conversations, wanted, answers, hand)):
        good = kind == "unknown" or all(one.get("text") == text_wanted if kind == "text" else "error" in one for one in (ours, written))
        if not good and data["continue_final_message"]:
            # transformers cut at another place that reads the same, the template's own text or an earlier message's
            def elsewhere(one: dict[str, Any]) -> bool:
                text = one.get("text")
                if text is None:
                    return "cannot be continued" in str(one["error"])
                return text_wanted.startswith(text) or text.startswith(text_wanted)

            if elsewhere(ours) and elsewhere(written):
                counts["text"] -= 1
                counts["unknown"] += 1
                continue
        if good and by_hand and kind == "text":
            good = ours["of_user"] == written["of_user"] and user_texts_found(data, written)
        if good and by_hand and kind == "raised":
            good = written["param"].startswith("messages[")
        if not good:
            found = written if by_hand and written.get("text") != text_wanted else ours
            sys.exit(f"{name}, conversation {number} differs\n{json.dumps(data, ensure_ascii=False)}\n{kind}: {difference(text_wanted, found)}")
    ways = "interpreted and by hand" if by_hand else "interpreted"
    print(f"{name}, {ways}: {counts['text']} equal, {counts['raised']} fail on both sides, {counts['unknown']} cannot be compared")


# --- random expressions

ATOMS = ["m", "m.content", "m.role", "t", "x", "n", "1", "0", "-3", "2.5", "''", "'a'", "'</think>'", "'\\n'", "none", "true", "false",
         "undefined_name", "[]", "[1, 'a', m.content]", "{}", "{'a': x, 'b': [n]}", "(1, 'b')", "messages", "tools", "range(3)"]
FILTERS = ["length", "trim", "upper", "lower", "title", "capitalize", "string", "list", "first", "last", "reverse", "sort", "unique",
           "min", "max", "sum", "join('-')", "default('d')", "default(1, true)", "int", "float", "abs", "round(1)", "tojson",
           "tojson(indent=1)", "items", "dictsort", "replace('a', x)", "indent(1)", "map('string')", "map(attribute='role')",
           "select", "reject('none')", "selectattr('role')", "batch(2)"]
TESTS = ["defined", "none", "string", "mapping", "iterable", "sequence", "number", "integer", "float", "boolean", "true", "odd", "in x",
         "eq n", "divisibleby 2", "callable", "lower"]
METHODS = ["split()", "split('<')", "strip()", "rstrip('>')", "upper()", "title()", "startswith('<')", "replace('n', '..')", "splitlines()",
           "items()", "keys()", "values()", "get('a')", "get('a', n)", "count('a')", "index('a')", "find('a')", "join(['a', t])",
           "rsplit('a', 1)", "partition('a')", "isdigit()", "removeprefix('<')"]


def expression(r: random.Random, depth: int) -> str:
    if depth == 0:
        return r.choice(ATOMS)
    one = lambda: expression(r, r.randint(0, depth - 1))  # noqa: E731
    kinds = [lambda: f"({one()} {r.choice(['+', '-', '*', '/', '//', '%', '~', '==', '!=', '<', '<=', '>', 'in', 'not in', 'and', 'or'])} {one()})",
             lambda: f"({one()})|{r.choice(FILTERS)}", lambda: f"({one()})|{r.choice(FILTERS)}",
             lambda: f"({one()} is {r.choice(['', 'not '])}{r.choice(TESTS)})", lambda: f"({one()}).{r.choice(METHODS)}",
             lambda: f"({one()})[{r.choice(['0', '-1', '1:', ':-1', '::-1', '::2', one()])}]",
             lambda: f"({one()}).{r.choice(['role', 'content', 'a', 'items', 'absent'])}", lambda: f"({one()} if {one()} else {one()})",
             lambda: f"[{one()}, {one()}]", lambda: f"(not {one()})", lambda: f"(-{one()})",
             lambda: "{" + f"{one()}: {one()}" + "}"]
    return r.choice(kinds)()


# Texts that Python makes of addresses and of views, integers beyond 64 bits, formatting by %, slices and hashes of ranges,
# and what Jinja's generators would only meet when they are read (ours are worked out at once): ours fails instead.
REFUSED = ("has no text of its own", "64 bits", "cannot be iterated over", "'items' needs a dict", "cannot be sliced",
           "'%' is not known", "cannot be a 'view'", "'view' has no", "'range'", "a 'tuple' is no key",
           "cannot be a 'generator'")


def refused(wanted: str, source: str, error: str) -> bool:
    lazy = any("|" + name in source for name in ("items", "map", "select", "reject", "batch", "unique"))
    return " object at 0x" in wanted or any(mark in error for mark in REFUSED) or lazy or " % " in source


def compare_expressions(program: str, count: int, seed: int) -> None:
    lines, wanted = [], []
    env = environment()
    rendered = raised = skipped = 0
    for number in range(seed, seed + count):
        r = random.Random(number)
        data = conversation(r)
        data["continue_final_message"] = False
        assigned = "".join("{%- set " + name + " = " + expression(r, 1) + " -%}" for name in "xn")
        source = ("{%- set t = '<think>' -%}{%- set m = messages[0] | default({}) -%}{%- set x = 'na' -%}{%- set n = 2 -%}" + assigned
                  + "{{ " + expression(r, 3) + " }}")
        lines.append({**data, "template": source})
        try:
            template = env.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            wanted.append(("raised", str(error)))
        except Exception as error:  # constants are worked out at once, also those that no branch would come to
            wanted.append(("folded", str(error)))
        else:
            wanted.append(expected(template, data))
    for line, (kind, text_wanted), ours in zip(lines, wanted, ask(program, lines)):
        if kind == "folded" or (kind == "text" and "error" in ours and refused(text_wanted, line["template"], ours["error"])):
            skipped += 1
            continue
        if not (ours.get("text") == text_wanted if kind == "text" else "error" in ours):
            sys.exit(f"{line['template']}\n{json.dumps({k: v for k, v in line.items() if k != 'template'}, ensure_ascii=False)}\n"
                     f"{kind}: {difference(text_wanted, ours)}")
        rendered += kind == "text"
        raised += kind == "raised"
    print(f"random expressions: {rendered} equal, {raised} fail on both sides, {skipped} that ours refuses on purpose "
          "or that Jinja2 fails to compile")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--official", type=Path)
    parser.add_argument("--n", type=int, default=10000)
    parser.add_argument("--expressions", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="names of templates, with commas")
    options = parser.parse_args()
    print(f"jinja2 {jinja2.__version__}, {options.n} conversations each, seeds from {options.seed}")
    conversations = [conversation(random.Random(seed)) for seed in range(options.seed, options.seed + options.n)]
    family = [options.official] if options.official else []
    family.append(ROOT / "models/tiny-m2/chat_template.jinja")
    for path in family:
        compare(path.name, path.read_text(encoding="utf-8"), options.program, conversations, by_hand=True)
    for path in sorted((ROOT / "tests/templates").glob("*.jinja")):
        if not options.only or path.stem in options.only.split(","):
            compare(path.name, path.read_text(encoding="utf-8"), options.program, conversations, by_hand=False)
    compare_expressions(options.program, options.expressions, options.seed)


if __name__ == "__main__":
    main()
