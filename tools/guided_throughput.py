#!/usr/bin/env python3
"""Tokens a second with and without a guide, in turns, against a running server.

    tools/guided_throughput.py URL [ROUNDS [STREAMS [TOKENS]]]

Every answer has the same number of tokens: the regex allows any text, ends are ignored. Prints the median of the
rounds' ratios too: both halves of a round meet the same load of the machine.
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


def ask(seed, more):
    body = {"prompt": "The weather", "max_tokens": TOKENS, "temperature": 1.0, "seed": seed, "ignore_eos": True, **more}
    request = urllib.request.Request(URL + "/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)["usage"]["completion_tokens"]


def rate(pool, more):
    begin = time.monotonic()
    return sum(pool.map(lambda seed: ask(seed, more), range(STREAMS))) / (time.monotonic() - begin)


with concurrent.futures.ThreadPoolExecutor(STREAMS) as workers:
    for guide in ({}, GUIDE, SCHEMA):
        rate(workers, guide)
    rounds = [(rate(workers, {}), rate(workers, GUIDE), rate(workers, SCHEMA)) for _ in range(ROUNDS)]
free = statistics.median(one[0] for one in rounds)
print(f"unguided {free:.0f} tokens/s; any text {statistics.median(g / f for f, g, _ in rounds):.3f} of it, "
      f"array of strings {statistics.median(s / f for f, _, s in rounds):.3f} of it")
