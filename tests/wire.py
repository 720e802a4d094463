"""What an agent and the server say to each other: a relay between them that keeps requests and their usage.

Agents hide what they send, above all whether they pass thinking back; the relay sees it of any agent, in the three APIs that
agents speak.
"""
import contextlib
import http.client
import http.server
import json
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from minimax_server import eventually

KEPT_HEADERS = ("Content-Type", "Authorization", "x-api-key")


@dataclass
class Exchange:
    path: str
    request: dict[str, Any]
    answer: list[dict[str, Any]]  # the one object, or the events of a stream

    def usage(self) -> dict[str, int]:
        """Tokens of the prompt, those of them that came from the prefix cache, and generated tokens."""
        found: dict[str, Any] = {}
        for part in self.answer:  # Messages tell the prompt in the first event and the rest in the last but one
            for holder in (part, part.get("response"), part.get("message")):
                found |= (holder or {}).get("usage") or {}
        if "prompt_tokens" in found:
            return {"prompt": found["prompt_tokens"], "cached": (found["prompt_tokens_details"] or {}).get("cached_tokens", 0),
                    "generated": found["completion_tokens"]}
        if "cache_read_input_tokens" in found:
            cached = found["cache_read_input_tokens"]
            return {"prompt": found["input_tokens"] + cached, "cached": cached, "generated": found["output_tokens"]}
        return {"prompt": found["input_tokens"], "cached": found["input_tokens_details"]["cached_tokens"], "generated": found["output_tokens"]}

    def thinking(self) -> list[str]:
        """The thinking of earlier replies that the agent sent along."""
        if self.path.endswith("/responses"):
            return ["".join(part["text"] for part in item.get("content") or []) for item in self.request["input"] if item.get("type") == "reasoning"]
        replies = [message for message in self.request["messages"] if message["role"] == "assistant"]
        if self.path.endswith("/messages"):
            return [block["thinking"] for reply in replies for block in reply["content"] if block["type"] == "thinking"]
        return [text for reply in replies if (text := reply.get("reasoning") or reply.get("reasoning_content"))]


class Wire:
    """Listens on `url` and hands everything on to `target`, streams as they come."""

    def __init__(self, target: str):
        self.kept: list[Exchange] = []
        self.begun = 0
        wire, address = self, urlsplit(target).netloc

        class Relay(http.server.BaseHTTPRequestHandler):  # HTTP/1.0: the end of the connection ends a body
            def do_POST(self) -> None:
                wire.begun += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                there = http.client.HTTPConnection(address, timeout=120)
                there.request("POST", self.path, body, {key: self.headers[key] for key in KEPT_HEADERS if key in self.headers})
                answer = there.getresponse()
                kind = answer.getheader("Content-Type", "")
                self.send_response(answer.status)
                self.send_header("Content-Type", kind)
                self.end_headers()
                text = b""
                while part := answer.read1(65536):
                    text += part
                    with contextlib.suppress(OSError):  # some clients leave when they have seen the last event
                        self.wfile.write(part)
                there.close()
                lines = [text.decode()]
                if kind.startswith("text/event-stream"):
                    lines = [line[6:] for line in text.decode().split("\n") if line.startswith("data: {")]
                wire.kept.append(Exchange(self.path.split("?")[0], json.loads(body), [json.loads(line) for line in lines]))

            def log_message(self, *_: Any) -> None:
                pass

        self.relay = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Relay)
        self.url = f"http://127.0.0.1:{self.relay.server_address[1]}"
        threading.Thread(target=self.relay.serve_forever, daemon=True).start()

    def exchanges(self) -> list[Exchange]:
        """Those since the last call, once all have ended."""
        assert eventually(lambda: len(self.kept) == self.begun)
        found, self.kept, self.begun = self.kept, [], 0
        return found

    def close(self) -> None:
        self.relay.shutdown()
        self.relay.server_close()
