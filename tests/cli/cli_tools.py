"""Runs minimax as a user does: words in, exit code and two streams out."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
MINIMAX = os.environ.get("MINIMAX", str(ROOT / "build/cpu/minimax"))
TINY = ROOT / "models/tiny-m2"
TOOLS = ROOT / "examples/weather/tools.json"
PARSERS = ["--tool-call-parser", "minimax_m2", "--reasoning-parser", "minimax_m2", "--enable-auto-tool-choice"]
QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]


def environment(**more):
    """A clean environment: nothing of the machine's hub cache or keys, no colours."""
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "TSAN_OPTIONS")}
    return {**keep, "HOME": "/nonexistent", "NO_COLOR": "1", **more}


def run(*words, stdin="", env=None, timeout=60):
    words = [MINIMAX, *(str(word) for word in words)]
    return subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=timeout,
                          env=environment(**(env or {})))


def refused(*words, code, says, **more):
    """The command ends with `code` and one clear sentence on standard error that holds all of `says`."""
    done = run(*words, **more)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    errors = [line for line in done.stderr.splitlines() if line.startswith("minimax")]
    assert errors, done.stderr
    for piece in says:
        assert str(piece) in done.stderr, (piece, done.stderr)
    for trace in ("terminate called", "what():", "Aborted", "core dumped", "Sanitizer", "==ERROR", "CHECK"):
        assert trace not in done.stderr, done.stderr
    return done


def flags_of(verb):
    """The rows of --help: flag name -> its whole text."""
    rows, name = {}, None
    for line in run(*verb.split(), "--help").stdout.splitlines():
        head = re.match(r"  --(\[no-\])?([a-z0-9-]+)", line)
        if head:
            name = "--" + head[2]
            rows[name] = line
        elif name and line.startswith("    "):
            rows[name] += "  " + line.strip()
        else:
            name = None
    return rows


def copy_model(to, source=TINY, without=()):
    """A model folder of links: a test replaces the files it wants to break."""
    to.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.name not in without:
            (to / file.name).symlink_to(file.resolve())
    return to


def replace(file, content):
    file.unlink(missing_ok=True)
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        file.write_text(content)


class Server:
    """`minimax serve` on a free port, ready when the constructor returns; ends with the `with` block."""

    def __init__(self, *words, env=None, port="0", client_key=None):
        self.log_file = tempfile.NamedTemporaryFile("w+", suffix=".log")
        port_words = [] if port is None else ["--port", str(port)]
        self.process = subprocess.Popen([MINIMAX, "serve", *(str(w) for w in words), *port_words],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log_file,
                                        text=True, env=environment(**(env or {})))
        headers = {"Authorization": f"Bearer {client_key}"} if client_key else {}
        self.url = self.wait_for(r"listening on (http://\S+)")[1]
        self.http = httpx.Client(base_url=self.url, timeout=60, headers=headers, trust_env=False)

    def log(self):
        return Path(self.log_file.name).read_text()

    def wait_for(self, pattern, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(pattern, self.log())
            if found:
                return found
            assert self.process.poll() is None, self.log()
            time.sleep(0.01)
        self.process.kill()
        raise AssertionError(f"no {pattern} after {seconds} s in:\n{self.log()}")

    def chat(self, **fields):
        return self.http.post("/v1/chat/completions", json={"messages": QUESTION, "temperature": 0, **fields})

    def complete(self, prompt="The", **fields):
        return self.http.post("/v1/completions", json={"prompt": prompt, **fields})

    def metric(self, name):
        text = self.http.get("/metrics").text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if re.match(re.escape(name) + r"[ {]", line))

    def until(self, true, seconds=10):
        """Waits for `true()`: counters may come a moment after the answer they count."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.log()
            time.sleep(0.01)

    def stop(self, seconds=40):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.log_file.close()


def bash(script, timeout=30):
    return subprocess.run([shutil.which("bash"), "-c", script], capture_output=True, text=True, timeout=timeout,
                          env=environment())
