"""A session: one process's open outbox with its numbers, receipts and relay."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any, NamedTuple

import msgspec

from runlore.producer.actor import this_actor
from runlore.producer.outboxes.ledger import Destination
from runlore.producer.outboxes.outbox import Outbox
from runlore.producer.receipts import AckBook, Receipt
from runlore.producer.sending.allowance import LOOK_SECONDS, Allowance
from runlore.producer.sending.relay import Relay
from runlore.producer.sending.source import Source
from runlore.schemas.codec import encode_event
from runlore.schemas.errors import EventTooLargeError
from runlore.schemas.events import SCHEMA_VERSION, AnyFact, Event
from runlore.schemas.ids import new_id
from runlore.schemas.limits import COUNTED_BYTES
from runlore.schemas.settings import Settings
from runlore.schemas.validity import check_size
from runlore.store.folder import DataDir
from runlore.wire.destinations import server_key

STOP_SECONDS = 1.0
_LARGEST_KEYS = 5
_encode = msgspec.msgpack.Encoder().encode
_UTC = dt.timezone.utc  # noqa: UP017 -- a global is read faster than dt.UTC, once a call


class FlushReport(NamedTuple):
    """What a flush left behind."""

    unsent: int
    """Events of this process still in its outbox."""
    dead_letters: int
    """Events of this process that the server refused for good."""


class ClosedError(Exception):
    """The session ended between finding and using it; the producer opens the next one."""


class Session:
    """Raises OutboxError when the outbox cannot be opened."""

    def __init__(self, settings: Settings, traceparent: str | None) -> None:
        self.settings = settings
        self.last_seq = 0
        self._traceparent = traceparent
        self._actor = this_actor()
        self.outbox = Outbox.create(DataDir(settings.data_dir).outboxes, new_id(), _destination(settings))
        self._lock = self.outbox.lock
        self._producer_id = self.outbox.producer_id
        self._closed = False
        self.relay: Relay | None = None
        self.book: AckBook | None = None
        if settings.mode == "online":
            self._start_relay()

    def _start_relay(self) -> None:
        self.book = AckBook()
        relay = Relay(self.settings, Source(self.outbox, self.settings, self.book), lambda: self.last_seq)
        try:
            relay.start()
        except RuntimeError:
            self.book = None  # the interpreter ends: the next process sends what is stored now
            return
        self.relay = relay

    def store(
        self, fact: AnyFact, subject: str, run: str | None, step: str | None, causation_id: str | None
    ) -> Receipt:
        """Put one event into the outbox.

        Raises EventTooLargeError, OutboxError (nothing is stored then), or ClosedError.
        """
        event_id = new_id()
        occurred_at = dt.datetime.now(_UTC)
        with self._lock:
            if self._closed:
                raise ClosedError
            seq = self.last_seq + 1
            payload = encode_event(
                Event(
                    id=event_id,
                    schema=SCHEMA_VERSION,
                    project=self.settings.project,
                    occurred_at=occurred_at,
                    actor=self._actor,
                    producer_id=self._producer_id,
                    producer_seq=seq,
                    fact=fact,
                    run=run,
                    step=step,
                    traceparent=self._traceparent,
                    causation_id=causation_id,
                )
            )
            if len(payload) > self.settings.max_event_bytes:
                raise too_large(fact, len(payload), self.settings.max_event_bytes)
            if len(payload) > COUNTED_BYTES:
                check_size(fact)
            self.outbox.insert(seq, subject, payload)
            self.last_seq = seq
        relay = self.relay
        if relay is not None and relay.parked:
            relay.wake()
        return Receipt(event_id, seq, self.book)

    def flush(self, timeout: float | None) -> FlushReport:
        """Wait until everything emitted so far is stored or refused, at most `timeout` seconds.

        None: as long as the setting says.
        """
        if self.relay is not None and self.book is not None:
            target, book = self.last_seq, self.book
            if self.relay.parked:
                self.relay.wake()
            allowance = self._allowance(timeout)
            with book.changed:
                while not book.settled(target) and (left := allowance.left()) > 0:
                    book.changed.wait(min(left, LOOK_SECONDS))
        return self.report()

    def _allowance(self, timeout: float | None = None) -> Allowance:
        relay = self.relay
        seconds = self.settings.flush_timeout if timeout is None else timeout
        return Allowance(seconds, lambda: None if relay is None else relay.reachable)

    def report(self) -> FlushReport:
        if self.book is None:
            return FlushReport(self.last_seq, 0)
        return FlushReport(self.book.open_count(self.last_seq), self.book.dead_count())

    def flush_at_exit(self) -> FlushReport:
        """Send what can be sent before the process ends.

        Leaves at once when the server is away, unless someone set how long to wait.
        """
        if self.relay is None:
            return self.report()
        allowance = self._allowance()
        ticket = self.relay.sweep()
        while not self.relay.swept(ticket) and self.relay.alive and allowance.left() > 0:
            if allowance.pointless():
                break
            time.sleep(0.002)
        return self.report()

    def close(self) -> None:
        """Stop the relay and close the outbox; what is left waits for the next process."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self.relay is None:
            self.outbox.close()
        else:
            self.relay.stop(STOP_SECONDS)


def _destination(settings: Settings) -> Destination:
    # Offline and without a URL nobody knows yet who will send the events.
    known = settings.mode == "online" or settings.url is not None
    return Destination(server_key(settings) if known else None, settings.project)


def too_large(fact: AnyFact, size: int, limit: int) -> EventTooLargeError:
    """The error for an event over the limit, naming its largest keys."""
    metadata: dict[str, Any] = getattr(fact, "metadata", None) or getattr(fact, "parameters", None) or {}
    sizes = [(str(key), len(_encode(value))) for key, value in metadata.items()]
    sizes.sort(key=lambda pair: pair[1], reverse=True)
    return EventTooLargeError(size, limit, sizes[:_LARGEST_KEYS])
