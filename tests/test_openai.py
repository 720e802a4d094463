"""The official OpenAI client against `minimax serve tiny`."""
import concurrent.futures
import json
import re
import subprocess

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from minimax_server import PARSERS, ROOT, Server, eventually

WEATHER = json.loads((ROOT / "examples/weather/tools.json").read_text())
QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]


def ask(client, **more):
    return client.chat.completions.create(**{"model": "tiny", "messages": QUESTION, "temperature": 0, **more})


def test_a_tool_is_called_and_its_result_answered(client):
    first = ask(client, tools=WEATHER).choices[0]
    assert first.finish_reason == "tool_calls"
    call = first.message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    assert re.fullmatch(r"call_[0-9a-f]{24}", call.id)
    assert first.message.reasoning
    messages = QUESTION + [first.message.model_dump(exclude_none=True),
                           {"role": "tool", "tool_call_id": call.id, "content": '{"temperature": 21, "condition": "sunny"}'}]
    second = ask(client, messages=messages, tools=WEATHER).choices[0]
    assert second.finish_reason == "stop"
    assert "21" in second.message.content and "Paris" in second.message.content


def test_a_stream_adds_up_to_the_whole(client):
    whole = ask(client, tools=WEATHER).choices[0].message

    def pieces():
        reasoning, content, arguments, name, finish, count = "", "", "", "", None, 0
        for chunk in ask(client, tools=WEATHER, stream=True):
            delta = chunk.choices[0].delta
            reasoning += getattr(delta, "reasoning", None) or ""
            content += delta.content or ""
            for call in delta.tool_calls or []:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
                count += 1
            finish = chunk.choices[0].finish_reason or finish
        assert finish == "tool_calls"
        assert (reasoning, content or None, name, arguments) == (
            whole.reasoning, whole.content, whole.tool_calls[0].function.name, whole.tool_calls[0].function.arguments)
        return count
    # Tokens that wait together for a busy machine go out as one piece.
    assert any(pieces() > 3 for _ in range(20)), "arguments stream as they are written"


def test_usage_counts_and_the_cache_is_told(client):
    ask(client, tools=WEATHER)
    usage = ask(client, tools=WEATHER).usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens >= usage.prompt_tokens - 16
    chunks = list(ask(client, tools=WEATHER, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.prompt_tokens == usage.prompt_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_seeded_samples_repeat_and_differ_among_themselves(client):
    def texts(seed):
        reply = client.completions.create(model="tiny", prompt="The weather", n=3, max_tokens=24, temperature=1.0, seed=seed,
                                          extra_body={"ignore_eos": True})
        return [choice.text for choice in reply.choices]
    assert texts(5) == texts(5)
    assert texts(5) != texts(6)
    assert len(set(texts(5))) > 1


def test_the_same_tokens_whatever_the_batch_mates(client):
    def one(seed):
        return client.completions.create(model="tiny", prompt="Hello there", max_tokens=32, temperature=1.0, seed=seed, logprobs=2,
                                         extra_body={"ignore_eos": True}).choices[0]
    alone = [one(seed) for seed in range(6)]
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        crowd = list(pool.map(one, [seed for _ in range(6) for seed in range(6)]))
    for idx, choice in enumerate(crowd):
        assert choice.text == alone[idx % 6].text
        assert choice.logprobs.token_logprobs == alone[idx % 6].logprobs.token_logprobs


def test_logprobs(client):
    choice = ask(client, logprobs=True, top_logprobs=3, max_tokens=5).choices[0]
    assert len(choice.logprobs.content) == 5
    for token in choice.logprobs.content:
        assert len(token.top_logprobs) == 3
        assert token.logprob == pytest.approx(token.top_logprobs[0].logprob), "greedy takes the likeliest"
        assert bytes(token.bytes).decode("utf-8", "replace") == token.token or token.token.startswith("token_id:")


def test_stop_strings_cut_and_length_ends(client):
    free = client.completions.create(model="tiny", prompt="abc", max_tokens=30, temperature=0, extra_body={"ignore_eos": True}).choices[0]
    assert free.finish_reason == "length"
    stop = free.text[8:11]
    cut = client.completions.create(model="tiny", prompt="abc", max_tokens=30, temperature=0, stop=[stop],
                                    extra_body={"ignore_eos": True}).choices[0]
    assert cut.finish_reason == "stop"
    assert cut.text == free.text[:free.text.index(stop)]


@pytest.mark.parametrize("change, status, word", [
    ({"model": "nobody"}, 404, "nobody"),
    ({"messages": []}, 400, "messages"),
    ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "a"}]}, 400, "tool"),
    ({"temperature": -1}, 400, "temperature"),
    ({"max_tokens": 100000}, 400, "max_tokens"),
    ({"top_logprobs": 2}, 400, "top_logprobs"),
    ({"n": 0}, 400, "n"),
    ({"stream_options": {"include_usage": True}}, 400, "stream_options"),
    ({"tool_choice": "always", "tools": WEATHER}, 400, "tool_choice"),
    ({"response_format": {"type": "json"}}, 400, "response_format"),
    ({"messages": [{"role": "user", "content": "x " * 20000}]}, 400, "4096"),
])
def test_errors_have_a_status_and_a_sentence(client, change, status, word):
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, **change)
    assert caught.value.status_code == status
    assert word in json.dumps(caught.value.body)


