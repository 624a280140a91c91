"""The line to a query service: questions from any thread, over one connection that a thread of its own keeps."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

import msgspec
from nats.aio.msg import Msg

from runlore.query.remote.methods import PARTS, Call, Reply
from runlore.schemas.errors import (
    AccessDeniedError,
    QueryTimeoutError,
    RunloreError,
    ServerUnavailableError,
    StreamMismatchError,
)
from runlore.schemas.settings import Settings
from runlore.wire.api import listen
from runlore.wire.connect import Connection, connect
from runlore.wire.failures import NATS_ERRORS
from runlore.wire.sign_in import addresses

SECONDS = 10.0
"""For one question with its answer."""
NOBODY_SECONDS = 3.0
"""For which a service that is away, perhaps to start again, is waited for."""
_AGAIN_SECONDS = 0.05


class _LostError(Exception):
    """The connection ended, or nobody listened: ask again."""


class Line:
    """Stands where a local client has its view reader."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.path = ", ".join(addresses(settings.url or ""))
        """Where it asks, without secrets."""
        self._seen, self._epoch = 0, ""
        self._lock = threading.Lock()
        self._pid, self._loop, self._wire = 0, asyncio.new_event_loop(), _Wire(settings)
        self._loop.close()

    def __reduce__(self) -> tuple[type[Line], tuple[Settings]]:
        return Line, (self._settings,)

    @property
    def data(self) -> None:
        """No data folder."""
        return

    def read(self) -> AbstractContextManager[None]:
        """Group reads, as a view's reader does; here each is a question of its own."""
        return nullcontext()

    def one(self, *_: Any) -> NoReturn:
        raise RunloreError("this read needs local files: a query service does not answer it")

    rows = one

    def saw(self, position: int) -> None:
        """Remember an event that later answers have to know."""
        with self._lock:
            self._seen = max(self._seen, position)

    def ask(self, call: Call, address: str) -> Reply:
        """The reply of a service. Raises ServerUnavailableError, AccessDeniedError, QueryTimeoutError."""
        late = time.monotonic() + SECONDS
        nobody = time.monotonic() + min(SECONDS, NOBODY_SECONDS)
        while True:
            left = late - time.monotonic()
            call.at_least, call.seconds = self._seen, max(0.1, left - 0.2)
            asked = asyncio.run_coroutine_threadsafe(
                self._wire.ask(address, msgspec.msgpack.encode(call), max(0.01, left)), self._running()
            )
            try:
                reply = msgspec.msgpack.decode(asked.result(), type=Reply)
            except _LostError as error:
                if time.monotonic() < nobody:
                    time.sleep(_AGAIN_SECONDS)
                    continue
                raise ServerUnavailableError(str(error)) from None
            except TimeoutError:
                raise QueryTimeoutError(
                    f"no answer within {SECONDS:g} s: is `runlore query serve` overloaded, or did it end?"
                ) from None
            if self._newer(reply):
                return reply

    def _newer(self, reply: Reply) -> bool:
        """Take up how far a reply is. False for one that is older than another was. Raises StreamMismatchError."""
        if not reply.epoch:
            return True  # an error before the view was read
        with self._lock:
            if self._epoch not in ("", reply.epoch):
                raise StreamMismatchError("the query service reads another log than before: make a new Client")
            self._epoch = reply.epoch
            if reply.failed or reply.position >= self._seen:
                self._seen = max(self._seen, reply.position)
                return True
            return False

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._pid != os.getpid() or self._loop.is_closed():  # a forked child has no thread of its parent's
                self._pid, self._loop, self._wire = os.getpid(), asyncio.new_event_loop(), _Wire(self._settings)
                threading.Thread(target=_run, args=(self._loop,), name="runlore-query-line", daemon=True).start()
            return self._loop

    def close(self) -> None:
        """Close the connection; a later question opens a new one."""
        with self._lock:
            if self._pid != os.getpid() or self._loop.is_closed() or not self._loop.is_running():
                return
            asyncio.run_coroutine_threadsafe(self._wire.close(), self._loop).result()
            loop, self._pid = self._loop, 0
            loop.call_soon_threadsafe(loop.stop)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    finally:
        loop.close()


class _Answer:
    """The parts of one answer, which come in any number."""

    def __init__(self, address: str) -> None:
        self.address = address.lower()
        self.done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._parts = dict[int, bytes]()

    def add(self, message: Msg) -> None:
        headers = message.headers or {}
        if headers.get("Status") == "503":
            self.fail(_LostError("no query service answers: start one beside the projector with `runlore query serve`"))
            return
        part, _, count = headers.get(PARTS, "0/1").partition("/")
        self._parts[int(part)] = message.data
        if len(self._parts) == int(count) and not self.done.done():
            self.done.set_result(b"".join(self._parts[number] for number in sorted(self._parts)))

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class _Wire:
    """The connection, used within one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self._answers = dict[str, _Answer]()
        self._inbox, self._count = "", 0

    async def ask(self, address: str, data: bytes, seconds: float) -> bytes:
        async with asyncio.timeout(seconds):
            connection = await self._open()
            self._count += 1
            number, answer = str(self._count), _Answer(address)
            self._answers[number] = answer
            try:
                await connection.publish(address, data, reply=f"{self._inbox}.{number}")
                return await answer.done
            except NATS_ERRORS as error:
                if isinstance(error, TimeoutError | RunloreError):
                    raise
                raise _LostError(f"the connection to NATS ended: {error}") from error
            finally:
                del self._answers[number]

    async def _open(self) -> Connection:
        async with self._opening:
            if self._connection is None or not self._connection.is_connected:
                made = await connect(self._settings, "runlore client", self._heard, self._closed)
                self._inbox = made.new_inbox()
                await listen(made, f"{self._inbox}.*", self._arrived)
                self._connection = made
            return self._connection

    async def _arrived(self, message: Msg) -> None:
        answer = self._answers.get(message.subject.rpartition(".")[2])
        if answer is not None:
            answer.add(message)

    async def _heard(self, error: Exception) -> None:
        text = str(error).lower()
        if "permissions violation" not in text:
            return
        told = AccessDeniedError(f"the NATS server does not let this user ask: {error}")
        for answer in list(self._answers.values()):
            if "subscription" in text or f'"{answer.address}"' in text:
                answer.fail(told)

    async def _closed(self) -> None:
        for answer in list(self._answers.values()):
            answer.fail(_LostError("the connection to NATS ended"))

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
