"""Decode steps of MiniMax-M2 on one and more hosts of 8 H200, calculated from what was measured on two of them.

    python3 tools/scale.py > docs/scale.md

A step is launches + bytes over a rate + arithmetic over a rate + exchanges. The first three constants are fitted to the steps of two
H200 (bench/results/cuda_ranks_h200_x2.jsonl), whose exchange is taken off as measured alone; the fit's error is printed. Exchanges of
more ranks follow the two-rank measurement by bytes sent; links between hosts are the published 400 Gbit/s a GPU.
"""
import functools
import json
import random
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYERS, HIDDEN, EXPERTS, CHOSEN, WIDTH = 62, 3072, 256, 8, 1536
Q_WIDTH, KV_WIDTH, VOCAB = 6144, 1024, 200_064
ATTENTION = 2 * HIDDEN * Q_WIDTH + 2 * HIDDEN * KV_WIDTH  # weights of a layer, fp8: a byte each
EXPERT = 3 * HIDDEN * WIDTH
ROUTER = 4 * EXPERTS * HIDDEN
HEAD = 2 * VOCAB * HIDDEN
KV_TOKEN = 2 * 2 * KV_WIDTH  # bytes a layer, bf16
CARD = 141e9 * 0.9  # bytes of an H200 that a server takes
HOST_LINK = 50e9  # bytes a second and GPU between hosts, one way: 400 Gbit/s (NVIDIA ConnectX-7)
PUSH_ROWS = 256  # up to here every rank sends its part to all, above a row has an owner (docs/decisions/007)
USERS = (1, 4, 16, 64, 256, 1024)
CONTEXT = 2560  # the guide's requests half way


def distinct(tokens: float) -> float:
    """Experts that are met, if every choice is as likely."""
    return EXPERTS * (1 - (1 - CHOSEN / EXPERTS) ** tokens)


