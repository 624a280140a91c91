"""The relay: a daemon thread with its own event loop that carries outboxes to the stream.

It never ends because of the server: it connects again for ever. It adopts the outboxes of processes
that are gone, and rests without a single wake-up of the step while there is nothing to send.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from runlore.producer.outboxes.claims import Claims, Expected
from runlore.producer.outboxes.gates import IMPORT_GATE
from runlore.producer.outboxes.rows import DamagedError
from runlore.producer.sending.acks import DeliveryError, NotOursError, WrongStreamError
from runlore.producer.sending.adopted import FEW_SECONDS, REST_SECONDS, Adopted
from runlore.producer.sending.confirm import Confirmer
from runlore.producer.sending.known_shards import KnownShards
from runlore.producer.sending.lookout import look_out
from runlore.producer.sending.relay_loop import RelayLoop
from runlore.producer.sending.source import Source
from runlore.producer.sending.warnings import Warnings
from runlore.schemas.errors import AccessDeniedError, ForeignServerError, ServerTooOldError, ServerUnavailableError
from runlore.schemas.settings import Settings
from runlore.schemas.shards import Shard
from runlore.store.folder import DataDir

if TYPE_CHECKING:
    from runlore.producer.sending.delivery import Delivery

LINGER_SECONDS = 0.1
"""After this long without events the relay stops looking for them, and the next emit wakes it, which costs that call
about 50 µs. With 1 s, a process that logs twice a second looked all the time, for 3.3 % of a core instead of 0.8 %."""
ADOPT_SECONDS = 5.0
FIRST_ADOPT_SECONDS = 1.0
"""A process that ends sooner has no time for what others left."""

_NEED_A_PERSON = (AccessDeniedError, ServerTooOldError, ForeignServerError)

logger = logging.getLogger("runlore")


class Relay:
    """Carries one own outbox (if any) and the folder's orphans. It owns them: its thread closes them."""

    def __init__(
        self, settings: Settings, own: Source | None, last_seq: Callable[[], int], shard: Shard | None = None
    ) -> None:
        """`shard`: where to send; unless given, to that of the settings' project."""
        self._settings = settings
        self._data = DataDir(settings.data_dir)
        self._own = own
        self._last_seq = last_seq
        self._warnings = Warnings(f"Events wait in {self._data.outboxes}")
        self._adopted = Adopted(settings, self._warnings.say)
        self.shards = KnownShards(settings, shard)
        self._next_scan = 0.0 if own is None else time.monotonic() + FIRST_ADOPT_SECONDS
        self._stopping = self._retiring = False
        self._connecting = False
        self._loop = RelayLoop()
        self._signal = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="runlore-relay", daemon=True)
        self.parked = False
        """Whether an emit must wake this relay."""
        self.reachable: bool | None = None
        """Whether the last attempt to connect succeeded; None until the first one ends."""
        self.trouble = ""
        """Why it did not."""
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
        self._adopted.since = since
        self._asked += 1
        self.wake()
        return self._asked

    def swept(self, ticket: int) -> bool:
        """Whether nothing, orphans included, was left to send at some time after the sweep was asked for."""
        return self._answered >= ticket

    def stop(self, timeout: float) -> bool:
        """Stop and close the outboxes; False when the thread needs longer (it goes on stopping)."""
        self.stop_soon()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop_soon(self) -> None:
        """Stop and close the outboxes without waiting, also where the thread has yet to begin."""
        self._stopping = True
        self.wake()
        with contextlib.suppress(RuntimeError):  # the loop is closed: the relay has stopped
            self._loop.call_soon_threadsafe(self._stop_connecting)

    def retire(self) -> None:
        """Stop once everything of the own outbox is sent. Never waits: a finalizer may call it, in any thread."""
        self._retiring = True
        self.wake()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            # The runner ends what nats-py leaves running when a connection breaks.
            with (
                contextlib.suppress(asyncio.CancelledError),  # stopped while it was connecting
                asyncio.Runner(loop_factory=lambda: self._loop) as runner,
            ):
                runner.run(self._serve_for_ever())
        finally:
            self._close_outboxes()

    def _close_outboxes(self) -> None:
        if self._own is not None and self._own.book is not None:
            self._own.book.close("the producer was closed; the event waits in the outbox and will be sent later")
        self._adopted.close()
        if self._own is not None:
            self._own.close()

    def _stop_connecting(self) -> None:
        if self._connecting:  # there may be nobody to answer for a long time
            for task in asyncio.all_tasks(self._loop):
                task.cancel()

    async def _serve_for_ever(self) -> None:
        with IMPORT_GATE:
            # Here, not at the top: a step that imports the producer does not pay for nats-py.
            from runlore.producer.sending.delivery import Delivery
            from runlore.wire.connect import Backoff, patience

        backoff = Backoff()
        failures = 0
        while not self._stopping:
            self._connecting = True
            self._note(self.trouble or "no NATS server has answered yet")
            try:
                connect_seconds = patience(self._settings, failures)
                async with Delivery(self._settings, self._wake_from_loop, connect_seconds) as delivery:
                    self._connecting, self.reachable, failures = False, True, 0
                    self._note("")
                    claims = await self._claims(delivery)
                    backoff.reset()
                    await self._serve(delivery, claims)
            except ServerUnavailableError as error:
                self.reachable = False
                failures += 1
                self._note(str(error))
                if isinstance(error, _NEED_A_PERSON):  # a server that is away is normal
                    self._warnings.say_waiting(error)
            except DeliveryError as error:
                self._warnings.refused(error)
            except Exception:  # the supervised boundary: the outbox keeps the events whatever it was
                self.reachable = False
                if self._stopping:  # its outbox may be closed already
                    break
                logger.warning("the relay of runlore failed and tries again; nothing is lost", exc_info=True)
            if not self._stopping:
                await self._pause(backoff.wait())

    def _note(self, trouble: str) -> None:
        self.trouble = trouble
        if self._own is not None and self._own.book is not None:
            self._own.book.trouble = trouble

    async def _claims(self, delivery: Delivery) -> Claims:
        """What may be sent over this connection. Raises DeliveryError when the own outbox may not."""
        expected = Expected.read(self._data)
        shard = await self.shards.choose(delivery, self._own)
        stream = await delivery.identify()
        if stream is not None:
            self._warnings.stream_known()
        try:
            claims = Claims(self._settings, stream, expected, self._own is None, shard, self.shards.of_projects)
            if self._own is not None:
                claims.require(self._own.destination)
                claims.claim(self._own)
                claims.find_lost(self._own)
        except WrongStreamError as error:
            raise DeliveryError(error) from error
        self._adopted.recheck(claims)
        return claims

    async def _serve(self, delivery: Delivery, claims: Claims) -> None:
        async with Confirmer(delivery, self._sources, self._signal.set) as confirmer:
            await self._send_for_ever(delivery, claims, confirmer)

    def _sources(self) -> list[Source]:
        return [*([self._own] if self._own else []), *self._adopted.sources]

    async def _send_for_ever(self, delivery: Delivery, claims: Claims, confirmer: Confirmer) -> None:
        active, scanned = time.monotonic(), self._answered
        while not self._stopping:
            delivery.check()
            confirmer.check()
            asked = self._asked
            if asked != scanned:
                self._next_scan, scanned = 0.0, asked
                self._adopted.leave_older()
            if self._adopted.more:
                self._next_scan, self._adopted.more = 0.0, False  # look again when these are sent
            self._resend_lost()
            if await self._send_some(delivery):
                active = time.monotonic()
                confirmer.notify_kept()
                continue
            if self._retiring:
                self._stopping = True
                break
            if time.monotonic() >= self._next_scan:
                self._next_scan = time.monotonic() + ADOPT_SECONDS
                if self._adopted.scan(claims):
                    claims = await self._claims(delivery)
                if await self.shards.learn(delivery, claims):
                    self._next_scan = 0.0
                confirmer.notify_kept()
                continue
            self._answered = asked
            left = active + LINGER_SECONDS - time.monotonic()
            if left > 0:
                await look_out(left, self._has_new, self._signal)
            else:
                await self._park()

    def _resend_lost(self) -> None:
        for source in self._sources():
            if source.resend():
                self._warnings.say("the stream lost events after it had acknowledged them; they are sent again")

    async def _send_some(self, delivery: Delivery) -> bool:
        """One batch of the own outbox, and one of each adopted; whether there was any.

        Raises DeliveryError: when the server refused rows of one, after the others had their turn.
        """
        sent, refused = False, None
        for source in [*([self._own] if self._own else []), *self._adopted.sources]:
            if self._stopping and source is not self._own:
                break
            send = self._send_own if source is self._own else self._send_adopted
            try:
                sent = await send(delivery, source) or sent
            except DeliveryError as error:
                if not error.refused:
                    raise
                refused = refused or error
        if refused is not None:
            raise refused
        return sent

    async def _send_own(self, delivery: Delivery, own: Source) -> bool:
        try:
            return self._has_new() and await self._send_batch(delivery, own)
        except DamagedError as error:
            self._lose_own(error)
            return False

    def _has_new(self) -> bool:
        return self._own is not None and self._last_seq() > self._own.after

    def _lose_own(self, error: DamagedError) -> None:
        """The own outbox is damaged: as an orphan it is set aside, and its process opens another one."""
        own, self._own = self._own, None
        assert own
        if own.book is not None:
            own.book.close(f"the outbox is damaged ({error}); what can be read of it is sent")
        own.close()
        self._adopted.rescue(own.outbox.path, error)

    async def _send_adopted(self, delivery: Delivery, source: Source) -> bool:
        try:
            if await self._send_batch(delivery, source):
                return True
        except DamagedError as error:
            self._adopted.lose(source, error)
        else:
            self._adopted.sent(source)
        return False

    async def _send_batch(self, delivery: Delivery, source: Source) -> bool:
        rows = source.read()
        if rows:
            try:
                await delivery.deliver(source, rows)
            except NotOursError as error:
                self._leave(source, str(error), REST_SECONDS)
            except DeliveryError as error:
                if source is self._own or not error.no_stream:  # the own one's project is that of all it adopts
                    raise
                known = await delivery.identify() is not None  # then it is about this project, and lasts
                why = f"events of the project {source.destination.project} cannot be sent ({error})"
                self._leave(source, why, REST_SECONDS if known else FEW_SECONDS)
        return bool(rows)

    def _leave(self, source: Source, why: str, seconds: float) -> None:
        """Leave one adopted outbox for a while: others must not wait for it."""
        self._warnings.say(f"{why}: they wait in {source.outbox.path}")
        self._adopted.release_for_now(source, seconds)

    async def _park(self) -> None:
        self.parked = True
        # An emit stores first and looks at `parked` then; we look the other way round: nothing slips through.
        if self._asked == self._answered and not self._has_new():
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
