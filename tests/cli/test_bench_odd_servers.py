"""`minimax bench serve` against servers that answer oddly (odd_server.py): what counts, what fails, in which words."""
import json
import re
import signal
import subprocess
import time

import pytest

from minimax_server import BINARY, ROOT, eventually
from odd_server import OddServer


@pytest.fixture(scope="module")
def odd():
    server = OddServer()
    yield server
    server.close()


def words(odd, kind, *flags, verb="serve"):
    return [BINARY, "bench", verb, "--base-url", f"http://127.0.0.1:{odd.port}/{kind}", "--tokenizer", "models/tiny-m2", "--model",
            "m", "--random-input-len", "8", "--random-output-len", "4", "--num-prompts", "6", "--max-concurrency", "2", *flags]


def bench(odd, kind, *flags, seconds=20):
    return subprocess.run(words(odd, kind, *flags), capture_output=True, text=True, timeout=seconds, cwd=ROOT)


def count(done, row):
    return int(re.search(rf"^{row}: +(\d+)", done.stdout, re.M)[1])


@pytest.mark.parametrize("kind,tokens", [("fine", 4), ("interim", 4), ("surrogates", 4), ("no_empty_line", 4), ("never_ends", 4)])
def test_what_is_answered_whole_counts(odd, kind, tokens):
    done = bench(odd, kind, seconds=15)
    assert done.returncode == 0, done.stderr
    assert count(done, "Successful requests") == 6
    assert count(done, "Total generated tokens") == 6 * tokens


@pytest.mark.parametrize("kind,sentence", [
    ("elsewhere", "HTTP 301: it points to https://elsewhere/"),
    ("escapes", "HTTP 400:  [2Jbad  Successful requests: 99"),
    ("no_object", "a choice that is no object"),
])
def test_what_is_no_stream_fails_in_one_line(odd, kind, sentence):
    done = bench(odd, kind)
    assert done.returncode == 1 and count(done, "Failed requests") == 6
    assert sentence in done.stderr and "\x1b" not in done.stderr


def test_counts_that_are_none_are_left_out(odd):
    done = bench(odd, "no_count")
    assert 6 * 8 <= count(done, "Total input tokens") < 6 * 10 and count(done, "Total generated tokens") < 6 * 4


def test_thinking_counts_where_the_server_names_no_usage(odd):
    done = bench(odd, "reasoning", "--backend", "openai-chat", "--endpoint", "/v1/chat/completions")
    assert count(done, "Total generated tokens") >= 6 * 11


def test_pings_are_no_progress(odd):
    done = bench(odd, "pings", "--stall-timeout", "1")
    assert done.returncode == 1 and "6 request(s) failed: the server sent nothing for 1 s (--stall-timeout)" in done.stderr


def test_an_event_without_end_has_a_limit(odd):
    done = bench(odd, "endless_event", "--num-prompts", "1")
    assert done.returncode == 1 and "has more than 16777216 bytes" in done.stderr


def test_the_ready_check_ends_in_time(odd):
    begin = time.monotonic()
    done = bench(odd, "silent", "--ready-check-timeout-sec", "1")
    assert done.returncode == 1 and "is not ready after 1 s" in done.stderr and time.monotonic() - begin < 5


@pytest.mark.parametrize("verb", ["serve", "sweep"])
def test_ctrl_c_in_the_warm_ups_says_so(odd, verb, tmp_path):
    flags = ["--num-warmups", "5"]
    command = words(odd, "slow", *flags, verb=verb)
    if verb == "sweep":
        command = [word for word in command if word not in ("--max-concurrency", "2")] + ["--concurrencies", "2", "--report", tmp_path / "r"]
    odd.heads.clear()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert eventually(lambda: odd.heads, 20)  # a warm-up request is under way, and takes ten seconds
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 130 and "interrupted during the warm-ups: nothing was measured" in errors


def test_headers_take_the_place_of_the_clients_own(odd):
    odd.heads.clear()
    assert bench(odd, "fine", "--header", "Host= foo", "Content-Type=x/y", "X-Own=1").returncode == 0
    for head in odd.heads:
        assert head.count("Host:") == 1 and "Host: foo\r\n" in head
        assert head.count("Content-Type:") == 1 and "Content-Type: x/y\r\n" in head and "X-Own: 1" in head
    done = bench(odd, "fine", "--header", "Content-Length=3")
    assert done.returncode == 2 and "--header Content-Length" in done.stderr


