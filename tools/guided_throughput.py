#!/usr/bin/env python3
"""Tokens a second with and without a guide, in turns, against a running server.

    tools/guided_throughput.py URL [ROUNDS [STREAMS [TOKENS]]]

Every answer has the same number of tokens: the regex allows any text, ends are ignored. The three kinds take turns, each
round in another order, so that all meet the same load of the machine; what counts is the median of the rounds' ratios,
given with the interval that holds it in 95 of 100 cases (order statistics, no assumption on the noise).
"""
import concurrent.futures
import json
import statistics
import sys
import time
import urllib.request

URL = sys.argv[1]
ROUNDS, STREAMS, TOKENS = (int(sys.argv[i]) if len(sys.argv) > i else value for i, value in ((2, 7), (3, 8), (4, 200)))
GUIDE = {"structured_outputs": {"regex": "(.|\\n|\\r|\\u2028|\\u2029)*"}}
SCHEMA = {"structured_outputs": {"json": {"type": "array", "items": {"type": "string"}}}}
KINDS = ({}, GUIDE, SCHEMA)


def ask(seed, more):
    body = {"prompt": "The weather", "max_tokens": TOKENS, "temperature": 1.0, "seed": seed, "ignore_eos": True, **more}
    request = urllib.request.Request(URL + "/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)["usage"]["completion_tokens"]


def rate(pool, more):
    begin = time.monotonic()
    return sum(pool.map(lambda seed: ask(seed, more), range(STREAMS))) / (time.monotonic() - begin)


with concurrent.futures.ThreadPoolExecutor(STREAMS) as workers:
    for guide in KINDS:
        rate(workers, guide)
    rounds = []
    for i in range(ROUNDS):
        measured = {kind: rate(workers, KINDS[kind]) for kind in [(i + turn) % 3 for turn in range(3)]}
        rounds.append([measured[kind] for kind in range(3)])


def told(ratios):
    ratios = sorted(ratios)
    off = int(len(ratios) / 2 - 0.98 * len(ratios) ** 0.5)  # binomial, normal approximation
    bounds = f" [{ratios[max(off, 0)]:.3f} .. {ratios[-1 - max(off, 0)]:.3f}]"
    return f"{statistics.median(ratios):.3f}{bounds}"


free = statistics.median(one[0] for one in rounds)
print(f"unguided {free:.0f} tokens/s; of it: any text {told([g / f for f, g, _ in rounds])}, "
      f"array of strings {told([s / f for f, _, s in rounds])}, {ROUNDS} rounds")
