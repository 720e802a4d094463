"""minimax bench: the whole binary against servers, ours and scripted ones."""

import http.server
import json
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from cli_tools import MINIMAX, PARSERS, Server, environment, refused, run

SMALL = ["--random-input-len", "12", "--random-output-len", "4"]


@pytest.fixture(scope="module")
def named_server():
    """As in the guide: the shipped model under the name of the large one."""
    with Server("tiny", "--served-model-name", "MiniMaxAI/MiniMax-M2", *PARSERS, "--kv-cache-memory-bytes", "64M") as running:
        yield running


def port_of(server):
    return server.url.rsplit(":", 1)[1]


def rows_of(table):
    """Label -> value of the printed table."""
    lines = table.splitlines()
    assert lines[0] == "============ Serving Benchmark Result ============" and lines[-1] == "=" * 50
    return {line[:40].strip(): line[41:].strip() for line in lines[1:-1] if not line.startswith("-")}


GUIDE = ("bench serve --backend vllm --model MiniMaxAI/MiniMax-M2 --endpoint /v1/completions --dataset-name random "
         "--random-input 24 --random-output 6 --max-concurrency 10 --num-prompt 12").split()


def test_the_guides_command_prints_the_table_and_writes_the_json(named_server, tmp_path):
    done = run(*GUIDE, "--port", port_of(named_server), "--save-result", "--result-dir", tmp_path, "--metadata",
               "version=0.3.3", "tp=1")
    assert done.returncode == 0, done.stderr
    rows = rows_of(done.stdout)
    assert list(rows) == [
        "Successful requests:", "Failed requests:", "Maximum request concurrency:", "Benchmark duration (s):",
        "Total input tokens:", "Total generated tokens:", "Request throughput (req/s):",
        "Output token throughput (tok/s):", "Peak output token throughput (tok/s):", "Peak concurrent requests:",
        "Total Token throughput (tok/s):", "Mean TTFT (ms):", "Median TTFT (ms):", "P99 TTFT (ms):", "Mean TPOT (ms):",
        "Median TPOT (ms):", "P99 TPOT (ms):", "Mean ITL (ms):", "Median ITL (ms):", "P99 ITL (ms):"]
    assert rows["Successful requests:"] == "12" and rows["Maximum request concurrency:"] == "10"
    assert 280 <= int(rows["Total input tokens:"]) <= 296
    assert "asking the server to tokenize" in done.stderr
    [file] = tmp_path.iterdir()
    assert file.name.startswith("vllm-infqps-concurrency10-MiniMax-M2-")
    result = json.loads(file.read_text())
    for key in ("date endpoint_type backend label model_id tokenizer_id num_prompts version tp request_rate burstiness "
                "max_concurrency duration completed failed total_input_tokens total_output_tokens request_throughput "
                "request_goodput output_throughput total_token_throughput max_output_tokens_per_s "
                "max_concurrent_requests rtfx mean_ttft_ms median_ttft_ms std_ttft_ms p99_ttft_ms mean_tpot_ms "
                "median_tpot_ms std_tpot_ms p99_tpot_ms mean_itl_ms median_itl_ms std_itl_ms p99_itl_ms").split():
        assert key in result, key
    assert result["request_rate"] == "inf" and result["completed"] == 12 and "ttfts" not in result


def test_model_and_tokenizer_are_found_without_flags(server, tmp_path):
    done = run("bench", "serve", "--base-url", server.url, "--num-prompts", "6", *SMALL, "--ignore-eos", "--seed", "3",
               "--request-rate", "100", "--burstiness", "2", "--num-warmups", "1", "--ready-check-timeout-sec", "5",
               "--percentile-metrics", "ttft,e2el", "--metric-percentiles", "50,99.9", "--goodput", "e2el:100000",
               "--save-detailed", "--append-result", "--result-dir", tmp_path, "--result-filename", "r.json",
               "--temperature", "0", "--top-k", "5", "--extra-body", '{"min_tokens": 1}', "--header", "x-a=b")
    assert done.returncode == 0, done.stderr
    rows = rows_of(done.stdout)
    assert rows["Total generated tokens:"] == "24"
    assert rows["Request rate configured (RPS):"] == "100.00"
    assert float(rows["Request goodput (req/s):"]) > 0
    assert "P99.9 E2EL (ms):" in rows and "Mean TPOT (ms):" not in rows
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["model_id"] == "tiny" and result["output_lens"] == [4] * 6
    assert len(result["itls"]) == len(result["ttfts"]) == len(result["start_times"]) == 6
    assert result["start_times"] == sorted(result["start_times"]) and result["start_times"][-1] > 0.04
    run("bench", "serve", "--base-url", server.url, "--num-prompts", "1", *SMALL, "--append-result", "--result-dir",
        tmp_path, "--result-filename", "r.json")
    assert len([json.loads(line) for line in (tmp_path / "r.json").read_text().splitlines()]) == 2


