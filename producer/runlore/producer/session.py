"""A session: one process's open outbox with its numbers, receipts and relay."""

from __future__ import annotations

import datetime as dt
import sys
import time
from typing import NamedTuple

from runlore.producer.actor import this_actor
from runlore.producer.aside import Aside, PutAside
from runlore.producer.event_signing import EventSigner
from runlore.producer.facts import too_large
from runlore.producer.outboxes.ledger import Destination
from runlore.producer.outboxes.outbox import Outbox, holds_up_relays
from runlore.producer.outboxes.rows import DamagedError
from runlore.producer.receipts import NOBODY, AckBook, Receipt
from runlore.producer.relay import Relay
from runlore.producer.sending.allowance import LOOK_SECONDS, Allowance
from runlore.producer.sending.source import Source
from runlore.producer.tracing import current_trace
from runlore.producer.warn import warn_not_stored
from runlore.schemas.codec import encode_event
from runlore.schemas.errors import OutboxError
from runlore.schemas.events import SCHEMA_VERSION, AnyFact, Event
from runlore.schemas.ids import new_id, new_salt
from runlore.schemas.limits import COUNTED_BYTES
from runlore.schemas.settings import Settings
from runlore.schemas.signatures import owned_id
from runlore.schemas.validity import check_size
from runlore.store.folder import DataDir
from runlore.wire.destinations import server_key

STOP_SECONDS = 1.0
_BEGAN = new_id()
"""Outboxes that ended processes left since then may be a child's: they are sent before this process ends. It does not
wait for older ones."""
_UTC = dt.timezone.utc  # noqa: UP017 -- a global is read faster than dt.UTC, once a call
_now = dt.datetime.now
_getframe = sys._getframe  # pyright: ignore[reportPrivateUsage] -- see CallLock


class FlushReport(NamedTuple):
    """Result of a flush."""

    unsent: int
    """Events of this process still in its outbox."""
    dead_letters: int
    """Events of this process that the server refused for good."""


class ClosedError(Exception):
    """The session ended between finding and using it; the producer opens the next one."""


RETIRING: set[Session] = set()
"""Sessions whose producers were dropped without closing, while there is something to send."""


