"""A source: one outbox on its way to the stream, and what the stream has acknowledged and the archive not yet."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence

from runlore.producer.outboxes.ledger import Acknowledged
from runlore.producer.outboxes.outbox import Outbox
from runlore.producer.outboxes.rows import Row, is_full
from runlore.producer.receipts import AckBook
from runlore.schemas.codec import decode_id
from runlore.schemas.settings import Settings
from runlore.schemas.shards import Shard
from runlore.wire.archived import StoredRange


class Source:
    """For the relay's thread only."""

    def __init__(self, outbox: Outbox, settings: Settings, book: AckBook | None = None) -> None:
        self.outbox = outbox
        self.book = book
        """Receipts to tell; None for adopted outboxes."""
        self.destination = outbox.ledger.destination()
        self.shard = _known_shard(outbox)
        """The shard of its events; None: not known yet."""
        self.kept = deque(outbox.ledger.kept())
        """What is acknowledged and not yet archived, oldest first."""
        self.keeps = False
        """Whether acknowledged rows stay until they are archived."""
        self.looks = 0
        """Questions to the archive since it last had something of these."""
        self.lost: Acknowledged | None = None
        """The first of the kept that the stream does not have any more; `resend` begins with it."""
        self.closed = False
        self._kept_bytes = sum(one.bytes for one in self.kept)
        self._most_bytes, self._most_seconds = settings.keep_bytes, settings.keep_seconds
        self._acknowledged: list[Acknowledged] = []
        self._told = 0
        self.after = self.kept[-1].last if self.kept else 0
        """Everything up to this number is acknowledged or dead."""

    def read(self) -> list[Row]:
        rows, shard = self.outbox.read(self.after), self.shard
        if shard is None or not shard.number:
            return rows
        return [Row(row.seq, shard.subject(row.subject), row.payload) for row in rows]

    def stored(self, rows: Sequence[Row], position: int) -> None:
        """The stream has these rows at consecutive positions, the last at `position`."""
        self.after = rows[-1].seq
        if self.keeps:
            self._acknowledged.append(_acknowledged(rows, position))
        if self.book is not None:
            new = [row for row in rows if row.seq > self._told] if rows[0].seq <= self._told else rows
            _tell(self.book, new, position)
            self._told = max(self._told, self.after)

    def add_dead_letters(self, rows: list[Row], reason: str) -> None:
        self.outbox.add_dead_letters(rows, reason)
        if self.book is not None:
            self.book.dead((row.seq for row in rows), reason)

    def finish(self, last: int) -> None:
        """All rows up to `last` are handled: they leave the outbox, or are kept until the archive has them."""
        self.after = last
        if self.book is not None:
            self.book.handled(last)
        if not self.keeps or not self.outbox.has_room():  # on a full disk the next call matters more
            self.leave(last)
            return
        new, self._acknowledged = _joined(self._acknowledged), []
        try:
            self.outbox.ledger.keep(new)
        except OSError as error:
            if not is_full(error):
                raise
            self.leave(last)  # room matters more
            return
        self.kept.extend(new)
        self._kept_bytes += sum(one.bytes for one in new)
        self.looks = 0
        self.trim()

    def trim(self) -> None:
        """Let go of what is kept beyond the limits of bytes and age, oldest first; of everything on a full disk."""
        if self.kept and not self.outbox.has_room():
            self.leave(self.kept[-1].last)
            return
        over, last, oldest = self._kept_bytes - self._most_bytes, 0, time.time() - self._most_seconds
        for one in self.kept:
            if over <= 0 and one.at >= oldest:
                break
            over, last = over - one.bytes, one.last
        if last:
            self.leave(last)

    def leave(self, last: int) -> None:
        """Rows up to `last` need no longer be here."""
        self.outbox.remove(last)
        while self.kept and self.kept[0].last <= last:
            self._kept_bytes -= self.kept.popleft().bytes

    def resend(self) -> bool:
        """Send the kept rows from the lost ones on again. Not while a batch is on its way: its end would hide them.

        The server tells those that it still has as duplicates, and log.db folds no event ID twice.
        """
        if self.lost is None:
            return False
        first, self.lost = self.lost.positions, None
        if first not in [one.positions for one in self.kept]:
            return False  # it was beyond the limits meanwhile
        while self.kept.pop().positions != first:
            pass
        self._kept_bytes = sum(one.bytes for one in self.kept)
        self.after = self.kept[-1].last if self.kept else 0
        self.outbox.ledger.rewind(self.after)
        return True

    def close(self) -> None:
        self.closed = True
        self.outbox.close()


def _known_shard(outbox: Outbox) -> Shard | None:
    ledger = outbox.ledger
    if ledger.shard is not None:
        return Shard(ledger.shard)
    return Shard() if ledger.destination().epoch is not None else None


def _acknowledged(rows: Sequence[Row], position: int) -> Acknowledged:
    first_id, last_id = decode_id(rows[0].payload), decode_id(rows[-1].payload)
    positions = StoredRange(position - len(rows) + 1, position, first_id, last_id)
    return Acknowledged(rows[-1].seq, sum(len(row.payload) for row in rows), time.time(), positions)


def _joined(ranges: Sequence[Acknowledged]) -> list[Acknowledged]:
    """Neighbours on the stream as one: rows that were sent one by one."""
    joined: list[Acknowledged] = []
    for one in ranges:
        before = joined[-1] if joined else None
        if before is not None and one.positions.first == before.positions.last + 1:
            positions = StoredRange(
                before.positions.first, one.positions.last, before.positions.first_id, one.positions.last_id
            )
            joined[-1] = Acknowledged(one.last, before.bytes + one.bytes, one.at, positions)
        else:
            joined.append(one)
    return joined


def _tell(book: AckBook, rows: Sequence[Row], position: int) -> None:
    """Give each unbroken run of numbers its positions; the last row has `position`."""
    left = len(rows)
    for first, last in _runs(rows):
        left -= last - first + 1
        book.stored(first, last, position - left)


def _runs(rows: Sequence[Row]) -> Iterator[tuple[int, int]]:
    if not rows:
        return
    first = last = rows[0].seq
    for row in rows[1:]:
        if row.seq != last + 1:
            yield first, last
            first = row.seq
        last = row.seq
    yield first, last
