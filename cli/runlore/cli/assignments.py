"""`key=value` on the command line, turned into metadata.

A value is JSON where it parses as JSON, else text. A type in front says otherwise: `Uri:gs://b/x`,
`StorageSize:1.5MB`, `str:007`; the names are those that `runlore show` prints. A dot in the key
makes a group, as in paths everywhere: `metrics.accuracy=0.9`; `'"train.loss"=0.1'` is one key.

A number that no float can hold is text, as a commit's hash `12e4567` is; inside JSON it is refused. Where text and
number differ in meaning (`1.10`, `296e115`, `007`), or a list or group is no JSON (`[a, b]`), a remark says how it
was read.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

from runlore.cli.json_text import LossyJSONError, read_json, shortened
from runlore.schemas.errors import InvalidReferenceError
from runlore.schemas.paths import parse_path
from runlore.schemas.special import DType, Path, StorageSize, Uri

_UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kMGTP]?B|)\Z")


def parse_size(text: str) -> StorageSize:
    """A size such as ``1500`` or ``1.5MB`` (decimal units, as `StorageSize.human` writes them).

    Raises ValueError.
    """
    match = _SIZE.match(text)
    if match is None:
        raise ValueError("write a size as 1500 or 1.5MB")
    return StorageSize(int(decimal.Decimal(match[1]) * _UNITS[match[2]]))


TYPES: dict[str, Callable[[str], Any]] = {
    "str": str,
    "Uri": Uri,
    "Path": Path,
    "DType": DType,
    "StorageSize": parse_size,
    "datetime": dt.datetime.fromisoformat,
    "date": dt.date.fromisoformat,
    "decimal": decimal.Decimal,
    "uuid": uuid.UUID,
}
"""Prefixes of a value, and how the rest is read."""


_PLAIN_FLOAT = re.compile(r"-?\d(\.\d+)?[eE][+-]?\d{1,2}\Z")
"""A number as scientists write it, which nobody takes for a name: `1e-3`, but not `1234e56`."""
_WORDS = {"True": "true", "False": "false", "None": "null"}


class Read(NamedTuple):
    """A value, and how its text was read if it is ambiguous."""

    value: Any
    remark: str | None = None


def parse_assignments(
    assignments: Iterable[str], base: dict[str, Any] | None = None, say: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Return the metadata of `key=value` texts, on top of `base`. `say` hears how doubtful values were read.

    Raises ValueError naming the text that cannot be read or contradicts another.
    """
    metadata = dict(base or {})
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if assignment.startswith('"'):
            key, equals, text = _split_quoted(assignment)
        if not equals or not key:
            raise ValueError(f"{assignment!r}: write key=value")
        read = read_value(text)
        if say is not None and read.remark is not None:
            say(f"{key}={shortened(text)} {read.remark}")
        _assign(metadata, _path(key), read.value, assignment)
    return metadata


def read_value(text: str) -> Read:
    """The value of one text.

    Raises ValueError when it does not fit the type in front of it, or is JSON of which a part would be lost.
    """
    name, colon, rest = text.partition(":")
    if colon and name in TYPES:
        try:
            return Read(TYPES[name](rest))
        except (ValueError, decimal.InvalidOperation) as error:
            raise ValueError(f"{text!r} is no {name}: {error}") from error
    try:
        value = read_json(text)
    except LossyJSONError as error:
        if text.lstrip()[0] in "[{":
            raise ValueError(
                f"{shortened(text)}: {error}; what is no JSON value is written as text, in quotes"
            ) from error
        return Read(text, f"was read as text: {error}; decimal:{shortened(text)} makes it a number")
    except ValueError:
        return Read(text, _of_text(text))
    return Read(value, _of_number(text, value) if type(value) in (int, float) else None)


def _of_text(text: str) -> str | None:
    """A remark on a text that looks like a number, like Python's true, false and null, or like a list or group."""
    if text[:1] + text[-1:] in ("[]", "{}"):
        return "was read as text: it is no JSON, in which names and texts have double quotes"
    meant = _WORDS.get(text)
    if meant is None:
        try:
            meant = json.dumps(int(text) if text.strip("+-0123456789") == "" else float(text))
        except (ValueError, OverflowError):
            return None
        if meant in ("Infinity", "-Infinity") and not text.strip("+-").lower().startswith("inf"):
            return None  # a number in no notation of ours, and larger than every float
    return f"was read as text; write {meant} if that is meant"


def _of_number(text: str, value: float) -> str | None:
    """A remark on a number that would not be shown as it was typed: it may have been meant as a name."""
    if json.dumps(value) == text.strip() or _PLAIN_FLOAT.match(text):
        return None
    return f"was read as the number {json.dumps(value)}; str:{shortened(text)} makes it text"


def _split_quoted(assignment: str) -> tuple[str, str, str]:
    # An equals sign inside the quotes belongs to the key.
    match = re.match(r'((?:[^="]|"(?:[^"\\]|\\.)*")*)(=?)(.*)\Z', assignment, re.DOTALL)
    return (match[1], match[2], match[3]) if match else ("", "", "")


def _path(key: str) -> tuple[str, ...]:
    try:
        parts = parse_path(key)
    except InvalidReferenceError as error:
        raise ValueError(str(error)) from error
    if "" in parts and '""' not in key:
        raise ValueError(f'{key!r}: a part of the path is empty; write "" for an empty part')
    return parts


def _assign(metadata: dict[str, Any], path: tuple[str, ...], value: Any, assignment: str) -> None:
    group = metadata
    for part in path[:-1]:
        inner: Any = group.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ValueError(  # noqa: TRY004 -- what was typed contradicts itself
                f"{assignment!r}: {part!r} is already a plain value in this call"
            )
        group = cast(dict[str, Any], inner)
    if path[-1] in group:
        raise ValueError(f"{assignment!r}: this key is given twice")
    group[path[-1]] = value
