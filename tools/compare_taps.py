#!/usr/bin/env python3
"""Compares every tap of a back-end with tools/reference.py, layer by layer, within derived bounds.

    minimax synth small --preset small --seed 7
    minimax synth one_layer --layers 1 --experts 16 --vocab 4096 --seed 7        # the true shape, fewer experts
    python3 tools/compare_taps.py small one_layer --taps-dump build/cpu/src/backend/taps_dump --backend ref,cpu

Each layer is fed with the reference's input. Two questions are asked of what comes out.

Is each operation right? The reference's operation is applied to the back-end's own inputs of that operation (its taps), and
every element must lie within its bound: what fp32 sums in any order of that length may lose, pushed through the rounding that
follows (docs/numerics.md, "Bounds"). Where the value before rounding is not near a midpoint the bound is zero: equal bits.

How far is the layer? The taps are compared with the reference's own, errors in units of the tap's root mean square. Expert
choices must be the reference's wherever its scores are further apart than the two routers' inputs explain.

With --kv-dtype fp8 the KV cache of both is in fp8: the taps of K and V are those before it.

With --past N the layers' rows stand at positions from N on, behind N positions of random K and V of all strengths of
attention: far angles, and sums over N keys.

Exit status 1 if anything lies beyond its bound.

    python3 tools/compare_taps.py small --rows 9 --golden tests/golden/reference_taps.json

writes some of the reference's values for the unit test of backend/ref, to be done again when `synth` changes its values.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import reference
from reference import to_bf16, to_e4m3, to_fp32

TILE, SPLIT = 64, 512  # kKeyTile and kKeySplit of src/backend/cpu/kernels.h
U = 2.0**-24  # unit roundoff of fp32: what rounding a result to fp32 may cost
NOT_TAPPED = object()
GOLDEN_VALUES, GOLDEN_STRIDE = 12, 7919


@dataclass
class Profile:
    """How a back-end computes inside an operation."""

    unit: float  # unit roundoff of its sums
    lanes: int  # partial sums it keeps at least: a chain of additions is that much shorter
    exp: float  # relative error of its e^x
    tile: int = 2**30  # positions under one maximum: beyond it what is summed is scaled anew
    split: int = 2**30  # positions of one partial result of attention

    def chain(self, terms: int) -> float:
        return self.unit * (terms / self.lanes + np.log2(self.lanes) + 4)  # + the tree over lanes, scales, products

    def serial(self, terms: int) -> float:
        return self.unit * (terms + 4)


CPU = Profile(U, 8, 2.0**-21, TILE, SPLIT)  # avx2; avx512 keeps more lanes
PROFILES = {"ref": Profile(2.0**-50, 1, 2.0**-50), "cpu": CPU, "cpu-avx512": CPU, "cpu-avx2": CPU,
            "cpu-scalar": Profile(U, 1, 2.0**-21, TILE, SPLIT), "cuda": CPU}


class Weights(reference.Checkpoint):
    """Keeps each activation as it was before its rounding to bf16."""

    raw = np.zeros(0)

    def stored(self, x: np.ndarray) -> np.ndarray:
        self.raw = x
        return super().stored(x)

    def weight(self, name: str) -> np.ndarray:
        """As docs/numerics.md defines the bf16 copy of an fp8 weight: through fp32, as loaders do."""
        if self.arithmetic != "bf16" or name + ".weight_scale_inv" not in self.entries:
            return super().weight(name)
        self.arithmetic = "exact"
        weight = super().weight(name)
        self.arithmetic = "bf16"
        return to_bf16(to_fp32(weight))


def settle(raw: np.ndarray, slack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bf16(raw), and how far from it bf16 of a value within `slack` (and a rounding to fp32) of raw can be."""
    slack = slack + U * np.abs(raw)
    value = to_bf16(raw)
    return value, np.maximum(np.abs(to_bf16(raw + slack) - value), np.abs(to_bf16(raw - slack) - value))


