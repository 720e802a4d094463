"""The official OpenAI client's Responses API against `minimax serve tiny`."""
import json
import re
import time

import httpx
import openai
import pytest

from minimax_server import PARSERS, ROOT, Server, eventually

WEATHER = [{"type": "function", "name": tool["function"]["name"], "description": tool["function"]["description"],
            "parameters": tool["function"]["parameters"], "strict": None}
           for tool in json.loads((ROOT / "examples/weather/tools.json").read_text())]
QUESTION = "What is the weather in Paris?"
RESULT = '{"temperature": 21, "condition": "sunny"}'


def ask(client, **more):
    return client.responses.create(**{"model": "tiny", "input": QUESTION, "temperature": 0, **more})


def endless(client, **more):
    return ask(client, extra_body={"ignore_eos": True}, **{"max_output_tokens": 3000, **more})


def told(response):
    """What a response says, without ids and times."""
    return [{key: value for key, value in item.model_dump().items() if key not in ("id", "call_id")} for item in response.output]


def test_a_tool_is_called_and_its_result_answered(client):
    first = ask(client, tools=WEATHER)
    assert first.status == "completed" and first.object == "response"
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    assert first.output[0].content[0].text and first.output[0].summary == []
    call = first.output[1]
    assert (call.name, json.loads(call.arguments), call.status) == ("get_weather", {"city": "Paris"}, "completed")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": RESULT}
    history = [{"role": "user", "content": QUESTION}, *[item.model_dump(exclude_none=True) for item in first.output], result]
    second = ask(client, tools=WEATHER, input=history)
    assert "21" in second.output_text and "Paris" in second.output_text
    chained = ask(client, tools=WEATHER, input=[result], previous_response_id=first.id)
    assert chained.previous_response_id == first.id
    assert told(chained) == told(second)
    assert chained.usage.input_tokens == second.usage.input_tokens
    third = ask(client, tools=WEATHER, input="And in Rome?", previous_response_id=chained.id)
    assert third.usage.input_tokens > second.usage.input_tokens


def test_what_a_call_nests_can_be_sent_back(client):
    """Deeper than a request may be, it stays text; it once ended the server."""
    tool = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "array"}}}}
    for depth in (57, 58, 64, 129, 400):
        text = f'<minimax:tool_call><invoke name="f"><parameter name="a">{"[" * depth}{"]" * depth}</parameter></invoke></minimax:tool_call>'
        first = ask(client, tools=[tool], extra_body={"structured_outputs": {"choice": [text]}})
        call = next(item for item in first.output if item.type == "function_call")
        assert isinstance(json.loads(call.arguments)["a"], list if depth <= 57 else str)
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "done"}
        for more in ({"input": [result], "previous_response_id": first.id},
                     {"input": [{"role": "user", "content": QUESTION}, *[item.model_dump(exclude_none=True) for item in first.output], result]}):
            assert ask(client, tools=[tool], max_output_tokens=1, **more).status == "incomplete"
        block = {"type": "tool_use", "id": "1", "name": "f", "input": json.loads(call.arguments)}
        message = {"messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": [block]},
                                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]}], "max_tokens": 1}
        assert httpx.post(f"{client.base_url}messages", json=message).status_code == 200


def test_usage_counts_cached_and_reasoning_tokens(client):
    ask(client, tools=WEATHER)
    usage = ask(client, tools=WEATHER).usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.input_tokens_details.cached_tokens >= usage.input_tokens - 16
    assert 0 < usage.output_tokens_details.reasoning_tokens < usage.output_tokens


PIECES = {
    "reasoning": r"output_item\.added reasoning_part\.added( reasoning_text\.delta)+ reasoning_text\.done reasoning_part\.done output_item\.done",
    "message": r"output_item\.added content_part\.added( output_text\.delta)+ output_text\.done content_part\.done output_item\.done",
    "function_call": r"output_item\.added( function_call_arguments\.delta)+ function_call_arguments\.done output_item\.done",
}


@pytest.mark.parametrize("more", [{"tools": WEATHER}, {"input": "Hello!"}])
def test_a_stream_has_every_event_in_order_and_says_the_same(client, more):
    whole = ask(client, **more)
    events = list(ask(client, stream=True, **more))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = " ".join(event.type.removeprefix("response.") for event in events)
    assert re.fullmatch("created in_progress " + " ".join(PIECES[item.type] for item in whole.output) + " completed", kinds)
    final = events[-1].response
    assert told(final) == told(whole)
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert events[0].response.id == final.id and events[0].response.output == [] and events[0].response.status == "in_progress"
    assert told(client.responses.retrieve(final.id)) == told(final)
    for index, item in enumerate(final.output):
        deltas = "".join(event.delta for event in events if event.type.endswith(".delta") and event.output_index == index)
        assert deltas == (item.arguments if item.type == "function_call" else item.content[0].text)


