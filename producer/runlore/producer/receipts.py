"""Receipts: what emitting returns, and how acknowledgements find them."""

from __future__ import annotations

import bisect
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import anyio.to_thread
import msgspec

from runlore.producer.outboxes.outbox import holds_up_relays
from runlore.schemas.errors import NotSentError, ReceiptTimeoutError

MAX_RANGES = 100_000
"""Ranges of acknowledgements kept (about 20 MB at the most); the oldest go first."""
INSIDE_A_CALL = (
    "this waits inside another call of runlore, in a signal handler for example, and that one has to end first: "
    "wait for the receipt after the handler has returned"
)
NOT_SENT_HERE = "this process does not send the event (offline or disabled mode, or another process's receipt)"


class AckBook:
    """The state of one producer's events by sequence number, in compact ranges.

    One thread writes, the relay's. Others read without a lock: an exception or a signal handler in a waiting call
    must never keep the relay out.
    """

    def __init__(self) -> None:
        self._ranges: tuple[list[int], list[tuple[int, int]]] = [], []
        """First numbers; last numbers with the position of the first. The second list is never the shorter one."""
        self._dead: dict[int, str] = {}
        self._handled = 0
        self._closed: str | None = None
        self._dropped = 0
        self._gates: deque[threading.Lock] = deque()
        self.shard = 0
        """Of the positions, once there is one."""
        self.trouble = ""
        """Why the server cannot be reached now; empty while it can."""

    def stored(self, first: int, last: int, position: int) -> None:
        """Record that rows `first` to `last` are on the stream without a gap, `last` at `position`."""
        position -= last - first
        firsts, ranges = self._ranges
        if ranges:
            before, (until, at) = firsts[-1], ranges[-1]
            if first == until + 1 and position == at + first - before:
                ranges[-1] = (last, at)
                self._changed()
                return
        ranges.append((last, position))
        firsts.append(first)
        if len(firsts) > MAX_RANGES:
            half = MAX_RANGES // 2
            self._dropped = ranges[half - 1][0]
            self._ranges = firsts[half:], ranges[half:]
        self._changed()

    def dead(self, seqs: Iterable[int], reason: str) -> None:
        """These rows went to the dead letters."""
        self._dead.update(dict.fromkeys(seqs, reason))
        self._changed()

    def handled(self, last: int) -> None:
        """All rows up to `last` are stored or dead."""
        self._handled = max(self._handled, last)
        self._changed()

    def _changed(self) -> None:
        # A waiting call adds its gate first and looks then: it sees this change, or its gate is opened here.
        with contextlib.suppress(IndexError):
            while self._gates:
                self._gates.popleft().release()

    def wait_for(self, true: Callable[[], object], timeout: float | None) -> None:
        """Wait until `true()`, at most `timeout` seconds (None: for ever)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not true():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            gate = threading.Lock()
            gate.acquire()
            self._gates.append(gate)
            if not true():
                gate.acquire(timeout=-1 if left is None else left)
            with contextlib.suppress(ValueError):  # opened
                self._gates.remove(gate)

    def settled(self, last: int) -> bool:
        """Return whether nothing up to `last` waits any more, or waiting has no point."""
        return self._handled >= last or self._closed is not None

    def open_count(self, last: int) -> int:
        """Return how many of the rows up to `last` still wait."""
        return max(0, last - self._handled)

    def dead_count(self) -> int:
        return len(self._dead)

    def close(self, reason: str) -> None:
        """Nothing more will be acknowledged here; who waits is told `reason`."""
        self._closed = reason
        self._changed()

    def lost_by_fork(self) -> None:
        """In a forked child: the parent's relay answers only the parent."""
        self._gates = deque()
        self._closed = "the event was emitted before a fork: only the parent process learns its position"

    def wait(self, seq: int, timeout: float | None) -> int | None:
        """The position of a row; None after `timeout` seconds. Raises NotSentError when there will be none."""
        if self._position(seq) is None and holds_up_relays():
            raise NotSentError(INSIDE_A_CALL)
        self.wait_for(lambda: self._position(seq) or seq in self._dead or self._closed, timeout)
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
        firsts, ranges = self._ranges
        index = bisect.bisect_right(firsts, seq) - 1
        if index < 0:
            return None
        last, position = ranges[index]
        return position + seq - firsts[index] if seq <= last else None


class _Waiting(Protocol):
    """Source of a receipt's position: an AckBook, or a deferred event."""

    @property
    def shard(self) -> int: ...

    @property
    def trouble(self) -> str: ...

    def wait(self, seq: int, timeout: float | None) -> int | None: ...


class _Nobody:
    """For receipts of events that this process does not send."""

    shard, trouble = 0, ""

    def wait(self, seq: int, timeout: float | None) -> int | None:
        raise NotSentError(NOT_SENT_HERE)


NOBODY = _Nobody()


class Receipt(msgspec.Struct, eq=False, gc=False):  # a struct is made in half the time, once a call
    """Proof that an event is durable here; it can wait for the event's position in the log.

    Pickled, it keeps its event ID, which `runlore.query.Client.wait_for` can look up anywhere.
    """

    event_id: str
    _seq: int = 0
    _book: _Waiting = NOBODY
    _shard: int = 0

    def wait(self, timeout: float | None = None) -> int:
        """Wait up to `timeout` seconds (None: for ever) until the event is on the stream; its position.

        Raises ReceiptTimeoutError, or NotSentError when this process will never learn the position
        (offline or disabled mode, refused by the server, unpickled elsewhere).
        """
        position = self._book.wait(self._seq, timeout)
        if position is None:
            why = f": {self._book.trouble}" if self._book.trouble else ""
            raise ReceiptTimeoutError(f"event {self.event_id} is not on the stream after {timeout or 0:g} s{why}")
        return position

    async def wait_async(self, timeout: float | None = None) -> int:  # noqa: ASYNC109 -- the twin of wait()
        """`wait` without blocking the event loop (asyncio or trio)."""
        return await anyio.to_thread.run_sync(self.wait, timeout, abandon_on_cancel=True)

    @property
    def shard(self) -> int:
        """The shard whose position `wait` returns; 0 until it is known."""
        return self._shard or self._book.shard

    def __repr__(self) -> str:
        return f"Receipt({self.event_id!r})"

    def __reduce__(self) -> tuple[type[Receipt], tuple[Any, ...]]:
        return Receipt, (self.event_id, 0, NOBODY, self.shard) if self.shard else (self.event_id,)
