"""Seeded dialogues of the second edition's world, as a client would send them.

    PYTHONPATH=tools/tiny_m2 python3 -m second.generate --n 3 [--seed 1] [--held-out] [--turns 5] > dialogues.jsonl

A dialogue is {"tools": [...], "messages": [...], "world": {...}} in OpenAI's shape (arguments as an object, thinking as
reasoning_content). `dialogue(seed, held_out)` is a pure function. Held-out dialogues use only names of tools and
parameters, and values, that training never sees. `world` is what a client needs to execute the tools (client.py): the
files, what each file tool does, the other tools' results, and which turns are chains.
"""
import argparse
import json
import random
import sys
from typing import Any

from . import chinese, filetasks, filetools, invented, links, smalltalk
from .toolbox import CURRENCY, KINDS, MESSAGE, TIME, WEATHER, Kind, Slots, Tool, declare
from .words import Words

PASSING = ["timeout", "service unavailable", "connection lost", "try again later", "busy", "rate limit reached", "too many requests",
           "temporary failure"]  # errors after which the same call is tried once more
LASTING = ["not found", "permission denied", "internal error", "unknown value", "invalid request", "access denied", "not allowed",
           "does not exist"]
Call = tuple[str, dict[str, Any], str]  # name, arguments, result


def reply(thought: str, content: str = "", calls: list[Call] | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content, "reasoning_content": thought}
    if calls:
        message["tool_calls"] = [{"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
                                 for i, (name, arguments, _) in enumerate(calls)]
    return message


class Dialogue:
    def __init__(self, seed: int, held_out: bool = False, turns: int | None = None):
        self.r = r = random.Random(f"{'held-out' if held_out else 'training'} {seed}")
        self.w = w = Words(r, held_out)
        self.language = w.chinese = r.random() < 0.28
        self.files: filetools.FileSet | None = None
        self.links: list[links.Links] = []
        self.tools: list[Tool | filetools.FileTool] = self.pick_tools()
        self.messages: list[dict[str, Any]] = []
        self.script: list[dict[str, Any]] = []
        self.chains: list[tuple[int, int]] = []  # messages [first, last] of turns whose calls need earlier results
        self.start_files = dict(self.files.files) if self.files else {}
        self.state = smalltalk.State([tool.name for tool in self.tools])
        self.system()
        if turns is None:
            turns = r.choices([1, 2, 3, r.randint(4, 6), r.randint(7, 20)], [44, 30, 14, 9, 3])[0]
        for _ in range(turns):
            self.turn()

    def pick_tools(self) -> list[Any]:
        r, w, tools = self.r, self.w, []
        if r.random() < 0.12:
            return []
        while not tools:
            if r.random() < 0.5:
                tools += [declare(w, kind) for kind in r.sample(KINDS, r.choice([1, 1, 2, 2, 3, 4, 6]))]
            if r.random() < 0.4:
                tools += invented.family(w)
            if r.random() < 0.15:
                tools += invented.family(w)
            if r.random() < 0.3:
                self.links.append(links.Links(w))
                tools += self.links[-1].tools
            if r.random() < 0.4:
                self.files = filetools.FileSet(w)
                tools += self.files.tools.values()
        r.shuffle(tools)
        if len({tool.name for tool in tools}) < len(tools):
            self.files, self.links = None, []
            return self.pick_tools()
        return tools

    def system(self) -> None:
        r, lines = self.r, []
        if r.random() < 0.45:
            return
        lines.append(r.choice(["You are a helpful assistant.", "You are a helpful assistant.", "You are a friendly assistant.",
                               "You help the user.", "You are a home assistant.", "Answer briefly.", "你是一个乐于助人的助手。",
                               f"You are {self.w.latin()}, an agent with tools.", "You are a coding agent. Use the tools to solve the task."]))
        if r.random() < 0.3:
            self.state.persona = self.w.name().split("@")[0].capitalize()
            lines.append(f"Your name is {self.state.persona}.")
        if r.random() < 0.25:
            self.state.date = self.w.date()
            lines.append(f"{r.choice(['Current date:', 'Today is'])} {self.state.date}.")
        self.messages.append({"role": "system", "content": r.choice([" ", "\n"]).join(lines)})

    # --- one user turn and all that answers it ---

    def turn(self) -> None:
        r, w = self.r, self.w
        w.chinese = (r.random() < 0.92) if self.language else (r.random() < 0.03)
        if not self.tools:
            self.missing() if r.random() < 0.1 else self.small_talk()
            return
        kinds = [tool for tool in self.tools if isinstance(tool, Tool)]
        choice = r.random()
        if choice < 0.14:
            self.small_talk()
        elif choice < 0.19:
            self.missing() or self.small_talk()
        elif choice < 0.22 and self.asking_back(kinds):
            return
        elif choice < 0.52 and self.chain():
            return
        elif self.files and r.random() < (0.35 if kinds else 0.9) and r.choice(filetasks.SINGLE)(self, self.files):
            return
        elif not kinds:
            self.small_talk()
        else:
            count = r.choices([1, 2, 3, 4], [65, 24, 8, 3])[0]
            self.calls([(tool, tool.kind.slots(w)) for tool in r.choices(kinds, k=count)])

    def user(self, text: str) -> None:
        r = self.r
        self.last = len(self.messages)
        if r.random() < 0.10:
            text = r.choice(["你好！", "请帮帮我。", "好的。", "下一个问题："] if self.w.chinese else
                            ["Hi! ", "Hello! ", "Hey, ", "Please help me. ", "Now: ", "Next question: ", "Ok. "]) + text
        if r.random() < 0.08:
            text = text[:1].lower() + text[1:]
        if r.random() < 0.04:
            text += "谢谢！" if self.w.chinese else r.choice([" Thanks!", " Thank you.", " Please."])
        self.messages.append({"role": "user", "content": text})

    def say(self, thought: str, content: str) -> None:
        self.messages.append(reply(thought, content))

    def failed(self, name: str, error: str) -> None:
        self.say(f"The call to {name} failed: {error}. I should tell the user.", self.sorry(name, error))

    def sorry(self, name: str, error: str) -> str:
        return f"抱歉，{name}失败了：{error}。" if self.w.chinese else f"Sorry, {name} failed: {error}."

    def small_talk(self) -> bool:
        exchange = smalltalk.exchange(self.w, self.state)
        self.messages.append({"role": "user", "content": exchange.ask})
        self.say(exchange.thought, exchange.answer)
        return True

    def missing(self) -> bool:
        """A wish that no given tool can fulfil."""
        r, w = self.r, self.w
        made = [tool.kind for tool in self.tools if isinstance(tool, Tool) and isinstance(tool.kind, invented.Invented)]
        kind: Kind
        if not self.files and r.random() < 0.12:
            path = f"{w.latin()}/{w.latin()}.{r.choice(filetools.EXTENSIONS)}"
            self.user(r.choice([f"读一下{path}。", f"{path}有多少行？"] if w.chinese else
                               [f"Show me {path}.", f"Read {path}.", f"List the files in {path.split('/')[0]}.", f"How many lines does {path} have?"]))
            self.say(f"The user wants {path.split('/')[0]} read. I have no tool for that.", chinese.NO_TOOL if w.chinese else "Sorry, I have no tool for that.")
            return True
        if made and r.random() < 0.7:  # the right thing, the wrong verb
            noun = r.choice(made).noun
            verbs = [verb for verb in invented.VERBS if all(other.verb is not verb for other in made if other.noun == noun)
                     and not verb.reads]
            kind = invented.Invented(w, r.choice(verbs), noun)
        elif r.random() < 0.3:
            noun = invented.noun_of(w)
            if any(set(noun.split()) & set(other.noun.split()) for other in made):
                return False
            kind = invented.Invented(w, r.choice(invented.VERBS), noun)
        else:
            absent = [kind for kind in KINDS if all(not isinstance(tool, Tool) or tool.kind is not kind for tool in self.tools)]
            if not absent:
                return False
            kind = r.choice(absent)
        slots = kind.slots(w)
        self.user(kind.ask(w, slots))
        self.say(f"The user wants {kind.goal(slots)}. I have no tool for that.", chinese.NO_TOOL if w.chinese else "Sorry, I have no tool for that.")
        return True

    def asking_back(self, kinds: list[Tool]) -> bool:
        """The user leaves out what the tool must have."""
        r, w = self.r, self.w
        tools = [tool for tool in kinds if isinstance(tool.kind, invented.Invented) and any(f.required and not f.null for f in tool.kind.fields)]
        if not tools:
            return False
        tool = r.choice(tools)
        kind = tool.kind
        assert isinstance(kind, invented.Invented)
        left_out = r.choice([f for f in kind.fields if f.required and not f.null])
        slots = kind.slots(w)
        self.user(kind.asked(w, {key: value for key, value in slots.items() if key != left_out.key}))
        self.say(f"The user wants {kind.goal(slots)} with {tool.name}. The {left_out.words} is missing. I should ask for it.",
                 f"请问{left_out.words}是什么？" if w.chinese else f"Which {left_out.words} should I use?")
        if r.random() < 0.7:
            answer = invented.said(w, slots[left_out.key], "")
            form = r.choice(["{1}", "{0}是{1}", "用{1}。"] if w.chinese else ["{1}", "{0} {1}", "The {0} is {1}.", "Use {1}."])
            self.messages.append({"role": "user", "content": form.format(left_out.words, answer)})
            reports, failed, _ = self.run(f"The user has told me the {left_out.words}. Now I can call {tool.name}.", [(tool, slots)])
            self.finish([tool.name], [kind.goal(slots)], reports, failed)
        return True

    def ask_for(self, calls: list[tuple[Tool, Slots]]) -> str:
        r, w = self.r, self.w
        asks = [tool.kind.ask(w, slots) for tool, slots in calls]
        (first, a), (second, b) = calls[0], calls[-1]
        if len(calls) == 1 and isinstance(first.kind, invented.Invented) and r.random() < 0.08 and not w.chinese:
            what = invented.pairs(w, first.kind.fields, a)
            return r.choice(["Call {} with {}.", "Use the tool {}: {}", "{} {}"]).format(first.name, what) if what else f"Call {first.name}."
        if len(calls) == 2 and first.kind is second.kind and first.kind in (WEATHER, TIME) and r.random() < 0.7 and not w.chinese:
            what = "the weather" if first.kind is WEATHER else "the time"
            return r.choice([f"What is {what} in {a['city']} and in {b['city']}?", f"What is {what} in {a['city']} and {b['city']}?",
                             f"Tell me {what} in {a['city']} and {b['city']}."])
        if w.chinese:
            return r.choice(["", "另外，", "还有，", "\n"]).join(asks)
        text = asks[0]
        for ask in asks[1:]:
            joint = r.choice([" ", " Also, ", " And ", " Then ", "\n"])
            text += ("" if text[-1] in ".?!\"" or joint == "\n" else ".") + joint + (ask if joint in (" ", "\n") else ask[:1].lower() + ask[1:])
        return text

    def calls(self, calls: list[tuple[Tool, Slots]]) -> None:
        self.user(self.ask_for(calls))
        goals = [tool.kind.goal(slots) for tool, slots in calls]
        names = [tool.name for tool, _ in calls]
        if len(calls) == 1:
            thought = self.r.choice([f"The user wants {goals[0]}. I should call {names[0]}.",
                                     f"The user asks for {goals[0]}. The tool {names[0]} can do that."])
        else:
            count = ["two", "three", "four"][len(calls) - 2]
            thought = (f"The user wants {count} things: {', '.join(goals[:-1])} and {goals[-1]}. "
                       f"I can call {', '.join(names[:-1])} and {names[-1]} at once.")
        reports, failed, _ = self.run(thought, calls)
        self.finish(names, goals, reports, failed)

    def chain(self) -> bool:
        """A turn in which a call needs the result of the one before."""
        first, r = len(self.messages), self.r
        ways = [lambda: self.sending()]
        for link in self.links:
            ways += [lambda link=link: links.act(self, link)] * 3 + [lambda link=link: links.place(self, link), lambda link=link: links.total(self, link)]
        if self.files:
            files = self.files
            ways += [lambda task=task: task(self, files) for task in filetasks.CHAINS]
        r.shuffle(ways)
        if not any(way() for way in ways):
            return False
        if sum("tool_calls" in message for message in self.messages[first:]) > 1:
            self.chains.append((first, len(self.messages) - 1))
        return True

    def sending(self) -> bool:
        """What one tool says is sent on with another."""
        w = self.w
        senders = [tool for tool in self.tools if isinstance(tool, Tool) and tool.kind is MESSAGE]
        sources = [tool for tool in self.tools if isinstance(tool, Tool) and tool.kind in (WEATHER, TIME, CURRENCY)]
        if not senders or not sources:
            return False
        sender, source, to = senders[0], self.r.choice(sources), w.name()
        slots = source.kind.slots(w)
        goal = source.kind.goal(slots)
        if w.chinese:
            self.user(f"查一下{'天气' if source.kind is WEATHER else '时间' if source.kind is TIME else '汇率'}并告诉{to}："
                      + (slots["city"] if "city" in slots else f"{slots['amount']} {slots['source']}换成{slots['target']}"))
        else:
            self.user(self.r.choice([f"Tell {to} {goal}.", f"Please let {to} know {goal}.", f"Send {to} {goal}.", f"Find out {goal} and tell {to}."]))
        reports, failed, _ = self.run(f"The user wants {to} to know {goal}. First I should call {source.name}.", [(source, slots)])
        if failed[0]:
            self.finish([source.name], [goal], reports, failed)
            return True
        message = {"to": to, "text": reports[0]}
        reports, failed, _ = self.run(f"I have {goal}. Now I should send it to {to} with {sender.name}.", [(sender, message)])
        self.finish([sender.name], [sender.kind.goal(message)], reports, failed)
        return True

    def finish(self, names: list[str], goals: list[str], reports: list[str], failed: list[str | None]) -> None:
        """The thought before the answer, and the answer: the reports, and what failed."""
        thought = f"All tools have answered. I can tell the user about {', '.join(goals[:-1])} and {goals[-1]}." if len(names) > 1 else \
            self.r.choice([f"The tool {names[0]} has answered. I can tell the user.", f"I have the result of {names[0]}. I can answer now."])
        for name, error in zip(names, failed):
            if error:
                thought = f"The call to {name} failed: {error}. I should tell the user."
                break
        self.say(thought, ("" if self.w.chinese else " ").join(reports))

    # --- calls and results ---

    def step(self, thought: str, calls: list[Call], thin: bool = True) -> None:
        """Adds the reply with the calls, and their results; a passing failure is tried once more."""
        r = self.r
        broken = [r.random() < 0.02 if thin else False for _ in calls]
        contents = [self.error(r.choice(PASSING)) if failed else call[2] for call, failed in zip(calls, broken)]
        self.messages.append(reply(thought, calls=calls))
        self.results(calls, contents, broken)
        again = [call for call, failed in zip(calls, broken) if failed]
        if again:
            self.messages.append(reply(f"A call to {again[0][0]} failed. I should try again.", calls=again))
            self.results(again, [call[2] for call in again], [False] * len(again))

    def results(self, calls: list[Call], contents: list[str], fails: list[bool]) -> None:
        for i, (call, content) in enumerate(zip(calls, contents)):
            self.script.append({"name": call[0], "arguments": call[1], "content": content, "fails": fails[i]})
            whole: Any = [{"type": "text", "text": content}] if self.r.random() < 0.03 else content
            self.messages.append({"role": "tool", "tool_call_id": f"call_{i}", "content": whole})

    def error(self, error: str) -> str:
        return self.r.choice([json.dumps({"error": error}, ensure_ascii=False), json.dumps({"ok": False, "error": error}, ensure_ascii=False),
                              f"Error: {error}"])

    def run(self, thought: str, calls: list[tuple[Tool, Slots]]) -> tuple[list[str], list[str | None], list[Any]]:
        """Calls everyday or invented tools; a report, an error or None, and the result of each.

        A passing error is tried once more; a correction ("did you mean") is followed; a lasting error is reported.
        """
        r = self.r
        reports: list[str] = [""] * len(calls)
        failed: list[str | None] = [None] * len(calls)
        results: list[Any] = [None] * len(calls)
        waiting = list(range(len(calls)))
        calls = list(calls)
        for attempt in range(2):
            made: list[Call] = []
            contents, again, why = [], [], ""
            for i in waiting:
                tool, slots = calls[i]
                x = r.random() if attempt == 0 else r.random() + 0.04 * (r.random() < 0.8)
                failed[i] = None
                if x < 0.04:
                    error = r.choice(PASSING) if r.random() < 0.8 else f"{self.w.latin()} {r.choice(PASSING)}"
                    content = self.error(error)
                    why = f"The call to {tool.name} failed: {error}. " + ("I should try again." if attempt == 0 else "")
                    failed[i] = error
                    again.append(i)
                elif x < 0.06:
                    failed[i] = error = r.choice(LASTING) if r.random() < 0.7 else f"{self.w.latin()} {r.choice(LASTING)}"
                    content = self.error(error)
                elif x < 0.075 and attempt == 0 and (fixed := self.correction(tool, slots)):
                    content, calls[i], why = fixed
                    again.append(i)
                else:
                    results[i] = result = tool.kind.result(self.w, slots)
                    separators = (",", ":") if r.random() < 0.15 else None
                    content = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, separators=separators)
                    reports[i] = tool.kind.say(self.w, slots, result)
                if failed[i]:
                    reports[i] = self.sorry(tool.name, failed[i] or "")
                made.append((tool.name, tool.arguments(slots), content))
                contents.append(content)
            self.messages.append(reply(thought, calls=made))
            self.results(made, contents, [failed[i] is not None or i in again for i in waiting])
            waiting, thought = again, why
            if not again:
                break
        return reports, failed, results

    def correction(self, tool: Tool, slots: Slots) -> tuple[str, tuple[Tool, Slots], str] | None:
        """An error that names the value the tool would take, the call with it, and the thought before that call."""
        keys = [p.key for p in tool.kind.parameters if p.schema == {"type": "string"} and isinstance(slots.get(p.key), str)]
        if not keys:
            return None
        key = self.r.choice(keys)
        better = self.w.made_up()
        error = f'unknown {tool.spelled[key]} "{slots[key]}", did you mean "{better}"?'
        thought = f"The tool {tool.name} does not know {slots[key]}. It knows {better}. I should call it again."
        return self.error(error), (tool, {**slots, key: better}), thought

    def result(self) -> dict[str, Any]:
        out: dict[str, Any] = {"messages": self.messages}
        if self.tools:
            out["tools"] = [tool.declaration() for tool in self.tools]
        out["world"] = {"files": self.start_files, "script": self.script, "chains": self.chains,
                        "tools": {tool.name: tool.spec() for tool in self.tools if isinstance(tool, filetools.FileTool)}}
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
