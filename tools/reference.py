#!/usr/bin/env python3
"""The forward pass of a MiniMax-M2 checkpoint in float64 NumPy: one sequence, full causal, no cache.

It exists to be read next to the model's description and to be right, not fast: every back-end is compared
with it, tap by tap. It shares no code with the server; it reads the Hugging Face layout by itself.

    python3 tools/reference.py MODEL --ids 1,2,3 --arithmetic exact --out taps.npz

Arithmetics (what is rounded; every sum runs in float64 in all of them):
  exact   fp8 weights times their block scales, nothing rounded.
  bf16    as w8a16, and every dequantised weight is rounded to bf16 too (a bf16 copy of the checkpoint).
  w8a16   exact weights; activations are rounded to bf16 where a kernel stores them (every tap), the router to fp32.
  w8a8    as w8a16, and the input of every fp8 linear is quantised per token and 128 columns: scale = amax / 448
          in fp32, value = e4m3(x / scale), nearest even.

Taps are [rows, width], row-major; `layers.N.` precedes those of a layer (src/model/taps.h names the same).
"""
import argparse
import json
from pathlib import Path

import numpy as np

ARITHMETICS = ("exact", "bf16", "w8a16", "w8a8")

def e4m3_table() -> np.ndarray:
    """Value of each of the 256 e4m3fn codes: bias 7, no infinities, 0x7f and 0xff are NaN."""
    code = np.arange(256)
    exponent, mantissa = code >> 3 & 15, code & 7
    value = np.where(exponent == 0, mantissa / 8 * 2.0**-6, (1 + mantissa / 8) * 2.0 ** (exponent - 7.0))
    value[code & 127 == 127] = np.nan
    return np.where(code & 128, -value, value)

def round_bits(x: np.ndarray, bits: int, exponent_min: int) -> np.ndarray:
    """Nearest even to `bits` significant bits, straight from float64 (no double rounding through fp32)."""
    leading = np.maximum(np.frexp(x)[1] - 1, exponent_min)
    quantum = np.ldexp(1.0, leading - bits + 1)
    return np.rint(x / quantum) * quantum

def to_bf16(x: np.ndarray) -> np.ndarray:
    return round_bits(x, 8, -126)

def to_fp32(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32).astype(np.float64)

def to_e4m3(x: np.ndarray) -> np.ndarray:
    return np.clip(round_bits(x, 4, -6), -448.0, 448.0)

