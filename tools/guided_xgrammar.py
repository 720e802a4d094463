#!/usr/bin/env python3
"""Guided output against PyPI xgrammar (pip install xgrammar jsonschema): who allows what the other does not, and who is right.

    tools/guided_xgrammar.py schemas|regexes [COUNT [SEED]]

Random constraints (guided_proof.py). Texts drawn through our masks are asked of xgrammar; texts drawn through its masks are
asked of us. Where the two disagree, a third judges: jsonschema, or Python's re. Exit status 1 if it is against us: a text drawn
through our masks is wrong, or we take a wrong one of xgrammar's. Right texts that we do not write (other blanks, another
order of keys) are counted.
"""
import json
import random
import re
import signal
import sys
from collections import Counter
from importlib.metadata import version
from typing import Any

import jsonschema
import xgrammar
from xgrammar.testing import _is_grammar_accept_string as accepts

from guided_proof import Schemas, fullmatch, regex, run

STOP = 256
STEPS = 250


class TooLong(Exception):
    pass


def give_up(*_: Any) -> None:
    raise TooLong


def drawn(compiler: xgrammar.GrammarCompiler, grammar: xgrammar.Grammar, r: random.Random) -> str | None:
    """A text through xgrammar's masks over single bytes; None if it comes to no end."""
    matcher = xgrammar.GrammarMatcher(compiler.compile_grammar(grammar))
    mask = xgrammar.allocate_token_bitmask(1, STOP + 1)
    out = bytearray()
    for step in range(STEPS):
        xgrammar.reset_token_bitmask(mask)
        matcher.fill_next_token_bitmask(mask)
        words = mask[0].tolist()
        allowed = [i for i in range(STOP + 1) if words[i // 32] >> (i % 32) & 1]
        if not allowed:
            return None
        closing = [b for b in b'}]"0,' if b in allowed]
        if STOP in allowed and (allowed == [STOP] or r.random() < 0.3 or step > 60):
            return out.decode("utf-8", "replace")
        if closing and (step > 60 or r.random() < 0.25):
            byte = closing[0]
        else:  # few blanks: a walk through any_whitespace would hold little else
            some = [i for i in allowed if i != STOP and i not in b" \n\t"] or [i for i in allowed if i != STOP]
            byte = r.choice(some)
        matcher.accept_token(byte)
        out.append(byte)
    return None


def valid(kind: str, source: Any, text: str) -> bool | None:
    if kind == "regex":
        return None if re.search("[\r\u2028\u2029]", text) else fullmatch(re.compile(source, re.ASCII), text)
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return jsonschema.Draft202012Validator(source, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER).is_valid(value)


def compare(kind: str, sources: list[Any], seed: int) -> bool:
    r, counts = random.Random(seed), Counter()
    compiler = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo([bytes([b]) for b in range(256)] + [b"</s>"], stop_token_ids=STOP))
    ours = run(["sample", seed, 3], [{"kind": kind, "source": source} for source in sources])
    questions: list[dict[str, Any]] = []
    signal.signal(signal.SIGALRM, give_up)
    for source, answer in zip(sources, ours):
        if "error" in answer:
            counts["refused by us"] += 1
            continue
        signal.setitimer(signal.ITIMER_REAL, 20)
        try:
            grammar = xgrammar.Grammar.from_json_schema(source) if kind == "schema" else xgrammar.Grammar.from_regex(source)
            theirs = [text for text in (drawn(compiler, grammar, r) for _ in range(3)) if text is not None]
            taken = [accepts(grammar, text) for text in answer["texts"]]
        except TooLong:
            counts["too slow in xgrammar"] += 1
            continue
        except Exception as error:
            counts["refused by xgrammar"] += 1
            counts["  because " + (str(error).strip().splitlines() or [type(error).__name__])[-1][-60:]] += 1
            continue
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        counts["compared"] += 1
        for text, good in zip(answer["texts"], taken):
            judged = valid(kind, source, text)
            counts["our texts"] += 1
            counts["our texts, wrong"] += judged is False
            counts["our texts, right, not taken by xgrammar"] += judged is True and not good
            if judged is False:
                print("OURS IS WRONG:", repr(text[:150]), json.dumps(source)[:200])
        questions.append({"kind": kind, "source": source, "texts": theirs})
    for question, answer in zip(questions, run(["match"], questions)):
        for text, good in zip(question["texts"], answer["matches"]):
            judged = valid(kind, question["source"], text)
            counts["xgrammar's texts"] += 1
            counts["xgrammar's texts, wrong"] += judged is False
            counts["xgrammar's texts, wrong, taken by us"] += judged is False and good
            counts["xgrammar's texts, right, not taken by us"] += judged is True and not good
            if judged is False and good:
                print("WE TAKE A WRONG TEXT:", repr(text[:150]), json.dumps(question["source"])[:200])
            if judged is True and not good and counts["xgrammar's texts, right, not taken by us"] <= 8:
                print("not written by us:", repr(text[:150]), json.dumps(question["source"])[:200])
    print(json.dumps({"kind": kind, "constraints": len(sources), "seed": seed, "xgrammar": version("xgrammar"), **counts}, indent=1, ensure_ascii=False))
    return counts["our texts, wrong"] + counts["xgrammar's texts, wrong, taken by us"] == 0 and counts["our texts"] > 0


def main() -> None:
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    if what not in ("schemas", "regexes"):
        sys.exit(__doc__)
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    if what == "schemas":
        maker = Schemas(seed)
        good = compare("schema", [maker.root() for _ in range(count)], seed)
    else:
        r = random.Random(seed)
        good = compare("regex", [regex(r, 4) for _ in range(count)], seed)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
