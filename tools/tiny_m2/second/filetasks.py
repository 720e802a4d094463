"""Turns about files: what the user asks, the calls that lead there, the answer. Each returns whether it was possible."""
from typing import TYPE_CHECKING, Callable

from .filetools import EXTENSIONS, FileSet

if TYPE_CHECKING:
    from .generate import Dialogue


def numbers_of(text: str) -> list[str] | None:
    lines = text.split("\n")
    return lines if all(line.isdigit() for line in lines) else None


def listing(d: "Dialogue", f: FileSet) -> bool:
    if not f.can("list"):
        return False
    folder = d.r.choice(f.folders())
    call = f.call("list", path=folder)
    if d.w.chinese:
        d.user(d.r.choice([f"{folder}里有哪些文件？", f"列出{folder}里的文件。", f"请看看{folder}目录。"]))
    else:
        d.user(d.r.choice([f"Which files are in {folder}?", f"List the files in {folder}.", f"What is in the folder {folder}?",
                           f"Show me the directory {folder}.", f"List {folder}"]))
    d.step(f"The user wants the files in {folder}. I should call {call[0]}.", [call])
    names = f.names(folder)
    d.say(f"I have the files in {folder}. I can answer now.",
          f"{folder}里有：{'、'.join(names)}。" if d.w.chinese else f"{folder} contains: {', '.join(names)}.")
    return True


def content(d: "Dialogue", f: FileSet) -> bool:
    if not f.can("read"):
        return False
    path = d.r.choice(sorted(f.files))
    missing = "read" in f.tools and d.r.random() < 0.1
    if missing:
        path = f"{path.split('/')[0]}/{d.w.latin()}.{d.r.choice(EXTENSIONS)}"
    call = f.call("read", path=path)
    d.user(d.r.choice([f"读一下{path}。", f"{path}里写了什么？", f"请打开{path}。"] if d.w.chinese else
                      [f"Show me {path}.", f"What does {path} say?", f"Read {path}.", f"Print the file {path}.", f"What is in the file {path}?"]))
    d.step(f"The user wants the contents of {path}. I should call {call[0]}.", [call])
    if missing:
        d.failed(call[0], f"no such file: {path}")
    elif d.w.chinese:
        d.say(f"I have read {path}. I can answer now.", f"{path}的内容：\n{f.files[path]}")
    else:
        d.say(f"I have read {path}. I can answer now.", f"{path} says:\n{f.files[path]}")
    return True


def first_file(d: "Dialogue", f: FileSet) -> bool:
    if not f.can("list", "read"):
        return False
    folder = d.r.choice(f.folders())
    last = d.r.random() < 0.4
    d.user(d.r.choice([f"读一下{folder}里的{'最后' if last else '第'}一个文件。"] if d.w.chinese else
                      [f"Read the {'last' if last else 'first'} file in {folder}.", f"What does the {'last' if last else 'first'} file of {folder} say?"]))
    call = f.call("list", path=folder)
    d.step(f"First I should list {folder} with {call[0]}.", [call])
    path = f"{folder}/{f.names(folder)[-1 if last else 0]}"
    call = f.call("read", path=path)
    d.step(f"The file is {path}. Now I should read it with {call[0]}.", [call])
    d.say(f"I have read {path}. I can answer now.", f"{path}的内容：\n{f.files[path]}" if d.w.chinese else f"{path} says:\n{f.files[path]}")
    return True


