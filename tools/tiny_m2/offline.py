"""Greedy evaluation of a checkpoint in torch, before a server has seen it.

    python3 tools/tiny_m2/offline.py FOLDER [--n 200] [--w8a8] [--device cuda]

Every reply of every held-out dialogue is asked for with the true history; what follows the thinking (calls, or the
answer, up to the end mark) must equal the generator's word for word.
"""
import argparse
import copy
import json
import time
from pathlib import Path

import torch

from convert import load
from data import EDITIONS, WINDOW, Encoder
from model import TinyM2

NEW_TOKENS = 420


def replies(encoder: Encoder, conversation: dict, last_only: bool = False) -> list[tuple[list[int], str, bool]]:
    """(prompt ids, what must follow the thinking, whether it calls) of each assistant message."""
    out, messages = [], conversation["messages"]
    for i, message in enumerate(messages):
        if message["role"] != "assistant" or last_only and i + 1 < len(messages):
            continue
        given = {"tools": conversation.get("tools")}
        prompt = encoder.render(messages=messages[:i], add_generation_prompt=True, **given)
        whole = encoder.render(messages=messages[: i + 1], **given)
        assert whole.startswith(prompt)
        ids = encoder.tokenizer.encode(prompt).ids
        if len(ids) + NEW_TOKENS <= WINDOW:
            tail = whole[len(prompt) :].split("</think>", 1)[1].removesuffix("\n")
            out.append((ids, tail, bool(message.get("tool_calls"))))
    return out


@torch.no_grad()
def greedy(model: TinyM2, prompts: list[list[int]], end: int, device: str) -> list[list[int]]:
    s, batch = model.s, len(prompts)
    lengths = torch.tensor([len(p) for p in prompts], device=device)
    ids = torch.zeros(batch, int(lengths.max()), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt)
    room = ids.shape[1] + NEW_TOKENS
    caches = [tuple(torch.zeros(batch, s.kv_heads, room, s.head_dim, dtype=model.dtype, device=device) for _ in "kv") for _ in model.layers]
    x, _ = model.hidden(ids.to(device), caches)
    token = model.logits(x[torch.arange(batch, device=device), lengths - 1]).argmax(-1)
    out, done, position = [token], token == end, lengths
    while len(out) < NEW_TOKENS and not bool(done.all()):
        x, _ = model.hidden(token[:, None], caches, position)
        token = model.logits(x[:, 0]).argmax(-1)
        out.append(token)
        done |= token == end
        position = position + 1
    rows = torch.stack(out, 1).tolist()
    return [row[: row.index(end) + 1] if end in row else row for row in rows]


def evaluate(model: TinyM2, items: list[tuple[list[int], str, bool]], encoder: Encoder, device: str, show: int = 5,
             until: float = float("inf")) -> dict:
    items = sorted(items, key=lambda item: len(item[0]))
    counts = {"calls": 0, "calls_exact": 0, "answers": 0, "answers_exact": 0}
    at = 0
    while at < len(items) and time.time() < until:
        batch = items[at : at + max(16, min(256, 200_000 // len(items[at][0])))]
        at += len(batch)
        outputs = greedy(model, [ids for ids, _, _ in batch], encoder.end, device)
        for (ids, expected, calls), output in zip(batch, outputs):
            text = encoder.tokenizer.decode(output, skip_special_tokens=False)
            found = text.split("</think>", 1)[-1]
            kind = "calls" if calls else "answers"
            counts[kind] += 1
            counts[kind + "_exact"] += found == expected
            if found != expected and show > 0:
                show -= 1
                print("WRONG expected", repr(expected), "\n      found   ", repr(text), flush=True)
    return counts


def held_out(n: int, edition: int) -> tuple[list, list]:
    """Replies of n dialogues of the usual length, and the last replies of long ones (over 2500 tokens)."""
    encoder, dialogue = Encoder(), EDITIONS[edition]
    usual = [reply for seed in range(n) for reply in replies(encoder, dialogue(seed, held_out=True))]
    long = [reply for seed in range(n) for reply in replies(encoder, dialogue(10**6 + seed, held_out=True, turns=12 if edition == 2 else 25), last_only=True)]
    return usual, [reply for reply in long if len(reply[0]) > 2500]


def with_fp8_activations(model: TinyM2) -> TinyM2:
    model = copy.deepcopy(model)
    for layer in model.layers:
        layer.fp8_activations = True
    return model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--edition", type=int, choices=EDITIONS, default=2, help="of the dialogues")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--w8a8", action="store_true")
    options = parser.parse_args()
    encoder = Encoder()
    usual, long = held_out(options.n, options.edition)
    model = load(options.folder, torch.bfloat16, options.device)
    if options.w8a8:
        model = with_fp8_activations(model)
    print(json.dumps({"usual": evaluate(model, usual, encoder, options.device), "long": evaluate(model, long, encoder, options.device)}))


if __name__ == "__main__":
    main()
