#!/usr/bin/env python3
"""Many concurrent streams against a running server, clients vanishing at random.

  python3 tools/soak.py --url http://127.0.0.1:8000 --streams 500 --seconds 60 --pid $(pidof minimax)

Every stream either ends properly (finish_reason, usage, [DONE]) or was broken off by us; anything else is an error.
At the end no request may be running or waiting, and the memory of the server (with --pid) is printed as it went.
Plain asyncio sockets: a client library's own limits would be measured otherwise. Exits with 1 on any error.
"""
import argparse
import asyncio
import json
import random
import time
import urllib.parse


def resident_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


class Soak:
    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        url = urllib.parse.urlparse(args.url)
        self.host, self.port = url.hostname, url.port
        self.finished = self.vanished = self.refused = self.events = 0
        self.errors: list[str] = []
        self.stop_at = time.monotonic() + args.seconds

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n"
                         f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            data = await reader.read()
        finally:
            writer.close()
        head, _, rest = data.partition(b"\r\n\r\n")
        return int(head.split()[1]), rest

    async def stream(self, rng: random.Random) -> None:
        """One stream from request to end; returns when it ended or was broken off."""
        tokens = rng.randint(1, self.args.tokens)
        vanish_after = rng.randint(0, tokens) if rng.random() < self.args.vanish else None
        content = " ".join(rng.choice(["red", "green", "blue", "seven", "what", "is"]) for _ in range(rng.randint(1, 200)))
        body = json.dumps({"model": self.args.model, "stream": True, "max_tokens": tokens, "ignore_eos": True,
                           "stream_options": {"include_usage": True}, "n": rng.choice([1, 1, 1, 2]),
                           "messages": [{"role": "user", "content": content}]}).encode()
        reader, writer = await asyncio.open_connection(self.host, self.port)
        seen, finishes, usage, done = 0, 0, None, False
        try:
            writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n"
                         f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
            if vanish_after == 0:
                await writer.drain()
                self.vanished += 1
                return
            status = int((await reader.readline()).split()[1])
            if status in (429, 503):
                self.refused += 1
                await asyncio.sleep(0.05)
                return
            if status != 200:
                self.errors.append(f"status {status}")
                return
            while line := await reader.readline():
                if not line.startswith(b"data: "):
                    continue
                if line.startswith(b"data: [DONE]"):
                    done = True
                    continue
                event = json.loads(line[6:])
                self.events += 1
                seen += 1
                if "error" in event:
                    self.errors.append(f"error event {event['error']}")
                    return
                usage = event.get("usage") or usage
                finishes += sum(1 for choice in event["choices"] if choice.get("finish_reason"))
                if vanish_after is not None and seen >= vanish_after:
                    writer.transport.abort()
                    self.vanished += 1
                    return
            if not done or finishes == 0 or usage is None:
                self.errors.append(f"ended early: done={done} finishes={finishes} usage={usage}")
                return
            self.finished += 1
        finally:
            writer.close()

    async def client(self, idx: int) -> None:
        rng = random.Random(self.args.seed * 100003 + idx)
        while time.monotonic() < self.stop_at:
            try:
                await asyncio.wait_for(self.stream(rng), self.args.timeout)
            except (OSError, asyncio.TimeoutError, json.JSONDecodeError, ValueError, IndexError) as error:
                self.errors.append(f"{type(error).__name__}: {error}")

    async def watch(self) -> list[float]:
        memory: list[float] = []
        while time.monotonic() < self.stop_at:
            await asyncio.sleep(max(1.0, self.args.seconds / 10))
            if self.args.pid:
                memory.append(resident_mb(self.args.pid))
        return memory

    async def gauges(self) -> dict[str, float]:
        _, text = await self.request("GET", "/metrics")
        out = {}
        for line in text.decode().splitlines():
            if line.startswith(("vllm:num_requests_running", "vllm:num_requests_waiting{", "vllm:kv_cache_usage_perc")):
                name, value = line.rsplit(" ", 1)
                out[name.split("{")[0]] = float(value)
        return out

    async def run(self) -> int:
        clients = [asyncio.create_task(self.client(idx)) for idx in range(self.args.streams)]
        memory = await self.watch()
        await asyncio.gather(*clients)
        gauges: dict[str, float] = {}
        for _ in range(50):  # cancelled requests leave within a step
            gauges = await self.gauges()
            if not any(gauges.values()):
                break
            await asyncio.sleep(0.1)
        left = {name: value for name, value in gauges.items() if value}
        if left or not gauges:
            self.errors.append(f"left behind: {left or 'no gauges'}")
        print(json.dumps({"streams": self.args.streams, "seconds": self.args.seconds, "finished": self.finished,
                          "vanished": self.vanished, "refused": self.refused, "events": self.events,
                          "events_per_s": round(self.events / self.args.seconds), "errors": len(self.errors),
                          "resident_mb": [round(value) for value in memory]}))
        for error in self.errors[:10]:
            print("error:", error)
        return 1 if self.errors else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--vanish", type=float, default=0.3, help="share of streams broken off")
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pid", type=int, default=0)
    return asyncio.run(Soak(parser.parse_args()).run())


if __name__ == "__main__":
    raise SystemExit(main())
