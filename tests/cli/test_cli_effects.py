"""Each flag of `serve` that claims to do something does it, seen from outside."""

import json
import re
import socket
import subprocess
import threading
import time

import httpx
import pytest

from cli_tools import MINIMAX, PARSERS, QUESTION, TINY, TOOLS, Server, environment, refused, run
from test_cli_serve import Stream, free_port

WEATHER = json.loads(TOOLS.read_text())


def text_of(reply):
    assert reply.status_code == 200, reply.text
    return reply.json()["choices"][0]["text"]


def test_served_model_names():
    with Server("tiny", "--served-model-name", "first", "second") as server:
        assert [model["id"] for model in server.http.get("/v1/models").json()["data"]] == ["first", "second"]
        assert server.chat(model="second", max_tokens=1).json()["model"] == "first"
        assert server.chat(model="tiny", max_tokens=1).status_code == 404


def test_max_model_len():
    with Server("tiny", "--max-model-len", "64") as server:
        assert server.http.get("/v1/models").json()["data"][0]["max_model_len"] == 64
        refusal = server.complete("word " * 100, max_tokens=1)
        assert refusal.status_code == 400 and "64" in refusal.text
        assert server.complete([5] * 60, ignore_eos=True, max_tokens=4).json()["usage"]["total_tokens"] == 64


def test_max_model_len_minus_one_takes_what_fits():
    with Server("tiny", "--max-model-len", "-1", "--kv-cache-memory-bytes", "1M") as server:
        assert server.http.get("/v1/models").json()["data"][0]["max_model_len"] == 128
        assert "KV cache 0.001 GB = 128 tokens" in server.log()


@pytest.mark.parametrize("words", [["--load-format", "safetensors"], ["--dtype", "bfloat16"], ["--quantization", "fp8"],
                                   ["--kv-cache-dtype", "bfloat16"], ["--logprobs-mode", "raw_logprobs"]])
def test_flags_that_only_say_what_is_so(words):
    with Server("tiny", *words) as server:
        assert server.complete(max_tokens=1).status_code == 200


@pytest.mark.parametrize("kind, backend", [("fp8", "cpu"), ("fp8_e4m3", "cpu"), ("fp8", "ref")])
def test_an_fp8_cache_holds_codes_and_scales_and_draws_what_it_would_alone(kind, backend):
    with Server("tiny", "--kv-cache-dtype", kind, "--kv-cache-memory-bytes", "64M", "--backend", backend) as server:
        # 4 layers, K and V of 4 heads of 128 codes and a scale of 4 bytes; blocks of 16 tokens.
        tokens = 64 * 2**20 // (4 * 2 * 4 * 132 * 16) * 16
        assert f"= {tokens} tokens of 4224 bytes (fp8) in blocks of 16" in server.log() and "tokens in fp8" in server.log()
        assert f'cache_dtype="fp8",num_gpu_blocks="{tokens // 16}",kv_cache_size_tokens="{tokens}"' in server.http.get("/metrics").text
        prompt = "Count from one to nine: one, two, three, four, five, six, seven"
        once, again = (server.complete(prompt, max_tokens=12, temperature=0).json()["choices"][0]["text"] for _ in range(2))
        assert once == again != ""  # the second one reads blocks of the first


@pytest.mark.parametrize("kind", ["fp8_e5m2", "fp8_inc", "fp8_ds_mla"])
def test_other_fp8_caches_are_refused_by_name(kind):
    refused("serve", "tiny", "--kv-cache-dtype", kind, code=2, says=["--kv-cache-dtype", kind, "fp8_e4m3", "bfloat16"])


@pytest.mark.parametrize("words, says", [
    (["--tensor-parallel-size", "2"], "rank 1 of 2: query heads 4-7, KV heads 2-3, experts 0-7, columns 256-511 of each, ids 1024-2047; weights 8.96 MB"),
    (["--tensor-parallel-size", "2", "--enable-expert-parallel"], "KV heads 2-3, experts 4-7, columns 0-511 of each"),
    (["--data-parallel-size", "2", "--kv-cache-memory-bytes", "64M"], "2 replicas, each with 4096 tokens of KV cache"),
    (["-dp", "2", "--enable-expert-parallel"], "rank 1 of 2: replica 1, query heads 0-7, KV heads 0-3, experts 4-7, columns 0-511 of each"),
    (["-dp", "2", "-tp", "2", "-ep"], "rank 3 of 4: replica 1, query heads 4-7, KV heads 2-3, experts 6-7, columns 0-511 of each")])
