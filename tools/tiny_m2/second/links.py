"""Invented tools that need each other: one finds what another asks for. And the turns that take both, or all three."""
from typing import TYPE_CHECKING, Any

from .invented import BY_NAME, VERBS, Field, Invented, Verb, declare, noun_of, pairs, result_value, said
from .names import styled
from .toolbox import TIME, WEATHER, Slots, Tool
from .words import Words

if TYPE_CHECKING:
    from .generate import Dialogue

ACTIONS = [verb for verb in VERBS if not verb.reads and verb.names[0] != "create"]
SUMS = "price cost weight points size amount distance count score".split()


def id_words(w: Words, noun: str) -> list[str]:
    return w.r.choice([["id"], [*noun.split(), "id"], ["number"], [*noun.split(), "number"], ["code"]]) if noun.isascii() else \
        w.r.choice([["id"], ["number"], ["code"]])


class Found:
    """A thing, the tool that finds it by a word, and the key under which its id comes."""

    def __init__(self, w: Words, noun: str, by: list[str] | None = None, extra: str = "", outer: "Found | None" = None):
        self.noun, self.key = noun, styled(w, id_words(w, noun), hyphens=False)
        self.number = w.r.random() < 0.5
        taken = set(noun.split()) | {"id", "number", "code"}
        self.by = Field(w, "0", taken, by, simple=True)
        if outer:  # found by what the outer one is found to be
            self.by.make, self.by.schema = outer.id_of(w), {"type": "integer" if outer.number else "string"}
        others = [("_".join([w.latin()]), result_value(w)) for _ in range(w.r.choice([0, 0, 1, 2]))]
        if extra == "city":
            others.append((w.r.choice(["city", "location", "town"]), w.city))
        if extra in SUMS:
            others.append((extra, lambda: w.r.randint(1, w.r.choice([50, 999, 9999]))))
        w.r.shuffle(others)
        self.others = others
        verb = w.r.choice([verb for verb in VERBS if verb.reads])
        self.tool = declare(w, Invented(w, verb, noun, [self.by], [(self.key, self.id_of(w)), *others]))

    def id_of(self, w: Words) -> Any:
        return lambda: w.r.randint(1, 99999) if self.number else w.code()


class Links:
    """Two or three tools in a row: [outer ->] inner -> action; and what else the finder can serve."""

    def __init__(self, w: Words):
        r = w.r
        noun = noun_of(w)
        self.deep = r.random() < 0.35
        self.extra = r.choice(["city", r.choice(SUMS), ""])
        self.outer = Found(w, noun_of(w)) if self.deep else None
        while self.outer and self.outer.noun == noun:
            noun = noun_of(w)
        self.inner = Found(w, noun, [*self.outer.noun.split(), "id"] if self.outer and self.outer.noun.isascii() else ["owner"] if self.outer else None,
                           self.extra, self.outer)
        taken = set(noun.split()) | {"id", "number", "code"} | set(self.inner.by.words.split())
        key = Field(w, "0", taken, id_words(w, noun), simple=True)
        key.opaque, key.schema, key.make = False, {"type": "integer" if self.inner.number else "string"}, self.inner.id_of(w)
        self.key = key
        self.more = [Field(w, "1", taken)] if r.random() < 0.3 else []
        verb: Verb = r.choice(ACTIONS)
        self.action = declare(w, Invented(w, verb, noun, [key, *self.more]))
        self.tools: list[Tool] = [self.inner.tool, self.action] + ([self.outer.tool] if self.outer else [])
        r.shuffle(self.tools)


def find(d: "Dialogue", found: Found, slots: Slots, thought: str) -> dict[str, Any] | None:
    """Calls a finder; the id, or None when it fails (the user has been told)."""
    reports, failed, results = d.run(thought, [(found.tool, slots)])
    if failed[0]:
        d.failed(found.tool.name, failed[0])
        return None
    return results[0]


