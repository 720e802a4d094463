"""Files, a calculator and a shell: tools that a client can really execute, and tasks that need several of them.

`present` gives an outcome the form in which one client's tool returns it; client.py, which executes the tools of the
evaluation, uses it too.
"""
import json
from dataclasses import dataclass
from typing import Any

from .names import described, identifier
from .schemas import dressed
from .words import Words

EXTENSIONS = "txt md csv json py log cfg".split()
# does: names, descriptions, parameters (key, names, description)
SORTS: dict[str, tuple[list[str], list[str], list[tuple[str, list[str], str]]]] = {
    "list": (["list_files", "list_directory", "list_dir", "ls", "dir", "show_files", "list_folder", "files_in"],
             ["List the files in a directory.", "Names of the files of a folder", "List a directory", "列出目录里的文件"],
             [("path", ["path", "directory", "dir", "folder", "dir_path", "dirname"], "The directory")]),
    "read": (["read_file", "cat", "open_file", "get_file", "file_read", "view_file", "load_file", "show_file"],
             ["Read a text file.", "Contents of a file", "Returns what a file says", "读取文件内容"],
             [("path", ["path", "file", "filename", "file_path", "file_name"], "The file")]),
    "write": (["write_file", "save_file", "file_write", "put_file", "store_file", "create_file"],
              ["Write text to a file.", "Save a file", "Write a text file, replacing what it held", "写入文件"],
              [("path", ["path", "file", "filename", "file_path", "target"], "The file"),
               ("text", ["text", "content", "contents", "data", "file_text"], "What to write")]),
    "calculate": (["calculate", "calculator", "compute", "calc", "eval_expression", "evaluate", "do_math", "math"],
                  ["Evaluate an arithmetic expression.", "Calculator", "Computes the value of an expression", "计算表达式的值"],
                  [("expression", ["expression", "expr", "formula", "input", "sum", "term"], "Such as 2 + 3 * 4")]),
    "shell": (["run_shell", "bash", "shell", "execute", "run_command", "terminal", "exec_command", "sh"],
              ["Run a shell command.", "Execute a bash command and return its output", "A terminal", "运行命令"],
              [("command", ["command", "cmd", "command_line", "script"], "The command line")]),
}


def present(form: int, does: str, value: Any) -> str:
    """The text of a result; value is a list of names, a text, a number, or an {"error": ...}."""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False) if form % 2 else f"Error: {value['error']}"
    if does == "list":
        return "\n".join(value) if form == 0 else json.dumps(value if form == 1 else {"files": value}, ensure_ascii=False)
    if does == "write":
        return ["ok", '{"status": "written"}', '{"ok": true}'][form]
    if does == "calculate":
        return str(value) if form == 0 else json.dumps({["", "result", "value"][form]: value})
    if form == 0:
        return value
    key = "content" if does == "read" else "stdout"
    return json.dumps({key: value} if form == 1 else {key: value, "ok": True}, ensure_ascii=False)


@dataclass
class FileTool:
    does: str
    function: dict[str, Any]
    keys: dict[str, str]
    form: int

    @property
    def name(self) -> str:
        return self.function["name"]

    def declaration(self) -> dict[str, Any]:
        return {"type": "function", "function": self.function}

    def spec(self) -> dict[str, Any]:
        return {"does": self.does, "keys": self.keys, "form": self.form}

    def arguments(self, **given: Any) -> dict[str, Any]:
        back = {name: key for key, name in self.keys.items()}
        return {name: given[back[name]] for name in self.function["parameters"]["properties"]}


def declare(w: Words, does: str) -> FileTool:
    r = w.r
    names, abouts, parameters = SORTS[does]
    usual = not w.held_out and r.random() < 0.4
    keys: dict[str, str] = {}
    properties: dict[str, Any] = {}
    about = r.random() < 0.5
    for key, spellings, text in parameters if usual or r.random() < 0.6 else parameters[::-1]:
        keys[key] = spellings[0] if usual else identifier(w, spellings, set(keys.values()), 0.15)
        properties[keys[key]] = {"type": "string", "description": text} if about else {"type": "string"}
    function: dict[str, Any] = {"name": names[0] if usual else identifier(w, names)}
    if not usual or r.random() < 0.85:  # an unusual name says little: the description does
        chosen = abouts[:3] + abouts[3:] * (2 if w.chinese else 0)
        function["description"] = abouts[0] if usual else described(w, r.choice(chosen))
    function["parameters"] = {"type": "object", "properties": properties}
    if r.random() < 0.8:
        function["parameters"]["required"] = list(properties)
    return FileTool(does, dressed(w, function), keys, r.choices([0, 1, 2], [5, 3, 2])[0])


