"""Dialogues as training windows: rendered by the model's own template, tokenised, packed.

A token is a uint16: the id, and bit 15 on tokens the assistant writes (their loss counts fully). A window holds whole
dialogues from its start; one that does not fit is cut at the end, and begins the next window again, whole.
"""
import multiprocessing
import multiprocessing.pool
import os
import random
import threading
import time
from collections.abc import Iterator

import numpy as np
import torch
from tokenizers import Tokenizer

import generate
import second.generate
from template import MODEL, tiny_template

WINDOW = 4096
ASSISTANT = 1 << 15
CHUNK = 200  # dialogues a task
EDITIONS = {1: generate.dialogue, 2: second.generate.dialogue}


def forget_thinking(messages: list[dict], r: random.Random) -> None:
    """Some clients do not send the thinking back between a call and its result."""
    if r.random() < 0.12:
        for message in messages:
            if message.get("tool_calls"):
                message.pop("reasoning_content", None)


class Encoder:
    def __init__(self) -> None:
        self.render = tiny_template()
        self.tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
        self.header = self.tokenizer.encode("]~b]ai\n").ids
        self.opening = self.tokenizer.encode("<think>\n").ids  # part of the prompt, not of the reply
        self.start = self.tokenizer.token_to_id("]~!b[")  # of a dialogue
        self.end = self.tokenizer.token_to_id("[e~[")

    def encode(self, conversation: dict) -> np.ndarray:
        ids = self.tokenizer.encode(self.render(messages=conversation["messages"], tools=conversation.get("tools"))).ids
        out = np.array(ids, np.uint16)
        at, n = 0, len(self.header)
        for begin in np.flatnonzero(out == self.header[0]).tolist():
            if begin < at or ids[begin : begin + n] != self.header:
                continue
            at = begin + n
            if ids[at : at + len(self.opening)] == self.opening:
                at += len(self.opening)
            stop = ids.index(self.end, at) + 1
            out[at:stop] |= ASSISTANT
            at = stop
        return out


def windows_of(task: tuple[int, int]) -> np.ndarray:
    """[windows, WINDOW + 1] of the CHUNK dialogues of an edition from a seed on."""
    edition, first = task
    global _encoder
    encoder = _encoder = _encoder or Encoder()
    out, window, held = [], [], 0
    for seed in range(first, first + CHUNK):
        conversation = EDITIONS[edition](seed)
        forget_thinking(conversation["messages"], random.Random(seed))
        tokens = encoder.encode(conversation)
        if len(tokens) > WINDOW + 1:
            continue
        window.append(tokens)
        held += len(tokens)
        if held > WINDOW:
            out.append(np.concatenate(window)[: WINDOW + 1])
            window, held = ([], 0) if held == WINDOW + 1 else ([tokens], len(tokens))
    return np.stack(out)


_encoder: Encoder | None = None
_pool: "multiprocessing.pool.Pool | None" = None


def _lower_priority() -> None:
    os.nice(10)


def start(edition: int, first: int, dialogues: int, sharers: int = 1) -> "Iterator[np.ndarray]":
    """Begins the work on three quarters of the cores, or of its share of them: a step's launches need the rest. Call it
    before the GPU is touched (the workers are forked)."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    global _pool
    _pool = multiprocessing.get_context("fork").Pool(max(1, (os.cpu_count() or 2) * 3 // 4 // sharers), _lower_priority)
    return _pool.imap_unordered(windows_of, [(edition, seed) for seed in range(first, first + dialogues, CHUNK)], chunksize=1)


def stop() -> None:
    """Ends the workers, whose cores the evaluation needs; does not wait for it."""
    if _pool:
        threading.Thread(target=_pool.terminate, daemon=True).start()


class Stream:
    """Windows as the workers make them; a step never waits once the first are there."""

    def __init__(self, work: "Iterator[np.ndarray]", capacity: int, device: str, seed: int = 1):
        self.windows = np.zeros((capacity, WINDOW + 1), np.uint16)
        self.device, self.random = device, np.random.default_rng(seed)
        self.made, self.used, self.repeated = 0, 0, 0
        self.thread = threading.Thread(target=self.fill, args=(work,), daemon=True)
        self.thread.start()

    def fill(self, work: "Iterator[np.ndarray]") -> None:
        while True:
            try:
                windows = next(work)
            except StopIteration:
                return
            except Exception as error:  # one chunk is lost, and said so
                print("a chunk failed:", repr(error), flush=True)
                continue
            n = min(len(windows), len(self.windows) - self.made)
            if n == 0:
                return
            self.windows[self.made : self.made + n] = windows[:n]
            self.made += n

    def batch(self, n: int) -> torch.Tensor:
        """[n, WINDOW + 1] int32 on the device: new windows while there are any, seen ones drawn at random otherwise."""
        while self.made < n:
            time.sleep(0.05)
        if self.used + n <= self.made:
            rows = self.windows[self.used : self.used + n]
            self.used += n
        else:
            rows = self.windows[self.random.integers(self.made, size=n)]
            self.repeated += n
        tokens = torch.from_numpy(rows.astype(np.int32))
        return tokens.pin_memory().to(self.device, non_blocking=True) if self.device.startswith("cuda") else tokens
