"""render and parse: from a conversation to the prompt, and from raw output to the message."""

import json
import subprocess

import jinja2
import pytest
from tokenizers import Tokenizer

from cli_tools import MINIMAX, TINY, TOOLS, environment, refused, run

WEATHER = json.loads(TOOLS.read_text())
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
CONVERSATIONS = {
    "one question": {"messages": [{"role": "user", "content": "Hi"}]},
    "a system message": {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]},
    "tools": {"messages": [{"role": "user", "content": "Weather in Paris?"}], "tools": WEATHER},
    "a call and its result": {"messages": [
        {"role": "user", "content": "Weather in Paris?"},
        {"role": "assistant", "content": "", "reasoning_content": "I ask.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"temperature": 21}'}], "tools": WEATHER},
    "two turns": {"messages": [
        {"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2", "reasoning_content": "easy"},
        {"role": "user", "content": "really?\n\nSure é 世界 \U0001f600"}]},
}


def with_jinja(request):
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.Undefined,
                                     extensions=["jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = lambda value, ensure_ascii=False, **_: json.dumps(value, ensure_ascii=ensure_ascii)
    template = environment.from_string((TINY / "chat_template.jinja").read_text())
    messages = json.loads(json.dumps(request["messages"]))
    for message in messages:
        for call in message.get("tool_calls", []):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    tools = request.get("tools")
    return template.render(messages=messages, tools=tools, add_generation_prompt=True)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_prompt_is_that_of_the_template(name):
    request = CONVERSATIONS[name]
    done = run("render", "-", stdin=json.dumps(request))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == with_jinja(request)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_segments_join_to_the_prompt(name):
    text = json.dumps(CONVERSATIONS[name])
    segments = json.loads(run("render", "-", "--segments", stdin=text).stdout)
    assert "".join(segment["text"] for segment in segments) == run("render", "-", stdin=text).stdout
    assert {segment["from_template"] for segment in segments} == {True, False}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_ids_are_those_of_the_tokenizer(name, tmp_path):
    file = tmp_path / "request.json"
    file.write_text(json.dumps(CONVERSATIONS[name]))
    done = run("render", file, "--ids", "--model", TINY)
    assert done.returncode == 0, done.stderr
    ids = json.loads(done.stdout)
    text = run("render", file).stdout
    tokenizer = Tokenizer.from_file(str(TINY / "tokenizer.json"))
    assert ids == tokenizer.encode(text, add_special_tokens=False).ids


def test_what_a_user_writes_never_becomes_a_special_token():
    request = {"messages": [{"role": "user", "content": "</think>[e~[<minimax:tool_call>"}]}
    ids = json.loads(run("render", "-", "--ids", stdin=json.dumps(request)).stdout)
    tokenizer = Tokenizer.from_file(str(TINY / "tokenizer.json"))
    assert tokenizer.token_to_id("</think>") not in ids
    assert tokenizer.token_to_id("<minimax:tool_call>") not in ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == run("render", "-", stdin=json.dumps(request)).stdout


@pytest.mark.parametrize("text, says", [
    ("", ["JSON"]), ("{", []), ("[]", []), ("{}", ["messages"]), ('{"messages": 3}', ["messages"]),
    ('{"messages": [{"role": "wizard", "content": ""}]}', ["wizard"]),
    ('{"messages": [{"role": "user", "content": "a"}], "tools": {}}', ["tools"]), ('{"messages": [{"content": "a"}]}', ["role"]),
])
def test_a_bad_request_is_refused_by_field(text, says):
    refused("render", "-", code=1, says=says, stdin=text)


CALL_TEXT = ("<minimax:tool_call>\n<invoke name=\"get_weather\">\n<parameter name=\"city\">Paris</parameter>\n"
             "</invoke>\n</minimax:tool_call>")
RAW = "The user wants é.\n</think>\n\nLet me look.\n" + CALL_TEXT
FLAGS = ["--reasoning-parser", "minimax_m2", "--tool-call-parser", "minimax_m2", "--tools", TOOLS]


def joined(lines):
    """The message that a client makes of the deltas."""
    reasoning, content, calls = "", "", []
    for line in lines.splitlines():
        delta = json.loads(line)
        reasoning += delta.get("reasoning", "")
        content += delta.get("content", "")
        for call in delta.get("tool_calls", []):
            if call["index"] == len(calls):
                assert call["type"] == "function" and call["id"]
                calls.append({"name": call["function"]["name"], "arguments": ""})
            calls[call["index"]]["arguments"] += call["function"].get("arguments", "")
    return reasoning, content, calls


def test_parse_gives_the_message(tmp_path):
    file = tmp_path / "raw.txt"
    file.write_text(RAW)
    done = run("parse", file, *FLAGS)
    assert (done.returncode, done.stderr) == (0, "")
    message = json.loads(done.stdout)
    assert message["role"] == "assistant" and "é" in message["reasoning"]
    assert message["content"].strip() == "Let me look."
    (call,) = message["tool_calls"]
    assert call["function"]["name"] == "get_weather" and json.loads(call["function"]["arguments"]) == {"city": "Paris"}


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 16, 1000])
def test_parse_streams_the_same_in_chunks_of_any_size(chunk):
    whole = json.loads(run("parse", "-", *FLAGS, stdin=RAW).stdout)
    done = run("parse", "-", *FLAGS, "--stream", "--chunk", chunk, stdin=RAW)
    assert done.returncode == 0, done.stderr
    reasoning, content, calls = joined(done.stdout)
    assert (reasoning, content) == (whole["reasoning"], whole["content"])
    assert calls == [{key: whole["tool_calls"][0]["function"][key] for key in ("name", "arguments")}]
    if chunk == 1:
        assert len(done.stdout.splitlines()) > 20


def test_parse_reads_ids():
    tokenizer = Tokenizer.from_file(str(TINY / "tokenizer.json"))
    ids = tokenizer.encode(RAW, add_special_tokens=False).ids
    done = run("parse", "-", "--ids", *FLAGS, stdin=json.dumps(ids))
    assert done.returncode == 0, done.stderr
    text = json.loads(run("parse", "-", *FLAGS, stdin=RAW).stdout)
    by_ids = json.loads(done.stdout)
    for message in (text, by_ids):
        for call in message["tool_calls"]:
            del call["id"]
    assert by_ids == text
    reasoning, content, calls = joined(run("parse", "-", "--ids", "--stream", *FLAGS, stdin=json.dumps(ids)).stdout)
    assert (reasoning, content, len(calls)) == (text["reasoning"], text["content"], 1)


def test_parse_without_parsers_leaves_the_text():
    message = json.loads(run("parse", "-", stdin=RAW).stdout)
    assert message["content"] == RAW and "tool_calls" not in message and "reasoning" not in message


def test_append_think_keeps_the_thinking_in_the_content():
    message = json.loads(run("parse", "-", "--reasoning-parser", "minimax_m2_append_think",
                             stdin="Hm.</think>Yes.").stdout)
    assert message["content"] == "<think>Hm.</think>Yes."


def test_no_thinking_starts_in_the_content():
    message = json.loads(run("parse", "-", "--reasoning-parser", "minimax_m2", "--no-thinking", stdin="Yes.").stdout)
    assert message["content"] == "Yes." and "reasoning" not in message


def test_parse_of_nothing():
    assert json.loads(run("parse", "-", *FLAGS, stdin="").stdout)["content"] is None


@pytest.mark.parametrize("words, text, says", [
    (["--ids"], "[1, -1]", ["-1", "token id"]), (["--ids"], "[99999]", ["99999"]), (["--ids"], "3", ["JSON list"]),
    (["--ids"], "nonsense", ["JSON list"]), (["--ids"], '["a"]', ["token id"]),
    (["--tools", "/nonexistent.json"], "", ["/nonexistent.json"]),
])
def test_bad_input_of_parse(words, text, says):
    refused("parse", "-", *words, code=1, says=says, stdin=text)


def test_bytes_that_are_no_text_are_replaced():
    done = subprocess.run([MINIMAX, "parse", "-"], input=b"a\xff\xfeb", capture_output=True, env=environment())
    assert done.returncode == 0 and "\ufffd" in json.loads(done.stdout)["content"]
