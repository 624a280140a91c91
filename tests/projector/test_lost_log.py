"""log.db and its signing key are precious: removed, emptied or replaced, stopped or running, nothing is made in silence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from nats.aio.client import Client as NatsConnection
from nats_tools import js, made_events, open_server, publish, publish_all, until, with_nats
from service_tools import Running, archive_some, history, log_rows, running
from structlog.testing import capture_logs

from runlore.cli.server import EmbeddedServer
from runlore.projector import ArchiveReader, ensure_stream
from runlore.projector.audit.keys import load_signer
from runlore.projector.audit.verify import verify_log
from runlore.projector.views.digest import view_digest
from runlore.schemas import CorruptLogError, RunloreError, Settings
from runlore.store.audit.leaf import origin_of
from runlore.store.folder import DataDir
from tests.cli.stack_process import run_cli
from tests.oracle import assert_nothing_lost_or_doubled


@pytest.mark.parametrize("lost", ["deleted", "emptied"])
def test_a_lost_log_is_copied_again_loudly_when_the_stream_has_all_that_the_view_knew(
    lost: str, settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    archive_some(settings)
    before, view, digest = log_rows(data.log), data.current_view(), view_digest(data.current_view())
    if lost == "deleted":
        data.log.unlink()
    else:
        data.log.write_bytes(b"")
    with capture_logs() as lines, running(settings) as service:
        service.folded(20)
    assert log_rows(data.log) == before
    assert (data.current_view(), view_digest(view)) == (view, digest)
    assert any("log.db was missing: it is copied again from the stream" in line["event"] for line in lines)


async def _made_again(connection: NatsConnection, settings: Settings, count: int) -> None:
    await js(connection, "STREAM.DELETE.RUNLORE")
    await ensure_stream(connection, settings)
    await publish(connection, made_events(count))


def _rewritten(settings: Settings, count: int) -> None:
    """The same stream by its epoch, with other events."""

    async def rewrite(connection: NatsConnection) -> None:
        config = (await js(connection, "STREAM.INFO.RUNLORE"))["config"]
        await js(connection, "STREAM.DELETE.RUNLORE")
        await js(connection, "STREAM.CREATE.RUNLORE", config)
        await publish(connection, made_events(count))

    with_nats(settings, rewrite)


def _without_its_first(settings: Settings) -> None:
    async def erase(connection: NatsConnection) -> None:
        config = (await js(connection, "STREAM.INFO.RUNLORE"))["config"]
        await js(connection, "STREAM.DELETE.RUNLORE")
        await js(connection, "STREAM.CREATE.RUNLORE", {**config, "first_seq": 2})
        await publish(connection, made_events(30))

    with_nats(settings, erase)


@pytest.mark.parametrize(
    ("happened", "says"),
    [
        (lambda settings: with_nats(settings, lambda nc: _made_again(nc, settings, 30)), "this is another stream"),
        (lambda settings: with_nats(settings, lambda nc: js(nc, "STREAM.DELETE.RUNLORE")), "there is no stream"),
        (lambda settings: _rewritten(settings, 15), "the stream ends at event 15"),
        (lambda settings: _rewritten(settings, 30), "event 20 of the stream is not the one in the view"),
        (_without_its_first, "1 messages are missing from the stream"),
    ],
    ids=["another", "gone", "shorter", "rewritten", "hole"],
)
def test_a_lost_log_is_not_made_from_a_stream_that_has_less(
    tmp_path: Path, data: DataDir, happened: Callable[[Settings], object], says: str
) -> None:
    with open_server(tmp_path) as (_, settings):
        archive_some(settings)
        data.log.unlink()
        happened(settings)
        for _ in range(2):  # and not at the second start either
            error = Running(settings).ended()
            assert isinstance(error, CorruptLogError)
            assert says in str(error)
            assert "view-000001.db says that it went up to event 20" in str(error)
            assert not data.log.exists()
        assert len(history(data)) == 20


def test_a_lost_log_of_which_only_a_number_is_known_is_not_made_again_until_the_folder_is_moved_away(
    settings: Settings, data: DataDir, server: EmbeddedServer, tmp_path: Path
) -> None:
    archive_some(settings)
    data.log.unlink()
    data.current_view().unlink()
    for _ in range(2):  # a start that was refused forgets nothing
        error = Running(settings).ended()
        assert isinstance(error, CorruptLogError)
        assert "no view is left" in str(error)
        assert f"move {data.projection} away" in str(error)
    data.projection.rename(tmp_path / "away")
    with running(settings) as service:
        service.folded(20)


def test_a_log_that_is_removed_while_it_is_open_is_written_back(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    service = Running(settings)
    until(lambda: service.state.connected)
    publish_all(settings, made_events(20))
    service.folded(20)
    data.log.unlink()
    error = service.ended()
    assert isinstance(error, RunloreError)
    assert "it was written back up to event 20" in str(error)
    assert len(log_rows(data.log)) == 20
    signer = load_signer(data.checkpoint_key, origin_of(ArchiveReader(data.log).epoch))
    assert verify_log(data.log, [signer.verifier]).problems == []
    _goes_on(settings, 20)


def test_a_log_that_is_replaced_while_it_is_open_is_saved_beside(
    settings: Settings, data: DataDir, server: EmbeddedServer, tmp_path: Path
) -> None:
    service = Running(settings)
    until(lambda: service.state.connected)
    publish_all(settings, made_events(20))
    service.folded(20)
    (tmp_path / "other").write_bytes(b"another file")
    (tmp_path / "other").rename(data.log)
    error = service.ended()
    assert isinstance(error, CorruptLogError)
    [copy] = data.projection.glob("log.db.saved-*")
    assert str(copy) in str(error)
    assert len(log_rows(copy)) == 20
    shutil.move(copy, data.log)
    _goes_on(settings, 20)


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_write_ahead_log_that_is_removed_while_it_is_open_costs_nothing(
    suffix: str, settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    service = Running(settings)
    until(lambda: service.state.connected)
    publish_all(settings, made_events(20))
    service.folded(20)
    data.log.with_name(f"log.db{suffix}").unlink()
    error = service.ended()
    assert f"log.db{suffix} was removed" in str(error)
    assert len(log_rows(data.log)) == 20
    _goes_on(settings, 20)


def _fill(path: Path, first: int, last: int) -> None:
    with path.open("r+b") as file:
        file.seek(first)
        file.write(b"\xa5" * (last - first))


@pytest.mark.parametrize(
    "damage",
    [
        lambda log: _fill(log, 0, 100),
        lambda log: _fill(log, 8192, log.stat().st_size),
        lambda log: log.write_bytes(log.read_bytes()[: log.stat().st_size // 3]),
        lambda log: log.write_bytes(b"no database" * 1000),
    ],
    ids=["header", "pages", "truncated", "garbage"],
)
def test_a_damaged_log_stops_it_with_advice_that_loses_nothing(
    damage: Callable[[Path], object], settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    archive_some(settings)
    before, digest = log_rows(data.log), view_digest(data.current_view())
    damage(data.log)
    error = Running(settings).ended()
    assert isinstance(error, CorruptLogError)
    assert "keep a copy, move it away, and start the projector" in str(error)
    data.log.rename(data.root / "copy")
    with running(settings) as service:
        service.folded(20)
    assert (log_rows(data.log), view_digest(data.current_view())) == (before, digest)


def test_a_lock_that_is_removed_while_it_is_held_ends_the_projector(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    service = Running(settings)
    until(lambda: service.state.connected)
    data.projector_lock.unlink()
    error = service.ended()
    assert isinstance(error, RunloreError)
    assert "it no longer keeps another projector away" in str(error)
    _goes_on(settings, 0)


def _goes_on(settings: Settings, position: int) -> None:
    with running(settings) as service:
        until(lambda: service.state.connected or service.error)
        publish_all(settings, made_events(5))
        service.folded(position + 5)
        assert_nothing_lost_or_doubled(settings)


@pytest.mark.slow
def test_a_lost_signing_key_is_not_replaced_until_somebody_says_so(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    archive_some(settings)
    old = run_cli("audit", "key").stdout.strip()
    data.checkpoint_key.unlink()
    error = Running(settings).ended()
    assert isinstance(error, CorruptLogError)
    assert "checkpoint.key is missing" in str(error)
    assert not data.checkpoint_key.exists()
    assert "--new" in str(error)
    new = run_cli("audit", "key", "--new").stdout.strip()
    assert new not in ("", old)
    refused = run_cli("audit", "key", "--new")
    assert (refused.returncode, "move it away first" in refused.stderr) == (2, True)
    _goes_on(settings, 20)
    verified = run_cli("audit", "verify", "--key", old, "--key", new)
    assert verified.returncode == 0, verified.stdout
    assert run_cli("audit", "verify").returncode == 4  # the first checkpoint is not the new key's