def test_the_client_s_own_stream_helper_takes_it(client):
    with client.responses.stream(model="tiny", input=QUESTION, temperature=0, tools=WEATHER) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output[-1].name == "get_weather"


def test_instructions_are_the_system_message_of_one_turn(client, server):
    plain = client.chat.completions.create(model="tiny", temperature=0, messages=[
        {"role": "system", "content": "Be brief.\n\nBe kind."}, {"role": "user", "content": "Hello!"}])
    both = ask(client, instructions="Be brief.", input=[{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Hello!"}])
    assert both.usage.input_tokens == plain.usage.prompt_tokens
    assert both.output_text == plain.choices[0].message.content
    assert both.instructions == "Be brief."
    later = ask(client, input="Hello again!", previous_response_id=both.id)
    assert later.instructions is None


def test_a_cut_answer_is_incomplete(client):
    cut = ask(client, max_output_tokens=4)
    assert cut.status == "incomplete" and cut.incomplete_details.reason == "max_output_tokens"
    assert cut.output[-1].status == "incomplete" and cut.usage.output_tokens == 4
    last = list(ask(client, max_output_tokens=4, stream=True))[-1]
    assert last.type == "response.incomplete"


def test_logprobs_belong_to_the_text(client):
    answer = ask(client, input="Hello!", include=["message.output_text.logprobs"], top_logprobs=2)
    text = next(item for item in answer.output if item.type == "message").content[0]
    assert "".join(entry.token for entry in text.logprobs) .strip()== text.text.strip()
    assert all(len(entry.top_logprobs) == 2 for entry in text.logprobs)


def test_the_oldest_turns_go_when_truncation_is_auto(client):
    turns = [{"role": role, "content": "word " * 400} for _ in range(8) for role in ("user", "assistant")] + [{"role": "user", "content": "Hello!"}]
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, input=turns)
    assert caught.value.param == "input"
    answer = ask(client, input=turns, truncation="auto", max_output_tokens=5)
    assert 2000 < answer.usage.input_tokens < 4096


def test_what_is_stored_can_be_fetched_and_deleted(client):
    assert ask(client, input="Hello!", metadata={"ä" * 64: "ä" * 512}).metadata == {"ä" * 64: "ä" * 512}
    kept = ask(client, input="Hello!", metadata={"a": "b"})
    assert client.responses.retrieve(kept.id).model_dump() == kept.model_dump()
    assert kept.metadata == {"a": "b"}
    client.responses.delete(kept.id)
    for call in (lambda: client.responses.retrieve(kept.id), lambda: client.responses.delete(kept.id),
                 lambda: ask(client, previous_response_id=kept.id),
                 lambda: client.responses.retrieve(ask(client, input="Hello!", store=False).id)):
        with pytest.raises(openai.NotFoundError):
            call()


def test_a_background_response_is_polled_and_watched(client):
    queued = ask(client, tools=WEATHER, background=True)
    assert queued.status in ("queued", "in_progress") and queued.output == []
    assert eventually(lambda: client.responses.retrieve(queued.id).status == "completed")
    whole = client.responses.retrieve(queued.id)
    assert told(whole) == told(ask(client, tools=WEATHER))
    events = list(client.responses.retrieve(queued.id, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert events[-1].type == "response.completed"
    assert list(client.responses.retrieve(queued.id, stream=True, starting_after=2**63 - 1)) == []
    head = httpx.head(f"{client.base_url}responses/{queued.id}", params={"stream": "true"})
    assert head.status_code == 200 and head.headers["content-type"] == "application/json"
    rest = list(client.responses.retrieve(queued.id, stream=True, starting_after=4))
    assert [event.sequence_number for event in rest] == list(range(5, len(events)))


def test_a_background_stream_goes_on_without_its_client(client):
    stream = ask(client, background=True, stream=True, input="Hello!")
    first = next(iter(stream))
    stream.close()
    assert eventually(lambda: client.responses.retrieve(first.response.id).status == "completed")


def test_cancel_ends_what_runs_in_the_background_only(client):
    running = endless(client, background=True)
    time.sleep(0.1)
    cancelled = client.responses.cancel(running.id)
    assert cancelled.status == "cancelled"
    assert client.responses.retrieve(running.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(running.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.cancel(ask(client, input="Hello!").id)
    assert "Cannot cancel a synchronous response." in caught.value.message
    with pytest.raises(openai.BadRequestError):
        ask(client, previous_response_id=running.id)


def test_deleting_a_running_response_ends_it(client, server):
    running = endless(client, background=True)
    client.responses.delete(running.id)
    assert eventually(lambda: httpx.get(server.url + "/load").json()["server_load"] == 0)


@pytest.mark.parametrize("change, word", [
    ({"model": "nobody"}, "model"),
    ({"input": []}, "input"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].id"),
    ({"input": [{"type": "item_reference"}]}, "input[0].id"),
    ({"input": [{"type": "image_generation_call", "id": "x"}]}, "input[0].type"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content[0].type"),
    ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{"}]}, "input[0].arguments"),
    ({"instructions": "i", "input": [{"role": "user", "content": "x"}, {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                                     {"type": "function_call_output", "call_id": "d", "output": "1"}]}, "input[2].call_id"),
    ({"input": [{"type": "function_call_output", "call_id": "d", "output": "1"}]}, "input[0].call_id"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"background": True, "store": False}, "background"),
    ({"truncation": "some"}, "truncation"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"prompt": {"id": "p"}}, "prompt"),
    ({"metadata": {"a": "b" * 513}}, "metadata"),
    ({"metadata": {"a" * 65: "b"}}, "metadata"),
    ({"metadata": {str(i): "b" for i in range(17)}}, "metadata"),
    ({"previous_response_id": ""}, "previous_response_id"),
    ({"extra_body": {"max_completion_tokens": 3}}, "max_completion_tokens"),
    ({"temperature": 1000}, "temperature"),
    ({"previous_response_id": "resp_nobody"}, "previous_response_id"),
])
def test_errors_name_the_field(client, change, word):
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, **change)
    assert caught.value.status_code in (400, 404)
    assert caught.value.body["param"] == word


def test_the_store_keeps_its_budget_and_its_time():
    server = Server(*PARSERS, "--response-store-bytes", "20000", "--response-store-seconds", "2")
    try:
        client = server.client()
        kept = [ask(client, input="Hello!", max_output_tokens=1).id for _ in range(20)]
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(kept[0])
        assert client.responses.retrieve(kept[-1]).id == kept[-1]
        time.sleep(2.5)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(kept[-1])
        running = endless(client, background=True)
        for _ in range(20):
            ask(client, input="Hello!", max_output_tokens=1)
        assert client.responses.retrieve(running.id).status == "in_progress", "what runs is not evicted"
    finally:
        assert server.stop() == 0


def test_without_a_store_nothing_is_kept():
    server = Server(*PARSERS, "--response-store-bytes", "0")
    try:
        client = server.client()
        answer = ask(client, input="Hello!", max_output_tokens=1)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(answer.id)
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, background=True)
        assert "--response-store-bytes" in caught.value.message
    finally:
        assert server.stop() == 0


def test_a_foreground_response_is_replayed(client):
    for stream in (True, False):
        answer = ask(client, tools=WEATHER, stream=stream)
        live = list(answer) if stream else None
        kept = live[-1].response.id if stream else answer.id
        again = list(client.responses.retrieve(kept, stream=True))
        assert again[-1].type == "response.completed" and again[-1].response == client.responses.retrieve(kept)
        assert live is None or again == live
        rest = list(client.responses.retrieve(kept, stream=True, starting_after=3))
        assert rest == again[4:] and rest


def test_items_can_be_referred_to(client):
    first = ask(client, tools=WEATHER)
    result = {"type": "function_call_output", "call_id": first.output[1].call_id, "output": RESULT}
    whole = ask(client, tools=WEATHER, input=[{"role": "user", "content": QUESTION}, *[item.model_dump(exclude_none=True) for item in first.output], result])
    referred = ask(client, tools=WEATHER, input=[{"role": "user", "content": QUESTION},
                                                 *[{"type": "item_reference", "id": item.id} for item in first.output], result])
    assert told(referred) == told(whole) and referred.usage.input_tokens == whole.usage.input_tokens
    with pytest.raises(openai.NotFoundError):
        ask(client, input=[{"type": "item_reference", "id": first.output[0].id[:-1] + "7"}])


def test_sealed_thinking_comes_back_as_thinking(client):
    first = ask(client, tools=WEATHER, store=False, include=["reasoning.encrypted_content"])
    thinking, call = first.output
    assert thinking.encrypted_content and not ask(client, tools=WEATHER).output[0].encrypted_content
    def answered(reasoning):
        items = [{"role": "user", "content": QUESTION}, *reasoning, call.model_dump(exclude_none=True),
                 {"type": "function_call_output", "call_id": call.call_id, "output": RESULT}]
        return ask(client, tools=WEATHER, input=items).usage.input_tokens
    plain = thinking.model_dump(exclude_none=True)
    del plain["encrypted_content"]
    sealed = {"type": "reasoning", "id": thinking.id, "summary": [], "encrypted_content": thinking.encrypted_content}
    assert answered([sealed]) == answered([plain]) > answered([])


def test_a_stored_response_includes_what_is_asked_for(client):
    first = ask(client, tools=WEATHER)
    sealed = ask(client, tools=WEATHER, include=["reasoning.encrypted_content"])
    got = client.responses.retrieve(first.id, include=["reasoning.encrypted_content", "file_search_call.results"])
    assert first.output[0].encrypted_content is None
    assert got.output[0].encrypted_content == sealed.output[0].encrypted_content
    events = list(client.responses.retrieve(sealed.id, include=["reasoning.encrypted_content"], stream=True))
    assert events[-1].response.output[0].encrypted_content
    spoken = ask(client, input="Hello!", top_logprobs=1)
    assert client.responses.retrieve(spoken.id, include=["message.output_text.logprobs"]).model_dump() == spoken.model_dump()
    for refused in (lambda: client.responses.retrieve(first.id, include=["message.output_text.logprobs"]),
                    lambda: client.responses.retrieve(first.id, include=["reasoning.encrypted_content"], stream=True),
                    lambda: client.responses.retrieve(first.id, include=["something"]),
                    lambda: ask(client, include=["something"])):
        with pytest.raises(openai.BadRequestError) as caught:
            refused()
        assert caught.value.param == "include"


def test_only_allowed_tools_are_called(client):
    clock = {"type": "function", "name": "get_time", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}, "strict": None}
    tools = [*WEATHER, clock]
    def calls(mode, name):
        answer = ask(client, tools=tools, temperature=1.0, extra_body={"seed": 1, "thinking_token_budget": 20},
                     tool_choice={"type": "allowed_tools", "mode": mode, "tools": [{"type": "function", "name": name}]})
        return [item.name for item in answer.output if item.type == "function_call"], answer
    called, answer = calls("required", "get_time")
    assert called and set(called) == {"get_time"}
    assert answer.tool_choice.type == "allowed_tools"
    assert set(calls("auto", "get_time")[0]) <= {"get_time"}
    # All tools are shown whichever are allowed, so the cache holds.
    assert answer.usage.input_tokens == ask(client, tools=tools).usage.input_tokens
    with pytest.raises(openai.BadRequestError):
        calls("required", "no_such_tool")


def test_strict_is_no_part_of_the_prompt(client):
    strict = [{**tool, "strict": True} for tool in WEATHER]
    assert ask(client, tools=strict).usage.input_tokens == ask(client, tools=WEATHER).usage.input_tokens


def test_a_server_ends_cleanly_while_a_response_runs():
    # The engine once held a response for the moment of a wake-up, and so was the last to let it go: one end in ten failed.
    for _ in range(12):
        server = Server(*PARSERS)
        endless(server.client(), background=True)
        assert server.stop() == 0


def test_a_request_that_leaves_nothing_to_draw_is_its_own_fault(client):
    with pytest.raises(openai.BadRequestError, match="No token is left to draw"):
        client.responses.create(model="tiny", input="hi", max_output_tokens=50,
                                extra_body={"structured_outputs": {"choice": ["yes"]}, "bad_words": ["yes", "y", "ye"]})


@pytest.mark.parametrize("field,value,word", [("n", 3, "one sample"), ("max_tokens", 1, "max_output_tokens"),
                                              ("response_format", {"type": "json_object"}, "text.format")])
def test_fields_of_other_apis_are_refused_and_not_passed_over(client, field, value, word):
    with pytest.raises(openai.BadRequestError, match=word) as refusal:
        client.responses.create(model="tiny", input="hi", extra_body={field: value})
    assert refusal.value.param == field


def test_outputs_of_calls_are_told_apart_by_their_ids(client):
    def tokens(*outputs):
        calls = [{"type": "function_call", "call_id": one, "name": "get_weather", "arguments": '{"city": "X"}'} for one in "pr"]
        answer = client.responses.create(model="tiny", input=[{"role": "user", "content": "Weather?"}, *calls, *outputs],
                                         max_output_tokens=16, temperature=0)
        return answer.usage.input_tokens, answer.output_text
    p = {"type": "function_call_output", "call_id": "p", "output": '{"temperature": 21}'}
    r = {"type": "function_call_output", "call_id": "r", "output": '{"temperature": 3}'}
    assert tokens(p, r) == tokens(r, p)