def bench(server, *words):
    return run("bench", "serve", "--base-url", server.url, *words)


def test_files_are_datasets(server, tmp_path):
    share = tmp_path / "share.json"
    share.write_text(json.dumps([{"conversations": [{"value": "What is the weather like in Paris today?"},
                                                    {"value": "It is sunny and warm in Paris today."}]}] * 3))
    custom = tmp_path / "custom.jsonl"
    custom.write_text('{"prompt": "Hello", "output_tokens": 3}\n\n{"prompt": "The end", "output_tokens": 2}\n')
    burst = tmp_path / "burst.csv"
    burst.write_text("Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
                     "5,ChatGPT,9,9,18,x\n6,GPT-4,7,3,10,x\n7,GPT-4,8,0,8,x\n")
    trace = tmp_path / "trace.jsonl"
    trace.write_text('{"timestamp": 1000, "input_length": 20, "output_length": 2, "hash_ids": [1, 2]}\n'
                     '{"timestamp": 1200, "input_length": 30, "output_length": 2, "hash_ids": [1, 3]}\n')
    for words, requests, duration in [
            (["sharegpt", "--dataset-path", share, "--num-prompts", "4"], 4, 0),
            (["custom", "--dataset-path", custom, "--num-prompts", "2", "--custom-output-len", "-1"], 2, 0),
            (["custom", "--dataset-path", custom, "--num-prompts", "9", "--no-oversample", "--skip-chat-template",
              "--output-len", "2"], 2, 0),
            (["burstgpt", "--dataset-path", burst, "--num-prompts", "1"], 1, 0),
            (["timed_trace", "--dataset-path", trace, "--num-prompts", "5", "--timed-trace-sec-multiplier", "0.001"], 2, 0.2),
            (["prefix_repetition", "--num-prompts", "4", "--prefix-repetition-num-prefixes", "2",
              "--prefix-repetition-prefix-len", "8", "--prefix-repetition-suffix-len", "8",
              "--prefix-repetition-output-len", "2"], 4, 0)]:
        done = bench(server, "--dataset-name", *words)
        assert done.returncode == 0, (words, done.stderr)
        rows = rows_of(done.stdout)
        assert rows["Successful requests:"] == str(requests), words
        assert float(rows["Benchmark duration (s):"]) >= duration


def test_a_bad_line_of_a_file_is_named(server, tmp_path):
    file = tmp_path / "custom.jsonl"
    file.write_text('{"prompt": "a"}\n{"text": "b"}\n')
    refused("bench", "serve", "--base-url", server.url, "--dataset-name", "custom", "--dataset-path", file, code=1,
            says=[f"{file}:2", "prompt"])


def test_agent_sessions_grow_and_think(server, tmp_path):
    done = bench(server, "--backend", "openai-chat", "--endpoint", "/v1/chat/completions", "--dataset-name", "agent",
                 "--num-prompts", "2", "--agent-turns", "3", "--agent-system-len", "32", "--agent-task-len", "8",
                 "--agent-result-len", "16", "--agent-output-len", "24", "--agent-think-time", "0.01",
                 "--max-concurrency", "2", "--save-detailed", "--result-dir", tmp_path, "--result-filename", "a.json")
    assert done.returncode == 0, done.stderr
    assert rows_of(done.stdout)["Successful requests:"] == "6"
    lens = json.loads((tmp_path / "a.json").read_text())["input_lens"]
    assert lens[0] < lens[1] < lens[2] and lens[3] < lens[4] < lens[5]


