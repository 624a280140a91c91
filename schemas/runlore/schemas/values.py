# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownLambdaType=false
# The values are whatever callers pass: their static types are unknown by nature.
"""Metadata values on the wire: MessagePack, with an extension type for what it lacks.

`pack_metadata` checks and packs what a caller logs; `extensions` is the decoder's half.
Every supported value comes back equal and of the same type. The extension codes are part of the
stored format and never change:

    1 int beyond 64 bits   2 tuple     3 set       4 frozenset   5 datetime   6 date   7 timedelta
    8 Decimal              9 UUID     10 Uri      11 Path       12 DType     13 StorageSize
    14 text with lone surrogates               15 the reason why a value was erased; also in the place of
                                                  a note, a reason, an error message or a whole event
"""

from __future__ import annotations

import datetime as dt
import decimal
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec
from msgspec.msgpack import Ext

from runlore.schemas.coerce import coerce
from runlore.schemas.cost import TOO_DEEP, check_number
from runlore.schemas.errors import MAX_NAMED, EventCostError, MetadataTypeError
from runlore.schemas.extensions import decode_plain, unpack_extension
from runlore.schemas.keys import KEY_TEXTS, key_text
from runlore.schemas.limits import MAX_DECIMAL_CHARACTERS, MAX_DEPTH
from runlore.schemas.paths import PathParts, format_path
from runlore.schemas.refusal import UnsupportedError, guarded
from runlore.schemas.special import DType, Erased, Path, StorageSize, Uri

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
_LONGEST_SHOWN = 200
_AS_IS = frozenset({type(None), bool, float, bytes})
_encode = msgspec.msgpack.Encoder().encode


def pack_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Check one call's metadata and turn it into what the event encoder takes.

    A dict, any other Mapping, or an object that becomes a group (a config, a dataclass). Raises MetadataTypeError
    naming the path of every value that cannot be stored.
    """
    try:
        return _pack_items(metadata if type(metadata) is dict else _group_of(metadata), MAX_DEPTH)
    except UnsupportedError as error:
        found = islice(offences(metadata), MAX_NAMED + 1)
        paths = [(format_path(path), reason) for path, reason in found]
        raise MetadataTypeError(paths or [("metadata", str(error))]) from None


def _group_of(metadata: Any) -> dict[Any, Any]:
    try:
        group = guarded(coerce, metadata)
    except UnsupportedError as error:
        raise MetadataTypeError([("metadata", f"must be a dict: {error}")]) from None
    if type(group) is not dict:
        raise MetadataTypeError([("metadata", f"must be a dict, not {type(metadata).__name__}")])
    return group


def pack(value: Any) -> Any:
    """Pack one value; see `pack_metadata`. Raises UnsupportedError."""
    return _pack(value, MAX_DEPTH)


def _pack(value: Any, depth: int) -> Any:
    kind = type(value)
    # Plain values first: this runs for every value of every call.
    if kind in _AS_IS or (kind is str and value.isascii()):
        return value
    packer = _PACKERS.get(kind)
    if packer is not None:
        return packer(value, depth)
    _check_depth(depth)
    return _pack(guarded(coerce, value), depth - 1)


def _check_depth(depth: int) -> None:
    if depth <= 0:
        raise UnsupportedError(TOO_DEEP)


def _pack_str(value: str, depth: int) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:
        return Ext(14, value.encode("utf-8", "surrogatepass"))
    return value


def _pack_int(value: int, depth: int) -> Any:
    return value if _INT_MIN <= value <= _INT_MAX else Ext(1, _int_bytes(value))


def _int_bytes(value: int) -> bytes:
    _within(check_number, value.bit_length() // 8 + 1)
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _pack_decimal(value: decimal.Decimal, depth: int) -> Ext:
    text = str(value).encode()
    _within(check_number, len(text), MAX_DECIMAL_CHARACTERS)
    return Ext(8, text)


def _within(check: Callable[..., None], *given: Any) -> None:
    """Apply a check of the decoder's, so that what is packed can be read back."""
    try:
        check(*given)
    except EventCostError as error:
        raise UnsupportedError(str(error)) from None


def _pack_items(group: dict[Any, Any], depth: int) -> dict[str, Any]:
    packed: dict[str, Any] = {}
    texts, plain = KEY_TEXTS, _AS_IS
    # What _pack does, without a call for each plain key and value: half the time of a usual call's metadata.
    for key, item in group.items():
        kind = type(item)
        if kind in plain or (kind is str and item.isascii()) or (kind is int and _INT_MIN <= item <= _INT_MAX):
            packed[texts[key]] = item
        else:
            packed[texts[key]] = _PACKERS.get(kind, _pack)(item, depth)
    if len(packed) != len(group):
        raise UnsupportedError("two keys become the same text")
    return packed


