"""Receipts: what emitting returns, and how acknowledgements find them."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterable

import anyio.to_thread

from runlore.schemas.errors import NotSentError, ReceiptTimeoutError

MAX_RANGES = 100_000
"""Ranges of acknowledgements kept (about 20 MB at the most); the oldest go first."""


class AckBook:
    """What became of one producer's events, by sequence number, in compact ranges."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._firsts: list[int] = []
        self._ranges: list[tuple[int, int]] = []  # last sequence number, position of the first
        self._dead: dict[int, str] = {}
        self._handled = 0
        self._closed: str | None = None
        self._dropped = 0

    def stored(self, first: int, last: int, position: int) -> None:
        """Rows `first` to `last` stand on the stream without a gap, `last` at `position`."""
        position -= last - first
        with self.changed:
            if self._ranges:
                before, (until, at) = self._firsts[-1], self._ranges[-1]
                if first == until + 1 and position == at + first - before:
                    self._ranges[-1] = (last, at)
                    self.changed.notify_all()
                    return
            self._firsts.append(first)
            self._ranges.append((last, position))
            if len(self._firsts) > MAX_RANGES:
                half = MAX_RANGES // 2
                self._dropped = self._ranges[half - 1][0]
                del self._firsts[:half], self._ranges[:half]
            self.changed.notify_all()

    def dead(self, seqs: Iterable[int], reason: str) -> None:
        """These rows went to the dead letters."""
        with self.changed:
            self._dead.update(dict.fromkeys(seqs, reason))
            self.changed.notify_all()

    def handled(self, last: int) -> None:
        """All rows up to `last` are stored or dead."""
        with self.changed:
            self._handled = max(self._handled, last)
            self.changed.notify_all()

    def settled(self, last: int) -> bool:
        """Whether nothing up to `last` waits any more, or waiting has no point. Hold `changed`."""
        return self._handled >= last or self._closed is not None

    def open_count(self, last: int) -> int:
        """How many of the rows up to `last` still wait."""
        return max(0, last - self._handled)

    def dead_count(self) -> int:
        return len(self._dead)

    def close(self, reason: str) -> None:
        """Nothing more will be acknowledged here; who waits is told `reason`."""
        with self.changed:
            self._closed = reason
            self.changed.notify_all()

    def lost_by_fork(self) -> None:
        """In a forked child: the parent's relay answers only the parent."""
        self.changed = threading.Condition()
        self._closed = "the event was emitted before a fork: only the parent process learns its position"

    def wait(self, seq: int, timeout: float | None) -> int | None:
        """The position of a row; None after `timeout` seconds. Raises NotSentError when there will be none."""
        with self.changed:
            self.changed.wait_for(lambda: self._position(seq) or seq in self._dead or self._closed, timeout)
            position = self._position(seq)
            if position is not None:
                return position
            if seq in self._dead:
                raise NotSentError(f"the server refused the event: {self._dead[seq]}")
            if seq <= self._dropped:
                raise NotSentError("the receipt is too old to look up here; ask Client.wait_for(receipt)")
            if self._closed is not None:
                raise NotSentError(self._closed)
            return None

    def _position(self, seq: int) -> int | None:
        index = bisect.bisect_right(self._firsts, seq) - 1
        if index < 0:
            return None
        last, position = self._ranges[index]
        return position + seq - self._firsts[index] if seq <= last else None


class Receipt:
    """Proof that an event is durable here; it can wait for the event's position in the log.

    Pickled, it keeps its event ID, which `runlore.query.Client.wait_for` can look up anywhere.
    """

    __slots__ = ("_book", "_seq", "event_id")

    def __init__(self, event_id: str, seq: int = 0, book: AckBook | None = None) -> None:
        self.event_id = event_id
        self._seq = seq
        self._book = book

    def wait(self, timeout: float | None = None) -> int:
        """Wait up to `timeout` seconds (None: for ever) until the event is on the stream; its position.

        Raises ReceiptTimeoutError, or NotSentError when this process will never learn the position
        (offline or disabled mode, refused by the server, unpickled elsewhere).
        """
        if self._book is None:
            raise NotSentError(
                "this process does not send the event (offline or disabled mode, or another process's receipt)"
            )
        position = self._book.wait(self._seq, timeout)
        if position is None:
            raise ReceiptTimeoutError(f"event {self.event_id} is not on the stream after {timeout or 0:g} s")
        return position

    async def wait_async(self, timeout: float | None = None) -> int:  # noqa: ASYNC109 -- the twin of wait()
        """`wait` without blocking the event loop (asyncio or trio)."""
        return await anyio.to_thread.run_sync(self.wait, timeout, abandon_on_cancel=True)

    def __repr__(self) -> str:
        return f"Receipt({self.event_id!r})"

    def __reduce__(self) -> tuple[type[Receipt], tuple[str]]:
        return Receipt, (self.event_id,)
