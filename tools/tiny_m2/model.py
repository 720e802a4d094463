"""The architecture in torch, for training and for checking a checkpoint before a server does.

Written for training speed on one GPU: all experts are computed densely and weighted by the router, which is the same
function as computing only the chosen ones. The server's own code, and tools/reference.py, share nothing with this file.
"""
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention


@dataclass
class Shape:
    vocabulary: int = 2048
    hidden: int = 256
    layers: int = 4
    heads: int = 8
    kv_heads: int = 4
    head_dim: int = 128
    rotary_dim: int = 64
    theta: float = 1e4
    experts: int = 8
    top_k: int = 2
    inner: int = 512
    eps: float = 1e-6


def rms_norm(x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    x = x.float()
    return (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight.float()).to(dtype)


def through_e4m3(x: Tensor) -> Tensor:
    """The round trip of w8a8's activations: per token and 128 columns, scale amax / 448."""
    groups = x.float().unflatten(-1, (-1, 128))
    scale = groups.abs().amax(-1, keepdim=True).clamp_min(1e-10) / 448
    return ((groups / scale).clamp(-448, 448).to(torch.float8_e4m3fn).float() * scale).flatten(-2).to(x.dtype)


def fake_e4m3(x: Tensor, amax: Tensor) -> Tensor:
    """float32 -> the nearest e4m3 multiple of amax / 448, in plain arithmetic that any compiler fuses."""
    scale = amax.clamp_min(1e-10) / 448
    y = x / scale
    step = torch.exp2(torch.floor(torch.log2(y.abs().clamp_min(2.0**-9))).clamp_min(-6) - 3)
    return (torch.round(y / step) * step).clamp(-448, 448) * scale


def fake_weight(w: Tensor, on: Tensor) -> Tensor:
    """[..., out, in] in blocks of 128 x 128, rounded where `on` is 1; the gradient passes as if it were not."""
    with torch.no_grad():
        blocks = w.unflatten(-1, (-1, 128)).unflatten(-3, (-1, 128))  # [..., out / 128, 128, in / 128, 128]
        rounded = fake_e4m3(blocks, blocks.abs().amax((-3, -1), keepdim=True)).flatten(-4, -3).flatten(-2)
        change = (rounded - w) * on
    return w + change


def fake_activation(x: Tensor, on: Tensor) -> Tensor:
    """The same for activations, per token and 128 columns."""
    with torch.no_grad():
        groups = x.float().unflatten(-1, (-1, 128))
        change = (fake_e4m3(groups, groups.abs().amax(-1, keepdim=True)).flatten(-2) - x.float()) * on
    return x + change.to(x.dtype)


def dialogue_mask(ids: Tensor, start: int) -> BlockMask:
    """Each token sees those before it in its own dialogue of the window; a dialogue begins with the token `start`."""
    of = (ids == start).cumsum(-1)

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (of[batch, query] == of[batch, key])

    return create_block_mask(sees, ids.shape[0], None, ids.shape[1], ids.shape[1], device=ids.device)


class Layer(nn.Module):
    def __init__(self, s: Shape):
        super().__init__()
        self.s = s
        self.fp8_activations = False
        self.fake: tuple[Tensor, Tensor] | None = None  # in training: 1 or 0 for weights, and for activations

        def matrix(*shape: int, scale: float = 0.02) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape) * scale)

        residual = 0.02 / (2 * s.layers) ** 0.5
        self.attn_norm, self.mlp_norm = nn.Parameter(torch.ones(s.hidden)), nn.Parameter(torch.ones(s.hidden))
        self.q, self.k = matrix(s.heads * s.head_dim, s.hidden), matrix(s.kv_heads * s.head_dim, s.hidden)
        self.v, self.o = matrix(s.kv_heads * s.head_dim, s.hidden), matrix(s.hidden, s.heads * s.head_dim, scale=residual)
        self.q_norm = nn.Parameter(torch.ones(s.heads * s.head_dim))
        self.k_norm = nn.Parameter(torch.ones(s.kv_heads * s.head_dim))
        self.gate = matrix(s.experts, s.hidden)
        self.w1, self.w3 = matrix(s.experts, s.inner, s.hidden), matrix(s.experts, s.inner, s.hidden)
        self.w2 = matrix(s.experts, s.hidden, s.inner, scale=residual)
        self.register_buffer("bias", torch.zeros(s.experts))

    def weight(self, w: Tensor) -> Tensor:
        return fake_weight(w, self.fake[0]) if self.fake else w

    def linear(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.fake:
            x = fake_activation(x, self.fake[1])
        return F.linear(through_e4m3(x) if self.fp8_activations else x, weight.to(x.dtype))

    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        half = self.s.rotary_dim // 2
        low, high, rest = x[..., :half].float(), x[..., half : 2 * half].float(), x[..., 2 * half :]
        return torch.cat([(low * cos - high * sin).to(x.dtype), (high * cos + low * sin).to(x.dtype), rest], -1)

    def attention(self, x: Tensor, rope: tuple[Tensor, Tensor], cache: tuple[Tensor, Tensor] | None, positions: Tensor | None,
                  blocks: BlockMask | None) -> Tensor:
        s, (batch, rows) = self.s, x.shape[:2]
        q = rms_norm(self.linear(x, self.weight(self.q)), self.q_norm, s.eps, x.dtype).view(batch, rows, s.heads, s.head_dim)
        k = rms_norm(self.linear(x, self.weight(self.k)), self.k_norm, s.eps, x.dtype).view(batch, rows, s.kv_heads, s.head_dim)
        v = self.linear(x, self.weight(self.v)).view(batch, rows, s.kv_heads, s.head_dim).transpose(1, 2)
        q, k = self.rotate(q, *rope).transpose(1, 2), self.rotate(k, *rope).transpose(1, 2)
        mask = None
        if cache is not None:
            if positions is None:  # prefill
                cache[0][:, :, :rows], cache[1][:, :, :rows] = k, v
            else:  # one token a row, each at its own position
                at = torch.arange(batch, device=x.device)
                cache[0][at, :, positions], cache[1][at, :, positions] = k[:, :, 0], v[:, :, 0]
                k, v = cache
                mask = (torch.arange(k.shape[2], device=x.device) <= positions[:, None])[:, None, None]
        if blocks is not None:
            y = flex_attention(q, k, v, block_mask=blocks, enable_gqa=True)
        else:
            group = s.heads // s.kv_heads
            k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.linear(y.transpose(1, 2).reshape(batch, rows, -1), self.weight(self.o))

    def experts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s = self.s
        with torch.autocast(x.device.type, enabled=False):
            scores = F.linear(x.float(), self.gate.float()).sigmoid()
            ids = (scores + self.bias).topk(s.top_k, -1).indices  # the bias selects and does not weigh
            chosen = torch.zeros_like(scores).scatter(-1, ids, 1.0)
            picked = scores * chosen
            share = picked / picked.sum(-1, keepdim=True)
        inner = F.silu(self.linear(x, self.weight(self.w1).flatten(0, 1))) * self.linear(x, self.weight(self.w3).flatten(0, 1))
        inner = (inner.unflatten(-1, (s.experts, s.inner)) * share[..., None].to(x.dtype)).flatten(-2)
        return self.linear(inner, self.weight(self.w2).transpose(0, 1).flatten(1)), chosen.flatten(0, -2).sum(0)

    def forward(self, h: Tensor, rope: tuple[Tensor, Tensor], dtype: torch.dtype, cache: tuple[Tensor, Tensor] | None = None,
                positions: Tensor | None = None, blocks: BlockMask | None = None) -> tuple[Tensor, Tensor]:
        h = h + self.attention(rms_norm(h, self.attn_norm, self.s.eps, dtype), rope, cache, positions, blocks)
        y, load = self.experts(rms_norm(h, self.mlp_norm, self.s.eps, dtype))
        return h + y, load


class TinyM2(nn.Module):
    """Compute dtype is bf16 unless said; a float32 residual stream in training, the embedding's dtype otherwise."""

    def __init__(self, s: Shape, dtype: torch.dtype = torch.bfloat16):
        super().__init__()
        self.s, self.dtype = s, dtype
        self.embed = nn.Parameter(torch.randn(s.vocabulary, s.hidden) * 0.02)
        self.head = nn.Parameter(torch.randn(s.vocabulary, s.hidden) * 0.02)
        self.norm = nn.Parameter(torch.ones(s.hidden))
        self.layers = nn.ModuleList(Layer(s) for _ in range(s.layers))

    def round_to_fp8(self, flags: tuple[Tensor, Tensor] | None) -> None:
        """From now on two tensors of one number turn the rounding of weights and of activations on (1) and off (0)."""
        for layer in self.layers:
            layer.fake = flags

    def rope(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin, [..., 1, rotary_dim / 2]."""
        half = self.s.rotary_dim // 2
        angle = positions.double()[..., None, None] * self.s.theta ** (-torch.arange(half, device=positions.device).double() / half)
        return angle.cos().float(), angle.sin().float()

    def hidden(self, ids: Tensor, caches: list | None = None, positions: Tensor | None = None, blocks: BlockMask | None = None,
               rope: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """ids [batch, rows] -> normed hidden states and the load of each expert [layers, experts]. Without caches, a
        row sees all before it, or what `blocks` lets it see. `rope`: that of the positions, where it is known."""
        if rope is None:
            rope = self.rope(torch.arange(ids.shape[1], device=ids.device)[None] if positions is None else positions[:, None])
        h, loads = F.embedding(ids, self.embed), []
        for n, layer in enumerate(self.layers):
            h, load = layer(h, rope, self.dtype, caches[n] if caches else None, positions, blocks)
            loads.append(load)
        return rms_norm(h, self.norm, self.s.eps, self.dtype), torch.stack(loads)

    def logits(self, x: Tensor) -> Tensor:
        return F.linear(x, self.head.to(x.dtype))
