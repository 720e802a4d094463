"""Trains tiny-m2 on one GPU: generate, train, save in bf16, quantise, evaluate. About ten minutes on an H100.

    python3 tools/tiny_m2/train.py --out OUT [--dialogues 420000] [--steps 4200] [--seconds 420]

OUT/bf16 gets the unquantised checkpoint, OUT/fp8 the published layout, OUT/training.json the record.
"""
import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import data
import offline
from convert import load, save_bf16
from model import Shape, TinyM2

WARM_UP = 200
FLOOR = 0.02  # share of the learning rate left at the end
BIAS_STEP = 1e-3
OTHERS_WEIGHT = 0.2  # of a token the assistant does not write


def loss_of(model: TinyM2, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """tokens [batch, window + 1] int32 with the assistant bit -> weighted loss, the assistant's own loss, loads."""
    ids = (tokens & (data.ASSISTANT - 1)).long()
    own = (tokens[:, 1:] & data.ASSISTANT) != 0
    with torch.autocast(tokens.device.type, torch.bfloat16):
        x, loads = model.hidden(ids[:, :-1])
        logits = model.logits(x)
    each = F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view_as(own)
    weight = torch.where(own, 1.0, OTHERS_WEIGHT)
    return (each * weight).sum() / weight.sum(), (each * own).sum() / own.sum(), loads


def learning_rate(peak: float, progress: float, step: int) -> float:
    cosine = FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return peak * min(1.0, (step + 1) / WARM_UP) * cosine


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dialogues", type=int, default=420_000)
    parser.add_argument("--steps", type=int, default=4200)
    parser.add_argument("--seconds", type=float, default=420, help="of training; the schedule ends early rather than run over")
    parser.add_argument("--finish-training-by", type=float, default=460, help="seconds from the program's start, for a lease with an end")
    parser.add_argument("--batch", type=int, default=16, help="windows of 4096 tokens a step")
    parser.add_argument("--held-out", type=int, default=200)
    parser.add_argument("--peak", type=float, default=2e-3, help="learning rate")
    parser.add_argument("--resume", type=Path, help="a checkpoint to begin with, bf16 or fp8")
    parser.add_argument("--first-dialogue", type=int, default=0, help="seed of the first dialogue, a multiple of 1000")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    began = time.time()
    work = data.start(options.first_dialogue, options.dialogues)  # before the GPU is touched

    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    device = options.device
    model = TinyM2(Shape()).to(device)
    if options.resume:
        model = load(options.resume, torch.float32, device).requires_grad_(True)
        model.dtype = torch.bfloat16
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
                                  lr=options.peak, betas=(0.9, 0.95), fused=device == "cuda")
    step_loss = torch.compile(loss_of) if device == "cuda" else loss_of
    warm = torch.randint(0, 2000, (options.batch, data.WINDOW + 1), device=device, dtype=torch.int32)
    if device == "cuda":
        step_loss(model, warm)[0].backward()
        optimiser.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
    print(f"compiled after {time.time() - began:.0f} s", flush=True)
    windows = np.concatenate(work.get())
    np.random.default_rng(options.seed).shuffle(windows)
    print(f"{len(windows)} windows, {windows.size / 1e6:.1f} M tokens, {(windows >= data.ASSISTANT).mean():.3f} of them the assistant's, "
          f"after {time.time() - began:.0f} s", flush=True)
    tokens = torch.from_numpy(windows.view(np.int16)).to(device)

    losses, log = [], []
    start, step, seconds = time.time(), 0, 0.0
    allowed = min(options.seconds, began + options.finish_training_by - start)
    while step < options.steps and seconds < allowed:
        progress = max(step / options.steps, seconds / allowed)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(options.peak, progress, step)
        first = step * options.batch % (len(tokens) - options.batch + 1)
        batch = tokens[first : first + options.batch].to(torch.int32) & 0xFFFF
        loss, own, loads = step_loss(model, batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():  # balance: the selection bias of a full expert sinks, that of an empty one rises
            for layer, row in zip(model.layers, loads):
                layer.bias += BIAS_STEP * torch.sign(row.mean() - row)
        losses.append(own.detach())
        step += 1
        if step % 50 == 0 or step == options.steps:
            recent = torch.stack(losses[-50:]).mean().item()  # waits for the GPU, so the clock below is true
            seconds = time.time() - start
            fullest = (loads.max(1).values / loads.mean(1)).max().item()
            log.append({"step": step, "assistant_loss": round(recent, 5), "fullest_expert": round(fullest, 3), "seconds": round(seconds, 1)})
            if step % 200 == 0 or step == options.steps:
                print(log[-1], flush=True)
    seconds = time.time() - start
    used = step * options.batch * data.WINDOW
    print(f"{step} steps, {used / 1e6:.0f} M tokens in {seconds:.0f} s: {used / seconds / 1e6:.2f} M tokens/s", flush=True)

    save_bf16(model, options.out / "bf16")
    here = Path(__file__).parent
    subprocess.run([sys.executable, here / "quantise.py", options.out / "bf16", options.out / "fp8"], check=True)
    encoder = data.Encoder()
    usual, long = offline.held_out(encoder, options.held_out)
    results = {}
    for name, folder, fp8_activations in [("bf16", "bf16", False), ("fp8 weights", "fp8", False), ("fp8 weights and activations", "fp8", True)]:
        checked = load(options.out / folder, torch.bfloat16, device)
        checked = offline.with_fp8_activations(checked) if fp8_activations else checked
        results[name] = {"dialogues": options.held_out, "usual": offline.evaluate(checked, usual, encoder, device),
                         "over 2500 tokens": offline.evaluate(checked, long, encoder, device)}
        print(name, json.dumps(results[name]), f"after {time.time() - began:.0f} s", flush=True)

    record = {
        "command": f"python3 tools/tiny_m2/train.py --dialogues {options.dialogues} --steps {options.steps} --seconds {options.seconds:g} "
                   f"--batch {options.batch} --seed {options.seed} --peak {options.peak:g}"
                   + (f" --first-dialogue {options.first_dialogue} --resume {options.resume}" if options.resume else ""),
        "seed": options.seed, "dialogues": options.dialogues, "first_dialogue": options.first_dialogue,
        "windows": len(windows), "window_tokens": data.WINDOW, "steps": step, "tokens": used, "training_seconds": round(seconds, 1),
        "total_seconds": round(time.time() - began, 1), "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "torch": torch.__version__, "parameters": sum(p.numel() for p in model.parameters()), "log": log[:: max(1, len(log) // 40)] + log[-1:],
        "held_out": results}
    if options.resume and (options.resume / "training.json").exists():
        record["resumed_from"] = json.loads((options.resume / "training.json").read_text())
    (options.out / "training.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
