"""Guided output through the official client: whatever is asked for, that is what the answer looks like."""
import json
import re

import httpx
import openai
import pytest

ASK = {"model": "tiny", "messages": [{"role": "user", "content": "What is the weather in Paris?"}], "max_tokens": 400}


def chat(client, outputs=None, **more):
    body = {"structured_outputs": outputs} if outputs else {}
    body.update(more.pop("extra", {}))
    return client.chat.completions.create(**{**ASK, "extra_body": body, **more})


def content(client, outputs=None, **more):
    choice = chat(client, outputs, **more).choices[0]
    assert choice.finish_reason == "stop"
    return choice.message.content


def test_a_choice_is_one_of_those_and_thinking_stays_free(client):
    reply = chat(client, {"choice": ["red", "green", "日本"]}, temperature=0).choices[0]
    assert reply.message.content in ["red", "green", "日本"]
    assert reply.message.reasoning and reply.finish_reason == "stop"


@pytest.mark.parametrize("pattern", [r"[a-c]{3}-\d{2,4}", r"(yes|no)( and (yes|no)){2}", r"\n\n[A-Z][a-z]{1,8}\.", r"[^\x00-\x7f]{3}"])
def test_a_regex_matches_whatever_the_seed(client, pattern):
    for seed in range(3):
        assert re.fullmatch(pattern, content(client, {"regex": pattern}, seed=seed, temperature=1.5))


def test_json_object_is_json_streamed_and_whole(client):
    asked = {"response_format": {"type": "json_object"}, "seed": 3, "temperature": 1.0}
    whole = chat(client, **asked).choices[0]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chat(client, stream=True, **asked))
    assert text == whole.message.content
    if whole.finish_reason == "stop":
        assert isinstance(json.loads(text), dict)


def test_samples_of_one_request_are_guided_each_on_its_own(client):
    reply = chat(client, {"regex": r"\d{3}[a-z]{2}"}, n=4, seed=1, temperature=2.0)
    texts = [choice.message.content for choice in reply.choices]
    assert all(re.fullmatch(r"\d{3}[a-z]{2}", text) for text in texts)
    assert len(set(texts)) > 1


def test_completions_are_guided_from_the_first_token(client):
    reply = client.completions.create(model="tiny", prompt=["The colour is ", "My favourite is "], max_tokens=20,
                                      extra_body={"structured_outputs": {"choice": ["red", "blue"]}})
    assert [choice.text in ("red", "blue") for choice in reply.choices] == [True, True]
    assert all(choice.finish_reason == "stop" for choice in reply.choices)


def test_the_same_tokens_alone_and_in_a_crowd(client):
    import concurrent.futures

    def one(seed):
        return content(client, {"regex": r"[a-z]{8}( [a-z]{3}){2}"}, seed=seed, temperature=1.0)
    alone = [one(seed) for seed in range(4)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, list(range(4)) * 2)) == alone * 2


def test_ends_and_stops_are_kept_to(client):
    # An answer that may not end yet does not; one that must end does, whatever min_tokens or ignore_eos say.
    assert re.fullmatch("a{30}b?", content(client, {"regex": "a{30}b?"}, temperature=1.0))
    assert content(client, {"choice": ["x"]}, extra={"min_tokens": 300, "ignore_eos": True}).startswith("x")
    stopped = chat(client, {"regex": "abc-def"}, stop=["-"])
    assert stopped.choices[0].message.content == "abc"


@pytest.mark.parametrize("body, param, word", [
    ({"structured_outputs": {"regex": "(?=a)b"}}, "structured_outputs.regex", "looks around"),
    ({"structured_outputs": {"regex": "(a|b)*a(a|b){30}"}}, "structured_outputs.regex", "Max"),
    ({"structured_outputs": {"choice": []}}, "structured_outputs.choice", "at least one"),
    ({"structured_outputs": {"choice": ["a"], "regex": "b"}}, "structured_outputs", "exactly one"),
    ({"structured_outputs": {"tree": 1}}, "structured_outputs", "exactly one"),
    ({"structured_outputs": {"regex": "b"}, "response_format": {"type": "json_object"}}, "structured_outputs", "one of them"),
    ({"response_format": {"type": "xml"}}, "response_format", "must be text"),
])
def test_what_cannot_be_kept_is_refused_by_name(server, body, param, word):
    reply = httpx.post(server.url + "/v1/chat/completions", json={**ASK, **body}, timeout=60)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["param"].startswith(param) and word in error["message"]


TREE = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, "size": {"type": "integer", "minimum": 1, "maximum": 99},
                                         "kind": {"enum": ["leaf", "node"]}, "kids": {"type": "array", "maxItems": 2, "items": {"$ref": "#"}}},
        "required": ["name", "size", "kind"], "additionalProperties": False}


def test_a_schema_is_kept_through_both_fields(client):
    import jsonschema

    for seed in range(4):
        asked = {"type": "json_schema", "json_schema": {"name": "tree", "schema": TREE, "strict": True}}
        for reply in (chat(client, response_format=asked, seed=seed, temperature=1.0),
                      chat(client, {"json": TREE, "disable_any_whitespace": True}, seed=seed, temperature=1.0)):
            choice = reply.choices[0]
            if choice.finish_reason == "stop":
                jsonschema.validate(json.loads(choice.message.content), TREE)
            assert choice.finish_reason in ("stop", "length")


