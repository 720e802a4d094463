"""Eight everyday tools: how each is declared, asked for, called, answered and reported (in Chinese: chinese.py).

A tool has many names and spellings of its schema, because a client brings its own: the model must read the list.
Reports are a function of the result alone, so that an answer can be checked word for word.
"""
import json
import random
from dataclasses import dataclass, field
from typing import Any, Callable

from . import chinese
from .names import described, identifier
from .schemas import dressed
from .words import CONDITIONS, CURRENCIES, ROOMS, Words, whole

Slots = dict[str, Any]


@dataclass
class Parameter:
    key: str  # the slot
    names: list[str]  # what a schema may call it, the usual first
    schema: dict[str, Any]
    about: str
    required: bool = True


@dataclass
class Kind:
    """One sort of tool."""
    names: list[str]  # the usual first
    about: list[str]
    parameters: list[Parameter]
    slots: Callable[[Words], Slots]
    asks: Callable[[Slots], list[str]]  # whole sentences
    goal: Callable[[Slots], str]  # "to know the weather in Paris"
    result: Callable[[Words, Slots], Any]  # JSON value or text
    report: Callable[[Slots, Any], str]
    asks_zh: Callable[[Slots], list[str]] | None = None
    report_zh: Callable[[Slots, Any], str] | None = None
    tool: "Tool | None" = None  # the one tool of an invented kind

    def ask(self, w: Words, slots: Slots) -> str:
        return w.r.choice(self.asks_zh(slots) if w.chinese and self.asks_zh else self.asks(slots))

    def say(self, w: Words, slots: Slots, result: Any) -> str:
        return self.report_zh(slots, result) if w.chinese and self.report_zh else self.report(slots, result)


@dataclass
class Tool:
    """A kind as one client declares it."""
    kind: Kind
    function: dict[str, Any]
    spelled: dict[str, str] = field(default_factory=dict)  # slot -> parameter name

    @property
    def name(self) -> str:
        return self.function["name"]

    def arguments(self, slots: Slots) -> dict[str, Any]:
        """In the order of the schema."""
        keys = {name: key for key, name in self.spelled.items()}
        return {name: slots[keys[name]] for name in self.function["parameters"]["properties"] if keys[name] in slots}

    def declaration(self) -> dict[str, Any]:
        return {"type": "function", "function": self.function}


def shuffled(r: random.Random, pairs: dict[str, Any]) -> dict[str, Any]:
    items = list(pairs.items())
    if r.random() < 0.3:
        r.shuffle(items)
    return dict(items)


def first_of(result: dict[str, Any], *keys: str) -> Any:
    return next(result[key] for key in keys if key in result)


# --- weather ---------------------------------------------------------------------------------------------------------

def weather_result(w: Words, s: Slots) -> Any:
    r = w.r
    degrees = r.randint(-25, 42) if r.random() < 0.8 else whole(round(r.uniform(-20, 40), 1))
    sky = r.choice(chinese.CONDITIONS if w.chinese and r.random() < 0.6 else CONDITIONS)
    if r.random() < 0.03:
        return f"{degrees} degrees, {sky}"
    out: dict[str, Any] = {}
    if r.random() < 0.3:
        out[r.choice(["city", "location"])] = s["city"]
    out[r.choice(["temperature"] * 3 + ["temp", "temperature_c", "temp_c", "degrees"])] = degrees
    if r.random() < 0.3:
        out["unit"] = r.choice(["C", "celsius"])
    out[r.choice(["condition"] * 3 + ["conditions", "sky", "weather", "description"])] = sky
    if r.random() < 0.2:
        out["humidity"] = r.randint(10, 99)
    if r.random() < 0.2:
        out["wind_kmh"] = r.randint(0, 90)
    return shuffled(r, out)


def weather_report(s: Slots, result: Any) -> str:
    if isinstance(result, str):
        degrees, sky = result.split(" degrees, ")
    else:
        degrees = first_of(result, "temperature", "temp", "temperature_c", "temp_c", "degrees")
        sky = first_of(result, "condition", "conditions", "sky", "weather", "description")
    return f"It is {degrees} degrees and {sky} in {s['city']}."