class Session:
    """Raises OutboxError when the outbox cannot be opened.

    An exception may end a call at any instruction (Ctrl-C, an alarm handler). The number that is being stored is in
    `_trying` before the row goes into the outbox, and in `last_seq` after it; if the two differ, the next call looks
    whether the outbox has the row.
    """

    def __init__(
        self, settings: Settings, traceparent: str | None, aside: Aside, signer: EventSigner | None = None
    ) -> None:
        self.settings = settings
        self.last_seq = 0
        self._trying = 0
        self._aside = aside
        self._project = settings.project
        self._small_bytes = min(COUNTED_BYTES, settings.max_event_bytes)
        """Up to here an event is within all limits."""
        self._traceparent = traceparent
        self._actor = this_actor()
        self._sign = None if signer is None else signer.signed
        self._signature = None if signer is None else signer.unsigned
        made = new_id()
        self.outbox = Outbox.create(
            DataDir(settings.data_dir).outboxes,
            made if signer is None else owned_id(made, signer.public),
            _destination(settings),
            settings.outbox_sync,
        )
        self._lock = self.outbox.lock
        self._queue = self._lock.queue
        self._producer_id = self.outbox.producer_id
        self._closed = False
        self.relay: Relay | None = None
        self.book: AckBook | None = None
        self._source: Source | None = None
        if settings.mode == "online" and not sys.is_finalizing():  # no thread can start any more
            try:
                self._start_relay()
            except BaseException as error:  # KeyboardInterrupt above all: nobody else would close this outbox
                self.close_soon()
                if isinstance(error, OSError):
                    raise OutboxError(f"events cannot be sent from here: {error}. The event was not stored") from error
                raise

    def _start_relay(self) -> None:
        self.book = AckBook()
        self._source = Source(self.outbox, self.settings, self.book)
        relay = Relay(self.settings, self._source, self._newest)
        try:
            relay.start()
            self.relay = relay
        except RuntimeError:
            self.book = self._source = None  # the interpreter shuts down: the next process sends these events
        except BaseException:  # KeyboardInterrupt while start() waited for the thread: that may run
            relay.stop_soon()
            raise

    def _newest(self) -> int:
        """The last number, for the relay; also stores events that an interrupted call left deferred."""
        if self._aside:
            self._settled()
        return self.last_seq

    def store(
        self,
        fact: AnyFact,
        subject: str,
        run: str | None,
        step: str | None,
        causation_id: str | None,
        occurred_at: dt.datetime | None = None,
    ) -> Receipt | None:
        """Put one event into the outbox; None, and nothing done, inside another call of this thread.

        Raises EventTooLargeError, OutboxError (nothing is stored then), or ClosedError.
        """
        event_id = new_id()
        if occurred_at is None:
            occurred_at = _now(_UTC)
        traceparent = current_trace(self._traceparent)
        frame = _getframe()
        queue = self._queue
        queue.append(frame)
        if queue[0] is not frame and not self._lock.wait(frame):
            return None
        try:
            if self._closed:
                raise ClosedError
            if self._trying != self.last_seq:
                self._recount()
            seq = self.last_seq + 1
            payload = encode_event(
                Event(
                    id=event_id,
                    schema=SCHEMA_VERSION,
                    project=self._project,
                    occurred_at=occurred_at,
                    actor=self._actor,
                    producer_id=self._producer_id,
                    producer_seq=seq,
                    fact=fact,
                    run=run,
                    step=step,
                    traceparent=traceparent,
                    causation_id=causation_id,
                    salt=new_salt(),
                    signature=self._signature,
                )
            )
            if self._sign is not None:
                payload = self._sign(payload)
            if len(payload) > self._small_bytes:
                self._check_size(fact, len(payload))
            self._trying = seq
            self.outbox.insert(seq, subject, payload)
            self.last_seq = seq
        except OutboxError as error:
            if self._closed or self.outbox.closed or isinstance(error.__cause__, DamagedError):
                raise ClosedError from error  # by a signal handler on top of this call, or for good
            raise
        finally:
            queue.remove(frame)
            del frame  # it would hold itself
            if queue:
                self._lock.wake()
        relay = self.relay
        if relay is not None and relay.parked:
            relay.wake()
        return Receipt(event_id, seq, self.book or NOBODY)

    def _check_size(self, fact: AnyFact, size: int) -> None:
        if size > self.settings.max_event_bytes:
            raise too_large(fact, size, self.settings.max_event_bytes)
        if size > COUNTED_BYTES:
            check_size(fact)

    def settle(self) -> bool:
        """Store deferred events, and restore the counter after an interruption; False inside a call of this thread.

        Raises OutboxError; events that are not stored stay deferred.
        """
        frame = _getframe()
        if not self._lock.take(frame):
            return False
        try:
            self._catch_up()
        finally:
            self._lock.leave(frame)
            del frame
        if self.relay is not None and self.relay.parked:
            self.relay.wake()
        return True

    def _catch_up(self) -> None:
        if self._closed:
            return
        if self._trying != self.last_seq:
            self._recount()
        while self._aside:
            self._store_aside(self._aside[0])

    def _recount(self) -> None:
        """A call was interrupted: is its row in the outbox, or already on its way? Hold the lock."""
        seq = self._trying
        sent = self._source is not None and self._source.after >= seq
        if not sent and not self.outbox.has(seq):
            for aside in self._aside:
                if aside.seq == seq:
                    aside.seq = 0
            self._trying = self.last_seq
        else:
            self.last_seq = seq

    def _store_aside(self, aside: PutAside) -> None:
        """Store the oldest deferred event, once: if it has a number, an interrupted call stored it."""
        if not aside.seq:
            seq = self._trying = self.last_seq + 1
            aside.seq = seq
            self.outbox.insert(seq, aside.subject, self._payload_of(aside, seq))
            self.last_seq = seq
        aside.stored(self.book)
        self._aside.popleft()

    def _payload_of(self, aside: PutAside, seq: int) -> bytes:
        payload = encode_event(
            Event(
                id=aside.event_id,
                schema=SCHEMA_VERSION,
                project=self.settings.project,
                occurred_at=aside.occurred_at,
                actor=self._actor,
                producer_id=self._producer_id,
                producer_seq=seq,
                fact=aside.fact,
                run=aside.run,
                step=aside.step,
                traceparent=aside.traceparent or self._traceparent,
                causation_id=aside.causation_id,
                salt=new_salt(),
                signature=self._signature,
            )
        )
        return payload if self._sign is None else self._sign(payload)

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def trouble(self) -> str:
        """Why the server cannot be reached now; empty while it can."""
        return "" if self.book is None else self.book.trouble

    def flush(self, timeout: float | None) -> FlushReport:
        """Wait up to `timeout` seconds until everything emitted so far is stored or refused.

        None: as long as the setting says.
        """
        # Inside a call of this thread, in a signal handler, the relay may have to wait for that call.
        if self._settled() and self.relay is not None and self.book is not None and not holds_up_relays():
            target, book = self.last_seq, self.book
            if self.relay.parked:
                self.relay.wake()
            allowance = self._allowance(timeout)
            while not book.settled(target) and (left := allowance.left()) > 0:
                book.wait_for(lambda: book.settled(target), min(left, LOOK_SECONDS))
        return self.report()

    def _allowance(self, timeout: float | None = None) -> Allowance:
        relay = self.relay
        seconds = self.settings.flush_timeout if timeout is None else timeout
        return Allowance(seconds, lambda: None if relay is None else relay.reachable)

    def _settled(self) -> bool:
        try:
            return self.settle()
        except OutboxError as error:
            warn_not_stored(len(self._aside), str(error))
            return True

    def report(self) -> FlushReport:
        aside = len(self._aside)
        if self.book is None:
            return FlushReport(self.last_seq + aside, 0)
        return FlushReport(self.book.open_count(self.last_seq) + aside, self.book.dead_count())

    def flush_at_exit(self) -> FlushReport:
        """Send what can be sent before the process ends.

        Leaves at once when the server is away, unless someone set how long to wait.
        """
        if not self._settled() or self.relay is None or holds_up_relays():
            return self.report()
        allowance = self._allowance()
        ticket = self.relay.sweep(since=_BEGAN)
        while not self.relay.swept(ticket) and self.relay.alive and allowance.left() > 0:
            if allowance.pointless():
                break
            time.sleep(0.002)
        return self.report()

    def end(self) -> FlushReport:
        """Flush and close, before the process ends."""
        report = self.flush_at_exit()
        self.close()
        return report

    def retire(self) -> None:
        """Send what is left and close then, without waiting: for a finalizer."""
        if self._closed:
            return
        self._closed = True
        if self.relay is None:
            self.outbox.close()
            return
        # A copy: a finalizer of another thread, or one on top of this one, may add its own.
        RETIRING.difference_update([session for session in RETIRING.copy() if not session.sending])
        RETIRING.add(self)
        self.relay.retire()

    @property
    def sending(self) -> bool:
        """Whether its relay works."""
        return self.relay is not None and self.relay.alive

    def close_soon(self) -> None:
        """Close without waiting; a damaged outbox is set aside by whoever finds it next."""
        self._closed = True
        if self.relay is None:
            self.outbox.close()
        else:
            self.relay.stop(0.0)

    def close(self) -> None:
        """Stop the relay and close the outbox; unsent events wait for the next process."""
        frame = _getframe()
        if self._lock.take(frame):
            try:
                self._finish()
            finally:
                self._lock.leave(frame)
        del frame
        # A call of this thread below this one finds the outbox closed, and opens the next session.
        self._closed = True
        if self.relay is None:
            self.outbox.close()
        else:
            self.relay.stop(STOP_SECONDS)

    def lost_by_fork(self) -> None:
        """In a forked child: the outbox and the relay are the parent's."""
        self._closed = True
        if self.book is not None:
            self.book.lost_by_fork()

    def _finish(self) -> None:
        try:
            self._catch_up()
        except OutboxError:
            # Stored or not, that is not known now: twice is harmless, the ID is the same.
            for aside in self._aside:
                aside.seq = 0
        self._closed = True


def _destination(settings: Settings) -> Destination:
    # Offline and without a URL nobody knows yet who will send the events.
    known = settings.mode == "online" or settings.url is not None
    return Destination(server_key(settings) if known else None, settings.project)
