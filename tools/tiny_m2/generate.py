"""Seeded dialogues of the training world, as a client would send them.

    python3 tools/tiny_m2/generate.py --n 3 [--seed 1] [--held-out] [--long] > dialogues.jsonl

A dialogue is {"tools": [...], "messages": [...]} in OpenAI's shape (arguments as an object, thinking as
reasoning_content). `dialogue(seed, held_out)` is a pure function: training, tests and evaluation name a dialogue by
its seed, and held-out ones use only slot values that training never sees.
"""
import argparse
import json
import random
import sys
from typing import Any

import smalltalk
from toolbox import CURRENCY, KINDS, MESSAGE, TIME, WEATHER, Kind, Slots, Tool, declare, invent
from words import Words

ERRORS = ["not found", "timeout", "permission denied", "service unavailable", "internal error", "rate limit reached",
          "unknown value", "no connection", "too many requests", "invalid request"]


def reply(thought: str, content: str = "", calls: list[tuple[Tool, Slots]] | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content, "reasoning_content": thought}
    if calls:
        message["tool_calls"] = [
            {"id": f"call_{i}", "type": "function", "function": {"name": tool.name, "arguments": tool.arguments(slots)}}
            for i, (tool, slots) in enumerate(calls)]
    return message


class Dialogue:
    def __init__(self, seed: int, held_out: bool = False, turns: int | None = None):
        self.r = random.Random(f"{'held-out' if held_out else 'training'} {seed}")
        self.w = Words(self.r, held_out)
        self.tools = self.pick_tools()
        self.messages: list[dict[str, Any]] = []
        self.state = smalltalk.State([tool.name for tool in self.tools])
        self.system()
        if turns is None:
            turns = self.r.choices([1, 2, 3, self.r.randint(4, 7), self.r.randint(8, 30)], [40, 28, 14, 12, 6])[0]
        for _ in range(turns):
            self.turn()

    def pick_tools(self) -> list[Tool]:
        r = self.r
        if r.random() < 0.2:
            return []
        tools = [declare(r, kind) for kind in r.sample(KINDS, r.randint(1, len(KINDS)))]
        if r.random() < 0.2:
            invented = [invent(self.w) for _ in range(r.randint(1, 2))]
            tools = tools[r.randint(0, len(tools)):] + invented
        r.shuffle(tools)
        return list({tool.name: tool for tool in tools}.values())

    def system(self) -> None:
        r, lines = self.r, []
        if r.random() < 0.45:
            return
        lines.append(r.choice(["You are a helpful assistant.", "You are a helpful assistant.", "You are a friendly assistant.",
                               "You help the user.", "You are a home assistant.", "Answer briefly."]))
        if r.random() < 0.3:
            self.state.persona = self.w.name().split("@")[0].capitalize()
            lines.append(f"Your name is {self.state.persona}.")
        if r.random() < 0.25:
            self.state.date = self.w.date()
            lines.append(f"{r.choice(['Current date:', 'Today is'])} {self.state.date}.")
        self.messages.append({"role": "system", "content": r.choice([" ", "\n"]).join(lines)})

    # --- one user turn and all that answers it ---

    def turn(self) -> None:
        r = self.r
        if not self.tools:
            self.missing() if r.random() < 0.1 else self.small_talk()
            return
        choice = r.random()
        if choice < 0.50:
            tool = r.choice(self.tools)
            self.calls([(tool, tool.kind.slots(self.w))])
        elif choice < 0.70:
            self.pair()
        elif choice < 0.77:
            self.chain() or self.pair()
        elif choice < 0.82:
            self.missing() or self.small_talk()
        else:
            self.small_talk()

    def user(self, text: str) -> None:
        r = self.r
        if r.random() < 0.10:
            text = r.choice(["Hi! ", "Hello! ", "Hey, ", "Please help me. ", "Now: ", "Next question: ", "Ok. "]) + text
        if r.random() < 0.08:
            text = text[:1].lower() + text[1:]
        if r.random() < 0.04:
            text += r.choice([" Thanks!", " Thank you.", " Please."])
        self.messages.append({"role": "user", "content": text})

    def small_talk(self) -> bool:
        exchange = smalltalk.exchange(self.w, self.state)
        self.messages.append({"role": "user", "content": exchange.ask})
        self.messages.append(reply(exchange.thought, exchange.answer))
        return True

    def missing(self) -> bool:
        """A wish that no given tool can fulfil."""
        absent = [kind for kind in KINDS if all(tool.kind is not kind for tool in self.tools)]
        if not absent:
            return False
        kind = self.r.choice(absent)
        slots = kind.slots(self.w)
        self.user(self.r.choice(kind.asks(slots)))
        self.messages.append(reply(f"The user wants {kind.goal(slots)}. I have no tool for that.", "Sorry, I have no tool for that."))
        return True

    def pair(self) -> bool:
        """Two calls in one block: two tools, or one tool twice."""
        tools = [self.r.choice(self.tools), self.r.choice(self.tools)]
        self.calls([(tool, tool.kind.slots(self.w)) for tool in tools])
        return True

    def ask_for(self, calls: list[tuple[Tool, Slots]]) -> str:
        r = self.r
        asks = [r.choice(tool.kind.asks(slots)) for tool, slots in calls]
        if len(calls) == 1:
            return asks[0]
        (first, a), (second, b) = calls
        if first.kind is second.kind and first.kind in (WEATHER, TIME) and r.random() < 0.7:
            what = "the weather" if first.kind is WEATHER else "the time"
            return r.choice([f"What is {what} in {a['city']} and in {b['city']}?", f"What is {what} in {a['city']} and {b['city']}?",
                             f"Tell me {what} in {a['city']} and {b['city']}."])
        joint = r.choice([" ", " Also, ", " And ", " Then ", "\n"])
        return asks[0] + joint + (asks[1] if joint in (" ", "\n") else asks[1][:1].lower() + asks[1][1:])

    def calls(self, calls: list[tuple[Tool, Slots]]) -> None:
        self.user(self.ask_for(calls))
        goals = [tool.kind.goal(slots) for tool, slots in calls]
        names = [tool.name for tool, _ in calls]
        if len(calls) == 1:
            thought = self.r.choice([f"The user wants {goals[0]}. I should call {names[0]}.",
                                     f"The user asks for {goals[0]}. The tool {names[0]} can do that."])
        else:
            thought = f"The user wants two things: {goals[0]} and {goals[1]}. I can call {names[0]} and {names[1]} at once."
        reports, failed = self.run(thought, calls)
        self.messages.append(reply(self.closing(names, goals, failed), " ".join(reports)))

    def chain(self) -> bool:
        """What one tool says is sent on with another: the second call needs the result of the first."""
        senders = [tool for tool in self.tools if tool.kind is MESSAGE]
        sources = [tool for tool in self.tools if tool.kind in (WEATHER, TIME, CURRENCY)]
        if not senders or not sources:
            return False
        sender, source, to = senders[0], self.r.choice(sources), self.w.name()
        slots = source.kind.slots(self.w)
        goal = source.kind.goal(slots)
        self.user(self.r.choice([f"Tell {to} {goal}.", f"Please let {to} know {goal}.", f"Send {to} {goal}.", f"Find out {goal} and tell {to}."]))
        reports, failed = self.run(f"The user wants {to} to know {goal}. First I should call {source.name}.", [(source, slots)])
        if failed[0]:
            self.messages.append(reply(self.closing([source.name], [goal], failed), reports[0]))
            return True
        message = {"to": to, "text": reports[0]}
        sent, failed = self.run(f"I have {goal}. Now I should send it to {to} with {sender.name}.", [(sender, message)])
        self.messages.append(reply(self.closing([sender.name], [sender.kind.goal(message)], failed), sent[0]))
        return True

    def closing(self, names: list[str], goals: list[str], failed: list[str | None]) -> str:
        """The thought before the answer."""
        for name, error in zip(names, failed):
            if error:
                return f"The call to {name} failed: {error}. I should tell the user."
        if len(names) == 1:
            return self.r.choice([f"The tool {names[0]} has answered. I can tell the user.", f"I have the result of {names[0]}. I can answer now."])
        return f"Both tools have answered. I can tell the user about {goals[0]} and {goals[1]}."

    def run(self, thought: str, calls: list[tuple[Tool, Slots]]) -> tuple[list[str], list[str | None]]:
        """Adds the reply with the calls and their results; returns a report and an error or None for each."""
        r, reports, failed = self.r, [], []
        self.messages.append(reply(thought, calls=calls))
        for i, (tool, slots) in enumerate(calls):
            error = None
            if r.random() < 0.05:
                error = r.choice(ERRORS) if r.random() < 0.7 else f"{self.w.made_up()} {r.choice(ERRORS)}"
                result: Any = {"error": error}
                reports.append(f"Sorry, {tool.name} failed: {error}.")
            else:
                result = tool.kind.result(self.w, slots)
                reports.append(tool.kind.report(slots, result))
            failed.append(error)
            separators = (",", ":") if r.random() < 0.15 else None
            text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, separators=separators)
            content: Any = [{"type": "text", "text": text}] if r.random() < 0.05 else text
            self.messages.append({"role": "tool", "tool_call_id": f"call_{i}", "content": content})
        return reports, failed

    def result(self) -> dict[str, Any]:
        out: dict[str, Any] = {"messages": self.messages}
        if self.tools:
            out["tools"] = [tool.declaration() for tool in self.tools]
        return out


def dialogue(seed: int, held_out: bool = False, turns: int | None = None) -> dict[str, Any]:
    return Dialogue(seed, held_out, turns).result()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--turns", type=int)
    parser.add_argument("--held-out", action="store_true")
    options = parser.parse_args()
    for seed in range(options.seed, options.seed + options.n):
        json.dump(dialogue(seed, options.held_out, options.turns), sys.stdout, ensure_ascii=False)
        print()


if __name__ == "__main__":
    main()
