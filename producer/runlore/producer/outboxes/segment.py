"""The segment that a process writes: a mapped file into which records are appended without a system call."""

from __future__ import annotations

import contextlib
import mmap
import os
from pathlib import Path

from runlore.producer.outboxes.reserve import allocate
from runlore.producer.outboxes.rows import DamagedError, is_full
from runlore.producer.outboxes.segment_format import (
    COMMITTED,
    END,
    ONE_RECORD,
    WORD,
    Info,
    pack_header,
    pack_record,
    seed_of,
    whole,
)
from runlore.store.ownership import open_private

FIRST_BYTES = 256 * 1024
MOST_BYTES = 4 * 1024 * 1024
"""Of segments, which double from the first one on. Large ones are made seldom; small ones are removed early."""
_UNIT = 64 * 1024


class Segment:
    """One segment, open for writing. Calls take turns; an exception may end one at any instruction."""

    __slots__ = ("_map", "_seed", "_sync", "_view", "_words", "first", "size")

    def __init__(self, opened: mmap.mmap, producer: str, first: int, sync: bool) -> None:
        self.first = first
        self.size = len(opened)
        self._map = opened
        self._view = memoryview(opened)
        self._words = self._view.cast("Q")
        self._seed = seed_of(producer, first)
        self._sync = sync

    @classmethod
    def create(cls, path: Path, info: Info, first: int, size: int, sync: bool) -> Segment:
        """Allocate a segment of this size. Raises OSError, then nothing is left of it."""
        descriptor = open_private(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            allocate(descriptor, size)
            os.pwrite(descriptor, pack_header(info, first), 0)
            if sync:
                _sync(descriptor, path.parent, path.parent.parent)
            opened = mmap.mmap(descriptor, size)
        except BaseException:  # KeyboardInterrupt too: a segment without a header would be damage
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        return cls(opened, info.producer, first, sync)

    def append(self, seq: int, subject: str, payload: bytes) -> bool:
        """Write one record; False when it does not fit.

        Raises DamagedError when the file was changed beneath, ValueError when the segment is closed.
        """
        committed = self._words[COMMITTED]
        at = committed & END
        if seq - self.first != committed >> 32:
            raise DamagedError(f"event {seq} would not follow the last one")
        record = pack_record(seq, subject, payload, self._seed)
        stop = at + len(record)
        end = whole(stop)
        if end > self.size:
            return False
        self._view[at:stop] = record
        # One aligned word: another process, or this one after SIGKILL, sees the record wholly or not at all.
        self._words[COMMITTED] = committed - at + end + ONE_RECORD
        if self._sync:
            self._map.flush()
        return True

    def has(self, seq: int) -> bool:
        """Return whether the record of this number is committed."""
        return seq < self.first + (self._words[COMMITTED] >> 32)

    def release(self) -> None:
        """Let nobody write any more: also not a call of this thread that is interrupted just now."""
        self._view.release()
        self._words.release()

    def finish(self, path: Path) -> None:
        """Close it, and give the space behind the last record back."""
        self.release()
        if not self._map.closed:
            (committed,) = WORD.unpack_from(self._map, 8 * COMMITTED)
            self._map.close()
            with contextlib.suppress(OSError):
                # Whole pages: who has the file mapped may read the rest of the last one.
                os.truncate(path, min(self.size, -(-(committed & END) // mmap.PAGESIZE) * mmap.PAGESIZE))


def allocated(path: Path, info: Info, first: int, record: int, size: int, sync: bool) -> Segment:
    """A segment with room for a record of `record` bytes: of `size` bytes, or less where the disk has no more room.

    Raises OSError.
    """
    needed = -(-(record + len(pack_header(info, first)) + 8) // _UNIT) * _UNIT
    size = max(size, needed)
    while True:
        try:
            return Segment.create(path, info, first, size, sync)
        except OSError as error:
            if not is_full(error) or size == needed:
                raise
            size = max(size // 2 // _UNIT * _UNIT, needed)


def _sync(descriptor: int, *folders: Path) -> None:
    """Have a new file on the disk, and its name in its folders."""
    os.fsync(descriptor)
    for folder in folders:
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
