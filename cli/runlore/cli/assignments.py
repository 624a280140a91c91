"""`key=value` on the command line, turned into metadata.

A value is JSON where it parses as JSON, else text. A type in front says otherwise: `Uri:gs://b/x`,
`StorageSize:1.5MB`, `str:007`; the names are those that `runlore show` prints. A dot in the key
makes a group, as in paths everywhere: `metrics.accuracy=0.9`; `'"train.loss"=0.1'` is one key.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any, cast

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
"""What may stand before a value, and how the rest is read."""


def parse_assignments(assignments: Iterable[str], base: dict[str, Any] | None = None) -> dict[str, Any]:
    """The metadata that `key=value` texts stand for, on top of `base`.

    Raises ValueError naming the text that cannot be read or contradicts another.
    """
    metadata = dict(base or {})
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if assignment.startswith('"'):
            key, equals, text = _split_quoted(assignment)
        if not equals or not key:
            raise ValueError(f"{assignment!r}: write key=value")
        _assign(metadata, _path(key), parse_value(text), assignment)
    return metadata


def parse_value(text: str) -> Any:
    """The value of one text. Raises ValueError when it does not fit the type in front of it."""
    name, colon, rest = text.partition(":")
    if colon and name in TYPES:
        try:
            return TYPES[name](rest)
        except (ValueError, decimal.InvalidOperation) as error:
            raise ValueError(f"{text!r} is no {name}: {error}") from error
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return text


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
        raise ValueError(f'{key!r}: a part of the path is empty; write "" if that is meant')
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