def test_layouts_are_printed_and_answer(words, says):
    with Server("tiny", *words) as server:
        assert server.complete(max_tokens=1).status_code == 200
        assert says in server.log()


@pytest.mark.parametrize("words, says", [
    (["-tp", "3"], ["3 does not divide num_attention_heads, which is 8", "size 2, or 4"]),
    (["-tp", "16"], ["16 does not divide", "size 8"]),
    (["-dp", "16", "-ep"], ["16 is more than num_local_experts, which is 8", "data parallel size 8"]),
    (["-dp", "4", "-tp", "4", "-ep"], ["16 is more than num_local_experts, which is 8", "tensor parallel size 2"]),
    (["-dp", "2", "-ep", "--backend", "ref"], ["--enable-expert-parallel", "all experts"]),
    (["-tp", "4", "--backend", "ref"], ["--tensor-parallel-size 4", "one rank"])])
def test_layouts_that_cannot_be_had_name_those_that_can(words, says):
    done = run("serve", "tiny", *words)
    assert done.returncode in (1, 2) and all(part in done.stderr for part in says), done.stderr


@pytest.mark.parametrize("words", [["--gpu-memory-utilization", "0.5"], ["--enforce-eager"]])
def test_flags_of_gpus_say_on_a_cpu_that_there_is_nothing_to_do(words):
    with Server("tiny", *words) as server:
        assert server.complete(max_tokens=1).status_code == 200
        assert f"{words[0]}: " in server.log()


@pytest.mark.parametrize("words", [["--devices", "0", "1"], ["--rank-proxy", "0"], ["--load-format", "dummy"]])
def test_flags_of_gpus_without_a_meaning_on_a_cpu_are_refused(words):
    refused("serve", "tiny", *words, code=2, says=[words[0], "--backend cuda"])


def test_quantization_must_be_that_of_the_checkpoint(tmp_path):
    assert run("synth", tmp_path / "m", "--preset", "small", "--vocab", "2048", "--weights", "bf16", "--tokenizer",
               TINY / "tokenizer.json").returncode == 0
    refused("serve", tmp_path / "m", "--quantization", "fp8", code=2, says=["--quantization fp8", tmp_path / "m"])


def test_cross_origin_flags():
    with Server("tiny", "--allowed-origins", '["https://a.example"]', "--allowed-methods", '["GET"]',
                "--allowed-headers", '["x-one"]', "--allow-credentials") as server:
        asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
        reply = server.http.options("/v1/models", headers=asked)
        assert reply.headers["access-control-allow-origin"] == "https://a.example"
        assert reply.headers["access-control-allow-credentials"] == "true"
        assert "GET" in reply.headers["access-control-allow-methods"]
        assert "POST" not in reply.headers["access-control-allow-methods"]
        assert "x-one" in reply.headers["access-control-allow-headers"].lower()
        other = server.http.get("/v1/models", headers={"Origin": "https://b.example"})
        assert "access-control-allow-origin" not in other.headers


def test_max_request_bytes():
    with Server("tiny", "--max-request-bytes", "2048") as server:
        assert server.complete("a" * 1000, max_tokens=1).status_code == 200
        refusal = server.complete("a" * 3000, max_tokens=1)
        assert refusal.status_code == 413 and "2048" in refusal.text


def test_max_held_request_bytes():
    with Server("tiny", "--max-request-bytes", "4K", "--max-held-request-bytes", "5K") as server:
        host, port = server.url[7:].split(":")
        with socket.create_connection((host, int(port)), timeout=10) as slow:
            slow.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n" + b" " * 3500)
            end = time.monotonic() + 10
            while (refusal := server.complete("a" * 2500, max_tokens=1)).status_code != 503 and time.monotonic() < end:
                pass
            assert refusal.status_code == 503 and "--max-held-request-bytes" in refusal.text and refusal.headers["retry-after"]


