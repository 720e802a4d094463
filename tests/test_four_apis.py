"""One conversation with thinking and two tool calls, through all four APIs, streamed and not: the same tokens and the same
meaning. What goes over the wire is recorded in tests/golden/apis/; RECORD_GOLDEN=1 records it anew."""
import json
import os
import re

import httpx
import pytest

from minimax_server import ROOT

GOLDEN = ROOT / "tests/golden/apis"
FUNCTIONS = [tool["function"] for tool in json.loads((ROOT / "examples/weather/tools.json").read_text())]
RESULTS = ['{"temperature": 21, "condition": "sunny"}', '{"temperature": 14, "condition": "rainy"}']
# What the client says: a question, a tool's result, the next question, its result.
STEPS = [("ask", "What is the weather in Paris?"), ("result", RESULTS[0]), ("ask", "What is the weather in Rome?"), ("result", RESULTS[1])]


class Api:
    """One API's words: how a conversation grows, and what an answer says."""
    path = ""
    extra: dict = {}

    def __init__(self, url: str) -> None:
        self.url = url
        self.history: list = []

    def post(self, **more):
        return httpx.post(self.url + self.path, json={"model": "tiny", "temperature": 0, **self.extra, **self.body(), **more}, timeout=60)

    def whole(self):
        reply = self.post().json()
        return reply, self.said(reply)

    def streamed(self):
        events = []
        for part in self.post(stream=True, **self.stream_extra).text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in part.split("\n") if line)
            if fields and fields["data"] != "[DONE]":
                events.append(json.loads(fields["data"]))
                assert fields.get("event", events[-1].get("type")) == events[-1].get("type")
        return events, self.said(self.total(events))

    stream_extra: dict = {}


class Chat(Api):
    path = "/v1/chat/completions"
    extra = {"tools": [{"type": "function", "function": function} for function in FUNCTIONS], "max_tokens": 400, "return_token_ids": True}
    stream_extra = {"stream_options": {"include_usage": True}}

    def body(self):
        return {"messages": self.history}

    def ask(self, text):
        self.history.append({"role": "user", "content": text})

    def result(self, text):
        self.history.append({"role": "tool", "tool_call_id": self.history[-1]["tool_calls"][0]["id"], "content": text})

    def said(self, reply):
        message = reply["choices"][0]["message"]
        self.answer = {key: value for key, value in message.items() if value is not None}
        calls = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in message.get("tool_calls") or []]
        self.ids = reply["choices"][0]["token_ids"]
        return {"thinking": message["reasoning"] or "", "text": message["content"] or "", "calls": calls,
                "prompt": reply["usage"]["prompt_tokens"], "output": reply["usage"]["completion_tokens"]}

    def total(self, chunks):
        chunks = json.loads(json.dumps(chunks))
        message: dict = {"role": "assistant", "content": "", "reasoning": ""}
        ids: list = []
        for chunk in chunks:
            for choice in chunk["choices"]:
                delta = choice["delta"]
                message["content"] += delta.get("content") or ""
                message["reasoning"] += delta.get("reasoning") or ""
                ids += choice.get("token_ids") or []
                for call in delta.get("tool_calls") or []:
                    if "id" in call:
                        message.setdefault("tool_calls", []).append(call)
                    else:
                        message["tool_calls"][-1]["function"]["arguments"] += call["function"]["arguments"]
        for call in message.get("tool_calls", []):
            call.pop("index")
        return {"choices": [{"message": message, "token_ids": ids}], "usage": chunks[-1]["usage"]}

    def keep(self):
        self.history.append(self.answer)


class Completions(Api):
    """Has no messages: it is given the prompt that chat renders, as ids, and its text is read by eye."""
    path = "/v1/completions"
    extra = {"max_tokens": 400, "return_token_ids": True, "skip_special_tokens": False}
    stream_extra = {"stream_options": {"include_usage": True}}

    def __init__(self, url):
        super().__init__(url)
        self.chat = Chat(url)

    def body(self):
        rendered = httpx.post(self.url + "/v1/chat/completions/render", json={"model": "tiny", **self.chat.extra, **self.chat.body()}).json()
        return {"prompt": rendered["prompt_token_ids"]}

    def ask(self, text):
        self.chat.ask(text)

    def result(self, text):
        self.chat.result(text)

    def said(self, reply):
        text = reply["choices"][0]["text"]
        self.ids = reply["choices"][0]["token_ids"]
        thinking, _, rest = text.partition("</think>")
        content, *blocks = re.split(r"<minimax:tool_call>", rest.removeprefix("\n\n"))
        calls = []
        for name, inside in re.findall(r'<invoke name="([^"]+)">(.*?)</invoke>', "".join(blocks), re.S):
            calls.append((name, dict(re.findall(r'<parameter name="([^"]+)">(.*?)</parameter>', inside, re.S))))
        return {"thinking": thinking.strip(), "text": content.removesuffix("\n") if calls else content, "calls": calls,
                "prompt": reply["usage"]["prompt_tokens"], "output": reply["usage"]["completion_tokens"]}

    def total(self, chunks):
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        return {"choices": [{"text": "".join(choice["text"] for choice in choices), "token_ids": sum((choice["token_ids"] for choice in choices), [])}],
                "usage": chunks[-1]["usage"]}

    def keep(self):
        self.chat.whole()
        self.chat.keep()


