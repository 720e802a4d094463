#!/usr/bin/env python3
"""Style as a test: include directions, link targets, sizes of files, docs that name files which exist.

Run from anywhere: python3 tools/tidy.py. Prints one line per violation and exits with 1 if there is any.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Who may include whom (docs/architecture.md): arrows never go back.
MAY_USE = {
    "base": [],
    "grammar": ["base"],
    "model": ["base"],
    "tokenizer": ["base"],
    "executor": ["comm", "base"],
    "engine": ["executor", "base"],
    "chat/template": ["base"],
    "chat": ["chat/template", "engine", "grammar", "tokenizer", "executor", "base"],
    "api": ["chat", "chat/template", "engine", "grammar", "tokenizer", "executor", "base"],
    "net": ["base"],
    "server": ["api", "net", "base"],
    "comm": ["base"],
    "backend/common": ["executor", "model", "base"],
    "backend/ref": ["backend/common", "executor", "model", "base"],
    "backend/cpu": ["backend/common", "comm", "executor", "model", "base"],
    "backend/cuda": ["backend/common", "backend/cpu", "comm", "executor", "model", "base"],
    "backend": ["backend/common", "backend/ref", "backend/cpu", "backend/cuda", "comm", "executor", "model", "base"],
    "bench": ["backend", "executor", "model", "base"],
    "bench/client": ["net", "tokenizer", "base"],
    "bench/frontend": ["server", "api", "chat", "engine", "tokenizer", "executor", "base"],
    "bench/offline": ["engine", "executor", "base"],
    "bench/report": ["base"],
    "cli": None,  # the composition root
}
# Headers that a room's sources may not include (its nouns end here).
FORBIDDEN_HEADERS = {
    "engine": ["simdjson", "base/json.h"],
    "executor": ["simdjson", "base/json.h"],
    "api": ["boost/", "sys/socket.h"],
    "chat": ["boost/", "sys/socket.h"],
}
FILE_LINES_MAX = 600
TABLES = {"src/cli/serve_flags.cc"}  # tables are exempt from the size limit
DOC_LINE_EXEMPT = re.compile(r"docs/decisions/")

problems: list[str] = []


def problem(where: str, what: str) -> None:
    problems.append(f"{where}: {what}")


def tracked(*patterns: str) -> list[Path]:
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT,
                         capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in out.splitlines() if (ROOT / line).exists()]


def room_of(path: str) -> str:
    """The room of a path below src/: the longest known prefix of its folder."""
    folder = str(Path(path).parent)
    while folder not in MAY_USE and "/" in folder:
        folder = folder.rsplit("/", 1)[0]
    return folder


def check_includes() -> None:
    for path in tracked("src/*.cc", "src/*.h", "src/*.inl", "src/*.cu", "src/*.cuh"):
        name = str(path.relative_to(ROOT))
        room = room_of(str(path.relative_to(ROOT / "src")))
        if room not in MAY_USE:
            problem(name, f"lies in no known room ({room})")
            continue
        is_test = name.endswith("_test.cc") or "/testing/" in name or "test_" in path.name
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#include\s+["<]([^">]+)[">]', line)
            if not match:
                continue
            header = match.group(1)
            for forbidden in FORBIDDEN_HEADERS.get(room, []):
                if header.startswith(forbidden) and not is_test:
                    problem(f"{name}:{number}", f"room {room} may not include {header}")
            if line.lstrip().startswith("#include \""):
                if not (ROOT / "src" / header).exists():
                    problem(f"{name}:{number}", f"include {header} is not relative to src/ or does not exist")
                    continue
                other = room_of(header)
                allowed = MAY_USE[room]
                if other != room and allowed is not None and other not in allowed and not is_test:
                    problem(f"{name}:{number}", f"room {room} may not include {header}")


def check_links() -> None:
    for path in tracked("src/**/CMakeLists.txt", "src/*/CMakeLists.txt"):
        name = str(path.relative_to(ROOT))
        text = re.sub(r"#.*", "", path.read_text())
        for call in re.finditer(r"add_room\(\s*([\w/]+)\s*([^)]*)\)", text):
            room, rest = call.group(1), call.group(2).split("TEST_LINKS")[0]
            allowed = MAY_USE.get(room)
            if room not in MAY_USE:
                problem(name, f"room {room} is unknown to tools/tidy.py")
            if allowed is None:
                continue
            for target in re.findall(r"\broom_(\w+)", rest):
                if target not in [other.replace("/", "_") for other in allowed]:
                    problem(name, f"room {room} may not link room_{target}")


def check_sizes() -> None:
    for path in tracked("src/*.cc", "src/*.h", "src/*.inl", "src/*.cu", "src/*.cuh"):
        name = str(path.relative_to(ROOT))
        lines = path.read_text().splitlines()
        if len(lines) > FILE_LINES_MAX and name not in TABLES and not name.endswith("_test.cc"):
            problem(name, f"{len(lines)} lines, more than {FILE_LINES_MAX}: more than one concept?")
        if path.suffix == ".h" and not any(line.startswith("#pragma once") for line in lines[:3]):
            problem(name, "a header starts with #pragma once")
        for number, line in enumerate(lines, 1):
            if "\t" in line:
                problem(f"{name}:{number}", "a tab")
            if re.search(r"\b(TODO|FIXME|XXX)\b", line):
                problem(f"{name}:{number}", "unfinished by its own words")


def check_docs() -> None:
    """Every path in backquotes that looks like one of ours must exist."""
    for path in tracked("*.md", "docs/*.md", "docs/**/*.md"):
        name = str(path.relative_to(ROOT))
        if DOC_LINE_EXEMPT.match(name):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for quoted in re.findall(r"`([\w./-]+)`", line):
                looks_ours = re.match(r"(src|docs|tools|tests|models|bench|cmake|web)/", quoted) or re.match(
                    r"(base|cli|server|api|chat|tokenizer|engine|executor|model|comm|backend|bench)/[\w/]+\.(cc|h|inl|cu)$", quoted)
                if not looks_ours or "*" in quoted:
                    continue
                if not (ROOT / quoted).exists() and not (ROOT / "src" / quoted).exists():
                    problem(f"{name}:{number}", f"names {quoted}, which does not exist")


def check_path() -> None:
    """docs/path_of_a_request.md: each `file` is followed by a `function` that the file defines."""
    path = ROOT / "docs/path_of_a_request.md"
    for number, line in enumerate(path.read_text().splitlines(), 1):
        for file, function in re.findall(r"`(src/[\w/]+\.cc)` `([\w:]+)`", line):
            if (ROOT / file).exists() and not re.search(r"\b" + re.escape(function) + r"\(", (ROOT / file).read_text()):
                problem(f"docs/path_of_a_request.md:{number}", f"{file} has no {function}")


def check_complaints() -> None:
    """docs/complaints.md: the last column names tests that exist."""
    c_tests = {f"{suite}.{name}" for path in tracked("src/*.cc", "tests/*.cc")
               for suite, name in re.findall(r"^TEST(?:_F|_P)?\((\w+), (\w+)\)", path.read_text(), re.M)}
    python_tests = {name for path in tracked("tests/*.py") for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.M)}
    for number, line in enumerate((ROOT / "docs/complaints.md").read_text().splitlines(), 1):
        for name in re.findall(r"`([\w.]+)`", line.rsplit("|", 2)[-2] if line.startswith("| ") else ""):
            if name not in c_tests | python_tests:
                problem(f"docs/complaints.md:{number}", f"names the test {name}, which does not exist")


def check_readme() -> None:
    lines = len((ROOT / "README.md").read_text().splitlines())
    if lines > 120:
        problem("README.md", f"{lines} lines: it stays short (120)")


def main() -> int:
    check_includes()
    check_links()
    check_sizes()
    check_docs()
    check_path()
    check_complaints()
    check_readme()
    for line in problems:
        print(line)
    print(f"tidy: {len(problems)} problem(s)")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
