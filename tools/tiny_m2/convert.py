"""Torch parameters <-> a checkpoint in the published names."""
import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

import checkpoint
from checkpoint import Stored
from model import Shape, TinyM2
from quantise import dequantise
from template import MODEL

ATTENTION = {"attn_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm", "q": "self_attn.q_proj", "k": "self_attn.k_proj",
             "v": "self_attn.v_proj", "o": "self_attn.o_proj", "q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm"}


def config() -> dict:
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    return checkpoint.CONFIG | {"bos_token_id": tokenizer.token_to_id("]~b]"), "eos_token_id": tokenizer.token_to_id("[e~[")}


def save_bf16(model: TinyM2, folder: Path, shards: int = 3) -> None:
    def bf16(x: torch.Tensor) -> Stored:
        return "BF16", checkpoint.to_bf16(x.detach().float().cpu().numpy())

    def fp32(x: torch.Tensor) -> Stored:
        return "F32", x.detach().float().cpu().numpy().copy()

    out = {"model.embed_tokens.weight": bf16(model.embed), "model.norm.weight": bf16(model.norm), "lm_head.weight": bf16(model.head)}
    for n, layer in enumerate(model.layers):
        prefix = f"model.layers.{n}."
        for ours, theirs in ATTENTION.items():
            out[f"{prefix}{theirs}.weight"] = bf16(getattr(layer, ours))
        moe = prefix + "block_sparse_moe."
        out[moe + "gate.weight"], out[moe + "e_score_correction_bias"] = fp32(layer.gate), fp32(layer.bias)
        for w in ("w1", "w2", "w3"):
            for e, weight in enumerate(getattr(layer, w)):
                out[f"{moe}experts.{e}.{w}.weight"] = bf16(weight)
    names = sorted(out)
    checkpoint.write(folder, [{name: out[name] for name in names[k::shards]} for k in range(shards)])
    (folder / "config.json").write_text(json.dumps(config(), indent=2) + "\n")


def load(folder: Path, dtype: torch.dtype, device: str) -> TinyM2:
    """A bf16 or fp8 checkpoint, dequantised; the router stays float32."""
    stored = checkpoint.read(folder)

    def tensor(name: str, to: torch.dtype = dtype) -> torch.Tensor:
        kind, data = stored[name]
        if kind == "F8_E4M3":
            data = dequantise(data, stored[name + "_scale_inv"][1])
        elif kind == "BF16":
            data = checkpoint.from_bf16(data)
        return torch.from_numpy(np.array(data)).to(device, to)

    model = TinyM2(Shape(), dtype).to(device).requires_grad_(False)
    model.embed.data, model.norm.data, model.head.data = (
        tensor("model.embed_tokens.weight"), tensor("model.norm.weight"), tensor("lm_head.weight"))
    for n, layer in enumerate(model.layers):
        prefix = f"model.layers.{n}."
        for ours, theirs in ATTENTION.items():
            getattr(layer, ours).data = tensor(f"{prefix}{theirs}.weight")
        moe = prefix + "block_sparse_moe."
        layer.gate.data, layer.bias = tensor(moe + "gate.weight", torch.float32), tensor(moe + "e_score_correction_bias", torch.float32)
        for w in ("w1", "w2", "w3"):
            getattr(layer, w).data = torch.stack([tensor(f"{moe}experts.{e}.{w}.weight") for e in range(model.s.experts)])
    return model
