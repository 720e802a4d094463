"""Invented tools: a verb and a thing, with parameters of every JSON type. Nobody has seen them: the model must read.

The user names a parameter by the words of its key, or, where the key says nothing, by the words of its description.
"""
import json
from typing import Any, Callable

from .names import described, identifier, styled
from .schemas import dressed
from .toolbox import Kind, Parameter, Slots, Tool
from .words import KEYS, NOUNS, Words


class Verb:
    def __init__(self, names: str, asks: str, done: str, chinese: str, reads: bool = False):
        self.names, self.asks, self.done, self.chinese, self.reads = names.split(), asks.split(","), done, chinese, reads


VERBS = [
    Verb("create add new make", "Create,Add,Make", "created", "创建"), Verb("delete remove drop", "Delete,Remove", "deleted", "删除"),
    Verb("update change edit modify", "Update,Change,Edit", "updated", "更新"), Verb("start launch begin", "Start,Launch", "started", "启动"),
    Verb("get fetch show lookup query read", "Show,Get,Look up,Show me", "", "查询", True), Verb("stop halt end", "Stop,Halt", "stopped", "停止"),
    Verb("check verify inspect", "Check,Verify,Inspect", "", "检查", True), Verb("send dispatch", "Send,Dispatch", "sent", "发送"),
    Verb("book reserve", "Book,Reserve", "booked", "预订"), Verb("cancel revoke", "Cancel,Revoke", "cancelled", "取消"),
    Verb("open unlock", "Open,Unlock", "opened", "打开"), Verb("close lock", "Close,Lock", "closed", "关闭"),
    Verb("print", "Print", "printed", "打印"), Verb("publish release", "Publish,Release", "published", "发布"),
    Verb("copy duplicate clone", "Copy,Duplicate,Clone", "copied", "复制"), Verb("share", "Share", "shared", "分享"),
]
BY_NAME = {verb.names[0]: verb for verb in VERBS}
Value = Callable[[], Any]