class Responses(Api):
    path = "/v1/responses"
    extra = {"tools": [{"type": "function", **function} for function in FUNCTIONS], "max_output_tokens": 400, "store": False}

    def body(self):
        return {"input": self.history}

    def ask(self, text):
        self.history.append({"role": "user", "content": text})

    def result(self, text):
        self.history.append({"type": "function_call_output", "call_id": self.history[-1]["call_id"], "output": text})

    def said(self, reply):
        self.output = reply["output"]

        def texts(kind):
            return "".join(item["content"][0]["text"] for item in self.output if item["type"] == kind)
        calls = [(item["name"], json.loads(item["arguments"])) for item in self.output if item["type"] == "function_call"]
        return {"thinking": texts("reasoning"), "text": texts("message"), "calls": calls,
                "prompt": reply["usage"]["input_tokens"], "output": reply["usage"]["output_tokens"]}

    def total(self, events):
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        return events[-1]["response"]

    def keep(self):
        self.history += self.output


class Messages(Api):
    path = "/v1/messages"
    extra = {"tools": [{"name": function["name"], "description": function["description"], "input_schema": function["parameters"]}
                       for function in FUNCTIONS], "max_tokens": 400}

    def body(self):
        return {"messages": self.history}

    def ask(self, text):
        self.history.append({"role": "user", "content": text})

    def result(self, text):
        self.history.append({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": self.history[-1]["content"][-1]["id"], "content": text}]})

    def said(self, reply):
        self.content = reply["content"]

        def texts(kind):
            return "".join(block[kind] for block in self.content if block["type"] == kind)
        calls = [(block["name"], block["input"]) for block in self.content if block["type"] == "tool_use"]
        usage = reply["usage"]
        return {"thinking": texts("thinking"), "text": texts("text"), "calls": calls,
                "prompt": usage["input_tokens"] + usage["cache_read_input_tokens"], "output": usage["output_tokens"]}

    def total(self, events):
        content: list = []
        for event in events:
            if event["type"] == "content_block_start":
                content.append({**event["content_block"], "json": ""})
            elif event["type"] == "content_block_delta":
                delta = dict(event["delta"])
                delta.pop("type")
                for key, value in delta.items():
                    content[-1]["json" if key == "partial_json" else key] += value
        for block in content:
            text = block.pop("json")
            if block["type"] == "tool_use":
                block["input"] = json.loads(text)
        assert events[-1]["type"] == "message_stop"
        return {"content": content, "usage": events[-2]["usage"]}

    def keep(self):
        self.history.append({"role": "assistant", "content": self.content})


APIS = {"chat": Chat, "completions": Completions, "responses": Responses, "messages": Messages}
RANDOM = re.compile(r"(chatcmpl|cmpl|resp|msg|rs|fc|call|toolu)[-_][0-9a-f]{24,32}")
# Members whose value is a time, or tells what other requests left in the cache.
VOLATILE = {"created", "created_at", "completed_at", "cached_tokens", "cache_read_input_tokens", "prompt_tokens_details"}


def normal(value, names):
    """Ids by their first appearance, no times, nothing that the prefix cache decides."""
    if isinstance(value, dict):
        out = {key: normal(inner, names) for key, inner in value.items() if key not in VOLATILE}
        if "cache_read_input_tokens" in value:
            out.pop("input_tokens")
        return out
    if isinstance(value, list):
        return [normal(inner, names) for inner in value]
    if isinstance(value, str):
        return RANDOM.sub(lambda found: names.setdefault(found.group(0), f"{found.group(1)}_{len(names)}"), value)
    return value


def pieces(event):
    """A chunk of chat or completions as one chunk for each thing it says, with the finish in one of its own."""
    if not event.get("choices"):
        return [event]
    choice = event["choices"][0]
    choice.pop("token_ids", None)
    finish = choice.get("finish_reason") and {**event, "choices": [{**choice, **({"delta": {}} if "delta" in choice else {"text": ""})}]}
    choice["finish_reason"] = None
    choice.pop("stop_reason", None)
    out = []

    def add(**more):
        out.append(json.loads(json.dumps({**event, "choices": [{**choice, **more}]})))
    if "text" in choice:
        add(text=choice["text"])
    else:
        delta = choice["delta"]
        if "role" in delta:
            add(delta=delta)
            delta = {}
        for key in ("reasoning", "content"):
            if key in delta:
                add(delta={key: delta[key]})
        for call in delta.get("tool_calls", []):
            arguments = call["function"].pop("arguments")
            if "id" in call:
                add(delta={"tool_calls": [call]})
            if arguments:
                add(delta={"tool_calls": [{"index": call["index"], "function": {"arguments": arguments}}]})
    return out + ([finish] if finish else [])


def piece_of(event):
    """What kind of text an event carries, and the object and the member that hold it; nothing if it carries none."""
    if event.get("choices"):
        choice = event["choices"][0]
        if choice["finish_reason"] is not None:
            return None, None, None
        if "text" in choice:
            return "text", choice, "text"
        delta = choice["delta"]
        if list(delta) in (["reasoning"], ["content"]):
            return list(delta)[0], delta, list(delta)[0]
        if "tool_calls" in delta and "id" not in delta["tool_calls"][0]:
            return "arguments", delta["tool_calls"][0]["function"], "arguments"
    elif event.get("type") == "content_block_delta":
        key = next(key for key in event["delta"] if key != "type")
        return key, event["delta"], key
    elif event.get("type", "").endswith(".delta"):
        return event["type"], event, "delta"
    return None, None, None


def joined(events):
    """Neighbouring pieces of one text as one: where they are cut depends on time."""
    out: list = []
    for event in events:
        event = json.loads(json.dumps(event))
        event.pop("sequence_number", None)
        for part in pieces(event):
            kind, place, member = piece_of(part)
            if kind and out and out[-1][0] == kind:
                out[-1][1][member] += place[member]
            else:
                out.append((kind, place, part))
    return [event for _, _, event in out]


@pytest.fixture(scope="module")
def runs(server):
    """By API and mode: what was said at each step, what went over the wire, and the ids where the API tells them."""
    out = {}
    for name, kind in APIS.items():
        for mode in ("whole", "streamed"):
            api = kind(server.url)
            said, wire, ids = [], [], []
            for step, text in STEPS:
                getattr(api, step)(text)
                reply, meaning = getattr(api, mode)()
                said.append(meaning)
                wire.append(reply)
                ids.append(getattr(api, "ids", None))
                api.keep()
            out[name, mode] = (said, wire, ids)
    return out


def test_the_conversation_thinks_and_calls_two_tools(runs):
    said = runs["chat", "whole"][0]
    assert [bool(step["calls"]) for step in said] == [True, False, True, False]
    assert all(step["thinking"] for step in said)
    assert [step["calls"][0][1] for step in said if step["calls"]] == [{"city": "Paris"}, {"city": "Rome"}]


@pytest.mark.parametrize("name, mode", [(name, mode) for name in APIS for mode in ("whole", "streamed")])
def test_every_api_says_the_same(runs, name, mode):
    assert runs[name, mode][0] == runs["chat", "whole"][0]


def test_the_tokens_are_the_same(runs):
    reference = runs["chat", "whole"][2]
    for key in [("chat", "streamed"), ("completions", "whole"), ("completions", "streamed")]:
        assert runs[key][2] == reference


@pytest.mark.parametrize("name, mode", [(name, mode) for name in APIS for mode in ("whole", "streamed")])
def test_what_goes_over_the_wire_is_what_was_recorded(runs, name, mode):
    wire = runs[name, mode][1]
    if mode == "streamed":
        wire = [joined(events) for events in wire]
    text = json.dumps(normal(wire, {}), indent=1, ensure_ascii=False) + "\n"
    path = GOLDEN / f"{name}_{mode}.json"
    if os.environ.get("RECORD_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert json.loads(text) == json.loads(path.read_text()), "RECORD_GOLDEN=1 records it anew, if this is meant"
