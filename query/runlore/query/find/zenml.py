"""ZenML's filter strings, ``key:op:value``, such as ``accuracy:gte:0.9`` or ``name:contains:churn``."""

from __future__ import annotations

import re

from runlore.query.find import ast, literals
from runlore.query.find.checks import check
from runlore.schemas.errors import FilterError, InvalidReferenceError
from runlore.schemas.paths import parse_path

OPERATORS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}
_SHAPE = re.compile(
    r"\s*([^\s'=<>()!:]+(?:::[^\s'=<>()!:]+)*):"
    r"(equals|notequals|contains|startswith|endswith|oneof|in|gte|gt|lte|lt):(.*)\Z",
    re.DOTALL,
)
_UNKNOWN = re.compile(r"\s*[^\s'\"=<>()!:]+(?:::[^\s'\"=<>()!:]+)*:(\w+):(?!:)")
"""The same shape with another word for an operator; no filter of ours begins so."""
_NUMBER = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)([kKMGTP]i?B|B|us|ms|s|min|h|d)?", re.ASCII)


def parse(text: str) -> ast.Condition | None:
    """The condition of a ZenML string, None when the text is none. Raises FilterError."""
    found = _SHAPE.match(text)
    if found is None:
        if unknown := _UNKNOWN.match(text):
            listed = "equals, notequals, contains, startswith, endswith, oneof, in, gte, gt, lte, lt"
            raise FilterError(f"expected one of {listed}", text, unknown.start(1) + 1)
        return None
    name, op, written = found.groups()
    try:
        key = ast.Key(parse_path(name), '"' in name)
        made = check(_condition(key, op, written))
    except InvalidReferenceError as error:
        raise FilterError(str(error), text, found.start(1) + 1) from error
    except ValueError as error:
        raise FilterError(f"expected {error}", text, found.start(3) + 1) from error
    if isinstance(made, str):
        raise FilterError(made, text, found.start(3) + 1)
    return made


def _condition(key: ast.Key, op: str, text: str) -> ast.Condition:
    match op:
        case "contains":
            return ast.Contains(key, text)
        case "startswith":
            return ast.Matches(key, glob_literal(text) + "*")
        case "endswith":
            return ast.Matches(key, "*" + glob_literal(text))
        case "oneof" | "in":
            return ast.In(key, _several(text))
        case "equals" | "notequals":
            return ast.In(key, _readings(text), op == "notequals")
        case _:
            return ast.Compare(key, OPERATORS[op], _literal(text))


def _several(text: str) -> tuple[ast.Literal, ...]:
    """A list as JSON or Python writes it, or values between commas."""
    inner = text.strip()
    if inner[:1] == "[" and inner[-1:] == "]":
        inner = inner[1:-1]
    parts = re.findall(r"""\s*('(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|[^,]*?)\s*(?:,|\Z)""", inner)
    found = tuple(value for part in parts if part for value in _readings(part))
    if not found:
        raise ValueError("a list of values")
    return found


def _readings(text: str) -> tuple[ast.Literal, ...]:
    """Return the values a text may mean where values are equal or not: ``5`` is the number and the text."""
    read = _literal(text)
    return (read,) if isinstance(read, str) else (read, text)


def _literal(text: str) -> ast.Literal:
    """A number, a word, a time or a quoted text where it reads as one; else the text itself."""
    if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
        return literals.unquoted(text)
    if literals.is_word(text):
        return literals.word(text)
    if number := _NUMBER.fullmatch(text):
        return literals.number(number[1], number[2] or "")
    return text


def glob_literal(text: str) -> str:
    """A GLOB pattern that fits the text only."""
    return re.sub(r"[*?\[]", lambda found: f"[{found[0]}]", text)


def glob_of_like(pattern: str) -> str:
    r"""GLOB for a LIKE pattern: ``%`` is any text, ``_`` any character, ``\%`` and ``\_`` themselves."""
    parts = re.findall(r"\\[\\%_]|.", pattern, re.DOTALL)
    return "".join({"%": "*", "_": "?"}.get(part) or glob_literal(part[-1]) for part in parts)
