"""The segments of one outbox, read in order and removed when all their records are gone."""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from bisect import bisect_right
from collections.abc import Collection, Iterator
from io import FileIO
from pathlib import Path

from runlore.producer.outboxes.ledger import Began, Destination
from runlore.producer.outboxes.rows import DamagedError, Row
from runlore.producer.outboxes.segment_format import RECORD, Header, Info, next_at, read_header, record_at, seed_of

_HEADER_BYTES = 64 * 1024
_SUFFIX = ".segment"
_STRETCH = 1000


def segment_path(folder: Path, first: int) -> Path:
    """Return the path of the segment whose first record has this number."""
    return folder / f"{first:020d}{_SUFFIX}"


def segment_paths(folder: Path) -> list[Path]:
    """Return the segments in an outbox's folder, oldest first."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == _SUFFIX and path.stem.isdecimal())
    except FileNotFoundError:
        return []


def _read_header(file: FileIO) -> Header | None:
    head = file.read(_HEADER_BYTES)
    header = read_header(head, os.fstat(file.fileno()).st_size)
    file.seek(0)
    return header


class _Mapped:
    """A segment mapped for reading."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            self.data = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise DamagedError(f"{path.name} is empty") from None
        finally:
            os.close(descriptor)
        header = self.header()
        if header is None:
            self.data.close()
            raise DamagedError(f"{path.name} has no header")
        self.first, self.start = header.first, header.start
        self.seed = seed_of(header.info.producer, header.first)
        self._place = header.first, header.start
        """Where reading was last: a number, and where its record begins."""

    def header(self) -> Header | None:
        # The map itself, not a copy of its beginning: the file may have been cut behind its last record.
        return read_header(self.data, len(self.data))

    def read(self, after: int, rows: int, size: int) -> list[Row]:
        """Committed rows above a number: at most `rows`, and about `size` bytes of payload.

        Raises DamagedError when the first of them is damaged; one behind it ends the list.
        """
        header = self.header()
        end, last = (header.end, header.last) if header is not None else (self.start, 0)
        seq, at = self._place
        if seq > after + 1:
            seq, at = self.first, self.start
        while seq <= after and at < end:
            seq, at = seq + 1, self._skipped(at, end)
        found: list[Row] = []
        while seq <= last and size > 0 and len(found) < rows:
            record = record_at(self.data, at, end, self.seed)
            if record is None or record[0].seq != seq:
                if found:
                    break
                raise DamagedError(f"event {seq} is damaged")
            row, at = record
            size -= len(row.payload)
            seq += 1
            found.append(row)
        self._place = seq, at
        return found

    def _skipped(self, at: int, end: int) -> int:
        if end - at < RECORD.size or (behind := next_at(self.data, at)) > end:
            raise DamagedError(f"the record at {at} is damaged")
        return behind

    def close(self) -> None:
        self.data.close()


class Segments:
    """What is committed in an outbox's folder. For one thread; the one that writes may be another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._firsts: list[int] = []
        """First numbers of the segments that have records."""
        self._open: _Mapped | None = None
        self._look()

    def _look(self) -> None:
        """Find new segments. One without records is being made, or was never used."""
        firsts = [int(path.stem) for path in segment_paths(self._folder)]
        known = set(self._firsts)
        self._firsts = [first for first in firsts if first in known or self._count(first)]

    def _header(self, first: int) -> Header | None:
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            path = segment_path(self._folder, first)
            with path.open("rb", buffering=0) as file:
                header = _read_header(file)
                if header is None and (data := file.read()).count(0) < len(data):
                    # After a power cut; or it was made while it was read, and then its header is there by now.
                    file.seek(0)
                    header = _read_header(file)
                    if header is None:
                        raise DamagedError(f"{path.name} has no header")
            if header is not None and header.first != first:
                raise DamagedError(f"{path.name} begins with event {header.first}")
            return header
        return None

    def _count(self, first: int) -> int:
        header = self._header(first)
        return 0 if header is None else header.count

    def info(self) -> Info | None:
        """What the oldest segment says of the outbox, used or not."""
        for path in segment_paths(self._folder):
            header = self._header(int(path.stem))
            if header is not None:
                return header.info
        return None

    def began(self) -> Began:
        """For whom the events were at first."""
        info = self.info()
        return Began() if info is None else Began(Destination(info.server, info.project, info.epoch))

    def count(self, after: int) -> int:
        """How many committed rows have numbers above `after`."""
        self._look()
        headers = [header for first in self._firsts if (header := self._header(first)) is not None]
        return sum(max(0, header.last - max(after, header.first - 1)) for header in headers)

    def read(self, after: int, rows: int, size: int, skip: Collection[int]) -> list[Row]:
        """The oldest rows above number `after`, at most `rows` of them and about `size` bytes, `skip` left out.

        Raises DamagedError.
        """
        found: list[Row] = []
        # With some found, what is in a segment made meanwhile can wait: looking for it means listing the folder.
        while len(found) < rows and size > 0 and (some := self._some(after, rows - len(found), size, not found)):
            after = some[-1].seq
            size -= sum(len(row.payload) for row in some)
            found += [row for row in some if row.seq not in skip] if skip else some
        return found

    def rows(self, after: int) -> Iterator[Row]:
        """All committed rows above a number, in order. Raises DamagedError."""
        while some := self._some(after, _STRETCH, sys.maxsize, True):
            yield from some
            after = some[-1].seq

    def _some(self, after: int, rows: int, size: int, look: bool) -> list[Row]:
        """Those of the first segment that has any; when none has, `look` for new segments."""
        for looked in (False, True) if look else (False,):
            if looked:
                self._look()
            index = max(bisect_right(self._firsts, after + 1) - 1, 0)
            for first in self._firsts[index : index + 2]:
                if found := self._mapped(first).read(after, rows, size):
                    return found
        return []

    def _mapped(self, first: int) -> _Mapped:
        if self._open is None or self._open.first != first:
            self.close()
            self._open = _Mapped(segment_path(self._folder, first))
        return self._open

    def drop(self, gone: int) -> None:
        """Remove the segments that end at number `gone` or before; the newest one stays."""
        if not self._firsts:
            self._look()
        while len(self._firsts) > 1 and self._firsts[1] <= gone + 1:
            if self._open is not None and self._open.first == self._firsts[0]:
                self.close()
            segment_path(self._folder, self._firsts[0]).unlink(missing_ok=True)
            del self._firsts[0]

    def destroy(self) -> None:
        """Remove all of it."""
        self.close()
        for path in [*segment_paths(self._folder), self._folder / "journal", self._folder / "journal.new"]:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody put something else there
            self._folder.rmdir()

    def close(self) -> None:
        """Unmap what was read."""
        if self._open is not None:
            self._open.close()
            self._open = None
