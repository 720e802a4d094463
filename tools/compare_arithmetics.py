#!/usr/bin/env python3
"""How far the arithmetics are from each other in what they would draw: KL divergences of tiny-m2's next-token distributions.

    python3 tools/compare_arithmetics.py --taps-dump build/cpu/src/backend/taps_dump \\
        --tokenizer-ids build/cpu/src/tokenizer/tokenizer_ids [--dialogues 20] [--tokens 400] [--backend cpu] [--out FILE]

The texts are held-out dialogues (tools/tiny_m2/second), rendered with the model's own template and cut after so many
tokens; at each token the whole distribution of the next one is compared. `exact` is tools/reference.py in float64 with nothing rounded;
each other side is the back-end's own run on the whole text. KL(P || Q) in nats of P = exact, and of P = w8a8 (what the
checkpoints were made for), at temperature 1. `fp8 KV` is exact but for attention's K and V, which are e4m3 with a scale
per token and KV head: the reference's own doing; `w8a16 + fp8 KV` and `w8a8 + fp8 KV` are the back-end's, with such a
cache. Needs NumPy and Jinja2.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import reference
from compare_taps import read_safetensors

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tools" / "tiny_m2"))
from second.generate import dialogue  # noqa: E402
from template import tiny_template  # noqa: E402

MODEL = REPOSITORY / "models" / "tiny-m2"
ARITHMETICS = ("bf16", "w8a16", "w8a8")
FP8_KV = " + fp8 KV"
OF_BACKEND = (*ARITHMETICS, "w8a16" + FP8_KV, "w8a8" + FP8_KV)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def texts(count: int) -> list[str]:
    render = tiny_template()
    out = []
    for seed in range(count):
        one = dialogue(seed, True)
        out.append(render(messages=one["messages"], tools=one.get("tools"), add_generation_prompt=False))
    return out


def ids_of(program: str, all_texts: list[str], tokens_max: int) -> list[list[int]]:
    lines = "".join(json.dumps(text) + "\n" for text in all_texts)
    done = subprocess.run([program, str(MODEL)], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line)["ids"][:tokens_max] for line in done.stdout.splitlines()]


def taps_of(taps_dump: str, backend: str, name: str, ids: list[int], work: Path) -> dict[str, np.ndarray]:
    arithmetic, kv_dtype = name.removesuffix(FP8_KV), "fp8" if name.endswith(FP8_KV) else "bfloat16"
    subprocess.run([taps_dump, str(MODEL), "--backend", backend, "--arithmetic", arithmetic, "--kv-dtype", kv_dtype,
                    "--out", str(work / "taps"), "--ids", ",".join(map(str, ids))], check=True)
    return read_safetensors(work / "taps")


def same_experts(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> np.ndarray:
    """Of each token: whether every layer chose the same ones."""
    chosen = [name for name in a if name.endswith("expert_ids")]
    return np.all([np.sort(a[name].astype(int), -1) == np.sort(b[name].astype(int), -1) for name in chosen], axis=(0, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--taps-dump", required=True)
    parser.add_argument("--tokenizer-ids", required=True)
    parser.add_argument("--dialogues", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=400, help="of each dialogue, at most")
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    sides: dict[str, list[np.ndarray]] = {name: [] for name in ("exact", "fp8 KV", *OF_BACKEND)}
    same: dict[str, list[np.ndarray]] = {name: [] for name in (*OF_BACKEND, "fp8 KV")}
    fp8_kv = reference.Checkpoint(MODEL)
    fp8_kv.fp8_kv = True
    with tempfile.TemporaryDirectory() as work:
        for ids in ids_of(options.tokenizer_ids, texts(options.dialogues), options.tokens):
            exact = reference.forward(reference.Checkpoint(MODEL), ids)
            for name in same:
                own = reference.forward(fp8_kv, ids) if name == "fp8 KV" else taps_of(
                    options.taps_dump, options.backend, name, ids, Path(work))
                sides[name].append(own["logits"])
                same[name].append(same_experts(exact, own))
            sides["exact"].append(exact["logits"])
    width = min(parts[0].shape[1] for parts in sides.values())  # a back-end leaves out the head's padding rows
    joined = {name: log_softmax(np.concatenate([part[:, :width] for part in parts])) for name, parts in sides.items()}
    rows = len(joined["exact"])
    entropy = float(-(np.exp(joined["exact"]) * joined["exact"]).sum(-1).mean())
    print(f"{options.dialogues} dialogues, {rows} tokens, {options.backend}; mean entropy of exact {entropy:.3f} nats\n")
    print("| P | Q | mean KL(P, Q) | median | 99 % of tokens below | largest | arg max equal |\n|---|---|---|---|---|---|---|")
    results, split = {}, {}
    for p, q in [("exact", "bf16"), ("exact", "w8a16"), ("exact", "w8a8"), ("w8a8", "bf16"), ("w8a8", "w8a16"), ("w8a16", "bf16"), ("exact", "fp8 KV"),
                 ("exact", "w8a16" + FP8_KV), ("exact", "w8a8" + FP8_KV), ("w8a16", "w8a16" + FP8_KV), ("w8a8", "w8a8" + FP8_KV)]:
        own, other = joined[p], joined[q]
        kl = (np.exp(own) * (own - other)).sum(-1)
        equal = int((own.argmax(-1) == other.argmax(-1)).sum())
        figures = {"mean": float(kl.mean()), "median": float(np.median(kl)), "p99": float(np.quantile(kl, 0.99)),
                   "largest": float(kl.max()), "argmax_equal": equal}
        results[f"KL({p}, {q})"] = figures
        print(f"| {p} | {q} | {figures['mean']:.1e} | {figures['median']:.1e} | {figures['p99']:.1e} | {figures['largest']:.1e} | "
              f"{100 * equal / rows:.2f} % |")
        if p == "exact":
            kept = np.concatenate(same[q])
            split[q] = {"other_experts": int((~kept).sum()), "mean_of_those": float(kl[~kept].mean()),
                        "mean_elsewhere": float(kl[kept].mean()),
                        "share_of_largest_percent": float(np.sort(kl)[-(rows // 100):].sum() / kl.sum())}
    print("\n| Q | tokens with other experts than exact | mean KL(exact, Q) there | elsewhere | of the sum, the largest 1 % |\n"
          "|---|---|---|---|---|")
    for q, s in split.items():
        print(f"| {q} | {100 * s['other_experts'] / rows:.1f} % | {s['mean_of_those']:.1e} | {s['mean_elsewhere']:.1e} | "
              f"{100 * s['share_of_largest_percent']:.0f} % |")
    if options.out:
        options.out.write_text(json.dumps({"dialogues": options.dialogues, "tokens": rows, "backend": options.backend,
                                           "mean_entropy": entropy, "kl": results, "exact": split}, indent=1) + "\n")


if __name__ == "__main__":
    main()