def test_grammars_and_tags_are_kept(client):
    text = content(client, {"grammar": 'root ::= "sum " n ("+" n){2}\nn ::= [1-9] [0-9]?'}, temperature=1.0, seed=4)
    assert re.fullmatch(r"sum [1-9]\d?(\+[1-9]\d?){2}", text)
    tag = {"type": "structural_tag", "format": {"type": "tag", "begin": "<n>", "content": {"type": "json_schema", "json_schema": {"type": "integer", "maximum": 9, "minimum": 0}}, "end": "</n>"}}
    assert re.fullmatch(r"<n>\d</n>", content(client, response_format=tag, temperature=1.0))


def tool(name, properties, required=(), **more):
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties, "required": list(required)}, **more}}


TOOLS = [tool("set_light", {"room": {"enum": ["hall", "attic"]}, "level": {"type": "integer", "minimum": 0, "maximum": 9}}, ["room", "level"]),
         tool("note", {"text": {"type": "string", "maxLength": 12}}, ["text"])]


def check_call(call):
    import jsonschema

    schema = next(t["function"]["parameters"] for t in TOOLS if t["function"]["name"] == call.function.name)
    jsonschema.validate(json.loads(call.function.arguments), schema)


@pytest.mark.parametrize("parallel", [True, False])
def test_a_required_call_comes_and_is_valid(client, parallel):
    for seed in range(3):
        choice = chat(client, tools=TOOLS, tool_choice="required", seed=seed, temperature=1.5, parallel_tool_calls=parallel).choices[0]
        if choice.finish_reason == "length":
            continue
        assert choice.finish_reason == "tool_calls" and choice.message.reasoning
        assert len(choice.message.tool_calls) == 1 or parallel
        for call in choice.message.tool_calls:
            check_call(call)


def test_a_named_call_is_that_one_streamed_and_whole(client):
    asked = {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "set_light"}}, "seed": 5, "temperature": 1.0}
    whole = chat(client, **asked).choices[0]
    assert whole.finish_reason == "stop" and [c.function.name for c in whole.message.tool_calls] == ["set_light"]
    check_call(whole.message.tool_calls[0])
    arguments, finish = "", None
    for chunk in chat(client, stream=True, **asked):
        for call in chunk.choices[0].delta.tool_calls or []:
            arguments += call.function.arguments or ""
        finish = chunk.choices[0].finish_reason or finish
    assert (arguments, finish) == (whole.message.tool_calls[0].function.arguments, "stop")


def test_strict_tools_bind_the_arguments_and_leave_the_text_free(client):
    strict = [tool("get_weather", {"city": {"enum": ["Oslo", "Rome"]}}, ["city"], strict=True)]
    choice = chat(client, tools=strict, temperature=0).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert json.loads(choice.message.tool_calls[0].function.arguments)["city"] in ("Oslo", "Rome")
    bad = [tool("f", {"a": {"not": {}}}, strict=True)]
    with pytest.raises(openai.BadRequestError, match="not"):
        chat(client, tools=bad)


@pytest.mark.parametrize("schema, word", [({"not": {}}, "not"), ({"type": "object", "patternProperties": {}}, "patternProperties"),
                                          ({"$ref": "#/x"}, "ref"), ({"type": "string", "maxLength": 10**6}, "kRepeatMax")])
def test_a_keyword_that_cannot_be_kept_is_named(server, schema, word):
    reply = httpx.post(server.url + "/v1/chat/completions", json={**ASK, "structured_outputs": {"json": schema}}, timeout=60)
    assert reply.status_code == 400 and word in reply.json()["error"]["message"]


LIGHT = {"type": "object", "properties": {"on": {"type": "boolean"}, "level": {"type": "integer", "minimum": 0, "maximum": 9}},
         "required": ["on", "level"], "additionalProperties": False}


def test_responses_and_messages_keep_a_schema_too(server, client):
    import jsonschema

    answer = client.responses.create(model="tiny", input="Hello!", temperature=1.0, extra_body={"seed": 1},
                                     text={"format": {"type": "json_schema", "name": "light", "schema": LIGHT, "strict": True}})
    jsonschema.validate(json.loads(answer.output_text), LIGHT)
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 400, "temperature": 1.0, "seed": 1}
    message = httpx.post(server.url + "/v1/messages", json={**body, "output_config": {"format": {"type": "json_schema", "schema": LIGHT}}}).json()
    jsonschema.validate(json.loads(message["content"][-1]["text"]), LIGHT)


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "light"}])
def test_messages_demand_a_call(server, choice):
    import jsonschema

    tools = [{"name": "light", "input_schema": LIGHT}, {"name": "now", "input_schema": {"type": "object", "properties": {}, "additionalProperties": False}}]
    for seed in range(3):
        message = httpx.post(server.url + "/v1/messages", timeout=60, json={
            "model": "tiny", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 400, "temperature": 1.0, "seed": seed,
            "tools": tools, "tool_choice": {**choice, "disable_parallel_tool_use": True}}).json()
        calls = [block for block in message["content"] if block["type"] == "tool_use"]
        assert len(calls) == 1 and message["content"][0]["type"] == "thinking"
        assert choice["type"] == "any" or calls[0]["name"] == "light"
        jsonschema.validate(calls[0]["input"], next(tool["input_schema"] for tool in tools if tool["name"] == calls[0]["name"]))
        assert message["stop_reason"] == "tool_use"
