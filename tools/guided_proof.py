#!/usr/bin/env python3
"""Guided output against independent judges: the PyPI jsonschema, Python's re, the JSON-Schema test suite.

    tools/guided_proof.py schemas [COUNT [SEED]]   random schemas; every text that the masks allow must be valid
    tools/guided_proof.py regexes [COUNT [SEED]]   random patterns; texts allowed must match, and matching must agree
    tools/guided_proof.py suite [DIR]              Debian's json-schema-test-suite (draft 7)

The texts come from build/cpu/src/grammar/guided_walk (or GUIDED_WALK), which needs no model.
"""
import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WALK = os.environ.get("GUIDED_WALK", str(ROOT / "build/cpu/src/grammar/guided_walk"))
SUITE = Path("/usr/share/json-schema-test-suite/tests/draft7")


def run(arguments, lines):
    """guided_walk on those values, one a line."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([WALK, *map(str, arguments)], input=text, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


# ---------------------------------------------------------------------------------------------------------------
# Random schemas.

NAMES = ["a", "b", "name", "value", "größe", "x y", 'q"', "id"]
FORMATS = ["date", "time", "date-time", "uuid", "ipv4", "ipv6", "hostname", "email", "uri"]


class Schemas:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def root(self):
        self.defs = {}
        schema = self.schema(3)
        if self.random.random() < 0.3:  # something recursive
            self.defs["node"] = {"type": "object", "properties": {"v": self.schema(1), "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}},
                                 "required": ["v", "next"], "additionalProperties": False}
            schema = {"type": "object", "properties": {"first": {"$ref": "#/$defs/node"}, "rest": schema}, "required": ["first", "rest"]}
        if self.defs:
            schema = {**schema, "$defs": self.defs} if "$ref" not in schema else schema
        return schema

    def schema(self, depth):
        kinds = ["string", "integer", "number", "boolean", "null", "enum", "const", "types"]
        kinds += ["object", "array", "anyOf", "allOf", "oneOf", "object", "array"] if depth > 0 else []
        return getattr(self, self.random.choice(kinds).replace("object", "object_").replace("null", "null_"))(depth)

    def some(self, *keys):
        return [key for key in keys if self.random.random() < 0.5]

    def string(self, _):
        out, r = {"type": "string"}, self.random
        kind = r.random()
        if kind < 0.4:
            low = r.randrange(4)
            for key in self.some("minLength", "maxLength"):
                out[key] = low if key == "minLength" else low + r.randrange(20)
        elif kind < 0.6:
            out["pattern"] = r.choice([r"^[a-z]{1,5}$", r"\d+", r"^(ab|cd)*x?$", r"[^\s]", r"é|日本", r"^\w+@\w+$"])
            if r.random() < 0.3:
                out["maxLength"] = 12
        elif kind < 0.75:
            out["format"] = r.choice(FORMATS)
        return out

    def integer(self, _):
        out, r = {"type": "integer"}, self.random
        low = r.randint(-300, 300)
        for key in self.some("minimum", "maximum"):
            out[key] = low if key == "minimum" else low + r.randrange(1, 500)
        if r.random() < 0.2:
            out["multipleOf"] = r.choice([2, 5, 7, 10])
            out.pop("maximum", None)
        return out

    def number(self, _):
        out, r = {"type": "number"}, self.random
        low = round(r.uniform(-50, 50), r.randrange(3))
        for key in self.some(r.choice(["minimum", "exclusiveMinimum"]), r.choice(["maximum", "exclusiveMaximum"])):
            out[key] = low if "Min" in key or "min" in key else low + r.choice([0.5, 1, 3.25, 100])
        return out

    def boolean(self, _):
        return {"type": "boolean"}

    def null_(self, _):
        return {"type": "null"}

    def types(self, _):
        return {"type": self.random.sample(["string", "integer", "boolean", "null", "number"], 2)}

    def enum(self, _):
        return {"enum": self.random.sample(["red", "", "\n", "日本", 1, -2.5, None, True, [1, "a"], {"k": "v"}], self.random.randint(1, 4))}

    def const(self, _):
        return {"const": self.random.choice(["x", 0, None, {"a": [1]}, "tab\t"])}

    def object_(self, depth):
        r = self.random
        names = r.sample(NAMES, r.randint(0, 4))
        out = {"type": "object", "properties": {name: self.schema(depth - 1) for name in names}}
        if r.random() < 0.7:
            out["required"] = [name for name in names if r.random() < 0.6]
        if r.random() < 0.6:
            out["additionalProperties"] = r.choice([False, False, self.schema(0)])
        return out

    def array(self, depth):
        out, r = {"type": "array"}, self.random
        if r.random() < 0.8:
            out["items"] = self.schema(depth - 1)
        if r.random() < 0.3:
            out["prefixItems"] = [self.schema(depth - 1) for _ in range(r.randint(1, 3))]
        low = r.randrange(3)
        for key in self.some("minItems", "maxItems"):
            out[key] = low if key == "minItems" else low + r.randrange(4)
        return out

    def anyOf(self, depth):
        return {"anyOf": [self.schema(depth - 1) for _ in range(self.random.randint(1, 3))]}

    def oneOf(self, depth):
        return {"oneOf": [{"type": "object", "properties": {"kind": {"const": kind}, "data": self.schema(depth - 1)}, "required": ["kind", "data"]}
                          for kind in ("one", "two")]}

    def allOf(self, depth):
        return {"allOf": [{"type": "object", "properties": {"a": self.schema(depth - 1)}, "required": ["a"]},
                          {"properties": {"b": self.schema(depth - 1)}, "required": ["b"]}]}


def prove_schemas(count, seed):
    import jsonschema

    maker = Schemas(seed)
    schemas = [maker.root() for _ in range(count)]
    answers = run(["sample", seed, 3], [{"kind": "schema", "source": schema} for schema in schemas])
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    texts = refused = unfinished = bad = 0
    for schema, answer in zip(schemas, answers):
        if "error" in answer:
            refused += 1
            if "no text" not in answer["error"]:
                print("refused:", answer["error"], json.dumps(schema)[:200])
            continue
        unfinished += answer["open"]
        validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
        for text in answer["texts"]:
            texts += 1
            try:
                errors = list(validator.iter_errors(json.loads(text)))
            except ValueError as error:
                errors = [error]
            if errors:
                bad += 1
                print("INVALID:", repr(text[:200]), "|", getattr(errors[0], "message", errors[0]), "|", json.dumps(schema)[:200])
    print(f"{count} schemas of seed {seed}: {texts} texts, {bad} invalid, {unfinished} walks without end, {refused} schemas refused")
    return bad == 0 and texts > count


# ---------------------------------------------------------------------------------------------------------------
# Random regular expressions.

def regex(r, depth):
    if depth == 0 or r.random() < 0.4:
        return r.choice(["a", "b", "é", "日", r"\d", r"\w", "[a-c]", "[^ab]", "[é-ü_]", r"\.", "x", " ", r"\s", r"[\d\-]", "."])
    kind = r.randrange(6)
    inner = regex(r, depth - 1)
    if kind == 0:
        return inner + regex(r, depth - 1)
    if kind == 1:
        return f"(?:{inner}|{regex(r, depth - 1)})"
    if kind == 2:
        return f"({inner})*"
    if kind == 3:
        return f"(?:{inner}){{{r.randrange(3)},{3 + r.randrange(3)}}}"
    if kind == 4:
        return f"({inner})?{regex(r, depth - 1)}"
    return f"(?:{inner})+"


class TooSlow(Exception):
    pass


def slow(*_):
    raise TooSlow


def fullmatch(pattern, text, seconds=0.2):
    """Whether Python's re matches; None if it backtracks for too long, as it does where repetitions are nested."""
    signal.signal(signal.SIGALRM, slow)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return bool(pattern.fullmatch(text))
    except TooSlow:
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def mutated(r, text):
    at = r.randrange(len(text) + 1)
    return text[:at] + r.choice(["", "a", "é", "1", " ", "\n"]) + text[at + r.randrange(2):]


