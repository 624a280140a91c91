"""A query service answers from the log of the server's own stream, and refuses beside that of another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from nats.aio.msg import Msg

from runlore.cli.server import EmbeddedServer
from runlore.query.remote.service import serve
from runlore.schemas import read_settings
from runlore.schemas.errors import StreamMismatchError
from runlore.store.folder import DataDir
from runlore.store.private_files import write_struct
from runlore.store.records import ReplicaMark
from runlore.wire.archived import ArchiveAnswer
from runlore.wire.connect import Connection, connect
from runlore.wire.stream import ensure_stream
from tests.events import EPOCH, LogBuilder
from tests.patience import PATIENCE
from tests.query.views import fold_live


async def nothing(*_: object) -> None: ...


@pytest.fixture(autouse=True)
def view(server: EmbeddedServer) -> None:
    log = LogBuilder()
    log.log("model:churn@1", {"acc": 0.5})
    fold_live(DataDir(read_settings().data_dir), log)


async def makes_a_stream(connection: Connection) -> None:
    await ensure_stream(connection, read_settings())


async def answers_for(connection: Connection, epoch: str) -> None:
    """As a projector does, of whom a query service asks that may not ask the stream."""

    async def answer(message: Msg) -> None:
        await message.respond(msgspec.json.encode(ArchiveAnswer(epoch, 1, 1)))

    await connection.subscribe("runlore_archive", cb=answer)
    await connection.flush()


async def served_with(prepare: Callable[[Connection], Awaitable[None]]) -> None:
    """Serve until it answers questions, or refuses, on a server that somebody has prepared."""
    other = await connect(read_settings(), "test", nothing, nothing)
    await prepare(other)
    ready = asyncio.Event()
    serving, answering = asyncio.create_task(serve(read_settings(), ready)), asyncio.create_task(ready.wait())
    await asyncio.wait({serving, answering}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    for task in (serving, answering):
        task.cancel()
    results = await asyncio.gather(serving, return_exceptions=True)
    await other.close()
    if isinstance(results[0], Exception):
        raise results[0]
    assert ready.is_set()


def test_beside_the_log_of_another_stream_it_refuses() -> None:
    with pytest.raises(StreamMismatchError, match=f"has the events of the stream {EPOCH}, and the server that of"):
        asyncio.run(served_with(makes_a_stream))


def test_a_projector_that_archives_another_stream_is_believed() -> None:
    with pytest.raises(StreamMismatchError, match="that of another-epoch"):
        asyncio.run(served_with(lambda connection: answers_for(connection, "another-epoch")))


def test_beside_the_log_of_this_stream_and_where_nobody_tells_it_answers() -> None:
    asyncio.run(served_with(lambda connection: answers_for(connection, EPOCH)))
    asyncio.run(served_with(nothing))


def test_a_replica_that_has_not_followed_its_new_stream_yet_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    write_struct(DataDir(read_settings().data_dir).replica, ReplicaMark(EPOCH, None))

    async def wait_for_it() -> None:
        other = await connect(read_settings(), "test", nothing, nothing)
        await makes_a_stream(other)
        serving = asyncio.create_task(serve(read_settings()))
        while "waiting for the replica" not in capsys.readouterr().err:
            assert not serving.done()
            await asyncio.sleep(0.01)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await other.close()

    asyncio.run(wait_for_it())