def value(d: "Dialogue", f: FileSet) -> bool:
    """A line of a file of settings."""
    found = [(path, key.strip(), rest.strip()) for path, text in sorted(f.files.items()) for line in text.split("\n")
             for sign in "=:" if line.count(sign) == 1 for key, rest in [line.split(sign)] if key.strip().isalpha() and key.isascii()]
    if not found or not f.can("read"):
        return False
    path, key, rest = d.r.choice(found)
    call = f.call("read", path=path)
    d.user(d.r.choice([f"{path}里的{key}是多少？", f"查一下{path}里{key}的值。"] if d.w.chinese else
                      [f"What is {key} in {path}?", f"Look up the value of {key} in {path}.", f"Which value has {key} in {path}?"]))
    d.step(f"The user wants {key} from {path}. I should call {call[0]}.", [call])
    d.say(f"I have read {path}. I can answer now.", f"{key}是{rest}。" if d.w.chinese else f"{key} is {rest}.")
    return True


def add_up(d: "Dialogue", f: FileSet) -> bool:
    """The numbers of a file, or of all files of a folder, summed; sometimes the sum is written to a file."""
    if not f.can("read", "calculate"):
        return False
    single = [(path, [path]) for path, text in sorted(f.files.items()) if numbers_of(text)]
    folders = [(folder, paths) for folder in f.folders() for paths in [[f"{folder}/{name}" for name in f.names(folder)]]
               if len(paths) < 5 and all(numbers_of(f.files[path]) for path in paths)] if f.can("list") else []
    if not single and not folders:
        return False
    what, paths = d.r.choice(folders if folders and d.r.random() < 0.5 else single or folders)
    whole = "/" not in what
    target = f"{d.r.choice(f.folders())}/{d.w.latin()}.txt" if f.can("write") and d.r.random() < 0.35 else None
    if d.w.chinese:
        names = f"{what}里所有文件的数字" if whole else f"{what}里的数字"
        d.user(f"把{names}的总和写入{target}。" if target else d.r.choice([f"{names}总和是多少？", f"请把{names}加起来。"]))
    else:
        names = f"the numbers in all files of {what}" if whole else f"the numbers in {what}"
        d.user(d.r.choice([f"Write the sum of {names} to {target}.", f"Add up {names} and save the result in {target}."] if target else
                          [f"What is the sum of {names}?", f"Add up {names}.", f"Please sum {names}."]))
    thought = f"The user wants the sum of the numbers in {what}. "
    if whole:
        call = f.call("list", path=what)
        d.step(thought + f"First I should list it with {call[0]}.", [call])
        thought = f"{what} has {len(paths)} files. "
    calls = [f.call("read", path=path) for path in paths]
    d.step(thought + f"I should read with {calls[0][0]}.", calls)
    numbers = [number for path in paths for number in numbers_of(f.files[path]) or []]
    expression = " + ".join(numbers)
    total = str(sum(map(int, numbers)))
    if len(numbers) > 1:
        call = f.call("calculate", expression=expression)
        d.step(f"The numbers are {', '.join(numbers)}. I should add them with {call[0]}.", [call])
    if target:
        call = f.call("write", path=target, text=total)
        d.step(f"The sum is {total}. I should write it to {target} with {call[0]}.", [call])
        d.say("It is written. I can answer now.", f"总和是{total}，已写入{target}。" if d.w.chinese else f"The sum is {total}. I wrote it to {target}.")
    else:
        d.say(f"The sum is {total}. I can answer now.", f"总和是{total}。" if d.w.chinese else f"The sum is {total}.")
    return True


def compute(d: "Dialogue", f: FileSet) -> bool:
    if not f.can("calculate"):
        return False
    r = d.r
    expression = r.choice(["{} * {}", "{} + {} * {}", "({} + {}) * {}", "{} - {}", "{} + {} + {}", "{} * {} - {}", "{}*{}", "{}+{}"]).format(
        *(r.randint(10, r.choice([99, 999])) for _ in range(3)))
    call = f.call("calculate", expression=expression)
    d.user(r.choice([f"计算{expression}。", f"{expression}等于多少？"] if d.w.chinese else
                    [f"Calculate {expression}.", f"What is {expression}?", f"Compute {expression}", f"How much is {expression}?"]))
    d.step(f"The user wants {expression}. I should call {call[0]}.", [call])
    d.say(f"I have the result of {call[0]}. I can answer now.", f"{expression} = {eval(expression)}")
    return True