def prove_regexes(count, seed):
    r = random.Random(seed)
    patterns = [regex(r, 4) for _ in range(count)]
    answers = run(["sample", seed, 3], [{"kind": "regex", "source": pattern} for pattern in patterns])
    bad = texts = refused = undecided = 0
    questions = []
    for pattern, answer in zip(patterns, answers):
        if "error" in answer:
            refused += 1
            print("refused:", answer["error"], pattern)
            continue
        good = re.compile(pattern, re.ASCII)
        for text in answer["texts"]:
            texts += 1
            matches = fullmatch(good, text)
            undecided += matches is None
            if matches is False:
                bad += 1
                print("NO MATCH:", repr(text), pattern)
        questions.append({"kind": "regex", "source": pattern, "texts": answer["texts"] + [mutated(r, text) for text in answer["texts"] for _ in range(3)]})
    compared = 0
    for question, answer in zip(questions, run(["match"], questions)):
        good = re.compile(question["source"], re.ASCII)
        for text, matches in zip(question["texts"], answer["matches"]):
            # Python's dot takes all line ends but \n, ECMA's none: they are left out of the comparison.
            if "\r" in text or "\u2028" in text or "\u2029" in text:
                continue
            judged = fullmatch(good, text)
            undecided += judged is None
            compared += judged is not None
            if judged is not None and judged != matches:
                bad += 1
                print("DIFFERS:", repr(text), question["source"], matches)
    print(f"{count} patterns of seed {seed}: {texts} texts, {compared} comparisons, {bad} wrong, {refused} refused, "
          f"{undecided} that Python gave up on")
    return bad == 0 and texts > count


