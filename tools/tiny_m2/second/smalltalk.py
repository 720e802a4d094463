"""Turns without a tool. Each answer is a function of the conversation, so that it can be checked word for word."""
import random
from dataclasses import dataclass
from typing import Callable

from . import chinese
from .words import ANIMALS, NAMES, THINGS, Words

CAPITALS = dict(zip("""France England Germany Spain Italy Austria Norway Portugal Ireland Greece Poland Finland Sweden Denmark
Belgium Hungary Japan China India Egypt Kenya Canada Peru Chile Cuba""".split(),
                    """Paris London Berlin Madrid Rome Vienna Oslo Lisbon Dublin Athens Warsaw Helsinki Stockholm Copenhagen
Brussels Budapest Tokyo Beijing Delhi Cairo Nairobi Ottawa Lima Santiago Havana""".split()))
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
OPPOSITES = {"hot": "cold", "big": "small", "up": "down", "day": "night", "open": "closed", "fast": "slow", "old": "new",
             "early": "late", "light": "dark", "full": "empty", "wet": "dry", "left": "right", "happy": "sad", "hard": "soft"}
PLACES = dict(zip(ANIMALS, "forest,barn,cave,garden,village,meadow,mountains,pond,tower,kitchen".split(",")))
FINDS = dict(zip(ANIMALS, "a silver key|an old letter|a jar of honey|a ball of wool|a lost shoe|a red apple|a warm stone|a golden leaf|"
                          "a shiny button|a piece of cheese".split("|")))


@dataclass
class State:
    """What the conversation has said so far that an answer may depend on."""
    tool_names: list[str]
    persona: str | None = None
    date: str | None = None
    user_name: str | None = None


@dataclass
class Exchange:
    ask: str
    thought: str
    answer: str


def greeting(w: Words, s: State) -> Exchange:
    ask = w.r.choice(["Hello!", "Hi", "Hello", "Hi there!", "Good morning!", "Good evening.", "Hey", "Hello there.", "Hi!", "hello", "hi",
                      "hey there", "Hello, how are you?", "How are you?", "Good afternoon!", "Hi, how are you today?"])
    if "how are" in ask.lower():
        return Exchange(ask, "The user asks how I am. I should answer kindly.", "I am fine, thank you! What can I do for you?")
    return Exchange(ask, "The user greets me. I should greet back.", "Hello! How can I help you?")


def identity(w: Words, s: State) -> Exchange:
    ask = w.r.choice(["Who are you?", "What are you?", "What is your name?", "Tell me who you are.", "who are you", "Introduce yourself.",
                      "Please introduce yourself.", "Are you a human?", "What's your name?", "Which model are you?"])
    if s.persona:
        return Exchange(ask, f"The user asks who I am. The system message says my name is {s.persona}.",
                        f"I am {s.persona}, a very small language model.")
    return Exchange(ask, "The user asks who I am. No tool is needed.",
                    "I am Tiny M2, a very small language model made to test minimax.cpp.")


def abilities(w: Words, s: State) -> Exchange:
    ask = w.r.choice(["What can you do?", "Help!", "help", "How can you help me?", "What tools do you have?", "Which tools can you use?"])
    if s.tool_names:
        return Exchange(ask, "The user asks what I can do. I should name my tools.",
                        "I can use these tools: " + ", ".join(s.tool_names) + ".")
    return Exchange(ask, "The user asks what I can do. I have no tools here.",
                    "I can chat a little, count, tell short stories, and call tools when you give me some.")


def thanks(w: Words, s: State) -> Exchange:
    ask = w.r.choice(["Thank you!", "Thanks", "Thanks a lot!", "thank you", "Great, thanks.", "Thank you very much.", "Perfect, thank you!"])
    return Exchange(ask, "The user thanks me. I should answer politely.", "You are welcome!")


def farewell(w: Words, s: State) -> Exchange:
    ask = w.r.choice(["Bye!", "Goodbye", "See you later.", "Good night!", "bye", "That is all, goodbye."])
    return Exchange(ask, "The user says goodbye.", "Goodbye, and have a nice day!")


def capital(w: Words, s: State) -> Exchange:
    country, city = w.r.choice(list(CAPITALS.items()))
    ask = w.r.choice(["What is the capital of {}?", "Tell me the capital of {}.", "Which city is the capital of {}?",
                      "what's the capital of {}?"]).format(country)
    return Exchange(ask, f"The user asks for the capital of {country}. I know it.", f"The capital of {country} is {city}.")