def plain(value: Any) -> str:
    """A value as it stands in an answer."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def text_value(w: Words) -> str:
    x = w.r.random()
    if x < 0.35:
        return w.made_up()
    if x < 0.5:
        return w.name()
    if x < 0.65:
        return w.code()
    if x < 0.72:
        return w.date()
    if x < 0.78:
        return w.clock()
    if x < 0.82:
        return f"{w.latin()}/{w.latin()}.{w.r.choice(['txt', 'md', 'csv', 'json', 'py'])}"
    return w.phrase()


def number_value(w: Words) -> int | float:
    return w.amount() if w.r.random() < 0.9 else -w.amount()


def integer_value(w: Words) -> int:
    r = w.r
    return r.choice([r.randint(0, 20), r.randint(0, 999), r.randint(0, 99999), -r.randint(1, 99)])


def key_words(w: Words, taken: set[str]) -> list[str]:
    while True:
        x, r = w.r.random(), w.r
        words = [w.own(KEYS)] if x < 0.5 else [w.latin()] if x < 0.75 else [w.own(KEYS), w.own(KEYS)] if x < 0.85 else [w.own(KEYS), w.latin()]
        r.shuffle(words)
        if not taken & set(words):
            taken |= set(words)
            return words


def leaf(w: Words) -> tuple[dict[str, Any], Value]:
    """A schema without parts, and a source of its values."""
    x = w.r.random()
    if x < 0.40:
        return {"type": "string"}, lambda: text_value(w)
    if x < 0.55:
        choices = list(dict.fromkeys(w.made_up() for _ in range(w.r.randint(2, 4))))
        return {"type": "string", "enum": choices}, lambda: w.r.choice(choices)
    if x < 0.72:
        return {"type": "integer"}, lambda: integer_value(w)
    if x < 0.86:
        return {"type": "number"}, lambda: number_value(w)
    return {"type": "boolean"}, lambda: w.r.random() < 0.5


def object_of(w: Words, small: bool) -> tuple[dict[str, Any], Value]:
    taken: set[str] = set()
    parts = {"_".join(key_words(w, taken)): leaf(w) for _ in range(w.r.randint(1, 2 if small else 3))}
    schema: dict[str, Any] = {"type": "object", "properties": {key: part[0] for key, part in parts.items()}}
    if w.r.random() < 0.4:
        schema["required"] = list(parts)
    return schema, lambda: {key: part[1]() for key, part in parts.items()}


def valued(w: Words) -> tuple[dict[str, Any], Value]:
    """Any schema, and a source of its values."""
    x = w.r.random()
    if x < 0.66:
        return leaf(w)
    if x < 0.84:
        inner, make = w.r.choice([({"type": "string"}, w.made_up), ({"type": "string"}, w.name), ({"type": "integer"}, lambda: integer_value(w)),
                                  ({"type": "number"}, lambda: number_value(w))])
        return {"type": "array", "items": inner}, lambda: [make() for _ in range(w.r.randint(1, 4))]
    if x < 0.96:
        return object_of(w, False)
    inner, whole = object_of(w, True)
    return {"type": "array", "items": inner}, lambda: [whole() for _ in range(w.r.randint(1, 2))]


def nullable(w: Words, schema: dict[str, Any]) -> dict[str, Any]:
    if "enum" in schema or w.r.random() < 0.4:
        return {"anyOf": [schema, {"type": "null"}]}
    if w.r.random() < 0.3:
        return schema | {"nullable": True}
    return {"type": [schema["type"], "null"]} | {key: value for key, value in schema.items() if key != "type"}


class Field(Parameter):
    """A parameter with the words that the user says for it."""

    def __init__(self, w: Words, key: str, taken: set[str], words: list[str] | None = None, simple: bool = False):
        r = w.r
        schema, make = ({"type": "string"}, lambda: text_value(w)) if simple else valued(w)
        self.null = not simple and r.random() < 0.12
        self.make: Value = make
        super().__init__(key, [], nullable(w, schema) if self.null else schema, "", simple or r.random() < 0.6)
        self.opaque = r.random() < 0.2
        words = words or key_words(w, taken)
        self.words = " ".join(words)
        if w.chinese and self.opaque:
            self.words = w.hanzi()
        self.name = r.choice(["p", "arg", "x", "v"]) + str(int(key) + 1) if self.opaque else styled(w, words)

    def declare(self, w: Words, with_about: bool) -> dict[str, Any]:
        if not with_about and not self.opaque:
            return self.schema
        about = f"{self.words}" if self.opaque and w.chinese else w.r.choice(["The {}", "{}", "{} to use", "Which {}", "the {} wanted"]).format(self.words)
        return self.schema | {"description": about} if w.r.random() < 0.8 else {"description": about} | self.schema

    def value(self, w: Words) -> Any:
        return None if self.null and w.r.random() < 0.4 else self.make()


def said(w: Words, value: Any, separator: str) -> str:
    """A value as a user writes it."""
    r = w.r
    if isinstance(value, bool):
        return r.choice([["yes", "true", "on"], ["no", "false", "off"]][not value]) if not w.chinese else r.choice([["是", "true"], ["否", "false"]][not value])
    if isinstance(value, str):
        quoted = any(c in value for c in " ,，;；=:") or r.random() < 0.3
        return f'"{value}"' if quoted else value
    if isinstance(value, list) and all(not isinstance(x, (dict, bool)) for x in value) and not any(isinstance(x, str) and " " in x for x in value):
        x = r.random()
        if x < 0.45 and separator != ", ":
            return ", ".join(map(plain, value))
        if x < 0.75 and not w.chinese:
            return " and ".join(map(plain, value))
        if x < 0.75:
            return "、".join(map(plain, value))
    if isinstance(value, dict) and r.random() < 0.6:
        return "(" + ", ".join(f"{key.replace('_', ' ') if r.random() < 0.5 else key} {said(w, x, '')}" for key, x in value.items()) + ")"
    return json.dumps(value, ensure_ascii=False)


def pairs(w: Words, fields: list[Field], slots: Slots) -> str:
    r = w.r
    given = [field for field in fields if field.key in slots]
    if r.random() < 0.4:
        r.shuffle(given)
    lists = any(isinstance(slots[field.key], list) for field in given)
    separator = "; " if lists else r.choice([", ", ", ", " and ", "; "])
    if w.chinese:
        separator = "；" if lists else r.choice(["，", "，", "；"])
    form = r.choice(["{}为{}", "{}是{}", "{}：{}", "{}={}"] if w.chinese else ["{} {}", "{} {}", "{} = {}", "{}: {}", "{} set to {}", "the {} {}"])
    out = []
    for field in given:
        if slots[field.key] is None:
            out.append(f"{field.words}为空" if w.chinese else r.choice([f"no {field.words}", f"{field.words} null", f"{field.words} empty"]))
        else:
            out.append(form.format(field.words, said(w, slots[field.key], separator)))
    return separator.join(out)


class Invented(Kind):
    """One verb on one thing."""

    def __init__(self, w: Words, verb: Verb, noun: str, fields: list[Field] | None = None, results: list[tuple[str, Value]] | None = None):
        r, taken = w.r, set(noun.split())
        self.verb, self.noun = verb, noun
        self.fields = fields if fields is not None else [Field(w, str(i), taken) for i in range(r.choices([0, 1, 2, 3, 4, 5], [4, 20, 30, 25, 15, 6])[0])]
        self.results = results if results is not None else [("_".join(key_words(w, taken)), result_value(w)) for _ in range(r.randint(1, 3))]
        self.identified = r.random() < 0.4
        super().__init__([f"{verb.names[0]}_{noun}"], [], list(self.fields), self.fill, lambda s: [self.asked(w, s)], self.aim, self.answer, self.told,
                         None, self.told_zh)

    def fill(self, w: Words) -> Slots:
        return {f.key: f.value(w) for f in self.fields if f.required or w.r.random() < 0.6}

    def aim(self, s: Slots) -> str:
        return f"the {self.noun}" + (f" {self.verb.done}" if self.verb.done else "")

    def asked(self, w: Words, s: Slots) -> str:
        r, what = w.r, pairs(w, self.fields, s)
        if w.chinese:
            head = r.choice(["请{}{}", "{}{}", "帮我{}{}", "我要{}{}"]).format(self.verb.chinese, self.noun)
            return head + (r.choice(["：", "，"]) + what if what else "") + "。"
        verb = r.choice(self.verb.asks)
        article = r.choice(["a", "the", "the"]) if self.verb.names[0] == "create" else "the"
        head = f"{verb} {article} {self.noun}"
        x = r.random()
        head = f"Please {head[:1].lower()}{head[1:]}" if x < 0.2 else f"I want to {head[:1].lower()}{head[1:]}" if x < 0.3 else \
            f"Can you {head[:1].lower()}{head[1:]}" if x < 0.4 else head
        return head + (r.choice([" with ", ": ", " with ", ", "]) + what if what else "") + ("?" if head.startswith("Can") else r.choice([".", ".", ""]))

    def answer(self, w: Words, s: Slots) -> Any:
        r = w.r
        if self.verb.reads:
            out = [(key, make()) for key, make in self.results]
            return dict(out)
        if self.identified:
            return {"id": w.code() if r.random() < 0.5 else r.randint(1, 99999)} | ({"status": "ok"} if r.random() < 0.4 else {})
        return r.choice([{"status": "ok"}, {"ok": True}, {self.verb.done: True}, "ok", "done", {"result": "success"}])

    def told(self, s: Slots, result: Any) -> str:
        if self.verb.reads:
            return f"The {self.noun}: " + ", ".join(f"{key} is {plain(value)}" for key, value in result.items()) + "."
        return f"The {self.noun} is {self.verb.done}." + (f" Its id is {result['id']}." if isinstance(result, dict) and "id" in result else "")

    def told_zh(self, s: Slots, result: Any) -> str:
        if self.verb.reads:
            return f"{self.noun}：" + "，".join(f"{key}是{plain(value)}" for key, value in result.items()) + "。"
        return f"{self.noun}已{self.verb.chinese}。" + (f"编号是{result['id']}。" if isinstance(result, dict) and "id" in result else "")


def result_value(w: Words) -> Value:
    x = w.r.random()
    if x < 0.4:
        return lambda: text_value(w)
    if x < 0.65:
        return lambda: integer_value(w)
    if x < 0.8:
        return lambda: number_value(w)
    if x < 0.88:
        return lambda: w.r.random() < 0.5
    if x < 0.92:
        return lambda: None
    return lambda: [w.made_up() for _ in range(w.r.randint(1, 3))]


def noun_of(w: Words) -> str:
    x = w.r.random()
    if w.chinese and x < 0.5:
        return w.hanzi()
    return w.own(NOUNS) if x < 0.65 else w.latin() if x < 0.85 else f"{w.latin()} {w.own(NOUNS)}"


def declare(w: Words, kind: Invented) -> Tool:
    r, verb, noun = w.r, kind.verb, kind.noun
    x = r.random()
    silent = not noun.isascii() or x < 0.12  # the name says nothing: the description does
    words = noun.split()
    bases = ["_".join([name, *words]) for name in verb.names] + ["_".join([*words, verb.names[0]])]
    name = identifier(w, [r.choice(["tool", "fn", "action", "op"]) + f"_{r.randint(1, 99)}", w.latin()] if silent else bases)
    properties: dict[str, Any] = {}
    with_about = r.random() < 0.5
    order = kind.fields if r.random() < 0.6 else r.sample(kind.fields, len(kind.fields))
    spelled: dict[str, str] = {}
    for f in order:
        key = f.name
        while key in properties:
            key += "2"
        spelled[f.key] = key
        properties[key] = f.declare(w, with_about)
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    required = [spelled[f.key] for f in order if f.required]
    if required or r.random() < 0.3:
        schema["required"] = required
    if r.random() < 0.15:
        schema["additionalProperties"] = False
    function: dict[str, Any] = {"name": name}
    if silent or r.random() < 0.8:
        texts = [f"{verb.chinese}{noun}", f"{verb.chinese}一个{noun}"] if not noun.isascii() else \
            [f"{name.capitalize()} a {noun}." for name in verb.names] + [f"{name.capitalize()} {noun}" for name in verb.names]
        function["description"] = described(w, r.choice(texts))
    function["parameters"] = schema
    return Tool(kind, dressed(w, function), spelled)


def family(w: Words) -> list[Tool]:
    """One to three tools about one thing."""
    noun = noun_of(w)
    return [declare(w, Invented(w, verb, noun)) for verb in w.r.sample(VERBS, w.r.choices([1, 2, 3], [5, 3, 2])[0])]
