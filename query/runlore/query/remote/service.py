"""The query service: a NATS micro service in a queue group, so that a second process shares the load."""

from __future__ import annotations

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

from nats.micro import add_service  # pyright: ignore[reportUnknownVariableType] -- nats-py leaves its options open
from nats.micro.request import Request

from runlore.query.remote.answers import Answers, AnswerStep
from runlore.query.remote.methods import PARTS, WORKING, WORKING_SECONDS
from runlore.query.remote.same_stream import require_same_stream
from runlore.query.view.connection import ViewReader
from runlore.schemas.errors import AccessDeniedError, NotFoundError, RunloreError, ServerUnavailableError
from runlore.schemas.settings import Settings
from runlore.schemas.shards import Shard
from runlore.store.folder_shard import require_own_shard
from runlore.wire.connect import Backoff, Connection, connect
from runlore.wire.failures import NATS_ERRORS
from runlore.wire.private import drain_service

THREADS = 4
MOST_CALLS = 10_000
"""Under way at once; more wait in the connection."""
FINISH_SECONDS = 2.0
"""For the answers under way when it is stopped."""
VIEW_SECONDS = 0.2
"""Between two looks for a view, where there is none yet."""
ASK_ANOTHER = {"Status": "503"}
"""What the NATS server, too, says where nobody answers."""
LET_GO_SECONDS = 1.0
_PART_ROOM = 4096
"""Bytes of a message that are not the part's: headers."""


async def serve(settings: Settings, ready: asyncio.Event | None = None) -> None:
    """Answer until cancelled, over new connections where one ends.

    Raises AccessDeniedError, StreamMismatchError for a view of another stream than the server's.
    """
    backoff, told = Backoff(), ""
    require_own_shard(settings)
    reader = ViewReader(settings.data_dir)
    await _view_of(reader)
    answers = Answers(reader, Shard(settings.shard))
    letting_go = asyncio.create_task(_let_go(reader))
    try:
        with ThreadPoolExecutor(THREADS, "runlore-query") as threads:
            while True:
                try:
                    await _serve_once(settings, reader, answers, threads, ready)
                    backoff.reset()
                    told = ""
                except AccessDeniedError:
                    raise
                except ServerUnavailableError as error:
                    if str(error) != told:  # not the same at each attempt
                        told = str(error)
                        print(f"query service: {told}", file=sys.stderr)
                await asyncio.sleep(backoff.wait())
    finally:
        letting_go.cancel()


async def _let_go(reader: ViewReader) -> None:
    """Close a replaced view although nobody asks: what was erased is still in its file."""
    while True:
        await asyncio.sleep(LET_GO_SECONDS)
        reader.let_go()


async def _view_of(reader: ViewReader) -> None:
    """Wait until there is a view: without one, this service would take questions that another one can answer."""
    told = False
    while True:
        try:
            with reader.read():
                return
        except NotFoundError as error:
            if not told:
                print(f"query service: {error}. It answers as soon as there is a view", file=sys.stderr)
            told = True
        except RunloreError:
            return  # such as a damaged view: who asks is told
        await asyncio.sleep(VIEW_SECONDS)


async def _serve_once(
    settings: Settings,
    reader: ViewReader,
    answers: Answers,
    threads: ThreadPoolExecutor,
    ready: asyncio.Event | None,
) -> None:
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def failed(error: Exception) -> None:
        print(f"query service: {error}", file=sys.stderr)
        denied = f'permissions violation for subscription to "{Shard(settings.shard).query_subject}.'
        if denied in str(error).lower() and not ended.done():
            ended.set_exception(AccessDeniedError(f"the NATS server does not let this user answer queries: {error}"))

    async def closed() -> None:
        if not ended.done():
            ended.set_result(None)

    connection = await connect(settings, "runlore query", failed, closed)
    name = connection.shard.query_name
    service = _Service(connection, answers, threads)
    working = asyncio.create_task(service.say_what_it_works_on())
    try:
        await require_same_stream(connection, reader)
        micro = await add_service(connection, name=name, version=_semantic(), queue_group=name)
        await micro.add_endpoint(name="query", subject=f"{connection.shard.query_subject}.*.*", handler=service.handle)
        await connection.flush()
        if ready is not None:
            ready.set()
        try:
            await ended
        except asyncio.CancelledError:
            await drain_service(micro)  # another one answers what comes now
            await service.finish()
            raise
    finally:
        working.cancel()
        await connection.close()


def _semantic() -> str:
    return ".".join([*version("runlore").split(".")[:3], "0", "0"][:3])


class _Service:
    def __init__(self, connection: Connection, answers: Answers, threads: ThreadPoolExecutor) -> None:
        self._connection, self._answers, self._threads = connection, answers, threads
        self._room = asyncio.Semaphore(MOST_CALLS)
        self._calls = dict[asyncio.Task[None], tuple[Request, float]]()

    async def handle(self, request: Request) -> None:
        """Begin to answer; it waits while too much is under way."""
        await self._room.acquire()
        task = asyncio.create_task(self._answer(request))
        self._calls[task] = request, time.monotonic()
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._calls[task]
        self._room.release()
        # With the connection, the answers under way are lost, and will be asked for again.
        if not task.cancelled() and (error := task.exception()) and not self._connection.is_closed:
            print(f"query service: {error!r}", file=sys.stderr)

    async def _answer(self, request: Request) -> None:
        data = await self._answers.answer(request.subject, request.data, self._in_thread)
        if data is None:
            await request.respond(b"", ASK_ANOTHER)
            return
        size = self._connection.max_payload - _PART_ROOM
        if len(data) <= size:
            await request.respond(data)
            return
        count = -(-len(data) // size)
        for part in range(count):
            await request.respond(data[part * size : (part + 1) * size], {PARTS: f"{part}/{count}"})

    async def finish(self) -> None:
        """Wait a little for the answers under way."""
        self._answers.hurry()
        if self._calls:
            await asyncio.wait(list(self._calls), timeout=FINISH_SECONDS)

    async def _in_thread(self, step: AnswerStep) -> bytes | None:
        return await asyncio.get_running_loop().run_in_executor(self._threads, step)

    async def say_what_it_works_on(self) -> None:
        """Tell who waits for long that it is still asked for something here: without a word, the asker asks again."""
        while True:
            await asyncio.sleep(WORKING_SECONDS)
            early = time.monotonic() - WORKING_SECONDS
            try:
                for request, begun in list(self._calls.values()):
                    if begun < early:
                        await request.respond(b"", {WORKING: "yes"})
            except NATS_ERRORS:
                return  # the connection ended
