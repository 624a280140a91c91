"""The bytes of a segment: see docs/outbox.md. Pure functions over a buffer."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec

from runlore.producer.outboxes.rows import DamagedError, Row
from runlore.schemas.errors import OutboxError

if TYPE_CHECKING:
    from mmap import mmap

    Buffer = bytes | mmap

MAGIC = b"RUNLOUT1"
COMMITTED = 2
"""Index of the committed word among the 8-byte words of a segment."""
ONE_RECORD = 1 << 32
END = ONE_RECORD - 1
"""The part of the committed word that says where the last record ends."""

_HEADER = Struct("=8sIIQQII")
WORD = Struct("=Q")
RECORD = Struct("<IIQH")
CHECKED_FROM = 4
"""Offset in a record from which its checksum counts."""
_NAME_FROM = RECORD.size - CHECKED_FROM
"""Offset of the subject in what is counted."""
_pack_crc = Struct("<I").pack
_pack_checked = Struct("<IQH").pack
_unpack_record = RECORD.unpack_from
_PIECE = 4096
"""zlib releases the interpreter lock over more than 5 KiB: getting it back may take a busy process 5 ms."""


class Info(msgspec.Struct, frozen=True, array_like=True):
    """What a segment says of its outbox."""

    producer: str
    pid: int
    created: float
    """Unix seconds."""
    server: str | None = None
    project: str | None = None
    epoch: str | None = None


class Header(msgspec.Struct, frozen=True):
    """What is at the beginning of a segment."""

    info: Info
    first: int
    """Number of its first record."""
    start: int
    """Where that begins."""
    count: int
    """Records that are committed."""
    end: int
    """Where the last of them ends."""

    @property
    def last(self) -> int:
        """Number of the last committed record; below `first` when there is none."""
        return self.first + self.count - 1


_encode = msgspec.msgpack.Encoder().encode
_decode_info = msgspec.msgpack.Decoder(Info).decode


def checksum(data: bytes, seed: int = 0) -> int:
    """CRC-32, computed without releasing the interpreter lock."""
    if len(data) <= _PIECE:
        return crc32(data, seed)
    for at in range(0, len(data), _PIECE):
        seed = crc32(data[at : at + _PIECE], seed)
    return seed


def seed_of(producer: str, first: int) -> int:
    """The seed of a segment's checksums: bytes of another segment, logged as a value, are never taken for a record."""
    return crc32(f"{producer} {first}".encode())


def whole(size: int) -> int:
    """The next multiple of 8."""
    return (size + 7) & ~7


def pack_header(info: Info, first: int) -> bytes:
    """The header of a segment without records."""
    text = _encode(info)
    start = whole(_HEADER.size + len(text))
    crc = crc32(text, crc32(first.to_bytes(8, "little")))
    return _HEADER.pack(MAGIC, start, len(text), start, first, crc, 0) + text


def read_header(data: Buffer, size: int) -> Header | None:
    """The header in the first bytes of a segment of `size` bytes; None while it is being made.

    Raises DamagedError, or OutboxError for a format that is not known here.
    """
    if len(data) < _HEADER.size or not any(data[:8]):
        return None
    magic, start, length, word, first, crc, _ = _HEADER.unpack_from(data)
    text = bytes(data[_HEADER.size : _HEADER.size + length])
    if magic != MAGIC and magic[:-1] == MAGIC[:-1]:
        raise OutboxError("it was written by a newer version of Runlore")
    if magic != MAGIC:
        raise DamagedError("not a segment of an outbox")
    if crc != crc32(text, crc32(first.to_bytes(8, "little"))):
        raise DamagedError("the header of a segment is damaged")
    if not start <= word & END <= size:
        raise DamagedError("the committed length of a segment is damaged")
    return Header(_decode_info(text), first, start, word >> 32, word & END)


def pack_record(seq: int, subject: str, payload: bytes, seed: int) -> bytes:
    """The bytes of a record, without the padding behind it."""
    name = subject.encode()
    checked = _pack_checked(len(payload), seq, len(name)) + name + payload
    crc = crc32(checked, seed) if len(checked) <= _PIECE else checksum(checked, seed)
    return _pack_crc(crc) + checked


def record_at(data: Buffer, at: int, end: int, seed: int) -> tuple[Row, int] | None:
    """The record at an offset, and where the next one begins; None where there is no whole record before `end`."""
    body = at + RECORD.size
    if body > end:
        return None
    crc, size, seq, name = _unpack_record(data, at)
    stop = body + name + size
    if stop > end:
        return None
    checked = data[at + CHECKED_FROM : stop]
    if (crc32(checked, seed) if len(checked) <= _PIECE else checksum(checked, seed)) != crc:
        return None
    name += _NAME_FROM
    return Row(seq, checked[_NAME_FROM:name].decode(), checked[name:]), whole(stop)


def next_at(data: Buffer, at: int) -> int:
    """Where the record behind the one at this offset begins, by its lengths alone."""
    _, size, _, name = RECORD.unpack_from(data, at)
    return whole(at + RECORD.size + name + size)


def salvage(data: bytes, producer: str, first: int) -> Iterator[Row]:
    """Every record of a damaged segment that is whole, in order, wherever it begins.

    Where the header can be read, up to its committed end.
    """
    try:
        header = read_header(data, len(data))
    except (DamagedError, OutboxError):
        header = None
    if header is not None:
        producer, first = header.info.producer, header.first
    end = header.end if header is not None else len(data)
    seed, expected, at = seed_of(producer, first), first, 0
    while at + RECORD.size <= end:
        _, size, seq, _ = RECORD.unpack_from(data, at)
        if expected <= seq < first + len(data) and size <= end:
            found = record_at(data, at, end, seed)
            if found is not None:
                yield found[0]
                at, expected = found[1], seq + 1
                continue
        at += 8
