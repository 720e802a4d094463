"""Times NCCL's all-reduce (bf16 sum), and its all-gather, reduce-scatter and all-to-all of the same rows over all ranks, beside
tools/gpu_all_reduce.cc: one of many in a CUDA graph, microseconds.

    python3 bench/nccl_all_reduce.py COMMIT RESULTS.jsonl RANKS [HIDDEN]

Needs PyTorch with CUDA. A process a GPU. Sums are checked against plain additions first. NVLink multicast stays off.
"""
import json
import os
import statistics
import sys
import time

OPS, REPETITIONS = 100, 15


def worker(rank: int, ranks: int, commit: str, results: str, hidden: int) -> None:
    import torch
    import torch.distributed as dist

    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", init_method="tcp://127.0.0.1:29517", rank=rank, world_size=ranks,
                            device_id=torch.device("cuda", rank))
    version = ".".join(str(part) for part in torch.cuda.nccl.version())

    def timed(op, kind: str, rows: int, name: str) -> None:
        op()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(OPS):
                op()
        times = []
        for _ in range(REPETITIONS + 2):
            dist.barrier()
            torch.cuda.synchronize()
            start = time.perf_counter()
            graph.replay()
            torch.cuda.synchronize()
            times.append((time.perf_counter() - start) / OPS * 1e6)
        if rank == 0:
            line = json.dumps({"kind": kind, "gpu": torch.cuda.get_device_name(0), "commit": commit, "ranks": ranks, "rows": rows,
                               "hidden": hidden, "form": f"{name}nccl {version}, bf16", "bf16_bytes": 2 * rows * hidden,
                               "us": round(statistics.median(times), 2)})
            print(line, flush=True)
            with open(results, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        del graph

    for rows in (1, 10, 32, 64, 128, 256, 512, 1024, 2048, 4096):
        parts = [torch.randn(rows, hidden, generator=torch.Generator().manual_seed(r)).bfloat16() for r in range(ranks)]
        x = parts[rank].cuda()
        dist.all_reduce(x)
        plain = sum(part.float() for part in parts)
        assert (x.cpu().float() - plain).abs().max() <= 2**-7 * plain.abs().max(), rows
        x.zero_()
        timed(lambda x=x: dist.all_reduce(x), "all_reduce", rows, "")
        own = torch.zeros((rows + ranks - 1) // ranks, hidden, dtype=torch.bfloat16, device="cuda")
        all_rows = torch.zeros(own.shape[0] * ranks, hidden, dtype=torch.bfloat16, device="cuda")
        others = torch.zeros_like(all_rows)
        timed(lambda a=all_rows, o=own: dist.all_gather_into_tensor(a, o), "expert_exchange", rows, "all-gather, ")
        timed(lambda a=all_rows, o=own: dist.reduce_scatter_tensor(o, a), "expert_exchange", rows, "reduce-scatter, ")
        timed(lambda a=all_rows, o=others: dist.all_to_all_single(o, a), "expert_exchange", rows, "all-to-all, ")
    dist.barrier()
    torch.cuda.synchronize()
    sys.stdout.flush()
    os._exit(0)  # giving up the group after captured sums was seen to hang


def main() -> int:
    import torch.multiprocessing as mp

    for name, value in {"NCCL_NVLS_ENABLE": "0", "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1", "NVSHMEM_DISABLE_NVLS": "1"}.items():
        os.environ[name] = value
    commit, results, ranks = sys.argv[1], sys.argv[2], int(sys.argv[3])
    hidden = int(sys.argv[4]) if len(sys.argv) > 4 else 3072
    mp.spawn(worker, (ranks, commit, results, hidden), nprocs=ranks)
    return 0


if __name__ == "__main__":
    sys.exit(main())
