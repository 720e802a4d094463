"""Encode and decode beside Hugging Face's `tokenizers`, each on one thread, the same texts in turn.

    python3 tools/bench_tokenizer.py --program build/cpu/src/tokenizer/tokenizer_ids [--model models/tiny-m2]
        [--kilobytes 2000] [--rounds 5] [--out results.json]

Needs the package `tokenizers` (pip). Of each kind of text (files of this machine by name, message catalogues of Chinese and of
all languages, repetitions) some thousand documents of 4 KB are encoded one by one, by both sides in turn; of each side
the round that took the least CPU time counts. `encode` is what Python's users call; `fast` is encode_batch_fast, the
quickest the package has, which yields ids without offsets; the figure is `fast` over ours. The ids must be equal, and
decoding must give the texts back, before a time counts.

Then texts that are one piece of the split, or hard for it, at growing lengths: nanoseconds a byte, which in linear time
grow only as far as the caches end.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizers import Tokenizer, __version__  # noqa: E402  (reads the environment)

from train_tokenizer import REPOSITORY, text_of  # noqa: E402

DOCUMENT = 4000  # characters
KINDS = {  # folders and patterns of file names
    "program text": (["/usr/lib/python3", "/usr/include"], ["*.py", "*.h"]),
    "prose": (["/usr/share/doc", "/usr/share/perl"], ["*.txt", "*.md", "*.pod", "README*"]),
    "JSON": (["/usr/share", "/usr/lib"], ["*.json"]),
    "Chinese": (["/usr/share/locale"], ["zh_*/LC_MESSAGES/*.mo"]),
    "all languages": (["/usr/share/locale"], ["*/LC_MESSAGES/*.mo"])}
RUNS = [" ", "a", "A", "1", "!", "\n", "é", "中", "😀", "e\u0301", "ab", "=-", "\t"]


LENGTHS = [2**16, 2**18, 2**20, 2**22, 2**24]  # bytes


def long_texts(length: int, seed: int) -> dict[str, str]:
    r = random.Random(seed)
    han = "".join(map(chr, range(0x4E00, 0x9FA6)))
    return {"one letter": "a" * length, "spaces": " " * length, "one Han character": "中" * (length // 3),
            "random letters": "".join(r.choices("abcdefghijklmnopqrstuvwxyz", k=length)),
            "common syllables": "".join(r.choices(["the", "re", "in", "con", "er", "st", "qu"], k=length))[:length],
            "random Han characters": "".join(r.choices(han, k=length // 3)),
            "combining marks": "\u0301" * (length // 2), "random digits": "".join(r.choices("0123456789", k=length)),
            "punctuation": "".join(r.choices("=-!#", k=length)), "newlines and spaces": " \n" * (length // 2),
            "almost markers": "<minimax:tool_cal" * (length // 17), "upper case with one letter of both": "A中" + "A" * (length - 4)}


def documents(kind: str, bytes_max: int, seed: int) -> list[str]:
    r = random.Random(seed)
    out: list[str] = []
    total = 0
    if kind == "runs":
        while total < bytes_max:
            run = r.choice(RUNS)
            out.append(run * (DOCUMENT // len(run)))
            total += len(out[-1].encode())
        return out
    folders, patterns = KINDS[kind]
    paths = sorted({path for folder in folders for pattern in patterns for path in Path(folder).rglob(pattern)})
    r.shuffle(paths)
    for path in paths:
        text = text_of(path)
        for begin in range(0, min(len(text), 20 * DOCUMENT), DOCUMENT):
            out.append(text[begin:begin + DOCUMENT])
            total += len(out[-1].encode())
            if total >= bytes_max:
                return out
    return out


def fnv(ids: list[list[int]]) -> str:
    value = 0xCBF29CE484222325
    for one in ids:
        for token in one:
            value = (value ^ token) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def timed(work) -> float:
    begin = time.thread_time()
    work()
    return time.thread_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--model", type=Path, default=REPOSITORY / "models" / "tiny-m2")
    parser.add_argument("--kilobytes", type=int, default=2000, help="of each kind of text")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    theirs = Tokenizer.from_file(str(options.model / "tokenizer.json"))
    ours = subprocess.Popen([options.program, str(options.model), "--time"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True, encoding="utf-8")
    results, total = {}, {"ours": 0.0, "fast": 0.0, "encode": 0.0}
    print(f"tokenizers {__version__}, {theirs.get_vocab_size()} tokens; MB/s of one thread\n")
    print("| text | MB | ours: encode | encode_batch_fast | encode | times faster | ours: decode | decode |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in [*KINDS, "runs"]:
        texts = documents(kind, options.kilobytes * 1000, options.seed)
        megabytes = sum(len(text.encode()) for text in texts) / 1e6
        line = json.dumps(texts) + "\n"
        ids = [one.ids for one in theirs.encode_batch_fast(texts, add_special_tokens=False)]
        best: dict[str, float] = {}

        def took(name: str, seconds: float) -> None:
            best[name] = min(best.get(name, seconds), seconds)

        for _ in range(options.rounds):
            ours.stdin.write(line)
            ours.stdin.flush()
            answer = json.loads(ours.stdout.readline())
            if answer["hash"] != fnv(ids):
                sys.exit(f"{kind}: other ids than tokenizers {__version__}: tools/compare_tokenizer.py says where")
            took("ours", answer["encode_s"])
            took("ours_decode", answer["decode_s"])
            took("fast", timed(lambda: theirs.encode_batch_fast(texts, add_special_tokens=False)))
            took("encode", timed(lambda: [theirs.encode(text, add_special_tokens=False) for text in texts]))
            took("decode", timed(lambda: [theirs.decode(one, skip_special_tokens=False) for one in ids]))
        for name in total:
            total[name] += best[name]
        speed = {name: megabytes / seconds for name, seconds in best.items()}
        results[kind] = {"megabytes": megabytes, "times_faster": best["fast"] / best["ours"],
                         **{f"{name}_mb_per_s": value for name, value in speed.items()}}
        print(f"| {kind} | {megabytes:.1f} | {speed['ours']:.1f} | {speed['fast']:.1f} | {speed['encode']:.1f} | "
              f"**{best['fast'] / best['ours']:.1f}** | {speed['ours_decode']:.0f} | {speed['decode']:.0f} |", flush=True)
    print(f"\nall: {total['fast'] / total['ours']:.1f} times as fast as encode_batch_fast, "
          f"{total['encode'] / total['ours']:.1f} times as encode")
    print(f"\n| one text of ... MB, ns a byte | {' | '.join(f'{length / 1e6:.2f}' for length in LENGTHS)} |\n|---|"
          + "---|" * len(LENGTHS))
    growth: dict[str, list[float]] = {}
    for length in LENGTHS:
        for name, text in long_texts(length, options.seed).items():
            best_s = float("inf")
            for _ in range(2):
                ours.stdin.write(json.dumps([text]) + "\n")
                ours.stdin.flush()
                best_s = min(best_s, json.loads(ours.stdout.readline())["encode_s"])
            growth.setdefault(name, []).append(best_s / len(text.encode()) * 1e9)
    for name, figures in growth.items():
        print(f"| {name} | {' | '.join(f'{figure:.0f}' for figure in figures)} |")
    if options.out:
        options.out.write_text(json.dumps({"tokenizers": __version__, "model": options.model.name,
                                           "tokens": theirs.get_vocab_size(), "texts": results,
                                           "growth": {"bytes": LENGTHS, "ns_per_byte": growth}}, indent=1) + "\n")


if __name__ == "__main__":
    main()
