# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownLambdaType=false
# The values are whatever callers pass: their static types are unknown by nature.
"""Metadata values on the wire: MessagePack, with an extension type for what it lacks.

`pack_metadata` checks and packs what a caller logs; `unpack_extension` is the decoder's half.
Every supported value comes back equal and of the same type. The extension codes are part of the
stored format and never change:

    1 int beyond 64 bits   2 tuple     3 set       4 frozenset   5 datetime   6 date   7 timedelta
    8 Decimal              9 UUID     10 Uri      11 Path       12 DType     13 StorageSize
    14 text with lone surrogates
"""

from __future__ import annotations

import datetime as dt
import decimal
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec.msgpack import Ext

from runlore.schemas.coerce import UnsupportedError, coerce
from runlore.schemas.errors import MetadataTypeError
from runlore.schemas.paths import PathParts, format_path
from runlore.schemas.special import DType, Path, StorageSize, Uri

MAX_DEPTH = 32
"""Containers nest at most this deep."""

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
_AS_IS = frozenset({type(None), bool, float, bytes})
_encode = msgspec.msgpack.Encoder().encode


def pack_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Check one call's metadata and turn it into what the event encoder takes.

    Raises MetadataTypeError naming the path of every value that cannot be stored.
    """
    if type(metadata) is not dict and not isinstance(metadata, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers are untyped
        raise MetadataTypeError([("metadata", f"must be a dict, not {type(metadata).__name__}")])
    try:
        return _pack_items(metadata, MAX_DEPTH)
    except UnsupportedError:
        raise MetadataTypeError(
            [(format_path(path), reason) for path, reason in _offences(metadata, (), MAX_DEPTH)]
        ) from None


def pack(value: Any) -> Any:
    """Pack one value; see `pack_metadata`. Raises coerce.UnsupportedError."""
    return _pack(value, MAX_DEPTH)


def _pack(value: Any, depth: int) -> Any:
    kind = type(value)
    # Plain values first: this runs for every value of every call.
    if kind in _AS_IS or (kind is str and value.isascii()):
        return value
    packer = _PACKERS.get(kind)
    if packer is not None:
        return packer(value, depth)
    if depth == 0:
        raise UnsupportedError(f"nested deeper than {MAX_DEPTH} levels")
    return _pack(coerce(value), depth - 1)


def _pack_str(value: str, depth: int) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:
        return Ext(14, value.encode("utf-8", "surrogatepass"))
    return value


def _pack_int(value: int, depth: int) -> Any:
    return value if _INT_MIN <= value <= _INT_MAX else Ext(1, _int_bytes(value))


def _int_bytes(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _pack_items(group: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    packed: dict[str, Any] = {}
    # What _pack does, without a call for each plain key and value: half the time of a usual call's metadata.
    for key, item in group.items():
        name = key if type(key) is str and key.isascii() else _pack_key(key)
        kind = type(item)
        if kind in _AS_IS or (kind is str and item.isascii()):
            packed[name] = item
        else:
            packer = _PACKERS.get(kind, _pack)
            packed[name] = packer(item, depth)
    return packed


def _pack_key(name: Any) -> str:
    if not isinstance(name, str):
        raise UnsupportedError(f"keys must be strings, not {type(name).__name__}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UnsupportedError("keys must be valid Unicode (no lone surrogates)") from None
    return str.__str__(name)


def _pack_list(value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
    if depth == 0:
        raise UnsupportedError(f"nested deeper than {MAX_DEPTH} levels")
    return [
        item if (kind := type(item)) in _AS_IS or (kind is str and item.isascii()) else _pack(item, depth - 1)
        for item in value
    ]


def _pack_dict(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    if depth == 0:
        raise UnsupportedError(f"nested deeper than {MAX_DEPTH} levels")
    return _pack_items(value, depth - 1)


def _pack_tuple(value: tuple[Any, ...], depth: int) -> Ext:
    return Ext(2, _encode(_pack_list(value, depth)))


def _pack_set(code: int) -> Callable[[Any, int], Ext]:
    def pack_set(value: set[Any] | frozenset[Any], depth: int) -> Ext:
        # Sorted by their bytes, so that equal sets have equal bytes in every process.
        packed = [_pack(item, depth - 1) for item in value]
        if any(_unhashable(item) for item in packed):
            raise UnsupportedError("a set whose elements become lists, dicts or sets cannot be read back")
        return Ext(code, _encode([msgspec.Raw(raw) for raw in sorted({_encode(item) for item in packed})]))

    return pack_set


def _unhashable(packed: Any) -> bool:
    return isinstance(packed, (list, dict)) or (isinstance(packed, Ext) and packed.code == 3)


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
    dt.datetime: lambda value, depth: Ext(5, value.isoformat().encode()),
    dt.date: lambda value, depth: Ext(6, value.isoformat().encode()),
    dt.timedelta: _pack_timedelta,
    decimal.Decimal: lambda value, depth: Ext(8, str(value).encode()),
    uuid.UUID: lambda value, depth: Ext(9, value.bytes),
    Uri: _pack_text(10),
    Path: _pack_text(11),
    DType: _pack_text(12),
    StorageSize: lambda value, depth: Ext(13, _int_bytes(value)),
}


def _offences(value: Any, path: PathParts, depth: int) -> Iterator[tuple[PathParts, str]]:
    """Every value below `path` that cannot be packed, with the reason."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            try:
                yield from _offences(item, (*path, _pack_key(key)), depth - 1)
            except UnsupportedError as reason:
                yield (*path, ascii(key)), str(reason)
    elif isinstance(value, (list, tuple)) and depth:
        for index, item in enumerate(value):
            yield from _offences(item, (*path[:-1], f"{path[-1]}[{index}]"), depth - 1)
    else:
        try:
            _pack(value, max(depth, 0))
        except UnsupportedError as reason:
            yield path, str(reason)


