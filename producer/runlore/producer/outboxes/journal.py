"""The journal of an outbox: small records with length and checksum, appended to a file and read as a whole."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from struct import Struct

from runlore.producer.outboxes.rows import is_full
from runlore.store.ownership import open_private

LONG_BYTES = 256 * 1024
"""A journal is rewritten, as its state alone, when it is longer, and twice as long as after the last time."""

_FRAME = Struct("<II")
_SEED = zlib.crc32(b"journal of an outbox")


def frame(body: bytes) -> bytes:
    """A record as it stands in the file."""
    return _FRAME.pack(zlib.crc32(body, _SEED), len(body)) + body


def frames(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Every whole record, and where it ends. What is damaged is skipped: each record makes sense without the others."""
    at = 0
    while at + _FRAME.size < len(data):
        crc, size = _FRAME.unpack_from(data, at)
        end = at + _FRAME.size + size
        if size and end <= len(data) and zlib.crc32(data[at + _FRAME.size : end], _SEED) == crc:
            yield data[at + _FRAME.size : end], end
            at = end
        else:
            at += 1


class Journal:
    """One file. Whoever holds the outbox's lock may append; anybody may read."""

    def __init__(self, path: Path, make_room: Callable[[], bool]) -> None:
        """`make_room` is called when the disk is full; it returns whether another try makes sense."""
        self._path, self._make_room = path, make_room
        self._descriptor: int | None = None
        self._size = self._short = 0

    def read(self) -> Iterator[bytes]:
        """Every record, oldest first."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        for body, end in frames(data):
            self._size = end
            yield body

    @property
    def is_long(self) -> bool:
        return self._size > max(LONG_BYTES, 2 * self._short)

    def append(self, body: bytes) -> None:
        """Write one record. Raises OSError; then the file is as it was."""
        record = frame(body)
        try:
            self._write(record)
        except OSError as error:
            if not is_full(error) or not self._make_room():
                raise
            self._write(record)
        self._size += len(record)

    def _write(self, record: bytes) -> None:
        if self._descriptor is None:
            self._descriptor = open_private(self._path, os.O_WRONLY | os.O_CREAT)
            os.ftruncate(self._descriptor, self._size)  # what is behind was torn
        if os.pwrite(self._descriptor, record, self._size) < len(record):
            os.ftruncate(self._descriptor, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def rewrite(self, bodies: Iterable[bytes]) -> None:
        """Put these records in place of the whole file. A disk without room for that keeps the long one."""
        beside = self._path.with_name(f"{self._path.name}.new")
        data = b"".join(map(frame, bodies))
        self._short = max(self._size, len(data))
        try:
            descriptor = open_private(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            with open(descriptor, "wb", buffering=0) as file:
                whole = file.write(data) == len(data)
                os.fsync(descriptor)
        except OSError as error:
            if not is_full(error):
                raise
            whole = False
        if not whole:
            beside.unlink(missing_ok=True)
            return
        beside.replace(self._path)
        self.close()
        self._size = self._short = len(data)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
