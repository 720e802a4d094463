"""The client's side of the evaluation: executes the calls of a dialogue for real, in a folder of its own.

File tools read and write files there, the calculator computes, the shell is bash. The other tools are a table of the
dialogue's results; a call that is not in it is "not found". Failures that the dialogue wants come first.
"""
import ast
import operator
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from .filetools import present

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.USub: operator.neg}
# What the model may run: one plain command within the folder.
COMMAND = re.compile(r"(ls|cat|wc -l|grep -l \w+) [\w./*-]+|echo \$\(\([\d +*()-]+\)\)|echo '[^'\n]*' > [\w./-]+")


def calculate(expression: str) -> int | float:
    def value(node: ast.AST) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return node.value
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp):
            return OPERATORS[type(node.op)](value(node.operand))
        raise ValueError(expression)
    return value(ast.parse(expression, mode="eval").body)


class Client:
    def __init__(self, world: dict[str, Any]):
        self.tools, self.script = world["tools"], list(world["script"])
        self.folder = tempfile.TemporaryDirectory(prefix="tiny-m2-")
        self.root = Path(self.folder.name)
        for path, text in world["files"].items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text + "\n")

    def close(self) -> None:
        self.folder.cleanup()

    def execute(self, name: str, arguments: Any) -> str:
        """The text of the result. Never raises: what goes wrong is a result too."""
        entry = next((entry for entry in self.script if entry["name"] == name and entry["arguments"] == arguments), None)
        if entry:
            self.script.remove(entry)
        if name in self.tools and not (entry and entry["fails"]):
            tool = self.tools[name]
            try:
                return present(tool["form"], tool["does"], self.act(tool["does"], {key: arguments[given] for key, given in tool["keys"].items()}))
            except (KeyError, TypeError, ValueError, SyntaxError, OSError, subprocess.SubprocessError) as error:
                return f"Error: {error}"
        return entry["content"] if entry else '{"error": "not found"}'

    def act(self, does: str, given: dict[str, Any]) -> Any:
        if does == "calculate":
            return calculate(given["expression"])
        if does == "shell":
            return self.shell(given["command"])
        path = (self.root / given["path"]).resolve()
        if self.root.resolve() not in path.parents:
            return {"error": f"no such file: {given['path']}"}
        if does == "write":
            path.write_text(given["text"] + "\n")
            return ""
        if not path.exists():
            return {"error": f"no such file: {given['path']}"}
        return sorted(child.name for child in path.iterdir()) if does == "list" else path.read_text().removesuffix("\n")

    def shell(self, command: str) -> str:
        if not COMMAND.fullmatch(command) or ".." in command or " /" in command:
            raise ValueError(f"not allowed: {command}")
        done = subprocess.run(["bash", "-c", command], cwd=self.root, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, timeout=10,
                              capture_output=True, text=True)
        return (done.stdout or done.stderr).removesuffix("\n")