WEATHER = Kind(
    ["get_weather", "get_current_weather", "weather", "weather_lookup", "check_weather", "fetch_weather", "weather_report", "show_weather", "city_weather"],
    ["Get the current weather of a city.", "Get weather", "Current weather for a place", "Get the weather for a city"],
    [Parameter("city", ["city", "location", "place", "city_name", "where", "town"], {"type": "string"}, "Name of the city")],
    lambda w: {"city": w.city()},
    lambda s: [f"What is the weather in {s['city']}?", f"What's the weather like in {s['city']}?",
               f"How is the weather in {s['city']}?", f"How warm is it in {s['city']}?", f"Is it raining in {s['city']}?",
               f"Tell me the weather in {s['city']}.", f"I want to know the weather in {s['city']}.",
               f"Please check the weather for {s['city']}.", f"What is the temperature in {s['city']} right now?",
               f"What's the weather in {s['city']} today?", f"Weather in {s['city']}?"],
    lambda s: f"the weather in {s['city']}", weather_result, weather_report)


# --- time ------------------------------------------------------------------------------------------------------------

def time_result(w: Words, s: Slots) -> Any:
    r = w.r
    out: dict[str, Any] = {"city": s["city"]} if r.random() < 0.4 else {}
    out[r.choice(["time", "time", "local_time"])] = w.clock()
    if r.random() < 0.3:
        out["utc_offset"] = r.randint(-11, 12)
    return shuffled(r, out)


TIME = Kind(
    ["get_time", "get_current_time", "clock", "local_time", "time_lookup", "fetch_time", "city_time", "current_time"],
    ["Get the local time of a city.", "Local time in a place", "Current time"],
    [Parameter("city", ["city", "location", "place", "city_name", "where", "town"], {"type": "string"}, "Name of the city")],
    lambda w: {"city": w.city()},
    lambda s: [f"What time is it in {s['city']}?", f"What's the time in {s['city']}?", f"Tell me the time in {s['city']}.",
               f"How late is it in {s['city']}?", f"Please look up the local time in {s['city']}.",
               f"I need the current time in {s['city']}."],
    lambda s: f"the time in {s['city']}", time_result,
    lambda s, result: f"It is {first_of(result, 'time', 'local_time')} in {s['city']}.")


# --- messages --------------------------------------------------------------------------------------------------------

MESSAGE = Kind(
    ["send_message", "send_text", "message", "text_person", "write_message", "message_send", "notify_person", "deliver_message"],
    ["Send a short message to a person.", "Send a message", "Text somebody"],
    [Parameter("to", ["recipient", "to", "person", "receiver", "contact", "to_name"], {"type": "string"}, "Who gets it"),
     Parameter("text", ["text", "message", "body", "content", "message_text"], {"type": "string"}, "What to send")],
    lambda w: {"to": w.name(), "text": w.sentence()},
    lambda s: [f"Send {s['to']} the message \"{s['text']}\".", f"Tell {s['to']}: \"{s['text']}\"",
               f"Please send \"{s['text']}\" to {s['to']}.", f"Write to {s['to']}: \"{s['text']}\"",
               f"Text {s['to']} \"{s['text']}\".", f"Can you message {s['to']}: \"{s['text']}\""],
    lambda s: f"a message sent to {s['to']}",
    lambda w, s: shuffled(w.r, w.r.choice([{"status": "sent"}, {"ok": True}, {"sent": True, "id": w.r.randint(1, 9999)},
                                           {"status": "sent", "id": w.r.randint(1, 9999)}])),
    lambda s, result: f"Your message to {s['to']} has been sent.")


# --- calendar --------------------------------------------------------------------------------------------------------

def event_slots(w: Words) -> Slots:
    slots: Slots = {"title": w.phrase(), "date": w.date()}
    if w.r.random() < 0.7:
        slots["hour"] = w.r.randint(0, 23)
    return slots


def event_asks(s: Slots) -> list[str]:
    at = f" at {s['hour']} o'clock" if "hour" in s else ""
    short = f" at {s['hour']}" if "hour" in s else ""
    return [f"Put \"{s['title']}\" in my calendar on {s['date']}{at}.", f"Add an event \"{s['title']}\" on {s['date']}{short}.",
            f"Create a calendar entry for {s['date']}{at}: \"{s['title']}\".", f"Schedule \"{s['title']}\" for {s['date']}{short}."]


EVENT = Kind(
    ["add_event", "create_event", "calendar_add", "new_event", "schedule_event", "calendar_event", "event_create"],
    ["Add an event to the user's calendar.", "Create a calendar event", "Add to calendar"],
    [Parameter("title", ["title", "name", "event_title", "subject", "event"], {"type": "string"}, "Title of the event"),
     Parameter("date", ["date", "day", "event_date", "on_date", "on_day"], {"type": "string"}, "Day, YYYY-MM-DD"),
     Parameter("hour", ["hour", "start_hour", "at_hour", "begin_hour"], {"type": "integer"}, "Hour of the day, 0 to 23", required=False)],
    event_slots, event_asks, lambda s: f"an event on {s['date']}",
    lambda w, s: shuffled(w.r, w.r.choice([{"status": "created"}, {"created": True, "event_id": w.r.randint(1, 9999)},
                                           {"ok": True, "id": w.r.randint(1, 999)}])),
    lambda s, result: f"\"{s['title']}\" is in your calendar on {s['date']}"
                      + (f" at {s['hour']} o'clock." if "hour" in s else "."))