def tree(w: Words) -> dict[str, str]:
    """path -> text: two or three folders of a few files."""
    r, files = w.r, {}
    folders: set[str] = set()
    while len(folders) < r.choice([2, 3]):
        folders.add(w.latin() if w.held_out or r.random() < 0.7 else r.choice("src data docs notes logs lib tests config".split()))
    for folder in sorted(folders):
        numbers = r.random() < 0.45  # a folder of numbers, so that its files can be summed
        for _ in range(r.randint(1, 4)):
            name = w.latin() if w.held_out or r.random() < 0.75 else r.choice("main readme numbers todo test index values report a b".split())
            files[f"{folder}/{name}.{'txt' if numbers and r.random() < 0.7 else r.choice(EXTENSIONS)}"] = text_of(w, numbers)
    return files


def text_of(w: Words, numbers: bool) -> str:
    r, x = w.r, w.r.random()
    if numbers or x < 0.25:
        return "\n".join(str(r.randint(0, r.choice([20, 200, 2000]))) for _ in range(r.randint(1, 5)))
    if x < 0.55:
        return "\n".join(dict.fromkeys(f"{w.latin()}{r.choice(['=', ': ', ' = '])}{r.choice([w.latin(), str(r.randint(0, 999)), w.code()])}"
                                       for _ in range(r.randint(1, 4))))
    return "\n".join(w.sentence() if r.random() < 0.7 else w.latin() for _ in range(r.randint(1, 4)))


class FileSet:
    """The file tools of one dialogue and the files as they stand; tasks are turns of a Dialogue `d`."""

    def __init__(self, w: Words):
        r = w.r
        self.files = tree(w)
        sorts = r.choice([["list", "read", "calculate"], ["list", "read", "write", "calculate"], ["shell"], ["list", "read"], ["calculate"],
                          ["list", "read", "calculate", "shell"], ["read", "write"], ["shell", "calculate"], ["read", "calculate"]])
        self.tools = {does: declare(w, does) for does in sorts}

    def folders(self) -> list[str]:
        return sorted({path.split("/")[0] for path in self.files})

    def names(self, folder: str) -> list[str]:
        return sorted(path.split("/")[1] for path in self.files if path.startswith(folder + "/"))

    def call(self, does: str, **given: Any) -> tuple[str, dict[str, Any], str]:
        """(name, arguments, result) of an action, by its own tool or by the shell; the files change with it."""
        value = self.value(does, **given)
        if does in self.tools:
            tool = self.tools[does]
            return tool.name, tool.arguments(**given), present(tool.form, does, value)
        shell, path = self.tools["shell"], given.get("path", "")
        command = {"list": f"ls {path}", "read": f"cat {path}", "calculate": f"echo $(({given.get('expression')}))",
                   "write": f"echo '{given.get('text')}' > {path}", "lines": f"wc -l {path}",
                   "find": f"grep -l {given.get('word')} {path}/*"}[does]
        if does == "list":
            value = "\n".join(value)
        return shell.name, shell.arguments(command=command), present(shell.form, "shell", str(value))

    def value(self, does: str, **given: Any) -> Any:
        path = given.get("path", "")
        if does == "list":
            return self.names(path)
        if does == "read":
            return self.files[path] if path in self.files else {"error": f"no such file: {path}"}
        if does == "write":
            self.files[path] = given["text"]
            return ""
        if does == "calculate":
            return eval(given["expression"], {"__builtins__": {}})  # made by this file: digits and operators
        if does == "lines":
            return f"{self.files[path].count(chr(10)) + 1} {path}"
        return "\n".join(f"{path}/{name}" for name in self.names(path) if given["word"] in self.files[f"{path}/{name}"])

    def can(self, *sorts: str) -> bool:
        return "shell" in self.tools or all(does in self.tools for does in sorts)
