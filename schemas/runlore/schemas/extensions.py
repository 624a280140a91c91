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

from runlore.schemas.special import DType, Path, StorageSize, Uri


def unpack_extension(code: int, data: memoryview) -> Any:
    """The decoder's `ext_hook`: turn an extension back into its value."""
    unpacker = _UNPACKERS.get(code)
    if unpacker is None:
        raise ValueError(f"unknown value extension {code}: written by a newer Runlore")
    return unpacker(bytes(data))


decode_plain: Callable[[bytes], Any] = msgspec.msgpack.Decoder(ext_hook=unpack_extension).decode
"""Stored bytes of one value, or of a collection of values, as Python's types."""


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
    2: lambda data: tuple(decode_plain(data)),
    3: lambda data: set(decode_plain(data)),
    4: lambda data: frozenset(decode_plain(data)),
    5: lambda data: read_datetime(data.decode()),
    6: lambda data: dt.date.fromisoformat(data.decode()),
    7: lambda data: dt.timedelta(*decode_plain(data)),
    8: lambda data: decimal.Decimal(data.decode()),
    9: lambda data: uuid.UUID(bytes=data),
    10: lambda data: Uri(_text(data)),
    11: lambda data: Path(_text(data)),
    12: lambda data: DType(_text(data)),
    13: lambda data: StorageSize(int.from_bytes(data, "big", signed=True)),
    14: _text,
}
