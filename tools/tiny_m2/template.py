"""Renders a chat template as Hugging Face's apply_chat_template does."""
import json
from pathlib import Path
from typing import Any, Callable

from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = REPOSITORY / "models" / "tiny-m2"


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None,
             separators: tuple[str, str] | None = None, sort_keys: bool = False) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> None:
    raise TemplateError(message)


def compile_template(text: str) -> Callable[..., str]:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    return environment.from_string(text).render


def tiny_template() -> Callable[..., str]:
    """The model's own template: render(messages=, tools=, add_generation_prompt=)."""
    return compile_template((MODEL / "chat_template.jinja").read_text())
