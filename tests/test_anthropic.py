"""The official Anthropic client against `minimax serve tiny`."""
import json
import re

import anthropic
import httpx
import pytest

from minimax_server import PARSERS, ROOT, Server

WEATHER = [{"name": tool["function"]["name"], "description": tool["function"]["description"],
            "input_schema": tool["function"]["parameters"]}
           for tool in json.loads((ROOT / "examples/weather/tools.json").read_text())]
QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]


@pytest.fixture(scope="module")
def claude(server):
    return anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=60)


GREEDY = {"temperature": 0}  # beside the client's own parameters: newer ones know no temperature


def ask(claude, **more):
    return claude.messages.create(**{"model": "tiny", "max_tokens": 400, "messages": QUESTION, "extra_body": GREEDY, **more})


def test_a_tool_is_called_and_its_result_answered(claude):
    first = ask(claude, tools=WEATHER)
    assert first.stop_reason == "tool_use" and first.role == "assistant" and first.type == "message"
    assert [block.type for block in first.content] == ["thinking", "tool_use"]
    call = first.content[-1]
    assert (call.name, call.input) == ("get_weather", {"city": "Paris"})
    assert re.fullmatch(r"toolu_[0-9a-f]{24}", call.id)
    assert first.content[0].thinking and first.content[0].signature
    result = {"type": "tool_result", "tool_use_id": call.id, "content": '{"temperature": 21, "condition": "sunny"}'}
    second = ask(claude, tools=WEATHER,
                 messages=[*QUESTION, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}])
    assert second.stop_reason == "end_turn"
    assert "21" in second.content[-1].text and "Paris" in second.content[-1].text


def test_a_stream_says_the_same_as_the_whole(claude):
    whole = ask(claude, tools=WEATHER)
    with claude.messages.stream(model="tiny", max_tokens=400, messages=QUESTION, tools=WEATHER, extra_body=GREEDY) as stream:
        kinds = [event.type for event in stream if not event.type.startswith("input_json") and event.type not in ("text", "thinking", "signature")]
        final = stream.get_final_message()
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == len(whole.content)

    def told(message):
        return [block.model_dump(exclude={"id"}) for block in message.content]
    assert [{k: v for k, v in block.items() if v is not None} for block in told(final)] == [
        {k: v for k, v in block.items() if v is not None} for block in told(whole)]
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_the_raw_stream_has_every_event_in_order(server):
    body = {"model": "tiny", "max_tokens": 400, "messages": QUESTION, "temperature": 0, "tools": WEATHER, "stream": True}
    lines = httpx.post(server.url + "/v1/messages?beta=true", json=body, timeout=60).text.split("\n\n")
    events = [dict(line.split(": ", 1) for line in part.split("\n")) for part in lines if part]
    assert all(json.loads(event["data"])["type"] == event["event"] for event in events)
    text = " ".join(event["event"] for event in events)
    assert re.fullmatch(r"message_start ping (content_block_start( content_block_delta)+ content_block_stop )+message_delta message_stop", text)
    assert "signature_delta" in "".join(event["data"] for event in events)


def test_usage_tells_what_the_cache_gave(claude):
    ask(claude, tools=WEATHER)
    usage = ask(claude, tools=WEATHER).usage
    counted = claude.messages.count_tokens(model="tiny", messages=QUESTION, tools=WEATHER).input_tokens
    assert usage.cache_read_input_tokens > 0
    assert usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens == counted
    assert 0 < usage.output_tokens_details.thinking_tokens < usage.output_tokens


def test_ends_have_their_names(claude):
    assert ask(claude, max_tokens=3).stop_reason == "max_tokens"
    full = ask(claude, tools=WEATHER).content[0].thinking
    word = full.split()[2]
    cut = ask(claude, tools=WEATHER, stop_sequences=[word])
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", word)
    assert cut.content[0].thinking == full[:full.index(word)].rstrip()
    # More than the context has room for is an upper bound, not a fault.
    assert ask(claude, max_tokens=100000).stop_reason == "end_turn"