def write(d: "Dialogue", f: FileSet) -> bool:
    if not f.can("write"):
        return False
    path = f"{d.r.choice(f.folders())}/{d.w.latin()}.{d.r.choice(EXTENSIONS)}"
    source = d.r.choice(sorted(f.files))
    if f.can("read") and d.r.random() < 0.4 and "\n" not in f.files[source] and "'" not in f.files[source]:
        d.user(f"把{source}的内容写到{path}。" if d.w.chinese else d.r.choice([f"Copy what {source} says to {path}.", f"Write the contents of {source} to {path}."]))
        call = f.call("read", path=source)
        d.step(f"First I should read {source} with {call[0]}.", [call])
        call = f.call("write", path=path, text=f.files[source])
        d.step(f"I have read {source}. Now I should write {path} with {call[0]}.", [call])
    else:
        text = d.r.choice([d.w.sentence, d.w.phrase, d.w.latin])().replace("'", "")
        call = f.call("write", path=path, text=text)
        d.user(d.r.choice([f"把“{text}”写入{path}。", f"新建文件{path}，内容是“{text}”。"] if d.w.chinese else
                          [f'Write "{text}" to {path}.', f'Save "{text}" in the file {path}.', f'Create {path} with the text "{text}".']))
        d.step(f"The user wants {path} written. I should call {call[0]}.", [call])
    d.say("It is written. I can answer now.", f"已写入{path}。" if d.w.chinese else f"I wrote {path}.")
    return True


def search(d: "Dialogue", f: FileSet) -> bool:
    """Which file of a folder says a word: by grep, or by reading them all."""
    if not f.can("list", "read"):
        return False
    folder = d.r.choice(f.folders())
    paths = [f"{folder}/{name}" for name in f.names(folder)]
    words = [(path, word) for path in paths for word in f.files[path].replace("=", " ").replace(":", " ").split()
             if word.isascii() and word.isalpha() and len(word) > 3 and sum(word in f.files[other] for other in paths) == 1]
    if not words:
        return False
    path, word = d.r.choice(words)
    d.user(d.r.choice([f"{folder}里哪个文件提到了{word}？"] if d.w.chinese else
                      [f"Which file in {folder} mentions {word}?", f"Find the file in {folder} that mentions {word}."]))
    if "list" in f.tools and "read" in f.tools:
        call = f.call("list", path=folder)
        d.step(f"First I should list {folder} with {call[0]}.", [call])
        calls = [f.call("read", path=path) for path in paths]
        d.step(f"I should read the files of {folder} with {calls[0][0]} and look for {word}.", calls)
    else:
        call = f.call("find", path=folder, word=word)
        d.step(f"I should search {folder} with {call[0]}.", [call])
    d.say(f"{word} is in {path}. I can answer now.", f"{path}提到了{word}。" if d.w.chinese else f"{path} mentions {word}.")
    return True


def lines(d: "Dialogue", f: FileSet) -> bool:
    if "shell" not in f.tools:
        return False
    path = d.r.choice(sorted(f.files))
    call = f.call("lines", path=path)
    d.user(f"{path}有多少行？" if d.w.chinese else d.r.choice([f"How many lines does {path} have?", f"Count the lines of {path}."]))
    d.step(f"The user wants the number of lines of {path}. I should call {call[0]}.", [call])
    count = call[2]
    number = f.files[path].count("\n") + 1
    assert str(number) in count
    d.say(f"I have the result of {call[0]}. I can answer now.", f"{path}有{number}行。" if d.w.chinese else f"{path} has {number} lines.")
    return True


SINGLE: list[Callable[["Dialogue", FileSet], bool]] = [listing, content, compute, write, value, lines]
CHAINS: list[Callable[["Dialogue", FileSet], bool]] = [add_up, add_up, first_file, search, write]