def act(d: "Dialogue", links: Links) -> bool:
    """The action on a thing that the user knows by another word than its id."""
    w, kind = d.w, links.action.kind
    assert isinstance(kind, Invented)
    slots = {f.key: f.value(w) for f in links.more if f.required or w.r.random() < 0.6}
    first = links.outer or links.inner
    known = {"0": first.by.value(w)}
    who = said(w, known["0"], "")
    extra = pairs(w, links.more, slots) if slots else ""
    if w.chinese:
        thing = f"{first.by.words}为{who}的{first.noun}" + (f"的{links.inner.noun}" if links.outer else "")
        d.user(w.r.choice(["请{}{}", "帮我{}{}", "{}{}"]).format(kind.verb.chinese, thing) + (f"，{extra}" if extra else "") + "。")
    else:
        thing = f"the {first.noun} with {first.by.words} {who}"
        if links.outer:
            thing = w.r.choice([f"the {links.inner.noun} of {thing}", f"the {links.inner.noun} that belongs to {thing}"])
        verb = w.r.choice(kind.verb.asks)
        d.user(w.r.choice([f"{verb} {thing}", f"Please {verb.lower()} {thing}", f"Find {thing} and {verb.lower()} it" if not links.outer else f"{verb} {thing}"])
               + (f", {extra}" if extra else "") + ".")
    thought = f"The user wants {kind.aim({})}. I need its {links.key.words} first. "
    if links.outer:
        result = find(d, links.outer, known, thought + f"I should find the {first.noun} with {links.outer.tool.name}.")
        if result is None:
            return True
        known = {"0": result[links.outer.key]}
        thought = f"The {links.outer.key} is {known['0']}. "
    result = find(d, links.inner, known, thought + f"I should find the {links.inner.noun} with {links.inner.tool.name}.")
    if result is None:
        return True
    slots |= {"0": result[links.inner.key]}
    reports, failed, _ = d.run(f"The {links.inner.key} is {slots['0']}. Now I should call {links.action.name}.", [(links.action, slots)])
    d.finish([links.action.name], [kind.aim({})], reports, failed)
    return True


def place(d: "Dialogue", links: Links) -> bool:
    """The weather or the time where something is."""
    tools = [tool for tool in d.tools if isinstance(tool, Tool) and tool.kind in (WEATHER, TIME)]
    if links.extra != "city" or links.outer or not tools:
        return False
    tool, w, found = d.r.choice(tools), d.w, links.inner
    weather = tool.kind is WEATHER
    known = {"0": found.by.value(w)}
    who = said(w, known["0"], "")
    if w.chinese:
        d.user(f"{found.by.words}为{who}的{found.noun}那里{'天气怎么样' if weather else '现在几点'}？")
    else:
        what = "the weather" if weather else "the time"
        thing = f"the {found.noun} with {found.by.words} {who}"
        d.user(w.r.choice([f"What is {what} where {thing} is?", f"Tell me {what} in the city of {thing}.", f"What is {what} at {thing}?"]))
    result = find(d, found, known, f"I need the city of the {found.noun}. I should find it with {found.tool.name}.")
    if result is None:
        return True
    slots = {"city": next(result[key] for key in ("city", "location", "town") if key in result)}
    reports, failed, _ = d.run(f"The city is {slots['city']}. Now I should call {tool.name}.", [(tool, slots)])
    d.finish([tool.name], [tool.kind.goal(slots)], reports, failed)
    return True


def total(d: "Dialogue", links: Links) -> bool:
    """A number of two or three things, added up by the calculator."""
    if links.extra not in SUMS or links.outer or not d.files or not d.files.can("calculate"):
        return False
    w, found, r = d.w, links.inner, d.r
    known = [{"0": found.by.value(w)} for _ in range(r.choice([2, 2, 3]))]
    if len({k["0"] for k in known}) < len(known):
        return False
    names = [said(w, k["0"], "") for k in known]
    if w.chinese:
        d.user(f"{found.by.words}为{'、'.join(names)}的{found.noun}，{links.extra}总和是多少？")
    else:
        d.user(r.choice([f"What is the total {links.extra} of the {found.noun} with {found.by.words} {', '.join(names[:-1])} and {names[-1]}?",
                         f"Add up the {links.extra} of the {found.noun} with {found.by.words} {', '.join(names[:-1])} and {names[-1]}."]))
    _, failed, results = d.run(f"I need the {links.extra} of each {found.noun}. I should call {found.tool.name} {len(known)} times.",
                               [(found.tool, k) for k in known])
    if any(failed):
        d.failed(found.tool.name, next(error for error in failed if error))
        return True
    numbers = [str(result[links.extra]) for result in results]
    call = d.files.call("calculate", expression=" + ".join(numbers))
    d.step(f"The numbers are {', '.join(numbers)}. I should add them with {call[0]}.", [call])
    sum_ = sum(map(int, numbers))
    d.say(f"The sum is {sum_}. I can answer now.", f"{links.extra}总和是{sum_}。" if w.chinese else f"The total {links.extra} is {sum_}.")
    return True