def test_an_answer_goes_on_where_the_last_message_ends(claude):
    started = [*QUESTION, {"role": "assistant", "content": "It is"}]
    answer = ask(claude, messages=started, max_tokens=8)
    assert all(block.type == "text" for block in answer.content), "nothing is thought in the middle of an answer"
    assert claude.messages.count_tokens(model="tiny", messages=started).input_tokens == \
        answer.usage.input_tokens + answer.usage.cache_read_input_tokens


def test_hidden_thinking_is_hidden_and_not_missing(claude):
    shown, hidden = ask(claude), ask(claude, thinking={"type": "disabled"})
    assert [block.text for block in hidden.content] == [block.text for block in shown.content if block.type == "text"]
    assert hidden.usage.output_tokens == shown.usage.output_tokens


@pytest.mark.parametrize("change, error, word", [
    ({"model": "nobody"}, anthropic.NotFoundError, "nobody"),
    ({"messages": []}, anthropic.BadRequestError, "messages"),
    ({"max_tokens": 0}, anthropic.BadRequestError, "max_tokens"),
    ({"extra_body": {"temperature": -1}}, anthropic.BadRequestError, "temperature"),
    ({"stop_sequences": [""]}, anthropic.BadRequestError, "stop_sequences"),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "x"}}]}]},
     anthropic.BadRequestError, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": "x " * 20000}]}, anthropic.BadRequestError, "4096"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, anthropic.BadRequestError, "tools[0].type"),
])
def test_errors_have_anthropic_s_shape(claude, change, error, word):
    with pytest.raises(error) as caught:
        ask(claude, **change)
    body = caught.value.body
    assert body["type"] == "error" and body["error"]["type"] in ("invalid_request_error", "not_found_error")
    assert word in body["error"]["message"]
    assert caught.value.request_id == body["request_id"]


def test_keys_come_as_x_api_key():
    server = Server(*PARSERS, "--api-key", "right")
    try:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            ask(anthropic.Anthropic(base_url=server.url, api_key="wrong", max_retries=0))
        assert caught.value.body["error"]["type"] == "authentication_error"
        assert ask(anthropic.Anthropic(base_url=server.url, api_key="right"), max_tokens=1).stop_reason == "max_tokens"
        assert httpx.get(server.url + "/v1/messages", headers={"x-api-key": "right"}).json()["type"] == "error"
    finally:
        assert server.stop() == 0


def test_threads_are_refused_in_the_words_that_the_client_falls_back_on(server):
    reply = httpx.post(server.url + "/v1/messages", json={"model": "tiny", "max_tokens": 5, "thread": {"type": "create"},
                                                         "messages": [{"role": "user", "content": "hi"}]})
    assert reply.status_code == 400
    assert reply.json()["error"]["details"]["error_code"] == "thread_unsupported_request"


def test_the_client_s_own_tool_runner_runs(claude):
    asked = []

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """Current weather of a city.

        Args:
            city: Name of the city.
        """
        asked.append(city)
        return '{"temperature": 21, "condition": "sunny"}'

    runner = claude.beta.messages.tool_runner(model="tiny", max_tokens=300, tools=[get_weather], extra_body={"temperature": 0},
                                              messages=[{"role": "user", "content": "What is the weather in Paris?"}])
    last = runner.until_done()
    assert asked == ["Paris"]
    text = "".join(block.text for block in last.content if block.type == "text")
    assert "21" in text and "Paris" in text


def test_results_are_told_apart_by_their_ids(server):
    def count(*names):
        uses = [{"type": "tool_use", "id": one, "name": "get_weather", "input": {"city": one}} for one in ("p", "r")]
        results = [{"type": "tool_result", "tool_use_id": one, "content": f"weather of {one}"} for one in names]
        body = {"model": "tiny", "max_tokens": 12, "temperature": 0, "messages": [
            {"role": "user", "content": "hi"}, {"role": "assistant", "content": uses}, {"role": "user", "content": results}]}
        return httpx.post(server.url + "/v1/messages", json=body).json()
    assert count("p", "r")["content"] == count("r", "p")["content"]
    assert count("p", "zz")["error"]["type"] == "invalid_request_error"
