"""Holes of the stream: found by counts, by reading some messages, and by reading them all."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from nats.aio.client import Client as NatsConnection
from nats_tools import js, made_events, open_server, publish, publish_all, until, with_nats
from service_tools import get_json, log_rows, running, status

from runlore.cli.private_server import STREAMS
from runlore.cli.server import EmbeddedServer
from runlore.projector.archiving import holes
from runlore.projector.archiving.holes import find_holes, trailing_gap
from runlore.schemas import Settings
from runlore.store.folder import DataDir
from runlore.store.sqlite import open_reader
from runlore.wire.stream import create_stream, stream_config, stream_info
from tests.oracle import assert_nothing_lost_or_doubled


def flip_a_bit(data: DataDir, payload: bytes) -> None:
    """Damage the record of one message in the block file of a stopped server."""
    [block] = (data.nats / "store" / STREAMS / "RUNLORE" / "msgs").glob("*.blk")
    content = bytearray(block.read_bytes())
    content[content.index(payload) + 5] ^= 1
    block.write_bytes(content)


@pytest.mark.parametrize(("position", "spot_checks"), [(7, 64), (20, 0)], ids=["by reading some", "by reading all"])
def test_a_flipped_bit_is_noticed_after_a_clean_restart(
    position: int,
    spot_checks: int,
    settings: Settings,
    data: DataDir,
    server: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holes, "SPOT_CHECKS", spot_checks)
    with running(settings) as service:
        until(lambda: service.state.connected)
        publish_all(settings, made_events(20))
        service.folded(20)
        publish_all(settings, made_events(5))  # a damaged message at our position stops it, which other tests show
        service.folded(25)
        until(lambda: "stream" not in service.state.problems)
    server.close()
    flip_a_bit(data, log_rows(data.log)[position - 1].payload)
    server.start()
    with running(settings) as service:
        until(lambda: "stream" in service.state.problems)
        assert f"event {position}" in service.state.problems["stream"]
        assert "`runlore stream restore`" in service.state.problems["stream"]
        shown = until(lambda: (now := status(data)) and now.problems and now)
        assert "log.db has" in shown.problems[0]
        assert get_json(shown.http + "/readyz")[1]["problems"] == list(shown.problems)
        publish_all(settings, made_events(3))
        service.folded(service.state.stream_last)  # it goes on: log.db has what the stream lost
        assert_nothing_lost_or_doubled(settings, lost=[position])
    assert len(log_rows(data.log)) == 28


def test_the_counts_of_a_stream_reveal_a_hole(tmp_path: Path, data: DataDir) -> None:
    with open_server(tmp_path) as (_, settings):
        with running(settings) as service:
            until(lambda: service.state.connected)
            publish_all(settings, made_events(200))
            service.folded(200)

        async def look(connection: NatsConnection) -> list[str | None]:
            with contextlib.closing(open_reader(data.log)) as log:
                found = [await find_holes(connection, log, 200)]
                await publish(connection, made_events(1))
                found.append(await find_holes(connection, log, 200))
                config = (await js(connection, "STREAM.INFO.RUNLORE"))["config"]
                await js(connection, "STREAM.UPDATE.RUNLORE", config | {"max_msgs": 190, "discard": "old"})
                while (await stream_info(connection)).messages > 190:  # noqa: ASYNC110 -- the server says nothing
                    await asyncio.sleep(0.01)
                found.append(await find_holes(connection, log, 200))
            return found

        whole, longer, cut = with_nats(settings, look)
        assert (whole, longer) == (None, None)
        assert cut == "the stream lost 11 messages that log.db has, the first is event 1"


def test_positions_that_were_given_away_after_the_last_message_are_a_gap(tmp_path: Path, data: DataDir) -> None:
    with open_server(tmp_path) as (_, settings):

        async def make(connection: NatsConnection) -> object:
            await create_stream(connection, stream_config("test-epoch", 1) | {"deny_delete": False})
            await publish(connection, made_events(5))
            found = [await trailing_gap(connection, 5), await trailing_gap(connection, 0)]
            await js(connection, "STREAM.MSG.DELETE.RUNLORE", {"seq": 4})
            await js(connection, "STREAM.MSG.DELETE.RUNLORE", {"seq": 5})
            config = (await js(connection, "STREAM.INFO.RUNLORE"))["config"]
            await js(connection, "STREAM.UPDATE.RUNLORE", config | {"deny_delete": True})
            return *found, await trailing_gap(connection, 3)

        whole, some, gap = with_nats(settings, make)
        assert (whole, some) == (None, None)
        assert gap[:2] == (4, 5)
        with running(settings) as service:
            service.folded(3)
            until(lambda: service.state.archived == 5)
            publish_all(settings, made_events(1))
            until(lambda: service.state.archived == 6)