def test_request_timeout():
    with Server("tiny", "--request-timeout", "1") as server:
        host, port = server.url[7:].split(":")
        with socket.create_connection((host, int(port)), timeout=10) as slow:
            slow.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            started = time.monotonic()
            while slow.recv(4096):
                pass
            assert 0.5 < time.monotonic() - started < 5


def test_without_parsers_the_text_is_left_alone():
    with Server("tiny") as server:
        message = server.chat(max_tokens=200).json()["choices"][0]["message"]
        assert "</think>" in message["content"] and not message.get("reasoning")


def test_parsers_part_thinking_content_and_calls():
    with Server("tiny", "--tool-call-parser", "minimax_m2", "--reasoning-parser", "minimax_m2",
                "--enable-auto-tool-choice") as server:
        choice = server.chat(tools=WEATHER).json()["choices"][0]
        call = choice["message"]["tool_calls"][0]["function"]
        assert choice["finish_reason"] == "tool_calls" and choice["message"]["reasoning"]
        assert call["name"] == "get_weather" and json.loads(call["arguments"]) == {"city": "Paris"}


def test_append_think():
    with Server("tiny", "--reasoning-parser", "minimax_m2_append_think") as server:
        message = server.chat(max_tokens=200).json()["choices"][0]["message"]
        assert message["content"].startswith("<think>") and "</think>" in message["content"]


def test_without_auto_tool_choice_tools_are_refused_or_not_called():
    with Server("tiny", "--reasoning-parser", "minimax_m2") as server:
        reply = server.chat(tools=WEATHER, tool_choice="auto")
        assert reply.status_code == 400 and "--enable-auto-tool-choice" in reply.text, reply.text


def test_exclude_tools_when_tool_choice_none():
    tokens = {}
    for words in ([], ["--exclude-tools-when-tool-choice-none"]):
        with Server("tiny", *PARSERS, *words) as server:
            reply = server.chat(tools=WEATHER, tool_choice="none", max_tokens=1)
            tokens[len(words)] = reply.json()["usage"]["prompt_tokens"]
    assert tokens[1] < tokens[0] - 20


def test_default_chat_template_kwargs():
    with Server("tiny", "--default-chat-template-kwargs", '{"model_identity": "You are a parrot of many words."}') as server:
        def tokens(**fields):
            return server.http.post("/tokenize", json={"messages": QUESTION, **fields}).json()["count"]
        own = tokens(chat_template_kwargs={"model_identity": "P"})
        assert tokens() > own


def test_chat_template(tmp_path):
    file = tmp_path / "own.jinja"
    file.write_text("{% for m in messages %}]~b]{{ m.role }}\n{{ m.content }}{{ eos_token }}{% endfor %}{{ style }}")
    parts = [{"role": "user", "content": [{"type": "text", "text": "a ]~b]"}, {"type": "text", "text": "b"}]}]

    def prompt(*words, **fields):
        with Server("tiny", "--chat-template", str(file), *words) as server:
            ids = server.http.post("/tokenize", json={"messages": parts, **fields}).json()["tokens"]
            return ids, server.http.post("/detokenize", json={"tokens": ids}).json()["prompt"]

    ids, text = prompt("--chat-template-content-format", "string", chat_template_kwargs={"style": "[e~["})
    assert text == "]~b]user\na ]~b]\nb[e~[[e~["
    markers = {"]~b]": 2019, "[e~[": 2020}
    assert ids.count(markers["]~b]"]) == 1  # the user's own is text
    assert ids.count(markers["[e~["]) <= 1  # and so is the keyword's
    assert prompt("--chat-template-content-format", "openai")[1].startswith("]~b]user\n[{'type': 'text', 'text': 'a ]~b]'}")
    file.write_text("one\n{% include 'x' %}")
    refused("serve", "tiny", "--chat-template", str(file), code=1, says=[f"{file} line 2", "'include'"])
    refused("serve", "tiny", "--chat-template", "no/such/file", code=1, says=["--chat-template", "no/such/file"])


PROMPT = "One two three"


def random_text(server, seed):
    return text_of(server.complete(PROMPT, seed=seed, max_tokens=12, ignore_eos=True))


