"""Servers and clients for the end-to-end tests. The binary comes from MINIMAX, or build/cpu/minimax."""
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import openai

ROOT = Path(__file__).resolve().parent.parent
BINARY = Path(os.environ.get("MINIMAX", ROOT / "build/cpu/minimax"))
PARSERS = ["--tool-call-parser", "minimax_m2", "--reasoning-parser", "minimax_m2", "--enable-auto-tool-choice"]


class Server:
    """`minimax serve ...` on a free port, ready when constructed."""

    def __init__(self, *flags: str, model: str = "tiny") -> None:
        self.process = subprocess.Popen([BINARY, "serve", model, "--port", "0", "--kv-cache-memory-bytes", "256M", *flags],
                                        stderr=subprocess.PIPE, text=True, cwd=ROOT)
        self.lines: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if match := re.search(r"listening on (http://\S+)", line):
                self.url = match.group(1)
                break
        else:
            raise RuntimeError("no server: " + "".join(self.lines))
        # The pipe must not fill up.
        os.set_blocking(self.process.stderr.fileno(), False)

    def client(self, key: str = "none") -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url + "/v1", api_key=key, max_retries=0, timeout=60)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)


def eventually(condition, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False
