"""Leaves, version 1: the bytes that the tree commits to for each archived message and each gap.

    leaf   = 0x01 kind field…        kind 0x01: an event, 0x02: a gap
    field  = length (4 bytes, big-endian) bytes; an absent event ID has length 0xFFFFFFFF and no bytes
    event  = origin, epoch, stream sequence, subject, event ID, server time, SHA-256(headers), SHA-256(payload)
    gap    = origin, epoch, first sequence, last sequence, reason

Text is UTF-8; sequences are 8 bytes, and the server time is nanoseconds since 1970 in 8 bytes, big-endian and signed.
What this machine knows and the stream does not (when a gap was noticed, which row is a duplicate) is no part of it,
so that every archive of one stream has the same tree.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from urllib.parse import quote

from runlore.schemas.shards import Shard
from runlore.schemas.subjects import STREAM_NAME

_EVENT, _GAP = b"\1\1", b"\1\2"
_ABSENT = b"\xff\xff\xff\xff"
_START = struct.Struct(">IqI").pack
_END = struct.Struct(">Iq").pack
_LENGTH = struct.Struct(">I").pack
_HASH = _LENGTH(32)


def origin_of(epoch: str, stream: str = STREAM_NAME) -> str:
    """The log's name in leaves and checkpoints: no spaces, no plus (C2SP tlog-checkpoint, note text)."""
    return f"runlore/{stream}/{quote(epoch, safe='')}"


def stream_in(origin: str) -> str:
    """The stream in a log's name; shard 0's for what is no name of a log of ours."""
    parts = origin.split("/")
    return parts[1] if len(parts) >= 3 and Shard.of_stream(parts[1]) else STREAM_NAME


def speaks_for(origin: str, epoch: str, stream: str = STREAM_NAME) -> bool:
    """Return whether a checkpoint's origin is this log's: after a restore it has another part behind the first."""
    own = origin_of(epoch, stream)
    return origin == own or origin.startswith(f"{own}/")


class LeafCoder:
    """Makes leaf hashes for the log of one epoch, a copy of the stream of that name."""

    def __init__(self, epoch: str, stream: str = STREAM_NAME) -> None:
        self.origin = origin_of(epoch, stream)
        shared = _field(self.origin.encode()) + _field(epoch.encode())
        # 0x00 is RFC 6962's mark of a leaf.
        self._event, self._gap = b"\0" + _EVENT + shared, b"\0" + _GAP + shared

    def event(
        self, position: int, event_id: bytes | None, recorded_ns: int, subject: bytes, headers: bytes, payload: bytes
    ) -> bytes:
        """The leaf hash of one message."""
        return sha256(self._event_leaf(position, event_id, recorded_ns, subject, headers, payload)).digest()

    def event_entry(
        self, position: int, event_id: bytes | None, recorded_ns: int, subject: bytes, headers: bytes, payload: bytes
    ) -> bytes:
        """The leaf of one message: what gets hashed, without RFC 6962's mark."""
        return self._event_leaf(position, event_id, recorded_ns, subject, headers, payload)[1:]

    def _event_leaf(
        self, position: int, event_id: bytes | None, recorded_ns: int, subject: bytes, headers: bytes, payload: bytes
    ) -> bytes:
        leaf = (
            self._event, _START(8, position, len(subject)), subject,
            _ABSENT if event_id is None else _LENGTH(len(event_id)) + event_id,
            _END(8, recorded_ns), _HASH, sha256(headers).digest(), _HASH, sha256(payload).digest(),
        )  # fmt: skip
        return b"".join(leaf)

    def gap(self, first: int, last: int, reason: bytes) -> bytes:
        """The leaf hash of positions that the stream does not hold, both ends included."""
        return sha256(b"\0" + self.gap_entry(first, last, reason)).digest()

    def gap_entry(self, first: int, last: int, reason: bytes) -> bytes:
        """The leaf of such positions: what gets hashed, without RFC 6962's mark."""
        return self._gap[1:] + _END(8, first) + _END(8, last) + _field(reason)


def _field(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value