def test_sampling_defaults_of_the_generation_config(tmp_path):
    (tmp_path / "generation_config.json").write_text('{"temperature": 0.0, "eos_token_id": 2020}')
    with Server("tiny", "--generation-config", tmp_path) as server:  # temperature 0: seeds do not matter
        assert len({random_text(server, seed) for seed in range(6)}) == 1
    with Server("tiny", "--override-generation-config", '{"top_k": 1}') as server:
        greedy = {random_text(server, seed) for seed in range(6)}
        assert len(greedy) == 1
    with Server("tiny", "--generation-config", "vllm") as server:  # temperature 1, nothing cut
        free = [text_of(server.complete(PROMPT, seed=seed, max_tokens=12, ignore_eos=True)) for seed in range(6)]
        assert len(set(free)) > 1
        own = [text_of(server.complete(PROMPT, seed=seed, max_tokens=12, ignore_eos=True, top_k=40, top_p=0.95))
               for seed in range(6)]
    with Server("tiny") as server:  # the model's own: top_k 40, top_p 0.95
        assert [random_text(server, seed) for seed in range(6)] == own


def test_override_generation_config_limits_the_answer():
    with Server("tiny", "--override-generation-config.max_new_tokens", "3") as server:
        assert server.complete(max_tokens=50, ignore_eos=True).json()["usage"]["completion_tokens"] == 3
        assert server.complete(ignore_eos=True).json()["usage"]["completion_tokens"] == 3


def test_seed_repeats_a_series_of_requests():
    def series(*words):
        with Server("tiny", *words) as server:
            return [text_of(server.complete(PROMPT, temperature=1.5, max_tokens=12, ignore_eos=True)) for _ in range(3)]
    first = series("--seed", "5")
    assert first == series("--seed", "5") and len(set(first)) > 1
    assert first != series("--seed", "6")


def test_max_logprobs():
    with Server("tiny", "--max-logprobs", "2") as server:
        assert server.chat(logprobs=True, top_logprobs=2, max_tokens=1).status_code == 200
        refusal = server.chat(logprobs=True, top_logprobs=3, max_tokens=1)
        assert refusal.status_code == 400 and "2" in refusal.text


def test_response_store_bytes_and_seconds():
    def kept(*flags, after=0.0):
        with Server("tiny", *flags) as server:
            answer = server.http.post("/v1/responses", json={"input": "Hi", "max_output_tokens": 1}).json()
            time.sleep(after)
            return server.http.get("/v1/responses/" + answer["id"]).status_code
    assert kept() == 200
    assert kept("--response-store-bytes", "0") == kept("--response-store-bytes", "100") == 404
    assert kept("--response-store-seconds", "1", after=1.2) == 404


def test_disable_fastapi_docs():
    for flags, status in ([], 200), (["--disable-fastapi-docs"], 404):
        with Server("tiny", *flags) as server:
            assert server.http.get("/openapi.json").status_code == status


def test_max_num_seqs_and_max_waiting_requests():
    with Server("tiny", "--max-num-seqs", "1", "--max-waiting-requests", "1") as server:
        assert "1 sequences at once" in server.log()
        running = Stream(server, tokens=2000)
        replies = []
        waiting = threading.Thread(target=lambda: replies.append(server.complete(max_tokens=1)))
        waiting.start()
        server.until(lambda: server.metric("vllm:num_requests_waiting") == 1)
        assert server.metric("vllm:num_requests_running") == 1
        refusal = server.complete(max_tokens=1)
        assert refusal.status_code == 429 and "--max-waiting-requests" in refusal.text, refusal.text
        assert running.end()[-1] == "data: [DONE]"
        waiting.join(30)
        assert replies[0].status_code == 200


def test_max_num_batched_tokens():
    answers = set()
    for words in ([], ["--max-num-batched-tokens", "7"]):
        with Server("tiny", *words) as server:
            answers.add(text_of(server.complete("word " * 50, temperature=0, max_tokens=10, ignore_eos=True)))
            assert ("7 rows a step" in server.log()) == bool(words)
            server.until(lambda: server.metric("vllm:iteration_tokens_total_count") >= 10)
            largest = re.findall(r'vllm:iteration_tokens_total_bucket\{[^}]*le="8(?:\.0)?"[^}]*\} (\S+)',
                                 server.http.get("/metrics").text)
            steps = server.metric("vllm:iteration_tokens_total_count")
            assert (float(largest[0]) == steps) == bool(words)
    assert len(answers) == 1


