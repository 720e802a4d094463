"""Prompts equal to Jinja2's: a seeded part of what tools/compare_template.py compares by command."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(os.environ.get("MINIMAX", ROOT / "build/cpu/minimax")).parent / "src/chat/render_text"


def test_prompts_and_expressions_are_those_of_jinja2():
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built")
    done = subprocess.run([sys.executable, ROOT / "tools/compare_template.py", "--program", PROGRAM, "--n", "100", "--expressions", "400"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.count("fail on both sides") == 10
