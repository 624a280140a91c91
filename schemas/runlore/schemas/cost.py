# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# What a message holds is known only when it is decoded.
"""Bounds on what decoding costs: the one place that looks at values before they become Python's types.

The decoder of `extensions` asks it for every event and every stored value, so producer, fold, pages and commands refuse
the same. Everything raises EventCostError, with the limit in its text.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from runlore.schemas.errors import EventCostError
from runlore.schemas.limits import MAX_DEPTH, MAX_EQUAL_HASHES, MAX_NUMBER_BYTES, MAX_SET, SCANNED_BYTES

TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"

_LONG_MAPS = (b"\xde", b"\xdf")
"""How a map of 16 or more keys begins. Keys that are no text, and so may have equal hashes, harm only there."""

# Text has a hash that nobody can choose. A whole collection of plain values is decoded at once, the rest part by part.
_Plain = None | bool | int | float | str
_plain_map = msgspec.msgpack.Decoder(dict[str, _Plain]).decode
_plain_list = msgspec.msgpack.Decoder(list[_Plain]).decode
_map = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


class _Nesting(threading.local):
    depth = 0


_nesting = _Nesting()


def nested(decode: Callable[[bytes], list[Any]], data: bytes) -> list[Any]:
    """Decode the values of an extension, which may hold extensions."""
    if len(data) > SCANNED_BYTES:
        check_values(data)
    outer = _nesting.depth
    if outer >= MAX_DEPTH:
        raise EventCostError(TOO_DEEP)
    _nesting.depth = outer + 1
    try:
        return decode(data)
    finally:
        _nesting.depth = outer


def check_set(items: list[Any]) -> None:
    """Check the elements of a set that is not made yet. Raises TypeError for one that has no hash."""
    if len(items) <= MAX_EQUAL_HASHES:
        return
    if len(items) > MAX_SET:
        raise EventCostError(f"a set of {len(items):,} elements; at most {MAX_SET:,} are allowed: use a list")
    hashes = sorted(map(hash, items))
    if any(map(operator.eq, hashes, hashes[MAX_EQUAL_HASHES:])):
        raise EventCostError(
            f"a set of more than {MAX_EQUAL_HASHES} elements with the same hash takes too long to make: use a list"
        )


def check_number(size: int, limit: int = MAX_NUMBER_BYTES) -> None:
    """Check the bytes of a number."""
    if size > limit:
        raise EventCostError(f"a number of {size:,} bytes; at most {limit:,} are allowed: use a text or bytes")


def check_values(data: bytes) -> None:
    """Check the keys and the depth of MessagePack of any type, but not within its extensions."""
    if any(map(data.__contains__, _LONG_MAPS)):
        _check(data, MAX_DEPTH + 3)  # an event's own levels: envelope, fact, metadata


def _check(data: Any, depth: int) -> None:
    view = memoryview(data)
    if len(view) <= SCANNED_BYTES:
        return
    is_map, is_list = _is_map(view[0]), _is_list(view[0])
    if not (is_map or is_list):
        return
    if depth <= 0:
        raise EventCostError(TOO_DEEP)
    try:
        _plain_map(data) if is_map else _plain_list(data)
    except msgspec.ValidationError:
        parts = _map_values(data) if is_map else _list(data)
        for part in parts:
            _check(part, depth - 1)


def _map_values(data: Any) -> Any:
    try:
        return _map(data).values()
    except msgspec.ValidationError:
        raise EventCostError("a dict with keys that are no text") from None


def _is_map(first: int) -> bool:
    return 0x80 <= first <= 0x8F or first in (0xDE, 0xDF)


def _is_list(first: int) -> bool:
    return 0x90 <= first <= 0x9F or first in (0xDC, 0xDD)
