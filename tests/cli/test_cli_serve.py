"""The life of a server: what it prints at start, what stops it from starting, how it ends."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading
import time

import httpx
import pytest

from cli_tools import MINIMAX, PARSERS, QUESTION, Server, bash, environment, refused


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Stream:
    """A long answer that is read in another thread."""

    def __init__(self, server, tokens=400, **fields):
        self.lines, self.failure = [], None
        self.thread = threading.Thread(target=self.read, args=(server.url, tokens, fields))
        self.thread.start()
        end = time.monotonic() + 20
        while len(self.lines) < 3 and time.monotonic() < end:
            time.sleep(0.005)
        assert len(self.lines) >= 3, self.failure

    def read(self, url, tokens, fields):
        body = {"messages": QUESTION, "stream": True, "max_tokens": tokens, "ignore_eos": True, **fields}
        try:
            with httpx.stream("POST", url + "/v1/chat/completions", json=body, timeout=60, trust_env=False) as reply:
                for line in reply.iter_lines():
                    if line:
                        self.lines.append(line)
        except httpx.HTTPError as error:
            self.failure = error

    def end(self):
        self.thread.join(60)
        return self.lines


def test_start_prints_options_plan_and_address(server):
    log = server.log()
    for piece in ("models/tiny-m2", "memory: weights", "KV cache", "tokens of", "context 4096 tokens",
                  "256 sequences at once", "rows a step", "prefix caching on", "tool parser minimax_m2",
                  "reasoning parser minimax_m2", "auto tool choice on", "only this address; --host 0.0.0.0 for all"):
        assert piece in log, piece
    assert re.search(r"listening on http://127\.0\.0\.1:\d+ .*ready after \d+ ms", log)


def test_the_log_has_no_colours_when_it_is_no_terminal_or_no_color_says_so(server):
    assert "\033[" not in server.log()


@pytest.mark.parametrize("no_color, coloured", [("1", False), ("", True)])
def test_no_color_is_honoured_on_a_terminal(no_color, coloured):
    master, slave = pty.openpty()
    process = subprocess.Popen([MINIMAX, "serve", "tiny", "--port", "0"], stdin=subprocess.DEVNULL, stdout=slave,
                               stderr=slave, env=environment(NO_COLOR=no_color, TERM="xterm"))
    os.close(slave)
    seen = b""
    try:
        while b"listening on" not in seen:
            seen += os.read(master, 65536)
    finally:
        process.terminate()
        process.wait(20)
        os.close(master)
    assert (b"\033[" in seen) == coloured, seen


def test_all_addresses_and_a_port_of_ones_own():
    port = free_port()
    with Server("tiny", "--host", "0.0.0.0", "--port", port, port=None) as server:
        assert f"listening on http://0.0.0.0:{port} (all addresses)" in server.log()
        assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200


def test_a_port_in_use(server):
    port = server.url.rsplit(":", 1)[1]
    refused("serve", "tiny", "--port", port, code=1, says=[port, "in use"])


@pytest.mark.parametrize("host", ["no-such-host.invalid", "300.1.2.3", "192.0.2.1"])
def test_a_host_that_is_not_ours(host):
    refused("serve", "tiny", "--host", host, "--port", "0", code=1, says=[host])


@pytest.mark.parametrize("words, code, says", [
    (["--max-model-len", "5000"], 2, ["--max-model-len 5000", "4096"]),
    (["--kv-cache-memory-bytes", "1000"], 1, ["--kv-cache-memory-bytes", "1000"]),
    (["--kv-cache-memory-bytes", "1M"], 1, ["4096", "--max-model-len", "--kv-cache-memory-bytes"]),
    (["--served-model-name", ""], 2, ["--served-model-name", "empty"]),
    (["--host", ""], 2, ["--host", "empty"]),
    (["--generation-config", "/nonexistent"], 2, ["--generation-config /nonexistent"]),
    (["--override-generation-config", '{"temprature": 1}'], 2, ["--override-generation-config", "temprature"]),
    (["--override-generation-config", '{"temperature": "hot"}'], 2, ["--override-generation-config", "temperature"]),
    (["--override-generation-config", '{"temperature": -1}'], 2, ["--override-generation-config", "temperature"]),
    (["--override-generation-config", '{"max_new_tokens": 0}'], 2, ["--override-generation-config", "max_new_tokens"]),
    (["--tokenizer", "/nonexistent"], 1, ["/nonexistent"]),
])
def test_options_that_the_model_does_not_allow(words, code, says):
    refused("serve", "tiny", "--port", "0", *words, code=code, says=says)


def test_sigterm_lets_an_open_stream_finish_and_ends_with_0():
    with Server("tiny") as server:
        stream = Stream(server)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("draining")
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url + "/health", trust_env=False)
        lines = stream.end()
        assert lines[-1] == "data: [DONE]" and json.loads(lines[-2][6:])["choices"][0]["finish_reason"] == "length"
        assert server.process.wait(20) == 0


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_at_once(stop):
    with Server("tiny") as server:
        started = time.monotonic()
        server.process.send_signal(stop)
        assert server.process.wait(20) == 0
        assert time.monotonic() - started < 2


def test_a_signal_right_after_the_listening_line_is_not_lost():
    for _ in range(10):
        process = subprocess.Popen([MINIMAX, "serve", "tiny", "--port", "0"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, env=environment())
        for line in process.stderr:
            if "listening on" in line:
                break
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=20) is not None and process.returncode == 0


def test_a_second_sigterm_ends_at_once():
    with Server("tiny") as server:
        stream = Stream(server, tokens=3900)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("draining")
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 3  # requests were cut off
        assert time.monotonic() - started < 2
        assert "data: [DONE]" not in stream.end()


def test_the_shutdown_timeout_cuts_what_is_open():
    with Server("tiny", "--shutdown-timeout", "0.2") as server:
        stream = Stream(server, tokens=3900)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 5
        lines = stream.end()
        assert "shutting down" in json.loads(lines[-2][6:])["error"]["message"] and lines[-1] == "data: [DONE]"


def test_a_request_that_outlasts_the_shutdown_timeout_is_told():
    with Server("tiny", "--shutdown-timeout", "0.2") as server:
        done = []
        late = threading.Thread(target=lambda: done.append(server.complete(max_tokens=4000, ignore_eos=True)))
        late.start()
        server.until(lambda: server.metric("vllm:num_requests_running") > 0)
        assert server.stop() == 0
        late.join()
        assert done[0].status_code >= 500 and "shutting down" in done[0].json()["error"]["message"]


def test_the_port_is_looked_at_before_the_model_is_loaded():
    with Server("tiny") as server:
        done = bash(f"{MINIMAX} serve tiny --port {server.url.rsplit(':', 1)[1]}")
        assert done.returncode == 1 and "cannot listen on" in done.stderr and "KV blocks" not in done.stderr


def test_health_answers_while_large_prompts_are_read():
    with Server("tiny") as server:
        text = "word " * 2_000_000
        readers = [threading.Thread(target=lambda: server.complete(text)) for _ in range(3)]
        for reader in readers:
            reader.start()
        while any(reader.is_alive() for reader in readers):
            assert server.http.get("/health", timeout=5).status_code == 200
            time.sleep(0.05)


def test_min_tokens_holds_against_stop_strings_too():
    with Server("tiny") as server:
        text = server.complete(max_tokens=40, temperature=0, ignore_eos=True).json()["choices"][0]["text"]
        stop = text[1:3]
        assert server.complete(max_tokens=40, temperature=0, ignore_eos=True, stop=stop).json()["usage"]["completion_tokens"] < 10
        late = server.complete(max_tokens=40, temperature=0, ignore_eos=True, stop=stop, min_tokens=30).json()
        assert late["usage"]["completion_tokens"] >= 30


def test_a_key_is_asked_for():
    with Server("tiny", "--api-key", "one", "two") as server:
        for key, status in {None: 401, "three": 401, "on": 401, "one": 200, "two": 200}.items():
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            assert server.http.get("/v1/models", headers=headers).status_code == status, key
        assert server.http.get("/health").status_code == 200
        assert "one" not in re.findall(r"\w+", server.log())


def test_the_key_may_come_from_the_environment():
    with Server("tiny", env={"VLLM_API_KEY": "from-env"}) as server:
        assert server.http.get("/v1/models").status_code == 401
        assert server.http.get("/v1/models", headers={"Authorization": "Bearer from-env"}).status_code == 200


def test_a_config_file_is_obeyed(tmp_path):
    config = tmp_path / "serve.yaml"
    config.write_text("model: tiny\nserved-model-name: [from-file]\nmax_model_len: 1k\ntool-call-parser: minimax_m2\n"
                      "enable-auto-tool-choice: true\nenable-prefix-caching: false\n")
    with Server("--config", config, "--max-model-len", "512") as server:
        model = server.http.get("/v1/models").json()["data"][0]
        assert (model["id"], model["max_model_len"]) == ("from-file", 512)
        assert "prefix caching off" in server.log() and "auto tool choice on" in server.log()


def test_nothing_is_written_to_standard_output():
    with Server("tiny", *PARSERS) as server:
        assert server.chat(max_tokens=2).status_code == 200
        assert server.stop() == 0
        assert server.process.stdout.read() == ""
