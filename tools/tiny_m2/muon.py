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
        self.groups: dict[tuple[int, int], list[Tensor]] = {}
        for p in matrices:
            self.groups.setdefault((min(p.shape[-2:]), max(p.shape[-2:])), []).append(p)
        self.momenta = {p: torch.zeros_like(p) for p in matrices}

    @staticmethod
    def lying(x: Tensor) -> Tensor:
        """[n, shorter side, longer side]"""
        x = x.reshape(-1, *x.shape[-2:])
        return x.mT if x.shape[-2] > x.shape[-1] else x

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for (_, longer), parameters in self.groups.items():
            ahead = []
            for p in parameters:
                momentum = self.momenta[p].mul_(MOMENTUM).add_(p.grad)
                ahead.append(self.lying(p.grad + MOMENTUM * momentum))
            changes = orthogonal(torch.cat(ahead)).split([len(a) for a in ahead])
            for p, change in zip(parameters, changes):
                change = change.mT if p.shape[-2] > p.shape[-1] else change
                p.mul_(1 - rate * self.weight_decay).add_(change.reshape(p.shape).to(p.dtype), alpha=-rate * 0.2 * longer**0.5)
