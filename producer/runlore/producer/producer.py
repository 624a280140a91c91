"""The producer: takes facts, checks them, and stores them in this process's outbox."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sys
import weakref
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import anyio.to_thread
import msgspec

from runlore.producer.aside import Aside, PutAside
from runlore.producer.call_lock import CallLock
from runlore.producer.event_signing import signer_of
from runlore.producer.facts import checked_fact, subject_of, too_large
from runlore.producer.receipts import Receipt
from runlore.producer.session import ClosedError, FlushReport, Session
from runlore.producer.warn import warn_not_stored
from runlore.schemas.errors import OutboxError
from runlore.schemas.events import (
    AnyFact,
)
from runlore.schemas.ids import new_id
from runlore.schemas.limits import COUNTED_BYTES, MAX_STEP_BYTES
from runlore.schemas.names import check_name, check_text
from runlore.schemas.settings import Settings, read_settings
from runlore.schemas.subjects import subject_for
from runlore.schemas.validity import check_occurred_at, check_size

LIVE: weakref.WeakSet[Producer] = weakref.WeakSet()
"""Every producer of this process, for its end and for forks."""

_subject = lru_cache(maxsize=4096)(subject_for)
_encode = msgspec.msgpack.Encoder().encode
_getframe = sys._getframe  # pyright: ignore[reportPrivateUsage] -- see CallLock


class Producer:
    """Emits events through its own outbox. Settings come from the environment and the arguments.

        async with Producer(project="churn") as producer:
            receipt = await producer.emit(NoteAdded((EntityRef("model", "churn"),), "looks good"))
            position = await receipt.wait_async(5)

    The `with` form is the same for synchronous code. Nothing is opened before the first event. The
    `log_*` functions use one producer of the whole process; this class is for those who want their own.
    """

    def __init__(self, settings: Settings | None = None, **overrides: Any) -> None:
        self.settings = settings if settings is not None and not overrides else _merged(settings, overrides)
        self._traceparent = check_text("TRACEPARENT", os.environ.get("TRACEPARENT", "")) or None
        self._signer = None if self.settings.mode == "disabled" else signer_of(self.settings)
        self._session: Session | None = None
        self._aside: Aside = deque()
        self._opening = CallLock()
        LIVE.add(self)

    def __del__(self) -> None:
        # A producer that is dropped, or replaced inside one of its calls, would leave a thread and a connection behind.
        session: Session | None = getattr(self, "_session", None)  # unset when the settings were wrong
        if session is not None and not sys.is_finalizing():
            session.retire()

    async def emit(
        self,
        fact: AnyFact,
        *,
        run: str | None = None,
        step: str | None = None,
        causation_id: str | None = None,
        occurred_at: dt.datetime | None = None,
    ) -> Receipt:
        """Store one event and return its receipt; see `emit_nowait`."""
        return self.emit_nowait(fact, run=run, step=step, causation_id=causation_id, occurred_at=occurred_at)

    def emit_nowait(
        self,
        fact: AnyFact,
        *,
        run: str | None = None,
        step: str | None = None,
        causation_id: str | None = None,
        occurred_at: dt.datetime | None = None,
    ) -> Receipt:
        """Check, pack and store one event in the outbox: microseconds, never the network.

        `run` and `step`: where it comes from. `occurred_at`: when it happened, if not now; the order is the log's.

        Raises MetadataTypeError, EventTooLargeError, InvalidReferenceError or MissingContextError for a fact that
        cannot be stored, OutboxError when the disk does not take it. Then nothing is emitted.
        """
        run = run if run is None else check_name("run", run)
        step = step if step is None else check_name("step", step, MAX_STEP_BYTES)
        occurred_at = check_occurred_at(occurred_at)
        return self.emit_packed(checked_fact(fact, run, step), run, step, causation_id, occurred_at)

    def emit_packed(
        self,
        fact: AnyFact,
        run: str | None,
        step: str | None,
        causation_id: str | None = None,
        occurred_at: dt.datetime | None = None,
    ) -> Receipt:
        """`emit_nowait` without its checks, for facts whose values are packed and whose names are checked."""
        settings = self.settings
        ref = subject_of(fact, run, step)
        if settings.mode == "disabled":
            size = len(_encode(fact))
            if size > settings.max_event_bytes:
                raise too_large(fact, size, settings.max_event_bytes)
            if size > COUNTED_BYTES:
                check_size(fact)
            return Receipt(new_id())
        subject = _subject(settings.project, ref)
        while True:
            session = self._session or self._open()
            try:
                receipt = (
                    None if session is None else session.store(fact, subject, run, step, causation_id, occurred_at)
                )
            except ClosedError:
                self._forget(session)
                continue
            finally:
                if self._aside:
                    self.settle()
            if receipt is None:  # inside another call of this thread: that one stores the event when it ends
                aside = self.prepared(fact, run, step, causation_id, occurred_at)
                self._aside.append(aside)
                return aside.receipt()
            return receipt

    def prepared(
        self,
        fact: AnyFact,
        run: str | None,
        step: str | None,
        causation_id: str | None = None,
        occurred_at: dt.datetime | None = None,
    ) -> PutAside:
        """An event for `emit_prepared`, packed and checked as for `emit_packed`. Raises EventTooLargeError."""
        ref = subject_of(fact, run, step)
        subject = "" if self.settings.mode == "disabled" else _subject(self.settings.project, ref)
        size = len(_encode(fact))
        if size > self.settings.max_event_bytes:
            raise too_large(fact, size, self.settings.max_event_bytes)
        return PutAside(fact, subject, run, step, causation_id, occurred_at, self.settle)

    def emit_prepared(self, aside: PutAside) -> None:
        """`emit_packed` in two steps, so that a caller interrupted in between can ask `has_emitted`.

        Raises OutboxError; then the event is not emitted.
        """
        if self.settings.mode == "disabled":
            aside.stored(None)
            return
        self._aside.append(aside)
        try:
            self._store_aside()
        except OutboxError:
            with contextlib.suppress(ValueError):  # another thread stored it
                self._aside.remove(aside)
            if not aside.done:
                raise

    def has_emitted(self, aside: PutAside) -> bool:
        """Return whether the event is in the outbox, or will be, whatever happens to the call that emits it."""
        return aside in self._aside or aside.done

    def settle(self) -> None:
        """Store deferred events, unless this is inside another call of this thread."""
        try:
            self._store_aside()
        except OutboxError as error:
            warn_not_stored(len(self._aside), str(error))

    def _store_aside(self) -> None:
        while self._aside:
            session = self._session or self._open()
            if session is None or not session.settle():
                return
            if session.closed:
                self._forget(session)

    def _open(self) -> Session | None:
        """A new session; None inside a call of this thread that is opening it."""
        frame = _getframe()
        if not self._opening.take(frame):
            return None
        try:
            if self._session is None:
                _before_session()
                self._session = Session(self.settings, self._traceparent, self._aside, self._signer)
            return self._session
        finally:
            self._opening.leave(frame)
            del frame

    def _forget(self, session: Session | None) -> None:
        if session is not None:
            session.close_soon()
        with self._opening:
            if self._session is session:
                self._session = None

    def flush(self, timeout: float | None = None) -> FlushReport:
        """Wait until everything emitted so far is in the log; `timeout` in seconds, default RUNLORE_FLUSH_TIMEOUT.

        Waits the whole time even if the server is away, and then reports what is unsent. Without either a first
        connection may take 10 s, and everything after it 5 s.
        """
        self.settle()
        session = self._session
        if session is None:
            return FlushReport(len(self._aside), 0)
        return session.flush(timeout)

    async def flush_async(self, timeout: float | None = None) -> FlushReport:  # noqa: ASYNC109 -- as flush()
        """The same as `flush`, without blocking the event loop."""
        return await anyio.to_thread.run_sync(self.flush, timeout)

    def close(self) -> FlushReport:
        """Flush, stop the relay, close the outbox. What is left is sent by the next process."""
        self.settle()
        session = self._session
        if session is None:
            return FlushReport(len(self._aside), 0)
        report = session.end()
        self._forget(session)
        return report

    def lost_by_fork(self) -> None:
        """In a forked child: forget the parent's session, so that the next event opens an own one."""
        session, self._session = self._session, None
        self._opening = CallLock()
        self._aside = deque()
        if session is not None:
            session.lost_by_fork()

    @property
    def session(self) -> Session | None:
        return self._session

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Producer:
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.close)


_first_session_hooks: list[Callable[[], None]] = []


def before_first_session(hook: Callable[[], None]) -> None:
    """Call `hook` whenever a producer is about to open an outbox (the lifecycle module's exit hooks)."""
    _first_session_hooks.append(hook)


def _before_session() -> None:
    for hook in _first_session_hooks:
        hook()


def _merged(settings: Settings | None, overrides: dict[str, Any]) -> Settings:
    if settings is None:
        return read_settings(**overrides)
    return read_settings(**{**{name: getattr(settings, name) for name in settings.__struct_fields__}, **overrides})
