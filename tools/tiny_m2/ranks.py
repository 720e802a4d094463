"""The GPUs of one machine that train one model: a process each, started by torchrun; one process alone without it."""
import os

import torch
import torch.distributed as dist


class Ranks:
    def __init__(self, device: str):
        self.rank, self.count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.first = self.rank == 0
        self.device = device
        if self.count > 1 and device == "cuda":  # each sees its own alone: what one compiles, the others find in the cache
            os.environ["CUDA_VISIBLE_DEVICES"] = os.environ["LOCAL_RANK"]

    def join(self) -> None:
        """After the workers that make dialogues were forked."""
        if self.count > 1:
            dist.init_process_group("nccl" if self.device.startswith("cuda") else "gloo")

    def leave(self) -> None:
        if self.count > 1:
            dist.destroy_process_group()

    def same(self, tensors: list[torch.Tensor]) -> None:
        """All get those of the first."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def mean(self, tensors: list[torch.Tensor]) -> None:
        """In one message, in place."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        parts = flat.div_(self.count).split([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(tensors, [part.view_as(tensor) for part, tensor in zip(parts, tensors)])

    def first_says(self, value: float) -> float:
        """Clocks differ; that of the first counts."""
        if self.count == 1:
            return value
        said = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(said, 0)
        return said.item()