def settle_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sum of two bf16 values has one answer: an addition in fp32, rounded to bf16."""
    return to_bf16(to_fp32(a + b)), np.zeros_like(a)


def quantised_slack(x: np.ndarray, dx: np.ndarray) -> np.ndarray:
    """The slack of reference.fp8_activations(x): by intervals, since a scale changes with its largest element."""
    rows, width = x.shape
    low, high = ((x + sign * dx).reshape(rows, -1, 128) for sign in (-1, 1))
    amax = np.abs(x).reshape(rows, -1, 128).max(-1, keepdims=True)
    damax = dx.reshape(rows, -1, 128).max(-1, keepdims=True)
    scales = [to_fp32(np.maximum(amax + sign * damax, 1e-30) / 448.0) for sign in (-1, 1)]
    corners = [to_e4m3(to_fp32(end / s)) * t for end in (low, high) for s in scales for t in scales]
    value = reference.fp8_activations(x).reshape(low.shape)
    slack = np.maximum(np.max(corners, 0) - value, value - np.min(corners, 0))
    return np.where(damax > 0, slack, 0.0).reshape(rows, width)


class Operations:
    """The reference's operations: each returns its value and the bound of every element, given exact inputs."""

    def __init__(self, weights: Weights, profile: Profile):
        self.weights, self.profile = weights, profile
        self.exact = reference.Checkpoint.__new__(reference.Checkpoint)
        self.exact.config, self.exact.arithmetic = weights.config, "exact"

    def norm(self, x, name):
        self.weights.norm(x, name)
        raw = self.weights.raw
        return settle(raw, np.abs(raw) * (self.profile.chain(x.shape[-1]) / 2 + 4 * self.profile.unit))

    def product(self, x, name, dx=0.0):
        """x W^T before any rounding, and its slack; dx: the slack of x."""
        weight, own = self.weights.weight(name), self.profile.chain(x.shape[-1])
        if self.weights.arithmetic == "w8a8" and name + ".weight_scale_inv" in self.weights.entries:
            dx = quantised_slack(x, dx) if np.any(dx) else 0.0
            x = reference.fp8_activations(x)
            own += U  # the product of the two scales is an fp32
        return x @ weight.T, (dx + own * np.abs(x)) @ np.abs(weight).T

    def linear(self, x, name):
        return settle(*self.product(x, name))

    def rotate(self, x, first_position):
        reference.rotate(self.weights, x, first_position)
        raw, rows, head_dim = self.weights.raw, len(x), self.weights.config["head_dim"]
        basis = np.zeros((rows, head_dim))
        half = int(np.count_nonzero(reference.rotate(self.exact, np.ones((rows, head_dim)), first_position)[-1] != 1)) // 2
        basis[:, :half] = 1  # turns into (cos, sin)
        turned = np.abs(reference.rotate(self.exact, basis, first_position))[:, None]
        cos, sin = turned[..., :half], turned[..., half : 2 * half]
        spread = (2 * U + 3 * self.profile.unit) * np.abs(x).reshape(rows, -1, head_dim)  # U: cos and sin are fp32
        slack = np.zeros_like(spread)
        low, high = spread[..., :half], spread[..., half : 2 * half]
        slack[..., :half], slack[..., half : 2 * half] = cos * low + sin * high, cos * high + sin * low
        return settle(raw, slack.reshape(x.shape))

    def attention(self, q, k, v):
        head_dim, (rows, keys), fp8 = self.weights.config["head_dim"], (len(q), len(k)), self.weights.fp8_kv
        if fp8:
            k, v = (reference.fp8_heads(x, head_dim) for x in (k, v))
        reference.attention(self.weights, q, k, v)
        raw = self.weights.raw
        q, k, v = (x.reshape(len(x), -1, head_dim).transpose(1, 0, 2) for x in (q, k, v))
        causal, group, slack = np.tril(np.ones((rows, keys), bool), keys - rows), len(q) // len(k), np.empty(q.shape)
        # Sums: of a split, and then over splits. Scaled anew at every tile of a split and every further split, at most.
        split = min(keys, self.profile.split)
        splits, tiles = -(-keys // split), -(-split // self.profile.tile)
        sums = 2 * self.profile.serial(split + splits - 1)
        sums += 2 * (splits - 1 + tiles - 1) * (self.profile.exp + self.profile.unit)
        sums += self.profile.unit * fp8  # a share times V's scale
        for head, own_q in enumerate(q):
            own_k, own_v = k[head // group], np.abs(v[head // group])
            scores = np.where(causal, own_q @ own_k.T / np.sqrt(head_dim), -np.inf)
            below = scores.max(-1, keepdims=True) - scores
            share = np.exp(-below)
            share /= share.sum(-1, keepdims=True)
            spread = self.profile.serial(head_dim) * (np.abs(own_q) @ np.abs(own_k).T) / np.sqrt(head_dim)
            spread += self.profile.exp + 2 * self.profile.unit * np.where(causal, below + np.abs(scores), 0)
            spread += self.profile.unit * fp8 * np.where(causal, np.abs(scores), 0)  # a sum of products times K's scale
            spread = np.where(causal, spread, 0)
            own = (share * spread).sum(-1, keepdims=True) + sums
            slack[head] = (share * (spread + own)) @ own_v
        return settle(raw, slack.transpose(1, 0, 2).reshape(rows, -1))

    def router(self, x, moe):
        weight = self.weights.tensor(moe + "gate.weight").T
        raw = x @ weight
        own = self.profile.chain(x.shape[-1]) + self.profile.unit  # products of bf16 and fp32 are rounded
        return to_fp32(raw), own * (np.abs(x) @ np.abs(weight)) + 2 * U * np.abs(raw)

    def scores(self, logits):
        raw = 1 / (1 + np.exp(-logits))
        return to_fp32(raw), raw * (2 * U + self.profile.exp + 4 * self.profile.unit)

    def choice(self, scores, moe):
        """Score plus bias in fp32: what the experts are chosen by."""
        return to_fp32(scores + self.weights.tensor(moe + "e_score_correction_bias"))

    def shares(self, scores, ids):
        picked = np.take_along_axis(scores, ids, -1)
        raw = picked / picked.sum(-1, keepdims=True)
        return to_fp32(raw), raw * (2 * U + self.profile.serial(ids.shape[1]))

    def experts(self, x, ids, share, moe, inners):
        """(expert_inner, moe), each with its bound. moe starts from the back-end's own `inners` if it shows them."""
        width = self.weights.config["intermediate_size"]
        value, bound = np.zeros((*ids.shape, width)), np.zeros((*ids.shape, width))
        total, slack = np.zeros_like(x), np.zeros_like(x)
        for expert in np.unique(ids):
            rows, slot = np.nonzero(ids == expert)
            gate, dgate = settle(*self.product(x[rows], f"{moe}experts.{expert}.w1"))
            up, dup = settle(*self.product(x[rows], f"{moe}experts.{expert}.w3"))
            silu = gate / (1 + np.exp(-gate))
            own = np.abs(silu * up) * (self.profile.exp + 6 * self.profile.unit)
            spread = 1.1 * dgate * (np.abs(up) + dup) + np.abs(silu) * dup  # |silu'| < 1.1
            inner, dinner = settle(silu * up, spread + own)
            value[rows, slot], bound[rows, slot] = inner, dinner
            if inners is not NOT_TAPPED:
                inner, dinner = inners.reshape(*ids.shape, width)[rows, slot], 0.0
            down, ddown = settle(*self.product(inner, f"{moe}experts.{expert}.w2", dinner))
            weight = share[rows, slot, None]
            total[rows] += weight * down
            slack[rows] += weight * (ddown + self.profile.serial(ids.shape[1]) * np.abs(down))
        flat = (len(x), -1)
        return (value.reshape(flat), bound.reshape(flat)), settle(total, slack)


@dataclass
class Tally:
    """What was seen of one tap, over layers and rows. rms: of the tap, the unit of errors and bounds."""

    elements: int = 0
    free: int = 0  # elements whose bound is not zero
    unequal: int = 0  # to the operation on the same inputs
    beyond: int = 0
    error: float = 0.0  # largest, against the operation on the same inputs
    bound: float = 0.0  # largest
    used: float = 0.0  # largest quotient of the two
    layer_error: float | None = None  # largest, against the reference's own tap; None: it has no such tap
    layer_error_rms: float = 0.0

    def check(self, got: np.ndarray, want: np.ndarray, bound: np.ndarray) -> None:
        error = np.abs(got - want)
        error = np.where(np.isnan(error), np.inf, error)
        rms = max(float(np.sqrt((want * want).mean())), 1e-30)
        self.elements += error.size
        self.free += int((bound > 0).sum())
        self.unequal += int((error > 0).sum())
        self.beyond += int((error > bound).sum())
        self.error = max(self.error, float(error.max()) / rms)
        self.bound = max(self.bound, float(bound.max()) / rms)
        self.used = max(self.used, float((error / np.maximum(bound, 1e-30))[bound > 0].max(initial=0.0)))

    def measure(self, got: np.ndarray, want: np.ndarray) -> None:
        if got.size:
            rms = max(float(np.sqrt((want * want).mean())), 1e-30)
            self.layer_error = max(self.layer_error or 0.0, float(np.abs(got - want).max()) / rms)
            self.layer_error_rms = max(self.layer_error_rms, float(np.sqrt(((got - want) ** 2).mean())) / rms)


def random_past(config: dict, positions: int) -> tuple[np.ndarray, np.ndarray]:
    """K and V of that many positions, bf16. From one KV head to the next a query's scores spread wider: attention to
    everything, and to a few of all keys."""
    rng, shape = np.random.default_rng(20261128), (positions, config["num_key_value_heads"], config["head_dim"])
    k, v = (to_bf16(rng.standard_normal(shape, np.float32).astype(np.float64)) for _ in "kv")
    k = to_bf16(k * np.resize([1.0, 2.0, 3.0, 4.0], shape[1])[:, None])
    return k.reshape(positions, -1), v.reshape(positions, -1)


def check_layer(op: Operations, n: int, h: np.ndarray, got: dict, tallies: dict, past: tuple | None) -> None:
    """Every operation of layer n on the back-end's own inputs."""
    first_position = 0 if past is None else len(past[0])
    prefix = f"model.layers.{n}."
    attn, moe, ids = prefix + "self_attn.", prefix + "block_sparse_moe.", got["expert_ids"].astype(np.int64)

    def check(name, value_and_bound):
        if name in got:
            tallies.setdefault(name, Tally()).check(got[name], *value_and_bound)

    check("attn_norm", op.norm(h, prefix + "input_layernorm"))
    for side in "qkv":
        check(f"{side}_proj", op.linear(got["attn_norm"], f"{attn}{side}_proj"))
    for side in "qk":
        check(f"{side}_norm", op.norm(got[f"{side}_proj"], f"{attn}{side}_norm"))
        check(f"{side}_rope", op.rotate(got[f"{side}_norm"], first_position))
    k, v = got["k_rope"], got["v_proj"]
    if past is not None:
        k, v = (np.concatenate(pair) for pair in zip(past, (k, v)))
    check("attn", op.attention(got["q_rope"], k, v))
    check("o_proj", op.linear(got["attn"], attn + "o_proj"))
    check("attn_residual", settle_sum(h, got["o_proj"]))
    check("mlp_norm", op.norm(got["attn_residual"], prefix + "post_attention_layernorm"))
    check("router_logits", op.router(got["mlp_norm"], moe))
    check("router_scores", op.scores(got["router_logits"]))
    choice = op.choice(got["router_scores"], moe)
    best = np.argsort(-choice, -1, kind="stable")[:, : ids.shape[1]]
    check("expert_ids", (best, np.zeros(best.shape)))
    check("expert_weights", op.shares(got["router_scores"], ids))
    inner, total = op.experts(got["mlp_norm"], ids, got["expert_weights"], moe, got.get("expert_inner", NOT_TAPPED))
    check("expert_inner", inner)
    check("moe", total)
    check("mlp_residual", settle_sum(got["attn_residual"], got["moe"]))


def measure_layer(op: Operations, n: int, got: dict, taps: dict, tallies: dict) -> tuple[int, int]:
    """Against the reference's taps. Returns rows with another choice of experts, and those of them beyond the bound."""
    moe = f"model.layers.{n}.block_sparse_moe."
    other = (got["expert_ids"] != taps["expert_ids"]).any(-1)
    for name, want in taps.items():
        rows = ~other if name in ("expert_ids", "expert_weights", "moe", "mlp_residual") else slice(None)
        tallies[name].measure(got[name][rows], want[rows])
    # The inputs of the two routers differ by known amounts: |dx| |W| bounds their logits' distance, and sigmoid' <= 1/4.
    dx = np.abs(got["mlp_norm"] - taps["mlp_norm"])
    slack = dx @ np.abs(op.weights.tensor(moe + "gate.weight")).T + op.router(got["mlp_norm"], moe)[1]
    choice = op.choice(taps["router_scores"], moe)
    slack = slack / 4 + op.scores(got["router_logits"])[1] + 2 * U * np.abs(choice)
    order = np.argsort(-choice, -1, kind="stable")[:, : taps["expert_ids"].shape[1] + 1]
    value, spread = (np.take_along_axis(x, order, -1) for x in (choice, slack))
    settled = (value[:, :-1] - value[:, 1:] > spread[:, :-1] + spread[:, 1:]).all(-1)
    return int(other.sum()), int((other & settled).sum())


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    raw = path.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    parts = {name: (e["shape"], raw[end + e["data_offsets"][0] : end + e["data_offsets"][1]])
             for name, e in json.loads(raw[8:end]).items() if name != "__metadata__"}
    return {name: np.frombuffer(part, "<f4").reshape(shape).astype(np.float64) for name, (shape, part) in parts.items()}


def compare(model: str, arithmetic: str, backend: str, ids: list[int], taps_dump: str, work: Path, whole: dict,
            positions: int, fp8_kv: bool) -> dict:
    weights = Weights(model, arithmetic)
    weights.fp8_kv = fp8_kv
    op, layers, tallies = Operations(weights, PROFILES[backend]), weights.config["num_hidden_layers"], {}
    inputs = {f"layers.{n}.input": whole["embed" if n == 0 else f"layers.{n - 1}.mlp_residual"] for n in range(layers)}
    inputs["head.input"] = whole[f"layers.{layers - 1}.mlp_residual"]
    past = random_past(weights.config, positions) if positions else None
    if past is not None:
        whole = dict(whole)
        for n in range(layers):
            inputs |= {f"layers.{n}.k_past": past[0], f"layers.{n}.v_past": past[1]}
            reference.layer(weights, n, inputs[f"layers.{n}.input"], whole, past)
    reference.save(str(work / "inputs.safetensors"), inputs, "float32")

    def run(*flags: str) -> dict[str, np.ndarray]:
        name, *isa = backend.split("-")
        flags += ("--isa", isa[0]) if isa else ()
        flags += ("--kv-dtype", "fp8") if fp8_kv else ()
        subprocess.run([taps_dump, model, "--backend", name, "--arithmetic", arithmetic, "--out", str(work / "taps"), *flags],
                       check=True)
        return read_safetensors(work / "taps")

    end = run("--ids", ",".join(map(str, ids)))
    tallies.setdefault("embed", Tally()).check(end["embed"], whole["embed"], np.zeros_like(whole["embed"]))
    got, other, beyond = run("--inputs", str(work / "inputs.safetensors")), 0, 0
    for n in range(layers):
        prefix = f"layers.{n}."
        own, taps = ({name.removeprefix(prefix): x for name, x in all_taps.items() if name.startswith(prefix)}
                     for all_taps in (got, whole))
        check_layer(op, n, inputs[prefix + "input"], own, tallies, past)
        counts = measure_layer(op, n, own, taps, tallies)
        other, beyond = other + counts[0], beyond + counts[1]
    norm, bound = op.norm(inputs["head.input"], "model.norm")
    tallies.setdefault("final_norm", Tally()).check(got["final_norm"], norm, bound)
    tallies["final_norm"].measure(got["final_norm"], whole["final_norm"])
    logits, slack = op.product(got["final_norm"], "lm_head")
    width = got["logits"].shape[1]  # a back-end may leave out the head's padding rows
    slack = slack + 2 * U * np.abs(logits)
    tallies.setdefault("logits", Tally()).check(got["logits"], to_fp32(logits)[:, :width], slack[:, :width])
    tallies["logits"].measure(got["logits"], whole["logits"][:, :width])

    want = whole["logits"][:, :width]
    error, rms = end["logits"] - want, np.sqrt((want**2).mean())
    same = int((end["logits"].argmax(-1) == want.argmax(-1)).sum())
    print(f"\n**{Path(model).name}, {arithmetic}{', KV in fp8' if fp8_kv else ''}, {backend}.** Whole model on {len(ids)} tokens: logits differ by "
          f"{np.abs(error).max() / rms:.1e} of their rms at most ({np.sqrt((error**2).mean()) / rms:.1e} rms), arg max equal in "
          f"{same} of {len(ids)} rows. Layers fed by the reference"
          f"{f' behind {positions} positions' if positions else ''}: {other} of {layers * len(ids)} rows chose or ordered experts "
          f"otherwise, {beyond} of them beyond the bound.\n")
    tallies["expert_ids"].beyond += beyond
    return tallies


def write_golden(path: str, model: str, arithmetics: list[str], ids: list[int]) -> None:
    """The reference's own values at a few places of every tap, for src/backend/ref/forward_test.cc."""
    golden = {"ids": ids, "taps": {}}
    for arithmetic in arithmetics:
        golden["taps"][arithmetic] = chosen = {}
        for name, x in reference.forward(Weights(model, arithmetic), ids).items():
            flat = np.asarray(x, np.float64).ravel()
            at = np.arange(GOLDEN_VALUES) * GOLDEN_STRIDE % flat.size  # the test takes the same places
            chosen[name] = [float(f"{value:.9g}") for value in flat[at]]
    lines = [json.dumps(arithmetic) + ": {\n" + ",\n".join(f'"{n}": {v}' for n, v in taps.items()) + "\n}"
             for arithmetic, taps in golden["taps"].items()]
    Path(path).write_text('{"ids": ' + json.dumps(ids) + ',\n"taps": {\n' + ",\n".join(lines) + "\n}}\n")


def print_table(tallies: dict[str, Tally]) -> bool:
    print("| tap | elements | bound > 0 | unequal | largest error | largest bound | error / bound | layer error | its rms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, t in tallies.items():
        flag = f" **{t.beyond} beyond**" if t.beyond else ""
        print(f"| `{name}` | {t.elements} | {t.free} | {t.unequal} | {t.error:.1e} | {t.bound:.1e} | {t.used:.2f}{flag} "
              + ("| | |" if t.layer_error is None else f"| {t.layer_error:.1e} | {t.layer_error_rms:.1e} |"))
    return all(t.beyond == 0 for t in tallies.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="checkpoints")
    parser.add_argument("--taps-dump", help="the program built from tools/taps_dump.cc")
    parser.add_argument("--backend", default="ref,cpu", help="of " + ", ".join(PROFILES) + "; commas between")
    parser.add_argument("--arithmetic", default="bf16,w8a16,w8a8")
    parser.add_argument("--rows", type=int, default=12, help="length of the sequence")
    parser.add_argument("--past", type=int, default=0, help="positions before the layers' rows")
    parser.add_argument("--kv-dtype", default="bfloat16", choices=("bfloat16", "fp8"), help="of the KV cache")
    parser.add_argument("--out", help="JSON of all tallies")
    parser.add_argument("--golden", help="only write the reference's values at some places of the first model's taps here")
    options = parser.parse_args()
    if not (options.taps_dump or options.golden):
        parser.error("--taps-dump or --golden is needed")
    good, results = True, {}
    for model in options.models:
        vocab = json.loads((Path(model) / "config.json").read_text())["vocab_size"]
        ids = [int(x) for x in np.random.default_rng(20251124).integers(0, vocab, options.rows)]
        if options.golden:
            return write_golden(options.golden, model, options.arithmetic.split(","), ids)
        for arithmetic in options.arithmetic.split(","):
            weights = Weights(model, arithmetic)
            weights.fp8_kv = options.kv_dtype == "fp8"
            whole = reference.forward(weights, ids)
            for backend in options.backend.split(","):
                with tempfile.TemporaryDirectory() as work:
                    tallies = compare(model, arithmetic, backend, ids, options.taps_dump, Path(work), whole, options.past,
                                      weights.fp8_kv)
                good &= print_table(tallies)
                results[f"{Path(model).name} {arithmetic} {backend}"] = {name: vars(t) for name, t in tallies.items()}
    if options.out:
        Path(options.out).write_text(json.dumps(results, indent=1) + "\n")
    print("\nEvery element within its bound." if good else "\nElements BEYOND their bound: see above.")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