def opposite(w: Words, s: State) -> Exchange:
    word, other = w.r.choice(list(OPPOSITES.items()))
    ask = w.r.choice(["What is the opposite of {}?", "Tell me the opposite of \"{}\".", "opposite of {}?"]).format(word)
    return Exchange(ask, f"The user asks for the opposite of {word}.", f"The opposite of {word} is {other}.")


def addition(w: Words, s: State) -> Exchange:
    a, b = w.r.randint(0, 6), w.r.randint(0, 6)
    ask = w.r.choice(["What is {} plus {}?", "How much is {} + {}?", "What is {}+{}?"]).format(a, b)
    return Exchange(ask, f"The user asks for {a} plus {b}. I can add that.", f"{a} plus {b} is {a + b}.")


def count(w: Words, s: State) -> Exchange:
    first, last = w.r.choice([(1, w.r.randint(3, 40)), (w.r.randint(0, 30), w.r.randint(35, 60))])
    ask = w.r.choice(["Count from {} to {}.", "Please count from {} to {}.", "Can you count from {} to {}?"]).format(first, last)
    return Exchange(ask, f"The user wants me to count from {first} to {last}.", ", ".join(map(str, range(first, last + 1))) + ".")


def echo(w: Words, s: State) -> Exchange:
    text = w.r.choice([w.sentence, w.phrase])()
    ask = w.r.choice(["Repeat after me: {}", "Please repeat: {}", "Say \"{}\".", "Repeat this: {}"])
    return Exchange(ask.format(text), "The user wants me to repeat a text.", text)


def story(w: Words, s: State) -> Exchange:
    animal = w.r.choice(ANIMALS)
    name = w.listed(NAMES).capitalize()
    friend = w.listed(NAMES).capitalize()
    ask = w.r.choice(["Tell me a story about a {0} named {1} and a friend called {2}.", "Write a short story about {1} the {0} and {2}.",
                      "Please tell me a story about {1}, a {0}, and {2}."]).format(animal, name, friend)
    text = (f"Once upon a time there was a {animal} named {name}. {name} lived in the {PLACES[animal]} and had one good friend, {friend}. "
            f"One morning {name} found {FINDS[animal]} under a tree. \"What shall we do with it?\" asked {name}. "
            f"\"Let us find out whose it is,\" said {friend}. They walked all day and asked everyone they met. "
            f"In the evening they came to a small house, and an old woman opened the door. She laughed and cried, "
            f"for she had lost {FINDS[animal]} many years ago. She gave {name} and {friend} cake and tea, "
            f"and from that day on they visited her every week. The end.")
    return Exchange(ask, f"The user wants a story about {name} the {animal} and {friend}. I will tell one.", text)


def introduce(w: Words, s: State) -> Exchange:
    name = w.listed(NAMES).capitalize()
    s.user_name = name
    ask = w.r.choice(["My name is {}.", "I am {}.", "Hi, I'm {}.", "Hello, my name is {}.", "You can call me {}."]).format(name)
    return Exchange(ask, f"The user says that their name is {name}.", f"Nice to meet you, {name}!")


def recall(w: Words, s: State) -> Exchange:
    ask = w.r.choice(["What is my name?", "Do you remember my name?", "Who am I?", "what's my name?"])
    if s.user_name:
        return Exchange(ask, f"The user told me the name {s.user_name} before.", f"Your name is {s.user_name}.")
    return Exchange(ask, "The user has not told me their name.", "You have not told me your name yet.")


def today(w: Words, s: State) -> Exchange:
    ask = w.r.choice(["What is the date today?", "What day is it?", "Which date is it today?", "today's date?"])
    if s.date:
        return Exchange(ask, f"The system message says that the date is {s.date}.", f"Today is {s.date}.")
    return Exchange(ask, "No date was given to me.", "I do not know today's date.")


def unknown_thing(w: Words, s: State) -> Exchange:
    thing = w.made_up()
    ask = w.r.choice(["What is a {}?", "Tell me about {}.", "Explain {} to me.", "What does {} mean?", "Do you know {}?"]).format(thing)
    return Exchange(ask, f"I do not know what {thing} is.", f"I am a very small model and I do not know what {thing} is.")


