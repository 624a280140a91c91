"""The block files of a nats-server's stream, written from messages: with their sequences, times and header bytes.

    record   = length (4, highest bit: has headers) sequence (8) time (8, nanoseconds since 1970) subject length (2)
               subject [header length (4) headers] payload checksum (8)
    checksum = HighwayHash-64 of sequence, time, subject, headers and payload, keyed by SHA-256 of "<stream>-<block>"

Little-endian. No API of the server can store a message at an earlier time, nor with the headers of an atomic batch,
and both are in the leaves of the audit tree. The server checks every record when it first reads such a folder.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path
from types import TracebackType

from runlore.projector.restoring.highway import HighwayHash64
from runlore.schemas.subjects import STREAM_NAME
from runlore.store.log_rows import Received
from runlore.store.ownership import write_to

BLOCK_BYTES = 4 * 1024 * 1024
"""A block is closed above this size; the server's own are up to 8 MiB."""

_HAS_HEADERS = 1 << 31
_ERASED = 1 << 63
_LENGTH = struct.Struct("<I").pack
_KEYS = struct.Struct("<QqH").pack
_FIXED = 22
_CHECKSUM = 8


class BlockWriter:
    """Writes messages, in order of their positions, as the blocks of an empty folder `msgs`."""

    def __init__(self, folder: Path, stream: str = STREAM_NAME) -> None:
        self._folder, self._stream = folder, stream
        self._index = 0
        self._open_block()

    def _open_block(self) -> None:
        self._index += 1
        self._hash = HighwayHash64(hashlib.sha256(f"{self._stream}-{self._index}".encode()).digest())
        self._file = write_to(self._folder / f"{self._index}.blk", "xb")

    def write(self, message: Received) -> None:
        """Add one message. Positions that are left out are deleted messages to the server."""
        subject = message.subject.encode()
        self._write(message.position, message.recorded_ns, subject, message.headers, message.payload)

    def skip_to(self, position: int, recorded_ns: int) -> None:
        """Make `position` the last one of the stream without a message there: the next message gets the one after."""
        self._write(position | _ERASED, recorded_ns, b"", b"", b"")

    def _write(self, sequence: int, recorded_ns: int, subject: bytes, headers: bytes, payload: bytes) -> None:
        keys = _KEYS(sequence, recorded_ns, len(subject))
        length = _FIXED + len(subject) + len(headers) + len(payload) + _CHECKSUM
        checksum = self._hash.digest(keys[:16] + subject + headers + payload)
        if headers:
            headers = _LENGTH(len(headers)) + headers
            length = length + 4 | _HAS_HEADERS
        self._file.write(b"".join((_LENGTH(length), keys, subject, headers, payload, checksum)))
        if self._file.tell() > BLOCK_BYTES:
            self._close_block()
            self._open_block()

    def _close_block(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def __enter__(self) -> BlockWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_block()