def fp8_activations(x: np.ndarray) -> np.ndarray:
    """x after a round trip through per-token, per-128-column e4m3. A group of zeros keeps scale 1."""
    rows, width = x.shape
    groups = x.reshape(rows, width // 128, 128)
    amax = np.abs(groups).max(-1, keepdims=True)
    scale = np.where(amax > 0, to_fp32(amax / 448.0), 1.0)
    return (to_e4m3(to_fp32(groups / scale)) * scale).reshape(rows, width)

def fp8_heads(x: np.ndarray, head_dim: int) -> np.ndarray:
    """K or V after a round trip through an fp8 cache: e4m3 with one fp32 scale, amax / 448, per token and KV head. In float64
    the product of code and scale is exact, so where the scale multiplies is no question here."""
    heads = x.reshape(len(x), -1, head_dim)
    amax = np.abs(heads).max(-1, keepdims=True)
    scale = np.where(amax > 0, to_fp32(amax / 448.0), 1.0)
    return (to_e4m3(to_fp32(heads / scale)) * scale).reshape(x.shape)

class Checkpoint:
    """config.json and lazily read tensors of one or more .safetensors files."""

    fp8_kv = False  # whether attention reads K and V from a cache in fp8

    def __init__(self, folder: str | Path, arithmetic: str = "exact"):
        assert arithmetic in ARITHMETICS, arithmetic
        self.config = json.loads((Path(folder) / "config.json").read_text())
        self.arithmetic = arithmetic
        self.entries: dict[str, tuple[Path, int, dict]] = {}
        for path in sorted(Path(folder).glob("*.safetensors")):
            with path.open("rb") as file:
                header = json.loads(file.read(header_bytes := int.from_bytes(file.read(8), "little")))
            self.entries |= {name: (path, 8 + header_bytes, header[name]) for name in header if name != "__metadata__"}

    def tensor(self, name: str) -> np.ndarray:
        """The stored tensor widened to float64, without any block scale."""
        path, base, entry = self.entries[name]
        begin, end = entry["data_offsets"]
        kind = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "F8_E4M3": "u1"}[entry["dtype"]]
        value = np.fromfile(path, kind, (end - begin) // np.dtype(kind).itemsize, offset=base + begin)
        if entry["dtype"] == "BF16":
            value = (value.astype(np.uint32) << 16).view(np.float32)
        elif entry["dtype"] == "F8_E4M3":
            value = e4m3_table()[value]
        return value.astype(np.float64).reshape(entry["shape"])

    def weight(self, name: str) -> np.ndarray:
        """name + '.weight', dequantised where it is fp8, rounded as the arithmetic says."""
        weight = self.tensor(name + ".weight")
        if name + ".weight_scale_inv" in self.entries:
            scale = self.tensor(name + ".weight_scale_inv").repeat(128, 0).repeat(128, 1)
            weight = weight * scale[: weight.shape[0], : weight.shape[1]]
        return to_bf16(weight) if self.arithmetic == "bf16" else weight

    def linear(self, x: np.ndarray, name: str) -> np.ndarray:
        """x @ weight^T: [rows, in] -> [rows, out]."""
        if self.arithmetic == "w8a8" and name + ".weight_scale_inv" in self.entries:
            x = fp8_activations(x)
        return self.stored(x @ self.weight(name).T)

    def stored(self, x: np.ndarray) -> np.ndarray:  # an activation as a kernel leaves it in memory
        return x if self.arithmetic == "exact" else to_bf16(x)

    def routed(self, x: np.ndarray) -> np.ndarray:  # a router's value
        return x if self.arithmetic == "exact" else to_fp32(x)

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        mean_square = (x * x).mean(-1, keepdims=True)
        return self.stored(x / np.sqrt(mean_square + self.config["rms_norm_eps"]) * self.tensor(name + ".weight"))

def rotate(weights: Checkpoint, x: np.ndarray, first_position: int) -> np.ndarray:
    """NeoX halves on the first rotary_dim of each head: pairs (i, i + rotary_dim / 2); the rest passes through."""
    config, head_dim = weights.config, weights.config["head_dim"]
    rope = config.get("rope_parameters") or {}
    rotary_dim = config.get("rotary_dim") or int(head_dim * rope.get("partial_rotary_factor", 1.0))
    theta = config.get("rope_theta") or rope["rope_theta"]
    half = rotary_dim // 2
    position = first_position + np.arange(len(x), dtype=np.float64)[:, None, None]
    angle = position * theta ** (-2.0 * np.arange(half) / rotary_dim)
    cos, sin = weights.routed(np.cos(angle)), weights.routed(np.sin(angle))
    heads = x.reshape(len(x), -1, head_dim)
    low, high, rest = heads[..., :half], heads[..., half:rotary_dim], heads[..., rotary_dim:]
    turned = np.concatenate([low * cos - high * sin, high * cos + low * sin, rest], -1)
    return weights.stored(turned.reshape(x.shape))

def attention(weights: Checkpoint, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Causal, grouped heads, scale 1 / sqrt(head_dim). Softmax is not rounded inside. k and v may begin with rows of earlier
    positions, which have no q."""
    rows, keys, head_dim = len(q), len(k), weights.config["head_dim"]
    q, k, v = (x.reshape(len(x), -1, head_dim).transpose(1, 0, 2) for x in (q, k, v))
    group, causal, out = len(q) // len(k), np.tril(np.ones((rows, keys), bool), keys - rows), np.empty(q.shape)
    for head, own in enumerate(q):
        scores = np.where(causal, own @ k[head // group].T / np.sqrt(head_dim), -np.inf)
        weight = np.exp(scores - scores.max(-1, keepdims=True))
        out[head] = weight / weight.sum(-1, keepdims=True) @ v[head // group]
    return weights.stored(out.transpose(1, 0, 2).reshape(rows, -1))

def layer(weights: Checkpoint, n: int, h_in: np.ndarray, taps: dict[str, np.ndarray],
          past: tuple[np.ndarray, np.ndarray] | None = None) -> np.ndarray:
    """Layer n on h_in [rows, hidden] -> [rows, hidden]. Adds its taps under `layers.N.`. past: K (rotated) and V
    [positions, kv_width] of the positions before the rows."""
    prefix, config = f"model.layers.{n}.", weights.config

    def tap(name: str, value: np.ndarray) -> np.ndarray:
        taps[f"layers.{n}.{name}"] = value
        return value

    x = tap("attn_norm", weights.norm(h_in, prefix + "input_layernorm"))
    q = tap("q_proj", weights.linear(x, prefix + "self_attn.q_proj"))
    k = tap("k_proj", weights.linear(x, prefix + "self_attn.k_proj"))
    v = tap("v_proj", weights.linear(x, prefix + "self_attn.v_proj"))
    q = tap("q_norm", weights.norm(q, prefix + "self_attn.q_norm"))  # over all heads at once, before the split
    k = tap("k_norm", weights.norm(k, prefix + "self_attn.k_norm"))
    first_position = 0 if past is None else len(past[0])
    q = tap("q_rope", rotate(weights, q, first_position))
    k = tap("k_rope", rotate(weights, k, first_position))
    if past is not None:
        k, v = (np.concatenate(pair) for pair in zip(past, (k, v)))
    if weights.fp8_kv:
        k, v = (fp8_heads(x, config["head_dim"]) for x in (k, v))
    x = tap("attn", attention(weights, q, k, v))
    x = tap("o_proj", weights.linear(x, prefix + "self_attn.o_proj"))
    h = tap("attn_residual", weights.stored(h_in + x))

    x = tap("mlp_norm", weights.norm(h, prefix + "post_attention_layernorm"))
    moe = prefix + "block_sparse_moe."
    logits = tap("router_logits", weights.routed(x @ weights.tensor(moe + "gate.weight").T))
    scores = tap("router_scores", weights.routed(1.0 / (1.0 + np.exp(-logits))))
    choice = weights.routed(scores + weights.tensor(moe + "e_score_correction_bias"))  # the bias only selects
    top_k = config["num_experts_per_tok"]
    ids = tap("expert_ids", np.argsort(-choice, axis=-1, kind="stable")[:, :top_k].astype(np.int32))
    picked = np.take_along_axis(scores, ids, -1)
    share = tap("expert_weights", weights.routed(picked / picked.sum(-1, keepdims=True)))
    y = np.zeros_like(h)
    for expert in np.unique(ids):
        rows, slot = np.nonzero(ids == expert)
        gate = weights.linear(x[rows], f"{moe}experts.{expert}.w1")
        up = weights.linear(x[rows], f"{moe}experts.{expert}.w3")
        inner = weights.stored(gate / (1.0 + np.exp(-gate)) * up)
        y[rows] += share[rows, slot, None] * weights.linear(inner, f"{moe}experts.{expert}.w2")
    y = tap("moe", weights.stored(y))
    return tap("mlp_residual", weights.stored(h + y))

def forward(weights: Checkpoint, ids: list[int]) -> dict[str, np.ndarray]:
    """All taps of the sequence `ids`, logits last."""
    h = weights.tensor("model.embed_tokens.weight")[np.asarray(ids)]
    taps = {"embed": h}
    for n in range(weights.config["num_hidden_layers"]):
        h = layer(weights, n, h, taps)
    taps["final_norm"] = weights.norm(h, "model.norm")
    taps["logits"] = weights.routed(taps["final_norm"] @ weights.weight("lm_head").T)
    return taps

def save(path: str, taps: dict[str, np.ndarray], dtype: str) -> None:
    taps = {name: np.ascontiguousarray(x if x.dtype == np.int32 else x.astype(dtype)) for name, x in taps.items()}
    if not path.endswith(".safetensors"):
        return np.savez(path, **taps)
    header, at, kinds = {}, 0, {"int32": "I32", "float32": "F32", "float64": "F64"}
    for name, x in taps.items():
        header[name] = {"dtype": kinds[str(x.dtype)], "shape": list(x.shape), "data_offsets": [at, at := at + x.nbytes]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + b"".join(x.tobytes() for x in taps.values()))

def main() -> None:
    parser = argparse.ArgumentParser(description="Float64 NumPy reference of the MiniMax-M2 forward.")
    parser.add_argument("model", help="folder with config.json and *.safetensors")
    parser.add_argument("--ids", help="token ids, comma separated")
    parser.add_argument("--arithmetic", choices=ARITHMETICS, default="exact")
    parser.add_argument("--fp8-kv", action="store_true", help="K and V of attention as an fp8 cache keeps them")
    parser.add_argument("--out", required=True, help="*.npz or *.safetensors")
    parser.add_argument("--tap-dtype", choices=("float32", "float64"), default="float64")
    parser.add_argument("--layer", type=int, help="run this one layer on --layer-input instead of the whole model")
    parser.add_argument("--layer-input", help="*.npy, [rows, hidden]: the hidden states the layer is given")
    options = parser.parse_args()
    weights, taps = Checkpoint(options.model, options.arithmetic), {}
    weights.fp8_kv = options.fp8_kv
    if options.layer is not None:
        layer(weights, options.layer, np.load(options.layer_input).astype(np.float64), taps)
    else:
        taps = forward(weights, [int(x) for x in options.ids.split(",")])
        print("argmax of the last row:", int(taps["logits"][-1].argmax()))
    save(options.out, taps, options.tap_dtype)

if __name__ == "__main__":
    main()