@pytest.mark.parametrize("words, code, says", [
    (["--port", "1", "--model", "tiny", "--num-prompts", "2"], 1, []),
    (["--port", "1"], 1, ["no --model", "Connection refused"]),
    (["--backend", "openai-chat"], 2, ["--endpoint", "/v1/chat/completions"]),
    (["--backend", "tgi"], 2, ["--backend takes one of"]),
    (["--num-prompts", "0"], 2, ["--num-prompts must be between"]),
    (["--request-rate", "-1"], 2, ["--request-rate"]),
    (["--dataset-name", "sonnet", "--dataset-path", "x", "--model", "tiny"], 2, ["sonnet is not offered", "agent"]),
    (["--dataset-name", "sharegpt", "--model", "tiny"], 2, ["needs --dataset-path"]),
    (["--lora-modules", "a"], 2, ["--lora-modules"]), (["--use-beam-search"], 2, ["--use-beam-search"]),
    (["--goodput", "ttft=3"], 2, ["--goodput", "ttft=3"]), (["--metadata", "x"], 2, ["--metadata", "KEY=VALUE"]),
    (["--percentile-metrics", "speed"], 2, ["speed"]), (["--ramp-up-strategy", "linear"], 2, ["--ramp-up-start-rps"]),
    (["--random-range-ratio", "1.5"], 2, ["--random-range-ratio"]), (["--base-url", "https://x"], 2, ["http://"]),
    (["--random", "3"], 2, ["ambiguous"]), (["--tokenizer", "/nonexistent", "--model", "tiny"], 1, ["/nonexistent"]),
    (["--skip-tokenizer-init", "--model", "tiny"], 2, ["needs a tokenizer"]),
])
def test_what_cannot_be_done_is_refused_by_name(words, code, says):
    if not says:
        done = run("bench", "serve", *words, *SMALL)
        assert done.returncode == code and "2 request(s) failed: cannot connect: Connection refused" in done.stderr
        assert rows_of(done.stdout)["Failed requests:"] == "2"
        return
    refused("bench", "serve", *words, code=code, says=says)


def test_an_error_of_the_server_is_counted_and_told(server):
    done = bench(server, "--model", "tiny", "--served-model-name", "other", "--num-prompts", "3", *SMALL)
    assert done.returncode == 1
    assert "3 request(s) failed: HTTP 404" in done.stderr and "other" in done.stderr
    assert rows_of(done.stdout)["Failed requests:"] == "3"


class Stalling(http.server.BaseHTTPRequestHandler):
    """Answers the first request, then one token a stream and silence."""
    protocol_version = "HTTP/1.1"
    served = 0

    def do_GET(self):
        self.send_error(404)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'data: {"choices": [{"text": "a"}]}\n\n')
        self.wfile.flush()
        type(self).served += 1
        if type(self).served > 1:
            time.sleep(20)
        self.wfile.write(b'data: {"choices": [{"text": "b"}]}\n\ndata: [DONE]\n\n')
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def stalling():
    Stalling.served = 0
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stalling)
    httpd.daemon_threads = True
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield str(httpd.server_address[1])
    httpd.shutdown()


def test_a_server_that_stalls_has_failed(stalling):
    done = run("bench", "serve", "--port", stalling, "--model", "tiny", "--num-prompts", "3", *SMALL, "--stall-timeout", "1",
               "--max-concurrency", "1")
    assert done.returncode == 1
    assert "2 request(s) failed: the server sent nothing for 1 s (--stall-timeout)" in done.stderr
    assert rows_of(done.stdout)["Successful requests:"] == "1"


