"""The rest of the chat surface, and thinking passed back in every form that an API has for it."""
import json

import httpx
import openai
import pytest

from minimax_server import PARSERS, ROOT, Server

TOOLS = json.loads((ROOT / "examples/weather/tools.json").read_text())

QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
RESULT = '{"temperature": 21}'


def ask(client, **more):
    return client.chat.completions.create(**{"model": "tiny", "messages": QUESTION, "temperature": 0, **more})


def render(server, **more):
    reply = httpx.post(server.url + "/v1/chat/completions/render", json={"model": "tiny", "messages": QUESTION, **more})
    assert reply.status_code == 200, reply.text
    return reply.json()


def history(assistant):
    return [*QUESTION, {"role": "assistant", "tool_calls": [CALL], **assistant}, {"role": "tool", "tool_call_id": "call_1", "content": RESULT}]


@pytest.mark.parametrize("thinking", ["The user asks.", "Two\nlines, \"quoted\" & <b>marked</b>", "世界"])
def test_thinking_in_history_is_one_prompt_in_every_form(server, client, thinking):
    reference = render(server, messages=history({"content": "Look.", "reasoning": thinking}))
    assert f"<think>\n{thinking}\n</think>\n\nLook." in reference["prompt"]
    for form in [{"content": "Look.", "reasoning_content": thinking}, {"content": f"<think>\n{thinking}\n</think>\n\nLook."},
                 {"content": [{"type": "text", "text": "Look."}], "reasoning": thinking}]:
        assert render(server, messages=history(form)) == reference
    items = [QUESTION[0], {"type": "reasoning", "id": "rs", "summary": [], "content": [{"type": "reasoning_text", "text": thinking}]},
             {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Look.", "annotations": []}]},
             {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city": "Paris"}'},
             {"type": "function_call_output", "call_id": "call_1", "output": RESULT}]
    blocks = [QUESTION[0], {"role": "assistant", "content": [
        {"type": "thinking", "thinking": thinking, "signature": "s"}, {"type": "text", "text": "Look."},
        {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Paris"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": RESULT}]}]
    # Neither API shows its prompt; the same greedy answer to the same number of tokens, all of them found in the cache, is it.
    chat = ask(client, messages=history({"content": "Look.", "reasoning": thinking}), max_tokens=40)
    response = client.responses.create(model="tiny", input=items, temperature=0, max_output_tokens=40)
    assert response.usage.input_tokens == reference["count"] == chat.usage.prompt_tokens
    assert response.usage.input_tokens_details.cached_tokens >= reference["count"] - 16
    message = httpx.post(server.url + "/v1/messages", json={"model": "tiny", "messages": blocks, "temperature": 0, "max_tokens": 40}).json()
    usage = message["usage"]
    assert usage["input_tokens"] + usage["cache_read_input_tokens"] == reference["count"]
    assert usage["cache_read_input_tokens"] >= reference["count"] - 16
    said = {chat.choices[0].message.reasoning, response.output[0].content[0].text, message["content"][0]["thinking"]}
    assert len(said) == 1


def test_render_is_what_is_answered(server, client):
    rendered = render(server)
    answer = ask(client, extra_body={"return_token_ids": True}, max_tokens=1)
    assert answer.prompt_token_ids == rendered["prompt_token_ids"] and rendered["count"] == len(rendered["prompt_token_ids"])
    back = httpx.post(server.url + "/detokenize", json={"model": "tiny", "tokens": rendered["prompt_token_ids"]}).json()["prompt"]
    assert back == rendered["prompt"] and rendered["prompt"].endswith("]~b]ai\n<think>\n")
    assert httpx.post(server.url + "/v1/chat/completions/render", json={"messages": []}).status_code == 400


def test_a_message_is_continued_and_echoed(server, client):
    started = [*QUESTION, {"role": "assistant", "content": "It is"}]
    more = {"continue_final_message": True, "add_generation_prompt": False}
    assert render(server, messages=started, **more)["prompt"].endswith("]~b]ai\nIt is")
    plain = ask(client, messages=started, max_tokens=5, extra_body=more).choices[0].message.content
    echoed = ask(client, messages=started, max_tokens=5, extra_body={**more, "echo": True}).choices[0].message.content
    assert echoed == "It is" + plain
    with pytest.raises(openai.BadRequestError):
        ask(client, messages=started, extra_body={**more, "add_generation_prompt": True})
    assert not render(server, add_generation_prompt=False)["prompt"].endswith("<think>\n")


def test_thinking_can_be_left_out_of_the_answer(client):
    shown, hidden = ask(client), ask(client, extra_body={"include_reasoning": False})
    assert shown.choices[0].message.reasoning and not hidden.choices[0].message.reasoning
    assert hidden.choices[0].message.content == shown.choices[0].message.content


def test_effort_is_the_template_s_to_use_and_this_one_does_not(server):
    assert render(server, reasoning_effort="low") == render(server)
    reply = httpx.post(server.url + "/v1/chat/completions", json={"messages": QUESTION, "reasoning_effort": "some"})
    assert reply.status_code == 400 and reply.json()["error"]["param"] == "reasoning_effort"


def test_prompt_logprobs_and_ids(client):
    answer = ask(client, max_tokens=2, extra_body={"prompt_logprobs": 1, "return_token_ids": True})
    assert answer.prompt_logprobs[0] is None and len(answer.prompt_logprobs) == len(answer.prompt_token_ids)
    assert str(answer.prompt_token_ids[1]) in answer.prompt_logprobs[1]
    assert len(answer.choices[0].token_ids) == 2


def test_prompts_are_cut_to_their_end(client):
    whole = ask(client, max_tokens=1, extra_body={"return_token_ids": True}).prompt_token_ids
    cut = ask(client, max_tokens=1, extra_body={"return_token_ids": True, "truncate_prompt_tokens": 10}).prompt_token_ids
    assert cut == whole[-10:]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("count", [2, 5, 12, 1000])
def test_what_is_shown_of_a_cut_prompt_is_what_was_run(server, client, side, count):
    cut = {"truncate_prompt_tokens": count, "truncation_side": side}
    said = "It is warm and sunny."
    started = {"messages": [*QUESTION, {"role": "assistant", "content": said}], "continue_final_message": True, "add_generation_prompt": False}
    def text_of(ids):
        return httpx.post(server.url + "/detokenize", json={"tokens": ids}).json()["prompt"]
    for more in ({}, started):
        rendered = render(server, **cut, **more)
        assert rendered["prompt"] == text_of(rendered["prompt_token_ids"]) and rendered["count"] <= count
    answer = ask(client, messages=started.pop("messages"), max_tokens=2,
                 extra_body={**cut, **started, "echo": True, "return_token_ids": True, "return_prompt_text": True})
    assert answer.prompt_text == rendered["prompt"] and answer.usage.prompt_tokens == len(answer.prompt_token_ids) == rendered["count"]
    shown = said if said in rendered["prompt"] else rendered["prompt"] if side == "left" else ""
    content = answer.choices[0].message.content or ""
    assert content.startswith(shown) and (shown == said or said not in content)
    completed = client.completions.create(model="tiny", prompt="The weather in Paris is", max_tokens=2, echo=True,
                                          extra_body={**cut, "return_token_ids": True})
    assert completed.choices[0].text.startswith(text_of(completed.choices[0].prompt_token_ids))
    assert len(completed.choices[0].prompt_token_ids) == completed.usage.prompt_tokens == min(count, 7)


def test_a_prompt_that_is_cut_at_its_end_does_not_end_in_thinking(client):
    """The template's <think> is not in it."""
    answer = ask(client, max_tokens=5, extra_body={"truncate_prompt_tokens": 12, "truncation_side": "right"})
    assert answer.choices[0].message.content and not answer.choices[0].message.reasoning


def test_salts_keep_caches_apart(client):
    def cached(salt):
        return ask(client, max_tokens=1, extra_body={"cache_salt": salt}).usage.prompt_tokens_details.cached_tokens
    assert cached("one") == 0 and cached("one") > 0 and cached("two") == 0


def test_ids_of_the_client_s_choice(server, client):
    assert ask(client, max_tokens=1, extra_body={"request_id": "mine"}).id == "chatcmpl-mine"
    reply = httpx.post(server.url + "/v1/chat/completions", json={"messages": QUESTION, "max_tokens": 1}, headers={"X-Request-Id": "header"})
    assert reply.json()["id"] == "chatcmpl-header" and reply.headers["x-request-id"] == "header"


def test_priority_needs_its_policy():
    server = Server(*PARSERS, "--scheduling-policy", "priority")
    try:
        assert ask(server.client(), max_tokens=1, extra_body={"priority": -5}).choices
    finally:
        assert server.stop() == 0


def test_batches_of_prompts_and_no_suffix(client):
    batch = client.completions.create(model="tiny", prompt=["One", "Two"], max_tokens=4, temperature=0, n=1)
    alone = [client.completions.create(model="tiny", prompt=prompt, max_tokens=4, temperature=0).choices[0].text for prompt in ("One", "Two")]
    assert [choice.text for choice in batch.choices] == alone and [choice.index for choice in batch.choices] == [0, 1]
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="tiny", prompt="One", suffix="Two")
    assert caught.value.param == "suffix"


def test_one_call_if_calls_may_not_be_parallel(server, client):
    both = {"tools": TOOLS, "messages": [{"role": "user", "content": "What is the weather in Paris and Rome?"}]}
    calls = ask(client, **both).choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Paris", "Rome"]
    one = ask(client, **both, parallel_tool_calls=False).choices[0]
    assert one.finish_reason == "tool_calls" and len(one.message.tool_calls) == 1
    assert one.message.tool_calls[0].function == calls[0].function
    chunks = [chunk.choices[0].delta for chunk in ask(client, **both, parallel_tool_calls=False, stream=True)]
    assert {call.index for delta in chunks for call in delta.tool_calls or []} == {0}
    body = {"model": "tiny", "messages": both["messages"], "max_tokens": 400, "temperature": 0,
            "tools": [{"name": "get_weather", "input_schema": TOOLS[0]["function"]["parameters"]}],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    blocks = httpx.post(server.url + "/v1/messages", json=body).json()["content"]
    assert [block["type"] for block in blocks].count("tool_use") == 1
    reply = httpx.post(server.url + "/v1/chat/completions", json={"messages": QUESTION, "parallel_tool_calls": "yes"})
    assert reply.status_code == 400 and reply.json()["error"]["param"] == "parallel_tool_calls"


@pytest.mark.parametrize("budget", [0, 5])
def test_thinking_ends_when_its_budget_is_spent(client, budget):
    free = ask(client)
    assert free.usage.completion_tokens_details.reasoning_tokens > budget
    limited = ask(client, extra_body={"thinking_token_budget": budget, "return_token_ids": True})
    choice = limited.choices[0]
    assert limited.usage.completion_tokens_details.reasoning_tokens == budget
    assert choice.token_ids[:budget] == ask(client, max_tokens=budget or 1, extra_body={"return_token_ids": True}).choices[0].token_ids[:budget]
    assert choice.message.content and choice.finish_reason == "stop"
    streamed = list(ask(client, stream=True, extra_body={"thinking_token_budget": budget}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == choice.message.content


def test_a_budget_that_is_not_spent_changes_nothing(client):
    free = ask(client)
    for budget in (free.usage.completion_tokens_details.reasoning_tokens, 4000, -1):
        same = ask(client, extra_body={"thinking_token_budget": budget})
        assert same.choices[0].message == free.choices[0].message
    with pytest.raises(openai.BadRequestError, match="thinking_token_budget"):
        ask(client, extra_body={"thinking_token_budget": -2})


def test_a_budget_goes_with_samples_and_a_guided_answer(client):
    reply = ask(client, n=4, temperature=1.0, seed=3,
                extra_body={"thinking_token_budget": 2, "structured_outputs": {"choice": ["red", "blue"]}})
    assert reply.usage.completion_tokens_details.reasoning_tokens == 8
    assert {choice.message.content for choice in reply.choices} <= {"red", "blue"}


def test_the_other_apis_have_the_budget_too(server, client):
    chat = ask(client, extra_body={"thinking_token_budget": 2})
    response = client.responses.create(model="tiny", input=QUESTION[0]["content"], temperature=0,
                                       extra_body={"thinking_token_budget": 2})
    assert response.usage.output_tokens_details.reasoning_tokens == 2
    assert response.output_text == chat.choices[0].message.content
    message = httpx.post(server.url + "/v1/messages", json={
        "model": "tiny", "messages": QUESTION, "temperature": 0, "max_tokens": 400,
        "thinking": {"type": "enabled", "budget_tokens": 2}}).json()
    assert message["usage"]["output_tokens_details"]["thinking_tokens"] == 2
    assert message["content"][-1]["text"] == chat.choices[0].message.content


def test_prompts_far_beyond_the_context_are_refused_unread(server, client):
    text = "word " * 200_000
    with pytest.raises(openai.BadRequestError, match="so at least .* tokens.* 4096"):
        ask(client, messages=[{"role": "user", "content": text}])
    with pytest.raises(openai.BadRequestError, match="so at least"):
        client.completions.create(model="tiny", prompt=text)
    assert client.completions.create(model="tiny", prompt=text, max_tokens=1, extra_body={"truncate_prompt_tokens": 5}).usage.prompt_tokens == 5
    assert httpx.post(server.url + "/tokenize", json={"prompt": text}).json()["count"] > 4096
    beyond = httpx.post(server.url + "/tokenize", json={"prompt": "a" * (8 << 20) + "b"}, timeout=60)
    assert beyond.status_code == 413 and "tokenize_bytes_max" in beyond.text


def test_a_request_that_leaves_nothing_to_draw_is_its_own_fault(server, client):
    none_left = {"allowed_token_ids": [5], "bad_words": [httpx.post(server.url + "/detokenize", json={"tokens": [5]}).json()["prompt"]]}
    with pytest.raises(openai.BadRequestError, match="No token is left to draw"):
        ask(client, extra_body=none_left)
    message = httpx.post(server.url + "/v1/messages", json={"model": "tiny", "messages": QUESTION, "max_tokens": 5, "bad_words": none_left["bad_words"]})
    assert message.status_code == 200


def test_request_ids_are_one_line(server, client):
    with pytest.raises(openai.BadRequestError, match="request_id"):
        ask(client, max_tokens=1, extra_body={"request_id": "a\nb"})


def rendered(server, messages, **more):
    reply = httpx.post(server.url + "/v1/chat/completions/render", json={"model": "tiny", "messages": messages, **more})
    return reply.status_code, reply.json()


def calls(*ids):
    return {"role": "assistant", "content": "", "tool_calls": [
        {"id": one, "type": "function", "function": {"name": "get_weather", "arguments": json.dumps({"city": one})}} for one in ids]}


def result(of, text):
    return {"role": "tool", "tool_call_id": of, "content": text}


def test_results_stand_in_the_order_of_their_calls(server):
    ask = {"role": "user", "content": "Weather?"}
    in_order = rendered(server, [ask, calls("p", "r"), result("p", "PARIS"), result("r", "ROME")])
    assert in_order[0] == 200
    assert rendered(server, [ask, calls("p", "r"), result("r", "ROME"), result("p", "PARIS")]) == in_order
    # Without ids that tell calls apart the order is the client's.
    status, reply = rendered(server, [ask, calls("p", "p"), result("p", "ROME"), result("p", "PARIS")])
    assert status == 200 and reply["prompt"].index("ROME") < reply["prompt"].index("PARIS")
    status, reply = rendered(server, [ask, calls("p", "r"), result("p", "PARIS"), result("zz", "ROME")])
    assert status == 400 and reply["error"]["param"] == "messages[3].tool_call_id" and '"zz"' in reply["error"]["message"]


def test_what_the_system_says_later_is_read_as_the_user_s_words(server, client):
    def turns(role):
        return [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}, {"role": role, "content": "Be brief."},
                {"role": "user", "content": "And now?"}]
    reference = render(server, messages=turns("user"))
    assert "]~b]user\nBe brief.[e~[" in reference["prompt"]
    for role in ("system", "developer"):
        assert render(server, messages=turns(role)) == reference
    assert client.responses.create(model="tiny", input=turns("developer"), max_output_tokens=1).usage.input_tokens == reference["count"]
    counted = httpx.post(server.url + "/v1/messages/count_tokens", json={"messages": turns("system")}).json()
    assert counted["input_tokens"] == reference["count"]


@pytest.mark.parametrize("path, body", [
    ("/v1/chat/completions", {"messages": QUESTION}), ("/v1/responses", {"input": "x"}), ("/v1/messages", {"messages": QUESTION, "max_tokens": 1})])
@pytest.mark.parametrize("name, value", [
    ("best_of", 2), ("modalities", ["text", "audio"]), ("moderation", {"model": "x"}), ("use_beam_search", True), ("guided_json", {}),
    ("documents", [{"text": "x"}]), ("kv_transfer_params", {"a": 1}), ("chat_template", "x")])
def test_what_would_change_the_answer_is_refused_in_every_api(server, path, body, name, value):
    reply = httpx.post(server.url + path, json={**body, name: value})
    assert reply.status_code == 400 and reply.json()["error"]["message"].startswith(name)


@pytest.mark.parametrize("path, body", [("/v1/responses", {"input": "x"}), ("/v1/messages", {"messages": QUESTION, "max_tokens": 1})])
def test_the_length_of_another_api_is_refused(server, path, body):
    reply = httpx.post(server.url + path, json={**body, "max_completion_tokens": 3})
    assert reply.status_code == 400 and "max_output_tokens" in reply.json()["error"]["message"]


def test_system_messages_at_the_front_are_one(server):
    user = {"role": "user", "content": "hi"}
    one = rendered(server, [{"role": "system", "content": "AAA\n\nBBB"}, user])
    assert rendered(server, [{"role": "system", "content": "AAA"}, {"role": "developer", "content": "BBB"}, user]) == one
    assert "AAA\n\nBBB" in one[1]["prompt"]


def test_every_answer_has_a_request_id(server, client):
    raw = client.chat.completions.with_raw_response.create(model="tiny", messages=[{"role": "user", "content": "hi"}], max_tokens=2)
    assert raw.headers["x-request-id"] and raw.parse()._request_id == raw.headers["x-request-id"]
    ids = {httpx.get(server.url + "/health").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize("field", ["structural_tag", "guided_whitespace_pattern", "prediction", "web_search_options", "audio"])
def test_what_would_have_no_effect_is_refused(client, field):
    with pytest.raises(openai.BadRequestError) as refusal:
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "hi"}], max_tokens=2,
                                       extra_body={field: "x"})
    assert refusal.value.param == field


def test_a_demanded_call_of_a_function_without_parameters_has_none(client):
    answer = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "hi"}], max_tokens=100,
        tools=[{"type": "function", "function": {"name": "g"}}], tool_choice={"type": "function", "function": {"name": "g"}})
    assert json.loads(answer.choices[0].message.tool_calls[0].function.arguments) == {}
