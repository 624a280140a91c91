# pyright: reportUnknownLambdaType=false
# What an extension holds is known only when it is decoded.
"""MessagePack extensions back into values: the decoder's half of `values`."""

from __future__ import annotations

import datetime as dt
import decimal
import re
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from runlore.schemas.cost import check_number, check_set, check_values, nested
from runlore.schemas.errors import EventCostError
from runlore.schemas.limits import MAX_DECIMAL_CHARACTERS, MAX_EVENT_BYTES, SCANNED_BYTES
from runlore.schemas.special import DType, Erased, Path, StorageSize, Uri

_LONGEST_TIME = 64
"""Bytes of a date or datetime: ISO 8601 has fewer."""


def unpack_extension(code: int, data: memoryview) -> Any:
    """The decoder's `ext_hook`: turn an extension back into its value."""
    unpacker = _UNPACKERS.get(code)
    if unpacker is None:
        raise ValueError(f"unknown value extension {code}: written by a newer Runlore")
    return unpacker(bytes(data))


_decode = msgspec.msgpack.Decoder(ext_hook=unpack_extension).decode
_decode_items = msgspec.msgpack.Decoder(list[Any], ext_hook=unpack_extension).decode
_decode_span = msgspec.msgpack.Decoder(tuple[int, int, int]).decode


def decode_plain(data: bytes) -> Any:
    """Return stored bytes of one value, or of a collection of values, as Python's types.

    Raises EventCostError beyond a limit of `limits`, else what `codec` calls broken bytes.
    """
    if len(data) > SCANNED_BYTES:
        if len(data) > MAX_EVENT_BYTES:
            raise EventCostError(f"{len(data):,} bytes; at most {MAX_EVENT_BYTES:,} are decoded")
        check_values(data)
    return _decode(data)


def _set_items(data: bytes) -> list[Any]:
    items = nested(_decode_items, data)
    check_set(items)
    return items


def _integer(data: bytes) -> int:
    check_number(len(data))
    return int.from_bytes(data, "big", signed=True)


def _decimal(data: bytes) -> decimal.Decimal:
    check_number(len(data), MAX_DECIMAL_CHARACTERS)
    return decimal.Decimal(data.decode())


def _time(data: bytes) -> str:
    if len(data) > _LONGEST_TIME:
        raise ValueError("a time of more characters than any has")
    return data.decode()


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
    1: _integer,
    2: lambda data: tuple(nested(_decode_items, data)),
    3: lambda data: set(_set_items(data)),
    4: lambda data: frozenset(_set_items(data)),
    5: lambda data: read_datetime(_time(data)),
    6: lambda data: dt.date.fromisoformat(_time(data)),
    7: lambda data: dt.timedelta(*_decode_span(data)),
    8: _decimal,
    9: lambda data: uuid.UUID(bytes=data),
    10: lambda data: Uri(_text(data)),
    11: lambda data: Path(_text(data)),
    12: lambda data: DType(_text(data)),
    13: lambda data: StorageSize(_integer(data)),
    14: _text,
    15: lambda data: Erased(_text(data)),
}
