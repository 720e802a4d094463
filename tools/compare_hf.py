#!/usr/bin/env python3
"""Compares tools/reference.py with the Hugging Face in-tree MiniMax-M2 on a small random checkpoint.

    python3 tools/compare_hf.py [--model models/tiny-m2] [--out tools/results/compare_hf.json]

With --model, that checkpoint is compared too, dequantised to float32 files first.

Needs torch and transformers (written against 5.17); a CPU will do. Both read the same files in the published names.
The in-tree code of that release ignores `rotary_dim` and rotates whole heads unless `rope_parameters` carries a
`partial_rotary_factor`; the script says which it found, and compares with 64 of 128 dimensions turned on both sides.
"""
import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

import reference

sys.path.append(str(Path(__file__).parent / "tiny_m2"))
import checkpoint  # noqa: E402

DTYPES = (torch.float32, torch.float64)
BOUND = {"float32": 5e-6, "float64": 2e-6}  # of the norm; Hugging Face keeps norms, rotation and softmax in float32 always


def random_checkpoint(folder: Path, config: dict, seed: int) -> None:
    """Published names, bf16; weights large enough that attention, routing and experts all matter."""
    r = np.random.default_rng(seed)
    hidden, inner, dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    q, kv = config["num_attention_heads"] * dim, config["num_key_value_heads"] * dim
    tensors: dict[str, checkpoint.Stored] = {}

    def matrix(name: str, rows: int, columns: int) -> None:
        tensors[name + ".weight"] = ("BF16", checkpoint.to_bf16(r.normal(size=(rows, columns)) * columns**-0.5))

    def norm(name: str, width: int) -> None:
        tensors[name + ".weight"] = ("BF16", checkpoint.to_bf16(r.uniform(0.5, 1.5, width)))

    matrix("model.embed_tokens", config["vocab_size"], hidden)
    tensors["model.embed_tokens.weight"] = ("BF16", checkpoint.to_bf16(r.normal(size=(config["vocab_size"], hidden))))
    matrix("lm_head", config["vocab_size"], hidden)
    norm("model.norm", hidden)
    for n in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{n}."
        for name, rows, columns in [("q", q, hidden), ("k", kv, hidden), ("v", kv, hidden), ("o", hidden, q)]:
            matrix(f"{prefix}self_attn.{name}_proj", rows, columns)
        for name, width in [("input_layernorm", hidden), ("post_attention_layernorm", hidden),
                            ("self_attn.q_norm", q), ("self_attn.k_norm", kv)]:
            norm(prefix + name, width)
        moe = prefix + "block_sparse_moe."
        experts = config["num_local_experts"]
        tensors[moe + "gate.weight"] = ("F32", (r.normal(size=(experts, hidden)) * hidden**-0.5).astype(np.float32))
        tensors[moe + "e_score_correction_bias"] = ("F32", (r.normal(size=experts) * 0.1).astype(np.float32))
        for e in range(experts):
            for name, rows, columns in [("w1", inner, hidden), ("w2", hidden, inner), ("w3", inner, hidden)]:
                matrix(f"{moe}experts.{e}.{name}", rows, columns)
    names = sorted(tensors)
    checkpoint.write(folder, [{name: tensors[name] for name in names[k::2]} for k in range(2)])
    (folder / "config.json").write_text(json.dumps(config))


def dequantised_copy(source: Path, folder: Path, rope: dict) -> None:
    weights = reference.Checkpoint(source)
    names = [name for name in weights.entries if not name.endswith("_scale_inv")]
    tensors = {name: weights.weight(name.removesuffix(".weight")) if name.endswith(".weight") else weights.tensor(name) for name in names}
    checkpoint.write(folder, [{name: ("F32", x.astype(np.float32)) for name, x in tensors.items()}])
    config = {key: value for key, value in weights.config.items() if key != "quantization_config"}
    (folder / "config.json").write_text(json.dumps(config | {"rope_parameters": rope}))


def rotated_dimensions(model: torch.nn.Module) -> int:
    return 2 * model.model.rotary_emb.inv_freq.numel()


def relative(found: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    difference = found - expected
    return {"max_abs": float(np.abs(difference).max()), "relative_norm": float(np.linalg.norm(difference) / np.linalg.norm(expected))}


def hugging_face(folder: Path, dtype: torch.dtype) -> torch.nn.Module:
    model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager",
                                                         experts_implementation="eager", output_loading_info=True)
    assert not report["missing_keys"] and not report["mismatched_keys"], report
    return model.eval()


def compare(folder: Path, ids: list[int], dtype: torch.dtype) -> dict:
    model = hugging_face(folder, dtype)
    assert rotated_dimensions(model) == 64, f"{rotated_dimensions(model)} dimensions turn: partial_rotary_factor was not honoured"
    with torch.no_grad():
        output = model(torch.tensor([ids]), output_hidden_states=True)
    taps = reference.forward(reference.Checkpoint(folder), ids)
    layers = model.config.num_hidden_layers
    # hidden_states: the embedding, then each layer's output; the last one is after the final norm.
    names = ["embed"] + [f"layers.{n}.mlp_residual" for n in range(layers - 1)] + ["final_norm"]
    result = {name: relative(h[0].double().numpy(), taps[name]) for name, h in zip(names, output.hidden_states, strict=True)}
    result["logits"] = relative(output.logits[0].double().numpy(), taps["logits"])
    result["same_argmax"] = int((output.logits[0].argmax(-1).numpy() == taps["logits"].argmax(-1)).sum())
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    config = checkpoint.CONFIG | {"vocab_size": 512, "bos_token_id": 1, "eos_token_id": 2}
    rope = {"rope_type": "default", "rope_theta": float(config["rope_theta"]), "partial_rotary_factor": 0.5}
    ids = np.random.default_rng(options.seed).integers(0, config["vocab_size"], options.tokens).tolist()
    record: dict = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0], "device": "CPU", "seed": options.seed, "tokens": options.tokens,
                    "config": {key: config[key] for key in ("hidden_size", "num_hidden_layers", "num_local_experts", "rotary_dim", "head_dim")}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random_checkpoint(folder, config, options.seed)
        published = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
        record["dimensions_turned_with_rotary_dim_alone"] = rotated_dimensions(published)
        (folder / "config.json").write_text(json.dumps(config | {"rope_parameters": rope}))
        record["random checkpoint"] = {str(dtype).removeprefix("torch."): compare(folder, ids, dtype) for dtype in DTYPES}
    if options.model:
        with tempfile.TemporaryDirectory() as name:
            dequantised_copy(options.model, Path(name), rope)
            record[options.model.name] = {str(dtype).removeprefix("torch."): compare(Path(name), ids, dtype) for dtype in DTYPES}
    print(json.dumps(record, indent=1))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(record, indent=1) + "\n")
    for name in ["random checkpoint"] + ([options.model.name] if options.model else []):
        for dtype, bound in BOUND.items():
            worst = max(value["relative_norm"] for value in record[name][dtype].values() if isinstance(value, dict))
            assert worst < bound, f"{name}, {dtype}: {worst} of the norm, over {bound}"


if __name__ == "__main__":
    main()