def unpack_extension(code: int, data: memoryview) -> Any:
    """The decoder's `ext_hook`: turn an extension back into its value."""
    unpacker = _UNPACKERS.get(code)
    if unpacker is None:
        raise ValueError(f"unknown value extension {code}: written by a newer Runlore")
    return unpacker(bytes(data))


_decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(ext_hook=unpack_extension).decode


_FRACTION_OF_OFFSET = re.compile(r"(.+)([+-])(\d\d):(\d\d):(\d\d)\.(\d{6})\Z")


def read_datetime(text: str) -> dt.datetime:
    """The inverse of `isoformat`, also for offsets below a second, which `fromisoformat` drops (Python 3.11)."""
    odd = _FRACTION_OF_OFFSET.match(text)
    if odd is None or odd[1].count(":") < 2:
        return dt.datetime.fromisoformat(text)
    hours, minutes, seconds, micros = map(int, odd.groups()[2:])
    offset = dt.timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=micros)
    zone = dt.timezone(offset if odd[2] == "+" else -offset)
    return dt.datetime.fromisoformat(odd[1]).replace(tzinfo=zone)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


_UNPACKERS: dict[int, Callable[[bytes], Any]] = {
    1: lambda data: int.from_bytes(data, "big", signed=True),
    2: lambda data: tuple(_decode(data)),
    3: lambda data: set(_decode(data)),
    4: lambda data: frozenset(_decode(data)),
    5: lambda data: read_datetime(data.decode()),
    6: lambda data: dt.date.fromisoformat(data.decode()),
    7: lambda data: dt.timedelta(*_decode(data)),
    8: lambda data: decimal.Decimal(data.decode()),
    9: lambda data: uuid.UUID(bytes=data),
    10: lambda data: Uri(_text(data)),
    11: lambda data: Path(_text(data)),
    12: lambda data: DType(_text(data)),
    13: lambda data: StorageSize(int.from_bytes(data, "big", signed=True)),
    14: _text,
}


def encode_value(value: Any) -> bytes:
    """One value in its stored MessagePack form. Raises coerce.UnsupportedError."""
    return _encode(pack(value))


def decode_value(data: bytes) -> Any:
    """The inverse of `encode_value`."""
    return _decode(data)
