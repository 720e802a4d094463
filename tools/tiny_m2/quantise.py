"""Turns a bf16 checkpoint into the published fp8 layout: e4m3 in 128 x 128 blocks, scale = amax / 448.

    python3 tools/tiny_m2/quantise.py BF16_FOLDER models/tiny-m2 [--shards 2]

Projections and experts become fp8 with a float32 `.weight_scale_inv`; embeddings, norms and head stay bf16; the
router's gate and its selection bias stay float32.
"""
import argparse
import json
import re
from pathlib import Path

import numpy as np

import checkpoint
from checkpoint import Stored

BLOCK = 128
LARGEST = 448.0
QUANTISED = re.compile(r"\.(q_proj|k_proj|v_proj|o_proj|w1|w2|w3)\.weight$")


def encode_e4m3(x: np.ndarray) -> np.ndarray:
    """float64 -> e4m3fn codes, nearest even, saturating at 448."""
    magnitude = np.minimum(np.abs(x), LARGEST)
    exponent = np.where(magnitude > 0, np.maximum(np.frexp(magnitude)[1] - 1, -6), -6)  # frexp gives zero the exponent 0
    mantissa = np.rint(np.ldexp(magnitude, 3 - exponent)).astype(np.int64)  # 8 to 16; below 8 only in subnormals
    code = (exponent + 7) * 8 + mantissa - 8  # a mantissa of 16 carries into the exponent by itself
    return (np.minimum(code, 0x7E) | np.where(np.signbit(x), 0x80, 0)).astype(np.uint8)


def decode_e4m3(code: np.ndarray) -> np.ndarray:
    exponent, mantissa = (code >> 3 & 15).astype(np.int64), (code & 7).astype(np.float64)
    value = np.where(exponent == 0, np.ldexp(mantissa, -9), np.ldexp(mantissa + 8, exponent - 10))
    return np.where(code & 0x80, -value, value)


def quantise(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[out, in] -> codes [out, in] and scales [ceil(out / 128), ceil(in / 128)]. An all-zero block has scale 1."""
    rows, columns = (-(-n // BLOCK) for n in weight.shape)
    padded = np.zeros((rows * BLOCK, columns * BLOCK))
    padded[: weight.shape[0], : weight.shape[1]] = weight
    blocks = padded.reshape(rows, BLOCK, columns, BLOCK)
    amax = np.abs(blocks).max((1, 3))
    scale = np.where(amax > 0, amax / LARGEST, 1.0).astype(np.float32)
    codes = encode_e4m3(blocks / scale[:, None, :, None].astype(np.float64)).reshape(padded.shape)
    return np.ascontiguousarray(codes[: weight.shape[0], : weight.shape[1]]), scale


def dequantise(codes: np.ndarray, scale: np.ndarray) -> np.ndarray:
    wide = scale.astype(np.float64).repeat(BLOCK, 0).repeat(BLOCK, 1)
    return decode_e4m3(codes) * wide[: codes.shape[0], : codes.shape[1]]


def layer_of(name: str) -> int:
    match = re.match(r"model\.layers\.(\d+)\.", name)
    return int(match[1]) if match else (-1 if name == "model.embed_tokens.weight" else 10**9)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--shards", type=int, default=2)
    options = parser.parse_args()

    tensors: dict[str, Stored] = {}
    error, norm = 0.0, 0.0
    for name, (dtype, data) in checkpoint.read(options.source).items():
        if not QUANTISED.search(name):
            tensors[name] = (dtype, data)
            continue
        weight = checkpoint.from_bf16(data).astype(np.float64)
        codes, scale = quantise(weight)
        tensors[name], tensors[name + "_scale_inv"] = ("F8_E4M3", codes), ("F32", scale)
        error += float(np.square(dequantise(codes, scale) - weight).sum())
        norm += float(np.square(weight).sum())

    names = sorted(tensors, key=lambda name: (layer_of(name), name))
    total, at = sum(tensors[name][1].nbytes for name in names), 0
    shards: list[dict[str, Stored]] = [{} for _ in range(options.shards)]
    for name in names:
        shards[min(at * options.shards // total, options.shards - 1)][name] = tensors[name]
        at += tensors[name][1].nbytes
    checkpoint.write(options.target, shards)
    config = json.loads((options.source / "config.json").read_text())
    config["quantization_config"] = checkpoint.QUANTIZATION
    (options.target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    print(f"{len(tensors)} tensors, {total} bytes in {options.shards} shards, relative error of the quantised {np.sqrt(error / norm):.4f}")


if __name__ == "__main__":
    main()