def test_ctrl_c_prints_what_was_measured(stalling):
    process = subprocess.Popen([MINIMAX, "bench", "serve", "--port", stalling, "--model", "tiny", "--num-prompts", "3",
                                *SMALL, "--max-concurrency", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, env=environment())
    end = time.monotonic() + 30
    while Stalling.served < 2 and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130 and "interrupted" in err
    rows = rows_of(out)
    assert rows["Successful requests:"] == "1" and rows["Failed requests:"] == "0"


def test_every_benchmark_has_help_and_completion():
    words = run("bench", "--help").stdout
    script = run("completion", "bash").stdout
    for line in words.splitlines()[2:-2]:
        name = line.split()[0]
        help_text = run("bench", name, "--help").stdout
        assert help_text.startswith(f"minimax bench {name}")
        assert max(map(len, help_text.splitlines())) <= 100
        assert f"      {name}) words=" in script
    refused("bench", "sreve", code=2, says=["did you mean serve?"])


def test_a_sweep_writes_a_report_and_results_lie_over_each_other(server, tmp_path):
    done = run("bench", "sweep", "--base-url", server.url, "--concurrencies", "1", "4", "--num-prompts", "4", *SMALL,
               "--report", tmp_path / "a", "--name", "tiny & co", "--note", "a shared machine")
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    assert rows[0].startswith("| series | load | done |") and len(rows) == 4
    assert rows[2].startswith("| tiny & co | 1 | 4 | 0 |") and rows[3].startswith("| tiny & co | 4 | 4 | 0 |")
    results = json.loads((tmp_path / "a/results.json").read_text())
    assert [point["max_concurrency"] for point in results["points"]] == [1, 4]
    html = (tmp_path / "a/report.html").read_text()
    assert "tiny &amp; co" in html and "a shared machine" in html and html.count("<svg ") == 6
    for name in "throughput_tpot throughput_ttft ttft tpot itl timeline".split():
        assert (tmp_path / f"a/{name}.svg").read_text().startswith("<svg xmlns=")
    done = run("bench", "sweep", "--compare", tmp_path / "a/results.json", tmp_path / "a/results.json", "--report",
               tmp_path / "b")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 6
    refused("bench", "sweep", "--compare", tmp_path / "a/table.md", "--report", tmp_path / "c", code=1, says=["table.md"])
    done = run("bench", "sweep", "--base-url", server.url, "--rates", "50", "--num-prompts", "4", *SMALL, "--report",
               tmp_path / "d")
    assert done.returncode == 0 and "| tiny | 50 req/s | 4 | 0 |" in done.stdout


CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: the report is not opened in a browser (apt-get install chromium)")
def test_the_report_opens_in_a_browser_and_asks_for_nothing(server, tmp_path):
    done = run("bench", "sweep", "--base-url", server.url, "--concurrencies", "1", "2", "--num-prompts", "3", *SMALL,
               "--report", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    asked = []

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write((tmp_path / "a/report.html").read_bytes())

        def log_message(self, *_):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    page = f"http://127.0.0.1:{httpd.server_address[1]}/report.html"
    # Every other host is unknown to this browser, and every request is in its log of the network.
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-background-networking"]
    shown = subprocess.run([*words, "--dump-dom", page], capture_output=True, text=True, timeout=100)
    httpd.shutdown()
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("<svg ") == 6 and "Serving benchmark" in shown.stdout
    assert set(asked) == {"/report.html"}
    assert "Content Security Policy" not in shown.stderr


def test_throughput_and_latency_run_the_engine_alone(tmp_path):
    small = ["--kv-cache-memory-bytes", "64M", "--max-model-len", "256"]
    done = run("bench", "throughput", "tiny", "--input-len", "16", "--output-len", "8", "--num-prompts", "10", *small,
               "--output-json", tmp_path / "t.json")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"Throughput: [\d.]+ requests/s, [\d.]+ total tokens/s, [\d.]+ output tokens/s", lines[0])
    assert lines[2] == "Total num output tokens:  80"
    result = json.loads((tmp_path / "t.json").read_text())
    assert set(result) == {"elapsed_time", "num_requests", "total_num_tokens", "requests_per_second", "tokens_per_second"}
    done = run("bench", "latency", "--model", "tiny", "--input-len", "8", "--output-len", "4", "--batch-size", "2",
               "--num-iters", "3", "--num-iters-warmup", "1", *small, "--output-json", tmp_path / "l.json")
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["Avg latency"] + [
        f"{p}% percentile latency" for p in (10, 25, 50, 75, 90, 99)]
    assert len(json.loads((tmp_path / "l.json").read_text())["latencies"]) == 3
    refused("bench", "throughput", "tiny", "--input-len", "300", "--num-prompts", "1", *small, code=1, says=["256"])
    refused("bench", "latency", code=2, says=["which model?"])


def test_the_front_end_is_measured_without_a_model(tmp_path):
    done = run("bench", "frontend", "--streams", "1", "20", "--requests", "40", "--output-json", tmp_path / "f.json")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "f.json").read_text().splitlines()]
    assert [(r["streams"], r["requests"], r["failed"]) for r in records] == [(1, 40, 0), (20, 40, 0)]
    assert all(abs(r["tokens"] - 40 * 128) <= 20 for r in records)
    refused("bench", "frontend", "--streams", "0", code=2, says=["--streams"])
    refused("bench", "frontend", "--answer-tokens", "1", code=2, says=["--answer-tokens", "at least", "found 1"])
