"""Deferred events: logged inside another log call (by a signal handler), held in memory until that call ends."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable

from runlore.producer.receipts import INSIDE_A_CALL, NOT_SENT_HERE, AckBook, Receipt
from runlore.producer.tracing import current_trace
from runlore.schemas.errors import NotSentError
from runlore.schemas.events import AnyFact
from runlore.schemas.ids import new_id


class PutAside:
    """One event on its way to the outbox."""

    __slots__ = (
        "_book",
        "_settle",
        "causation_id",
        "done",
        "event_id",
        "fact",
        "occurred_at",
        "run",
        "seq",
        "step",
        "subject",
        "traceparent",
    )

    def __init__(
        self,
        fact: AnyFact,
        subject: str,
        run: str | None,
        step: str | None,
        causation_id: str | None,
        occurred_at: dt.datetime | None,
        settle: Callable[[], object],
    ) -> None:
        self.fact, self.subject, self.run, self.step, self.causation_id = fact, subject, run, step, causation_id
        self.occurred_at = occurred_at or dt.datetime.now(dt.UTC)
        self.seq = 0
        """Its number in the outbox; 0 until it is about to be stored."""
        self.done = False
        """True once it is in the outbox."""
        self.event_id = new_id()
        self.traceparent = current_trace(None)
        """Of the span in which it was logged; it may be stored in another."""
        self._book: AckBook | None = None
        self._settle = settle

    def receipt(self) -> Receipt:
        """A receipt for it. Not kept here: that would be a circle, and garbage to collect at each step."""
        return Receipt(self.event_id, 0, self)

    def stored(self, book: AckBook | None) -> None:
        """Note that it is in the outbox: from now on its receipt asks `book`."""
        self._book = book
        self.done = True

    @property
    def shard(self) -> int:
        """As an AckBook's."""
        return 0 if self._book is None else self._book.shard

    @property
    def trouble(self) -> str:
        """As an AckBook's."""
        return "" if self._book is None else self._book.trouble

    def wait(self, seq: int, timeout: float | None) -> int | None:
        """As `AckBook.wait`, for the receipt, which knows no number. Raises NotSentError if waiting would never end."""
        self._settle()
        if not self.done:
            raise NotSentError(INSIDE_A_CALL)
        if self._book is None:
            raise NotSentError(NOT_SENT_HERE)
        return self._book.wait(self.seq, timeout)


Aside = deque[PutAside]
"""A producer's deferred events, oldest first. Appending and removing one is atomic."""