# ---------------------------------------------------------------------------------------------------------------
# The test suite.

def names_in_order(schema, out):
    if isinstance(schema, dict):
        for name in (schema.get("properties") or {}) if isinstance(schema.get("properties"), dict) else {}:
            out.setdefault(name, len(out))
        for value in schema.values():
            names_in_order(value, out)
    elif isinstance(schema, list):
        for value in schema:
            names_in_order(value, out)
    return out


def ordered(value, order):
    if isinstance(value, dict):
        return {key: ordered(value[key], order) for key in sorted(value, key=lambda key: order.get(key, len(order)))}
    return [ordered(one, order) for one in value] if isinstance(value, list) else value


def prove_suite(folder):
    cases = []
    for path in sorted(folder.glob("*.json")) + sorted(folder.glob("optional/format/*.json")):
        for group in json.loads(path.read_text()):
            texts = [json.dumps(ordered(test["data"], names_in_order(group["schema"], {})), ensure_ascii=False) for test in group["tests"]]
            # Half a surrogate pair is no text.
            keep = [i for i, text in enumerate(texts) if text.encode("utf-8", "surrogatepass").decode("utf-8", "ignore") == text]
            cases.append((path.name, group["description"], [group["tests"][i]["valid"] for i in keep],
                          {"kind": "schema", "source": group["schema"], "texts": [texts[i] for i in keep]}))
    answers = run(["match"], [case[3] for case in cases])
    refused, right, wrong, narrow = {}, 0, 0, {}
    for (name, group, valid, question), answer in zip(cases, answers):
        if "error" in answer:
            found = re.search(r"keyword (\S+)|^(\S+) at", answer["error"])
            key = next((part for part in found.groups() if part), "other") if found else answer["error"][:60]
            refused[key] = refused.get(key, 0) + 1
            continue
        for expected, matches, text in zip(valid, answer["matches"], question["texts"]):
            if expected == matches:
                right += 1
            elif matches:
                wrong += 1
                print("INVALID BUT ALLOWED:", name, "|", group, "|", text[:100])
            else:
                narrow.setdefault(name, []).append(f"{group}: {text[:60]}")
    print(f"{len(cases)} schemas: {sum(refused.values())} refused by name; {right} instances right, {wrong} invalid ones allowed, "
          f"{sum(map(len, narrow.values()))} valid ones that are not written this way")
    print("refused:", ", ".join(f"{key} {count}" for key, count in sorted(refused.items(), key=lambda item: -item[1])))
    for name, texts in narrow.items():
        print("  not written:", name, len(texts), "|", texts[0])
    return wrong == 0


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    count = int(sys.argv[2]) if len(sys.argv) > 2 and what != "suite" else 1000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    good = True
    if what in ("schemas", "all"):
        good &= prove_schemas(count, seed)
    if what in ("regexes", "all"):
        good &= prove_regexes(count, seed)
    if what in ("suite", "all"):
        good &= prove_suite(Path(sys.argv[2]) if what == "suite" and len(sys.argv) > 2 else SUITE)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