def test_scheduling_policy():
    with Server("tiny") as server:
        refusal = server.complete(max_tokens=1, priority=3)
        assert refusal.status_code == 400 and "--scheduling-policy" in refusal.text
    with Server("tiny", "--scheduling-policy", "priority", "--max-num-seqs", "1") as server:
        running, order = Stream(server, tokens=1500), []

        def ask(priority):
            # So long that the end of one is seen well before the end of the next.
            assert server.complete(max_tokens=200, ignore_eos=True, priority=priority).status_code == 200
            order.append(priority)
        threads = []
        for number, priority in enumerate([5, -5]):
            threads.append(threading.Thread(target=ask, args=(priority,)))
            threads[-1].start()
            server.until(lambda: server.metric("vllm:num_requests_waiting") == number + 1)
        running.end()
        for thread in threads:
            thread.join(30)
        assert order == [-5, 5]


def cached(server):
    for _ in range(2):
        usage = server.complete([7] * 100, max_tokens=1).json()["usage"]
    return (usage.get("prompt_tokens_details") or {}).get("cached_tokens")


@pytest.mark.parametrize("words, tokens", [
    (["--enable-prompt-tokens-details"], 96), (["--enable-prompt-tokens-details", "--enable-prefix-caching"], 96),
    (["--enable-prompt-tokens-details", "--block-size", "64"], 64),
    (["--enable-prompt-tokens-details", "--no-enable-prefix-caching"], 0), ([], None),
])
def test_prefix_caching_block_size_and_prompt_tokens_details(words, tokens):
    with Server("tiny", *words) as server:
        found = cached(server)
        assert found == tokens or (tokens == 0 and not found)


def test_kv_cache_memory_bytes():
    with Server("tiny", "--kv-cache-memory-bytes", "64M") as server:
        assert "KV cache 0.067 GB = 8192 tokens" in server.log()


@pytest.mark.parametrize("words, says", [
    (["--backend", "ref"], "back-end: ref"), (["--threads", "1"], "threads: 1"),
    (["--cpu-isa", "scalar"], "instruction set: scalar"), (["--linear-precision", "bf16"], "arithmetic: bf16"),
    (["--linear-precision", "w8a8"], "arithmetic: w8a8"),
])
def test_back_end_flags(words, says):
    with Server("tiny", *words) as server:
        assert says in server.log()
        assert server.complete(max_tokens=2, ignore_eos=True).status_code == 200


def test_log_requests():
    with Server("tiny", "--enable-log-requests") as server:
        request = server.complete("secret words", max_tokens=2).json()
        line = server.wait_for(rf".*{re.escape(request['id'])}.*")[0]
        assert "secret" not in line
    with Server("tiny") as server:
        request = server.complete(max_tokens=2).json()
        server.stop()
        assert request["id"] not in server.log()


def test_log_stats_come_every_ten_seconds_unless_disabled():
    with Server("tiny") as loud, Server("tiny", "--disable-log-stats") as quiet:
        assert loud.complete(max_tokens=2).status_code == quiet.complete(max_tokens=2).status_code == 200
        loud.wait_for(r"prompt \S+ tok/s, generation \S+ tok/s, running 0", seconds=15)
        assert "tok/s" not in quiet.log()


def test_force_include_usage():
    for words in ([], ["--enable-force-include-usage"]):
        with Server("tiny", *words) as server:
            chunks = [json.loads(line[6:]) for line in Stream(server, tokens=4).end() if line != "data: [DONE]"]
            assert any(chunk.get("usage") for chunk in chunks) == bool(words)


def test_log_level():
    port = free_port()
    process = subprocess.Popen([MINIMAX, "serve", "tiny", "--port", str(port), "--uvicorn-log-level", "error"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())
    try:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
                break
            except httpx.ConnectError:
                time.sleep(0.02)
    finally:
        process.terminate()
    assert process.communicate(timeout=20)[0] == "" and process.returncode == 0