def test_a_client_that_goes_away_leaves_nothing_behind(client, server):
    stream = ask(client, stream=True, max_tokens=2000, extra_body={"ignore_eos": True})
    next(iter(stream))
    stream.close()

    def running():
        families = text_string_to_metric_families(httpx.get(server.url + "/metrics").text)
        values = {family.name: family.samples[0].value for family in families if family.samples}
        return values["vllm:num_requests_running"] + values["vllm:num_requests_waiting"]
    assert eventually(lambda: running() == 0)


def test_health_models_version_tokenize(client, server):
    assert httpx.get(server.url + "/health").status_code == 200
    assert httpx.get(server.url + "/ping").status_code == 200
    assert "version" in httpx.get(server.url + "/version").json()
    model = client.models.list().data[0]
    assert model.id == "tiny" and model.max_model_len == 4096
    ids = httpx.post(server.url + "/tokenize", json={"model": "tiny", "prompt": "Hello 世界"}).json()["tokens"]
    assert httpx.post(server.url + "/detokenize", json={"model": "tiny", "tokens": ids}).json()["prompt"] == "Hello 世界"


def test_garbage_is_refused_and_the_server_goes_on(server):
    for body in [b"", b"{", b"[]", b"null", b'{"messages": 3}', b"\xff\xfe", b"[" * 100000]:
        assert httpx.post(server.url + "/v1/chat/completions", content=body).status_code == 400
    assert httpx.get(server.url + "/v1/nothing").status_code == 404
    assert httpx.get(server.url + "/v1/chat/completions").status_code == 405
    assert httpx.get(server.url + "/health").status_code == 200


def test_what_was_said_in_a_turn_of_calls_is_not_computed_again(client):
    question = [{"role": "user", "content": "What is the weather in Lisbon?"}]
    first = ask(client, messages=question, tools=WEATHER)
    message = first.choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": '{"temperature": 8, "condition": "rainy"}'}
    usage = ask(client, messages=[*question, message.model_dump(exclude_none=True), result], tools=WEATHER).usage
    assert usage.prompt_tokens > first.usage.total_tokens
    assert usage.prompt_tokens_details.cached_tokens > first.usage.total_tokens - 18, "all but a block not yet full"


def test_append_think_keeps_the_tags():
    server = Server("--reasoning-parser", "minimax_m2_append_think", "--tool-call-parser", "minimax_m2", "--enable-auto-tool-choice")
    try:
        message = ask(server.client(), messages=[{"role": "user", "content": "Hello!"}]).choices[0].message
        assert message.content.startswith("<think>") and "</think>" in message.content
        assert getattr(message, "reasoning", None) is None
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in
                           ask(server.client(), messages=[{"role": "user", "content": "Hello!"}], stream=True))
        assert streamed == message.content
    finally:
        assert server.stop() == 0


def test_keys_are_asked_for():
    server = Server(*PARSERS, "--api-key", "right")
    try:
        with pytest.raises(openai.AuthenticationError):
            server.client("wrong").models.list()
        assert server.client("right").models.list().data
        assert httpx.get(server.url + "/health").status_code == 200
    finally:
        assert server.stop() == 0


def test_sigterm_lets_an_open_stream_end():
    server = Server(*PARSERS)
    stream = server.client().completions.create(model="tiny", prompt="a", max_tokens=300, stream=True, extra_body={"ignore_eos": True})
    next(iter(stream))
    server.process.terminate()
    assert [chunk.choices[0].finish_reason for chunk in stream][-1] == "length"
    assert server.process.wait(timeout=40) == 0


def test_the_readme_s_curl(server):
    readme = (ROOT / "README.md").read_text()
    command = re.search(r"```\n(curl .*?)```", readme, re.S).group(1).replace("http://127.0.0.1:8000", server.url)
    out = subprocess.run(["bash", "-c", command.replace("curl ", "curl -sN ", 1)], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "tool_calls" in out and out.rstrip().endswith("data: [DONE]")
