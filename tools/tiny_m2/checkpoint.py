"""Published tensor names, and safetensors files written and read with nothing but NumPy."""
import json
from pathlib import Path
from typing import Any

import numpy as np

Stored = tuple[str, np.ndarray]  # safetensors dtype; data: uint16 for BF16, uint8 for F8_E4M3, float32 for F32

CONFIG: dict[str, Any] = {
    "architectures": ["MiniMaxM2ForCausalLM"], "model_type": "minimax_m2", "attention_dropout": 0.0,
    "attn_type_list": [1, 1, 1, 1], "bos_token_id": None, "eos_token_id": None, "head_dim": 128, "hidden_act": "silu",
    "hidden_size": 256, "initializer_range": 0.02, "intermediate_size": 512, "max_position_embeddings": 4096,
    "mlp_intermediate_size": 1024, "mtp_transformer_layers": 1, "num_attention_heads": 8, "num_experts_per_tok": 2,
    "num_hidden_layers": 4, "num_key_value_heads": 4, "num_local_experts": 8, "num_mtp_modules": 0, "output_router_logits": False,
    "qk_norm_type": "per_layer", "rms_norm_eps": 1e-6, "rope_theta": 10000, "rotary_dim": 64, "router_aux_loss_coef": 0.001,
    "router_jitter_noise": 0.0, "scoring_func": "sigmoid", "shared_intermediate_size": 0, "shared_moe_mode": "sigmoid",
    "sliding_window": None, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_cache": True, "use_mtp": False,
    "use_qk_norm": True, "use_routing_bias": True, "vocab_size": 2048}
QUANTIZATION = {"activation_scheme": "dynamic", "fmt": "float8_e4m3fn", "quant_method": "fp8", "weight_block_size": [128, 128],
                "modules_to_not_convert": ["gate", "e_score_correction_bias", "lm_head"]}

_NUMPY = {"F32": np.float32, "BF16": np.uint16, "F8_E4M3": np.uint8}


def to_bf16(x: np.ndarray) -> np.ndarray:
    """float32 -> bf16 bits, nearest even. Finite input."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bf16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def write_file(path: Path, tensors: dict[str, Stored]) -> None:
    """Widest dtype first, so that every tensor is aligned to its element."""
    order = sorted(tensors, key=lambda name: (-tensors[name][1].itemsize, name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name in order:
        dtype, data = tensors[name]
        assert data.dtype == _NUMPY[dtype], name
        header[name] = {"dtype": dtype, "shape": list(data.shape), "data_offsets": [at, at := at + data.nbytes]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            file.write(np.ascontiguousarray(tensors[name][1]).tobytes())


def write(folder: Path, shards: list[dict[str, Stored]]) -> None:
    """model-0000K-of-0000N.safetensors and their index."""
    folder.mkdir(parents=True, exist_ok=True)
    where, total = {}, 0
    for k, shard in enumerate(shards, 1):
        file = f"model-{k:05d}-of-{len(shards):05d}.safetensors"
        write_file(folder / file, shard)
        where.update({name: file for name in shard})
        total += sum(data.nbytes for _, data in shard.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def read(folder: Path) -> dict[str, Stored]:
    tensors: dict[str, Stored] = {}
    for path in sorted(folder.glob("*.safetensors")):
        raw = path.read_bytes()
        base = 8 + int.from_bytes(raw[:8], "little")
        for name, entry in json.loads(raw[8:base]).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                data = np.frombuffer(raw[base + begin : base + end], _NUMPY[entry["dtype"]])
                tensors[name] = (entry["dtype"], data.reshape(entry["shape"]))
    return tensors
