"""The number formats here and in tools/reference.py equal ml_dtypes'; a quantised block keeps to its half-step bound.

    python3 tools/tiny_m2/test_numbers.py      (pip install ml_dtypes)
"""
import sys

import ml_dtypes
import numpy as np

import checkpoint
import quantise
from template import REPOSITORY

sys.path.append(str(REPOSITORY / "tools"))
import reference  # noqa: E402


def main() -> None:
    codes = np.arange(256, dtype=np.uint8)
    codes = codes[(codes & 0x7F) != 0x7F]
    values = codes.view(ml_dtypes.float8_e4m3fn).astype(np.float64)
    assert np.array_equal(quantise.decode_e4m3(codes), values) and np.array_equal(reference.e4m3_table()[codes], values)

    r = np.random.default_rng(1)
    steps = np.unique(values)
    x = np.concatenate([r.normal(size=200_000) * np.exp(r.normal(size=200_000) * 4), values, (steps[1:] + steps[:-1]) / 2])
    x = np.clip(x, -448, 448).astype(np.float32)
    expected = x.astype(ml_dtypes.float8_e4m3fn)
    assert np.array_equal(quantise.encode_e4m3(x.astype(np.float64)), expected.view(np.uint8))
    assert np.array_equal(reference.to_e4m3(x.astype(np.float64)), expected.astype(np.float64))
    bf16 = x.astype(ml_dtypes.bfloat16)
    assert np.array_equal(checkpoint.to_bf16(x), bf16.view(np.uint16)) and np.array_equal(reference.to_bf16(x.astype(np.float64)), bf16.astype(np.float64))

    for shape in [(300, 200), (128, 128), (1, 1), (129, 127)]:
        weight = r.normal(size=shape) * np.exp(r.normal(size=shape) * 3)
        packed, scale = quantise.quantise(weight)
        assert scale.shape == tuple(-(-n // 128) for n in shape)
        wide = scale.astype(np.float64).repeat(128, 0).repeat(128, 1)[: shape[0], : shape[1]]
        error = np.abs(quantise.dequantise(packed, scale) - weight)
        # Half a step: 2^-4 of the value, or half the smallest subnormal; a little more for a scale rounded to float32.
        assert (error <= np.maximum(np.abs(weight) / 16, wide * 2.0**-10) * (1 + 1e-6)).all()
    print(f"{len(x)} values and {len(codes)} codes agree with ml_dtypes; 4 matrices keep to the bound")


if __name__ == "__main__":
    main()
