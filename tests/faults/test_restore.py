"""A stream that lost its end, its middle or everything comes back from log.db, byte for byte."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client as NatsConnection

from runlore.cli.private_server import STREAMS
from runlore.cli.remote_stream import ask
from runlore.cli.restoring import Restore
from runlore.cli.server import EmbeddedServer
from runlore.projector.archiving.copy_stream import copy_stream
from runlore.projector.restoring.restore import RestorePlan
from runlore.schemas import ServerUnavailableError, Settings, read_settings
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock
from runlore.store.log_rows import Received
from runlore.store.private_files import read_struct
from runlore.store.records import Endpoint
from runlore.store.sqlite import open_reader
from runlore.wire.stream import create_stream, stream_config, stream_info
from tests.cli.stack_process import run_cli
from tests.events import EPOCH
from tests.faults.streams import copied, filled_log, log_rows, messages, publish, store_of, write_store
from tests.projector.nats_tools import open_server


@pytest.fixture
def log(data: DataDir) -> list[Received]:
    """The rows of a log.db of 300 events, one of them stored twice, with a hole at 100 to 102."""
    return filled_log(data)


def command(data: DataDir, *arguments: str) -> dict[str, Any]:
    done = run_cli("stream", "restore", "--json", "--data-dir", str(data.root), *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def restore(data: DataDir, apply: bool = True, skip_to: int = 0) -> tuple[RestorePlan, Path | None]:
    """What the command does, in this process: the plan, and where the old stream is kept."""
    with Restore(read_settings(), lambda what, at, of: None, skip_to) as restoring:
        plan = restoring.plan()
        return plan, restoring.apply(plan) if apply and not plan.whole else None


def assert_restored(data: DataDir, rows: list[Received], extra: Sequence[Received] = ()) -> None:
    """The embedded server's stream holds exactly these; archived again, it gives the log's tree."""
    copy = copied(data)
    assert messages(copy) == [*rows, *extra]
    if not extra:
        assert tree(copy) == tree(data.log)


def tree(log: Path) -> Any:
    with contextlib.closing(open_reader(log)) as connection:
        return connection.execute("SELECT position, size, hex(range) FROM tree_state").fetchall()


def test_a_stream_that_is_gone_comes_back_with_every_position_time_and_byte(data: DataDir, log: list[Received]) -> None:
    dry = command(data)
    assert (dry["whole"], dry["applied"], dry["lost"]) == (False, False, len(log))
    assert not (data.nats / "store").exists()
    assert command(data, "--apply")["applied"]
    assert_restored(data, log)
    assert restore(data)[0].whole


@pytest.mark.parametrize(
    "lost", [range(200, 301), range(50, 60), range(1, 30), [300], [77]], ids=["end", "middle", "start", "last", "one"]
)
def test_a_stream_that_lost_a_part_comes_back_whole(data: DataDir, log: list[Received], lost: range) -> None:
    write_store(data, [row for row in log if row.position not in lost])
    before = store_of(data)
    plan, _ = restore(data, apply=False)
    assert (plan.lost, plan.differing, plan.moved) == (len([r for r in log if r.position in lost]), 0, 0)
    assert store_of(data) == before, "a dry run changes nothing"
    _, kept = restore(data)
    assert_restored(data, log)
    assert store_of(data, kept) == before, "the old stream is kept as it was"


def test_events_after_the_end_of_an_older_log_keep_their_positions(data: DataDir, log: list[Received]) -> None:
    newer = publish(log, 301, 320)
    write_store(data, [row for row in log if row.position not in range(40, 50)] + newer)
    plan, _ = restore(data)
    assert (plan.lost, plan.kept, plan.moved) == (10, 20, 0)
    assert_restored(data, log, newer)


def test_events_stored_at_positions_that_were_given_away_twice_follow_behind(
    data: DataDir, log: list[Received]
) -> None:
    again = publish(log, 251, 280, "other")
    write_store(data, log_rows(log, until=250) + again)
    plan, _ = restore(data)
    assert (plan.moved, plan.moved_from) == (30, 301)
    assert_restored(data, log, [row._replace(position=row.position + 50) for row in again])
    assert restore(data)[0].whole


def test_another_stream_in_its_place_gives_its_events_new_positions(data: DataDir, log: list[Received]) -> None:
    other = publish(log, 1, 20, "other")
    write_store(data, other, epoch="another-epoch")
    plan, _ = restore(data)
    assert plan.stream_epoch == "another-epoch"
    assert_restored(data, log, [row._replace(position=row.position + 300) for row in other])


def test_positions_given_away_whose_events_nobody_has_stay_empty(data: DataDir, log: list[Received]) -> None:
    plan, _ = restore(data, skip_to=350)
    assert (plan.last, plan.last_held) == (350, 300)
    copy_path = copied(data)
    assert messages(copy_path) == log
    with contextlib.closing(open_reader(copy_path)) as copy:
        assert copy.execute("SELECT first, last FROM gaps ORDER BY first").fetchall()[-1] == (301, 350)


def test_a_damaged_record_is_read_as_lost_and_restored(data: DataDir, log: list[Received]) -> None:
    write_store(data, log)
    [block] = (data.nats / "store" / STREAMS / "RUNLORE" / "msgs").glob("*.blk")
    content = bytearray(block.read_bytes())
    content[content.index(log[150].payload) + 5] ^= 1
    block.write_bytes(content)
    plan, _ = restore(data)
    assert plan.lost >= 1
    assert_restored(data, log)


def test_while_a_stack_runs_nothing_is_restored(data: DataDir, log: list[Received]) -> None:
    with FolderLock(data.up_lock, "`runlore up`"):
        refused = run_cli("stream", "restore", "--data-dir", str(data.root))
    assert refused.returncode == 1
    assert "is in use by `runlore up`, process" in refused.stderr


def test_without_a_log_there_is_nothing_to_restore_from(data: DataDir) -> None:
    refused = run_cli("stream", "restore", "--data-dir", str(data.root))
    assert refused.returncode == 3
    assert "nothing to restore" in refused.stderr


def test_the_stream_of_a_server_of_ones_own_is_restored_through_its_api(
    tmp_path: Path, data: DataDir, log: list[Received]
) -> None:
    with open_server(tmp_path) as (_, settings):
        config = stream_config(EPOCH, 1)

        async def damaged(connection: NatsConnection) -> None:
            await create_stream(connection, config | {"max_msgs": 5})  # someone changed it

        ask(settings, damaged)
        ask(settings, lambda connection: publish_rows(connection, 20))
        with Restore(settings, lambda what, at, of: None) as restoring:
            plan = restoring.plan()
            assert (plan.moved, plan.lost + plan.differing, len(plan.drift)) == (5, len(log), 1)
            backup = restoring.apply(plan)
        assert backup.stat().st_size > 0
        copy_stream(settings, tmp_path / "copy.db")
        restored = messages(tmp_path / "copy.db")
        assert restored[: len(log)] == log
        assert [row.position for row in restored[len(log) :]] == list(range(301, 306))


def test_a_user_who_may_not_restore_is_told_so_and_nothing_changes(
    settings: Settings, data: DataDir, server: EmbeddedServer, log: list[Received]
) -> None:
    endpoint = read_struct(data.endpoint, Endpoint)
    assert endpoint is not None
    ask(settings, lambda connection: create_stream(connection, stream_config(EPOCH, 1)))
    remote = msgspec.structs.replace(settings, url=endpoint.url)
    with Restore(remote, lambda what, at, of: None) as restoring:
        plan = restoring.plan()
        with pytest.raises(ServerUnavailableError, match="give credentials of a user who may"):
            restoring.apply(plan)
    assert ask(settings, stream_info).epoch == EPOCH


def test_a_stream_that_still_grows_is_not_exchanged(tmp_path: Path, data: DataDir, log: list[Received]) -> None:
    with open_server(tmp_path) as (_, settings):
        ask(settings, lambda connection: create_stream(connection, stream_config(EPOCH, 1)))
        with Restore(settings, lambda what, at, of: None) as restoring:
            plan = restoring.plan()
            ask(settings, lambda connection: publish_rows(connection, 1))
            with pytest.raises(ServerUnavailableError, match="stop the producers"):
                restoring.apply(plan)
            assert ask(settings, stream_info).config["subjects"] == ["runlore.>"]
            ask(settings, lambda connection: publish_rows(connection, 1))
            restoring.apply(restoring.plan())
        assert ask(settings, stream_info).messages == len(log) + 2


async def publish_rows(connection: NatsConnection, count: int) -> None:
    for row in publish([], 1, count, "strange"):
        await connection.request(row.subject, row.payload)


def test_the_command_says_what_is_wrong_and_what_it_would_do(data: DataDir, log: list[Received]) -> None:
    write_store(data, [row for row in log if row.position < 200])
    done = run_cli("stream", "restore", "--data-dir", str(data.root))
    assert done.returncode == 0, done.stderr
    assert "It lost 101 events of log.db, between 200 and 300." in done.stdout
    assert "Nothing was changed. To do it: runlore stream restore --apply" in done.stdout
