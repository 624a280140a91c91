"""Receipts: what emitting returns, and how acknowledgements find them."""

from __future__ import annotations

import bisect
import threading

import anyio.to_thread

from runlore.schemas.errors import NotSentError, ReceiptTimeoutError

MAX_RANGES = 100_000
"""Ranges of acknowledgements kept (about 20 MB at the most); the oldest go first."""


class Acknowledgements:
    """Which sequence numbers of one producer have which positions, in compact ranges."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._firsts: list[int] = []
        self._ranges: list[tuple[int, int]] = []  # last sequence number, position of the first
        self._refused: dict[int, str] = {}

    def stored(self, seq: int, count: int, position: int) -> None:
        """Rows `seq` to `seq + count - 1` stand at `position` and following."""
        with self._changed:
            if self._firsts:
                first, (last, at) = self._firsts[-1], self._ranges[-1]
                if seq == last + 1 and position == at + last - first + 1:
                    self._ranges[-1] = (seq + count - 1, at)
                    self._changed.notify_all()
                    return
            self._firsts.append(seq)
            self._ranges.append((seq + count - 1, position))
            if len(self._firsts) > MAX_RANGES:
                del self._firsts[: MAX_RANGES // 2], self._ranges[: MAX_RANGES // 2]
            self._changed.notify_all()

    def refused(self, seq: int, reason: str) -> None:
        """Row `seq` went to the dead letters."""
        with self._changed:
            self._refused[seq] = reason
            self._changed.notify_all()

    def wait(self, seq: int, timeout: float | None) -> int | None:
        """The position of a row; None after `timeout` seconds. Raises NotSentError when it was refused."""
        with self._changed:
            self._changed.wait_for(lambda: self._known(seq), timeout)
            if seq in self._refused:
                raise NotSentError(f"the server refused the event: {self._refused[seq]}")
            return self._position(seq)

    def _known(self, seq: int) -> bool:
        return seq in self._refused or self._position(seq) is not None

    def _position(self, seq: int) -> int | None:
        index = bisect.bisect_right(self._firsts, seq) - 1
        if index < 0:
            if self._firsts and seq < self._firsts[0] and len(self._firsts) >= MAX_RANGES // 2:
                raise NotSentError("the receipt is too old to look up here; ask Client.wait_for(receipt)")
            return None
        last, position = self._ranges[index]
        return position + seq - self._firsts[index] if seq <= last else None


class Receipt:
    """Proof that an event is durable here; it can wait for the event's position in the log.

    Pickled, it keeps its event ID, which `runlore.query.Client.wait_for` can look up anywhere.
    """

    __slots__ = ("_acknowledgements", "_seq", "event_id")

    def __init__(
        self, event_id: str, seq: int = 0, acknowledgements: Acknowledgements | None = None
    ) -> None:
        self.event_id = event_id
        self._seq = seq
        self._acknowledgements = acknowledgements

    def wait(self, timeout: float | None = None) -> int:
        """Wait up to `timeout` seconds (None: for ever) until the event is on the stream; its position.

        Raises ReceiptTimeoutError, or NotSentError when this process will never learn the position
        (offline or disabled mode, refused by the server, unpickled elsewhere).
        """
        if self._acknowledgements is None:
            raise NotSentError(
                "this process does not send the event (offline or disabled mode, or another process's receipt)"
            )
        position = self._acknowledgements.wait(self._seq, timeout)
        if position is None:
            raise ReceiptTimeoutError(f"event {self.event_id} is not on the stream after {timeout:g} s")
        return position

    async def wait_async(self, timeout: float | None = None) -> int:
        """`wait` without blocking the event loop (asyncio or trio)."""
        return await anyio.to_thread.run_sync(self.wait, timeout, abandon_on_cancel=True)

    def __repr__(self) -> str:
        return f"Receipt({self.event_id!r})"

    def __reduce__(self) -> tuple[type[Receipt], tuple[str]]:
        return Receipt, (self.event_id,)