@functools.cache
def fullest(tokens: int, ranks: int) -> tuple[float, float]:
    """Experts met and rows given on the rank that has the most bytes to read: the mean of 40 draws."""
    r, experts, rows = random.Random(tokens * 100 + ranks), 0.0, 0.0
    for _ in range(40):
        counts = [0] * EXPERTS
        for _ in range(tokens):
            for e in r.sample(range(EXPERTS), CHOSEN):
                counts[e] += 1
        parts = [counts[i * EXPERTS // ranks : (i + 1) * EXPERTS // ranks] for i in range(ranks)]
        experts += max(sum(c > 0 for c in part) for part in parts) / 40
        rows += max(sum(part) for part in parts) / 40
    return experts, rows


@dataclass
class Work:
    """Of one rank in one step."""
    bytes: float
    flops: float


def tensor_parallel(rows: int, context: float, ranks: int, samples: int | None = None) -> Work:
    met = distinct(rows)
    samples = rows if samples is None else samples
    keys = rows * context * KV_TOKEN / min(ranks, 8)
    return Work(LAYERS * ((ATTENTION + met * EXPERT) / ranks + ROUTER + keys) + HEAD / ranks,
                2 * rows * LAYERS * (ATTENTION + CHOSEN * EXPERT) / ranks + 2 * samples * HEAD / 2 / ranks)


def expert_parallel(tokens: int, context: float, attention_ranks: int, expert_ranks: int) -> Work:
    """attention_ranks share the attention of their replica; expert_ranks hold whole experts of all tokens."""
    replicas = expert_ranks // attention_ranks
    own = -(-tokens // replicas)
    met, rows = fullest(tokens, expert_ranks)
    keys = own * context * KV_TOKEN / attention_ranks
    return Work(LAYERS * (ATTENTION / attention_ranks + met * EXPERT + ROUTER + keys) + HEAD / attention_ranks,
                2 * LAYERS * (own * ATTENTION / attention_ranks + rows * EXPERT) + own * HEAD / attention_ranks)


class Measured:
    def __init__(self) -> None:
        records = [json.loads(line) for line in (ROOT / "bench/results/cuda_ranks_h200_x2.jsonl").read_text().splitlines()]
        self.sums = {(r["form"], r["rows"]): r["us"] * 1e-6 for r in records if r["kind"] == "all_reduce" and r["ranks"] == 2}
        steps = {}
        for r in records:
            if r["kind"] == "cuda_step":
                key = (r["batch"], r["context"], r["rows"])
                steps[key] = min(steps.get(key, 1e9), r["ms_step"] * 1e-3)
        self.fit_exchange()
        self.fit_steps(steps)

    def fit_exchange(self) -> None:
        """What the meeting of two ranks costs above the sum alone: a latency and a rate, of either form."""
        def line(form: str, bytes_of_row: float, rows: list[int]) -> tuple[float, float]:
            points = [(n * bytes_of_row, self.sums[form, n] - self.sums["alone", n]) for n in rows]
            mean_x, mean_y = (sum(p[i] for p in points) / len(points) for i in (0, 1))
            slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
            return mean_y - slope * mean_x, slope
        self.push = line("push", 4 * HIDDEN, [1, 10, 32, 64, 128, 256])
        self.owned = line("owned", 3 * HIDDEN, [256, 512, 1024, 2048, 4096])

    def all_reduce(self, rows: int, ranks: int) -> float:
        if ranks == 1:
            return 0.0
        push = self.push[0] + self.push[1] * rows * 4 * HIDDEN * (ranks - 1)
        owned = self.owned[0] + self.owned[1] * rows * 6 * HIDDEN * (ranks - 1) / ranks
        return push if rows <= PUSH_ROWS else owned

    def fit_steps(self, steps: dict[tuple[int, int, int], float]) -> None:
        """Least squares of relative errors over (layers, bytes, flops)."""
        self.points = []
        for (batch, context, rows), seconds in sorted(steps.items()):
            prompt = rows > batch
            work = tensor_parallel(rows, rows / 2 / rows if prompt else context, 2, 1 if prompt else rows)
            own = seconds - 2 * LAYERS * self.all_reduce(rows, 2)
            self.points.append(((batch, context, rows), seconds, (LAYERS / own, work.bytes / own, work.flops / own)))
        a = [[sum(p[2][i] * p[2][j] for p in self.points) for j in range(3)] + [sum(p[2][i] for p in self.points)] for i in range(3)]
        for i in range(3):
            for j in range(3):
                if j != i:
                    factor = a[j][i] / a[i][i]
                    a[j] = [x - factor * y for x, y in zip(a[j], a[i])]
        self.launch, self.per_byte, self.per_flop = (a[i][3] / a[i][i] for i in range(3))
        self.errors = [(key, seconds, sum(x * c for x, c in zip(row, (self.launch, self.per_byte, self.per_flop))) - 1)
                       for key, seconds, row in self.points]


def parts(measured: Measured, work: Work, exchange: float) -> dict[str, float]:
    return {"launches": LAYERS * measured.launch, "bytes": work.bytes * measured.per_byte, "arithmetic": work.flops * measured.per_flop,
            "exchange": exchange}


def all_to_all(measured: Measured, own: int, ranks: int, hosts: int) -> float:
    """Dispatch in fp8 with scales and combine in bf16 of one layer: a token goes once to every other rank that holds one of its
    experts."""
    others = ranks * (1 - (1 - 1 / ranks) ** CHOSEN) * (ranks - 1) / ranks
    bytes_of_token = HIDDEN * (1 + 4 / 128) + 2 * HIDDEN
    sent = own * others * bytes_of_token
    outside = (hosts - 1) / hosts * ranks / (ranks - 1) if hosts > 1 else 0.0
    inside_s = sent * (1 - outside) * measured.push[1]
    return 2 * measured.push[0] + max(inside_s, sent * outside / HOST_LINK)


def layouts(measured: Measured, users: int, hosts: int) -> dict[str, dict[str, float] | None]:
    """Seconds of a step by cause; None: the memory does not hold it."""
    out: dict[str, dict[str, float] | None] = {}
    gpus = 8 * hosts

    def put(name: str, weights: float, tokens_of_rank: float, found: dict[str, float]) -> None:
        out[name] = found if weights + LAYERS * tokens_of_rank * CONTEXT * KV_TOKEN < CARD else None

    everything = LAYERS * (ATTENTION + EXPERTS * EXPERT)
    for tp in (4, 8):
        own = -(-users // (gpus // tp))
        work = tensor_parallel(own, CONTEXT, tp)
        put(f"TP{tp}", (everything + 2 * HEAD) / tp, own / tp, parts(measured, work, 2 * LAYERS * measured.all_reduce(own, tp)))
    own = -(-users // hosts)
    exchange = LAYERS * (2 * measured.all_reduce(own, 8) if hosts == 1 else measured.all_reduce(own, 8) + all_to_all(measured, -(-own // 8), gpus, hosts))
    put(f"TP8+EP{gpus}", LAYERS * (ATTENTION / 8 + EXPERTS * EXPERT / gpus) + 2 * HEAD / 8, own / 8,
        parts(measured, expert_parallel(users, CONTEXT, 8, gpus), exchange))
    own = -(-users // gpus)
    put(f"DP{gpus}+EP{gpus}", LAYERS * (ATTENTION + EXPERTS * EXPERT / gpus) + 2 * HEAD, own,
        parts(measured, expert_parallel(users, CONTEXT, 1, gpus), LAYERS * all_to_all(measured, own, gpus, hosts)))
    return out


def table(measured: Measured, hosts: int) -> str:
    names = list(layouts(measured, 1, hosts))
    lines = ["| users | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for users in USERS:
        cells = []
        for found in layouts(measured, users, hosts).values():
            if found is None:
                cells.append("no room")
                continue
            first = max(found, key=lambda cause: found[cause])
            cells.append(f"{sum(found.values()) * 1e3:.1f} ({first} {found[first] / sum(found.values()):.0%})")
        lines.append(f"| {users} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(measured: Measured) -> str:
    worst = max(measured.errors, key=lambda e: abs(e[2]))
    fit = "\n".join(f"| {batch} | {context} | {rows} | {seconds * 1e3:.2f} | {error:+.0%} |" for (batch, context, rows), seconds, error in measured.errors)
    return (ROOT / "tools/scale.md.in").read_text().format(
        launch=measured.launch * 1e6, rate=1e-12 / measured.per_byte, flops=1e-12 / measured.per_flop, latency=measured.push[0] * 1e6,
        link=1e-9 / measured.push[1], worst=abs(worst[2]), fit=fit, one=table(measured, 1), two=table(measured, 2), four=table(measured, 4))


if __name__ == "__main__":
    print(page(Measured()), end="")
