"""The line over NATS: one connection, which a thread of its own keeps."""

from __future__ import annotations

import asyncio
import threading
import weakref
from concurrent.futures import CancelledError
from typing import Any

import msgspec
from nats.aio.msg import Msg

from runlore.query.remote.line import Line, LostError, SilentError
from runlore.query.remote.methods import PARTS, SILENT_SECONDS, WORKING, Call, subject
from runlore.schemas.errors import AccessDeniedError, RunloreError, ServerTooOldError, ServerUnavailableError
from runlore.schemas.settings import Settings
from runlore.schemas.shards import Shard
from runlore.wire.api import listen
from runlore.wire.connect import Connection, connect, patience
from runlore.wire.destinations import has_shards
from runlore.wire.failures import INBOX_ADVICE, NATS_ERRORS, denies_publish, denies_subscription
from runlore.wire.shards import find_shard
from runlore.wire.sign_in import addresses

NOBODY = "no query service answers: start one beside the projector with `runlore query serve`"
ALIVE_SECONDS = 1
"""For the server to say that it is there, after a silence."""
CLOSED = "the client was closed while it asked"

_inherited: list[object] = []
"""A parent's threads and connections: its forked children neither use nor close them, so they are kept."""


class NatsLine(Line):
    """Asks a service in its queue group, whichever takes the question."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self.path = ", ".join(addresses(settings.url or ""))
        self._running: _Running | None = None

    def __reduce__(self) -> tuple[type[NatsLine], tuple[Settings]]:
        return NatsLine, (self._settings,)

    def send(self, call: Call, seconds: float) -> bytes:
        wire = self._started()
        question = wire.ask(call.project, call.method, msgspec.msgpack.encode(call), seconds)
        try:
            asked = asyncio.run_coroutine_threadsafe(question, wire.loop)
        except RuntimeError as error:  # another thread closed the line
            question.close()
            raise LostError(CLOSED) from error
        try:
            return asked.result(seconds + 1.0)
        except CancelledError:
            raise LostError(CLOSED) from None

    def _started(self) -> _Wire:
        with self._lock:
            if self._running is None:
                self._running = _Running(self, _Wire(self._settings))
            return self._running.wire

    def close(self) -> None:
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            running.stop()

    def forget(self) -> None:
        if self._running is not None:
            self._running.stop.detach()
            _inherited.append(self._running)
            self._running = None


class _Running:
    """The thread of a line, which ends with it: at `stop()`, or when nobody has the line any more."""

    def __init__(self, line: Line, wire: _Wire) -> None:
        self.wire = wire
        threading.Thread(target=_run, args=(wire,), name="runlore-query-line", daemon=True).start()
        self.stop = weakref.finalize(line, _stop, wire)
        self.stop.atexit = False  # the thread is a daemon


def _stop(wire: _Wire) -> None:
    # Never waits: it may be called by the garbage collector, in any thread.
    wire.loop.call_soon_threadsafe(wire.loop.stop)


def _run(wire: _Wire) -> None:
    try:
        wire.loop.run_forever()
        wire.loop.run_until_complete(wire.close())
    finally:
        wire.loop.close()


class _Answer:
    """The parts of one answer, which come in any number."""

    def __init__(self, address: str, loop: asyncio.AbstractEventLoop) -> None:
        self.address = address
        self.done: asyncio.Future[bytes] = loop.create_future()
        self._loop, self._heard = loop, loop.time()
        self._parts = dict[int, bytes]()
        self._timer = loop.call_later(SILENT_SECONDS, self._look)

    def add(self, message: Msg) -> None:
        self._heard = self._loop.time()
        headers: dict[str, Any] = message.headers or {}
        if headers.get("Status") == "503":
            self.fail(LostError(NOBODY))
        elif WORKING not in headers:
            part, _, count = headers.get(PARTS, "0/1").partition("/")
            self._parts[int(part)] = message.data
            if len(self._parts) == int(count) and not self.done.done():
                self.done.set_result(b"".join(self._parts[number] for number in sorted(self._parts)))

    def _look(self) -> None:
        left = self._heard + SILENT_SECONDS - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self.fail(SilentError())

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def forget(self) -> None:
        """Stop waiting for it."""
        self._timer.cancel()
        self.done.cancel()


class _Wire:
    """The connection, used within one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.loop = asyncio.new_event_loop()
        self._settings = settings
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self._answers = dict[str, _Answer]()
        self._shards = dict[str, Shard]()
        self._inbox, self._count = "", 0
        self._closing = set[asyncio.Task[None]]()
        self._denied: AccessDeniedError | None = None

    async def ask(self, project: str, method: str, data: bytes, seconds: float) -> bytes:
        async with asyncio.timeout(seconds):
            connection = await self._open()
            address = subject(project, method, await self._shard_of(connection, project))
            self._count += 1
            number, answer = str(self._count), _Answer(address, self.loop)
            self._answers[number] = answer
            try:
                await connection.publish(address, data, reply=f"{self._inbox}.{number}")
                return await answer.done
            except SilentError:
                await self._require_alive(connection)
                raise
            except NATS_ERRORS as error:
                if isinstance(error, TimeoutError | RunloreError):
                    raise
                raise LostError(f"the connection to NATS ended: {error}") from error
            finally:
                del self._answers[number]
                answer.forget()

    async def _open(self) -> Connection:
        async with self._opening:
            if self._denied is not None and self._connection is not None:
                await self._connection.close()  # the refusal came late; by now the user may have been let in
            if self._connection is None or not self._connection.is_connected:
                made = await self._connected()
                try:
                    await self._listen(made)
                except BaseException as error:  # cancelled, too: nobody else would close it
                    await made.close()
                    if isinstance(error, NATS_ERRORS) and not isinstance(error, AccessDeniedError):
                        raise LostError(f"the connection to NATS ended: {error}") from error
                    raise
                self._connection, self._shards = made, {}
            return self._connection

    async def _listen(self, connection: Connection) -> None:
        self._inbox = connection.new_inbox()
        self._denied = None
        await listen(connection, f"{self._inbox}.*", self._arrived)
        await connection.flush()  # mostly the server has said by then whether this user may receive answers
        if self._denied is not None:
            raise self._denied

    async def _shard_of(self, connection: Connection, project: str) -> Shard:
        """The shard of a project, looked up once for each connection."""
        if project not in self._shards:
            try:
                known = await find_shard(connection, project) if has_shards(self._settings) else Shard()
                self._shards[project] = known
            except AccessDeniedError:
                raise
            except ServerUnavailableError as error:
                raise LostError(str(error)) from error
        return self._shards[project]

    async def _connected(self) -> Connection:
        try:
            return await connect(
                self._settings, "runlore client", self._failed, self._closed, timeout=patience(self._settings, 0)
            )
        except (AccessDeniedError, ServerTooOldError):
            raise
        except ServerUnavailableError as error:
            if self._inbox:  # there was a connection, so the address is right: the server may be starting again
                raise LostError(str(error)) from error
            raise

    async def _require_alive(self, connection: Connection) -> None:
        """Leave a connection whose server does not answer, without waiting for it. Raises LostError."""
        try:
            await connection.flush(ALIVE_SECONDS)
        except NATS_ERRORS as error:
            if self._connection is connection:
                self._connection = None
            closing = asyncio.create_task(connection.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            raise LostError("the NATS server does not answer") from error

    async def _arrived(self, message: Msg) -> None:
        answer = self._answers.get(message.subject.rpartition(".")[2])
        if answer is not None:
            answer.add(message)

    async def _failed(self, error: Exception) -> None:
        if denies_subscription(error):
            self._denied = AccessDeniedError(f"this user may not receive answers ({error}): {INBOX_ADVICE}")
            for answer in list(self._answers.values()):
                answer.fail(self._denied)
        for answer in list(self._answers.values()):
            if denies_publish(error, answer.address):
                answer.fail(AccessDeniedError(f"the NATS server does not let this user ask: {error}"))

    async def _closed(self) -> None:
        for answer in list(self._answers.values()):
            answer.fail(LostError("the connection to NATS ended"))

    async def close(self) -> None:
        await self._closed()
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        left = asyncio.all_tasks(self.loop) - {asyncio.current_task(self.loop)}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
