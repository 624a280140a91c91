"""The query service: a NATS micro service in a queue group, so that a second process shares the load."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import msgspec
from nats.micro import add_service  # pyright: ignore[reportUnknownVariableType] -- nats-py leaves its options open
from nats.micro.request import Request

from runlore.query.remote.answers import Answers
from runlore.query.remote.methods import MAX_ANSWER, PARTS, SUBJECT, Call, Reply, pack_error, subject
from runlore.query.view.connection import ViewReader
from runlore.schemas.errors import AccessDeniedError, ArgumentError, QueryTimeoutError, ServerUnavailableError
from runlore.schemas.settings import Settings
from runlore.wire.connect import Backoff, Connection, connect

NAME = "runlore-query"
THREADS = 4
_PART_ROOM = 4096
"""Bytes of a message that are not the part's: headers."""


async def serve(settings: Settings, ready: asyncio.Event | None = None) -> None:
    """Answer until cancelled, over new connections where one ends. Raises AccessDeniedError."""
    backoff, told = Backoff(), ""
    answers = Answers(ViewReader(settings.data_dir))
    with ThreadPoolExecutor(THREADS, "runlore-query") as threads:
        while True:
            try:
                await _serve_once(settings, answers, threads, ready)
                backoff.reset()
                told = ""
            except AccessDeniedError:
                raise
            except ServerUnavailableError as error:
                if str(error) != told:  # not the same at each attempt
                    told = str(error)
                    print(f"query service: {told}", file=sys.stderr)
            await asyncio.sleep(backoff.wait())


async def _serve_once(
    settings: Settings, answers: Answers, threads: ThreadPoolExecutor, ready: asyncio.Event | None
) -> None:
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def failed(error: Exception) -> None:
        print(f"query service: {error}", file=sys.stderr)
        denied = f'permissions violation for subscription to "{SUBJECT}.'
        if denied in str(error).lower() and not ended.done():
            ended.set_exception(AccessDeniedError(f"the NATS server does not let this user answer queries: {error}"))

    async def closed() -> None:
        if not ended.done():
            ended.set_result(None)

    connection = await connect(settings, "runlore query", failed, closed)
    try:
        service = _Service(connection, answers, threads)
        micro = await add_service(connection, name=NAME, version=_semantic(), queue_group=NAME)
        await micro.add_endpoint(name="query", subject=f"{SUBJECT}.*.*", handler=service.handle)
        await connection.flush()
        if ready is not None:
            ready.set()
        await ended
    finally:
        await connection.close()


def _semantic() -> str:
    return ".".join([*version("runlore").split(".")[:3], "0", "0"][:3])


class _Service:
    def __init__(self, connection: Connection, answers: Answers, threads: ThreadPoolExecutor) -> None:
        self._connection, self._answers, self._threads = connection, answers, threads
        self._free = asyncio.Semaphore(THREADS * 2)
        self._tasks = set[asyncio.Task[None]]()

    async def handle(self, request: Request) -> None:
        """Begin to answer; it waits while too much is under way."""
        await self._free.acquire()
        task = asyncio.create_task(self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            print(f"query service: {error!r}", file=sys.stderr)

    async def _answer(self, request: Request) -> None:
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(self._threads, self._bytes, request.subject, request.data)
        size = self._connection.max_payload - _PART_ROOM
        count = max(1, -(-len(data) // size))
        for part in range(count):
            await request.respond(data[part * size : (part + 1) * size], {PARTS: f"{part}/{count}"})

    def _bytes(self, address: str, data: bytes) -> bytes:
        try:
            call = msgspec.msgpack.decode(data, type=Call)
            # The server lets a user use subjects: what a message says besides must not reach further.
            if address != subject(call.project, call.method):
                raise ArgumentError("the question is not about the project and method of its subject")
        except (msgspec.DecodeError, ArgumentError) as error:
            return _encoded(Reply(0, "", 0, True, pack_error(ArgumentError(f"no question: {error}"))))
        reply = self._answers.answer(call)
        found = _encoded(reply)
        if len(found) > MAX_ANSWER:
            told = QueryTimeoutError(f"the answer has {len(found):,} bytes, the limit is {MAX_ANSWER:,}: ask for less")
            return _encoded(Reply(reply.position, reply.epoch, reply.version, True, pack_error(told)))
        return found


def _encoded(reply: Any) -> bytes:
    return msgspec.msgpack.encode(reply)
