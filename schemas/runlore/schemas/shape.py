# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# Metadata is whatever callers passed: its static types are unknown by nature.
"""The shape of one event's metadata: how deep it nests, how many leaves it has, how long its keys are.

Works on values as the codec decodes them and on packed ones (an extension is a leaf whose depth `pack` has checked).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.msgpack import Ext

from runlore.schemas.cost import TOO_DEEP
from runlore.schemas.errors import EventLimitError
from runlore.schemas.keys import key_text
from runlore.schemas.limits import (
    MAX_COPIED_CHARACTERS,
    MAX_DEPTH,
    MAX_LEAVES,
    MAX_PATH_CHARACTERS,
    MAX_ROWS,
    MAX_TARGETS,
)
from runlore.schemas.refusal import UnsupportedError

_CONTAINERS = frozenset({dict, list, tuple, set, frozenset})
_MAX_KNOWN, _MAX_KNOWN_LENGTH = 50_000, 200
_known: set[str] = set()
"""Keys that were found right: the same ones come again and again."""

_FEW_TARGETS = 10
"""Up to here an event's own size bounds what is stored of it well enough."""
_FEW_LEAVES = 50
"""Up to here an event's own size bounds that of its paths well enough."""


def check_shape(targets: int, metadata: dict[str, Any]) -> None:
    """Raise EventLimitError if an event about `targets` entities with this metadata is beyond a limit."""
    try:
        leaves = _leaves(metadata, MAX_DEPTH)
    except UnsupportedError as error:
        raise EventLimitError(str(error)) from None
    if targets == 1 and leaves <= _FEW_LEAVES:
        return  # below every limit that follows
    check_counts(targets, leaves, "values")
    if targets > _FEW_TARGETS:
        check_copied(targets, sum(map(_characters, metadata.values())))
    if leaves > MAX_LEAVES:
        raise EventLimitError(f"{leaves:,} values; one event has at most {MAX_LEAVES:,}: split the call")
    if leaves > _FEW_LEAVES and (size := _path_characters(metadata, 0)) > MAX_PATH_CHARACTERS:
        raise EventLimitError(
            f"the paths of all values have {size:,} characters, at most {MAX_PATH_CHARACTERS:,} are allowed: "
            "use shorter keys for groups of many values"
        )


def check_counts(targets: int, parts: int, what: str) -> None:
    """Raise EventLimitError for too many entities, or for too many `parts` of all of them together."""
    if targets > MAX_TARGETS:
        raise EventLimitError(f"{targets:,} entities; one event has at most {MAX_TARGETS:,}: split the call")
    if targets * parts > MAX_ROWS:
        raise EventLimitError(
            f"{parts:,} {what} for each of {targets:,} entities; together at most {MAX_ROWS:,}: split the call"
        )


def check_copied(times: int, characters: int) -> None:
    """Raise EventLimitError if the view would store too much of one event, which it does `times` over."""
    if times * characters > MAX_COPIED_CHARACTERS:
        raise EventLimitError(
            f"{characters:,} characters for each of {times:,} entities or paths; together at most "
            f"{MAX_COPIED_CHARACTERS:,}: split the call"
        )


def _characters(value: Any) -> int:
    """Characters of the texts and bytes in a value; of an extension its bytes."""
    kind = type(value)
    if kind is dict:
        return sum(map(_characters, value.values()))
    if kind in _CONTAINERS:
        return sum(map(_characters, value))
    if isinstance(value, (str, bytes)):
        return len(value)
    return len(value.data) if kind is Ext else 8


def _leaves(group: dict[str, Any], depth: int) -> int:
    """The leaves of a group with `depth` levels left below it. Written for speed: the fold asks it of every event."""
    if not _known.issuperset(group):
        _check_keys(group)
    leaves = len(group)
    for value in group.values():
        kind = type(value)
        if kind in _CONTAINERS:
            if depth <= 0:
                raise _too_deep()
            if kind is dict:
                leaves += _leaves(value, depth - 1) - 1 if value else 0
            elif not _CONTAINERS.isdisjoint(map(type, value)):
                _check_nested(value, depth - 1)
    return leaves


def _check_nested(items: Iterable[Any], depth: int) -> None:
    for item in items:
        kind = type(item)
        if kind in _CONTAINERS:
            if depth <= 0:
                raise _too_deep()
            if kind is dict:
                _leaves(item, depth - 1)
            else:
                _check_nested(item, depth - 1)


def _too_deep() -> UnsupportedError:
    return UnsupportedError(TOO_DEEP)


def _check_keys(group: dict[str, Any]) -> None:
    if any(type(key) is not str for key in group):  # of another program: `pack_metadata` gives exact texts
        raise UnsupportedError("a dict with keys that are no text")
    texts = list(map(key_text, group))
    if len(_known) + len(texts) > _MAX_KNOWN:
        _known.clear()
    if len(texts) <= _MAX_KNOWN:
        _known.update(text for text in texts if len(text) <= _MAX_KNOWN_LENGTH)


def _path_characters(group: dict[str, Any], above: int) -> int:
    total = 0
    for key, value in group.items():
        here = above + len(key) + 1
        total += _path_characters(value, here) if type(value) is dict and value else here
    return total
