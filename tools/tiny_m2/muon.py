"""AdamW for all but the matrices of the layers, which get Muon: momentum, then its nearest orthogonal matrix.

Muon: Jordan et al. 2024 (the iteration and its coefficients); the scale 0.2 sqrt(longer side), with which it takes AdamW's
learning rate and weight decay: Liu et al. 2025, arXiv 2502.16982.
"""
import torch
from torch import Tensor

MOMENTUM = 0.95
ROUNDS = 5


@torch.no_grad()
def orthogonal(x: Tensor) -> Tensor:
    """[n, rows, columns], rows <= columns: singular values become about 1, by a polynomial of odd powers."""
    x = x.bfloat16()
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True) + 1e-7).to(x.dtype)
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x


class Muon:
    """`matrices`: parameters [..., rows, columns]. One call for all that are alike in shape, or when turned."""

    def __init__(self, matrices: list[Tensor], weight_decay: float):
        self.weight_decay = weight_decay
        self.matrices = sorted(matrices, key=lambda p: max(p.shape[-2:]))
        self.momenta = [torch.zeros_like(p) for p in self.matrices]
        self.longer_sides = sorted({max(p.shape[-2:]) for p in matrices})

    @torch.no_grad()
    def step(self, rate: float) -> None:
        gradients = [p.grad for p in self.matrices]
        torch._foreach_mul_(self.momenta, MOMENTUM)
        torch._foreach_add_(self.momenta, gradients)
        ahead = torch._foreach_add(gradients, self.momenta, alpha=MOMENTUM)
        lying = [(a.mT if a.shape[-2] > a.shape[-1] else a).reshape(-1, *sorted(a.shape[-2:])) for a in ahead]
        changes = []
        for side in self.longer_sides:
            alike = [a for a in lying if a.shape[-1] == side]
            scaled = orthogonal(torch.cat(alike)).float() * (0.2 * side**0.5)
            changes += scaled.split([len(a) for a in alike])
        changes = [(c.mT if p.shape[-2] > p.shape[-1] else c).reshape(p.shape) for p, c in zip(self.matrices, changes)]
        torch._foreach_mul_(self.matrices, 1 - rate * self.weight_decay)
        torch._foreach_add_(self.matrices, changes, alpha=-rate)