# --- notes -----------------------------------------------------------------------------------------------------------

def notes_slots(w: Words) -> Slots:
    slots: Slots = {"query": w.phrase()}
    if w.r.random() < 0.3:
        slots["limit"] = w.r.randint(1, 20)
    return slots


def notes_asks(s: Slots) -> list[str]:
    if "limit" in s:
        return [f"Find at most {s['limit']} notes about \"{s['query']}\".", f"Search my notes for \"{s['query']}\", at most {s['limit']}."]
    return [f"Search my notes for \"{s['query']}\".", f"Do I have notes about \"{s['query']}\"?",
            f"Look for \"{s['query']}\" in my notes.", f"Find my notes on \"{s['query']}\"."]


def notes_result(w: Words, s: Slots) -> Any:
    count = w.r.choice([0, 1, 1, 2, 3, 4, w.r.randint(5, 30)])
    if count == 0:
        return w.r.choice([{"count": 0}, {"count": 0, "notes": []}])
    if w.r.random() < 0.5:
        return {"count": count, "first": w.sentence()}
    notes = [{"id": w.r.randint(1, 999), "text": w.sentence()} for _ in range(min(count, 3))]
    return {"count": count, "notes": notes}


def notes_report(s: Slots, result: Any) -> str:
    count = result["count"]
    if count == 0:
        return f"I found no notes about \"{s['query']}\"."
    first = result["first"] if "first" in result else result["notes"][0]["text"]
    if count == 1:
        return f"I found one note about \"{s['query']}\": \"{first}\"."
    return f"I found {count} notes about \"{s['query']}\". The first says \"{first}\"."


NOTES = Kind(
    ["search_notes", "find_notes", "notes_search", "query_notes", "lookup_notes", "note_search", "notes_find"],
    ["Search the user's notes.", "Full text search in notes", "Find notes"],
    [Parameter("query", ["query", "text", "q", "search_text", "search_for", "words"], {"type": "string"}, "What to look for"),
     Parameter("limit", ["limit", "max_results", "max", "max_count", "top"], {"type": "integer"}, "Largest number of notes", required=False)],
    notes_slots, notes_asks, lambda s: f"notes about \"{s['query']}\"", notes_result, notes_report)


# --- currency --------------------------------------------------------------------------------------------------------

def currency_slots(w: Words) -> Slots:
    source, target = w.r.sample(CURRENCIES, 2)
    return {"amount": w.amount(), "source": source, "target": target}


CURRENCY = Kind(
    ["convert_currency", "currency_convert", "exchange", "money_exchange", "convert_money", "currency_exchange", "exchange_money"],
    ["Convert an amount of money into another currency.", "Currency conversion", "Convert money"],
    [Parameter("amount", ["amount", "value", "how_much", "money", "sum"], {"type": "number"}, "How much"),
     Parameter("source", ["from", "source", "from_currency", "source_currency"], {"type": "string"}, "Currency code of the amount"),
     Parameter("target", ["to", "target", "to_currency", "target_currency"], {"type": "string"}, "Currency code wanted")],
    currency_slots,
    lambda s: [f"How much is {s['amount']} {s['source']} in {s['target']}?", f"Convert {s['amount']} {s['source']} to {s['target']}.",
               f"What are {s['amount']} {s['source']} worth in {s['target']}?",
               f"Please change {s['amount']} {s['source']} into {s['target']}."],
    lambda s: f"{s['amount']} {s['source']} in {s['target']}",
    lambda w, s: shuffled(w.r, w.r.choice([
        lambda x: {"result": x}, lambda x: {"amount": x, "currency": s["target"]}, lambda x: {"result": x, "rate": w.amount()}])(w.amount())),
    lambda s, result: f"{s['amount']} {s['source']} are {first_of(result, 'result', 'amount')} {s['target']}.")


# --- lights ----------------------------------------------------------------------------------------------------------

def light_slots(w: Words) -> Slots:
    slots: Slots = {"room": w.listed(ROOMS), "on": w.r.random() < 0.6}
    if slots["on"] and w.r.random() < 0.4:
        slots["brightness"] = w.r.randint(1, 100)
    return slots


