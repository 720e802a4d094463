"""A tool's declaration as the libraries of clients write it: they make the schema from a function's signature, each with
its own order of keys, titles and flags."""
import random
from typing import Any

from .words import Words


def reordered(r: random.Random, pairs: dict[str, Any]) -> dict[str, Any]:
    return dict(r.sample(list(pairs.items()), len(pairs)))


def titled(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").title()


def dressed(w: Words, function: dict[str, Any]) -> dict[str, Any]:
    """Another spelling of the same declaration; the parameters keep their order."""
    r = w.r
    if r.random() < 0.5:
        return function
    schema = function["parameters"]
    properties = schema["properties"]
    if r.random() < 0.5:
        properties = {name: {"title": titled(name), **about} for name, about in properties.items()}
        schema = {**schema, "title": r.choice([function["name"] + "_args", titled(function["name"])])}
    if r.random() < 0.3:
        schema = {**schema, "additionalProperties": False}
    if r.random() < 0.5:
        properties = {name: reordered(r, about) for name, about in properties.items()}
    schema = {**schema, "properties": properties}
    schema = dict(sorted(schema.items())) if r.random() < 0.4 else reordered(r, schema)
    function = {**function, "parameters": schema}
    if r.random() < 0.3:
        function["strict"] = r.random() < 0.5
    return reordered(r, function) if r.random() < 0.2 else function