def _pack_list(value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
    if depth <= 0:
        _check_depth(depth)
    return [
        item if (kind := type(item)) in _AS_IS or (kind is str and item.isascii()) else _pack(item, depth - 1)
        for item in value
    ]


def _pack_dict(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    if depth <= 0:
        _check_depth(depth)
    return _pack_items(value, depth - 1)


def _pack_tuple(value: tuple[Any, ...], depth: int) -> Ext:
    return Ext(2, _encode(_pack_list(value, depth)))


class _Packing(threading.local):
    inside = False
    """Inside a set, which is checked as a whole: checking each set in it again would take depth times as long."""


_packing = _Packing()


def _pack_set(code: int) -> Callable[[Any, int], Ext]:
    def pack_set(value: set[Any] | frozenset[Any], depth: int) -> Ext:
        _check_depth(depth)
        # Sorted by their bytes, so that equal sets have equal bytes in every process.
        outer, _packing.inside = _packing.inside, True
        try:
            raws = sorted({_encode(_pack(item, depth - 1)) for item in value})
        finally:
            _packing.inside = outer
        data = _encode([msgspec.Raw(raw) for raw in raws])
        if not outer:
            _check_readable(code, data)
        return Ext(code, data)

    return pack_set


def _check_readable(code: int, data: bytes) -> None:
    """Raise UnsupportedError where a set, with the sets in it, cannot be read back."""
    try:
        _within(unpack_extension, code, memoryview(data))
    except (TypeError, msgspec.ValidationError) as error:  # msgspec wraps what an element of it raises
        cost = error.__cause__
        if isinstance(cost, EventCostError):
            raise UnsupportedError(str(cost)) from None
        raise UnsupportedError("a set whose elements become lists, dicts or sets cannot be read back") from None


def _pack_text(code: int) -> Callable[[str, int], Ext]:
    return lambda value, depth: Ext(code, value.encode("utf-8", "surrogatepass"))


def _pack_timedelta(value: dt.timedelta, depth: int) -> Ext:
    return Ext(7, _encode((value.days, value.seconds, value.microseconds)))


_PACKERS: dict[type, Callable[[Any, int], Any]] = {
    str: _pack_str,
    int: _pack_int,
    list: _pack_list,
    dict: _pack_dict,
    tuple: _pack_tuple,
    set: _pack_set(3),
    frozenset: _pack_set(4),
    # The text holds the zone's own code.
    dt.datetime: lambda value, depth: Ext(5, guarded(dt.datetime.isoformat, value).encode()),
    dt.date: lambda value, depth: Ext(6, value.isoformat().encode()),
    dt.timedelta: _pack_timedelta,
    decimal.Decimal: _pack_decimal,
    uuid.UUID: lambda value, depth: Ext(9, value.bytes),
    Uri: _pack_text(10),
    Path: _pack_text(11),
    DType: _pack_text(12),
    Erased: _pack_text(15),
    StorageSize: lambda value, depth: Ext(13, _int_bytes(value)),
}


def offences(metadata: Any) -> Iterator[tuple[PathParts, str]]:
    """Every value of a call's metadata that cannot be packed: its path and the reason.

    Where objects hold each other there is one for every way through them: no caller reads them all.
    """
    return _offences(metadata, (), MAX_DEPTH + 1, ())


def _offences(value: Any, path: PathParts, depth: int, above: tuple[int, ...]) -> Iterator[tuple[PathParts, str]]:
    if id(value) in above:
        yield path, "it holds itself: nested deeper than any limit"
        return
    try:
        plain, left = _plain(value, depth)
        if not isinstance(plain, (dict, list, tuple)):
            _pack(plain, left)
            return
        _check_depth(left)
    except UnsupportedError as error:
        yield path, str(error)
        return
    inside = (*above, id(value))
    if isinstance(plain, dict):
        yield from _offences_of_items(plain, path, left - 1, inside)
        return
    for index, item in enumerate(plain):
        yield from _offences(item, (*path[:-1], f"{path[-1]}[{index}]"), left - 1, inside)


def _plain(value: Any, depth: int) -> tuple[Any, int]:
    """Return the value as `_pack` sees it before packing its parts, and the depth that is left."""
    while type(value) not in _PACKERS and type(value) not in _AS_IS:
        _check_depth(depth)
        value, depth = guarded(coerce, value), depth - 1
    return value, depth


def _offences_of_items(
    group: dict[Any, Any], path: PathParts, depth: int, above: tuple[int, ...]
) -> Iterator[tuple[PathParts, str]]:
    seen: dict[str, Any] = {}
    for key, item in group.items():
        try:
            name = key_text(key)
        except UnsupportedError as error:
            yield (*path, _shown(key)), str(error)
            continue
        if name in seen:
            yield (*path, name), f"the keys {_shown(seen[name])} and {_shown(key)} become the same text"
        seen[name] = key
        yield from _offences(item, (*path, name), depth, above)


def _shown(key: Any) -> str:
    """A key of any type in an error's text."""
    try:
        return str(guarded(ascii, key))[:_LONGEST_SHOWN]
    except UnsupportedError:
        return type(key).__name__


def encode_value(value: Any) -> bytes:
    """One value in its stored MessagePack form. Raises UnsupportedError."""
    return _encode(pack(value))


def decode_value(data: bytes) -> Any:
    """The inverse of `encode_value`."""
    return decode_plain(data)