def light_asks(s: Slots) -> list[str]:
    if "brightness" in s:
        return [f"Turn on the light in the {s['room']} at {s['brightness']} percent.",
                f"Set the {s['room']} light to {s['brightness']} percent.", f"Light in the {s['room']} on, {s['brightness']} percent please."]
    way = "on" if s["on"] else "off"
    return [f"Turn {way} the light in the {s['room']}.", f"Switch the {s['room']} light {way}.",
            f"Light {way} in the {s['room']}, please.", f"Please turn the light in the {s['room']} {way}."]


LIGHT = Kind(
    ["set_light", "switch_light", "light_control", "light_switch", "toggle_light", "lamp_control", "control_light"],
    ["Turn a light on or off.", "Control the lights of the house", "Switch lights"],
    [Parameter("room", ["room", "area", "room_name", "which_room"], {"type": "string"}, "Which room"),
     Parameter("on", ["on", "state", "switch_on", "is_on", "power"], {"type": "boolean"}, "true for on, false for off"),
     Parameter("brightness", ["brightness", "level", "percent", "brightness_percent"], {"type": "integer"}, "Percent, 1 to 100", required=False)],
    light_slots, light_asks, lambda s: f"the light in the {s['room']} switched",
    lambda w, s: shuffled(w.r, w.r.choice([{"ok": True}, {"status": "ok"}, {"room": s["room"], "on": s["on"]}])),
    lambda s, result: f"The light in the {s['room']} is now {'on' if s['on'] else 'off'}"
                      + (f" at {s['brightness']} percent." if "brightness" in s else "."))


# --- lists -----------------------------------------------------------------------------------------------------------

def list_asks(s: Slots) -> list[str]:
    items = ", ".join(s["items"][:-1]) + " and " + s["items"][-1]
    return [f"Make a list \"{s['title']}\" with {items}.", f"Create the list \"{s['title']}\": {items}.",
            f"Save {items} as the list \"{s['title']}\"."]


LIST = Kind(
    ["create_list", "make_list", "save_list", "new_list", "store_list", "list_create", "list_save"],
    ["Save a list of items.", "Create a list", "Store a list under a title"],
    [Parameter("title", ["title", "name", "list_title", "list_name"], {"type": "string"}, "Title of the list"),
     Parameter("items", ["items", "entries", "things", "list_items", "content"], {"type": "array", "items": {"type": "string"}}, "What is on it")],
    lambda w: {"title": w.phrase(), "items": [w.listed(["milk", "bread", "eggs", "tea", "rice"]) for _ in range(w.r.randint(2, 5))]},
    list_asks, lambda s: f"a list \"{s['title']}\"",
    lambda w, s: shuffled(w.r, w.r.choice([{"status": "saved"}, {"ok": True, "count": len(s["items"])}, {"list_id": w.r.randint(1, 999)}])),
    lambda s, result: f"I saved the list \"{s['title']}\" with {len(s['items'])} items.")


KINDS = [WEATHER, TIME, MESSAGE, EVENT, NOTES, CURRENCY, LIGHT, LIST]


for everyday in KINDS:
    everyday.asks_zh, everyday.report_zh = chinese.ASKS[everyday.names[0]], chinese.REPORTS[everyday.names[0]]


def declare(w: Words, kind: Kind) -> Tool:
    """A client's declaration of `kind`: usual or other names, more or less description, keys in one order or another."""
    r = w.r
    usual = not w.held_out and r.random() < 0.4
    name = kind.names[0] if usual else identifier(w, kind.names)
    with_about = usual and r.random() < 0.6 or r.random() < 0.7
    spelled: dict[str, str] = {}
    properties: dict[str, Any] = {}
    parameters = kind.parameters if usual or r.random() < 0.5 else r.sample(kind.parameters, len(kind.parameters))
    for p in parameters:
        opaque = not usual and with_about and r.random() < 0.1
        spelled[p.key] = p.names[0] if usual else w.latin() if opaque else identifier(w, p.names, set(spelled.values()), 0.15)
        schema = dict(p.schema)
        if with_about:
            schema["description"] = p.about if usual else described(w, p.about)
        properties[spelled[p.key]] = schema
    schema = {"type": "object", "properties": properties}
    if r.random() < 0.75:
        schema["required"] = [spelled[p.key] for p in parameters if p.required]
    if r.random() < 0.1:
        schema["additionalProperties"] = False
    function: dict[str, Any] = {"name": name}
    if r.random() < 0.85:
        function["description"] = kind.about[0] if usual else described(w, r.choice(kind.about))
    function["parameters"] = schema
    if r.random() < 0.08:
        function = dict(reversed(function.items()))
    return Tool(kind, dressed(w, function), spelled)
