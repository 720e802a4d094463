"""Turns without a tool: those of the first edition in English, and their like in Chinese."""
import smalltalk
from smalltalk import Exchange, State

from . import chinese
from .words import Words


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


def exchange(w: Words, state: State) -> Exchange:
    if w.chinese:
        return chinese_exchange(w, state)
    return smalltalk.exchange(w, state)
