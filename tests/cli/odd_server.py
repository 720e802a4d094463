"""Servers that answer oddly, for the client of the benchmark: the first part of the path says how."""
import json
import socket
import threading
import time


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(value) -> bytes:
    return chunk(b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TEXT = event({"choices": [{"index": 0, "text": "x "}]})
USAGE = event({"choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": 4}})
DONE = event(b"[DONE]")
END = chunk(b"")
WHOLE = HEAD + TEXT * 4 + USAGE + DONE + END


def whole(code: bytes, body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + code, b"Content-Length: %d" % len(body), *headers, b"", body])


ANSWERS = {
    "fine": WHOLE,
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE,
    "surrogates": HEAD + event(rb'{"choices":[{"text":"\ud83d"}]}') + event(rb'{"choices":[{"text":"\uDE00"}]}') + USAGE + DONE + END,
    "no_empty_line": HEAD + TEXT + USAGE + chunk(b'data: {"choices":[{"text":"y"}]}') + END,
    "elsewhere": whole(b"301 Moved Permanently", b"", b"Location: https://elsewhere/"),
    "escapes": whole(b"400 Bad Request", b'{"error": {"message": "\\u001b[2Jbad\\r\\nSuccessful requests: 99"}}'),
    "no_object": HEAD + event({"choices": [5]}) + DONE + END,
    "no_count": HEAD + TEXT + event({"choices": [], "usage": {"completion_tokens": 2**63 - 1, "prompt_tokens": -5}}) + DONE + END,
    "reasoning": HEAD + event({"choices": [{"delta": {"reasoning_content": "hello world "}}]}) * 5
                 + event({"choices": [{"delta": {"content": "x "}}]}) + DONE + END,
}


class OddServer:
    """On a free port; `heads` and `bodies` are those of the requests that came."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        lines = one.makefile("rb")
        try:
            while first := lines.readline():
                head = first.decode()
                while (line := lines.readline().decode()).strip():
                    head += line
                length = next((int(line.split(":")[1]) for line in head.lower().splitlines()
                               if line.startswith("content-length:")), 0)
                body = lines.read(length)
                if head.startswith("GET"):
                    one.sendall(whole(b"404 Not Found", b""))
                    continue
                self.heads.append(head)
                self.bodies.append(body)
                self._answer(one, head.split()[1].split("/")[1])
        except OSError:
            pass

    def _answer(self, one: socket.socket, kind: str) -> None:
        if kind == "silent":
            time.sleep(60)
        elif kind == "slow":
            one.sendall(HEAD)
            for _ in range(100):
                one.sendall(TEXT)
                time.sleep(0.1)
        elif kind == "pings":
            one.sendall(HEAD)
            for _ in range(600):
                one.sendall(chunk(b": ping\n\n"))
                time.sleep(0.1)
        elif kind == "never_ends":
            one.sendall(HEAD + TEXT * 4 + USAGE + DONE)
            time.sleep(60)
        elif kind == "endless_event":
            one.sendall(HEAD)
            while True:
                one.sendall(chunk(b"x" * 65536))
        else:
            one.sendall(ANSWERS[kind])

    def close(self) -> None:
        self.listener.close()