def test_too_few_descriptors_are_told(odd):
    limited = ["sh", "-c", 'ulimit -n 20; exec "$@"', "sh", *map(str, words(odd, "fine", "--num-prompts", "60"))]
    limited = [word for word in limited if word not in ("--max-concurrency", "2")]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=30, cwd=ROOT)
    assert "no socket for another connection: Too many open files (ulimit -n)" in done.stderr


@pytest.mark.parametrize("flags,asked", [([], True), (["--no-ignore-eos"], False),
                                         (["--dataset-name", "prefix_repetition", "--prefix-repetition-num-prefixes", "2"], False)])
def test_random_prompts_ignore_the_end_unless_told(odd, flags, asked):
    odd.bodies.clear()
    assert bench(odd, "fine", *flags).returncode == 0
    assert len(odd.bodies) == 6 and all(json.loads(body).get("ignore_eos", False) is asked for body in odd.bodies)


@pytest.mark.parametrize("flags,sentence", [
    (["--base-url", "https://example.com"], "https is not spoken"),
    (["--base-url", "http://127.0.0.1:99999"], "expected a port from 1 to 65535"),
    (["--base-url", "http://u:p@host"], "--header Authorization"),
    (["--metric-percentiles", ""], "--metric-percentiles takes numbers"),
    (["--percentile-metrics", ""], "--percentile-metrics takes"),
    (["--dataset-path", "/etc/passwd"], "--dataset-name random makes its requests itself"),
    (["--label", "a/b", "--save-result"], "--label a/b"),
])
def test_flags_that_cannot_be_are_refused(odd, flags, sentence):
    done = bench(odd, "fine", *flags)
    assert done.returncode == 2 and sentence in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("flags", [["--metric-percentiles", "50, 99"], ["--burstiness", "inf", "--request-rate", "100"],
                                   ["--request-rate", "inf", "--ramp-up-strategy", "linear", "--ramp-up-start-rps", "50",
                                    "--ramp-up-end-rps", "100"]])
def test_flags_that_the_peer_takes_are_taken(odd, flags):
    assert bench(odd, "fine", *flags).returncode == 0


def test_a_place_that_cannot_be_written_is_told_before_the_run(odd, tmp_path):
    (tmp_path / "file").write_text("")
    odd.heads.clear()
    done = bench(odd, "fine", "--save-result", "--result-dir", str(tmp_path / "file"))
    assert done.returncode == 1 and "cannot be made" in done.stderr and odd.heads == []


@pytest.mark.parametrize("flags,sentence", [
    (["--save-result"], "--save-result"), (["--goodput", "ttft:5"], "--goodput"), (["--max-concurrency", "3"], "--max-concurrency"),
    (["--rates", "5", "--ramp-up-strategy", "linear", "--ramp-up-start-rps", "1", "--ramp-up-end-rps", "4"], "--ramp-up-strategy")])
def test_a_sweep_refuses_what_it_would_not_do(odd, flags, sentence):
    command = words(odd, "fine", verb="sweep")
    command = [word for word in command if word not in ("--max-concurrency", "2")] + flags
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=ROOT)
    assert done.returncode == 2 and sentence in done.stderr


def test_times_of_a_trace_count_from_its_earliest_line(odd, tmp_path):
    trace = tmp_path / "trace.jsonl"
    trace.write_text("".join(f'{{"timestamp": {time_s}, "input_length": 8, "output_length": 4}}\n' for time_s in (100.6, 100, 100.3)))
    out = tmp_path / "out.json"
    command = [word for word in words(odd, "fine", "--dataset-name", "timed_trace", "--dataset-path", trace, "--num-prompts", "3",
                                      "--save-detailed", "--result-filename", out) if word not in ("--max-concurrency", "2")]
    assert subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=ROOT).returncode == 0
    # Seconds since the run began: never early; on a busy machine late.
    starts = json.loads(out.read_text())["start_times"]
    assert all(start > due - 0.01 for start, due in zip(starts, (0, 0.3, 0.6), strict=True)) and starts == sorted(starts)


def test_a_folder_with_a_tokenizer_alone_will_do(odd, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes((ROOT / "models/tiny-m2/tokenizer.json").read_bytes())
    for name in (tmp_path, tmp_path / "tokenizer.json"):
        assert bench(odd, "fine", "--tokenizer", str(name)).returncode == 0
