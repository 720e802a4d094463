"""Trains tiny-m2 on one GPU or several: generate, train, save in bf16, quantise, evaluate.

    python3 tools/tiny_m2/train.py --out OUT [--edition 1] [--resume models/tiny-m2] [--seconds 420]
    torchrun --nproc-per-node 4 tools/tiny_m2/train.py ...            each GPU trains on dialogues of its own

Dialogues are made while the GPU trains. From a share of the training on (--fp8-from), weights are rounded to fp8 blocks
in the forward, and activations in half of the steps, so that w8a16 and w8a8 both hold. OUT/bf16 gets the unquantised
checkpoint, once a minute and at the end; OUT/training.json the record.
"""
import argparse
import json
import math
import multiprocessing
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.nn.attention.flex_attention import BlockMask

import data
import offline
from convert import load, save_bf16
from model import Shape, TinyM2, dialogue_mask
from muon import Muon
from ranks import Ranks

WARM_UP = 150
FLOOR = 0.02  # share of the learning rate left at the end
BIAS_STEP = 1e-3
SAVE_EVERY = 60.0  # seconds


def ids_of(tokens: torch.Tensor) -> torch.Tensor:
    return (tokens & (data.ASSISTANT - 1)).long()


def loss_of(model: TinyM2, tokens: torch.Tensor, others: float, blocks: BlockMask | None,
            rope: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """tokens [batch, window + 1] int32 with the assistant bit -> loss with weight `others` on tokens
    that the assistant does not write, the assistant's own loss, loads. `blocks` is the mask of the first `window` tokens,
    `rope` that of their positions: compiled into the graph, its doubles would be made anew for each element, a third of a step."""
    ids = ids_of(tokens)
    own = (tokens[:, 1:] & data.ASSISTANT) != 0
    with torch.autocast(tokens.device.type, torch.bfloat16):
        x, loads = model.hidden(ids[:, :-1], blocks=blocks, rope=rope)
        logits = model.logits(x)
    each = F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view_as(own)
    weight = torch.where(own, 1.0, others)
    return (each * weight).sum() / weight.sum(), (each.detach() * own).sum() / own.sum().clamp_min(1), loads


def learning_rate(peak: float, progress: float, step: int) -> float:
    cosine = FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return peak * min(1.0, (step + 1) / WARM_UP) * cosine


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dialogues", type=int, default=700_000, help="at most; as many are made as the time allows")
    parser.add_argument("--steps", type=int, default=20_000, help="at most")
    parser.add_argument("--seconds", type=float, default=420, help="of training; the schedule ends early rather than run over")
    parser.add_argument("--finish-training-by", type=float, default=1e9, help="seconds from the program's start, for a lease with an end")
    parser.add_argument("--finish-by", type=float, default=1e9, help="the same for the evaluation")
    parser.add_argument("--within-dialogues", action="store_true", help="a token does not see the dialogues before its own in the window")
    parser.add_argument("--batch", type=int, default=16, help="windows of 4096 tokens a step and GPU")
    parser.add_argument("--held-out", type=int, default=200)
    parser.add_argument("--peak", type=float, default=2e-3, help="learning rate")
    parser.add_argument("--optimiser", choices=["adamw", "muon"], default="adamw", help="muon: of the layers' matrices; the rest by adamw")
    parser.add_argument("--others-weight", type=float, default=0.2, help="in the loss, of a token the assistant does not write")
    parser.add_argument("--fp8-from", type=float, default=0.75, help="share of the training after which it rounds to fp8; 1: never")
    parser.add_argument("--resume", type=Path, help="a checkpoint to begin with, bf16 or fp8")
    parser.add_argument("--first-dialogue", type=int, default=0, help="seed of the first dialogue")
    parser.add_argument("--edition", type=int, choices=data.EDITIONS, default=2, help="of the dialogues")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda")
    return parser.parse_args()


def save(model: TinyM2, folder: Path) -> None:
    """Whole or not at all, for a run that may be cut off."""
    fresh = folder.with_name(folder.name + "-new")
    save_bf16(model, fresh)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


class Trainer:
    def __init__(self, options: argparse.Namespace, began: float, ranks: Ranks):
        self.options, self.began, self.ranks = options, began, ranks
        if ranks.first:
            self.held_out = multiprocessing.get_context("fork").Pool(1).apply_async(offline.held_out, (options.held_out, options.edition))
        dialogues = options.dialogues // ranks.count
        # Both before the GPU is touched.
        work = data.start(options.edition, options.first_dialogue + ranks.rank * dialogues, dialogues, ranks.count)
        ranks.join()
        torch.manual_seed(options.seed)
        self.coin = random.Random(options.seed)  # the same on all
        torch.set_float32_matmul_precision("high")
        device = ranks.device
        on_gpu = device.startswith("cuda")
        self.model = TinyM2(Shape()).to(device)
        if options.resume:
            self.model = load(options.resume, torch.float32, device).requires_grad_(True)
            self.model.dtype = torch.bfloat16
        ranks.same([p.data for p in self.model.parameters()])
        self.muon = Muon([p for layer in self.model.layers for p in (layer.q, layer.k, layer.v, layer.o, layer.w1, layer.w2, layer.w3)],
                         weight_decay=0.1) if options.optimiser == "muon" else None
        taken = {id(p) for p in self.muon.matrices} if self.muon else set()
        others = [p for p in self.model.parameters() if id(p) not in taken]
        decayed = [p for p in others if p.ndim > 1]
        plain = [p for p in others if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}], lr=options.peak, betas=(0.9, 0.95),
            fused=on_gpu)
        self.loss_of = torch.compile(loss_of) if on_gpu else loss_of
        self.start_id = data.Encoder().start
        self.mask_of = torch.compile(dialogue_mask) if on_gpu else dialogue_mask
        self.rope = self.model.rope(torch.arange(data.WINDOW, device=device)[None])
        # Rounding is a graph of its own, since it costs a fifth of a step also where it is off.
        self.rounding = (torch.ones((), device=device), torch.zeros((), device=device))
        if on_gpu:
            warm = torch.randint(0, 2000, (options.batch, data.WINDOW + 1), device=device, dtype=torch.int32)
            for flags in (self.rounding, None) if options.fp8_from < 1 else (None,):
                self.model.round_to_fp8(flags)
                self.loss(warm)[0].backward()
            torch.cuda.synchronize()
        print(f"rank {ranks.rank} of {ranks.count}: compiled after {time.time() - began:.0f} s", flush=True)
        self.stream = data.Stream(work, dialogues // 4 + options.batch, device, options.seed + ranks.rank)
        self.log: list[dict] = []

    def loss(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        blocks = self.mask_of(ids_of(tokens)[:, :-1], self.start_id) if self.options.within_dialogues else None
        return self.loss_of(self.model, tokens, self.options.others_weight, blocks, self.rope)

    def step(self, progress: float, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One update; the assistant's loss and the loads of the experts."""
        rate = learning_rate(self.options.peak, progress, step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        if progress >= self.options.fp8_from:
            self.model.round_to_fp8(self.rounding)
            self.rounding[1].fill_(float(self.coin.random() < 0.5))
        loss, own, loads = self.loss(self.stream.batch(self.options.batch))
        for p in self.model.parameters():
            p.grad = None
        loss.backward()
        self.ranks.mean([p.grad for p in self.model.parameters() if p.grad is not None] + [loads])
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        if self.muon:
            self.muon.step(rate)
        with torch.no_grad():  # balance: the selection bias of a full expert sinks, that of an empty one rises
            for layer, row in zip(self.model.layers, loads):
                layer.bias += BIAS_STEP * torch.sign(row.mean() - row)
        return own.detach(), loads

    def train(self) -> tuple[int, float]:
        """The steps made and the seconds they took."""
        options, losses = self.options, []
        start, saved, step, seconds = time.time(), time.time(), 0, 0.0
        allowed = self.ranks.first_says(min(options.seconds, self.began + options.finish_training_by - start))
        while step < options.steps and seconds < allowed:
            own, loads = self.step(max(step / options.steps, seconds / allowed), step)
            losses.append(own)
            step += 1
            if step % 50 == 0 or step == options.steps:
                recent = torch.stack(losses[-50:]).mean().item()  # waits for the GPU, so the clock below is true
                seconds = self.ranks.first_says(time.time() - start)
                fullest = (loads.max(1).values / loads.mean(1)).max().item()
                self.log.append({"step": step, "assistant_loss": round(recent, 5), "fullest_expert": round(fullest, 3),
                                 "seconds": round(seconds, 1)})
                if self.ranks.first and (step % 200 == 0 or step == options.steps):
                    print(self.log[-1], f"{self.stream.made} windows made, {self.stream.used} used, {self.stream.repeated} repeated", flush=True)
                if self.ranks.first and time.time() - saved > SAVE_EVERY:
                    save(self.model, options.out / "bf16")
                    saved = time.time()
        return step, time.time() - start


def evaluate(options: argparse.Namespace, began: float, usual: list, long: list) -> dict:
    fp8 = Path("/tmp/tiny-m2-fp8")
    subprocess.run([sys.executable, Path(__file__).parent / "quantise.py", options.out / "bf16", fp8], check=True)
    encoder = data.Encoder()
    results = {}
    for name, fp8_activations in [("fp8 weights", False), ("fp8 weights and activations", True)]:
        if time.time() > began + options.finish_by:
            break
        checked = load(fp8, torch.bfloat16, options.device)
        checked = offline.with_fp8_activations(checked) if fp8_activations else checked
        results[name] = {"dialogues": options.held_out}
        for kind, items in [("over 2500 tokens", long), ("usual", usual)]:
            results[name][kind] = offline.evaluate(checked, items, encoder, options.device, 0 if fp8_activations else 25, began + options.finish_by)
        print(name, json.dumps(results[name]), f"after {time.time() - began:.0f} s", flush=True)
    return results


def main() -> None:
    began, options = time.time(), parse()
    ranks = Ranks(options.device)
    trainer = Trainer(options, began, ranks)
    steps, seconds = trainer.train()
    data.stop()
    ranks.leave()
    if not ranks.first:
        return
    options.device = ranks.device
    used = steps * options.batch * data.WINDOW * ranks.count
    print(f"{steps} steps, {used / 1e6:.0f} M tokens in {seconds:.0f} s: {used / seconds / 1e6:.2f} M tokens/s", flush=True)
    save(trainer.model, options.out / "bf16")
    log, stream = trainer.log, trainer.stream
    words = [f"--{key} {getattr(options, key.replace('-', '_'))}" for key in
             ("edition", "dialogues", "steps", "seconds", "finish-training-by", "batch", "seed", "peak", "optimiser", "first-dialogue", "others-weight", "fp8-from")]
    words += ["--within-dialogues"] if options.within_dialogues else []
    launcher = "python3" if ranks.count == 1 else f"torchrun --nproc-per-node {ranks.count}"
    record = {
        "command": f"{launcher} tools/tiny_m2/train.py {' '.join(words)}" + (f" --resume {options.resume}" if options.resume else ""),
        "seed": options.seed, "first_dialogue": options.first_dialogue,
        "gpus": ranks.count, "windows": stream.made, "windows_used": stream.used, "windows_repeated": stream.repeated, "window_tokens": data.WINDOW,
        "steps": steps, "tokens": used, "training_seconds": round(seconds, 1),
        "device": torch.cuda.get_device_name() if options.device.startswith("cuda") else options.device, "torch": torch.__version__,
        "parameters": sum(p.numel() for p in trainer.model.parameters()), "log": log[:: max(1, len(log) // 40)] + log[-1:]}
    if options.resume and (options.resume / "training.json").exists():
        record["resumed_from"] = json.loads((options.resume / "training.json").read_text())

    def write() -> None:
        record["total_seconds"] = round(time.time() - began, 1)
        (options.out / "training.json").write_text(json.dumps(record, indent=1) + "\n")

    write()
    record["held_out"] = evaluate(options, began, *trainer.held_out.get())
    write()


if __name__ == "__main__":
    main()
