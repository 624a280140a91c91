"""Paths: how a leaf inside a group is addressed, `evaluation_metrics.accuracy`.

A path is a tuple of keys. Its text form joins them with dots; a part that is empty, holds a dot
or starts with a double quote is written as a JSON string: ``("a.b", "c")`` is ``"a.b".c``.
"""

from __future__ import annotations

import json
from typing import Any

from runlore.schemas.errors import InvalidReferenceError
from runlore.schemas.keys import key_text
from runlore.schemas.names import exact_text
from runlore.schemas.refusal import UnsupportedError

PathParts = tuple[str, ...]


def format_path(parts: PathParts) -> str:
    """The text form of a path; the inverse of `parse_path`."""
    return ".".join(map(_format_part, parts))


def _format_part(part: str) -> str:
    if part and "." not in part and part[0] != '"':
        return part
    return json.dumps(part, ensure_ascii=False)


def parse_path(path: str | PathParts) -> PathParts:
    """The parts of a path given as text or already as a tuple.

    Raises InvalidReferenceError when a quoted part does not end, or is followed by anything but a dot.
    """
    path = exact_text(path)
    if not isinstance(path, str):
        return _exact_parts(path)
    if '"' not in path:
        return tuple(path.split("."))
    parts: list[str] = []
    rest = path
    while True:
        part, rest = _take_part(rest, path)
        parts.append(part)
        if not rest:
            return tuple(parts)
        rest = rest[1:]


def _take_part(rest: str, whole: str) -> tuple[str, str]:
    if not rest.startswith('"'):
        part, dot, after = rest.partition(".")
        return part, dot + after
    try:
        part, end = json.JSONDecoder().raw_decode(rest)
    except json.JSONDecodeError as error:
        raise InvalidReferenceError(f"path {whole!r}: the quoted part {rest!r} does not end") from error
    if rest[end : end + 1] not in ("", "."):
        raise InvalidReferenceError(f"path {whole!r}: a dot must follow the quoted part {part!r}")
    return str(part), rest[end:]


def check_path(path: Any) -> PathParts:
    """The parts of a path that a caller gives, as exact texts; numbers as `json.dumps` writes them as keys.

    Raises InvalidReferenceError for what is no path, and for an empty one: `""` as text is the empty key only when it
    is quoted, or the one part of a tuple.
    """
    plain = exact_text(path)
    if type(plain) is str:
        if not plain:
            raise InvalidReferenceError("a path is empty: name a key; the empty key is written ('',)")
        plain = parse_path(plain)
    return _exact_parts(plain)


def _exact_parts(path: Any) -> PathParts:
    if not isinstance(path, (tuple, list)) or not path:
        given = "an empty one" if isinstance(path, (tuple, list)) else type(path).__name__
        raise InvalidReferenceError(f"a path is text or a tuple of keys that is not empty, not {given}")
    try:
        return tuple(map(key_text, path))  # pyright: ignore[reportUnknownArgumentType] -- a caller's value
    except UnsupportedError as error:
        raise InvalidReferenceError(f"path: {error}") from None