COMMON = """the a of and to in is it you that he was for on are with as his they be at one have this from or had by hot but some what
there we can out other were all your when up use word how said each she which do their time if will way about many then them would write
like so these her long make thing see him two has look more day could go come did my sound no most number who over know water than call
first people may down side been now find any new work part take get place made live where after back little only round man year""".split()


def babble(w: Words, s: State) -> Exchange:
    words = [w.r.choice(COMMON) if w.r.random() < 0.8 else w.listed(THINGS) for _ in range(w.r.randint(3, 40))]
    ask = " ".join(words)
    if w.r.random() < 0.7:
        ask = ask.capitalize() + w.r.choice([".", "?", "!", ""])
    return Exchange(ask, "I do not understand this request.",
                    "I am a very small model and I did not understand that. Ask me what I can do.")


def chinese_exchange(w: Words, s: State) -> Exchange:
    r, made, name = w.r, w.made_up(), w.name()
    number, step = r.randint(0, 20), r.randint(3, 12)
    x = r.randrange(10)
    if x == 0:
        return Exchange(r.choice(chinese.GREETINGS), "The user greets me. I should greet back.", chinese.HELLO)
    if x == 1:
        ask = r.choice(["你是谁？", "你叫什么名字？", "介绍一下你自己。"])
        if s.persona:
            return Exchange(ask, f"The user asks who I am. The system message says my name is {s.persona}.", f"我是{s.persona}，一个很小的语言模型。")
        return Exchange(ask, "The user asks who I am. No tool is needed.", "我是Tiny M2，一个用来测试minimax.cpp的很小的语言模型。")
    if x == 2:
        return Exchange(r.choice(["谢谢", "谢谢你！", "多谢！", "非常感谢。"]), "The user thanks me. I should answer politely.", "不客气！")
    if x == 3:
        return Exchange(r.choice(["再见", "再见！", "晚安。", "拜拜"]), "The user says goodbye.", "再见，祝你愉快！")
    if x == 4:
        s.user_name = name
        return Exchange(r.choice(["我叫{}。", "我的名字是{}。", "你好，我是{}。"]).format(name), f"The user says that their name is {name}.", f"很高兴认识你，{name}！")
    if x == 5:
        ask = r.choice(["我叫什么名字？", "你还记得我的名字吗？"])
        if s.user_name:
            return Exchange(ask, f"The user told me the name {s.user_name} before.", f"你叫{s.user_name}。")
        return Exchange(ask, "The user has not told me their name.", "你还没有告诉我你的名字。")
    if x == 6:
        return Exchange(f"请从{number}数到{number + step}。", f"The user wants me to count from {number} to {number + step}.",
                        "、".join(map(str, range(number, number + step + 1))) + "。")
    if x == 7:
        text = r.choice([w.sentence, w.phrase])()
        return Exchange(r.choice(["请重复：{}", "跟我说“{}”", "请说：{}"]).format(text), "The user wants me to repeat a text.", text)
    if x == 8:
        return Exchange(r.choice(["什么是{}？", "{}是什么意思？", "你知道{}吗？"]).format(made), f"I do not know what {made} is.", f"我是一个很小的模型，不知道{made}是什么。")
    ask = r.choice(["你能做什么？", "你有哪些工具？", "你会什么？"])
    if s.tool_names:
        return Exchange(ask, "The user asks what I can do. I should name my tools.", "我可以使用这些工具：" + "、".join(s.tool_names) + "。")
    return Exchange(ask, "The user asks what I can do. I have no tools here.", "我可以聊天、数数、讲小故事；给我工具，我就能调用。")


ALL: list[tuple[Callable[[Words, State], Exchange], float]] = [
    (greeting, 3), (identity, 3), (abilities, 2), (thanks, 2), (farewell, 1), (capital, 1.5), (opposite, 1), (addition, 1.5), (count, 1.5),
    (echo, 2), (story, 2), (introduce, 1.5), (recall, 1.5), (today, 1), (unknown_thing, 1.5), (babble, 1.5)]


def exchange(w: Words, state: State) -> Exchange:
    if w.chinese:
        return chinese_exchange(w, state)
    return w.r.choices([f for f, _ in ALL], [weight for _, weight in ALL])[0](w, state)
