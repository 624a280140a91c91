"""The relay: a daemon thread with its own event loop that carries outboxes to the stream.

It never ends because of the server: it connects again for ever. It adopts the outboxes of processes
that are gone, and rests without a single wake-up of the step while there is nothing to send.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runlore.producer.lease import Lease
from runlore.producer.orphans import MAX_ADOPTED, adopt_orphans, rescued
from runlore.producer.outbox import IMPORT_GATE, Outbox, Row
from runlore.producer.receipts import AckBook
from runlore.producer.rescue import is_damage
from runlore.schemas.errors import RunloreError, ServerUnavailableError
from runlore.schemas.layout import DataDir
from runlore.schemas.settings import Settings

if TYPE_CHECKING:
    from runlore.producer.delivery import Delivery

POLL_SECONDS = 0.005
"""How often the relay looks for new events while there were some lately."""
LINGER_SECONDS = 1.0
"""After this long without events it parks, and the next emit wakes it."""
ADOPT_SECONDS = 5.0
FIRST_ADOPT_SECONDS = 1.0
"""A process that ends sooner has no time for what others left."""

logger = logging.getLogger("runlore")


class Source:
    """One outbox on its way to the stream."""

    def __init__(self, outbox: Outbox, book: AckBook | None = None) -> None:
        self.outbox = outbox
        self.book = book
        """Receipts to tell; None for adopted outboxes."""
        self.lease = Lease(outbox)
        self.after = 0
        """Everything up to this number is stored or dead."""

    def read(self) -> list[Row]:
        return self.outbox.read(self.after)

    def stored(self, first: int, last: int, position: int) -> None:
        self.after = last
        if self.book is not None:
            self.book.stored(first, last, position)

    def bury(self, rows: list[Row], reason: str) -> None:
        self.outbox.bury(rows, reason)
        if self.book is not None:
            self.book.dead((row.seq for row in rows), reason)

    def finish(self, last: int) -> None:
        """All rows up to `last` are handled: they leave the outbox."""
        self.after = last
        if self.book is not None:
            self.book.handled(last)
        self.outbox.remove(last)


class Relay:
    """Carries one own outbox (if any) and the folder's orphans. It owns them: its thread closes them."""

    def __init__(self, settings: Settings, own: Source | None, last_seq: Callable[[], int]) -> None:
        self._settings = settings
        self._data = DataDir(settings.data_dir)
        self._own = own
        self._last_seq = last_seq
        self._adopted: list[Source] = []
        self._next_scan = 0.0 if own is None else time.monotonic() + FIRST_ADOPT_SECONDS
        self._since = ""
        self._stopping = False
        self._warned: set[str] = set()
        self._loop = _RelayLoop()
        self._signal = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="runlore-relay", daemon=True)
        self.parked = False
        """Whether an emit must wake this relay."""
        self.reachable: bool | None = None
        """Whether the last attempt to connect succeeded; None until the first one ends."""
        self._asked = self._answered = 0
        """Sweeps asked for, and the last one after which nothing was left to send."""

    def start(self) -> None:
        """Raises RuntimeError when the interpreter is shutting down."""
        self._thread.start()

    def wake(self) -> None:
        """Make a parked relay look again; from any thread."""
        self.parked = False
        with contextlib.suppress(RuntimeError):  # the loop is closed: the relay has stopped
            self._loop.call_soon_threadsafe(self._signal.set)

    def sweep(self, since: str = "") -> int:
        """Send everything and look for orphans now; returns a ticket for `swept`.

        With `since`, from now on only orphans that were made after that ID.
        """
        self._since = since
        self._asked += 1
        self.wake()
        return self._asked

    def swept(self, ticket: int) -> bool:
        """Whether nothing, orphans included, was left to send at some time after the sweep was asked for."""
        return self._answered >= ticket

    def stop(self, timeout: float) -> bool:
        """Stop and close the outboxes; False when the thread needs longer (it goes on stopping)."""
        self._stopping = True
        self.wake()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            # The runner ends what nats-py leaves running when a connection breaks.
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve_for_ever())
        finally:
            self._close_outboxes()

    def _close_outboxes(self) -> None:
        if self._own is not None and self._own.book is not None:
            self._own.book.close("the producer was closed; the event waits in the outbox and will be sent later")
        for source in [*self._adopted, *([self._own] if self._own else [])]:
            source.outbox.close()

    async def _serve_for_ever(self) -> None:
        with IMPORT_GATE:
            # Here, not at the top: a step that imports the producer does not pay for nats-py.
            from runlore.producer.delivery import Delivery, DeliveryError
            from runlore.schemas.transport import Backoff

        backoff = Backoff()
        while not self._stopping:
            try:
                async with Delivery(self._settings, self._wake_from_loop) as delivery:
                    self.reachable = True
                    backoff.reset()
                    try:
                        await self._serve(delivery)
                    finally:
                        self._end_lease()
            except ServerUnavailableError as error:
                self.reachable = False
                self._warn_if_refused(error)
            except DeliveryError as error:
                self._warn(str(error)) if error.worth_telling else None
            except Exception:  # the supervised boundary: the outbox keeps the events whatever it was
                self.reachable = False
                logger.warning("the relay of runlore failed and tries again; nothing is lost", exc_info=True)
            if not self._stopping:
                await self._pause(backoff.wait())

    async def _serve(self, delivery: Delivery) -> None:
        active, scanned = time.monotonic(), self._answered
        while not self._stopping:
            delivery.check()
            asked = self._asked
            if asked != scanned:
                self._next_scan, scanned = 0.0, asked
                self._leave_older()
            if await self._send_some(delivery):
                active = time.monotonic()
                continue
            self._end_lease()
            if time.monotonic() >= self._next_scan:
                self._adopt()
                continue
            self._answered = asked
            if time.monotonic() - active < LINGER_SECONDS:
                await asyncio.sleep(POLL_SECONDS)
            else:
                await self._park()

    async def _send_some(self, delivery: Delivery) -> bool:
        """One batch of the own outbox, and one of each adopted; whether there was any."""
        sent = False
        if self._own is not None and (waiting := self._last_seq() - self._own.after) > 0:
            self._own.lease.begin(waiting)
            try:
                sent = await self._send_batch(delivery, self._own)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._lose_own(error)
        for source in list(self._adopted):
            if self._stopping:
                break
            sent = await self._send_adopted(delivery, source) or sent
        return sent

    def _lose_own(self, error: sqlite3.Error) -> None:
        """The own outbox is damaged: as an orphan it is set aside, and its process opens another one."""
        own, self._own = self._own, None
        assert own
        if own.book is not None:
            own.book.close(f"the outbox is damaged ({error}); what can be read of it is sent")
        own.lease.forget()
        own.outbox.close()
        self._rescue(own.outbox.path, error)

    async def _send_adopted(self, delivery: Delivery, source: Source) -> bool:
        error = None
        try:
            if await self._send_batch(delivery, source):
                return True
        except sqlite3.DatabaseError as failure:
            error = failure
        self._adopted.remove(source)
        source.outbox.close()
        if error is not None:
            self._rescue(source.outbox.path, error)
        return False

    def _rescue(self, path: Path, error: sqlite3.Error) -> None:
        outbox = rescued(path, error, self._warn)
        if outbox is not None:
            self._adopted.append(Source(outbox))

    def _leave_older(self) -> None:
        for source in list(self._adopted):
            if source.outbox.path.stem < self._since:
                self._adopted.remove(source)
                source.outbox.close()

    async def _send_batch(self, delivery: Delivery, source: Source) -> bool:
        rows = source.read()
        if rows:
            await delivery.deliver(source, rows)
        return bool(rows)

    def _end_lease(self) -> None:
        if self._own is not None:
            self._own.lease.end()

    def _adopt(self) -> None:
        self._next_scan = time.monotonic() + ADOPT_SECONDS
        found = adopt_orphans(self._data, self._warn, self._since)
        self._adopted += [Source(outbox) for outbox in found]
        if len(found) == MAX_ADOPTED:
            self._next_scan = 0.0  # there may be more: look again when these are sent

    async def _park(self) -> None:
        if self._own is not None:
            self._own.outbox.checkpoint()
        self.parked = True
        # An emit stores first and looks at `parked` then; we look the other way round: nothing slips through.
        if self._asked == self._answered and (self._own is None or self._last_seq() <= self._own.after):
            await self._pause(max(0.0, self._next_scan - time.monotonic()))
        self.parked = False

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._signal.wait(), seconds)
        except TimeoutError:
            return
        self._signal.clear()

    def _wake_from_loop(self) -> None:
        self._signal.set()

    def _warn_if_refused(self, error: RunloreError) -> None:
        # A server that is away is normal and silent; one that turns us away needs a person.
        if "authorization" in str(error).lower() or "authentication" in str(error).lower():
            self._warn(f"{error}. Events wait in {self._data.outboxes}; check RUNLORE_URL and RUNLORE_CREDENTIALS")

    def _warn(self, text: str) -> None:
        if text not in self._warned and len(self._warned) < 100:
            self._warned.add(text)
            logger.warning("runlore: %s", text)


class _RelayLoop(asyncio.SelectorEventLoop):
    """An event loop that resolves names itself: at interpreter exit no thread pool takes work any more."""

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        return socket.getaddrinfo(host, port, family, type, proto, flags)
