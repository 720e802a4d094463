"""Dialogues as training windows: rendered by the model's own template, tokenised, packed.

A token is a uint16: the id, and bit 15 on tokens the assistant writes (their loss counts fully). A window holds whole
dialogues from its start; one that does not fit is cut at the end, and begins the next window again, whole.
"""
import multiprocessing
import os
import random

import numpy as np
from tokenizers import Tokenizer

from generate import dialogue
from template import MODEL, tiny_template

WINDOW = 4096
ASSISTANT = 1 << 15
CHUNK = 1000  # dialogues a task


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
        self.end = self.tokenizer.token_to_id("[e~[")

    def encode(self, conversation: dict) -> np.ndarray:
        ids = self.tokenizer.encode(self.render(**conversation)).ids
        out = np.array(ids, np.uint16)
        at, n = 0, len(self.header)
        while at < len(ids):
            if ids[at : at + n] != self.header:
                at += 1
                continue
            at += n
            if ids[at : at + len(self.opening)] == self.opening:
                at += len(self.opening)
            stop = ids.index(self.end, at) + 1
            out[at:stop] |= ASSISTANT
            at = stop
        return out


def windows_of(chunk: int) -> np.ndarray:
    """[windows, WINDOW + 1] of the dialogues chunk * CHUNK and on."""
    encoder, out, window, held = Encoder(), [], [], 0
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        conversation = dialogue(seed)
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


def start(first: int, dialogues: int) -> "multiprocessing.pool.AsyncResult[list[np.ndarray]]":
    """Begins the work on all cores; call it before the GPU is touched (the workers are forked)."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    pool = multiprocessing.get_context("fork").Pool()
    return pool.map_async(windows_of, range(first // CHUNK, (first + dialogues) // CHUNK), chunksize=1)
